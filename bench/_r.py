"""What a campaign finds on the bots of tests/park, and what it says of the healthy ones.

    python bench/recall.py --bots recados,hava --jobs 2 --duration 60s --out recall.json
    python bench/recall.py --bots recados --bugs text-assumed,no-timeout --verbs fuzz,run
    python bench/recall.py --bugs healthy --seeds 5                # false findings only
    python bench/recall.py --roster mine.py                        # on bots that are not in the park
    CHAOSBOT_PARK_PYTHON=python3.13 python bench/recall.py --bots kassa --verbs owned,guided
    python bench/recall.py --report recall.json                    # the table again, from what was measured
    python bench/recall.py --schemathesis PATH                     # PATH of an installed `schemathesis` (or `st`) command

Each campaign runs against a fresh process of the bot with one bug, as a user would run it: the webhook's URL, the port of the Bot API,
the process's id, the admin's id. A bug counts as found when a finding of one of the checks that name its mechanism (`Bug.shows`)
appears that the healthy bot does not have. A campaign that ends as inconclusive with no such finding is a miss. Every finding on a
healthy bot is false unless the bot's record admits the weakness.

`chaosbot run` is asked too about bugs of state and of outbound calls (`--verbs`); its built-in experiment takes about two minutes.
A campaign that does not end in time is killed and counts as a miss ("hangs").
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from park.roster import BOTS, GUIDED, KINDS, RECEIVERS, Bot, Bug, bot  # noqa: E402 - found by the line above
from park.running import ADMIN_ID, SECRET, WEBHOOK_PATH, Running, environment_of, free_port, running  # noqa: E402
from park.running import command as start_of  # noqa: E402
from park.strangers import STRANGERS  # noqa: E402

from chaosbot.fuzz.process import family  # noqa: E402
from chaosbot.mocks.server import MockListener, MockServer  # noqa: E402
from chaosbot.mocks.telegram import TelegramApi  # noqa: E402

HEALTHY = "healthy"
PARK = [*BOTS, *STRANGERS, *RECEIVERS, *GUIDED]
CLASSES = (*KINDS, "magic")
OWNED = ("owned", "guided")  # chaosbot starts the bot itself; with the guide inside, or without
DEEP = frozenset({"state", "outbound"})  # the classes about which `chaosbot run` is asked as well
GRACE_S = 75.0  # over its duration: start, judging, reports, a busy machine
RUN_S = 170.0

# What Schemathesis' summary says of the mechanisms that it can see at all, and the checks that say it here.
_SCHEMATHESIS = {
    "Server error": ("no_server_error",),
    "API accepts requests without authentication": ("forged_refused",),
    "Schema-compliant request rejected": ("valid_accepted",),
    "Server Unavailable": ("no_death", "no_hang"),
    "Network Error": ("no_death", "no_hang"),
}


@dataclass
class Campaign:
    """One campaign and what came of it.

    Args:
        bot: The bot's name.
        bug: The bug's, or "healthy".
        verb: fuzz, run or schemathesis; owned and guided are fuzz with --start-cmd, and with --guide as well.
        seed: Its seed.
        verdict: The report's, or "hangs", "broken" (no report) or "no bot".
        reasons: The report's.
        findings: The report's: id, check, severity, threat and title of each.
        seconds: How long it took.
        died: Whether the bot's process was gone at the end.
    """

    bot: str
    bug: str
    verb: str
    seed: int
    verdict: str = ""
    reasons: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    died: bool = False

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes it one of its kind."""
        return self.bot, self.bug, self.verb, self.seed


def command(who: Bot, verb: str, url: str, port: int, pid: int, seed: int, duration: str, out: Path) -> list[str]:
    """The chaosbot command line of one campaign."""
    chaosbot = [sys.executable, "-m", "chaosbot"]
    common = ["--seed", str(seed), "--out", str(out), "--quiet"]
    calls = ["--bot-api", f"127.0.0.1:{port}"] if who.calls else []
    if verb in OWNED:
        own = ["--start-cmd", shlex.join(start_of(who)[0]), *(["--guide"] if verb == "guided" else [])]
        more = [
            "--duration",
            duration,
            "--stages",
            "vocabulary,state,outbound,catalogue",
            "--corpus",
            str(out / "corpus"),
            *own,
        ]
        telegram = ["--bot-api", f"127.0.0.1:{port}", "--platform-option", f"admin_id={ADMIN_ID}"]
        return [*chaosbot, "fuzz", url, *more, *calls, *(who.options or telegram), *common]
    if verb == "fuzz":
        more = [
            "--pid",
            str(pid),
            "--duration",
            duration,
            "--stages",
            "vocabulary,state,outbound,catalogue",
            "--corpus",
            str(out / "corpus"),
        ]
        telegram = ["--bot-api", f"127.0.0.1:{port}", "--platform-option", f"admin_id={ADMIN_ID}"]
        return [*chaosbot, "fuzz", url, *more, *calls, *(who.options or telegram), *common]
    return [*chaosbot, verb, "resilience", url, "--bot-api-port", str(port), *who.options, *common]


