"""What valid updates look like: a bounded description of every kind, one payload each, for generation."""

from __future__ import annotations

from functools import cache

from chaosbot.core.shape import Array, Const, Flag, Integer, Object, OneOf, Shape, Text, pick
from chaosbot.platforms.telegram._commands import COMMANDS, SKILLS
from chaosbot.platforms.telegram._parts import bot, command_entity
from chaosbot.platforms.telegram._shape_parts import (
    CHANNEL,
    DATE,
    ID,
    LOCATION,
    MESSAGE_ID,
    NAME,
    PERSON,
    POLL,
    SMALL_GROUP,
    SUBJECT,
    SUPERGROUP,
    TEXT,
    TITLE,
    TOKEN,
    Members,
    contents,
    message,
    services,
    someone,
)
from chaosbot.platforms.telegram._users import ADMIN_ID, robot


@cache
def shape() -> Shape:
    """Every kind of update, the plainest first."""
    kinds = [Object({"update_id": Integer(1, 2**31 - 1), kind: payload}) for kind, payload in payloads()]
    return OneOf(tuple(kinds))


def payloads() -> tuple[tuple[str, Shape], ...]:
    """The payload of each kind."""
    guest, guest_chat = someone(1_000_000)
    group = OneOf((SUPERGROUP, SMALL_GROUP))
    all_contents, all_services = contents(), services()
    private_messages = [message(guest, guest_chat, content) for content in all_contents]
    in_groups = [message(PERSON, group, content) for content in (*all_contents[:12], *all_services)]
    commands = []
    for user in (1_000_000, 2_000_000, 3_000_000, ADMIN_ID):
        sender, chat = someone(user)
        options = []
        for command in COMMANDS:
            # Rights are a matter of the catalogue's own cases; here the command comes without its argument.
            text = f"/{command}"
            options.append(message(sender, chat, {"text": Const(text), "entities": Const([command_entity(text)])}))
        commands.append(OneOf(tuple(options)))
    edited: Members = {"edit_date": DATE}
    business: Members = {"business_connection_id": TOKEN}
    post = [message(None, CHANNEL, content, {"sender_chat": CHANNEL}) for content in all_contents[:12]]
    edited_post = [message(None, CHANNEL, content, edited) for content in all_contents[:12]]
    return (
        ("message", OneOf((*private_messages, *commands, *in_groups))),
        ("edited_message", OneOf(tuple(message(guest, guest_chat, content, edited) for content in all_contents[:12]))),
        ("callback_query", _callbacks()),
        ("channel_post", OneOf(tuple(post))),
        ("edited_channel_post", OneOf(tuple(edited_post))),
        (
            "business_message",
            OneOf(tuple(message(guest, guest_chat, content, business) for content in all_contents[:6])),
        ),
        (
            "edited_business_message",
            OneOf(tuple(message(guest, guest_chat, content, business | edited) for content in all_contents[:6])),
        ),
        ("guest_message", message(PERSON, SUPERGROUP, {"text": TEXT, "guest_query_id": ID})),
        *_queries(),
        *_chats(),
    )


def _callbacks() -> Shape:
    known = [f"category:{name}" for name in SKILLS] + [
        f"skill:{skill}" for skills in SKILLS.values() for skill in skills
    ]
    # 64 bytes at most, hence no more than 16 characters where four bytes may stand for each.
    data = OneOf((pick(*known, "improvement:approve:1", "improvement:reject:1"), Text(1, 16, hostile=True)))
    options = []
    for user in (1_000_000, 2_000_000):
        sender, chat = someone(user)
        query: Members = {"id": ID, "from": sender, "chat_instance": ID}
        near = Object(
            {
                "message_id": MESSAGE_ID,
                "from": Const(bot()),
                "chat": chat,
                "date": DATE,
                "text": Text(1, 200, hostile=True),
            }
        )
        far = Object({"chat": chat, "message_id": MESSAGE_ID, "date": Const(0)})
        options += [
            Object(query | {"message": near, "data": data}),
            Object(query | {"message": far, "data": data}),
            Object(query | {"inline_message_id": TOKEN, "data": data}),
            Object(query | {"message": near, "game_short_name": pick("chaos")}),
        ]
    return OneOf(tuple(options))


def _queries() -> tuple[tuple[str, Shape], ...]:
    address = Object(
        {
            "country_code": pick("VN", "DE", "US"),
            "state": Text(0, 32),
            "city": Text(0, 32, hostile=True),
            "street_line1": Text(0, 64, hostile=True),
            "street_line2": Text(0, 64),
            "post_code": Text(0, 16),
        }
    )
    payload = Text(1, 128, hostile=True)
    order = Object({}, {"name": NAME, "phone_number": pick("+10000000000"), "shipping_address": address})
    return (
        (
            "inline_query",
            Object(
                {"id": ID, "from": PERSON, "query": Text(0, 256, hostile=True), "offset": Text(0, 64)},
                {"chat_type": pick("sender", "private", "group", "supergroup", "channel"), "location": LOCATION},
            ),
        ),
        (
            "chosen_inline_result",
            Object(
                {"result_id": ID, "from": PERSON, "query": Text(0, 256, hostile=True)},
                {"inline_message_id": TOKEN, "location": LOCATION},
            ),
        ),
        (
            "shipping_query",
            Object({"id": ID, "from": PERSON, "invoice_payload": payload, "shipping_address": address}),
        ),
        (
            "pre_checkout_query",
            Object(
                {
                    "id": ID,
                    "from": PERSON,
                    "currency": pick("XTR", "USD", "VND"),
                    "total_amount": Integer(1, 10**9),
                    "invoice_payload": payload,
                },
                {"shipping_option_id": ID, "order_info": order},
            ),
        ),
        ("purchased_paid_media", Object({"from": PERSON, "paid_media_payload": payload})),
        ("poll", POLL),
        (
            "poll_answer",
            Object(
                {
                    "poll_id": ID,
                    "option_ids": Array(Integer(0, 9), 0, 3),
                    "option_persistent_ids": Array(ID, 0, 3),
                    "user": PERSON,
                },
                {"voter_chat": CHANNEL},
            ),
        ),
    )


