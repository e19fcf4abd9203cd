"""Real frameworks read what we call valid: aiogram and python-telegram-bot parse every update, and find the same payload."""

import importlib.util
import json
import sys
from pathlib import Path

import aiogram
import pytest
import telegram
from aiogram.types import Update

from chaosbot.core.dice import Dice
from chaosbot.core.platform import Endpoint
from chaosbot.core.shape import Object, OneOf, problems, sample
from chaosbot.fuzz.catalogue import cases
from chaosbot.platforms.telegram import Telegram
from chaosbot.platforms.telegram._updates import KINDS

TELEGRAM = Telegram()
BOT = aiogram.Bot("123456:" + "a" * 35)
# Newer than the installed python-telegram-bot; it ignores them, as it should.
UNKNOWN_TO_PTB = {"subscription", "stopped_message_generation"}


def kind_of(update):
    return next(key for key in update if key != "update_id")


def assert_parsed(update) -> None:
    kind = kind_of(update)
    parsed = Update.model_validate(update, context={"bot": BOT})
    assert parsed.event_type == kind
    assert parsed.update_id == update["update_id"]
    other = telegram.Update.de_json(update, None)
    assert other.update_id == update["update_id"]
    if kind not in UNKNOWN_TO_PTB:
        assert getattr(other, kind) is not None


@pytest.mark.parametrize("name", TELEGRAM.golden(Dice(0)))
def test_golden_updates_are_read(name) -> None:
    for seed in (0, 1, 2):
        assert_parsed(TELEGRAM.golden(Dice(seed))[name])


def test_there_is_a_golden_update_for_every_kind_command_and_medium() -> None:
    golden = TELEGRAM.golden(Dice(0))
    assert {kind_of(update) for update in golden.values()} == set(KINDS)
    assert {f"command/{command}" for command in TELEGRAM.commands} <= golden.keys()
    assert {
        f"message/{medium}" for medium in ("text", "voice", "photo", "document", "reply", "forward_user")
    } <= golden.keys()
    assert {f"callback_query/{button}" for button in ("category", "skill", "approve", "reject")} <= golden.keys()


def test_the_entities_of_golden_texts_lie_within_them() -> None:
    for update in TELEGRAM.golden(Dice(3)).values():
        message = update.get("message", {})
        units = len(message.get("text", "").encode("utf-16-le")) // 2
        for entity in message.get("entities", []):
            assert 0 <= entity["offset"] < entity["offset"] + entity["length"] <= units


def test_every_kind_is_described_once_and_with_one_payload() -> None:
    shape = TELEGRAM.shape()
    assert isinstance(shape, OneOf)
    named = [tuple(option.required) for option in shape.options if isinstance(option, Object)]
    assert sorted(kind for _, kind in named) == sorted(KINDS)
    assert {first for first, _ in named} == {"update_id"}


@pytest.mark.parametrize("number", range(len(TELEGRAM.shape().options)))
def test_generated_updates_are_read(number) -> None:
    option = TELEGRAM.shape().options[number]
    for draw in range(40):
        place = Dice(5).at(number, draw)
        update = sample(option, place, (0.0, 0.4, 1.0)[draw % 3])
        assert list(problems(option, update)) == []
        assert_parsed(TELEGRAM.fresh(update, place))
        json.dumps(update, allow_nan=False).encode()


def test_journeys_are_read() -> None:
    for journey in TELEGRAM.journeys():
        for task in journey.tasks:
            for ordinal in range(12):
                request = TELEGRAM.build(task.name, journey.users[0], ordinal, Dice(1).at(ordinal), Endpoint())
                assert_parsed(json.loads(request.data.partition(b"\r\n\r\n")[2]))


def test_what_the_catalogue_expects_to_be_acknowledged_is_read() -> None:
    read = 0
    for case in cases(TELEGRAM, Endpoint(secret="s3cret-Token_9"), Dice(1)):
        body = case.request.partition(b"\r\n\r\n")[2]
        if case.expect.statuses != {2} or not body.startswith(b"{") or len(case.segments) > 1:
            continue
        update = json.loads(body)
        payloads = [key for key in update if key in KINDS]
        # Kinds of later versions and empty updates must be acknowledged too; there is nothing in them to be read.
        Update.model_validate(update, context={"bot": BOT})
        telegram.Update.de_json(update, None)
        read += len(payloads) == 1
    assert read > 400


def _drift():
    path = Path(__file__).with_name("api_drift.py")
    spec = importlib.util.spec_from_file_location("api_drift", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.drift()


KNOWN_GAPS = {
    "Message": {
        "chat_owner_changed chat_owner_left checklist_tasks_added checklist_tasks_done community_chat_added",
        "community_chat_joined community_chat_removed direct_messages_topic ephemeral_message_id forward_date",
        "forward_from forward_from_chat forward_from_message_id forward_sender_name forward_signature gift",
        "gift_upgrade_sent guest_bot_caller_chat guest_bot_caller_user live_photo managed_bot_created passport_data",
        "poll_option_added poll_option_deleted receiver_user reply_to_checklist_task_id reply_to_poll_option_id",
        "rich_message sender_business_bot suggested_post_approval_failed suggested_post_approved",
        "suggested_post_declined suggested_post_info suggested_post_paid suggested_post_refunded unique_gift user_shared",
    },
    "my_chat_member": {"invite_link via_chat_folder_invite_link via_join_request"},
    "poll": {"correct_option_id description_entities explanation_entities explanation_media media question_entities"},
}
KNOWN_GAPS = {place: set(" ".join(words).split()) for place, words in KNOWN_GAPS.items()}


def test_the_description_lags_behind_the_api_by_known_gaps_only() -> None:
    drift = _drift()
    unknown = {place: members - KNOWN_GAPS.get(place, set()) for place, members in drift.missing_members.items()}
    unknown = {place: members for place, members in unknown.items() if members}
    assert not unknown, f"aiogram {drift.version} knows more of the Bot API:\n{drift.table()}"
    assert not drift.missing_kinds, drift.table()


def test_the_drift_report_names_what_is_missing(monkeypatch) -> None:
    monkeypatch.setattr("chaosbot.platforms.telegram._updates.KINDS", tuple(kind for kind in KINDS if kind != "poll"))
    drift = _drift()
    assert drift.missing_kinds == {"poll"}
    assert "poll" in drift.table()