def seconds_of(duration: str) -> float:
    """A duration as chaosbot's options have it, in seconds."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    unit = next(unit for unit in ("ms", "s", "m", "h") if duration.endswith(unit))
    return float(duration.removesuffix(unit)) * units[unit]


def ended(
    arguments: Sequence[str], timeout_s: float, log: Path, secret: str = SECRET, more: dict[str, str] | None = None
) -> int | None:
    """Runs a command and gives its exit code, or None when it had to be killed; it and its children are gone afterwards."""
    environment = {
        **(more or os.environ),
        "TELEGRAM_SECRET_TOKEN": secret,
        "ADMIN_TELEGRAM_ID": str(ADMIN_ID),
        "NO_COLOR": "1",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments, env=environment, stdout=output, stderr=output, start_new_session=True, cwd=log.parent
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                others = family(process.pid)  # its target, where it started one, leads a group of its own
                os.killpg(process.pid, signal.SIGKILL)
                for pid in others:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()


def measure(campaign: Campaign, options: argparse.Namespace) -> Campaign:
    """Runs one campaign against a fresh bot."""
    who = resident(campaign.bot)
    directory = (
        Path(options.keep or tempfile.mkdtemp(prefix="recall-"))
        / f"{who.name}-{campaign.bug}-{campaign.verb}-{campaign.seed}"
    )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    port = free_port()
    began = time.monotonic()
    bug = "" if campaign.bug == HEALTHY else campaign.bug
    limit = (RUN_S if campaign.verb == "run" else seconds_of(options.duration)) + GRACE_S + options.patience
    try:
        if campaign.verb in OWNED:
            hook = free_port()
            url = f"http://127.0.0.1:{hook}{WEBHOOK_PATH}"
            variables = environment_of(who, f"http://127.0.0.1:{port}", bug=bug, port=hook)
            arguments = command(who, campaign.verb, url, port, 0, campaign.seed, options.duration, directory / "run")
            arguments = [*shlex.split(options.wrapper), *arguments]
            _read(
                campaign,
                ended(arguments, limit, directory / "campaign.log", who.secret or SECRET, variables),
                directory,
            )
            campaign.seconds = round(time.monotonic() - began, 1)
            return campaign
        with started(who, port, bug, directory / "bot.log") as target:
            if campaign.verb == "schemathesis":
                _schemathesis(campaign, target.url, options, directory)
            else:
                arguments = command(
                    who, campaign.verb, target.url, port, target.pid, campaign.seed, options.duration, directory / "run"
                )
                arguments = [*shlex.split(options.wrapper), *arguments]
                _read(campaign, ended(arguments, limit, directory / "campaign.log", who.secret or SECRET), directory)
            campaign.died = not target.alive
    except RuntimeError as error:
        campaign.verdict, campaign.reasons = "no bot", [str(error)]
    campaign.seconds = round(time.monotonic() - began, 1)
    return campaign


@contextmanager
def started(who: Bot, port: int, bug: str, log: Path) -> Iterator[Running]:
    """The bot, started as its owner would: with a Bot API that answers while it starts, where it needs one."""
    with ExitStack() as stack:
        listener = MockListener(TelegramApi(), port=port)
        with MockServer((listener,), lambda _: None, time.monotonic()) if who.calls_at_start else nullcontext():
            target = stack.enter_context(running(who, f"http://127.0.0.1:{port}", bug=bug, log=log))
        yield target


def _read(campaign: Campaign, code: int | None, directory: Path) -> None:
    report = directory / "run" / "report.json"
    if not report.exists():
        last = (directory / "campaign.log").read_text("utf-8", "replace").strip()[-300:]
        campaign.verdict, campaign.reasons = ("hangs" if code is None else "broken"), [last]
        return
    told = json.loads(report.read_text("utf-8"))
    campaign.verdict = "hangs" if code is None else told["verdict"]
    campaign.reasons = told.get("reasons", [])
    members = ("id", "check", "severity", "threat", "title")
    campaign.findings = [{name: finding.get(name) for name in members} for finding in told.get("findings", [])]


def _schemathesis(campaign: Campaign, url: str, options: argparse.Namespace, directory: Path) -> None:
    """Schemathesis against an OpenAPI description of the webhook, with its own checks."""
    base, _, path = url.partition("/tg/")
    schema = directory / "openapi.json"
    schema.write_text(json.dumps(openapi(f"/tg/{path}")), "utf-8")
    arguments = [
        options.schemathesis,
        "run",
        str(schema),
        "--url",
        base,
        "--header",
        f"X-Telegram-Bot-Api-Secret-Token: {SECRET}",
    ]
    arguments += ["--seed", str(campaign.seed), "--request-timeout", "10", "--continue-on-failure", "--no-color"]
    arguments += ["--max-time", str(int(seconds_of(options.duration)))]
    log = directory / "campaign.log"
    code = ended(
        [*shlex.split(options.wrapper), *arguments], seconds_of(options.duration) + GRACE_S + options.patience, log
    )
    told = log.read_text("utf-8", "replace")
    campaign.verdict = "hangs" if code is None else {0: "pass", 1: "fail"}.get(code, "broken")
    campaign.reasons = [] if code in {0, 1} else [told.strip()[-300:]]
    for words in re.findall(r"^ +(?:❌|🚫) (?:ST\d+ )?(.+): \d+$", told, re.MULTILINE):
        campaign.findings += [
            {"id": words, "check": check, "title": words} for check in _SCHEMATHESIS.get(words, (words,))
        ]


def openapi(path: str) -> dict[str, Any]:
    """The webhook as an API description: what Telegram's documentation says of a message and of a press."""
    text = {"type": "string"}
    number = {"type": "integer", "minimum": 1, "maximum": 2**51}
    user = {
        "type": "object",
        "required": ["id", "is_bot", "first_name"],
        "properties": {"id": number, "is_bot": {"type": "boolean"}, "first_name": text, "username": text},
    }
    chat = {
        "type": "object",
        "required": ["id", "type"],
        "properties": {
            "id": {"type": "integer", "minimum": -(2**51), "maximum": 2**51},
            "type": {"enum": ["private", "group", "supergroup", "channel"]},
        },
    }
    message = {
        "type": "object",
        "required": ["message_id", "date", "chat"],
        "properties": {"message_id": number, "date": number, "chat": chat, "from": user, "text": text, "caption": text},
    }
    press = {
        "type": "object",
        "required": ["id", "from", "chat_instance"],
        "properties": {"id": text, "from": user, "chat_instance": text, "data": text, "message": message},
    }
    update = {
        "type": "object",
        "required": ["update_id"],
        "properties": {
            "update_id": number,
            "message": message,
            "edited_message": message,
            "channel_post": message,
            "callback_query": press,
        },
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "webhook", "version": "1"},
        "components": {
            "securitySchemes": {"secret": {"type": "apiKey", "in": "header", "name": "X-Telegram-Bot-Api-Secret-Token"}}
        },
        "paths": {
            path: {
                "post": {
                    "security": [{"secret": []}],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": update}}},
                    "responses": {
                        "200": {"description": "taken"},
                        "400": {"description": "malformed"},
                        "401": {"description": "wrong secret"},
                    },
                }
            }
        },
    }