def _chats() -> tuple[tuple[str, Shape], ...]:
    guest, guest_chat = someone(1_000_000)
    link = Object(
        {
            "invite_link": pick("https://t.me/+chaos"),
            "creator": PERSON,
            "creates_join_request": Flag(),
            "is_primary": Flag(),
            "is_revoked": Flag(),
        },
        {"name": NAME, "expire_date": DATE, "member_limit": Integer(1, 99_999)},
    )
    mine: Shape = Const(bot())

    def member(who: Shape) -> Shape:
        return OneOf(
            (
                Object({"user": who, "status": Const("member")}),
                Object({"user": who, "status": Const("left")}),
                Object({"user": who, "status": Const("kicked"), "until_date": OneOf((Const(0), DATE))}),
                Object({"user": who, "status": Const("creator"), "is_anonymous": Flag()}, {"custom_title": NAME}),
            )
        )

    reaction = OneOf(
        (
            Object({"type": Const("emoji"), "emoji": pick("👍", "🔥", "❤")}),
            Object({"type": Const("custom_emoji"), "custom_emoji_id": ID}),
            Object({"type": Const("paid")}),
        )
    )
    source = OneOf(
        (
            Object({"source": Const("premium"), "user": PERSON}),
            Object({"source": Const("gift_code"), "user": PERSON}),
            Object(
                {"source": Const("giveaway"), "giveaway_message_id": MESSAGE_ID},
                {"user": PERSON, "is_unclaimed": Const(value=True)},
            ),
        )
    )
    changed: Members = {"from": PERSON, "date": DATE}
    return (
        (
            "my_chat_member",
            OneOf(
                (
                    Object(
                        {
                            "chat": guest_chat,
                            "from": guest,
                            "date": DATE,
                            "old_chat_member": member(mine),
                            "new_chat_member": member(mine),
                        }
                    ),
                    Object(
                        {"chat": SUPERGROUP, "old_chat_member": member(mine), "new_chat_member": member(mine)} | changed
                    ),
                )
            ),
        ),
        (
            "chat_member",
            Object(
                {"chat": SUPERGROUP, "old_chat_member": member(PERSON), "new_chat_member": member(PERSON)} | changed,
                {"invite_link": link, "via_join_request": Flag(), "via_chat_folder_invite_link": Flag()},
            ),
        ),
        (
            "chat_join_request",
            Object(
                changed | {"chat": SUPERGROUP, "user_chat_id": SUBJECT},
                {"bio": Text(0, 70, hostile=True), "invite_link": link, "query_id": ID},
            ),
        ),
        (
            "chat_boost",
            Object(
                {
                    "chat": SUPERGROUP,
                    "boost": Object({"boost_id": ID, "add_date": DATE, "expiration_date": DATE, "source": source}),
                }
            ),
        ),
        ("removed_chat_boost", Object({"chat": SUPERGROUP, "boost_id": ID, "remove_date": DATE, "source": source})),
        (
            "message_reaction",
            Object(
                {
                    "chat": SUPERGROUP,
                    "message_id": MESSAGE_ID,
                    "date": DATE,
                    "old_reaction": Array(reaction, 0, 2),
                    "new_reaction": Array(reaction, 0, 2),
                },
                {"user": PERSON, "actor_chat": CHANNEL},
            ),
        ),
        (
            "message_reaction_count",
            Object(
                {
                    "chat": CHANNEL,
                    "message_id": MESSAGE_ID,
                    "date": DATE,
                    "reactions": Array(Object({"type": reaction, "total_count": Integer(1, 10**6)}), 0, 4),
                }
            ),
        ),
        (
            "business_connection",
            Object(
                {
                    "id": TOKEN,
                    "user": PERSON,
                    "user_chat_id": SUBJECT,
                    "date": DATE,
                    "is_enabled": Flag(),
                    "can_reply": Flag(),
                },
                {"rights": Object({}, {"can_reply": Const(value=True), "can_read_messages": Const(value=True)})},
            ),
        ),
        (
            "deleted_business_messages",
            Object({"business_connection_id": TOKEN, "chat": guest_chat, "message_ids": Array(MESSAGE_ID, 1, 5)}),
        ),
        ("managed_bot", Object({"user": PERSON, "bot": Const(robot())})),
        ("subscription", Object({"user": PERSON, "invoice_payload": TITLE, "state": pick("active", "canceled")})),
        (
            "stopped_message_generation",
            Object({"chat": guest_chat, "draft_id": MESSAGE_ID}, {"message_thread_id": MESSAGE_ID}),
        ),
    )
