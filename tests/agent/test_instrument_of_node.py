"""Counters in the code of a target on Node.js: it says and does what it would without them, whatever goes wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import chaosbot.agent
from chaosbot.core.event import TargetRaised
from chaosbot.fuzz.guide import Guide

BOTS = Path(__file__).parents[1] / "support" / "bots"


@pytest.fixture
def guide() -> Iterator[Guide]:
    one = Guide()
    yield one
    one.close()


def said(program: Path, guide: Guide | None, *more: str) -> tuple[int, str, str]:
    """What a program says to its end, and how it ends."""
    done = subprocess.run(
        ["node", program, *more], env=guide and guide.environment(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@contextmanager
def asked(guide: Guide, program: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that answers each line with one."""
    with subprocess.Popen(
        ["node", program], env=guide.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


ANSWERS = (
    "require('readline').createInterface({ input: process.stdin }).on('line', (text) => console.log(answer(text)));\n"
)


@pytest.mark.parametrize("name", ["awkward.cjs", "awkward.mjs"])
def test_awkward_programs_say_and_throw_the_same_with_counters(guide: Guide, name: str) -> None:
    """Names, texts, results, orders of turns, messages and lines of errors, and what they say of their own source."""
    plain = said(BOTS / name, None)
    assert plain[0] in (0, 3)
    assert len(plain[1]) > 300
    assert said(BOTS / name, guide) == plain
    assert guide.runs.startswith("Node.js"), "the agent was there"


def test_all_of_the_awkward_programs_is_counted(guide: Guide, tmp_path: Path) -> None:
    names = ("awkward.cjs", "awkward-sloppy.cjs", "awkward.mjs", "awkward-circle.mjs")
    loads = [f"await import({str(BOTS / name)!r});" for name in names]
    (tmp_path / "bot.mjs").write_text(
        "".join(loads) + "import { createRequire } from 'module'; const require = createRequire(import.meta.url);"
        "console.log = process.stdout.write.bind(process.stdout); const answer = () => 'up\\n';" + ANSWERS
    )
    with asked(guide, tmp_path / "bot.mjs") as process:
        assert process.stdin is not None
        process.stdin.write("up\n")
        process.stdin.flush()
        assert process.stdout is not None
        assert "up\n" in iter(process.stdout.readline, "")
        assert guide.sync()
    assert not guide._unwatched
    assert {Path(path).name for path in guide._files} == {*names, "bot.mjs"}


def test_an_error_that_ends_a_module_is_told_with_its_lines_as_before(guide: Guide) -> None:
    plain, counted = (said(BOTS / "awkward.mjs", one, "end") for one in (None, guide))
    assert counted[:2] == plain[:2]
    traces = [[row.rpartition(":")[0] for row in told[2].splitlines() if row.startswith("    at ")] for told in (plain, counted)]  # fmt: skip
    assert traces[0] == traces[1]
    assert "where: 'module'" in counted[2]


def test_blocks_and_both_ways_of_branches_are_told(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "bot.cjs").write_text("""
function answer(text) {
  if (text.startsWith('a')) {
    return 1;
  }
  for (const one of text) if (one === 'x') return text.length > 1 ? 'more'
    : 'one';
  switch (text) {
    case 'b':
      return 2;
    case 'c':
      return 3;
  }
  return text === 'd' &&
    late();
}
const late = () =>
  'late';
""" + ANSWERS)  # fmt: skip
    with asked(guide, tmp_path / "bot.cjs") as process:

        def reached(text: str) -> set[tuple[int, int]]:
            assert ask(process, text)
            assert guide.sync()
            return {(one.line, one.offset) for one in guide.novelties()}

        assert (4, -1) in reached("a")
        assert {line for line, at in reached("b") if at == -1} == {6, 8, 9, 10}
        assert {line for line, at in reached("c") if at == -1} == {11, 12}
        assert {line for line, at in reached("z") if at == -1} == {14}
        assert {line for line, at in reached("d") if at == -1} == {15, 18}
        assert (7, -1) in reached("x")
        assert (6, -1) not in reached("xx")
        rows = guide.lcov().splitlines()
    assert [row.rpartition(",")[2] for row in rows if row.startswith("BRDA:3,")] == ["1", "1"]
    assert [row.rpartition(",")[2] for row in rows if row.startswith("BRDA:6,")] == ["1"] * 4
    assert [row.rpartition(",")[2] for row in rows if row.startswith("BRDA:11,")] == ["1", "1"]
    assert guide.reached()[2:] == (10, 10)


def test_what_handles_an_error_is_told_also_behind_an_await_and_one_that_is_made_is_meant(guide: Guide, tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "bot.cjs").write_text("""
const refuse = (text) => { throw new RangeError(text); };
async function late(text) {
  await null;
  return text.none.at;
}
async function caught(text) {
  try {
    log(text);
    await late(text);
  } catch (error) {
    log(error.message);
  }
}
async function named(text) {
  try {
    await late(text);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}
const log = (text) => text;
function answer(text) {
  const message = { user: Number(text.slice(1)) };
  if (text[0] === 'c') caught(message);
  if (text[0] === 'n') named(message);
  if (text[0] === 'w') late(message).catch(() => {});
  if (text[0] === 'r') try { log(message); refuse(message.user || text); } catch (error) { log(error); }
  if (text[0] === 'j') new Promise(() => JSON.parse(text)).catch(() => {});
  return 'said';
}
""" + ANSWERS)  # fmt: skip
    guide._cases["5000000"] = (1, "mine", "exchange")
    with asked(guide, tmp_path / "bot.cjs") as process:
        for text in ("c5000000", "n5000000", "w5000000", "r5000000", "j5000000"):
            assert ask(process, text) == "said"
            assert guide.sync()
    raised = [one for one in guide._events if isinstance(one, TargetRaised)]
    handler = f"{tmp_path.name}/bot.cjs:11"
    assert [(one.error, one.meant, one.handled, one.case) for one in raised] == [
        ("TypeError", False, handler, "mine"),
        ("TypeError", True, f"{tmp_path.name}/bot.cjs:18", "mine"),
        ("TypeError", False, "", "mine"),
        ("RangeError", True, f"{tmp_path.name}/bot.cjs:28", "mine"),
        ("SyntaxError", False, "", ""),
    ]
    assert raised[0].frames[0] == f"{tmp_path.name}/bot.cjs:5 in late"


BROKEN = {
    "it throws": "exports.instrument = () => { throw new Error('no') };",
    "what comes out is no code": "exports.instrument = () => ({ code: '}{', kind: 'script', blocks: [[0, 1, 0]], jumps: [], made: [], shifts: [] });",
    "what comes out cannot be told": "exports.instrument = (_, code) => ({ code, kind: 'script', blocks: [[0, 1, 0]], jumps: [], made: [() => 1], shifts: [] });",
}


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (broken, name)
        for broken in BROKEN
        for name in ("awkward.cjs", "awkward.mjs")
        if (broken, name) != ("what comes out is no code", "awkward.mjs")  # the instrumenter itself sees to that
    ],
)
def test_a_module_that_cannot_be_counted_runs_as_it_was_written(
    guide: Guide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, name: str
) -> None:
    room = Path(shutil.copytree(Path(chaosbot.agent.__file__).parent, tmp_path / "agent"))
    text = (room / "node" / "instrument.cjs").read_text()
    (room / "node" / "instrument.cjs").write_text(f"{text}\n{BROKEN[broken]}")
    monkeypatch.setattr(chaosbot.agent, "__file__", str(room / "__init__.py"))
    assert said(BOTS / name, guide) == said(BOTS / name, None)