class Results:
    """What was measured so far, on disk after each campaign."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.all: dict[tuple[str, str, str, int], Campaign] = {}
        if path.exists():
            for told in json.loads(path.read_text("utf-8")):
                self.add(Campaign(**told), write=False)

    def add(self, campaign: Campaign, *, write: bool = True) -> None:
        """Takes one more; the same campaign measured again replaces it."""
        with self._lock:
            self.all[campaign.key] = campaign
            if write:
                half = self._path.with_suffix(".half")
                half.write_text(json.dumps([asdict(one) for one in self.all.values()], indent=1), "utf-8")
                half.replace(self._path)

    def of(self, name: str, bug: str, tool: str) -> list[Campaign]:
        """The campaigns of a bot with a bug; tool is chaosbot, schemathesis, owned or guided."""
        verbs = {"fuzz", "run"} if tool == "chaosbot" else {tool}
        return [one for one in self.all.values() if (one.bot, one.bug) == (name, bug) and one.verb in verbs]

    def telling(self, name: str, bug: Bug, tool: str) -> list[dict[str, Any]]:
        """The findings that name the bug's mechanism and that the healthy bot does not have."""
        usual = {finding["id"] for one in self.of(name, HEALTHY, tool) for finding in one.findings}
        found = [finding for one in self.of(name, bug.name, tool) for finding in one.findings]
        return [finding for finding in found if finding["check"] in bug.shows and finding["id"] not in usual]


