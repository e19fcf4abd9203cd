"""What a message can contain: one golden message for each content and each kind of context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaosbot.platforms.telegram._commands import SENTENCES
from chaosbot.platforms.telegram._parts import (
    Json,
    Place,
    bot,
    document,
    file,
    location,
    message,
    photo_size,
    photos,
    poll,
    sticker,
    text_message,
    utf16,
    voice,
)
from chaosbot.platforms.telegram._users import channel, person, private, robot, supergroup

PlaceOf = Callable[[str], Place]
UserOf = Callable[..., int]


def contents(place: PlaceOf, user: UserOf) -> dict[str, Json]:
    """Golden messages by name, all written by guests."""
    made: dict[str, Json] = {}

    def add(name: str, build: Callable[[Place, int], Json]) -> None:
        made[f"message/{name}"] = build(place(f"message/{name}"), user(f"message/{name}"))

    add("text", lambda here, who: text_message(here, who, _sentence(here)))
    add("text_entities", _entities)
    add("voice", lambda here, who: message(here, who, voice=voice(here), caption=here.marker))
    add("photo", lambda here, who: message(here, who, photo=photos(here), caption=_sentence(here)))
    add("document", lambda here, who: message(here, who, document=document(here), caption=_sentence(here)))
    for name, content in _media().items():
        add(name, lambda here, who, content=content: message(here, who, **content(here)))  # type: ignore[misc]
    for name, context in _contexts().items():
        add(name, lambda here, who, context=context: context(here, who))  # type: ignore[misc]
    for name, service in _services().items():
        add(name, lambda here, who, service=service: _service(here, who, service(here, who)))  # type: ignore[misc]
    return made


def _sentence(here: Place) -> str:
    return f"{here.dice.at('sentence').choice(SENTENCES)} {here.marker}"


def _entities(here: Place, who: int) -> Json:
    parts = ("Bold", " and ", "https://example.com/a?b=1", " and ", "@chaos_user", " 🙂 ", here.marker)
    starts = [utf16("".join(parts[:number])) for number in range(len(parts))]
    entities = [
        {"type": "bold", "offset": starts[0], "length": utf16(parts[0])},
        {"type": "url", "offset": starts[2], "length": utf16(parts[2])},
        {"type": "mention", "offset": starts[4], "length": utf16(parts[4])},
        {"type": "code", "offset": starts[6], "length": utf16(parts[6])},
    ]
    return message(here, who, text="".join(parts), entities=entities)


def _media() -> dict[str, Callable[[Place], Json]]:
    """Contents that are files or other things than text."""
    return {
        "video": lambda here: {
            "video": file(
                here, "video", width=1280, height=720, duration=9, mime_type="video/mp4", file_size=2_048_000
            ),
            "caption": _sentence(here),
        },
        "video_note": lambda here: {"video_note": file(here, "note", length=240, duration=7, file_size=300_000)},
        "audio": lambda here: {
            "audio": file(here, "audio", duration=180, performer="Chaos", title="Song", mime_type="audio/mpeg"),
            "caption": _sentence(here),
        },
        "animation": lambda here: {
            "animation": file(here, "gif", width=320, height=240, duration=3, mime_type="video/mp4"),
            "document": file(here, "gif", mime_type="video/mp4"),
        },
        "sticker": lambda here: {"sticker": sticker(here)},
        "contact": lambda here: {
            "contact": {"phone_number": "+10000000000", "first_name": here.marker, "user_id": 1_000_001}
        },
        "location": lambda _: {"location": location()},
        "venue": lambda here: {
            "venue": {"location": location(), "title": "Chaos café", "address": here.marker},
            "location": location(),
        },
        "poll": lambda here: {"poll": poll(here, _sentence(here))},
        "dice": lambda here: {"dice": {"emoji": "🎲", "value": here.dice.at("value").integer(1, 6)}},
        "game": lambda here: {
            "game": {"title": "Chaos", "description": here.marker, "photo": [photo_size(here, 320, 240)]}
        },
        "story": lambda here: {"story": {"chat": channel(here.dice), "id": 7}},
        "paid_media": lambda here: {
            "paid_media": {
                "star_count": 5,
                "paid_media": [{"type": "preview", "width": 640, "height": 480}],
            },
            "caption": here.marker,
        },
        "checklist": lambda here: {
            "checklist": {"title": here.marker, "tasks": [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]}
        },
        "media_group": lambda here: {"media_group_id": here.id("group"), "photo": photos(here), "caption": here.marker},
        "web_app_data": lambda here: {"web_app_data": {"data": here.marker, "button_text": "Open"}},
    }


def _contexts() -> dict[str, Callable[[Place, int], Json]]:
    """Texts that come with a context: replies, forwards, groups."""

    def text(here: Place, who: int, **more: Any) -> Json:
        return text_message(here, who, _sentence(here), **more)

    return {
        "reply": lambda here, who: text(
            here,
            who,
            reply_to_message={
                "message_id": 1,
                "from": bot(),
                "chat": private(who),
                "date": here.date - 60,
                "text": "What do you mean?",
            },
        ),
        "quote": lambda here, who: text(
            here,
            who,
            reply_to_message={
                "message_id": 1,
                "from": bot(),
                "chat": private(who),
                "date": here.date - 60,
                "text": "Yes",
            },
            quote={"text": "Yes", "position": 0, "is_manual": True},
        ),
        "external_reply": lambda here, who: text(
            here,
            who,
            external_reply={
                "origin": {"type": "user", "sender_user": person(1_000_002), "date": here.date - 3600},
                "chat": supergroup(here.dice),
                "message_id": 12,
            },
            quote={"text": "Yes", "position": 0},
        ),
        "forward_user": lambda here, who: text(
            here, who, forward_origin={"type": "user", "sender_user": person(1_000_003), "date": here.date - 3600}
        ),
        "forward_hidden_user": lambda here, who: text(
            here, who, forward_origin={"type": "hidden_user", "sender_user_name": "Somebody", "date": here.date - 3600}
        ),
        "forward_chat": lambda here, who: text(
            here,
            who,
            forward_origin={"type": "chat", "sender_chat": supergroup(here.dice), "date": here.date - 3600},
        ),
        "forward_channel": lambda here, who: text(
            here,
            who,
            forward_origin={
                "type": "channel",
                "chat": channel(here.dice),
                "message_id": 3,
                "date": here.date - 3600,
                "author_signature": "Ed",
            },
        ),
        "via_bot": lambda here, who: text(here, who, via_bot=robot()),
        "group": lambda here, who: text(here, who, chat=supergroup(here.dice)),
        "group_topic": lambda here, who: text(
            here, who, chat=supergroup(here.dice) | {"is_forum": True}, message_thread_id=5, is_topic_message=True
        ),
        "anonymous_admin": lambda here, _: text(
            here,
            1_087_968_824,
            **{"from": {"id": 1_087_968_824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}},
            chat=supergroup(here.dice),
            sender_chat=supergroup(here.dice),
        ),
        "linked_channel": lambda here, _: text(
            here,
            777_000,
            **{"from": {"id": 777_000, "is_bot": False, "first_name": "Telegram"}},
            chat=supergroup(here.dice),
            sender_chat=channel(here.dice),
            is_automatic_forward=True,
        ),
        "link_preview": lambda here, who: text(
            here, who, link_preview_options={"url": "https://example.com/", "prefer_small_media": True}
        ),
    }


def _services() -> dict[str, Callable[[Place, int], Json]]:
    """Service messages: something happened in the chat."""
    return {
        "new_chat_members": lambda _, who: {"new_chat_members": [person(who), person(1_000_004)]},
        "left_chat_member": lambda _, who: {"left_chat_member": person(who)},
        "new_chat_title": lambda here, _: {"new_chat_title": here.marker},
        "new_chat_photo": lambda here, _: {"new_chat_photo": photos(here)},
        "delete_chat_photo": lambda _here, _who: {"delete_chat_photo": True},
        "group_chat_created": lambda _here, _who: {"group_chat_created": True},
        "supergroup_chat_created": lambda _here, _who: {"supergroup_chat_created": True},
        "migrate_to_chat_id": lambda here, _: {
            "chat": {"id": -here.dice.at("old").integer(10**6, 10**9), "type": "group", "title": "Old group"},
            "migrate_to_chat_id": supergroup(here.dice)["id"],
        },
        "migrate_from_chat_id": lambda here, _: {"migrate_from_chat_id": -here.dice.at("old").integer(10**6, 10**9)},
        "pinned_message": lambda here, who: {
            "pinned_message": message(here, who, chat=supergroup(here.dice), text="Pinned")
        },
        "auto_delete_timer": lambda _here, _who: {
            "message_auto_delete_timer_changed": {"message_auto_delete_time": 86_400}
        },
        "forum_topic_created": lambda here, _: {
            "forum_topic_created": {"name": here.marker, "icon_color": 7_322_096},
            "message_thread_id": 9,
        },
        "forum_topic_closed": lambda _here, _who: {"forum_topic_closed": {}, "message_thread_id": 9},
        "video_chat_started": lambda _here, _who: {"video_chat_started": {}},
        "video_chat_ended": lambda _here, _who: {"video_chat_ended": {"duration": 61}},
        "video_chat_invited": lambda _, who: {"video_chat_participants_invited": {"users": [person(who)]}},
        "boost_added": lambda _here, _who: {"boost_added": {"boost_count": 2}},
        "giveaway": lambda here, _: {
            "giveaway": {
                "chats": [channel(here.dice)],
                "winners_selection_date": here.date + 86_400,
                "winner_count": 3,
            }
        },
        "proximity_alert": lambda _, who: {
            "proximity_alert_triggered": {"traveler": person(who), "watcher": person(1_000_005), "distance": 50}
        },
        "invoice": lambda here, _: {
            "invoice": {
                "title": "Plan",
                "description": here.marker,
                "start_parameter": "buy",
                "currency": "XTR",
                "total_amount": 100,
            }
        },
        "successful_payment": lambda here, _: {
            "successful_payment": {
                "currency": "XTR",
                "total_amount": 100,
                "invoice_payload": here.marker,
                "telegram_payment_charge_id": here.token("charge"),
                "provider_payment_charge_id": here.token("provider"),
            }
        },
        "refunded_payment": lambda here, _: {
            "refunded_payment": {
                "currency": "XTR",
                "total_amount": 100,
                "invoice_payload": here.marker,
                "telegram_payment_charge_id": here.token("charge"),
            }
        },
        "users_shared": lambda _here, _who: {"users_shared": {"request_id": 1, "users": [{"user_id": 1_000_006}]}},
        "chat_shared": lambda here, _: {"chat_shared": {"request_id": 1, "chat_id": supergroup(here.dice)["id"]}},
        "write_access_allowed": lambda _here, _who: {"write_access_allowed": {"from_request": True}},
        "connected_website": lambda _here, _who: {"connected_website": "example.com"},
        "chat_background": lambda _here, _who: {
            "chat_background_set": {
                "type": {"type": "fill", "fill": {"type": "solid", "color": 255}, "dark_theme_dimming": 10}
            }
        },
    }


_PRIVATE_SERVICES = frozenset(
    {"invoice", "successful_payment", "refunded_payment", "users_shared", "chat_shared", "write_access_allowed"}
)


def _service(here: Place, who: int, content: Json) -> Json:
    """A service message: in a group, except for those that happen between a person and the bot."""
    if "chat" in content or _PRIVATE_SERVICES & content.keys():
        return message(here, who, **content)
    return message(here, who, chat=supergroup(here.dice), **content)
