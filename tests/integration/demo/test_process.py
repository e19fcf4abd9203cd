"""The demo as a process: it starts, is replaced, stops, and leaves nobody behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaosbot.demo import body, protocol
from chaosbot.demo.server import DemoSettings, listen, serve

World = Any


def test_a_bot_that_dies_is_replaced_on_the_same_port(start: Any) -> None:
    world = start(api=False, forked=False)
    for _ in range(2):
        pid = world.health()["pid"]
        os.kill(pid, signal.SIGKILL)
        assert b"hello" in world.post(world.message("hello"))[1]
        assert world.health()["pid"] != pid
    world.close()


def post_stuck(world: World, answers: list[int]) -> None:
    answers.append(world.post(world.message(" " * 2500))[0])


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_bot_leaves_with_its_supervisor_even_while_it_is_stuck(start: Any, how: signal.Signals) -> None:
    for _ in range(5):
        world = start("--no-limits", bugs="slow-text-blocks-loop", api=False, forked=False)
        bot = os.pidfd_open(world.health()["pid"])
        answers: list[int] = []
        stuck = threading.Thread(target=post_stuck, args=(world, answers))
        stuck.start()
        with contextlib.suppress(TimeoutError):
            while True:  # until nobody answers any more
                with world.connect(0.2) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    sock.recv(100)
        late = bool(answers)  # so busy is the machine that the bot was free again before it was told to go
        world.process.send_signal(how)
        world.process.wait(60)
        assert select.select([bot], [], [], 60)[0]
        os.close(bot)
        stuck.join()
        if not late:
            break
    assert answers == [0], "it left while it was stuck: who made it so never got an answer"


@pytest.mark.parametrize("option", ["--supervised", "--no-supervised"])
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "end of input"])
def test_the_demo_stops_quickly(start: Any, option: str, how: str) -> None:
    world = start(option, api=False, forked=False)
    with world.connect() as idle:
        idle.sendall(b"POST /webhook/telegram HTTP/1.1\r\n")
        if how == "end of input":
            world.process.stdin.close()
        else:
            world.process.send_signal(getattr(signal, how))
        # A second is the aim, more is the machine's; what must not happen is waiting for the idle client.
        assert world.process.wait(protocol.HEAD_S - 1) == 0
    world.process.stdin.close()
    world.close()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--bugs", "no-such-bug"], "available: fragile"),
        (["--bot-api", "somewhere"], "base URL"),
        (["--port", "99999"], "port"),
    ],
)
def test_a_mistake_in_the_options_is_explained(options: list[str], complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chaosbot.demo", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_taken_port_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "chaosbot.demo", "--port", port], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_settings_do_not_show_their_secrets() -> None:
    assert "hidden" not in repr(DemoSettings(secret="hidden-1", bot_token="hidden-2", ws_token="hidden-3"))


def test_the_demo_imports_nothing_else_of_chaosbot() -> None:
    code = "import sys, chaosbot.demo.supervisor as s; s._import_ahead(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("chaosbot.")}
    assert ours <= {"demo", "errors"}
    assert not {"mitmproxy", "hypothesis", "typer"} & set(loaded)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A demo in a thread whose patience is a quarter of a second."""
    for module, name in ((protocol, "HEAD_S"), (protocol, "LINGER_S"), (body, "READ_S")):
        monkeypatch.setattr(module, name, 0.25)
    settings = DemoSettings(secret="s", supervised=False)
    sock = listen(settings)
    port = sock.getsockname()[1]
    watched, held = os.pipe()
    ready = threading.Event()
    thread = threading.Thread(target=serve, args=(settings, sock, lambda _url: ready.set(), watched))
    thread.start()
    assert ready.wait(60)
    yield lambda: socket.create_connection(("127.0.0.1", port), timeout=60)
    os.close(held)
    thread.join(60)
    os.close(watched)


def everything(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


HEAD = b"POST /webhook/telegram HTTP/1.1\r\nhost: x\r\nx-telegram-bot-api-secret-token: "


def test_slow_senders_are_not_waited_for(impatient: Any) -> None:
    with impatient() as sock:
        sock.sendall(b"POST /webhook")
        assert everything(sock).startswith(b"HTTP/1.1 408 ")
    with impatient() as sock:
        sock.sendall(HEAD + b"s\r\ncontent-length: 10\r\n\r\n{")
        assert everything(sock).startswith(b"HTTP/1.1 408 ")
    with impatient() as sock:
        sock.sendall(HEAD + b"wrong\r\ncontent-length: 10\r\n\r\n{")
        assert everything(sock).startswith(b"HTTP/1.1 401 ")


def test_the_package_keeps_its_files_short() -> None:
    package = Path(protocol.__file__).parent
    assert {file.name for file in package.glob("*.py") if len(file.read_text().splitlines()) >= 320} == set()


def test_a_log_tells_of_each_request_and_of_nothing_that_was_written_in_it() -> None:
    command = [sys.executable, "-m", "chaosbot", "demo", "--serve", "--port", "0", "--log"]
    secret = {**os.environ, "TELEGRAM_SECRET_TOKEN": "s3cret-of-the-log"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=secret) as served:
        assert served.stdout is not None
        url = served.stdout.readline().split()[1]
        update = {"update_id": 712, "message": {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}}}
        update["message"] |= {"from": {"id": 5, "is_bot": False, "first_name": "A"}, "text": "for your eyes only"}
        headers = {"X-Telegram-Bot-Api-Secret-Token": "s3cret-of-the-log"}
        assert httpx.post(url, json=update, headers=headers).status_code == 200
        assert httpx.post(url, json=update).status_code == 401
        served.terminate()
        told = served.communicate(timeout=60)[1]
    taken, refused = map(json.loads, told.splitlines())
    assert (taken["event"], taken["status"], taken["update"], taken["kind"]) == ("answered", 200, 712, "message")
    assert (refused["status"], "update" in refused) == (401, False)
    assert "eyes only" not in told
    assert "s3cret" not in told
