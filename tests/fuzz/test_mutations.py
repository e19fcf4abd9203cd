"""Single-site mutations: one change each, the shallow ones first, reproducible, and deliveries of their own."""

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
from chaosbot.fuzz.mutations import HOWS, changed, mutations, sites
from chaosbot.fuzz.requests import split

UPDATE = {"update_id": 7, "message": {"chat": {"id": 5}, "text": "hi", "photo": [{"a": 1}, {"a": 2}, {"a": 3}]}}


def test_the_sites_of_an_update_come_shallow_first() -> None:
    found = list(sites(UPDATE))
    assert found[:2] == [("update_id",), ("message",)]
    assert [len(path) for path in found] == sorted(len(path) for path in found)
    assert ("message", "photo", 1, "a") in found


@pytest.mark.parametrize("how", HOWS)
def test_a_change_touches_one_site_only(how: str) -> None:
    after = changed(UPDATE, ("message", "chat"), how)
    if after is None:
        return
    assert after["update_id"] == 7
    assert after["message"].get("chat", "gone") != {"id": 5}
    assert {**after["message"], "chat": None} == {**UPDATE["message"], "chat": None}  # type: ignore[dict-item]
    assert UPDATE["message"]["chat"] == {"id": 5}  # type: ignore[index]


def test_a_change_that_changes_nothing_is_none() -> None:
    assert changed({"a": "x"}, ("a",), "text") is None
    assert changed({"a": True}, ("a",), "as-text") is None


def test_mutations_are_the_same_for_the_same_seed_and_unique() -> None:
    telegram = PLATFORMS.build("telegram")
    endpoint = Endpoint(secret="s3cret")
    first, second = (list(islice(mutations(telegram, endpoint, Dice(3)), 400)) for _ in range(2))
    assert first == second
    assert max(Counter(case.name for case in first).values()) == 1
    ids = [case.update_id for case in first if "/update_id/" not in case.name and case.update_id is not None]
    assert len(ids) == len(set(ids)) > 100


def test_mutations_leave_out_what_the_target_breaks_on_anyway() -> None:
    telegram = PLATFORMS.build("telegram")
    names = frozenset(telegram.golden(Dice(3))) - {"poll_answer"}
    assert all("/poll_answer/" in case.name for case in mutations(telegram, Endpoint(), Dice(3), names))


def test_every_mutation_is_sound_json_with_a_right_length() -> None:
    telegram = PLATFORMS.build("telegram")
    for case in islice(mutations(telegram, Endpoint(), Dice(3)), 0, 3000, 37):
        parts = split(case.request)
        assert parts is not None
        json.loads(parts[1])
        assert f"Content-Length: {len(parts[1])}".encode() in parts[0]


def test_a_case_says_what_it_changes_whatever_the_update_s_kind() -> None:
    telegram = PLATFORMS.build("telegram")
    changes = {
        case.name: str(cause_of(tried(case), "500")) for case in islice(mutations(telegram, Endpoint(), Dice(3)), 9000)
    }
    wanted = {
        "mutation/message/voice/message.chat/drop": "500:member:*.chat",
        "mutation/message/voice/message.chat.id/null": "500:member:*.chat",
        "mutation/poll/poll/null": "500:payload",
        "mutation/poll/update_id/null": "500:member:update_id",
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
def test_cases_with_one_cause_have_one_mechanism(name: str, mechanism: str) -> None:
    telegram = PLATFORMS.build("telegram")
    (case,) = [one for one in cases(telegram, Endpoint(), Dice(3)) if one.name == name]
    assert str(cause_of(tried(case), "500")) == f"500:{mechanism}"


def tried(case: Case) -> CaseTried:
    outcome = Outcome(Fate.ANSWERED, 500)
    return CaseTried(0.0, case.name, case.group, case.threat, "s", outcome, change=case.change)
