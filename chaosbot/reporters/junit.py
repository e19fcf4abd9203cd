"""junit.xml: one test case a check and one a promise, for the test tab of a CI system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from xml.etree import ElementTree as ET

from chaosbot.core.verdict import Assertion, Finding, Judgement, Verdict
from chaosbot.report.figures import shown
from chaosbot.report.reporter import Reporter
from chaosbot.report.scrub import tame
from chaosbot.report.values import Report


def render_junit(report: Report) -> str:
    """The report as JUnit XML: FAIL is a failure, INCONCLUSIVE and INVALID are errors.

    Checks that had nothing to look at are no test cases: they are named in a property, so that a list of tests is what was tested.
    """
    report = tame(report)
    cases = [
        *(_check_case(judgement) for judgement in report.judgements),
        *(_assertion_case(assertion) for assertion in report.assertions),
    ]
    cases.append(_run_case(report))
    suite = ET.Element(
        "testsuite",
        {
            "name": f"chaosbot {report.verb}",
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
            "skipped": "0",
            "time": f"{report.duration_s:.3f}",
        },
    )
    if report.started:
        suite.set("timestamp", report.started)
    properties = ET.SubElement(suite, "properties")
    for name, value in (("seed", report.seed), ("target", report.target), ("verdict", report.verdict.value)):
        ET.SubElement(properties, "property", {"name": name, "value": str(value)})
    for check, reason in report.unjudged:
        ET.SubElement(properties, "property", {"name": f"not judged: {check}", "value": reason})
    suite.extend(cases)
    root = ET.Element("testsuites", {key: suite.attrib[key] for key in ("tests", "failures", "errors", "time")})
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(area: str, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": f"chaosbot.{area}", "name": name, "time": "0"})


def _add(case: ET.Element, tag: str, message: str, text: str = "") -> None:
    child = ET.SubElement(case, tag, {"message": message, "type": "chaosbot"})
    child.text = text or None


def _outcome(case: ET.Element, verdict: Verdict, message: str, text: str) -> ET.Element:
    if verdict is Verdict.FAIL:
        _add(case, "failure", message, text)
    elif verdict is not Verdict.PASS:
        _add(case, "error", f"{verdict.value}: {message}", text)
    return case


def _check_case(judgement: Judgement) -> ET.Element:
    verdict = Verdict.FAIL if judgement.findings else judgement.verdict
    count = len(judgement.findings)
    message = f"{count} finding{'s' * (count != 1)}" if count else judgement.reason or judgement.verdict.value
    return _outcome(_case("checks", judgement.check), verdict, message, "\n\n".join(map(_story, judgement.findings)))


def _story(finding: Finding) -> str:
    lines = [f"[{finding.severity}] {finding.title} ({finding.id}, × {finding.occurrences})", finding.summary]
    return "\n".join(filter(None, [*lines, finding.reproduce, finding.curl]))


def _assertion_case(assertion: Assertion) -> ET.Element:
    case = _case("promises", f"{assertion.name} {assertion.target}")
    message = f"observed {shown(assertion.observed)}: {assertion.reason}"
    return _outcome(case, assertion.verdict, message, f"target {assertion.target}, alert {assertion.alert or 'none'}")


def _run_case(report: Report) -> ET.Element:
    """The run itself, so that a torn journal or a broken fault turns a build red although every check is green."""
    case = _case("run", "the run can be judged")
    if report.verdict in (Verdict.INCONCLUSIVE, Verdict.INVALID):
        _add(case, "error", f"{report.verdict.value}: {'; '.join(report.reasons)}")
    return case


@dataclass(frozen=True)
class JunitReporter(Reporter):
    """One test case a check and one a promise."""

    file: ClassVar[str] = "junit.xml"

    def render(self, report: Report) -> str:
        """The whole report."""
        return render_junit(report)
