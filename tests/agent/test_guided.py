"""The guided stage: its schedule alone, and with the agent inside a real process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest

import chaosbot.agent
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import CodeReached, Event, LoopBlocked, Noted, TargetRaised, Trouble
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.guide import Guide, Novelty, Word
from chaosbot.fuzz.guided import Act, Attempt, Schedule, _remember, _remembered, _samples
from chaosbot.fuzz.patterns import matching
from chaosbot.fuzz.process import why_unwatched
from chaosbot.fuzz.spec import CampaignResult, Clock
from tests.park.running import free_port
from tests.support.campaigns import spec_of
from tests.support.pythons import python_of

BOT = Path(__file__).parents[1] / "support" / "bots" / "magic.py"
WORDS = [
    Word("command", "/redeem", 3, "handle", "bot.py"),
    Word("prefix", "promo-", 4, "redeem", "bot.py"),
    Word("suffix", "-2024", 5, "redeem", "bot.py"),
    Word("equal", "elsewhere", 90, "other", "bot.py"),
]


def reach(text: str) -> list[tuple[str, int]]:
    """The lines that a small bot runs for a text."""
    word, _, rest = text.partition(" ")
    lines = [("handle", 1)]
    if word == "/redeem":
        lines.append(("redeem", 4))
        if rest.startswith("promo-"):
            lines.append(("redeem", 5))
            if rest.endswith("-2024"):
                lines.append(("redeem", 6))
    return lines


def played(seed: int, turns: int) -> tuple[list[Attempt], set[tuple[str, int]]]:
    """What a schedule sends to that bot, and what it reaches."""
    schedule, sent, seen = Schedule(Dice(seed), WORDS, {"": []}), list[Attempt](), set[tuple[str, int]]()
    for _ in range(turns):
        for attempt in schedule.take(24):
            sent.append(attempt)
            new = set(reach(attempt.acts[-1].text)) - seen
            seen |= new
            schedule.reached(attempt.number, [Novelty("bot.py", name, line, -1) for name, line in sorted(new)])
    return sent, seen


def test_words_of_the_function_that_was_reached_lead_further_step_by_step() -> None:
    sent, seen = played(1, 12)
    assert ("redeem", 6) in seen
    assert len(sent) == len({attempt.acts for attempt in sent}), "nothing is sent twice"


def test_the_same_seed_and_the_same_coverage_give_the_same_order() -> None:
    assert played(5, 20)[0] == played(5, 20)[0]
    assert played(5, 20)[0] != played(6, 20)[0]


def test_what_a_campaign_has_kept_is_sent_first_by_the_next_one(tmp_path: Path) -> None:
    sets = ((("message", "from", "is_bot"), True),)
    kept = (Act("/play"), Act("xyzzy", sets=sets))
    schedule = Schedule(Dice(1), WORDS, {"": []}, [(Act("/nothing"),), kept])
    _, second = schedule.take(2)
    schedule.reached(second.number, [Novelty("bot.py", "redeem", 4, -1)])
    context: Any = SimpleNamespace(spec=SimpleNamespace(platform="telegram", corpus=tmp_path))
    _remember(context, schedule)
    found = _remembered(context)
    assert found == [kept]
    assert Schedule(Dice(2), WORDS, {"": []}, found).take(1)[0].acts == kept
    (tmp_path / "guided" / "telegram.json").write_text('[["of another version"]]')
    assert _remembered(context) == []


def test_what_ends_the_target_is_not_followed() -> None:
    schedule = Schedule(Dice(1), WORDS, {"": []}, [(Act("/redeem promo-"),)])
    first = schedule.take(1)[0]
    schedule.reached(first.number, [Novelty("bot.py", "redeem", 4, -1)])
    schedule.avoid(first.number, 0)
    later = [attempt.acts[-1].text for _ in range(5) for attempt in schedule.take(24)]
    assert not [text for text in later if text.startswith("/redeem promo-")]


def test_texts_match_the_expression_and_are_the_same_for_the_same_seed() -> None:
    texts = matching(r"[QX]{2}\d{3}", 7)
    assert texts
    assert texts == matching(r"[QX]{2}\d{3}", 7)
    assert all(re.fullmatch(r"[QX]{2}\d{3}", text) for text in texts)
    assert matching("(", 7) == ()


def test_an_input_of_which_everything_was_tried_is_taken_again_for_new_words_only() -> None:
    schedule = Schedule(Dice(1), (), {"": []}, [(Act("/x"),)])
    schedule.reached(schedule.take(1)[0].number, [Novelty("bot.py", "x", 1, -1)])
    (kept,) = schedule.kept.values()
    kept.plan = iter(())
    assert schedule.take(5) == []
    assert kept.done
    schedule.learn([Word("equal", "new", 1, "x", "bot.py")])
    assert [one.acts[-1].text for one in schedule.take(5)] == ["/x new", "/xnew"]


def test_texts_that_are_not_drawn_in_time_are_left_out_and_the_report_says_so(guide: Guide) -> None:
    guide._words["regex", "[ab]+", "bot.py:handle"] = Word("regex", "[ab]+", 1, "handle", "bot.py")
    guide.draw_samples(1)
    recorder = Recorder()
    context: Any = SimpleNamespace(recorder=recorder)
    assert _samples(context, guide, Clock(monotonic(), lambda: False)) == {}
    (note,) = [one.text for one in recorder.events if isinstance(one, Noted)]
    assert "goes without texts" in note


def test_a_guide_without_a_process_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--start-cmd"):
        spec_of("http://127.0.0.1:9/hook", tmp_path, 1.0, guide=True)
    with pytest.raises(ConfigError, match="needs --guide"):
        spec_of("http://127.0.0.1:9/hook", tmp_path, 1.0, stages=("guided",))


def test_a_campaign_without_a_guide_loads_nothing_of_it(tmp_path: Path) -> None:
    code = "import sys, chaosbot.fuzz.campaign; print([one for one in sys.modules if 'guide' in one or 'agent' in one])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "[]\n"
    campaign = Campaign(spec_of("http://127.0.0.1:9/hook", tmp_path, 1.0), lambda _event: None)
    assert "guided" not in campaign._planned


def campaign(
    tmp_path: Path, program: str, seconds: float, *, bot: Path = BOT, **more: object
) -> tuple[CampaignResult, list[Event]]:
    events: list[Event] = []
    port = free_port()
    spec = spec_of(
        f"http://127.0.0.1:{port}/hook",
        tmp_path,
        monotonic(),
        duration_s=seconds,
        stages=("guided",),
        start_cmd=f"{program} {bot} {port}",
        guide=True,
        corpus=tmp_path / "corpus",
        lcov=tmp_path / "target.lcov",
        **more,
    )
    return Campaign(spec, events.append).run(), events


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(not python_of((3, 12)), reason="needs a Python that can watch code (3.12)")
def test_magic_words_are_found_errors_joined_and_what_was_reached_is_written(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, python_of((3, 12)), 40.0)
    errors = {one.cause.symptom for one in result.findings if one.check == "no_silent_exception"}
    assert len(errors & {"KeyError", "ZeroDivisionError", "IndexError", "TypeError"}) >= 3, errors
    assert "no_death" in {one.check for one in result.findings}
    raised = [one for one in events if isinstance(one, TargetRaised)]
    assert all(one.meant for one in raised if one.error == "ValueError"), "what is caught by its name is meant"
    assert all(one.case.startswith("guided/") for one in raised if one.frames[0].endswith(" in handle"))
    start, *_, last = [one for one in events if isinstance(one, CodeReached)]
    assert start.stage == "start"
    assert last.lines > start.lines
    assert f"SF:{BOT}" in (tmp_path / "target.lcov").read_text()
    blocked = [one for one in events if isinstance(one, LoopBlocked)]
    assert any(" in nap" in frame for one in blocked for frame in one.frames)
    assert (tmp_path / "corpus" / "guided").is_dir()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_python_whose_code_cannot_be_watched_still_gives_its_words(tmp_path: Path) -> None:
    if sys.version_info >= (3, 12):
        pytest.skip("this Python can be watched")
    result, events = campaign(tmp_path, sys.executable, 20.0)
    notes = [one.text for one in events if isinstance(one, Noted) and one.area == "guide"]
    assert "cannot be watched" in notes[0]
    assert "no_death" in {one.check for one in result.findings}
    assert "no_silent_exception" in {name for name, _ in result.unjudged}


def test_without_chaosbot_the_program_runs_on_and_an_own_sitecustomize_runs_as_before(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine')\n")
    path = os.pathsep.join((str(Path(chaosbot.agent.__file__).parent / "path"), str(tmp_path)))
    for python in {sys.executable, python_of((3, 12)) or sys.executable}:
        told = subprocess.run(
            [python, "-c", "import sitecustomize, sys; print('ran', [one for one in sys.path if 'agent' in one])"],
            env={**os.environ, "PYTHONPATH": path, "CHAOSBOT_GUIDE": str(tmp_path / "nobody")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout == "mine\nran []\n"
        assert not told.stderr


def test_acts_that_only_differ_in_what_they_set_are_different() -> None:
    assert Act("x", sets=((("message", "from", "is_bot"), True),)) != Act("x")


AGENT = """
import sys
{more}
print("ready", flush=True)
sys.stdin.readline()
"""


def watched(guide: Guide, more: str = "", python: str = sys.executable) -> subprocess.Popen[str]:
    """A process with the agent inside, which ends with its input."""
    code = AGENT.format(more=more)
    process = subprocess.Popen(
        [python, "-c", code], env=guide.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def guide() -> Iterator[Guide]:
    one = Guide()
    yield one
    one.close()


@dataclass
class Recorder:
    """What a campaign's recorder does with what the guide tells."""

    events: list[Event] = field(default_factory=list)

    def now(self) -> float:
        return 1.0

    def emit(self, event: Event) -> None:
        self.events.append(event)


