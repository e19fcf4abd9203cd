"""Mutations: operators times places, one change each, spread over both before any is visited often, reproducible."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest

from chaosbot.checks._cases import cause_of
from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.event import CaseTried
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.fuzz.catalogue import cases
from chaosbot.fuzz.mutations import Product, changed, mutations, product, sites, written_first
from chaosbot.fuzz.operators import ABSENT, OPERATORS, SAME, Literal, kind_of
from chaosbot.fuzz.requests import split

UPDATE = {"update_id": 7, "message": {"chat": {"id": 5}, "text": "hi", "photo": [{"a": 1}, {"a": 2}, {"a": 3}]}}
TELEGRAM = PLATFORMS.build("telegram")


@pytest.fixture(scope="module")
def pairs() -> Product:
    return product(TELEGRAM, Dice(3))


def sent(pairs: Product, most: int) -> list[Case]:
    return list(islice(mutations(TELEGRAM, Endpoint(secret="s3cret"), Dice(3), pairs), most))


def test_the_sites_of_an_update_come_shallow_first() -> None:
    found = list(sites(UPDATE))
    assert found[:2] == [("update_id",), ("message",)]
    assert [len(path) for path in found] == sorted(len(path) for path in found)
    assert ("message", "photo", 0, "a") in found


def test_a_change_touches_one_place_only() -> None:
    for new in (ABSENT, None, [{"id": 5}]):
        after = changed(UPDATE, ("message", "chat"), new)
        assert after["update_id"] == 7
        assert after["message"].get("chat", ABSENT) == new
        assert {**after["message"], "chat": None} == {**UPDATE["message"], "chat": None}  # type: ignore[dict-item]
    assert UPDATE["message"]["chat"] == {"id": 5}  # type: ignore[index]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_an_operator_makes_something_else_or_nothing(operator) -> None:
    values = ["hi", 7, 1.5, True, [1], {"a": 1}, None]
    made = [(old, operator.make(old, None)) for old in values if not operator.kinds or kind_of(old) in operator.kinds]
    made = [(old, new) for old, new in made if new is not SAME]
    assert made or operator.family == "limit"
    for old, new in made:
        assert isinstance(new, Literal) or new is ABSENT or json.dumps(new) != json.dumps(old)


def test_mutations_are_the_same_for_the_same_seed_and_unique(pairs: Product) -> None:
    first, second = sent(pairs, 400), sent(product(TELEGRAM, Dice(3)), 400)
    assert first == second
    assert max(Counter(case.name for case in first).values()) == 1
    ids = [case.update_id for case in first if "/update_id/" not in case.name and case.update_id is not None]
    assert len(ids) == len(set(ids)) > 100


def test_every_place_comes_once_before_any_comes_often(pairs: Product) -> None:
    planned = pairs.planned()
    assert sum(planned["places"].values()) == sum(planned["operators"].values()) == len(pairs.pairs)
    visits = Counter(case.name.split("/")[1] for case in sent(pairs, 3 * len(planned["places"])))
    assert visits.keys() == planned["places"].keys()
    operators = {case.name.split("/")[2] for case in sent(pairs, 3 * len(planned["places"]))}
    assert len(operators) > 0.95 * len(planned["operators"])


def test_places_reach_every_kind_of_update(pairs: Product) -> None:
    kinds = {name.split(".")[0] for name in pairs.planned()["places"]}
    assert kinds >= {name.split("/")[0] for name in TELEGRAM.golden(Dice(3)) if "/" not in name} | {
        "message",
        "callback_query",
    }


@pytest.mark.slow
def test_what_the_platform_calls_optional_may_be_absent_and_what_it_needs_may_not(pairs: Product) -> None:
    wanted = {
        "mutation/message.from.last_name/absent": {2},
        "mutation/message.photo.0.file_size/absent": {2},
        "mutation/message.chat.id/absent": {2, 4},
        "mutation/message.text/limit": {2},
        "mutation/message.text/limit+1": {2, 4},
        "mutation/message.text/text-superscript": {2},
        "mutation/message.text/text-surrogate": {2, 4},
        "mutation/message.message_id/NaN": {2, 4},
    }
    found = {case.name: set(case.expect.statuses) for case in sent(pairs, 10**6) if case.name in wanted}
    assert found == wanted


@pytest.mark.slow
def test_a_degenerate_text_arrives_as_it_is(pairs: Product) -> None:
    case = next(case for case in sent(pairs, 10**6) if case.name == "mutation/message.text/text-slash")
    assert json.loads(case.request.partition(b"\r\n\r\n")[2])["message"]["text"] == "/"
    case = next(case for case in sent(pairs, 10**6) if case.name == "mutation/message.message_id/1e999")
    assert b'"message_id":1e999' in case.request


def test_mutations_leave_out_what_the_target_breaks_on_anyway() -> None:
    names = frozenset(TELEGRAM.golden(Dice(3))) - {"poll_answer"}
    places = product(TELEGRAM, Dice(3), names).planned()["places"]
    assert {name.split(".")[0] for name in places} == {"update_id", "poll_answer"}


def test_every_mutation_is_one_request_with_a_right_length(pairs: Product) -> None:
    for case in sent(pairs, 3000)[::37]:
        parts = split(case.request)
        assert parts is not None
        json.loads(parts[1])
        assert f"Content-Length: {len(parts[1])}".encode() in parts[0]


@pytest.mark.slow
def test_a_case_says_what_it_changes_whatever_the_update_s_kind(pairs: Product) -> None:
    changes = {case.name: str(cause_of(tried(case), "500")) for case in sent(pairs, 20_000)}
    wanted = {
        "mutation/message.chat/absent": "500:member:*.chat",
        "mutation/message.chat.id/null": "500:member:*.chat",
        "mutation/poll/null": "500:payload",
        "mutation/update_id/null": "500:member:update_id",
    }
    assert {name: changes[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "mechanism"),
    [
        ("shape/message-text/chat.id-dropped", "member:*.chat"),
        ("callbacks/message-absent", "member:*.message"),
        ("update_kinds/poll", "kind:poll"),
        ("update_kinds/payload-null-message", "payload"),
        ("structure/deep-root-1000", "depth"),
        ("json/truncated-3", "syntax"),
        ("chats/id-zero", "shape:chats/id"),
        ("files/name-nul", "shape:files/name"),
    ],
)
@pytest.mark.quick(3)
def test_cases_with_one_cause_have_one_mechanism(name: str, mechanism: str) -> None:
    telegram = PLATFORMS.build("telegram")
    (case,) = [one for one in cases(telegram, Endpoint(), Dice(3)) if one.name == name]
    assert str(cause_of(tried(case), "500")) == f"500:{mechanism}"


def tried(case: Case) -> CaseTried:
    outcome = Outcome(Fate.ANSWERED, 500)
    return CaseTried(0.0, case.name, case.group, case.threat, "s", outcome, change=case.change)


def test_what_people_write_in_a_kind_that_is_answered_comes_every_other_time(pairs: Product) -> None:
    ordered = written_first(TELEGRAM, pairs, {"inline_query"}).pairs
    assert Counter(map(id, ordered)) == Counter(map(id, pairs.pairs))
    queries = [operator for place, operator in ordered[:300:2] if place.path[-1] == "query"]
    assert len(queries) > 20
    assert {operator.family for operator in queries} == {"text", "backtracking"}
