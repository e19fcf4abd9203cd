"""A finding on disk: the bytes that show it, how to send them, and what to read first.

Rules:

- `case.json` replays it: every step's segments, pauses, endings and expectation. `request.bin` is the last step's bytes.
- No secret is written, nor a long piece of it in whatever case: a placeholder that names the piece takes its place, and `replay`
  fills it in from the environment.
- ``.chaosbot/findings/<id>.json`` remembers one reproducer each between runs; the next campaign sends them first. A finding that no
  longer shows is forgotten.
- A baseline, the ids of accepted findings, is a text file with one id a line (``#`` begins a comment), or a ``report.json``.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Any, Final

from chaosbot.core.case import Case, Change, Ending, Expect, Reach, Reading, Role, Segment, hide, reveal
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UsageError, shown
from chaosbot.core.jsontext import read_json
from chaosbot.core.platform import Endpoint, Platform, platform_of
from chaosbot.core.verdict import Finding, Mechanism, Threat
from chaosbot.files import named, read_text
from chaosbot.fuzz.requests import renewed, resigned
from chaosbot.fuzz.spec import STAGES, CampaignSpec
from chaosbot.journal import write_private
from chaosbot.transport import Address, curl_line

SCHEMA: Final = "chaosbot.case/2"
_LONGEST_LINE: Final = 4000
MOST_BYTES: Final = 64 << 20
"""The largest file of a finding or a baseline."""
LARGEST_REQUEST: Final = 4_000_000
"""Larger requests are not written out: what they show is their size."""

CaseSteps = tuple[tuple[Case, ...], ...]
"""What to send, in order; the cases of one step leave at the same time."""


@dataclass(frozen=True, slots=True)
class Reproducer:
    """What `case.json` holds.

    Args:
        check: The check that it breaks.
        cause: The root cause, as a text.
        platform: The platform.
        path: The webhook's path.
        steps: What to send.
        title: The finding's title.
        secret_env: Where the secret comes from.
        malformed: The policy under which it is a finding.
        needs_calls: Whether it shows only with a Bot API mock or in replies.
        target: The webhook's URL where it was found.
        time: The Unix time that the requests claim, which their signatures are for.
        perishable: Whether those signatures expire, so that only chaosbot, which signs anew, can send the requests again.
        accept_status: Statuses beside 2xx that were right for a valid update.
    """

    check: str
    cause: str
    platform: str
    path: str
    steps: CaseSteps
    title: str = ""
    secret_env: str = ""
    malformed: str = "any"
    needs_calls: bool = False
    target: str = ""
    time: int = 0
    perishable: bool = False
    accept_status: tuple[int, ...] = ()


def _case_json(case: Case, secret: str) -> dict[str, Any]:
    return {
        "name": case.name,
        "group": case.group,
        "threat": case.threat.value,
        "summary": case.summary,
        "segments": [_segment_json(segment, len(list(alike)), secret) for segment, alike in groupby(case.segments)],
        "ending": case.ending.value,
        "reading": case.reading.value,
        "expect": {
            "statuses": sorted(case.expect.statuses),
            "close": case.expect.close,
            "within_s": case.expect.within_s,
            "reach": case.expect.reach.value,
            "text": case.expect.text,
        },
        "marker": case.marker,
        "chat": case.chat,
        "update_id": case.update_id,
        "check": case.check,
        "control": case.control,
        "change": [case.change.mechanism.value, case.change.place, case.change.operator],
        "role": case.role.value,
        "scenario": case.scenario,
        "copies": case.copies,
        "user": case.user,
        "message": case.message,
        "callback": case.callback,
        "recalls": case.recalls,
        "nth": case.nth,
    }


def _segment_json(segment: Segment, times: int, secret: str) -> dict[str, Any]:
    """A segment; a flood of equal ones is written once."""
    said = {"data_b64": base64.b64encode(hide(segment.data, secret)).decode(), "pause_s": segment.pause_s}
    return said | ({"times": times} if times > 1 else {})


_NOTHING: Final = type(None)
_WORDS: Final = (
    "name",
    "group",
    "threat",
    "summary",
    "ending",
    "reading",
    "marker",
    "check",
    "control",
    "role",
    "scenario",
)
_IDS: Final = ("chat", "update_id", "user", "message")
_PATH: Final = re.compile(r"/[^\x00-\x20\x7f]{0,8000}")
_LONGEST_S: Final = 3600
"""No case pauses longer, nor waits longer for an answer."""
_MOST_CASES: Final = 10_000
_MOST_AT_ONCE: Final = 256
_MOST_SEGMENTS: Final = 1_000_000
_MOST_SENT: Final = 1 << 28


def _must(where: str, value: Any, kinds: tuple[type, ...], low: float = 0, most: float = 2**63) -> Any:
    """A member of a case, which must be of one of these kinds; numbers within bounds, lists with so many values.

    Raises:
        ConfigError: It is none; names its place.
    """
    right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if right and isinstance(value, (int, float)) and bool not in kinds:
        right = low <= value <= most
    elif right and isinstance(value, list):
        right = low <= len(value) <= most
    if not right:
        names = {str: "a text", list: "a list", dict: "a table", bool: "true or false", _NOTHING: "null"}
        wanted = " or ".join(dict.fromkeys(names.get(kind, "a number") for kind in kinds))
        bounds = f" of {low:g} to {most:g}" if {int, float, list} & {*kinds} else ""
        raise ConfigError(where, f"{shown(value)} is not {wanted}{bounds}; take the finding as chaosbot wrote it")
    return value


def _checked(value: Any) -> None:
    """Looks at each member of a reproducer before anything is made of it.

    Raises:
        ConfigError: One is no such thing, or without end; names its place.
    """
    for name in ("check", "cause", "title", "platform", "path", "secret_env", "malformed"):
        _must(name, value[name], (str,))
    if not _PATH.fullmatch(value["path"]):
        # Anything else would make another request of the valid ones that are sent first: a target may wait for the rest of it.
        raise ConfigError("path", f"{shown(value['path'])} is no path of a URL; take the finding as chaosbot wrote it")
    _must("needs_calls", value["needs_calls"], (bool,))
    _must("perishable", value.get("perishable", False), (bool,))
    _must("target", value.get("target", ""), (str,))
    _must("time", value.get("time", 0), (int,), 0, 2**40)
    for nth, status in enumerate(_must("accept_status", value.get("accept_status", []), (list,), 0, 500)):
        _must(f"accept_status[{nth}]", status, (int,), 100, 599)
    count = 0
    for number, step in enumerate(_must("steps", value["steps"], (list,), 1, _MOST_CASES)):
        for nth, case in enumerate(_must(f"steps[{number}]", step, (list,), 1, _MOST_AT_ONCE)):
            _check_case(_must(f"steps[{number}][{nth}]", case, (dict,)), f"steps[{number}][{nth}]")
        count += len(step)
        _must("the number of cases", count, (int,), 1, _MOST_CASES)


def _check_case(case: dict[str, Any], where: str) -> None:
    for name in (*_WORDS, "recalls"):
        _must(f"{where}.{name}", case.get(name, "") if name == "recalls" else case[name], (str,))
    for name in _IDS:
        _must(f"{where}.{name}", case[name], (int, str, _NOTHING), -(2**63))
    _must(f"{where}.callback", case["callback"], (str, _NOTHING))
    _must(f"{where}.copies", case["copies"], (int,), 0, _MOST_CASES)
    _must(f"{where}.nth", case.get("nth", 0), (int,))
    for nth, word in enumerate(_must(f"{where}.change", case["change"], (list,), 3, 3)):
        _must(f"{where}.change[{nth}]", word, (str,))
    expect = _must(f"{where}.expect", case["expect"], (dict,))
    for nth, status in enumerate(_must(f"{where}.expect.statuses", expect["statuses"], (list,), 0, 999)):
        _must(f"{where}.expect.statuses[{nth}]", status, (int,), 1, 999)
    _must(f"{where}.expect.close", expect["close"], (bool,))
    _must(f"{where}.expect.within_s", expect["within_s"], (int, float, _NOTHING), 0, _LONGEST_S)
    _must(f"{where}.expect.text", expect["text"], (str,))
    pauses, segments, sent = 0.0, 0, 0
    for nth, segment in enumerate(_must(f"{where}.segments", case["segments"], (list,), 1, _MOST_SEGMENTS)):
        place = f"{where}.segments[{nth}]"
        _must(place, segment, (dict,))
        times = _must(f"{place}.times", segment.get("times", 1), (int,), 1, _MOST_SEGMENTS)
        pauses += times * _must(f"{place}.pause_s", segment["pause_s"], (int, float), 0, _LONGEST_S)
        sent += times * len(_must(f"{place}.data_b64", segment["data_b64"], (str,)))
        segments += times
    _must(f"{where}: the sum of its pauses", pauses, (int, float), 0, _LONGEST_S)
    _must(f"{where}: the number of its segments", segments, (int,), 1, _MOST_SEGMENTS)
    _must(f"{where}: the bytes of its segments", sent, (int,), 0, _MOST_SENT)


def _segments_of(value: dict[str, Any], secret: str) -> Iterable[Segment]:
    data = reveal(base64.b64decode(value["data_b64"], validate=True), secret)
    return repeat(Segment(data, float(value["pause_s"])), int(value.get("times", 1)))


def _case_of(value: dict[str, Any], secret: str) -> Case:
    expect, change = value["expect"], value["change"]
    return Case(
        name=value["name"],
        group=value["group"],
        threat=Threat(value["threat"]),
        segments=tuple(chain.from_iterable(_segments_of(segment, secret) for segment in value["segments"])),
        expect=Expect(
            frozenset(expect["statuses"]),
            close=expect["close"],
            within_s=expect["within_s"],
            reach=Reach(expect["reach"]),
            text=expect["text"],
        ),
        summary=value["summary"],
        ending=Ending(value["ending"]),
        reading=Reading(value["reading"]),
        marker=value["marker"],
        chat=value["chat"],
        update_id=value["update_id"],
        check=value["check"],
        control=value["control"],
        change=Change(Mechanism(change[0]), change[1], change[2]),
        role=Role(value["role"]),
        scenario=value["scenario"],
        copies=value["copies"],
        user=value["user"],
        message=value["message"],
        callback=value["callback"],
        recalls=value.get("recalls", ""),
        nth=value.get("nth", 0),
    )


def to_json(reproducer: Reproducer, secret: str) -> dict[str, Any]:
    """The reproducer as JSON, without the secret."""
    return {
        "schema": SCHEMA,
        "check": reproducer.check,
        "cause": reproducer.cause,
        "title": reproducer.title,
        "platform": reproducer.platform,
        "path": reproducer.path,
        "secret": bool(secret),
        "secret_env": reproducer.secret_env,
        "malformed": reproducer.malformed,
        "needs_calls": reproducer.needs_calls,
        "target": reproducer.target,
        "time": reproducer.time,
        "perishable": reproducer.perishable,
        "accept_status": list(reproducer.accept_status),
        "steps": [[_case_json(case, secret) for case in step] for step in reproducer.steps],
    }


def read(directory: Path, secret: str) -> Reproducer:
    """Reads a finding's directory (or its case.json) back and fills the secret in.

    Raises:
        ConfigError: No finding there, or a damaged one.
    """
    path = directory if directory.suffix == ".json" else directory / "case.json"
    try:
        value = read_json(read_text(path, most=MOST_BYTES, remedy="give the directory of a finding"))
        if value["schema"] != SCHEMA:
            raise ConfigError(str(path), f"schema {value['schema']!r} is not {SCHEMA!r}; it is of another version")
        try:
            _checked(value)
        except ConfigError as error:
            raise error.inside(str(path)) from None
        return Reproducer(
            check=value["check"],
            cause=value["cause"],
            platform=value["platform"],
            path=value["path"],
            steps=tuple(tuple(_case_of(case, secret) for case in step) for step in value["steps"]),
            title=value["title"],
            secret_env=value["secret_env"],
            malformed=value["malformed"],
            needs_calls=value["needs_calls"],
            target=value.get("target", ""),
            time=value.get("time", 0),
            perishable=value.get("perishable", False),
            accept_status=tuple(value.get("accept_status", ())),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(str(path), f"is no chaosbot case ({type(error).__name__}: {error})") from None


def timely(reproducer: Reproducer, endpoint: Endpoint, platform: Platform) -> Reproducer:
    """The reproducer as of the endpoint's time: its right signatures are right again, and stale ones as stale as they were."""
    later = endpoint.time - reproducer.time if reproducer.time else 0
    steps = tuple(
        tuple(resigned(platform, endpoint.secret, case, case, later) or case for case in step)
        for step in reproducer.steps
    )
    return replace(reproducer, steps=steps, time=endpoint.time)


