"""One suite over every dialect on the shelf."""

import json

import pytest

from chaosbot.fuzz.catalogue import cases
from chaosbot.load.sources import _problem
from chaosbot.model.dialect import DIALECTS, Dialect, Endpoint
from chaosbot.model.dice import Dice
from chaosbot.model.kit import RawRequest
from chaosbot.model.sample import problems, sample
from chaosbot.model.shelf import describe

VARIANTS = [
    ("telegram", {}),
    ("json_webhook", {}),
    ("json_webhook", {"sample": [1, {"a": "b"}]}),
    ("json_webhook", {"schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}),
    ("market", {}),
    *(("standard_webhooks", {"style": style}) for style in ("standard", "github", "stripe", "slack")),
]
SECRET = "whsec_Y2hhb3Nib3QtdGVzdC1zZWNyZXQ="
ENDPOINT = Endpoint("127.0.0.1:8000", "/hook", SECRET)


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0]}-{'-'.join(map(str, variant[1].values()))[:12]}")
def dialect(request) -> Dialect:
    name, options = request.param
    return DIALECTS.build(name, options)


def test_every_entry_of_the_shelf_is_tested_here() -> None:
    assert {name for name, _ in VARIANTS} == set(DIALECTS.names())


def test_its_page_says_what_it_is(dialect) -> None:
    assert len(describe(type(dialect))) > 80


def test_golden_updates_are_requests_that_it_reads_itself(dialect) -> None:
    golden = dialect.golden(Dice(1))
    assert dialect.canary() in golden
    assert dialect.crowd() in golden
    for name, update in golden.items():
        data = dialect.encode(ENDPOINT, update)
        request = RawRequest.of(data)
        assert request.data == data, name
        assert request.header("Host") == b"127.0.0.1:8000"
        assert request.header("Content-Length") in (None, str(len(request.body)).encode())
        headers = tuple((key.decode().lower(), value.decode()) for key, value in request.headers)
        method, target = request.line.decode().split(" ")[:2]
        facts = dialect.facts(method, target, headers, request.body)
        if not isinstance(update, list):
            assert facts is not None, name


def test_the_same_dice_give_the_same_bytes(dialect) -> None:
    one, two = (dialect.golden(Dice(4).at("x")) for _ in range(2))
    assert json.dumps(one) == json.dumps(two)
    names = [[(case.name, case.request) for case in cases(dialect, ENDPOINT, Dice(9))] for _ in range(2)]
    assert names[0] == names[1]


def test_names_of_cases_do_not_depend_on_seed_or_time(dialect) -> None:
    one = [case.name for case in cases(dialect, ENDPOINT, Dice(1))]
    later = Endpoint("other:1", "/elsewhere", SECRET, started=1_900_000_000)
    assert one == [case.name for case in cases(dialect, later, Dice(2))]
    assert len(set(one)) == len(one)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[1]", b"{", b"\xff", b'{"id":[]}', b"[" * 100_000, b'{"type":7,"event":[]}']
)
@pytest.mark.parametrize("method", ["POST", "GET", "", "é"])
def test_reading_facts_never_fails(dialect, method, body) -> None:
    dialect.facts(method, "/x?y=\udcff", (("webhook-id", ""), ("x", "\udcff")), body)


def test_journeys_build_requests_that_can_be_sent(dialect) -> None:
    for journey in dialect.journeys():
        assert journey.share > 0
        for task in journey.tasks:
            request = dialect.build(task.name, journey.users[0], 3, Dice(1).at(3), ENDPOINT)
            assert _problem(request) == ""
            assert request.task == task.name


def test_generated_updates_fit_their_description(dialect) -> None:
    shape = dialect.shape()
    for number in range(30 if shape is not None else 0):
        update = sample(shape, Dice(number))
        assert list(problems(shape, update)) == []
        dialect.encode(ENDPOINT, dialect.fresh(update, Dice(number)))


def test_broken_updates_pass_through_fresh(dialect) -> None:
    for update in (None, 7, "x", [], {}, {"id": None, "message": 3, "text": []}):
        dialect.fresh(update, Dice(1))


def test_streams_and_delivery_have_sensible_bounds(dialect) -> None:
    rules = dialect.delivery()
    assert 1 <= rules.connections <= 1000
    for stream in dialect.streams():
        assert stream.stay_s[0] <= stream.stay_s[1]
        for message in stream.messages:
            json.loads(message)
