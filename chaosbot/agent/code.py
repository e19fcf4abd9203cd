"""Reads a source file: the words that its code waits for, what can be executed in it, and which errors it handles on purpose."""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST_WORDS = 4000
LONGEST = 120

Constant = Any


class Word(NamedTuple):
    """A constant: ``command``, ``equal``, ``prefix``, ``suffix``, ``contains``, ``regex``, ``length``, ``number``, ``key``, ``name`` or ``word``."""

    kind: str
    value: str | int | float
    line: int
    function: str


class Guarded(NamedTuple):
    """The lines of a try's body with one of its handlers.

    Args:
        first: The body's first line.
        last: Its last.
        types: The names of what is caught; None for everything.
        handler: The handler's line.
        broad: Whether it catches every error and goes on.
        brief: Whether the body is a single statement.
    """

    first: int
    last: int
    types: list[str] | None
    handler: int
    broad: bool
    brief: bool


_PATTERNS = {
    "compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "regexp", "Regex", "hears", "pattern", "regex",
}  # fmt: skip
_COMMANDS = {"Command", "CommandHandler", "command", "commands", "on_command", "CommandStart"}
_AFFIXES = {
    "startswith": "prefix", "removeprefix": "prefix", "endswith": "suffix", "removesuffix": "suffix", "partition": "contains",
    "split": "contains", "find": "contains", "index": "contains", "count": "contains",
}  # fmt: skip
_KEYS = {"get", "pop", "setdefault", "getattr", "hasattr", "itemgetter", "attrgetter"}
_BROAD = {"Exception", "BaseException"}