def test_code_that_cannot_be_counted_is_named_and_its_words_are_known(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "bot.cjs").write_text(
        f"let $cb_mine = 1;\nfunction answer(text) {{ return text === '/redeem' ? 1 : 2; }}\n{ANSWERS}"
    )
    with asked(guide, tmp_path / "bot.cjs") as process:
        assert ask(process, "x") == "2"
        assert guide.sync()
    assert "/redeem" in guide.commands()
    assert guide.reached() == (0, 0, 0, 0)
    assert guide._unwatched == {str(tmp_path / "bot.cjs"): "it uses names of the agent"}


def test_counted_code_runs_in_threads_and_in_other_rooms_too(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "one.mjs").write_text("""
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import vm from 'node:vm';
import { price } from './two.mjs';
const told = (one) => (one ? price(one) : 'none');
if (isMainThread) {
  const of = (source, how) => new Promise((resolve) => new Worker(source, how).on('message', resolve));
  console.log(await of(new URL(import.meta.url)), await of(new URL(import.meta.url), { execArgv: [], env: {} }));
  console.log(await of(`require('worker_threads').parentPort.postMessage((${(one) => (one ? 'as text' : '')})(1))`, { eval: true }));
  console.log(vm.runInNewContext(`(${(one) => { for (;;) if (one) return 'elsewhere'; }})(1)`));
} else parentPort.postMessage(told(1));
""")
    (tmp_path / "two.mjs").write_text("export const price = (one) => one && 'priced';\n")
    assert said(tmp_path / "one.mjs", guide) == (0, "priced priced\nas text\nelsewhere\n", "")
