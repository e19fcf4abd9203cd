"""Plug-ins of other people's packages: what the pages `docs/adding-a-*.md` show is installed and used through the command line."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chaosbot import plugins

DOCS = Path(__file__).resolve().parent.parent / "docs"
KINDS = sorted(path.stem.removeprefix("adding-a-") for path in DOCS.glob("adding-a-*.md"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def shown(kind: str) -> tuple[str, str, dict[str, dict[str, str]]]:
    """What the page shows: the file's place and content, and the entry points."""
    page = (DOCS / f"adding-a-{kind}.md").read_text().partition("## In a package of your own")[2]
    code = re.search(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL)
    points = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert code, f"adding-a-{kind}.md shows no file"
    assert points, f"adding-a-{kind}.md shows no entry point"
    return code[1], code[2], tomllib.loads(points[1])["project"]["entry-points"]


def install(kind: str, site: Path) -> None:
    """Puts the package of a page where an installer would."""
    place, content, points = shown(kind)
    file = site / place
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "__init__.py").write_text('"""Plug-ins of the Acme company."""\n')
    file.write_text(content)
    known = site / f"acme_chaos_{kind}-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-chaos-{kind}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in named.items())
        for group, named in points.items()
    ]
    (known / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def chaosbot_with(tmp_path: Path) -> Callable[[str], Run]:
    """Installs the package of a page and returns what runs the command line with it."""

    def prepared(kind: str) -> Run:
        site = tmp_path / "site"
        install(kind, site)

        def run(*words: str, code: int | tuple[int, ...] = 0) -> "subprocess.CompletedProcess[str]":
            done = subprocess.run(
                [sys.executable, "-m", "chaosbot", *words],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"},
                capture_output=True,
                text=True,
                timeout=110,
                check=False,
            )
            assert done.returncode in (code if isinstance(code, tuple) else (code,)), done.stdout + done.stderr
            return done

        return run

    return prepared


@pytest.fixture
def orders() -> Iterator[str]:
    """A service that takes every POST with Acme's key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(
                418 if self.path == "/teapot" else 200 if self.headers.get("X-Acme-Key") == "k3y-of-acme" else 401
            )
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/acme"
        server.shutdown()


def test_every_kind_of_plug_in_has_a_page_and_a_test() -> None:
    tested = {
        name.removeprefix("test_a_").removesuffix("_of_another_package_works")
        for name in globals()
        if name.endswith("_of_another_package_works")
    }
    assert set(KINDS) == tested
    for kind in KINDS:
        assert f"adding-a-{kind}.md" in (plugins.__doc__ or ""), kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_needs_nothing_but_the_public_surface(kind: str) -> None:
    _, content, _ = shown(kind)
    imported = set(re.findall(r"from (chaosbot\S*) import", content))
    assert imported == {"chaosbot.plugins"}
    names = re.search(r"from chaosbot.plugins import (.*)", content)
    assert names is not None
    assert {name.strip() for name in names[1].split(",")} <= set(plugins.__all__)


def test_every_public_name_is_there() -> None:
    assert all(hasattr(plugins, name) for name in plugins.__all__)
    assert plugins.__all__ == sorted(set(plugins.__all__))


@pytest.mark.slow
def test_a_fault_of_another_package_works(chaosbot_with: Callable[[str], Run], tmp_path: Path) -> None:
    chaosbot = chaosbot_with("fault")
    assert "The upstream is a teapot now and then." in chaosbot("faults", "teapot").stdout
    assert '"teapot"' in chaosbot("run", "--schema").stdout
    chaosbot(
        "run",
        "--fault",
        "teapot;direction=inbound",
        "--rate",
        "20/s",
        "--duration",
        "10s",
        "--out",
        "run",
        code=(0, 1, 3),
    )
    events = [json.loads(line) for line in (tmp_path / "run" / "events.ndjson").read_text().splitlines()]
    assert sum(event.get("fault") == "teapot" and event.get("stage") == "applied" for event in events) > 5
    assert any(event.get("status") == 418 for event in events)


def test_a_check_of_another_package_works(chaosbot_with: Callable[[str], Run], orders: str, tmp_path: Path) -> None:
    chaosbot = chaosbot_with("check")
    assert "Nobody is answered by a teapot." in chaosbot("checks", "no_teapots").stdout
    teapot = orders.replace("/acme", "/teapot")
    chaosbot("load", teapot, "--rate", "20/s", "--duration", "2s", "--out", "run", code=1)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    [finding] = [finding for finding in report["findings"] if finding["check"] == "no_teapots"]
    assert finding["title"] == "answers as a teapot"


@pytest.mark.slow
def test_a_profile_of_another_package_works(chaosbot_with: Callable[[str], Run], tmp_path: Path) -> None:
    chaosbot = chaosbot_with("profile")
    assert "Climbs and drops" in chaosbot("profiles", "sawtooth").stdout
    chaosbot("load", "--profile", "sawtooth:10", "--duration", "3s", "--out", "run", code=(0, 1, 3))
    started = json.loads((tmp_path / "run" / "events.ndjson").read_text().splitlines()[0])
    assert started["settings"]["options"] == {"users": 10, "teeth": 3, "duration": 3.0}


def test_a_platform_of_another_package_works(
    chaosbot_with: Callable[[str], Run], orders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chaosbot = chaosbot_with("platform")
    monkeypatch.setenv("ACME_KEY", "k3y-of-acme")
    words = ("--platform", "acme", "--secret-env", "ACME_KEY", "--seed", "1")
    chaosbot("load", orders, *words, "--rate", "20/s", "--duration", "2s", "--out", "load", code=(0, 3))
    report = json.loads((tmp_path / "load" / "report.json").read_text())
    assert set(report["load"]["by_task"]) >= {"placed", "paid"}
    chaosbot(
        "fuzz",
        orders,
        *words,
        "--case",
        "auth/*",
        "--duration",
        "15s",
        "--out",
        "fuzz",
        "--stages",
        "catalogue",
        code=(0, 1, 3),
    )
    events = (tmp_path / "fuzz" / "events.ndjson").read_text()
    assert '"auth/' in events


@pytest.mark.slow
def test_a_mock_of_another_package_works(
    chaosbot_with: Callable[[str], Run], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    chaosbot = chaosbot_with("mock")
    port = free_port()
    said: list[subprocess.CompletedProcess[str]] = []
    words = (
        "http://127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
        "--outbound",
        "mock:acme_api",
        "--outbound-listen",
        f"127.0.0.1:{port}",
    )
    runner = threading.Thread(
        target=lambda: said.append(chaosbot("proxy", *words, "--duration", "8s", "--out", "run", code=(0, 3)))
    )
    runner.start()
    answer = None
    until = time.monotonic() + 30
    while answer is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/orders/7", timeout=5) as response:
                answer = json.loads(response.read())
        except OSError:
            time.sleep(0.1)
    runner.join()
    assert answer == {"order": 1, "state": "accepted"}
    assert said
    assert "GET /orders/7" in (tmp_path / "run" / "events.ndjson").read_text()


def test_a_reporter_of_another_package_works(chaosbot_with: Callable[[str], Run], orders: str, tmp_path: Path) -> None:
    chaosbot = chaosbot_with("reporter")
    chaosbot("load", orders.replace("/acme", "/teapot"), "--rate", "20/s", "--duration", "2s", "--out", "run", code=1)
    assert (tmp_path / "run" / "summary.txt").read_text().startswith("load: FAIL\n")
    assert chaosbot("report", "--format", "summary", "run", code=1).stdout.startswith("load: FAIL\n")


def test_an_entry_point_that_is_called_otherwise_than_its_file_is_refused(tmp_path: Path) -> None:
    install("fault", tmp_path)
    known = next(tmp_path.glob("*.dist-info")) / "entry_points.txt"
    known.write_text(known.read_text().replace("teapot = ", "kettle = "))
    done = subprocess.run(
        [sys.executable, "-m", "chaosbot", "faults"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "is called 'kettle' and its file 'teapot'" in done.stderr
