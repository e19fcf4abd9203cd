"""The house rules as tests: what ARCHITECTURE.md claims, the imports must show."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "chaosbot"

# Higher may import lower; rooms of one level are strangers.
LEVELS = {
    "pytest_plugin": 11,
    "testing": 10,
    "plugins": 10,
    "__main__": 11,
    "cli": 10,
    "session": 9,
    "config": 8,
    "addons": 7,
    "control": 7,
    "mocks": 7,
    "fuzz": 7,
    "load": 7,
    "cluster": 7,
    "locustfile": 10,
    "report": 7,
    "reporters": 8,
    "tcp": 6,
    "injection": 5,
    "workers": 4,
    "transport": 4,
    "journal": 4,
    "files": 3,
    "faults": 3,
    "platforms": 3,
    "checks": 3,
    "profiles": 3,
    "core": 2,
    "agent": 1,
    "": 0,
}
DEMO_VISITORS = {"demo", "cli", "session"}

# Which rooms are the doors of which third-party package.
DOORS = {
    "mitmproxy": {"addons"},
    "platformdirs": {"addons"},
    "tornado": {"control"},
    "h11": {"addons", "transport"},
    "h2": {"addons"},
    "hyperframe": {"addons"},
    "hypothesis": {"fuzz"},
    "trio": {"load"},
    "distributed": {"cluster"},
    "dask": {"cluster"},
    "locust": {"locustfile"},
    "gevent": {"locustfile"},
    "websocket": {"locustfile"},
    "httptools": {"load", "addons", "mocks"},
    "httpx": {"demo"},
    "msgspec": {"core", "journal", "load", "fuzz"},
    "orjson": {"journal", "platforms", "load", "addons", "mocks", "control", "demo", "fuzz"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli", "report"},
    "jinja2": {"reporters"},
    "markupsafe": {"reporters"},
    "markdown_it": {"reporters"},
    "ruamel": {"files"},
    "starlette": {"demo"},
    "uvicorn": {"demo"},
    "structlog": {"demo"},
    "prometheus_client": {"control"},
    "opentelemetry": {"control"},
    "requests": {"control"},
    "jsonpatch": {"faults"},
    "jsonpointer": {"faults"},
    "psutil": {"session", "load", "fuzz", "demo"},
    "wsproto": {"load", "addons", "transport", "demo"},
    "pytest": {"pytest_plugin"},
    "cryptography": {"addons", "platforms"},
    "OpenSSL": {"addons"},
}
# Below the doors to the world: no clock, no socket, no chance but the dice, no colour.
PURE = {"faults", "platforms", "checks", "profiles", "core"}
IMPURE_MODULES = {
    "asyncio",
    "trio",
    "time",
    "socket",
    "ssl",
    "random",
    "threading",
    "subprocess",
    "select",
    "selectors",
    "secrets",
}
REGISTRIES = ("faults", "platforms", "checks", "profiles", "reporters")


def sources() -> Iterator[Path]:
    return iter(sorted(PACKAGE.rglob("*.py")))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Source:
    """What the rules look at in a file: its docstring, its constants, the names that it calls, and the lines on which it imports and waits."""

    docstring: str | None
    constants: frozenset[object]
    calls: tuple[str, ...]
    imports: tuple[tuple[int, str], ...]
    waits: tuple[int, ...]


@cache
def parsed(path: Path) -> Source:
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    return Source(
        ast.get_docstring(tree),
        frozenset(node.value for node in nodes if isinstance(node, ast.Constant)),
        tuple(node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)),
        tuple(imported(path, nodes)),
        tuple(
            node.lineno
            for node in nodes
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
        ),
    )


def imported(path: Path, nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            yield node.lineno, node.module or ""
            if node.module == "chaosbot":
                yield from ((node.lineno, f"chaosbot.{alias.name}") for alias in node.names if alias.name[0] != "_")


def imports(path: Path) -> tuple[tuple[int, str], ...]:
    return parsed(path).imports


def test_every_room_has_a_level() -> None:
    unknown = {room(path) for path in sources()} - LEVELS.keys() - {"demo"}
    assert not unknown, f"rooms without a level in the architecture: {unknown}"


def test_imports_point_down_and_siblings_are_strangers() -> None:
    wrong = []
    for path in sources():
        here = room(path)
        for line, name in imports(path):
            if not name.startswith("chaosbot."):
                continue
            there = name.split(".")[1]
            if there == here:
                continue
            if there == "demo" or here == "demo":
                allowed = (there == "demo" and here in DEMO_VISITORS) or (
                    here == "demo" and name == "chaosbot.core.errors"
                )
            else:
                allowed = LEVELS[there] < LEVELS[here]
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here or 'chaosbot'} must not import {name}")
    assert not wrong, "\n".join(wrong)


def test_third_party_packages_appear_behind_their_own_doors_only() -> None:
    wrong = []
    for path in sources():
        for line, name in imports(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in {"chaosbot", "__future__"}:
                continue
            if room(path) not in DOORS.get(top, set()):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {top} has no door in {room(path) or 'chaosbot'}")
    assert not wrong, "\n".join(wrong)


def test_what_lies_below_the_doors_has_no_clock_no_socket_no_chance_and_no_colour() -> None:
    wrong = []
    for path in sources():
        if room(path) not in PURE:
            continue
        wrong += [f"{path.relative_to(ROOT)}:{line}: async" for line in parsed(path).waits]
        wrong += [
            f"{path.relative_to(ROOT)}:{line}: {name}"
            for line, name in imports(path)
            if name.split(".")[0] in IMPURE_MODULES
        ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("registry", REGISTRIES)
def test_files_on_one_registry_never_import_each_other(registry: str) -> None:
    wrong = []
    for path in sorted((PACKAGE / registry).rglob("*.py")):
        own = module_name(path).split(".")[:3]
        for line, name in imports(path):
            parts = name.split(".")
            if parts[:2] != ["chaosbot", registry] or len(parts) < 3 or parts[:3] == own:
                continue
            if not parts[2].startswith("_"):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports its neighbour {name}")
    assert not wrong, "\n".join(wrong)


def test_importing_chaosbot_loads_no_third_party_package_and_starts_nothing() -> None:
    code = (
        "import sys, threading; before = set(sys.modules); import chaosbot; "
        "loaded = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names); "
        "assert loaded == {'chaosbot'}, loaded; assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_command_line_starts_without_loading_the_engines() -> None:
    code = (
        "import sys; from chaosbot.cli import main; "
        "heavy = {'mitmproxy', 'hypothesis', 'trio', 'plotly', 'uvicorn'} & {name.split('.')[0] for name in sys.modules}; "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nothing_is_left_to_do_later() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" + "XX:", "raise Not" + "ImplementedError")
    wrong = [f"{path.relative_to(ROOT)}: {word}" for path in sources() for word in words if word in path.read_text()]
    assert not wrong, "\n".join(wrong)


def test_json_of_others_is_read_in_one_place() -> None:
    """The standard parser ends in a `RecursionError` over brackets alone, which a reader that expects a `ValueError` lets through."""
    # The journal's reader keeps the parser's own reason; the demo bot's planted bug is that it does not.
    own = {"chaosbot/core/jsontext.py", "chaosbot/core/event.py", "chaosbot/demo/body.py"}
    names = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sources()}
    wrong = [name for name, text in names.items() if re.search(r"(?<!or)json\.loads?\(", text) and name not in own]
    assert not wrong, wrong


def test_every_module_opens_with_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in sources() if not parsed(path).docstring]
    assert not silent, "\n".join(silent)


# Rooms that perform or judge what plug-ins say, and know of them only what their base classes tell. The catalogue and the table of
# troubles are data: they name the check that judges a case first, and the fault that a call meets.
ENGINES = ("fuzz", "load", "addons", "tcp", "session", "injection", "transport", "report")
NOT_ENGINES = ("fuzz/catalogue", "fuzz/troubles.py")
# Where a word that is an entry's name too means something else: an option, a method of a state machine, a word of a table.
OTHER_MEANINGS = {
    ("fuzz/scenario.py", "burst"),
    ("fuzz/sequences.py", "redeliver"),
    ("injection/bytestream.py", "refuse"),
    ("load/driver.py", "knee"),
    ("load/knee_steps.py", "knee"),
    ("load/knee_steps.py", "sustained"),
    ("report/fold.py", "burst"),
    ("report/guidance.py", "pages"),
    ("report/intervals.py", "latency"),
    ("report/soak.py", "soak"),
    ("report/timeline.py", "burst"),
    ("session/experiment.py", "stages"),
    *(
        (f"load/{name}.py", "telegram") for name in ("assembly", "driver", "engine", "shards", "spec")
    ),  # a way of delivering
}
# Faults that belong into the table of troubles; the list only gets shorter.
PLUGIN_NAME_DEBT = {
    ("fuzz/context.py", "delay"),
    ("fuzz/outbound.py", "botapi_blocked"),
    ("fuzz/privileges.py", "abort"),
}


@pytest.mark.parametrize("registry", ["faults", "checks", "platforms", "profiles", "mocks"])
def test_no_engine_names_a_plug_in(registry: str) -> None:
    names = {path.stem for path in (PACKAGE / registry).glob("[a-z]*") if path.stem != "server"}
    named = set()
    for path in sources():
        inside = path.relative_to(PACKAGE).as_posix()
        if not inside.startswith(tuple(f"{room}/" for room in ENGINES)) or inside.startswith(NOT_ENGINES):
            continue
        named |= {(inside, str(name)) for name in parsed(path).constants & names}
    assert named - OTHER_MEANINGS - PLUGIN_NAME_DEBT == set()


def test_the_paths_of_the_architecture_are_there_and_short() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for title, most in (("**A proxied request to its fault**", 15), ("**A case to its finding:**", 18)):
        part = page.partition(title)[2].partition("**")[0]
        files = re.findall(r"^ ?(\d+)\. `([^`]+)`", part, re.MULTILINE)
        assert [int(number) for number, _ in files] == list(range(1, len(files) + 1))
        assert 10 <= len(files) <= most
        assert [name for _, name in files if not (PACKAGE / name).is_file()] == []


def test_a_proxy_is_started_in_one_place() -> None:
    makers = [str(path.relative_to(PACKAGE)) for path in sources() for name in parsed(path).calls if name == "Proxy"]
    assert makers == ["session/listeners.py"]


NEUTRAL = (
    "core",
    "session",
    "transport",
    "injection",
    "tcp",
    "report",
    "journal",
    "workers",
    "control",
    "testing",
    "plugins",
)


def test_neutral_rooms_name_no_platform() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in sources()
        if room(path) in NEUTRAL
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "telegram" in line.lower()
    ]
    assert not wrong, "\n".join(wrong)


# Import names and the packages that bring them, where the two differ.
PACKAGES = {
    "ruamel": "ruamel.yaml",
    "markdown_it": "markdown-it-py",
    "OpenSSL": "pyopenssl",
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-exporter-otlp-proto-http",
    "dask": "distributed",
    "websocket": "websocket-client",
    "gevent": "locust",
}


def test_every_imported_package_is_a_declared_dependency_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras if extra not in {"dev", "docs", "judges"} for line in extras[extra]),
    ]
    declared = {re.split(r"[<>=!~ \[]", line)[0].lower() for line in lines}
    imported = {
        name.split(".")[0]
        for path in sources()
        for _, name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names | {"chaosbot", "__future__"}
    }
    needed = {PACKAGES.get(name, name).lower() for name in imported} - {"pytest"}
    assert needed - declared == set(), "imported and not declared"
    assert declared - needed == set(), "declared and not imported"
