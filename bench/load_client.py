"""What a request costs the one who sends it: `chaosbot load` beside wrk, hey, vegeta, k6, autocannon and Locust.

All send the same small webhook update by keep-alive POST to one nginx that answers at once. The client is pinned to the first
core, nginx to the second, so the figures are the client's own: CPU microseconds a request (user and system time of the
client's processes, start-up included) and requests a second. chaosbot runs with everything on: closed users, per-second
histograms of response and service time, error kinds, coverage, and the journal on disk. It stands there twice: with updates
that are all different (ids, times, markers, texts, as a real run sends them), and with the constant one that the others send.

    python bench/load_client.py --seconds 8 --autocannon PATH --locust PYTHON_WITH_LOCUST
    python bench/load_client.py --start-up 10     # instead: the CPU of `chaosbot load`, of all its processes, until its first update leaves
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from chaosbot.fuzz.process import family

BODY = json.dumps(
    {
        "update_id": 100000001,
        "message": {
            "message_id": 1,
            "date": 1767225600,
            "chat": {"id": 1000000, "type": "private", "first_name": "Ada"},
            "from": {"id": 1000000, "is_bot": False, "first_name": "Ada", "language_code": "en"},
            "text": "Could you look at this for me, please?",
        },
    }
)
PATH = "/webhook/telegram"

NGINX = """
worker_processes 1; pid {home}/pid; error_log {home}/error.log; daemon off; worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=8192; location / {{ return 200 '{{"ok":true}}'; }} }}
}}
"""

CHAOSBOT = """
import sys, time
from pathlib import Path
from chaosbot.journal import Journal
from chaosbot.load.driver import drive
from chaosbot.load.spec import LoadSpec
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES

url, journey, users, spawn, seconds, out = sys.argv[1:]
journal = Journal(Path(out))
profile = PROFILES.build("smoke", {"users": users, "spawn_rate": spawn + "/s", "duration": seconds + "s"})
spec = LoadSpec(url, Endpoint("127.0.0.1", "/webhook/telegram"), "telegram", 1, profile, journey=Path(journey) if journey else None)
print("START", time.process_time())
result = drive(spec, journal.write)
journal.close()
assert result.failed == result.timed_out == 0, result
print("REQUESTS", result.completed)
"""

REAL = """
import dataclasses
from chaosbot.core.platform import PLATFORMS

def journeys():
    return tuple(dataclasses.replace(j, wait_s=(0.0, 0.0)) for j in PLATFORMS.build("telegram").journeys())
"""

CONSTANT = """
from chaosbot.core.platform import Request
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import JourneySpec, Task

BODY = {body!r}.encode()
HEAD = b"POST {path} HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(BODY)
ONE = Request(HEAD + BODY, "text", UpdateFacts(kind="message"))

def journeys():
    return (JourneySpec("guest", 1.0, (0.0, 0.0), (Task("text"),), range(1000)),)

def build(task, user, ordinal, dice, endpoint):
    return ONE
"""

K6 = """
import http from 'k6/http';
const body = {body};
export default function () {{ http.post('{url}', body, {{ headers: {{ 'Content-Type': 'application/json' }} }}); }}
"""

LOCUST = """
from locust import {kind}, constant, task

class Guest({kind}):
    wait_time = constant(0)

    @task
    def write(self):
        self.client.post("{path}", data={body!r}, headers={{"Content-Type": "application/json"}})
"""


@dataclass
class Cost:
    """What one client came to."""

    client: str
    connections: int
    requests: int
    seconds: float
    cpu_s: float
    rss_mb: float
    start_s: float = 0.0

    @property
    def going_us(self) -> float:
        """The same without the CPU that a Python client needs before its first request."""
        return (self.cpu_s - self.start_s) / max(self.requests, 1) * 1e6

    @property
    def cpu_us(self) -> float:
        """CPU microseconds that a request cost."""
        return self.cpu_s / max(self.requests, 1) * 1e6

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@contextmanager
def target(home: Path, port: int, core: int) -> Iterator[str]:
    """The server, on a core of its own."""
    config = home / "nginx.conf"
    config.write_text(NGINX.format(home=home, port=port))
    with subprocess.Popen(["taskset", "-c", str(core), "nginx", "-c", str(config)]) as process:
        time.sleep(0.5)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def installed() -> dict[str, str]:
    """The environment with Python's bytecode cached, as it is for everything that was installed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return env | {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "chaosbot-bench-bytecode")}


