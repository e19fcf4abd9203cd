"""Looks at processes, metrics and health pages: what they see, and how they say that they saw nothing."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from chaosbot.core.errors import ConfigError, UsageError
from chaosbot.load.sampling import HealthWatch, MetricsWatch, ProcessWatch, watches
from chaosbot.load.spec import Sampling

Page = Callable[[int, str], str]


@pytest.fixture
def page() -> Iterator[Page]:
    """Serves one page on a real socket."""
    content = {"status": 200, "text": ""}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(content["text"]).encode()
            self.send_response(int(content["status"]))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def show(status: int, text: str) -> str:
        content.update(status=status, text=text)
        return f"http://127.0.0.1:{server.server_port}/page"

    yield show
    server.shutdown()
    server.server_close()


def test_a_process_is_seen_with_its_children() -> None:
    seen = {probe: value for probe, ok, value, _ in ProcessWatch(os.getpid())() if ok}
    assert seen["memory"] > 10_000_000
    assert seen["descriptors"] > 3
    alone = seen["memory"]
    command = [sys.executable, "-c", "print('ready', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        together = {probe: value for probe, ok, value, _ in ProcessWatch(os.getpid())() if ok}
        child.communicate(b"\n")
    assert together["memory"] > alone + 1_000_000
    watch = ProcessWatch(os.getpid())
    list(watch())
    assert "cpu" in {probe for probe, *_ in watch()}


def test_a_process_that_ends_is_told_as_a_look_that_saw_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        watch = ProcessWatch(child.pid)
        child.communicate(b"\n")
    ((probe, ok, value, detail),) = watch()
    assert (probe, ok, value) == ("memory", False, None)
    assert str(child.pid) in detail
    with pytest.raises(UsageError, match=f"--pid {child.pid}: no such process"):
        ProcessWatch(child.pid)


def test_metrics_are_taken_by_their_names(page: Page) -> None:
    text = 'process_resident_memory_bytes 5e7\nprocess_open_fds 12\nqueue_depth{name="a"} 3\nqueue_depth{name="b"} 4\n'
    url = page(200, text)
    assert list(MetricsWatch(url, ("queue_depth", "missing"), usual=True)()) == [
        ("memory", True, 5e7, ""),
        ("descriptors", True, 12.0, ""),
        ("queue_depth", True, 7.0, ""),
        ("missing", False, None, f"{url} has no metric of this name"),
    ]
    assert next(MetricsWatch(page(500, text), (), usual=True)())[:3] == ("metrics", False, None)
    assert next(MetricsWatch(page(200, "other 1\n"), (), usual=True)())[:3] == ("metrics", False, None)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (200, '{"circuits": {"api": {"state": "closed"}}}', [("health", True, 200.0), ("circuit:api", True, "closed")]),
        (
            503,
            '{"circuits": {"api": "open", "db": 0}}',
            [("health", False, 503.0), ("circuit:api", True, "open"), ("circuit:db", True, 0)],
        ),
        (200, '{"circuits": 2}', [("health", True, 200.0), ("circuits", True, 2)]),
        (200, "no json", [("health", True, 200.0)]),
        (200, '{"circuits": []}', [("health", True, 200.0)]),
    ],
)
def test_health_and_circuits_are_read(
    page: Page, status: int, text: str, expected: list[tuple[str, bool, object]]
) -> None:
    assert [look[:3] for look in HealthWatch(page(status, text), "$.circuits")()] == expected


def test_circuits_lie_where_the_path_says(page: Page) -> None:
    url = page(200, '{"deep": {"er": {"x": {"state": "half_open"}}}}')
    assert list(HealthWatch(url, "$.deep.er")())[1:] == [("circuit:x", True, "half_open", "")]


def test_a_health_page_that_is_not_there_is_no_exception() -> None:
    ((probe, ok, value, detail),) = HealthWatch("http://127.0.0.1:9/health", "$.circuits")()
    assert (probe, ok, value) == ("health", False, None)
    assert "127.0.0.1:9" in detail


def test_only_what_is_asked_for_is_watched() -> None:
    assert watches(Sampling()) == []
    assert len(watches(Sampling(pid=os.getpid(), metrics="http://x/", health="http://y/"))) == 3
    with pytest.raises(ConfigError, match="--health: 'nonsense' is no http or https URL"):
        watches(Sampling(health="nonsense"))
