"""The mock of language models beside LLMock (PyPI: llmock) in one run, with wrk in front of both.

Usage: python bench/llm.py [--llmock PATH] [SECONDS] [CONNECTIONS]

With the path of LLMock's program it is measured too. Each mock is one process pinned to one core; wrk, and what takes the events of ours,
share the other one. A streamed answer has 50 events at both; ours, without a pace, writes them in two parts. Prints a table in Markdown:
answers a second, the median and the 99th percentile of their time, CPU time an answer; then what 1000 streams at once take (memory, CPU time)
that each last about 15 seconds.
Needs wrk and taskset on the PATH.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pipe

from chaosbot.mocks.llm import LlmApi
from chaosbot.mocks.server import MockListener, MockServer

EVENTS = 50
ROUNDS = 3
LEAST = 1000  # answers in each measurement, however busy the machine is
STREAMS = 1000
HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01", "authorization": "Bearer sk-bench"}
APIS = {"Messages": "/messages", "Chat Completions": "/chat/completions"}


def body_of(words, *, stream, most):
    """A question of so many short words; LLMock answers with its first 120 characters."""
    messages = [{"role": "user", "content": " ".join(["cbm@", *["a"] * (words - 1)])}]
    return {"model": "m-1", "max_tokens": most, "messages": messages, "stream": stream}


def events_in(url, asked):
    """How many events a streamed answer has."""
    command = ["curl", "-s", *(f"-H{name}: {value}" for name, value in HEADERS.items()), "-d", json.dumps(asked), url]
    return subprocess.run(command, capture_output=True, check=True).stdout.count(b"data: ")


def with_events(url, made):
    """The request whose answer has so many events."""
    for size in range(1, 400):
        asked = made(size)
        if events_in(url, asked) == EVENTS:
            return asked
    sys.exit(f"no answer of {url} has {EVENTS} events")


def measure(url, asked, seconds, connections, pid):
    """Answers a second, p50 and p99 in ms, CPU ms an answer."""
    head = ", ".join(f'["{name}"]="{value}"' for name, value in HEADERS.items())
    before, after = json.dumps(asked).split("cbm@")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"local n = 0\nlocal head = {{{head}}}\n"
            f"request = function()\n  n = n + 1\n"
            f"  return wrk.format('POST', nil, head, [[{before}]] .. string.format('cbm%012x', n) .. [[{after}]])\nend\n"
        )
        script.flush()
        total, took, times = 0, 0.0, []
        used = cpu_seconds(pid)
        while total < LEAST:
            command = [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds}s",
                "--latency",
                "--timeout",
                "60s",
                "-s",
                script.name,
                url,
            ]
            out = subprocess.run(
                pipe.pinned(pipe.OTHER_CORE, command), capture_output=True, text=True, check=True
            ).stdout
            if "Socket errors" in out or "Non-2xx" in out:
                sys.exit(f"errors while measuring:\n{out}")
            count, took_s = re.search(r"(\d+) requests in ([\d.]+)s", out).groups()
            total, took = total + int(count), took + float(took_s)
            if int(count):
                shown = (re.search(rf"^\s+{share}%\s+(\S+)", out, re.MULTILINE)[1] for share in (50, 99))
                times.append([pipe.milliseconds(one) for one in shown])
        used = cpu_seconds(pid) - used
    half, tail = (median(column) for column in zip(*times, strict=True))
    return total / took, half, tail, used / total * 1e3


def cpu_seconds(pid):
    """CPU time of all threads of a process, to the nanosecond."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


