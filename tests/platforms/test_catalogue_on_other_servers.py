"""The catalogue is no habit of our own demo: other correct servers meet every expectation, and a framework only fails where it errs."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaosbot.core.case import Case, Ending
from chaosbot.core.dice import Dice
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.fuzz.catalogue import cases
from chaosbot.transport import Address, send

SECRET = "s3cret-Token_9"

# A plain and correct webhook on Node's own HTTP server.
NODE = """
const http = require('http');
http.createServer((request, response) => {
  const done = (status) => {
    if (response.headersSent) return;
    response.writeHead(status, {connection: status === 200 ? 'keep-alive' : 'close'});
    response.end();
  };
  const refuse = (status) => { request.resume(); done(status); };
  request.on('error', () => {});
  if (request.headers['x-telegram-bot-api-secret-token'] !== 'SECRET') return refuse(401);
  if (request.method !== 'POST') return refuse(405);
  if (!['identity', undefined].includes(request.headers['content-encoding'])) return refuse(415);
  let size = 0;
  const parts = [];
  request.on('data', (part) => {
    size += part.length;
    if (size > 1e6) { done(413); request.destroy(); } else parts.push(part);
  });
  request.on('end', () => {
    try {
      const root = JSON.parse(Buffer.concat(parts).toString('utf8'));
      done(root && typeof root === 'object' && !Array.isArray(root) ? 200 : 400);
    } catch { done(400); }
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
"""

# An unmodified framework bot as its documentation has it.
AIOGRAM = """
import logging, sys
from aiohttp import web
from aiogram import Bot, Dispatcher
from aiogram.webhook.aiohttp_server import SimpleRequestHandler

logging.disable(logging.CRITICAL)
dispatcher = Dispatcher()

@dispatcher.message()
async def read(message):
    return None

app = web.Application()
bot = Bot("123456:" + "a" * 35)
SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token="SECRET").register(app, path="/hook")
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@pytest.fixture
def serve(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[[list[str], str], int]]:
    started = []

    def start(command: list[str], source: str) -> int:
        file = tmp_path / "server"
        file.write_text(source.replace("SECRET", SECRET))
        port = free_port()
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([*command, str(file), str(port)], stdout=log, stderr=log)
        started.append(process)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)  # another process' start has no event to wait for
        pytest.fail("the server does not listen")

    yield start
    for process in started:
        process.kill()
        process.wait()


def outside(port: int) -> list[tuple[Case, Outcome]]:
    address = Address.parse(f"http://127.0.0.1:{port}/hook")
    endpoint = Endpoint(f"127.0.0.1:{port}", "/hook", SECRET)
    catalogue = cases(PLATFORMS.build("telegram"), endpoint, Dice(1))
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda case: send(case, address, timeout_s=30.0), catalogue))

    def fits(case: Case, outcome: Outcome) -> bool:
        if outcome.fate is Fate.ANSWERED:
            return case.expect.allows_status(outcome.status)
        return case.ending in (Ending.CLOSE, Ending.RESET) or (
            case.expect.close and outcome.fate in (Fate.CLOSED, Fate.RESET)
        )

    return [(case, outcome) for case, outcome in zip(catalogue, outcomes, strict=True) if not fits(case, outcome)]


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_a_correct_server_on_another_platform_meets_every_expectation(serve) -> None:
    port = serve(["node"], NODE)
    assert [(case.name, str(outcome.fate), outcome.status) for case, outcome in outside(port)] == []


@pytest.mark.slow
def test_an_unmodified_framework_bot_is_outside_only_where_it_answers_500(serve) -> None:
    port = serve([sys.executable], AIOGRAM)
    found = outside(port)
    assert {(str(outcome.fate), outcome.status) for _, outcome in found} == {("answered", 500)}
    names = {case.name for case, _ in found}
    # As measured: broken JSON, a secret that is no ASCII, members of the wrong type.
    assert {"json/truncated-last", "auth/odd-latin1", "shape/message-text/chat-dropped", "json/root-null"} <= names
    # What a platform or a person can send is acknowledged.
    assert not {case.name for case, _ in found if case.group == "update_kinds" and case.expect.statuses == {2}}
    assert not {case.group for case, _ in found} & {"escalation", "commands", "timing", "framing", "sequence"}
