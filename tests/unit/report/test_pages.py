"""What people and machines read: page, XML, Markdown, SARIF, terminal. Hostile texts stay texts, secrets stay away."""

import html
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from chaosbot.core.event import ApiCalled, ExchangeSeen, Injected, Noted, PhaseChanged, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.verdict import RootCause, Severity, Verdict
from chaosbot.journal import Redactor
from chaosbot.report import compare, fold, render_comparison, render_terminal, write_all
from chaosbot.reporters.html import render_html
from chaosbot.reporters.junit import render_junit
from chaosbot.reporters.markdown import render_markdown
from chaosbot.reporters.sarif import render_sarif

HOSTILE = "</script><img src=x onerror=alert(1)>\"'`|[b]{{7*7}}\x1b[31m\x00\ud800&amp;@team"


class Page(HTMLParser):
    """The tags of a page, and what stands in its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.ids = set()
        self.links = []
        self.headings = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids |= {value for name, value in attrs if name == "id"}
        self.links += [value for name, value in attrs if name == "href"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def hostile_story(story, make_finding):
    """A run in which every text is an attack."""
    told = story(verb=HOSTILE, profile=HOSTILE, slo=[{"metric": HOSTILE, "target": HOSTILE}])
    told.phase(0, "baseline", HOSTILE).load(10, kind=HOSTILE, errors=0.1, tasks={HOSTILE: 3}, commands={HOSTILE: 2})
    told.fault(HOSTILE, HOSTILE, 10, 15).phase(10, "fault", HOSTILE).load(5).phase(15, "recovery").load(10)
    fields = dict.fromkeys(("title", "category", "case", "summary", "reproduce", "curl"), HOSTILE)
    told.judged(HOSTILE, make_finding(HOSTILE, HOSTILE, request=HOSTILE.encode("utf-8", "surrogatepass"), **fields))
    told.add(
        Trouble(12, HOSTILE, HOSTILE),
        Noted(13, HOSTILE, HOSTILE),
        Injected(11, HOSTILE, HOSTILE, Depth.BYTES, Direction.INBOUND, HOSTILE, "applied"),
        RuleTallied(20, HOSTILE, HOSTILE, Depth.BYTES, 1, 1, 1, 0),
        ApiCalled(14, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,)),
    )
    return told.history(HOSTILE, HOSTILE)


@pytest.fixture
def hostile(story, make_finding):
    history = hostile_story(story, make_finding)
    return fold(history, checks=()), history


def test_hostile_texts_stay_texts_in_the_page(hostile):
    page = Page(render_html(hostile[0]))
    assert not [attrs for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert len([attrs for tag, attrs in page.tags if tag == "script"]) == 1


def test_the_page_loads_nothing_and_runs_its_own_scripts_only(hostile):
    text = render_html(hostile[0])
    page = Page(text)
    (policy,) = (attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in re.search("script-src ([^;]*)", policy)[1]
    assert policy.count("sha256-") == 1
    assert all(link.startswith("#") for link in page.links)
    assert not [attrs for _, attrs in page.tags if "src" in attrs]


def test_the_pages_links_lead_somewhere_and_its_headings_are_in_order(story, make_finding):
    history = story().load(60).judged("no_hang", make_finding()).history()
    page = Page(render_html(fold(history, checks=())))
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(later - one <= 1 for one, later in zip(page.headings, page.headings[1:], strict=False))


def test_tables_scroll_in_their_own_box(story):
    history = story().phase(0, "baseline").load(30).history()
    text = render_html(fold(history, checks=()))
    assert text.count("<table") == len(re.findall(r'<div class="scroll[^>]*>\s*<table', text)) > 0


@pytest.mark.slow
def test_a_page_of_a_long_run_stays_under_half_a_megabyte(story, make_finding):
    told = story()
    for number in range(60):
        told.judged("no_hang", make_finding(bucket=str(number), request=b"x" * 5000))
    for number in range(20):
        told.fault(f"rule {number}", "latency", 100 * number, 100 * number + 50)
    history = told.load(4000).history()
    assert len(render_html(fold(history, checks=())).encode()) < 500_000


def test_every_chart_says_in_words_what_it_shows_and_has_its_figures_in_a_table(story):
    history = story().phase(0, "baseline").load(30).history()
    text = render_html(fold(history, checks=()))
    labels = [attrs.get("aria-label", "") for tag, attrs in Page(text).tags if tag == "svg"]
    assert len(labels) >= 4
    assert all(len(label) > 20 for label in labels)
    table = text[text.index("second by second") :]
    assert table[: table.index("</table>")].count("<tr>") == 31


def test_importing_the_reports_loads_neither_a_template_engine_nor_a_chart_library():
    code = "import sys, chaosbot.report; assert not {'jinja2', 'markupsafe', 'plotly'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_findings_stand_by_severity_and_cause_with_an_index(story, make_finding):
    told = story()
    told.judged("no_hang", make_finding(cause=RootCause("slow", place="*.chat"), severity=Severity.LOW))
    told.judged("no_leak", make_finding(check="no_leak", cause=RootCause("token"), severity=Severity.CRITICAL))
    for check in ("no_death", "no_server_error"):
        told.judged(check, make_finding(check=check, cause=RootCause(check, place="*.text"), severity=Severity.HIGH))
    told.judged(
        "no_effect", make_finding(check="no_effect", cause=RootCause("x", place="*.user"), severity=Severity.HIGH)
    )
    text = render_html(fold(told.history(), checks=()))
    order = re.findall(r'<article class="finding" id="([a-z_]+)-', text)
    assert order[0] == "no_leak"
    assert set(order[1:3]) == {"no_death", "no_server_error"}
    assert order[3:] == ["no_effect", "no_hang"]
    assert re.findall(r'<li data-finding="([a-z_]+)-', text) == order
    assert 'data-words="low *.chat' in text


def test_a_finding_can_be_copied_from_the_page(story, make_finding):
    history = story().judged("no_hang", make_finding(reproduce="chaosbot replay 'a b' <x>")).history()
    text = render_html(fold(history, checks=()))
    assert "chaosbot replay &#39;a b&#39; &lt;x&gt;</pre>" in text
    assert 'class="copy"' in text


def test_hostile_texts_stay_texts_in_xml(hostile):
    root = ET.fromstring(render_junit(hostile[0]))
    assert "onerror" in ET.tostring(root, encoding="unicode")
    assert not list(root.iter("img"))


def test_junit_has_a_case_for_each_check_and_promise(story, make_finding):
    told = story().load(60, errors=0.2).judged("no_hang", make_finding()).judged("no_leak").judged("no_death", judged=0)
    suite = ET.fromstring(render_junit(fold(told.history(), checks=()))).find("testsuite")
    outcomes = {case.get("name"): [child.tag for child in case] for case in suite}
    assert outcomes["no_hang"] == ["failure"]
    assert outcomes["no_leak"] == []
    assert "no_death" not in outcomes  # it had nothing to look at, which a property says
    properties = {one.get("name"): one.get("value") for one in suite.find("properties")}
    assert properties["not judged: no_death"] == "found nothing to look at"
    assert outcomes["error_rate < 1 %"] == ["failure"]
    assert outcomes["p50 < 500 ms"] == []
    assert (suite.get("failures"), suite.get("skipped")) == ("2", "0")


JENKINS = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, ["testsuite"]),
    "testsuite": (
        {
            "name",
            "tests",
            "failures",
            "errors",
            "time",
            "disabled",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "properties": (set(), ["property"]),
    "property": ({"name", "value"}, []),
    "testcase": ({"name", "assertions", "time", "classname", "status"}, ["skipped", "error", "failure", "system-out"]),
    "failure": ({"message", "type"}, []),
    "error": ({"message", "type"}, []),
}
"""What the schema of Jenkins' JUnit plug-in allows: attributes, and children in their order."""


