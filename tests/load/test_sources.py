"""Journey files and corpora: what they may hold, and errors that name file, line and reason."""

import base64
import json
from pathlib import Path

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, EngineError
from chaosbot.core.platform import PLATFORMS, Endpoint, platform_of
from chaosbot.load import hooks, sources
from chaosbot.load.sources import Corpus, JourneyFile, source_of

TELEGRAM = PLATFORMS.build("telegram")
HERE = Endpoint("127.0.0.1:1", "/webhook", "open-sesame")
GOOD = """
from chaosbot.core.platform import platform_of, Request
from chaosbot.core.journey import JourneySpec, Task

def journeys():
    return (JourneySpec("shopper", 1.0, (0.0, 1.0), (Task("search", 3), Task("buy")), range(10)),)

def build(task, user, ordinal, dice, endpoint):
    body = b'{"task": "%b"}' % task.encode()
    head = f"POST {endpoint.path} HTTP/1.1\\r\\nHost: {endpoint.host}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    return Request(head.encode() + body, task)
"""


def journey(tmp_path: Path, text: str) -> JourneyFile:
    path = tmp_path / "my.py"
    path.write_text(text)
    return JourneyFile(path, TELEGRAM, HERE)


def test_a_journey_file_decides_who_does_what_and_how_it_is_sent(tmp_path: Path) -> None:
    mine = journey(tmp_path, GOOD)
    assert [task.name for task in mine.journeys()[0].tasks] == ["search", "buy"]
    request = mine.build("buy", 1, 1, Dice(1), HERE)
    assert request.data.startswith(b"POST /webhook HTTP/1.1\r\n")


def test_the_example_in_the_documentation_works(tmp_path: Path) -> None:
    lines = sources.__doc__.split("::\n", 1)[1].split("\nEvery task", 1)[0].splitlines()
    assert journey(tmp_path, "\n".join(line[4:] for line in lines)).journeys()[0].name == "shopper"


def test_what_a_journey_file_leaves_out_is_the_platforms(tmp_path: Path) -> None:
    only_waits = journey(
        tmp_path,
        "import dataclasses\nfrom chaosbot.core.platform import PLATFORMS\n"
        "def journeys():\n    return [dataclasses.replace(j, wait_s=(0, 0)) for j in PLATFORMS.build('telegram').journeys()]\n",
    )
    assert {spec.name for spec in only_waits.journeys()} == {"guest", "user", "developer", "admin", "mixed"}
    assert b"update_id" in only_waits.build("guest/chat", 1_000_000, 1, Dice(1), HERE).data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def journeys(:\n", r"my\.py:1: is no Python: "),
        ("x = 1\n", r"my\.py: defines none of journeys\(\), build\(\) and streams\(\)"),
        ("journeys = 5\n", r"my\.py: journeys is a int; it must be a function"),
        ("import nosuchmodule\n", r"my\.py:1: raised ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("\n\ndef journeys():\n    return ['x']\n", r"my\.py:3: journeys\(\) must return JourneySpecs"),
        ("def journeys():\n    x = {}\n    return x['y']\n", r"my\.py:3: journeys\(\) raised KeyError: 'y'"),
        (
            GOOD.replace("return Request", "return 1 #"),
            r"my\.py:8: build\('search'\) returned a int; it must return a Request",
        ),
        (
            GOOD.replace("{len(body)}", "7"),
            r"my\.py:8: build\('search'\) returned Content-Length 7 for a body of 18 bytes",
        ),
        (GOOD.replace("HTTP/1.1", ""), r"my\.py:8: build\('search'\) returned data that is no HTTP/1\.1 request"),
        (GOOD.replace("len(body)", "len(bodi)"), r"my\.py:10: build\('search'\) raised NameError"),
        ("\n\ndef build(task):\n    return None\n", r"my\.py:3: build\('guest/chat'\) raised TypeError: .* were given"),
        (GOOD.replace("(0.0, 1.0)", "(2.0, 1.0)"), r"my\.py:6: journeys\(\) raised ValueError: journey shopper: waits"),
    ],
)
def test_a_bad_journey_file_names_line_and_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        journey(tmp_path, text)


def test_a_journey_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.py: cannot be read \(No such file or directory\)"):
        JourneyFile(Path("nowhere.py"), TELEGRAM, HERE)


