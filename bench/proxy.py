"""The proxy beside mitmdump, mockttp and no proxy at all, in one run: nginx behind, wrk in front, small JSON POSTs on kept connections.

Usage: python bench/proxy.py [--mockttp FOLDER] [SECONDS] [CONNECTIONS ...]

FOLDER is one in which `npm install mockttp` was run; mockttp then forwards everything and keeps what it saw, its default.

Prints a table in Markdown: requests a second, the median and the 99th percentile of the response time, and CPU microseconds a
request. "idle chain" means a plan of four rules that look at every exchange and never fire. Processes are not pinned: workers
of one proxy share what the machine has with nginx and wrk. Needs nginx and wrk on the PATH, and mitmdump beside this Python.
Afterwards, unless --no-memory is the last word, it sends 200 000 requests and a made-up body of 1 GB, and prints what a worker's memory grew by.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from pipe import cpu_seconds, free_port, milliseconds, nginx_config, wait_for  # the script beside this one

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan

IDLE = ("abort:503;p=0", "delay:1s;path=/never/*", "lost_ack;command=nothing", "latency:1s;direction=outbound")
BODY = (
    '{"update_id":1,"message":{"message_id":1,"date":1,"chat":{"id":5,"type":"private"},'
    '"from":{"id":5,"is_bot":false,"first_name":"A"},"text":"hello"}}'
)


def wrk(port, connections, seconds, script, pids, *, strict=True):
    before = sum(map(cpu_seconds, pids))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script]
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/webhook/telegram"], capture_output=True, text=True, check=True
    ).stdout
    lines = {line.split()[0]: line.split()[1] for line in out.splitlines() if len(line.split()) >= 2}
    if "Non-2xx" in out and strict:  # mockttp takes some of many simultaneous requests for a loop and refuses them
        sys.exit(f"errors while measuring:\n{out}")
    total = next(int(line.split()[0]) for line in out.splitlines() if " requests in " in line)
    cpu = (sum(map(cpu_seconds, pids)) - before) / total * 1e6 if pids else None
    return float(lines["Requests/sec:"]), milliseconds(lines["50%"]), milliseconds(lines["99%"]), cpu


def start(process, port, stack):
    stack.callback(process.wait)
    stack.callback(process.terminate)  # nginx then ends its worker too
    wait_for(port, process)
    return process.pid


def row(name, connections, figures):
    rate, half, tail, cpu = figures
    cpu_text = "" if cpu is None else f"{cpu:.0f}"
    print(f"| {connections} | {name} | {rate:,.0f} | {half:.2f} | {tail:.2f} | {cpu_text} |", flush=True)


# Node's own agent keeps connections to the upstream; recordTraffic (on) keeps every exchange with its bodies.
MOCKTTP = """
const server = require('mockttp').getLocal({recordTraffic: true, maxBodySize: 1000000});
server.start(+process.argv[1])
  .then(() => server.forAnyRequest().thenForwardTo('http://127.0.0.1:' + process.argv[2]));
"""


def main():
    mockttp = None
    if sys.argv[1:2] == ["--mockttp"]:
        mockttp = sys.argv[2]
        del sys.argv[1:3]
    words = [word for word in sys.argv[1:] if word != "--no-memory"]
    seconds = int(words[0]) if words else 5
    counts = [int(value) for value in words[1:]] or [1, 16, 64, 512]
    mitmdump = Path(sys.executable).with_name("mitmdump")
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name)]
    if missing or not mitmdump.exists():
        sys.exit(f"not found: {', '.join(missing) or mitmdump}; install it to compare")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = folder / "post.lua"
        script.write_text(f"wrk.method='POST'; wrk.body='{BODY}'; wrk.headers['content-type']='application/json'")
        behind, beside = free_port(), free_port()
        start(subprocess.Popen(["nginx", "-c", nginx_config(folder, behind)]), behind, stack)
        peer = start(
            subprocess.Popen(
                [mitmdump, "-q", "--mode", f"reverse:http://127.0.0.1:{behind}", "-p", str(beside)],
                env={"HOME": str(folder), "PATH": ""},
            ),
            beside,
            stack,
        )
        other = free_port()
        if mockttp:
            node = ["node", "-e", MOCKTTP, str(other), str(behind)]
            node_pid = start(subprocess.Popen(node, cwd=mockttp, stderr=subprocess.DEVNULL), other, stack)
        proxies = {}
        for name, plan, workers in (
            ("chaosbot, no rules", FaultPlan(), 1),
            ("chaosbot, idle chain", plan_of([parse_fault(text) for text in IDLE]), 1),
            ("chaosbot, idle chain, 2 workers", plan_of([parse_fault(text) for text in IDLE]), 2),
        ):
            listener = ListenerSpec(Direction.INBOUND, f"http://127.0.0.1:{behind}")
            spec = ProxySpec((listener,), 1, plan, workers=workers, confdir=str(folder / "ca"))
            proxies[name] = stack.enter_context(Proxy(spec, lambda _event: None))
        print("| connections | through | requests/s | p50 ms | p99 ms | CPU µs/request |")
        print("|---|---|---|---|---|---|")
        for connections in counts:
            row("nothing", connections, wrk(behind, connections, seconds, script, []))
            row("mitmdump", connections, wrk(beside, connections, seconds, script, [peer]))
            if mockttp:
                row("mockttp", connections, wrk(other, connections, seconds, script, [node_pid], strict=False))
            for name, proxy in proxies.items():
                port = int(proxy.url(Direction.INBOUND).rpartition(":")[2])
                row(name, connections, wrk(port, connections, seconds, script, proxy.pids))
        if "--no-memory" not in sys.argv:
            memory(proxies["chaosbot, idle chain"], script)


def memory(proxy, script):
    process = psutil.Process(proxy.pids[0])
    port = int(proxy.url(Direction.INBOUND).rpartition(":")[2])
    before = process.memory_info().rss
    sent, started = 0, time.monotonic()
    while sent < 200_000 and time.monotonic() - started < 300:
        sent += int(wrk(port, 16, 10, script, [])[0] * 10)
    after = process.memory_info().rss
    proxy.replace_plan(plan_of([parse_fault("huge_body:1GB"), parse_fault("stale_keepalive")]))
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        total, buffer = 0, bytearray(1 << 20)
        while got := sock.recv_into(buffer):
            total += got
    last = process.memory_info().rss
    print(f"\nmemory: {before / 1e6:.0f} MB, after {sent:,} requests {after / 1e6:.0f} MB, ", end="")
    print(f"after a body of {total / 1e9:.1f} GB {last / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
