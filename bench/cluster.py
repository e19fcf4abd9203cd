"""Whether one parent keeps up with many machines: simulated shards report once a second each through a real Dask scheduler.

Usage: python bench/cluster.py [SHARDS [SECONDS]]    (default 100 and 60)

Scheduler, queues, merging and journal are the real ones. Only the processes that would make the load are replaced: by Dask tasks that
send what such a process sends each second, an interval with two histograms of 300 latencies and one for each of 22 tasks.
Prints how late reports are merged (p50, p99, max, in ms), the CPU that this process needs (scheduler included) and how many MB it has
grown by after the first tenth. Only 127.0.0.1 is used.
"""

import contextlib
import pickle
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

import psutil
from distributed import Client, LocalCluster, Queue, get_client

import chaosbot.cluster
from chaosbot.cluster import Kind, Requirements, connected
from chaosbot.core.arrival import GeneratorHealth
from chaosbot.core.event import IntervalMeasured, TaskInterval
from chaosbot.core.hdr import cells, encode
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.engine import RunHooks
from chaosbot.load.shards import LoadProcesses
from chaosbot.load.spec import LoadSpec
from chaosbot.session.run import Run

TASKS = 22
REQUESTS = 300


def simulated(run, index, _name):
    """In place of `chaosbot.cluster.relay`: reports on time what nobody measured."""
    client = get_client()
    inbox, outbox = Queue(f"{run}-{index}", client), Queue(run, client)
    _, (_, (spec, _)) = pickle.loads(inbox.get())
    outbox.put(pickle.dumps((index, [(Kind.READY, None)])))
    kind, told = Kind.BEAT, None
    while kind == Kind.BEAT:
        kind, told = pickle.loads(inbox.get())
    start, started = told
    dice = random.Random(index)
    for second in range(int(spec.duration_s)):
        drawn = [int(dice.lognormvariate(3, 1) * 1000) for _ in range(REQUESTS)]
        whole = histogram(drawn)
        tasks = {
            f"tier/task{number}": TaskInterval(len(drawn[number::TASKS]), {}, histogram(drawn[number::TASKS]))
            for number in range(TASKS)
        }
        due = start + second + 1
        event = IntervalMeasured(
            due - started, second, index, REQUESTS, REQUESTS, REQUESTS, 0, 0, 0, whole, whole, by_task=tasks
        )
        time.sleep(max(0.0, due - time.monotonic()))
        outbox.put(pickle.dumps((index, [(Kind.MESSAGE, event)])))
    outbox.put(pickle.dumps((index, [(Kind.MESSAGE, ("completed", GeneratorHealth(0, 0, 0.0, 0.0)))])))


def histogram(microseconds):
    """The text of a histogram."""
    counts = {}
    for value in microseconds:
        counts[value] = counts.get(value, 0) + 1
    return encode(cells(counts))


@contextlib.contextmanager
def waited(local):
    """Both workers are there."""
    with Client(local.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
        yield


def main(shards=100, seconds=60):
    chaosbot.cluster.relay = simulated
    late, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        run = Run("load", "http://127.0.0.1/", 1, Path(folder) / "run")
        this = psutil.Process()

        def take(event):
            if isinstance(event, IntervalMeasured):
                late.append((run.now() - event.t) * 1000)
                if not len(late) % shards:
                    sizes.append(this.memory_info().rss / 1e6)
            run.emit(event)

        profile = PROFILES.build("steady", {"rate": f"{shards * REQUESTS}/s", "duration": f"{seconds}s"})
        spec = LoadSpec(
            "http://127.0.0.1/",
            Endpoint(),
            "telegram",
            1,
            profile,
            processes=shards,
            duration_s=float(seconds),
            started=run.started,
        )
        with (
            socket.create_server(("127.0.0.1", 0)) as target,
            LocalCluster(
                n_workers=2, threads_per_worker=(shards + 1) // 2, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as local,
            connected(
                local.scheduler_address, Requirements(f"http://127.0.0.1:{target.getsockname()[1]}/"), shards
            ) as cluster,
        ):
            before, began = sum(this.cpu_times()[:2]), time.monotonic()
            LoadProcesses(spec, RunHooks(take), cluster.worker).run()
            busy = (sum(this.cpu_times()[:2]) - before) / (time.monotonic() - began)
        journal = sum(path.stat().st_size for path in (Path(folder) / "run").rglob("*")) / 1e6
    late.sort()
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    print(
        f"{shards} shards, {len(late)} reports: merged after p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {late[-1]:.1f} ms"
    )
    print(f"CPU {busy:.2f} cores; grown by {sizes[-1] - sizes[len(sizes) // 10]:.1f} MB; journal {journal:.1f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