def request(text: str, secret: bytes = b"{{chaosbot:secret:0:11:as-is}}") -> bytes:
    update = {
        "update_id": 5,
        "message": {"message_id": 1, "date": 1, "chat": {"id": 7, "type": "private"}, "text": text},
    }
    update["message"]["from"] = {"id": 1_000_001, "is_bot": False, "first_name": "A"}
    body = json.dumps(update).encode()
    head = b"POST /w HTTP/1.1\r\nHost: x\r\nX-Telegram-Bot-Api-Secret-Token: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (secret, len(body)) + body


def test_findings_and_plain_files_are_replayed_with_the_secret_put_back(tmp_path: Path) -> None:
    (tmp_path / "findings" / "crash-1").mkdir(parents=True)
    (tmp_path / "findings" / "crash-1" / "request.bin").write_bytes(request("/help"))
    (tmp_path / "findings" / "crash-1" / "case.json").write_text("{}")
    (tmp_path / "more.http").write_bytes(request("hello", b"another"))
    segments = [
        {"data_b64": base64.b64encode(part).decode()} for part in (request("/start")[:40], request("/start")[40:])
    ]
    (tmp_path / "kept.json").write_text(json.dumps({"steps": [[{"segments": segments}]]}))
    (tmp_path / "notes.json").write_text("[]")
    corpus = Corpus(tmp_path, TELEGRAM, HERE)
    assert [task.name for task in corpus.journeys()[0].tasks] == ["findings/crash-1", "kept", "more"]
    built = corpus.build("findings/crash-1", 1, 1, Dice(1), HERE)
    assert b"Token: open-sesame\r\n" in built.data
    assert built.facts is not None
    assert built.facts.command == "help"
    assert corpus.build("kept", 1, 1, Dice(1), HERE).data == request("/start", b"open-sesame")
    assert b"Token: another\r\n" in corpus.build("more", 1, 1, Dice(1), HERE).data


def test_a_folder_without_requests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no requests"):
        Corpus(tmp_path, TELEGRAM, HERE)
    with pytest.raises(ConfigError, match="is not there; name a folder of requests"):
        Corpus(tmp_path / "missing", TELEGRAM, HERE)