def told(guide: Guide, recorder: Recorder) -> list[Event]:
    context: Any = SimpleNamespace(recorder=recorder, spec=SimpleNamespace(started=0.0, seed=1))
    guide.tell_stage(context, "catalogue")
    return recorder.events


def test_an_agent_that_breaks_says_so_and_the_program_runs_on(guide: Guide) -> None:
    with watched(guide, 'sys.modules["_chaosbot_agent"].Agent._look = None') as process:
        assert process.stdin is not None
        events, lost = list[Event](), monotonic() + 30
        while not {Noted, Trouble} <= {type(one) for one in events} and monotonic() < lost:
            events += told(guide, Recorder())
        assert ["TypeError" in one.what for one in events if isinstance(one, Trouble)] == [True]
        assert "did not answer after the stage catalogue" in next(one.text for one in events if isinstance(one, Noted))
        process.stdin.close()
        assert process.wait(30) == 0, "the program has not noticed"


def test_a_process_that_has_ended_is_not_waited_for_and_is_no_trouble(guide: Guide) -> None:
    with watched(guide) as first, watched(guide) as second:
        assert guide.sync()
        first.kill()
        first.wait()
        assert guide.sync(), "the other one answers"
        assert not [one for one in told(guide, Recorder()) if isinstance(one, (Trouble, Noted))]
        second.kill()