def measure(client: str, command: Sequence[str], connections: int, pattern: str, seconds: float, core: int) -> Cost:
    """Runs a client on its core and reads what it used."""
    before = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=installed(),
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    found = [int(float(text.replace(",", ""))) for text in re.findall(pattern, output)]
    if not found:
        raise SystemExit(
            f"{client}: no count of requests in its output (after {time.monotonic() - before:.1f} s)\n{output[-2000:]}"
        )
    start = re.search(r"^START ([\d.]+)", output, re.MULTILINE)
    start_s = float(start[1]) if start else 0.0
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(client, connections, sum(found), seconds, cpu_s, usage.ru_maxrss / 1024, start_s)


def chaosbot(
    home: Path, url: str, name: str, journey: str, users: int, seconds: float, core: int, *, spawn: int = 100_000
) -> Cost:
    """The driver with full accounting and its journal."""
    script = home / "drive.py"
    script.write_text(CHAOSBOT)
    path = ""
    if journey:
        path = str(home / f"journey_{len(journey)}.py")
        Path(path).write_text(journey)
    out = Path(tempfile.mkdtemp(dir=home)) / "run"
    command = [sys.executable, str(script), url + PATH, path, str(users), str(spawn), f"{seconds:g}", str(out)]
    return measure(name, command, users, r"REQUESTS (\d+)", seconds, core)


def peers(
    home: Path, url: str, connections: int, seconds: float, core: int, options: argparse.Namespace
) -> Iterator[Cost]:
    """Everybody else that is installed."""
    body, whole = home / "body.json", f"{seconds:g}"
    body.write_text(BODY)
    if shutil.which("wrk"):
        lua = home / "post.lua"
        lua.write_text(
            f'wrk.method = "POST"\nwrk.body = {json.dumps(BODY)}\nwrk.headers["Content-Type"] = "application/json"\n'
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "-s", str(lua), url + PATH]
        yield measure("wrk", command, connections, r"(\d+) requests in", seconds, core)
    if shutil.which("hey"):
        command = [
            "hey",
            "-z",
            f"{whole}s",
            "-c",
            str(connections),
            "-m",
            "POST",
            "-T",
            "application/json",
            "-D",
            str(body),
        ]
        yield measure("hey", [*command, url + PATH], connections, r"\[200\]\s+(\d+) responses", seconds, core)
    if options.vegeta:
        targets = home / "targets.txt"
        targets.write_text(f"POST {url}{PATH}\nContent-Type: application/json\n@{body}\n")
        attack = f"{options.vegeta} attack -rate=0 -max-workers={connections} -connections={connections}"
        # The report, which counts, is a second process; its CPU is part of what an answer costs.
        shell = f"{attack} -duration={whole}s -targets={targets} | {options.vegeta} report -type=json"
        yield measure("vegeta", ["sh", "-c", shell], connections, r'"requests":\s*(\d+)', seconds, core)
    if options.k6:
        script = home / "k6.js"
        script.write_text(K6.format(body=json.dumps(BODY), url=url + PATH))
        command = [
            options.k6,
            "run",
            "--vus",
            str(connections),
            "--duration",
            f"{whole}s",
            "--no-usage-report",
            str(script),
        ]
        yield measure("k6", command, connections, r"http_reqs\.+:\s*(\d+)", seconds, core)
    if options.autocannon:
        command = [options.autocannon, "-c", str(connections), "-d", whole, "-m", "POST", "-i", str(body), "-j"]
        command += ["-H", "Content-Type=application/json", url + PATH]
        yield measure("autocannon", command, connections, r'"2xx":\s*(\d+)', seconds, core)
    for kind in ("FastHttpUser", "HttpUser") if options.locust else ():
        file = home / f"locust_{kind.lower()}.py"
        file.write_text(LOCUST.format(kind=kind, path=PATH, body=BODY))
        command = [
            options.locust,
            "-m",
            "locust",
            "-f",
            str(file),
            "--headless",
            "-u",
            str(connections),
            "-r",
            str(connections),
        ]
        command += ["-t", f"{whole}s", "--host", url, "--only-summary", "--json"]
        yield measure(f"Locust {kind}", command, connections, r'"num_requests":\s*(\d+)', seconds, core)


