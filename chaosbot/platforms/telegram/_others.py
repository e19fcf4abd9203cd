"""Golden payloads of all other kinds than new messages: edits, posts, queries, payments, members, boosts, reactions."""

from __future__ import annotations

from typing import Any

from chaosbot.platforms.telegram._contents import PlaceOf, UserOf
from chaosbot.platforms.telegram._parts import (
    Json,
    Place,
    bot,
    callback,
    document,
    inline_query,
    message,
    poll,
    text_message,
)
from chaosbot.platforms.telegram._users import channel, person, private, supergroup

Named = dict[str, tuple[str, Json]]


def others(place: PlaceOf, user: UserOf) -> Named:
    """Kind and payload by name."""
    return _edits_and_posts(place, user) | _queries(place, user) | _chats(place, user) | _rest(place, user)


def _hello(here: Place) -> str:
    return f"Hello there {here.marker}"


def _post(here: Place, **more: Any) -> Json:
    chat = channel(here.dice)
    return {
        "message_id": here.message_id,
        "sender_chat": chat,
        "chat": chat,
        "date": here.date,
        "text": _hello(here),
        **more,
    }


def _edits_and_posts(place: PlaceOf, user: UserOf) -> Named:
    edited, caption = place("edited_message/text"), place("edited_message/caption")
    post, edited_post = place("channel_post"), place("edited_channel_post")
    business, edited_business, deleted = (
        place("business_message"),
        place("edited_business_message"),
        place("deleted_business_messages"),
    )
    guest = place("guest_message")
    writer = user("business_message")
    return {
        "edited_message/text": (
            "edited_message",
            text_message(edited, user("edited_message/text"), _hello(edited), edit_date=edited.date + 5),
        ),
        "edited_message/caption": (
            "edited_message",
            message(
                caption,
                user("edited_message/caption"),
                document=document(caption),
                caption=_hello(caption),
                edit_date=caption.date + 5,
            ),
        ),
        "channel_post": ("channel_post", _post(post)),
        "edited_channel_post": ("edited_channel_post", _post(edited_post, edit_date=edited_post.date + 5)),
        "business_message": (
            "business_message",
            text_message(business, writer, _hello(business), business_connection_id=business.token("connection")),
        ),
        "edited_business_message": (
            "edited_business_message",
            text_message(
                edited_business,
                writer,
                _hello(edited_business),
                business_connection_id=edited_business.token("connection"),
                edit_date=edited_business.date + 5,
            ),
        ),
        "deleted_business_messages": (
            "deleted_business_messages",
            {"business_connection_id": deleted.token("connection"), "chat": private(writer), "message_ids": [11, 12]},
        ),
        "guest_message": (
            "guest_message",
            text_message(
                guest,
                user("guest_message"),
                _hello(guest),
                chat=supergroup(guest.dice),
                guest_query_id=guest.id("guest"),
            ),
        ),
    }


def _queries(place: PlaceOf, user: UserOf) -> Named:
    def named(name: str) -> tuple[Place, Json]:
        return place(name), person(user(name))

    far, inline = place("callback_query/inaccessible"), place("callback_query/inline")
    far_user = user("callback_query/inaccessible")
    asked = place("inline_query")
    chosen, chooser = named("chosen_inline_result")
    shipped, shopper = named("shipping_query")
    paid, payer = named("pre_checkout_query")
    bought, buyer = named("purchased_paid_media")
    address = {
        "country_code": "VN",
        "state": "",
        "city": "Hà Nội",
        "street_line1": "1 Tràng Tiền",
        "street_line2": "",
        "post_code": "100000",
    }
    return {
        "callback_query/inaccessible": (
            "callback_query",
            callback(
                far,
                far_user,
                "category:writing",
                message={"chat": private(far_user), "message_id": far.message_id, "date": 0},
            ),
        ),
        "callback_query/inline": (
            "callback_query",
            callback(
                inline,
                user("callback_query/inline"),
                "category:writing",
                message=None,
                inline_message_id=inline.token("inline", 32),
            ),
        ),
        "inline_query": ("inline_query", inline_query(asked, user("inline_query"), _hello(asked))),
        "chosen_inline_result": (
            "chosen_inline_result",
            {
                "result_id": "result-1",
                "from": chooser,
                "query": _hello(chosen),
                "inline_message_id": chosen.token("m", 32),
            },
        ),
        "shipping_query": (
            "shipping_query",
            {
                "id": shipped.id("query"),
                "from": shopper,
                "invoice_payload": shipped.marker,
                "shipping_address": address,
            },
        ),
        "pre_checkout_query": (
            "pre_checkout_query",
            {
                "id": paid.id("query"),
                "from": payer,
                "currency": "XTR",
                "total_amount": 100,
                "invoice_payload": paid.marker,
                "order_info": {"name": "Ada", "email": "ada@example.com", "shipping_address": address},
            },
        ),
        "purchased_paid_media": ("purchased_paid_media", {"from": buyer, "paid_media_payload": bought.marker}),
    }