@pytest.mark.parametrize(
    ("broken", "start"),
    [("code.py", [sys.executable, "-c"]), ("node/code.cjs", ["node", "-e"]), ("node/agent.cjs", ["node", "-e"])],
)
def test_an_agent_that_cannot_be_loaded_says_why_and_the_program_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guide: Guide, broken: str, start: list[str]
) -> None:
    room = Path(shutil.copytree(Path(chaosbot.agent.__file__).parent, tmp_path / "agent"))
    (room / broken).write_text("throw")
    monkeypatch.setattr(chaosbot.agent, "__file__", str(room / "__init__.py"))
    done = subprocess.run(
        [*start, "print(7)" if "-c" in start else "console.log(7); setTimeout(() => {}, 500)"],
        env=guide.environment(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("7\n", "")
    recorder = Recorder()
    context: Any = SimpleNamespace(recorder=recorder, target=SimpleNamespace(pids=frozenset()))
    guide.tell_start(context)
    notes = [one.text for one in recorder.events if isinstance(one, Noted)]
    assert notes == ["there is no agent inside the target: the campaign runs without the guide"]
    (trouble,) = [one.what for one in recorder.events if isinstance(one, Trouble)]
    assert "could not be loaded inside the target" in trouble
    assert "Error" in trouble
    told(guide, recorder)
    assert sum(isinstance(one, Trouble) for one in recorder.events) == 1, "it is told once"


@pytest.mark.parametrize(
    ("start", "without", "why"),
    [
        ([sys.executable, "-X", "dev", "-BI"], "", "was started with -I, so it loads nothing by its environment"),
        ([sys.executable, "-W", "ignore", "-S", "-u"], "", "was started with -S"),
        ([sys.executable, "-u"], "PYTHONPATH", "was started without the PYTHONPATH that names the agent"),
        (["node"], "NODE_OPTIONS", "was started without the NODE_OPTIONS that names the agent"),
        (["cat"], "", "it runs cat, and the agent is for Python and Node.js"),
        ([sys.executable, "-u"], "", ""),
    ],
)
def test_why_a_target_has_no_agent_is_seen_from_outside(guide: Guide, start: list[str], without: str, why: str) -> None:
    environment = {key: value for key, value in guide.environment().items() if key != without}
    script = {"cat": [], "node": ["-e", "console.log(1); process.stdin.resume()"]}.get(
        start[0], ["-c", "print(1); input()"]
    )
    with subprocess.Popen([*start, *script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if start[0] == "cat":
            process.stdin.write(b"1\n")
            process.stdin.flush()
        assert process.stdout.readline() == b"1\n"
        found = why_unwatched(frozenset({process.pid}), {"python": "PYTHONPATH", "node": "NODE_OPTIONS"})
        assert why in found if why else not found
        process.kill()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_target_on_node_is_guided_too(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, "node", 40.0, bot=BOT.with_suffix(".mjs"))
    errors = {one.cause.symptom for one in result.findings if one.check == "no_silent_exception"}
    assert errors == {"RangeError", "ReferenceError", "TypeError"}
    assert "no_death" in {one.check for one in result.findings}
    raised = [one for one in events if isinstance(one, TargetRaised)]
    joined = {(one.error, one.frames[0]) for one in raised if one.case.startswith("guided/")}
    assert joined == {(one.error, one.frames[0]) for one in raised}, "each is joined at least once"
    assert all(one.case.startswith("guided/") for one in raised if one.case)
    assert {one.meant for one in raised if one.error == "SyntaxError"} == {True}, "what one statement catches is meant"
    assert [one.text for one in events if isinstance(one, Noted) and "watches the target's code (Node.js" in one.text]
    start, *_, last = [one for one in events if isinstance(one, CodeReached)]
    assert start.lines < last.lines
    assert "DA:43,1" in (tmp_path / "target.lcov").read_text(), "the line behind the words was reached"
    blocked = [one for one in events if isinstance(one, LoopBlocked)]
    assert any(" in nap" in one.frames[0] for one in blocked)


def test_a_node_program_ends_as_it_would_have(guide: Guide) -> None:
    for script, code, said in (
        ("setTimeout(() => process.exit(4), 300)", 4, ""),
        ("setTimeout(() => { try { null.x } catch { console.log('on') } }, 300)", 0, "on\n"),
    ):
        done = subprocess.run(
            ["node", "-e", script], env=guide.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, said, "")
    assert guide.runs.startswith("Node.js"), "the agent was there"


def test_what_a_module_of_node_holds_tells_nothing_of_whose_an_error_is(guide: Guide, tmp_path: Path) -> None:
    program = tmp_path / "program.cjs"
    program.write_text("""
const ADMIN = 777000123;
function one(message) {
  try {
    return message.how.length + ADMIN;
  } catch {
    return 0;
  }
}
process.stdin.on('data', (data) => process.stdout.write(`${one(JSON.parse(data))}\\n`));
""")
    for user in ("777000123", "5000000"):
        guide._cases[user] = (1, f"of {user}", "exchange")
    with subprocess.Popen(
        ["node", program], env=guide.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        for text in (b'{"id": 5000000}', b"{}"):
            stdin.write(text)
            stdin.flush()
            assert stdout.readline() == b"0\n"
            assert guide.sync()
        assert [one.case for one in guide._events if isinstance(one, TargetRaised)] == ["of 5000000", ""]
        process.kill()


def test_own_functions_of_a_node_server_are_counted_by_blocks(guide: Guide, tmp_path: Path) -> None:
    program, port = tmp_path / "server.cjs", free_port()
    program.write_text(f"""
const {{ createServer }} = require('http');
const late = (url) => {{
  if (url === '/a')
    return one();
  return two();
}};
function one() {{
  return 'one';
}}
function two() {{
  return 'two';
}}
createServer((request, response) => response.end(late(request.url))).listen({port}, '127.0.0.1', () => console.log('ready'));
""")
    with (
        subprocess.Popen(["node", program], env=guide.environment(), stdout=subprocess.PIPE) as process,
        ExitStack() as ends,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        ends.callback(process.kill)

        def get(path: str) -> bytes:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return bytes(answer.read())

        assert guide.sync()
        assert get("/a") == b"one"
        assert guide.sync()
        unreached = {line for _, _, lines in guide.unreached() for line in lines}
        assert {6, 12} <= unreached
        assert not {4, 5, 9} & unreached
        assert guide.sync("forget")
        guide.novelties()
        assert get("/b") == b"two"
        assert guide.sync("settle")
        assert {(one.function, one.line) for one in guide.novelties()} >= {("late", 6), ("two", 12)}


def test_an_error_of_a_group_is_asked_for_once_more_where_it_is_not_known_whose_it_is(
    guide: Guide, tmp_path: Path
) -> None:
    program = tmp_path / "program.cjs"
    program.write_text("""
function one(message) {
  try {
    const size = message.how.length;
    return size + nothing;
  } catch {
    return 0;
  }
}
process.stdin.on('data', (data) => process.stdout.write(`${one(JSON.parse(data))}\\n`));
""")
    with subprocess.Popen(
        ["node", program], env=guide.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def send(text: bytes) -> None:
            stdin.write(text)
            stdin.flush()
            assert stdout.readline() == b"0\n"
            assert guide.sync("settle")

        def sent_again(text: bytes) -> bool:
            send(text)
            if not guide.take_back():
                return False
            send(text)
            guide.novelties()
            return True

        again = [sent_again(text) for text in (*[b'{"how": "x"}'] * 3, b"{}", b"{}")]
        assert again[2:] == [False, True, False], "the other error reaches nothing new"
        process.kill()


def test_a_program_that_closes_all_descriptors_keeps_what_it_opens_then(guide: Guide) -> None:
    # As daemons do, and children of the demo bot's supervisor.
    more = """
import os, socket
os.closerange(3, 100)
one, other = socket.socketpair()
more = [socket.socketpair() for _ in range(20)]"""
    after = """
import time
one.send(b"x")
time.sleep(0.5)
print(other.recv(9), sum(os.path.exists(f"/proc/self/fd/{s.fileno()}") for pair in more for s in pair), flush=True)"""
    for python in {sys.executable, python_of((3, 12)) or sys.executable}:
        done = subprocess.run(
            [python, "-c", more + after],
            env=guide.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert (done.stdout, done.stderr) == ("b'x' 40\n", "")


def test_the_agent_leaves_when_chaosbot_does(guide: Guide) -> None:
    with watched(guide) as process:
        assert guide.sync()
        guide.close()
        threads = Path(f"/proc/{process.pid}/task")
        until = monotonic() + 30
        while len(list(threads.iterdir())) > 1 and monotonic() < until:
            sleep(0.02)
        assert len(list(threads.iterdir())) == 1
        process.kill()