STREAMS = """
from functools import partial
from chaosbot.core.journey import JourneySpec, StreamAction, StreamSpec, Task
async def later(message): ...
def two(message, more): ...
def streams():
    return (StreamSpec("ticks", WHAT),)
"""


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("StreamAction.SUBSCRIBE", "the path '' must begin with /"),
        ("StreamAction.SUBSCRIBE, 'ws'", "the path 'ws' must begin with / and be printable ASCII"),
        ("StreamAction.SUBSCRIBE, '/a b'", "%20 stands for one"),
        ("StreamAction.SUBSCRIBE, 7", "the path 7 must begin with /"),
        ("'subscribe', '/ws'", "the action is 'subscribe'; it must be one of <StreamAction.SUBSCRIBE"),
        ("StreamAction.BURST, '/ws', 'a b'", "token_param is 'a b'; it must be a query parameter's name"),
        ("StreamAction.BURST, '/ws', messages='all'", "messages is a str; it must be a tuple of texts"),
        ("StreamAction.BURST, '/ws', messages=({'a': 1},)", r"messages\[0\] is a dict; clients send texts"),
        ("StreamAction.BURST, '/ws', messages=(b'\\xff',)", r"messages\[0\] is bytes that are no UTF-8"),
        ("StreamAction.BURST, '/ws', messages=('',)", r"messages\[0\] is empty; leave it out"),
        ("StreamAction.BURST, '/ws', stay_s=5", "stay_s is 5; it must be two numbers of seconds"),
        ("StreamAction.BURST, '/ws', pause_s=(2, 1)", r"pause_s 2\.\.1 s; the first must be in 0..the second"),
        ("StreamAction.BURST, '/ws', spread_s='1s'", "spread_s is '1s'; it must be seconds"),
        (
            "StreamAction.BURST, '/ws', subprotocols='v1'",
            r"subprotocols is a str; it must be a tuple, \(subprotocol,\)",
        ),
        ("StreamAction.BURST, '/ws', subprotocols=('',)", "the subprotocol '' must be letters"),
        ("StreamAction.BURST, '/ws', subprotocols=(1,)", "subprotocols holds 1; each must be a str"),
        ("StreamAction.BURST, '/ws', headers={'a': 'b'}", "headers is a dict; it must be a tuple"),
        ("StreamAction.BURST, '/ws', headers=(('a', 'b\\r\\n'),)", "the header a must have a printable value"),
        ("StreamAction.BURST, '/ws', headers=(('Host', 'b'),)", "the header Host is the handshake's own"),
        ("StreamAction.BURST, '/ws', on_message=5", "on_message is a int; it must be a function"),
        ("StreamAction.BURST, '/ws', on_message=later", "on_message is asynchronous; it must be a plain function"),
        ("StreamAction.BURST, '/ws', on_message=two", "on_message cannot be called with one StreamMessage: missing"),
        ("StreamAction.POLL, tasks=('chat',)", "tasks holds 'chat'; each must be a Task"),
        ("StreamAction.POLL, tasks=(Task('chat', -1),)", "task chat: the weight is -1"),
        ("StreamAction.POLL, tasks=(Task('nothing'),)", r"build\('nothing'\) raised UnknownName"),
    ],
)
def test_a_stream_that_no_client_could_perform_is_told_with_its_line(tmp_path: Path, what: str, says: str) -> None:
    path = tmp_path / "my.py"
    path.write_text(STREAMS.replace("WHAT", what))
    with pytest.raises(ConfigError, match=rf"my\.py:\d+: .*{says}"):
        JourneyFile(path, TELEGRAM, HERE)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "def streams(): return None",
            r"my\.py:1: streams\(\) must return StreamSpecs, at least one, and not a NoneType",
        ),
        ("async def streams(): return ()", "and not a coroutine"),
        ("def streams(): raise KeyboardInterrupt", r"my\.py:1: streams\(\) raised KeyboardInterrupt"),
        ("import asyncio\nraise asyncio.CancelledError", r"my\.py:2: raised CancelledError"),
        (
            STREAMS.replace('("ticks", WHAT)', '("guest", StreamAction.BURST, "/ws")'),
            "stream guest: another one has this name",
        ),
        (
            "from chaosbot.core.journey import *\ndef journeys(): return (JourneySpec('a', 1.0, (0, 1), (Task('b'),), {1}),)",
            "journey a: users is a set; it must be a range or tuple of ids",
        ),
    ],
)
def test_functions_that_return_or_raise_the_wrong_thing_are_told_with_their_line(
    tmp_path: Path, code: str, says: str
) -> None:
    path = tmp_path / "my.py"
    path.write_text(code + "\n")
    with pytest.raises(ConfigError, match=says):
        JourneyFile(path, TELEGRAM, HERE)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raise SystemExit(3)", r"my\.py:4: build\('guest/chat'\) raised SystemExit: 3"),
        ("return b'GET /'", r"my\.py:2: build\('guest/chat'\) returned a bytes; it must return a Request"),
        ("while True: pass", r"my\.py:4: build\('guest/chat'\) still ran after 0.2 s"),
    ],
)
def test_a_builder_that_breaks_in_the_middle_of_a_run_ends_it_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, says: str
) -> None:
    monkeypatch.setattr(hooks, "OVERDUE_S", 0.2)
    monkeypatch.setattr(hooks, "_LOOK_S", 0.05)
    path = tmp_path / "my.py"
    path.write_text(
        "from chaosbot.core.platform import Request\n"
        f"def build(task, user, ordinal, dice, endpoint):\n    if ordinal == 7:\n        {line}\n"
        "    return Request(b'GET / HTTP/1.1\\r\\n\\r\\n', task)\n"
    )
    source = JourneyFile(path, TELEGRAM, HERE)
    source.build("guest/chat", 1, 6, Dice(1), HERE)
    with pytest.raises(EngineError, match=says):
        source.build("guest/chat", 1, 7, Dice(1), HERE)


def test_a_run_has_one_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be combined"):
        source_of(TELEGRAM, HERE, tmp_path, tmp_path)
    assert source_of(TELEGRAM, HERE, None, None) is TELEGRAM


@pytest.mark.parametrize("line", ["raise SystemExit(0)", "while True: pass"])
@pytest.mark.parametrize("place", ["{line}", "def journeys():\n    {line}", "def build(*_):\n    {line}"])
def test_a_journey_file_that_leaves_or_never_ends_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, place: str
) -> None:
    monkeypatch.setattr(sources, "TRIAL_S", 0.5)
    path = tmp_path / "journey.py"
    path.write_text("def journeys(): ...\n" * (place == "{line}") + place.format(line=line) + "\n")
    with pytest.raises(ConfigError, match=f"journey.py:2: .*({'SystemExit' if 'raise' in line else 'still runs'})"):
        JourneyFile(path, TELEGRAM, Endpoint())


def test_a_journey_file_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.py"
    path.write_text("x = " + "-" * 200_000 + "1")
    with pytest.raises(ConfigError, match="nested too deeply"):
        JourneyFile(path, platform_of("telegram"), Endpoint("localhost", "/"))
