"""Memory of long runs: does the resident size grow with what a run carries?

Usage: python bench/memory.py [journal|report|proxy|load] [COUNT]

- ``journal``: events written to a journal in this process (default 1 000 000 exchanges, half of them with a fault).
- ``report``: the same journal read back and folded in a process of its own; its highest resident size.
- ``proxy``: a real `chaosbot proxy` with a fault on every second exchange, its workers included (default 1 000 000).
- ``load``: a real `chaosbot load` against a small server (default 10 000 000).

Prints MB: for ``journal`` after the first tenth and at the end, otherwise the most that a run of COUNT / 4 and one of COUNT took,
their report included; ends with 1 when the second is more than 20 MB above the first. Only 127.0.0.1 is used. The slow tests
run the first two with a smaller COUNT.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from chaosbot.core.event import SCHEMA, ExchangeSeen, Injected, RunEnded, RunStarted
from chaosbot.core.exchange import Depth, Direction
from chaosbot.journal import Journal, Redactor

LIMIT_MB = 20.0
CHAOSBOT = [sys.executable, "-m", "chaosbot"]
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BODY = (
    b'{"update_id":%012d,"message":{"message_id":1,"date":1,"chat":{"id":5,"type":"private"},'
    b'"from":{"id":5,"is_bot":false,"first_name":"A"},"text":"hello"}}'
)


def rss_mb(pid=None):
    """Resident MB of a process and its children."""
    process = psutil.Process(pid)
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def fill(directory, count):
    """Writes the journal of a proxy run; the resident MB after a tenth of it and at its end."""
    journal = Journal(directory, Redactor(("a-secret-of-this-run",)))
    journal.write(RunStarted(0.0, "proxy", "bench", 1, "http://127.0.0.1:1", "now", schema=SCHEMA))
    warm = 0.0
    for number in range(count):
        t, exchange = number / 2000, f"u{number}"
        if number % 2:
            fault = Injected(t, "slow", "latency", Depth.EXCHANGE, Direction.INBOUND, exchange, "applied")
            journal.write(fault)
        journal.write(
            ExchangeSeen(
                t, exchange, Direction.INBOUND, "POST", "/hook", 200, "target", 0.001 + number % 997 / 1e5, 200
            )
            if number % 3
            else ExchangeSeen(
                t,
                exchange,
                Direction.INBOUND,
                "POST",
                "/hook",
                200,
                "target",
                0.01,
                200,
                number,
                "message",
                5,
                5,
                "/help",
            )
        )
        if number == count // 10:
            warm = rss_mb()
    journal.write(RunEnded(count / 2000, "completed"))
    journal.close()
    return warm, rss_mb()


FOLD = """
import resource, sys
from pathlib import Path
from chaosbot.journal import Redactor, read
from chaosbot.report import fold, write_all
history = read(Path(sys.argv[1]))
report = fold(history)
write_all(report, Path(sys.argv[1]), Redactor())
row = report.faults[0]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, row.touched.requests, row.clean.requests)
"""


def fold_peak(directory):
    """The highest resident MB of a process that makes this run's report, and how many exchanges it compared."""
    command = [sys.executable, "-c", FOLD, str(directory)]
    peak, touched, clean = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(peak), int(touched) + int(clean)


def report(folder, count):
    """The highest resident MB while a run of so many exchanges is folded."""
    fill(folder / f"report-{count}", count)
    peak, compared = fold_peak(folder / f"report-{count}")
    assert compared == count, compared
    return peak


class Answering(asyncio.Protocol):
    """Answers every whole request on a connection."""

    def connection_made(self, transport):
        """Begins with an empty buffer."""
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        """Answers what is whole."""
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(ANSWER)


async def _serve():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def serve():
    """Starts a target in a process of its own; the process and its port."""
    process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


async def _client(port, numbers):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        body = BODY % number
        writer.write(b"POST /hook HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(LENGTH.search(head)[1]))
    writer.close()


async def _send(port, count):
    numbers = iter(range(count))
    await asyncio.gather(*(_client(port, numbers) for _ in range(16)))


def watched(pid, done):
    """Samples the resident size until it is over; the highest MB."""
    highest = 0.0
    while not done():
        try:
            highest = max(highest, rss_mb(pid))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.25)
    return highest


def proxy(folder, count):
    target, port = serve()
    entry = 18080 + os.getpid() % 1000
    command = [*CHAOSBOT, "proxy", f"http://127.0.0.1:{port}", "--listen", f"127.0.0.1:{entry}", "--http"]
    command += ["--fault", "abort:503;p=0.5", "--out", str(folder / f"proxy-{count}"), "--quiet"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                asyncio.run(_send(entry, 1))
                break
            except OSError:
                time.sleep(0.2)
        sender = threading.Thread(target=lambda: asyncio.run(_send(entry, count)))
        sender.start()
        carrying = watched(process.pid, lambda: not sender.is_alive())
        process.terminate()
        return max(carrying, watched(process.pid, lambda: process.poll() is not None))
    finally:
        process.kill()
        target.terminate()


def load(folder, count):
    target, port = serve()
    command = [
        *CHAOSBOT,
        "load",
        f"http://127.0.0.1:{port}/hook",
        "--rate",
        "4000/s",
        "--duration",
        f"{count / 4000:.0f}s",
    ]
    process = subprocess.Popen([*command, "--out", str(folder / f"load-{count}"), "--quiet"])
    try:
        highest = watched(process.pid, lambda: process.poll() is not None)
        assert process.returncode != 2, "the load never ran"
        return highest
    finally:
        process.kill()
        target.terminate()


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "journal"
    if what == "serve":
        asyncio.run(_serve())
        return
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000 if what == "load" else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "journal":
            before, after = fill(folder / "run", count)
            print(f"journal: {count} exchanges, {before:.1f} MB after a tenth, {after:.1f} MB at the end")
        else:
            measure = {"report": report, "proxy": proxy, "load": load}[what]
            before, after = measure(folder, count // 4), measure(folder, count)
            print(f"{what}: at most {before:.1f} MB for {count // 4}, {after:.1f} MB for {count}")
    sys.exit(after - before > LIMIT_MB)


if __name__ == "__main__":
    main()
