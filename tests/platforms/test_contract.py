"""One suite over every platform on the registry."""

import json

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.kit import RawRequest
from chaosbot.core.platform import PLATFORMS, Endpoint, Platform
from chaosbot.core.registry import describe
from chaosbot.core.shape import problems, sample
from chaosbot.fuzz.catalogue import cases
from chaosbot.load.sources import _problem

VARIANTS = [
    ("telegram", {}),
    ("json_webhook", {}),
    ("json_webhook", {"sample": [1, {"a": "b"}]}),
    ("json_webhook", {"schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}),
    ("market", {}),
    ("slack", {}),
    ("github", {}),
    ("github", {"form": True}),
    ("stripe", {}),
    ("slack", {"only": "command,block_actions"}),
    ("discord", {}),
    ("discord", {"events": True}),
    ("whatsapp", {"verify_token": "token"}),
    ("messenger", {}),
    ("twilio", {}),
    *(("standard_webhooks", {"style": style}) for style in ("standard", "svix", "v1a", "github", "stripe", "slack")),
]
SECRET = "whsec_Y2hhb3Nib3QtdGVzdC1zZWNyZXQ="
ENDPOINT = Endpoint("127.0.0.1:8000", "/hook", SECRET)


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0]}-{'-'.join(map(str, variant[1].values()))[:12]}")
def platform(request) -> Platform:
    name, options = request.param
    return PLATFORMS.build(name, options)


def test_every_entry_of_the_registry_is_tested_here() -> None:
    assert {name for name, _ in VARIANTS} == set(PLATFORMS.names())


def test_its_page_says_what_it_is(platform) -> None:
    assert len(describe(type(platform))) > 80


def test_golden_updates_are_requests_that_it_reads_itself(platform) -> None:
    golden = platform.golden(Dice(1))
    assert platform.canary() in golden
    assert platform.crowd() in golden
    for name, update in golden.items():
        data = platform.encode(ENDPOINT, update)
        request = RawRequest.of(data)
        assert request.data == data, name
        assert request.header("Host") == b"127.0.0.1:8000"
        assert request.header("Content-Length") in (None, str(len(request.body)).encode())
        headers = tuple((key.decode().lower(), value.decode()) for key, value in request.headers)
        method, target = request.line.decode().split(" ")[:2]
        facts = platform.facts(method, target, headers, request.body)
        if not isinstance(update, list):
            assert facts is not None, name


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": {}}',
        b'{"type": [4]}',
        b'{"type": 4, "data": {"content": null}}',
        b'{"type": 4, "data": [1]}',
        b'{"text": null, "blocks": []}',
        b'{"response_action": []}',
        b'{"method": "sendMessage", "text": 5}',
        b"<Response><Message>\xff",
        b"[" * 100_000,
        b"null",
        b"{",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_no_answer_of_a_target_breaks_it_or_becomes_words_that_nobody_said(platform, body: bytes) -> None:
    assert "None" not in [call.text for call in platform.effects(body)]


@pytest.mark.quick(5)
def test_the_same_dice_give_the_same_bytes_and_any_dice_and_any_time_the_same_names(platform) -> None:
    one, two = (platform.golden(Dice(4).at("x")) for _ in range(2))
    assert json.dumps(one) == json.dumps(two)
    made, again = ([(case.name, case.request) for case in cases(platform, ENDPOINT, Dice(9))] for _ in range(2))
    assert made == again
    later = Endpoint("other:1", "/elsewhere", SECRET, started=1_900_000_000)
    names = [name for name, _ in made]
    assert names == [case.name for case in cases(platform, later, Dice(2))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[1]", b"{", b"\xff", b'{"id":[]}', b"[" * 100_000, b'{"type":7,"event":[]}']
)
@pytest.mark.parametrize("method", ["POST", "GET", "", "é"])
def test_reading_facts_never_fails(platform, method, body) -> None:
    platform.facts(method, "/x?y=\udcff", (("webhook-id", ""), ("x", "\udcff")), body)


def test_journeys_build_requests_that_can_be_sent(platform) -> None:
    journeys = platform.journeys()
    # One without a share takes part only when asked for (``--class mixed=1``); the others make up the load.
    assert not journeys or sum(journey.share for journey in journeys) > 0
    for journey in journeys:
        assert journey.share >= 0
        assert journey.tasks
        for task in journey.tasks:
            request = platform.build(task.name, journey.users[0], 3, Dice(1).at(3), ENDPOINT)
            assert _problem(request) == ""
            assert request.task == task.name


def test_generated_updates_fit_their_description(platform) -> None:
    shape = platform.shape()
    for number in range(30 if shape is not None else 0):
        update = sample(shape, Dice(number))
        assert list(problems(shape, update)) == []
        platform.encode(ENDPOINT, platform.fresh(update, Dice(number)))


def test_broken_updates_pass_through_fresh(platform) -> None:
    for update in (None, 7, "x", [], {}, {"id": None, "message": 3, "text": []}):
        platform.fresh(update, Dice(1))


def test_streams_and_delivery_have_sensible_bounds(platform) -> None:
    rules = platform.delivery()
    assert 1 <= rules.connections <= 1000
    for stream in platform.streams():
        assert stream.stay_s[0] <= stream.stay_s[1]
        for message in stream.messages:
            json.loads(message)
