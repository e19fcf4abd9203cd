"""Memory of long runs: does the resident size grow with what a run carries?

Usage: python bench/memory.py [journal|report|proxy|load] [COUNT]

- ``journal``: events written to a journal in this process (default 1 000 000 exchanges, half of them with a fault).
- ``report``: the same journal read back and folded in a process of its own; its highest resident size for COUNT / 4 and COUNT.
- ``proxy``: a real `chaosbot proxy` with a fault on every second exchange, its workers included (default 1 000 000).
- ``load``: a real `chaosbot load` against a small server (default 10 000 000).

Prints MB after the first tenth and at the end, and ends with 1 when a part grew by more than 20 MB in between. Only 127.0.0.1 is
used. The slow tests run the first two with a smaller COUNT.
"""

import asyncio
import os
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
write_all(report, history, Path(sys.argv[1]), Redactor())
row = report.faults[0]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, row.touched.requests, row.clean.requests)
"""


def fold_peak(directory):
    """The highest resident MB of a process that makes this run's report, and how many exchanges it compared."""
    command = [sys.executable, "-c", FOLD, str(directory)]
    peak, touched, clean = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(peak), int(touched) + int(clean)


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
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
    writer.close()


async def _send(port, count):
    numbers = iter(range(count))
    await asyncio.gather(*(_client(port, numbers) for _ in range(16)))


def watched(pid, done, total):
    """Samples the resident size until the process ends; MB after a tenth of the time and the last."""
    samples, begun = [], time.monotonic()
    while not done():
        try:
            samples.append((time.monotonic() - begun, rss_mb(pid)))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.5)
    length = samples[-1][0]
    warm = next(size for at, size in samples if at >= min(length / 10, total))
    return warm, max(size for at, size in samples if at >= length * 0.9)


def proxy(folder, count):
    target, port = serve()
    entry = 18080 + os.getpid() % 1000
    command = [*CHAOSBOT, "proxy", f"http://127.0.0.1:{port}", "--listen", f"127.0.0.1:{entry}", "--http"]
    command += ["--fault", "abort:503;p=0.5", "--out", str(folder / "proxy"), "--quiet"]
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
        return watched(process.pid, lambda: not sender.is_alive(), 1e9)
    finally:
        process.terminate()
        process.wait(600)
        target.terminate()


def load(folder, count):
    target, port = serve()
    command = [
        *CHAOSBOT,
        "load",
        f"http://127.0.0.1:{port}/hook",
        "--rate",
        "4000",
        "--duration",
        f"{count / 4000:.0f}s",
    ]
    process = subprocess.Popen([*command, "--out", str(folder / "load"), "--quiet"])
    try:
        return watched(process.pid, lambda: process.poll() is not None, 1e9)
    finally:
        process.terminate()
        process.wait(60)
        target.terminate()


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "journal"
    if what == "serve":
        asyncio.run(_serve())
        return
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000 if what == "load" else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "report":
            fill(folder / "few", count // 4)
            fill(folder / "many", count)
            (before, few), (after, many) = fold_peak(folder / "few"), fold_peak(folder / "many")
            print(f"report: {few} exchanges {before:.1f} MB, {many} exchanges {after:.1f} MB at most")
        else:
            before, after = {"journal": lambda: fill(folder / "run", count)}.get(
                what, lambda: {"proxy": proxy, "load": load}[what](folder, count)
            )()
            print(f"{what}: {count} exchanges, {before:.1f} MB after a tenth, {after:.1f} MB at the end")
    sys.exit(after - before > LIMIT_MB)


if __name__ == "__main__":
    main()