def test_junit_fits_the_schema_of_jenkins(story, make_finding, hostile):
    told = story().load(60, errors=0.2).judged("no_hang", make_finding()).judged("no_death", judged=0)
    broken = story().load(60).add(Trouble(3, "proxy", "worker died"))
    for report in (fold(told.history(), checks=()), fold(broken.history(), checks=()), hostile[0]):
        root = ET.fromstring(render_junit(report))
        for element in root.iter():
            attributes, children = JENKINS[element.tag]
            assert element.attrib.keys() <= attributes
            places = [children.index(child.tag) for child in element]
            assert places == sorted(places)
        assert {float(suite.get("time")) >= 0 for suite in root} == {True}


def test_junit_is_red_when_the_run_cannot_be_judged(story):
    told = story().load(60).add(Trouble(3, "proxy", "worker died"))
    suite = ET.fromstring(render_junit(fold(told.history(), checks=()))).find("testsuite")
    assert suite.get("errors") == "1"


def test_hostile_texts_stay_texts_in_markdown(hostile):
    text = render_markdown(hostile[0])
    shown = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    assert {tag for tag, _ in Page(shown).tags} <= {
        *["h2", "h3", "ul", "li", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code", "sub"]
    }
    assert "@team" not in re.sub("<code>.*?</code>", "", shown)
    lines = [line for line in text.splitlines() if line.startswith("| high")]
    assert len(lines) == 1


def test_markdown_is_short(story, make_finding):
    told = story().load(60)
    for number in range(200):
        told.judged("no_hang", make_finding(bucket=str(number), title="x" * 5000))
    assert len(render_markdown(fold(told.history(), checks=()))) < 10_000


def test_hostile_texts_stay_texts_in_the_terminal(hostile):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
    render_terminal(hostile[0], console)
    shown = console.file.getvalue()
    assert "[b]" in shown
    assert "\x1b[31m&" not in shown
    assert "\x00" not in shown


def test_commands_are_whole_lines_however_narrow_the_terminal_is(story, make_finding):
    line = "chaosbot replay chaosbot-runs/20260101-120000-demo/findings/no_escalation-28e25a58"
    told = story().load(10).judged("no_escalation", make_finding(title="a long title " * 12, reproduce=line))
    console = Console(file=io.StringIO(), width=40)
    render_terminal(fold(told.history(), checks=()), console)
    shown = console.file.getvalue().splitlines()
    assert line in [one.strip() for one in shown]
    assert all(len(one) <= 40 for one in shown if line not in one)


def test_sarif_has_what_the_standard_asks_for(hostile, story, make_finding):
    for report in (hostile[0], fold(story().judged("no_hang", make_finding()).history(), checks=())):
        log = json.loads(render_sarif(report))
        assert log["version"] == "2.1.0"
        (run,) = log["runs"]
        driver = run["tool"]["driver"]
        for result in run["results"]:
            assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["level"] in ("error", "warning", "note")
            assert result["message"]["text"]
            uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"[A-Za-z0-9._~%/-]+", uri)
        assert run["invocations"][0]["executionSuccessful"] in (True, False)


