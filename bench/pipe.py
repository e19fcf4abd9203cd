"""The byte pipe beside haproxy (TCP mode), Toxiproxy and no proxy at all, in one run: nginx behind, wrk in front.

Usage: python bench/pipe.py [--toxiproxy SERVER] [SECONDS] [CONNECTIONS ...]

With the path of a Toxiproxy server's binary it is measured too, plain and with a latency toxic of 10 ms downstream.

Every proxy is one process (haproxy: one thread) pinned to the same core; nginx and wrk share the other one. Prints a table in
Markdown: requests a second, the median and the 99th percentile of the response time, the proxy's CPU time a request, its memory.
Needs nginx, wrk, haproxy and taskset on the PATH.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan, Rule, Scope
from chaosbot.faults.latency import Latency

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
PROXY_CORE, OTHER_CORE = CORES[-1], CORES[0]
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def pinned(core, command):
    return ["taskset", "-c", str(core), *command]


@contextmanager
def running(command, core, port):
    process = subprocess.Popen(
        pinned(core, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(port, process)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port, process):
    for _ in range(6000):  # a minute: what starts beside others takes its time
        if process.poll() is not None:
            sys.exit(f"{process.args[3]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"{process.args[3]} does not listen")


def nginx_config(folder, port):
    path = folder / "nginx.conf"
    path.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;
        events {{ worker_connections 4096; }}
        http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{{"ok":true}}'; }} }} }}"""
    )
    return path


def haproxy_config(folder, port, upstream):
    path = folder / "haproxy.cfg"
    path.write_text(
        f"""global
  nbthread 1
  maxconn 8192
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port}
  default_backend out
backend out
  server one 127.0.0.1:{upstream}
"""
    )
    return path


@contextmanager
def toxiproxy(server, port, upstream, delay_ms):
    """Toxiproxy on one processor, with one proxy and, for a delay, one toxic."""
    control = free_port()
    command = ["env", "GOMAXPROCS=1", server, "-host", "127.0.0.1", "-port", str(control)]
    with running(command, PROXY_CORE, control) as pid:
        ask(control, "/proxies", {"name": "bench", "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream}"})
        if delay_ms:
            toxic = {"type": "latency", "stream": "downstream", "attributes": {"latency": delay_ms}}
            ask(control, "/proxies/bench/toxics", toxic)
        yield pid


def ask(control, path, document):
    url = f"http://127.0.0.1:{control}{path}"
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def pipe(port, upstream, delay_ms=None):
    """The pipe's worker process, as `chaosbot proxy tcp://…` starts it."""
    fault = Latency((delay_ms or 0) / 1000, shape="constant")
    plan = FaultPlan((Rule("slow", fault, scope=Scope.CONNECTION),) if delay_ms is not None else ())
    listener = ListenerSpec(Direction.INBOUND, f"tcp://127.0.0.1:{upstream}", port=port)
    with Proxy(ProxySpec((listener,), 1, plan), lambda _event: None) as proxy:
        (pid,) = proxy.pids
        os.sched_setaffinity(pid, {PROXY_CORE})
        yield pid


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """Resident megabytes of a process (of `env` and `taskset` nothing is left: they become what they start)."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def measure(port, connections, seconds, pid):
    before = cpu_seconds(pid) if pid else 0.0
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"]
    out = subprocess.run(pinned(OTHER_CORE, command), capture_output=True, text=True, check=True).stdout
    if "Socket errors" in out or "Non-2xx" in out:
        sys.exit(f"errors while measuring:\n{out}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    total = int(re.search(r"(\d+) requests in", out)[1])
    half, tail = (milliseconds(re.search(rf"^\s+{share}%\s+(\S+)", out, re.MULTILINE)[1]) for share in (50, 99))
    cpu = (cpu_seconds(pid) - before) / total * 1e6 if pid else None
    return rate, half, tail, cpu


def main():
    peer = None
    if sys.argv[1:2] == ["--toxiproxy"]:
        peer = sys.argv[2]
        del sys.argv[1:3]
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    counts = [int(value) for value in sys.argv[2:]] or [1, 64, 512]
    missing = [
        name
        for name in ("nginx", "wrk", "haproxy", "taskset")
        if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None
    ]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    os.environ["PATH"] += ":/usr/sbin"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        upstream, through = free_port(), free_port()
        stack.enter_context(running(["nginx", "-c", str(nginx_config(folder, upstream))], OTHER_CORE, upstream))
        proxies = {
            "none": None,
            "haproxy": running(["haproxy", "-f", str(haproxy_config(folder, through, upstream))], PROXY_CORE, through),
            "pipe, idle": pipe(through, upstream),
            "pipe, every byte through an effect": pipe(through, upstream, 0),
            "pipe, latency 10 ms": pipe(through, upstream, 10),
        }
        if peer:
            proxies["Toxiproxy"] = toxiproxy(peer, through, upstream, 0)
            proxies["Toxiproxy, latency 10 ms"] = toxiproxy(peer, through, upstream, 10)
        print(
            "| proxy | connections | requests/s | p50 ms | p99 ms | CPU µs/request | MB |\n|---|---|---|---|---|---|---|"
        )
        for name, command in proxies.items():
            with command or nullcontext() as pid:
                for connections in counts:
                    rate, half, tail, cpu = measure(
                        through if command else upstream, connections, seconds, pid if command else None
                    )
                    shown = f"{cpu:.0f}" if cpu is not None else "–"
                    used = f"{memory(pid):.0f}" if command else "–"
                    print(
                        f"| {name} | {connections} | {rate:,.0f} | {half:.2f} | {tail:.2f} | {shown} | {used} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