def start_up(times: int) -> list[float]:
    """The CPU seconds that the command and its processes have used when their first update arrives, so many times."""
    found: list[float] = []
    first = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if b'"update_id"' in body and not first.is_set():
                found.append(sum(map(cpu_of, family(running[-1].pid))))
                first.set()
            self.send_response(200 if body else 400)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}{PATH}"
        command = [sys.executable, "-m", "chaosbot", "load", url, "--users", "1", "--duration", "2s", "--out"]
        for number in range(times + 1):
            first.clear()
            started = subprocess.Popen([*command, f"{folder}/{number}"], stdout=subprocess.DEVNULL, env=installed())
            running.append(started)
            if not first.wait(60):
                raise SystemExit("chaosbot load: no update arrived within 60 s")
            running[-1].wait()
        server.shutdown()
    return found[1:]  # the first writes bytecode


def cpu_of(pid: int) -> float:
    """User and system time of a process, and of its children that have ended, in seconds (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def table(costs: Sequence[Cost]) -> str:
    """The figures as Markdown."""
    lines = [
        "| client | connections | requests/s | CPU µs a request | without start-up | RSS MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {cost.client} | {cost.connections} | {cost.rate:,.0f} | {cost.cpu_us:.1f} | {cost.going_us:.1f} | {cost.rss_mb:.0f} |"
        for cost in costs
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 1000])
    parser.add_argument(
        "--users", type=int, nargs="*", default=[1000, 10_000], help="populations whose memory is measured"
    )
    parser.add_argument("--port", type=int, default=18_480)
    parser.add_argument("--cores", default="0,1", help="the client's core and nginx's")
    parser.add_argument("--autocannon", default=shutil.which("autocannon") or "")
    parser.add_argument("--vegeta", default=shutil.which("vegeta") or "")
    parser.add_argument("--k6", default=shutil.which("k6") or "")
    parser.add_argument("--locust", default="", help="a Python that has Locust")
    parser.add_argument(
        "--start-up", type=int, default=0, metavar="N", help="measure the start N times, and nothing else"
    )
    options = parser.parse_args()
    if options.start_up:
        costs_s = sorted(start_up(options.start_up))
        print(
            f"start-up: {statistics.median(costs_s):.3f} s of CPU, the median of {len(costs_s)} ({costs_s[0]:.3f} to {costs_s[-1]:.3f})"
        )
        return
    client_core, target_core = (int(core) for core in options.cores.split(","))
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder, target(Path(folder), options.port, target_core) as url:
        home = Path(folder)
        constant = CONSTANT.format(body=BODY, path=PATH)
        chaosbot(home, url, "warm-up", constant, 8, 1, client_core)
        for connections in options.connections:
            for name, journey in (("chaosbot, real updates", REAL), ("chaosbot, constant update", constant)):
                costs.append(chaosbot(home, url, name, journey, connections, options.seconds, client_core))
            costs += peers(home, url, connections, options.seconds, client_core, options)
        for users in options.users:
            name = f"chaosbot, {users:,} users with their pauses"
            costs.append(
                chaosbot(home, url, name, "", users, options.seconds + 4, client_core, spawn=max(users // 4, 1))
            )
        print(table(costs))


if __name__ == "__main__":
    main()