def _chats(place: PlaceOf, user: UserOf) -> Named:
    mine, theirs, asked = place("my_chat_member"), place("chat_member"), place("chat_join_request")
    mine_user, asker = user("my_chat_member"), user("chat_join_request")
    boosted, removed = place("chat_boost"), place("removed_chat_boost")
    premium = {"source": "premium", "user": person(user("chat_boost"))}
    link = {
        "invite_link": "https://t.me/+chaos",
        "creator": person(1_000_007),
        "creates_join_request": True,
        "is_primary": False,
        "is_revoked": False,
    }
    return {
        "my_chat_member": (
            "my_chat_member",
            {
                "chat": private(mine_user),
                "from": person(mine_user),
                "date": mine.date,
                "old_chat_member": {"user": bot(), "status": "member"},
                "new_chat_member": {"user": bot(), "status": "kicked", "until_date": 0},
            },
        ),
        "chat_member": (
            "chat_member",
            {
                "chat": supergroup(theirs.dice),
                "from": person(1_000_007),
                "date": theirs.date,
                "old_chat_member": {"user": person(user("chat_member")), "status": "left"},
                "new_chat_member": {"user": person(user("chat_member")), "status": "member"},
                "invite_link": link,
            },
        ),
        "chat_join_request": (
            "chat_join_request",
            {
                "chat": supergroup(asked.dice),
                "from": person(asker),
                "user_chat_id": asker,
                "date": asked.date,
                "bio": asked.marker,
                "invite_link": link,
            },
        ),
        "chat_boost": (
            "chat_boost",
            {
                "chat": supergroup(boosted.dice),
                "boost": {
                    "boost_id": boosted.token("boost"),
                    "add_date": boosted.date,
                    "expiration_date": boosted.date + 2_592_000,
                    "source": premium,
                },
            },
        ),
        "removed_chat_boost": (
            "removed_chat_boost",
            {
                "chat": supergroup(removed.dice),
                "boost_id": removed.token("boost"),
                "remove_date": removed.date,
                "source": premium,
            },
        ),
    }


def _rest(place: PlaceOf, user: UserOf) -> Named:
    connected, reacted, counted = (
        place("business_connection"),
        place("message_reaction"),
        place("message_reaction_count"),
    )
    owner, reactor = user("business_connection"), user("message_reaction")
    asked, answered = place("poll"), place("poll_answer")
    managed, subscribed = place("managed_bot"), place("subscription")
    stopped = place("stopped_message_generation")
    return {
        "business_connection": (
            "business_connection",
            {
                "id": connected.token("connection"),
                "user": person(owner),
                "user_chat_id": owner,
                "date": connected.date,
                "rights": {"can_reply": True, "can_read_messages": True},
                "is_enabled": True,
                "can_reply": True,
            },
        ),
        "message_reaction": (
            "message_reaction",
            {
                "chat": private(reactor),
                "message_id": reacted.message_id,
                "user": person(reactor),
                "date": reacted.date,
                "old_reaction": [],
                "new_reaction": [{"type": "emoji", "emoji": "👍"}],
            },
        ),
        "message_reaction_count": (
            "message_reaction_count",
            {
                "chat": channel(counted.dice),
                "message_id": counted.message_id,
                "date": counted.date,
                "reactions": [{"type": {"type": "emoji", "emoji": "🔥"}, "total_count": 3}],
            },
        ),
        "poll": ("poll", poll(asked, _hello(asked))),
        "poll_answer": (
            "poll_answer",
            {
                "poll_id": answered.id("poll"),
                "user": person(user("poll_answer")),
                "option_ids": [0],
                "option_persistent_ids": [answered.token("option-0", 8)],
            },
        ),
        "managed_bot": (
            "managed_bot",
            {"user": person(user("managed_bot")), "bot": bot() | {"id": 123_457, "username": managed.token("bot", 12)}},
        ),
        "subscription": (
            "subscription",
            {"user": person(user("subscription")), "invoice_payload": subscribed.marker, "state": "active"},
        ),
        "stopped_message_generation": (
            "stopped_message_generation",
            {
                "chat": private(user("stopped_message_generation")),
                "draft_id": stopped.dice.at("draft").integer(1, 10**9),
            },
        ),
    }