def needs_secret(directory: Path) -> str:
    """The name of the environment variable that the reproducer needs; empty when it needs none."""
    path = directory if directory.suffix == ".json" else directory / "case.json"
    try:
        value = read_json(read_text(path, most=MOST_BYTES))
        return str(value["secret_env"]) if value["secret"] else ""
    except (UsageError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def curl(case: Case, address: Address, secret: str, secret_env: str) -> str:
    """The curl line, with the secret taken from the environment; empty when curl cannot express the case."""
    line = curl_line(case, address)
    if line is None or len(line) > _LONGEST_LINE:
        return ""
    line = line.replace(secret, f"'\"${secret_env}\"'") if secret else line
    hidden = hide(line.encode(), secret)
    return line if hidden == line.encode() else ""  # a piece of the secret: the shell cannot cut it as simply


def beginning(request: bytes, secret: str, most: int) -> bytes:
    """At most so many bytes of a request, without the secret, also where it lies across the end.

    The whole of a huge one is not searched.
    """
    looked = most + len(secret)
    hidden = hide(request[:looked], secret)
    return hidden[: min(most, len(hidden) - len(secret))] if len(request) > looked else hidden[:most]


def write(directory: Path, finding: Finding, reproducer: Reproducer, address: Address, secret: str) -> None:
    """Writes ``<id>/request.bin``, ``case.json`` and ``README.md`` below a directory."""
    home = directory / finding.id
    last = reproducer.steps[-1][-1]
    write_private(home / "request.bin", beginning(last.request, secret, LARGEST_REQUEST))
    write_private(home / "case.json", json.dumps(to_json(reproducer, secret), ensure_ascii=True, indent=1) + "\n")
    write_private(home / "README.md", _readme(finding, reproducer, last, address, secret))


def _readme(finding: Finding, reproducer: Reproducer, last: Case, address: Address, secret: str) -> str:
    who = {
        Threat.FORGER: "anybody who reaches the URL, without the secret",
        Threat.USER: "a real user, by what they write",
        Threat.NETWORK: "nobody on purpose: the platform or the network",
        Threat.LOAD: "nobody on purpose: load",
    }[finding.threat]
    lines = [
        f"# {finding.title}",
        "",
        f"- check: `{finding.check}` ({finding.severity})",
        f"- who can cause it: {who}",
        f"- case: `{finding.case}`: {finding.summary}",
        f"- expected: {expected(last.expect)}",
        f"- seen {finding.occurrences} times",
    ]
    if finding.stateful:
        lines.append("- it needs its sequence (or a race), one request alone does not show it")
    lines += ["", "Show it again (exit 1 while it still fails, 0 when it is fixed):", "", "```sh"]
    if secret:
        lines.append(f"export {reproducer.secret_env}=…")
    lines += [finding.reproduce, "```"]
    lines += ["", f"Why it matters, and how to fix it in several frameworks: `chaosbot checks {finding.check}`"]
    line = curl(last, address, secret, reproducer.secret_env)
    if line and len(reproducer.steps) == 1 and len(reproducer.steps[0]) == 1 and not reproducer.perishable:
        lines += ["", "The same with curl:", "", "```sh", line, "```"]
    lines += ["", f"What leaves ({sum(len(step) for step in reproducer.steps)} request(s)):", ""]
    for number, step in enumerate(reproducer.steps, 1):
        together = ", at the same time" if len(step) > 1 else ""
        lines += [f"{number}. {case.summary or case.name}{together}" for case in step]
    return "\n".join(lines) + "\n"


def expected(expect: Expect) -> str:
    """An expectation as people read it."""
    words = [f"{status}xx" if status < 10 else str(status) for status in sorted(expect.statuses)]
    if expect.close:
        words.append("a closed connection")
    effect = {
        Reach.NONE: "no effect",
        Reach.ANY: "",
        Reach.ONCE: "exactly one effect",
        Reach.AT_MOST_ONCE: "at most one effect",
    }
    tail = f", {effect[expect.reach]}" if effect[expect.reach] else ""
    within = f", within {expect.within_s:g} s" if expect.within_s is not None else ""
    return (" or ".join(words) or "nothing") + tail + within


_FOLDER: Final = "findings"


def known_cases(spec: CampaignSpec) -> tuple[Case, ...]:
    """The single-request cases of earlier findings, as deliveries of their own."""
    if spec.corpus is None or not (spec.corpus / _FOLDER).is_dir():
        return ()
    cases: list[Case] = []
    platform = platform_of(spec.platform)
    for number, path in enumerate(sorted((spec.corpus / _FOLDER).glob("*.json"))):
        try:
            reproducer = read(path, spec.endpoint.secret)
        except ConfigError:
            continue  # written by another version: it will be found again
        if len(reproducer.steps) == 1 and len(reproducer.steps[0]) == 1 and reproducer.platform == spec.platform:
            (case,) = timely(reproducer, spec.endpoint, platform).steps[0]
            case = renewed(
                case,
                Dice(spec.seed).at("known", number, spec.endpoint.started),
                partial(resigned, platform, spec.endpoint.secret),
            )
            cases.append(replace(case, name=f"{case.name}~known"))
    return tuple(cases)


def remember(spec: CampaignSpec, found: Iterable[tuple[str, Reproducer]], *, complete: bool) -> None:
    """Keeps what was found; after a complete campaign, what no longer shows is dropped.

    A campaign that was told to look at less (some stages, cases or checks) drops nothing: it did not look.
    """
    if spec.corpus is None:
        return
    folder = spec.corpus / _FOLDER
    written: set[str] = set()
    for identity, reproducer in found:
        if sum(len(case.request) for step in reproducer.steps for case in step) > LARGEST_REQUEST:
            continue
        text = json.dumps(to_json(reproducer, spec.endpoint.secret), indent=1)
        write_private(folder / f"{identity}.json", text + "\n")
        written.add(f"{identity}.json")
    looked_at_all = not spec.only and spec.checks is None and set(spec.stages) == set(STAGES)
    if complete and looked_at_all:
        for path in folder.glob("*.json"):
            if path.name not in written:
                path.unlink()


def accepted(baseline: Path | None) -> frozenset[str]:
    """The ids of findings that people have accepted.

    Raises:
        ConfigError: The file cannot be read.
    """
    if baseline is None:
        return frozenset()
    where = f"--baseline {named(baseline)}"
    text = read_text(baseline, most=MOST_BYTES, where=where, remedy="name a list of ids, or a report.json")
    if text.lstrip().startswith("{"):
        try:
            return frozenset(str(finding["id"]) for finding in read_json(text)["findings"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"--baseline {baseline}", f"is no report.json ({type(error).__name__})") from None
    return frozenset(line.split("#", 1)[0].strip() for line in text.splitlines()) - {""}
