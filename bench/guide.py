"""What the agent of `--guide` costs the target: processor time a request, with and without it, after a warm-up.

    CHAOSBOT_PARK_PYTHON=python3.13 python bench/guide.py --bot kassa --requests 4000

Processor time of the bot's process is measured, not the clock, so that a busy machine changes less. Both bots run side by side and take turns;
their calls to the platform are answered by the mock.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from park.roster import bot  # noqa: E402 - found by the line above
from park.running import SECRET, WEBHOOK_PATH, command, environment_of, free_port  # noqa: E402

from chaosbot.fuzz.guide import Guide  # noqa: E402
from chaosbot.mocks.server import MockListener, MockServer  # noqa: E402
from chaosbot.mocks.telegram import TelegramApi  # noqa: E402

TURNS = 40
TEXTS = ("/start", "/help", "hallo", "/tarief", "/kaart 24-12", "/groep 12", "/korting LENTE-25", "/sortiment", "/korb")


def cpu_s(pid: int) -> float:
    """Processor time of a process, threads that have ended included, to the nanosecond (Linux; as `clock_getcpuclockid` gives it)."""
    return time.clock_gettime((~pid << 3) | 2)


class Target:
    """One bot that is asked."""

    def __init__(self, name: str, bot_api: str, guide: Guide | None) -> None:
        who, port = bot(name), free_port()
        variables = environment_of(who, bot_api, bug="", port=port)
        if guide is not None:
            names = ("PYTHONPATH", "NODE_OPTIONS", "CHAOSBOT_GUIDE", "CHAOSBOT_GUIDE_INCLUDE")
            variables |= {name: guide.environment()[name] for name in names}
        self.process = subprocess.Popen(command(who)[0], env=variables, stderr=subprocess.DEVNULL)
        self.where = urlsplit(f"http://127.0.0.1:{port}{WEBHOOK_PATH}")
        self.number = 0
        self.secret = who.secret or SECRET
        for _ in range(200):
            try:
                self.ask(1)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{name} does not come up")

    def ask(self, count: int) -> float:
        """Sends so many updates on one connection; processor seconds that the bot took."""
        before = cpu_s(self.process.pid)
        line = http.client.HTTPConnection(self.where.hostname or "", self.where.port or 0, timeout=30)
        for _ in range(count):
            self.number += 1
            user = 5_000_000 + self.number % 1000
            who = {"id": user, "is_bot": False, "first_name": "A", "language_code": "en"}
            message = {
                "message_id": self.number,
                "date": int(time.time()),
                "from": who,
                "chat": {"id": user, "type": "private"},
            }
            message["text"] = TEXTS[self.number % len(TEXTS)]
            body = json.dumps({"update_id": self.number, "message": message}).encode()
            headers = {"X-Telegram-Bot-Api-Secret-Token": self.secret, "Content-Type": "application/json"}
            line.request("POST", self.where.path, body, headers)
            # A server that writes an answer in two parts would wait 40 ms for the acknowledgement of the first.
            line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            line.getresponse().read()
        line.close()
        return cpu_s(self.process.pid) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bot", default="kassa")
    parser.add_argument("--requests", type=int, default=4000, help="in turns")
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds")
    options = parser.parse_args()
    guide = Guide()
    port = free_port()
    targets: list[Target] = []
    with MockServer((MockListener(TelegramApi(), port=port),), lambda _: None, time.monotonic()):
        try:
            targets = [Target(options.bot, f"http://127.0.0.1:{port}", one) for one in (None, guide)]
            measure(options, *targets)
            guide.sync()  # on Node.js the agent tells only what it is asked for
            print(f"the agent told: {guide.reached()[0]} of {guide.reached()[1]} lines reached")
        finally:
            for one in targets:
                one.process.kill()
            guide.close()


def measure(options: argparse.Namespace, plain: Target, watched: Target) -> None:
    """Prints what both take."""
    until = time.monotonic() + options.warm_up
    while time.monotonic() < until:
        plain.ask(100)
        watched.ask(100)
    turns = [(plain.ask(options.requests // TURNS), watched.ask(options.requests // TURNS)) for _ in range(TURNS)]
    without, with_it = (sum(turn[side] for turn in turns) / options.requests * 1e6 for side in (0, 1))
    print(f"{options.bot}: {without:.0f} µs of processor time a request without the agent, {with_it:.0f} µs with it")
    between = median(b / a for a, b in turns if a) - 1
    print(f"overhead {100 * (with_it / without - 1):+.1f} % (median of the turns {100 * between:+.1f} %)")


if __name__ == "__main__":
    main()