def planned(options: argparse.Namespace) -> Iterable[Campaign]:
    """The campaigns that the options ask for."""
    wanted = set(options.bugs.split(",")) if options.bugs else set()
    kinds = set(options.kinds.split(",")) if options.kinds else set(CLASSES)
    verbs = options.verbs.split(",") + (["schemathesis"] if options.schemathesis else [])
    for who in map(resident, options.bots.split(",")) if options.bots else PARK:
        if reason := who.missing():
            print(f"{who.name}: skipped, {reason}", file=sys.stderr)
            continue
        for verb in verbs if not who.options else [verb for verb in verbs if verb != "run"]:
            if not wanted or HEALTHY in wanted:
                yield from (
                    Campaign(who.name, HEALTHY, verb, seed)
                    for seed in range(options.seed, options.seed + options.seeds)
                )
            for bug in who.bugs:
                if (
                    (wanted and bug.name not in wanted)
                    or bug.kind not in kinds
                    or (verb == "run" and bug.kind not in DEEP)
                ):
                    continue
                yield Campaign(who.name, bug.name, verb, options.seed)


def resident(name: str) -> Bot:
    """The bot of that name.

    Raises:
        SystemExit: There is none.
    """
    try:
        return bot(name, PARK)
    except KeyError as error:
        raise SystemExit(f"--bots {error.args[0]}") from None


def in_turns(campaigns: Iterable[Campaign]) -> list[Campaign]:
    """The healthy bots first, then one bug of each bot after another, so that what is measured early is a fair sample."""
    planned = list(campaigns)
    by_bot: dict[str, list[Campaign]] = {}
    for one in planned:
        if one.bug != HEALTHY:
            by_bot.setdefault(one.bot, []).append(one)
    turns = [one for row in itertools.zip_longest(*by_bot.values()) for one in row if one is not None]
    return [*(one for one in planned if one.bug == HEALTHY), *turns]


def _share(found: int, of: int) -> str:
    return f"{found:4d} of {of:<4d} {100 * found / of:5.1f} %" if of else "   – "


def table(results: Results) -> str:
    """Recall per class and per bot, what was missed and why, and what was said of healthy bots."""
    measured = [(who, bug) for who in PARK for bug in who.bugs if results.of(who.name, bug.name, "chaosbot")]
    beside = [(who, bug) for who in PARK for bug in who.bugs if results.of(who.name, bug.name, "schemathesis")]
    hit = {(who.name, bug.name) for who, bug in measured if results.telling(who.name, bug, "chaosbot")}
    other = {(who.name, bug.name) for who, bug in beside if results.telling(who.name, bug, "schemathesis")}
    lines = ["| class | chaosbot | schemathesis |", "| --- | --- | --- |"]
    for kind in KINDS:
        here = [(who.name, bug.name) for who, bug in measured if bug.kind == kind]
        there = [(who.name, bug.name) for who, bug in beside if bug.kind == kind]
        lines.append(
            f"| {kind} | {_share(len(hit & {*here}), len(here))} | {_share(len(other & {*there}), len(there))} |"
        )
    lines.append(f"| all | {_share(len(hit), len(measured))} | {_share(len(other), len(beside))} |")
    lines += _guided(results)
    lines += ["", "| bot | found | healthy: verdicts | false findings |", "| --- | --- | --- | --- |"]
    for who in PARK:
        here = [(owner.name, bug.name) for owner, bug in measured if owner is who]
        healthy = results.of(who.name, HEALTHY, "chaosbot")
        if here or healthy:
            verdicts = ", ".join(f"{one.verb} {one.seed}: {one.verdict}" for one in healthy)
            false = len({finding["id"] for finding in false_findings(who, healthy)})
            lines.append(
                f"| {who.name} ({who.language}) | {_share(len(hit & {*here}), len(here))} | {verdicts} | {false} |"
            )
    lines += ["", "Missed:", ""]
    for who, bug in measured:
        if (who.name, bug.name) not in hit:
            lines.append(
                f"- {who.name}/{bug.name} ({bug.kind}): {bug.what}. {_why(results.of(who.name, bug.name, 'chaosbot'))}"
            )
    lines += ["", "False findings on healthy bots:", ""]
    for who in PARK:
        for one in results.of(who.name, HEALTHY, "chaosbot"):
            for finding in false_findings(who, [one]):
                lines.append(
                    f"- {who.name}, {one.verb} seed {one.seed}: {finding['check']} ({finding['severity']}): {finding['title']}"
                )
    return "\n".join(lines)