async def one_stream(host, port, path, body, counts):
    reader, writer = await asyncio.open_connection(host, port)
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    writer.write(f"POST {path} HTTP/1.1\r\nhost: {host}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    tail = b""
    while not tail.endswith(b"0\r\n\r\n"):
        piece = await reader.read(65536)
        if not piece:
            sys.exit(f"a stream broke off after {tail!r}")
        if not tail:
            counts["open"] += 1
        tail = (tail + piece)[-200:]
    if b"message_stop" not in tail:
        sys.exit(f"a stream ended without its last event: {tail!r}")
    counts["open"] -= 1
    writer.close()


async def all_streams(url, asked, pid):
    """Most streams at once, the mock's most memory in MB, its CPU time in seconds, and how long all took."""
    host, port, path = re.fullmatch(r"http://([^:]+):(\d+)(/.*)", url).groups()
    counts, most, memory = {"open": 0}, 0, 0.0
    begun, used = time.monotonic(), cpu_seconds(pid)
    tasks = [
        asyncio.create_task(
            one_stream(host, int(port), path, json.dumps(asked).replace("cbm@", f"cbm{n:012x}").encode(), counts)
        )
        for n in range(STREAMS)
    ]
    while not all(task.done() for task in tasks):
        most, memory = max(most, counts["open"]), max(memory, pipe.memory(pid))
        await asyncio.sleep(0.2)
    await asyncio.gather(*tasks)
    return most, memory, cpu_seconds(pid) - used, time.monotonic() - begun


@contextmanager
def ours():
    """The mock as `chaosbot mock llm` serves it; its events are taken and dropped."""
    mocks = {
        "plain": LlmApi(),
        "stream": LlmApi(shape="long"),
        "slow": LlmApi(shape="long", first_token=0.5, pace=26.0),
    }
    listeners = [MockListener(mock, name=name) for name, mock in mocks.items()]
    with MockServer(listeners, lambda _event: None, time.monotonic()) as server:
        os.sched_setaffinity(server.pid, {pipe.PROXY_CORE})
        asked = {}
        for api, path in APIS.items():
            url = server.urls["stream"] + "/v1" + path
            asked[api, "plain"] = server.urls["plain"] + "/v1" + path, body_of(8, stream=False, most=1000)
            asked[api, "stream"] = url, with_events(url, lambda most: body_of(8, stream=True, most=most))
        slow = server.urls["slow"] + "/v1/messages", body_of(8, stream=True, most=4000)
        yield server.pid, asked, slow


@contextmanager
def llmock(program, *options):
    """LLMock as its program serves it, silent; where it is, and its process."""
    port = pipe.free_port()
    command = [program, "serve", "--port", str(port), "--log-level", "error", "--response-style", "echo", *options]
    with pipe.running(command, pipe.PROXY_CORE, port) as pid:
        yield (
            pid,
            {
                api: f"http://127.0.0.1:{port}{at}{APIS[api]}"
                for api, at in zip(APIS, ("/anthropic/v1", "/v1"), strict=True)
            },
        )


@contextmanager
def peer_of(program):
    """The same as `ours` for LLMock."""
    with llmock(program) as (pid, urls):
        asked = {}
        for api, url in urls.items():
            asked[api, "plain"] = url, body_of(8, stream=False, most=1000)
            asked[api, "stream"] = url, with_events(url, lambda words: body_of(words, stream=True, most=1000))
        yield pid, asked, asked["Messages", "stream"]


def main():
    peer = None
    if sys.argv[1:2] == ["--llmock"]:
        peer = sys.argv[2]
        del sys.argv[1:3]
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    if missing := [name for name in ("wrk", "taskset", "curl") if shutil.which(name) is None]:
        sys.exit(f"not installed: {', '.join(missing)}")
    slow = {}
    with ExitStack() as stack:
        mocks = {"chaosbot": stack.enter_context(ours())}
        if peer:
            mocks["LLMock"] = stack.enter_context(peer_of(peer))
        found = defaultdict(list)
        for _ in range(ROUNDS):  # by turns, so that whatever else runs meets both
            for kind in [(api, kind) for kind in ("plain", "stream") for api in APIS]:
                for name, (pid, asked, _) in mocks.items():
                    found[name, kind].append(measure(*asked[kind], seconds, connections, pid))
        slow["chaosbot"] = asyncio.run(all_streams(*mocks["chaosbot"][2], mocks["chaosbot"][0]))
    if peer:
        with llmock(peer, "--stream-chunk-delay-ms", "300") as (pid, urls):
            slow["LLMock"] = asyncio.run(all_streams(urls["Messages"], mocks["LLMock"][2][1], pid))
    print("| mock | answer | answers/s | p50 ms | p99 ms | CPU ms/answer |\n|---|---|--:|--:|--:|--:|")
    medians = {key: [median(column) for column in zip(*rounds, strict=True)] for key, rounds in found.items()}
    for (name, (api, kind)), (rate, half, tail, cpu) in medians.items():
        what = "plain" if kind == "plain" else f"{EVENTS} events"
        print(f"| {name} | {api}, {what} | {rate:,.0f} | {half:.2f} | {tail:.2f} | {cpu:.3f} |")
        if name != "chaosbot":
            own = medians["chaosbot", (api, kind)]
            print(f"| chaosbot's multiple | | {own[0] / rate:.1f} | | | {cpu / own[3]:.1f} |")
    print("\n| mock | slow streams at once | MB | CPU s | all took s |\n|---|--:|--:|--:|--:|")
    for name, (most, memory, cpu, took) in slow.items():
        print(f"| {name} | {most} | {memory:.0f} | {cpu:.1f} | {took:.0f} |")


if __name__ == "__main__":
    main()
