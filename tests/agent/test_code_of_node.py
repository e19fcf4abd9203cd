"""What is read from a JavaScript source: its words, its lines by function, its handlers. Read by Node itself, as in a target."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import chaosbot.agent

CODE = Path(chaosbot.agent.__file__).parent / "node" / "code.cjs"
READ = """
const { Source } = require(process.argv[1]);
const source = new Source(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify({ words: [...source.words.values()], lines: source.lines, guards: source.guards, tokens: source.tokens.length }));
"""


def read(text: str) -> dict[str, Any]:
    done = subprocess.run(
        ["node", "-e", READ, str(CODE)], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def words(text: str) -> set[tuple[str, object, str]]:
    return {(kind, value, function) for kind, value, _, function in read(text)["words"] if kind != "name"}


def test_constants_are_read_with_what_the_code_does_with_them() -> None:
    found = words("""
        const TARIFFS = { senior: 14, 'child-free': 0 };
        function handle(text, n) {
          if (text === '/redeem' || "abc" == text) return;
          switch (text) { case 'green': break }
          if (text.startsWith('promo-') && text.endsWith(`-2024`) && text.includes('mid')) return;
          if (['x1', 'x2'].includes(text) || text.length > 16 || n === 31337 || n < 500) return;
          const price = n / 2; const half = price / 3; // 'no word'
          return update['chat_id'] ?? headers.get('x-token');
        }
        bot.command('start', async (ctx) => { ctx.reply('a sentence of several words'); });
        bot.command(['stop', 'halt'], (ctx) => 1);
        const run = async (text) => { if (/^[QX]{2}(?<year>\\d{4})\\/$/i.test(text)) { throw 1 } };
    """)
    assert found >= {
        ("equal", "senior", "<module>"),
        ("equal", "child-free", "<module>"),
        ("command", "/redeem", "handle"),
        ("equal", "abc", "handle"),
        ("equal", "green", "handle"),
        ("prefix", "promo-", "handle"),
        ("suffix", "-2024", "handle"),
        ("contains", "mid", "handle"),
        ("equal", "x1", "handle"),
        ("length", 16, "handle"),
        ("equal", 31337, "handle"),
        ("number", 500, "handle"),
        ("key", "chat_id", "handle"),
        ("key", "x-token", "handle"),
        ("command", "/start", "<module>"),
        ("command", "/stop", "<module>"),
        ("regex", "(?ai)^[QX]{2}(?P<year>\\d{4})/$", "run"),
    }
    assert not {value for _, value, _ in found if isinstance(value, str)} & {"no word", "a sentence of several words"}


def test_divisions_templates_and_classes_do_not_lead_the_reader_astray() -> None:
    found = words("""
        const total = (a + b) / 2, share = list[0] / 3 / 4;
        const text = `one ${names.map((n) => `<${n === 'inner' ? '}' : "{"}>`).join('')} two`;
        class Desk extends Base { #kept = new Map(); static async open(x) { if (x) /ab+c/.exec(x); return x === 'last'; } }
        if (total) /not[/]over/.test(text);
    """)
    assert found >= {
        ("equal", "inner", "<module>"),
        ("equal", "last", "open"),
        ("regex", "(?a)ab+c", "open"),
        ("regex", "(?a)not[/]over", "<module>"),
    }
    assert len([kind for kind, _, _ in found if kind == "regex"]) == 2


def test_lines_belong_to_the_innermost_function_that_has_a_body() -> None:
    lines = read("const f = (a) => {\n  g(a);\n  h(() => {\n    i();\n  });\n};\nf(1);\n")["lines"]
    assert lines == {"<module>": [1, 7], "f": [2, 3], "line 3": [4]}
    lines = read(
        "class A {\n  constructor(x) {\n    f(x);\n  }\n}\nconst o = {\n  __proto__() {\n    g();\n  },\n};\n"
    )["lines"]
    assert lines == {"<module>": [1, 2, 6, 7], "constructor": [3], "__proto__": [8]}
    assert read("each(x => {\n  f(x);\n});\nconst g = async x => {\n  f(x);\n};\n")["lines"] == {
        "<module>": [1, 4],
        "line 1": [2],
        "g": [5],
    }


def test_a_handler_that_throws_again_handles_nothing_and_one_statement_is_brief() -> None:
    found = read("""
        function a(x) { try { return JSON.parse(x); } catch { return null; } }
        function b(x) { try { one(x); two(x); if (x) { three(); } } catch (error) { log(error); } }
        function c(x) { try { one(x); } catch (error) { log(error); throw error; } }
        function d(x) { try { one(x); two(x); } catch (error) { if (error instanceof TypeError) return 1; } }
    """)["guards"]
    assert [(one["line"], one["brief"], one["broad"]) for one in found] == [
        (2, True, True),
        (3, False, True),
        (5, False, False),
    ]


def test_what_is_no_javascript_is_read_to_its_end() -> None:
    for text in ("", "}}}) `${", "'open\n\"", "/open", "#!/usr/bin/env node\nx", "a ? /x", "`${`${`", "=> {", ") => {"):
        assert read(text)["tokens"] >= 0