def _guided(results: Results) -> list[str]:
    """The same bugs with --start-cmd alone and with --guide."""
    lines = []
    for kind in CLASSES:
        cells = []
        for tool in OWNED:
            here = [
                (who, bug)
                for who in PARK
                for bug in who.bugs
                if bug.kind == kind and results.of(who.name, bug.name, tool)
            ]
            cells.append(_share(sum(bool(results.telling(who.name, bug, tool)) for who, bug in here), len(here)))
        if any("of" in cell for cell in cells):
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    lines = ["", "| class | without the guide | with --guide |", "| --- | --- | --- |", *lines] if lines else []
    for who in PARK:
        for one in results.of(who.name, HEALTHY, "guided"):
            lines += [
                f"- false with --guide: {who.name}: {each['check']}: {each['title']}"
                for each in false_findings(who, [one])
            ]
    return lines


def false_findings(who: Bot, healthy: list[Campaign]) -> list[dict[str, Any]]:
    """Findings on the healthy bot that its record does not admit."""
    return [finding for one in healthy for finding in one.findings if finding["check"] not in who.weaknesses]


def _why(campaigns: list[Campaign]) -> str:
    """What the campaigns that missed a bug said instead."""
    told = []
    for one in campaigns:
        checks = sorted({finding["check"] for finding in one.findings})
        reason = one.reasons[0][:150].replace("\n", " ") if one.reasons and one.verdict != "fail" else ""
        told.append(
            f"{one.verb}: {one.verdict}{', the bot died' if one.died else ''}{'; ' + ', '.join(checks) if checks else ''}{'; ' + reason if reason else ''}"
        )
    return " / ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bots", default="", help="names with commas; all when left out")
    parser.add_argument(
        "--bugs", default="", help="names with commas, 'healthy' for none; all and the healthy one when left out"
    )
    parser.add_argument("--kinds", default="", help=f"classes with commas: {', '.join(CLASSES)}")
    parser.add_argument("--verbs", default="fuzz", help="with commas: fuzz, run, owned (--start-cmd), guided (--guide)")
    parser.add_argument("--duration", default="60s", help="of each fuzz campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="campaigns on each healthy bot")
    parser.add_argument("--jobs", type=int, default=1, help="campaigns at the same time")
    parser.add_argument(
        "--out", type=Path, default=Path("recall.json"), help="what was measured; earlier campaigns in it are kept"
    )
    parser.add_argument(
        "--roster",
        type=Path,
        help="bots of your own in place of the park's: a Python file with BOTS, as tests/park/roster.py",
    )
    parser.add_argument("--again", action="store_true", help="measure campaigns again that stand in the file")
    parser.add_argument("--keep", default="", help="directory for the run directories")
    parser.add_argument("--wrapper", default="", help="a command that starts each campaign, for example 'nice -n 10'")
    parser.add_argument(
        "--patience",
        type=float,
        default=0,
        help="seconds more before a campaign counts as hanging, for a wrapper that waits",
    )
    parser.add_argument("--schemathesis", default="", help="path of the schemathesis command")
    parser.add_argument("--report", type=Path, help="print the table of this file and stop")
    options = parser.parse_args()
    if options.roster:
        PARK[:] = runpy.run_path(str(options.roster))["BOTS"]
    if options.report:
        print(table(Results(options.report)))
        return
    results = Results(options.out)
    campaigns = in_turns(one for one in planned(options) if options.again or one.key not in results.all)
    with ThreadPoolExecutor(options.jobs) as pool:
        for number, done in enumerate(pool.map(lambda one: measure(one, options), campaigns), 1):
            results.add(done)
            checks = ", ".join(sorted({finding["check"] for finding in done.findings}))
            print(
                f"{number}/{len(campaigns)} {done.bot}/{done.bug} {done.verb} {done.seed}: {done.verdict} {checks} ({done.seconds} s)",
                file=sys.stderr,
            )
    print(table(results))


if __name__ == "__main__":
    main()