def test_a_secret_reaches_no_file(story, make_finding, tmp_path):
    secret, token = "s3cr3t-V4lue!<&>", "123456789:" + "A" * 35
    planted = f"before {secret} after {token}"
    fields = dict.fromkeys(("title", "category", "case", "summary", "reproduce", "curl"), planted)
    told = story(note=planted, nested={planted: [planted]}).load(60, tasks={planted: 1}, commands={planted: 1})
    told.judged("no_hang", make_finding(bucket=planted, request=planted.encode(), **fields))
    told.add(Trouble(5, planted, planted), Noted(6, planted, planted), PhaseChanged(1, "fault", planted))
    history = told.history("aborted", planted)
    write_all(fold(history, checks=()), tmp_path, Redactor((secret,)))
    written = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert set(written) == {
        *("report.json", "report.html", "junit.xml", "report.md", "report.sarif", "timeseries.csv", "findings.csv")
    }
    for name, text in written.items():
        for spelling in (secret, token, "s3cr3t", "V4lue", "QUFBQUFBQUFBQUF"):
            assert spelling not in text, name


def test_files_are_whole_or_those_before(story, tmp_path):
    history = story().load(60).history()
    report = fold(history, checks=())
    write_all(report, tmp_path, Redactor())
    first = (tmp_path / "report.json").read_text()
    write_all(report, tmp_path, Redactor())
    assert (tmp_path / "report.json").read_text() == first
    assert not list(tmp_path.glob(".*"))


