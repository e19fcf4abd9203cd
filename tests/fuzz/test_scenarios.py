"""The list of sequences says what the stage does: no rule without a row, no row without a rule."""

from __future__ import annotations

import pytest
from hypothesis.stateful import RULE_MARKER

from chaosbot.core.check import CHECKS
from chaosbot.fuzz.catalogue.scenarios import SCENARIOS, listed_scenarios, scenarios_of
from chaosbot.fuzz.sequences import SequenceMachine
from chaosbot.platforms.json_webhook import JsonWebhook
from chaosbot.platforms.telegram import Telegram

TELEGRAM = {move.name for move in scenarios_of(Telegram())}


def test_every_rule_of_the_state_machine_has_a_row_and_every_row_its_rule() -> None:
    rules = {name for name, member in vars(SequenceMachine).items() if hasattr(member, RULE_MARKER)}
    assert rules - {"deliver"} == {move.rule for move in SCENARIOS} - {""}


@pytest.mark.parametrize(
    "name",
    [
        "order-ahead",
        "order-late",
        "burst",
        "redeliver",
        "together",
        "other-body",
        "reorder",
        "edit-first",
        "demoted",
        "foreign-read",
        "foreign-delete",
        "foreign-approve",
        "foreign-reject",
    ],
)
def test_what_goes_wrong_in_deliveries_is_listed(name: str) -> None:
    assert name in TELEGRAM


def test_every_row_names_a_check_and_has_a_name_of_its_own() -> None:
    assert {move.check for move in SCENARIOS} <= set(CHECKS.names())
    assert len({move.name for move in SCENARIOS}) == len(SCENARIOS)
    assert all(line.name.startswith("sequences/") and line.expectation for line in listed_scenarios(Telegram()))


def test_a_platform_without_people_has_no_commands_and_no_edits_in_its_list() -> None:
    names = {move.name for move in scenarios_of(JsonWebhook(sample='{"id": "a-b", "text": "x"}'))}
    assert {"redeliver", "together", "burst"} <= names
    assert not names & {"edit-first", "demoted", "foreign-read"}
    # Nor an order where deliveries have no numbers.
    assert not names & {"order-late", "other-body"}