class Source:
    """One source file.

    Args:
        path: Where it is.

    Raises:
        OSError, SyntaxError, ValueError: It cannot be read.
    """

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            data = file.read()
        tree = ast.parse(data, path)
        self.words = _Words().of(tree)
        self.guarded = [one for node in ast.walk(tree) for one in _guards(node)]
        self.compared: dict[int, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and _compares(node):
                names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                self.compared.setdefault(node.lineno, set()).update(names)
        self.lines, self.branches = _executable(compile(data, path, "exec", dont_inherit=True))

    def handler(self, line: int, names: set[str]) -> Guarded | None:
        """What handles an error that leaves this line, of a class with these names (its own and its bases').

        Returns:
            None where nothing does; otherwise the handler, the innermost first.
        """
        around = [one for one in self.guarded if one.first <= line <= one.last]
        around.sort(key=lambda one: (one.last - one.first, one.handler))
        return next((one for one in around if one.types is None or names & set(one.types)), None)


class _Words(ast.NodeVisitor):
    """Collects constants with what the code does with them, each under the function that it stands in."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, Constant, str], Word] = {}
        self.function = ["<module>"]

    def of(self, tree: ast.AST) -> list[Word]:
        """The words of a module."""
        self.visit(tree)
        return list(self.found.values())[:MOST_WORDS]

    def add(self, kind: str, node: ast.expr, value: Constant = None) -> None:
        """Takes the constants of an expression, or this one."""
        for one in [value] if value is not None else _constants(node):
            if isinstance(one, bytes):
                one = one.decode("utf-8", "replace")  # noqa: PLW2901 - the same word as text
            if isinstance(one, bool) or not isinstance(one, (str, int, float)):
                continue
            if isinstance(one, str) and not 0 < len(one) <= LONGEST:
                continue
            as_what = kind
            if kind in ("equal", "prefix") and isinstance(one, str) and one.startswith(("/", "!")) and len(one) > 1:
                as_what = "command"
            elif isinstance(one, (int, float)) and kind not in ("length", "equal"):
                as_what = "number"
            word = Word(as_what, one, getattr(node, "lineno", 0), self.function[-1])
            self.found.setdefault((as_what, one, word.function), word)

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        # As `code.co_qualname` has it.
        around = self.function[-1]
        outer = "" if around == "<module>" else around + (".<locals>." if self.in_function else ".")
        before, self.in_function = self.in_function, not isinstance(node, ast.ClassDef)
        self.function.append(outer + node.name)
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        for child in (*getattr(node, "decorator_list", ()), *body):
            self.visit(child)
        self.function.pop()
        self.in_function = before

    in_function = False
    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _inside

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # docstrings
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        measures = any(
            isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "len" for one in sides
        )
        for side, op in zip(sides, [node.ops[0], *node.ops]):
            inside = isinstance(op, (ast.In, ast.NotIn)) and side is node.left
            self.add("length" if measures else "contains" if inside else "equal", side)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for one in node.args:
            if name in _COMMANDS:
                for value in _constants(one):
                    if isinstance(value, str):
                        self.add("command", one, "/" + value.lstrip("/"))
            elif name in _PATTERNS:
                self.add("regex", one)
            elif name in _AFFIXES:
                self.add(_AFFIXES[name], one)
            elif name in _KEYS:
                self.add("key", one)
            elif name == "compare_digest":
                self.add("equal", one)
        for keyword in node.keywords:
            if keyword.arg in ("pattern", "regex", "regexp"):
                self.add("regex", keyword.value)
            elif keyword.arg == "commands":
                for value in _constants(keyword.value):
                    self.add("command", keyword.value, "/" + str(value).lstrip("/"))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.add("key", node.slice)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if key is not None:
                self.add("equal", key)  # a table is looked up by what was sent
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.add("name", node, node.attr.rstrip("_").replace("from_user", "from"))
        self.generic_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> None:
        self.add("equal", node.value)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        for key in node.keys:
            self.add("key", key)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        for part in node.values:  # what is said to users is no word of theirs
            if not isinstance(part, ast.Constant):
                self.visit(part)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str) or len(node.value.split()) <= 2:
            self.add("word", node)


def _constants(node: ast.AST) -> list[Constant]:
    """The constants that an expression is, or holds as a list, tuple or set."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return [value for one in node.elts for value in _constants(one)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [-value for value in _constants(node.operand) if isinstance(value, (int, float))]
    return []


def _compares(node: ast.AST) -> bool:
    """Whether an expression compares what is only known at run time with something else of that kind."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return not any(_constants(one) for one in sides) and any(
            isinstance(op, (ast.Eq, ast.NotEq, ast.In)) for op in node.ops
        )
    return isinstance(node, ast.Call) and _names(node.func)[-1:] in (["compare_digest"], ["startswith"])


def _guards(node: ast.AST) -> Iterator[Guarded]:
    """What a statement catches."""
    if isinstance(node, ast.Try) and node.body:
        first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
        brief = len(node.body) == 1
        for handler in node.handlers:
            kinds = _names(handler.type) if handler.type is not None else None
            goes_on = not any(isinstance(one, ast.Raise) for part in handler.body for one in ast.walk(part))
            bare = any(
                isinstance(one, ast.Raise) and one.exc is None for part in handler.body for one in ast.walk(part)
            )
            broad = kinds is None or bool(_BROAD & set(kinds))
            if not (broad and bare):  # what logs and raises again handles nothing
                yield Guarded(first, last, kinds, handler.lineno, broad and goes_on, brief)
    if isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and _names(call.func)[-1:] == ["suppress"]:
                kinds = [name for one in call.args for name in _names(one)]
                broad = bool(_BROAD & set(kinds))
                yield Guarded(
                    node.body[0].lineno, node.body[-1].end_lineno or 0, kinds, node.lineno, broad, len(node.body) == 1
                )


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [name for one in getattr(node, "elts", ()) for name in _names(one)]


def _executable(code: types.CodeType) -> tuple[dict[str, list[int]], list[tuple[int, int, str]]]:
    """Lines by function, and conditional jumps as (line, offset, function), of a code object and all within it."""
    lines: dict[str, set[int]] = {}
    branches: list[tuple[int, int, str]] = []
    stack = [code]
    while stack:
        one = stack.pop()
        name = getattr(one, "co_qualname", one.co_name)
        found = {line for _, _, line in one.co_lines() if line} if hasattr(one, "co_lines") else set()
        if one.co_name != "<module>":
            found.discard(one.co_firstlineno)
        lines.setdefault(name, set()).update(found)
        line = 0
        for step in dis.get_instructions(one):
            at = getattr(step, "positions", None)
            line = (at.lineno if at is not None else step.starts_line) or line
            if step.opname.startswith("POP_JUMP") or step.opname == "FOR_ITER":
                branches.append((line, step.offset, name))
        stack += [inner for inner in one.co_consts if hasattr(inner, "co_code")]
    return {name: sorted(found) for name, found in lines.items()}, branches