class TestComparison:
    def test_two_runs_of_one_target_differ_by_noise_only(self, story):
        one, two = (fold(story(seed=seed).load(120).history(), checks=()) for seed in (1, 2))
        found = compare(one, two)
        assert not found.paired
        assert not found.worse
        assert not found.better
        assert {change.change for change in found.changes} == {"within noise"}

    @pytest.mark.parametrize("drift", [0.85, 1.17])
    @pytest.mark.parametrize("before", [0.0035, 0.3])
    def test_a_machine_that_drifts_from_run_to_run_is_no_change(self, story, before, drift):
        one, two = (
            fold(story().load(60, rate=100, latency=latency).history(), checks=())
            for latency in (before, before * drift)
        )
        found = compare(one, two)
        assert found.paired
        assert not found.worse
        assert not found.better
        assert found.exit_code == 0

    @pytest.mark.parametrize("paired", [True, False])
    @pytest.mark.parametrize(("before", "after"), [(0.02, 0.026), (0.001, 0.021)])
    def test_a_slower_target_is_worse(self, story, before, after, paired):
        one = fold(story(seed=7).load(60, latency=before).history(), checks=())
        two = fold(story(seed=7 if paired else 8).load(60, latency=after).history(), checks=())
        found = compare(one, two)
        assert found.paired is paired
        assert found.worse
        assert found.exit_code == 1
        assert {change.change for change in found.changes if change.metric == "p50"} == {"worse"}
        assert "**worse**" in render_comparison(found)

    def test_a_faster_target_is_better(self, story):
        one, two = (fold(story().load(60, latency=latency).history(), checks=()) for latency in (0.03, 0.02))
        assert compare(one, two).better
        assert compare(one, two).exit_code == 0

    def test_a_fraction_of_a_millisecond_does_not_matter_however_sure_it_is(self, story):
        one, two = (fold(story().load(60, latency=latency).history(), checks=()) for latency in (0.0005, 0.0007))
        found = compare(one, two)
        (p50,) = (change for change in found.changes if change.metric == "p50")
        assert p50.difference[0] > 0
        assert p50.change == "too small to matter"
        assert not found.worse
        assert "too small to matter" in render_comparison(found)

    def test_paired_runs_show_what_two_intervals_hide(self, story):
        one = fold(story().load(60, sigma=1.5).history(), checks=())
        two = fold(story().load(60, sigma=1.5, latency=0.0247).history(), checks=())
        (p50,) = (change for change in compare(one, two).changes if change.metric == "p50")
        assert p50.after_interval[0] - p50.before_interval[1] < 0.2 * p50.before
        assert p50.change == "worse"
        other = fold(story(seed=8).load(60, sigma=1.5, latency=0.0247).history(), checks=())
        (p50,) = (change for change in compare(one, other).changes if change.metric == "p50")
        assert p50.change != "worse"

    def test_what_the_generator_could_not_measure_is_neither_better_nor_worse(self, story):
        one = fold(story().load(60).history(), checks=())
        late = story().load(60, latency=0.2, lateness_p99_s=1.0, lateness_max_s=2.0)
        two = fold(late.history(), checks=())
        assert two.verdict is Verdict.INVALID
        for before, after in ((one, two), (two, one)):
            found = compare(before, after)
            assert {change.metric: change.change for change in found.changes} == {
                "p50": "not comparable",
                "p95": "not comparable",
                "p99": "not comparable",
                "error rate": "within noise",
                "goodput": "not comparable",
            }
            assert not found.worse
            assert found.exit_code == 3
            assert "cannot tell" in render_comparison(found)

    def test_a_new_finding_is_worse_and_a_gone_one_better(self, story, make_finding):
        calm = fold(story().judged("no_hang").history(), checks=())
        bad = fold(story().judged("no_hang", make_finding()).history(), checks=())
        assert compare(calm, bad).worse
        assert compare(bad, calm).better
        assert "New findings" in render_comparison(compare(calm, bad))

    def test_errors_that_rose_beyond_noise_are_named(self, story):
        one = fold(story().load(60).history(), checks=())
        two = fold(story().load(60, errors=0.05).history(), checks=())
        changes = {change.metric: change.change for change in compare(one, two).changes}
        assert changes["error rate"] == "worse"
        assert changes["goodput"] == "too small to matter"
        bad = fold(story().load(60, errors=0.3).history(), checks=())
        assert {change.metric: change.change for change in compare(one, bad).changes}["goodput"] == "worse"


def test_a_proxys_page_begins_with_its_traffic(story):
    told = story(verb="proxy")
    for number in range(3):
        told.add(ExchangeSeen(number, f"x{number}", Direction.INBOUND, "POST", "/", 200, "target", 0.01, 200))
    told.add(RuleTallied(5, "slow", "latency", Depth.BYTES, 3, 2, 2, 0))
    figures = render_html(fold(told.history(), checks=())).partition('<dl class="figures">')[2].partition("</dl>")[0]
    words = re.sub(r"<[^>]+>", " ", figures).split()
    assert words[:2] == ["Traffic", "3"]
    assert " ".join(words).endswith("Faults applied 2 by 1 rule")


def test_checks_that_judged_nothing_stand_together(story):
    report = fold(story().load(10).history())
    assert len(report.unjudged) > 20
    page = html.unescape(render_html(report))
    assert f"{len(report.unjudged)} checks had nothing to judge" in page
    reasons = {reason for _check, reason in report.unjudged}
    assert len(reasons) < len(report.unjudged)
    assert all(page.count(f"<dt>{reason}</dt>") == 1 for reason in reasons)
