"""The parts of the description of updates: people, chats, files, and what a message can contain.

Rules:

- What belongs together is drawn together: a private chat with its user, a command with its entity. Free texts carry no entities,
  and marked texts come from a list, so that no entity ever ends inside a character.
- Ids are of our own synthetic users; `Telegram.fresh` gives each delivery others of the same tier.
"""

from __future__ import annotations

from typing import Final

from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text, pick
from chaosbot.platforms.telegram._parts import bot
from chaosbot.platforms.telegram._users import person, private, robot

Members = dict[str, Shape]

DATE: Final = Integer(1_577_836_800, 1_893_456_000)
TEXT: Final = Text(1, 4096, hostile=True)
_CAPTION: Final = Text(1, 1024, hostile=True)
NAME: Final = Text(1, 64, hostile=True)
TITLE: Final = Text(1, 128, hostile=True)
TOKEN: Final = Text(1, 64, examples=("AgACAgIAAxkBAAIB", "BQACAgUAAxkBAAN7", "AwACAgIAAxkBAAMH"))
ID: Final = Text(1, 20, examples=("4382bfdwdsb323b2d9", "710054638421936042", "1"))
_SIZE: Final = Integer(0, 2**32)
_PIXELS: Final = Integer(1, 10_000)
_SECONDS: Final = Integer(0, 86_400)
MESSAGE_ID: Final = Integer(1, 2**31 - 1)
_GROUP_ID: Final = Integer(-1_009_999_999_999, -1_001_000_000_000)
SUBJECT: Final = Integer(1_000_000, 1_000_999)

PERSON: Final = Object(
    {"id": SUBJECT, "is_bot": Const(value=False), "first_name": NAME},
    {
        "last_name": NAME,
        "username": Text(5, 32, examples=("chaos_user", "a_b_c_d_e", "User12345")),
        "language_code": pick("en", "vi", "ru", "zh-hans", "pt-br"),
        "is_premium": Const(value=True),
    },
)
SUPERGROUP: Final = Object(
    {"id": _GROUP_ID, "type": Const("supergroup"), "title": TITLE},
    {"username": pick("chaos_public"), "is_forum": Const(value=True)},
)
SMALL_GROUP: Final = Object({"id": Integer(-2_000_000_000, -1), "type": Const("group"), "title": TITLE})
CHANNEL: Final = Object({"id": _GROUP_ID, "type": Const("channel"), "title": TITLE})
LOCATION: Final = Object(
    {"latitude": Number(-90.0, 90.0), "longitude": Number(-180.0, 180.0)},
    {"horizontal_accuracy": Number(0.0, 1500.0), "live_period": Integer(1, 86_400), "heading": Integer(1, 360)},
)
_TYPES: Final = pick("application/pdf", "image/png", "text/plain", "application/octet-stream", "video/mp4")
_PHOTO: Final = Object(
    {"file_id": TOKEN, "file_unique_id": TOKEN, "width": _PIXELS, "height": _PIXELS}, {"file_size": _SIZE}
)


def _file(required: Members, optional: Members | None = None) -> Object:
    ids: Members = {"file_id": TOKEN, "file_unique_id": TOKEN}
    return Object(ids | required, {"file_size": _SIZE} | (optional or {}))


_CLIP: Final[Members] = {"width": _PIXELS, "height": _PIXELS, "duration": _SECONDS}
_NAMED: Final[Members] = {"file_name": Text(0, 255, hostile=True), "mime_type": _TYPES, "thumbnail": _PHOTO}
_STICKER: Final = _file(
    {
        "type": pick("regular", "mask", "custom_emoji"),
        "width": Const(512),
        "height": Const(512),
        "is_animated": Flag(),
        "is_video": Flag(),
    },
    {"emoji": pick("👍", "🔥"), "set_name": pick("Chaos"), "thumbnail": _PHOTO},
)
POLL: Final = Object(
    {
        "id": ID,
        "question": Text(1, 300, hostile=True),
        "options": Array(
            Object({"persistent_id": ID, "text": Text(1, 100, hostile=True), "voter_count": Integer(0, 10**6)}), 2, 10
        ),
        "total_voter_count": Integer(0, 10**6),
        "is_closed": Flag(),
        "is_anonymous": Flag(),
        "type": pick("regular", "quiz"),
        "allows_multiple_answers": Flag(),
        "allows_revoting": Flag(),
        "members_only": Flag(),
    },
    {
        "correct_option_ids": Const([0]),
        "explanation": Text(0, 200, hostile=True),
        "description": Text(0, 200, hostile=True),
        "country_codes": Const(["VN", "DE"]),
        "open_period": Integer(5, 600),
        "close_date": DATE,
    },
)

_MARKED: Final = (
    ("bold text here", [{"type": "bold", "offset": 0, "length": 4}]),
    ("see https://example.com/ now", [{"type": "url", "offset": 4, "length": 20}]),
    ("#tag and @chaos_user", [{"type": "hashtag", "offset": 0, "length": 4}, {"type": "mention", "offset": 9, "length": 11}]),
    ("🙂 after an emoji", [{"type": "italic", "offset": 3, "length": 5}]),
    ("code()", [{"type": "pre", "offset": 0, "length": 6, "language": "python"}]),
    ("call Ada", [{"type": "text_mention", "offset": 5, "length": 3, "user": person(1_000_002)}]),
    ("here", [{"type": "text_link", "offset": 0, "length": 4, "url": "https://example.com/"}]),
    ("a@example.com +10000000000 $USD", [{"type": "email", "offset": 0, "length": 13}, {"type": "cashtag", "offset": 27, "length": 4}]),
    ("quoted\nlines", [{"type": "blockquote", "offset": 0, "length": 12}]),
)  # fmt: skip


def contents() -> tuple[Members, ...]:
    """What a message contains: exactly one of these sets of members."""
    caption: Members = {"caption": _CAPTION}
    marked: tuple[Members, ...] = tuple(
        {"text": Const(text), "entities": Const(entities)} for text, entities in _MARKED
    )
    return (
        {"text": TEXT},
        *marked,
        {"voice": _file({"duration": _SECONDS}, {"mime_type": Const("audio/ogg")})},
        {"photo": Array(_PHOTO, 1, 4)},
        caption | {"photo": Array(_PHOTO, 1, 4), "has_media_spoiler": Flag(), "show_caption_above_media": Flag()},
        {
            "photo": Array(_PHOTO, 1, 4),
            "caption": Const("bold text here"),
            "caption_entities": Const([{"type": "bold", "offset": 0, "length": 4}]),
        },
        {"document": _file({}, _NAMED)},
        caption | {"document": _file({}, _NAMED)},
        caption | {"video": _file(_CLIP, _NAMED)},
        {"video_note": _file({"length": _PIXELS, "duration": _SECONDS})},
        {"audio": _file({"duration": _SECONDS}, {"performer": NAME, "title": TITLE} | _NAMED)},
        {"animation": _file(_CLIP, _NAMED)},
        {"sticker": _STICKER},
        {
            "contact": Object(
                {"phone_number": pick("+10000000000", "0", "12345"), "first_name": NAME},
                {"last_name": NAME, "user_id": SUBJECT, "vcard": Text(0, 2048, hostile=True)},
            )
        },
        {"location": LOCATION},
        {"venue": Object({"location": LOCATION, "title": TITLE, "address": TITLE}), "location": LOCATION},
        {"poll": POLL},
        {"dice": Object({"emoji": pick("🎲", "🎯", "🏀", "⚽", "🎰"), "value": Integer(1, 64)})},
        {"game": Object({"title": TITLE, "description": TITLE, "photo": Array(_PHOTO, 1, 3)})},
        {"story": Object({"chat": CHANNEL, "id": MESSAGE_ID})},
        {"web_app_data": Object({"data": TEXT, "button_text": NAME})},
        {"checklist": Object({"title": TITLE, "tasks": Array(Object({"id": Integer(1, 30), "text": NAME}), 1, 5)})},
    )


def services() -> tuple[Members, ...]:
    """What happens in a chat."""
    money: Members = {
        "currency": pick("XTR", "USD", "VND"),
        "total_amount": Integer(1, 10**9),
        "invoice_payload": Text(1, 128, hostile=True),
        "telegram_payment_charge_id": TOKEN,
    }
    return (
        {"new_chat_members": Array(PERSON, 1, 3)},
        {"left_chat_member": PERSON},
        {"new_chat_title": TITLE},
        {"new_chat_photo": Array(_PHOTO, 1, 3)},
        {"delete_chat_photo": Const(value=True)},
        {"group_chat_created": Const(value=True)},
        {"supergroup_chat_created": Const(value=True)},
        {"migrate_to_chat_id": _GROUP_ID},
        {"migrate_from_chat_id": Integer(-2_000_000_000, -1)},
        {"message_auto_delete_timer_changed": Object({"message_auto_delete_time": _SECONDS})},
        {"pinned_message": Object({"message_id": MESSAGE_ID, "date": Const(0), "chat": SUPERGROUP})},
        {"successful_payment": Object(money | {"provider_payment_charge_id": TOKEN})},
        {"refunded_payment": Object(money | {"currency": Const("XTR")})},
        {"users_shared": Object({"request_id": MESSAGE_ID, "users": Array(Object({"user_id": SUBJECT}), 1, 3)})},
        {"chat_shared": Object({"request_id": MESSAGE_ID, "chat_id": _GROUP_ID})},
        {"write_access_allowed": Object({}, {"from_request": Flag(), "web_app_name": NAME})},
        {"forum_topic_created": Object({"name": NAME, "icon_color": Integer(0, 0xFFFFFF)})},
        {"forum_topic_edited": Object({}, {"name": NAME, "icon_custom_emoji_id": ID})},
        {"forum_topic_closed": Object()},
        {"forum_topic_reopened": Object()},
        {"general_forum_topic_unhidden": Object()},
        {"channel_chat_created": Const(value=True)},
        {"giveaway_created": Object({}, {"prize_star_count": Integer(1, 10_000)})},
        {"giveaway_completed": Object({"winner_count": Integer(1, 100)}, {"is_star_giveaway": Const(value=True)})},
        {
            "giveaway_winners": Object(
                {
                    "chat": CHANNEL,
                    "giveaway_message_id": MESSAGE_ID,
                    "winners_selection_date": DATE,
                    "winner_count": Integer(1, 100),
                    "winners": Array(PERSON, 1, 3),
                }
            )
        },
        {"paid_message_price_changed": Object({"paid_message_star_count": Integer(0, 10_000)})},
        {"direct_message_price_changed": Object({"are_direct_messages_enabled": Flag()})},
        {"general_forum_topic_hidden": Object()},
        {"video_chat_started": Object()},
        {"video_chat_ended": Object({"duration": _SECONDS})},
        {"video_chat_scheduled": Object({"start_date": DATE})},
        {"video_chat_participants_invited": Object({"users": Array(PERSON, 1, 3)})},
        {"proximity_alert_triggered": Object({"traveler": PERSON, "watcher": PERSON, "distance": Integer(0, 100_000)})},
        {"boost_added": Object({"boost_count": Integer(1, 100)})},
        {
            "giveaway": Object(
                {"chats": Array(CHANNEL, 1, 3), "winners_selection_date": DATE, "winner_count": Integer(1, 100)}
            )
        },
        {"connected_website": pick("example.com")},
    )


def _origins() -> Shape:
    return OneOf(
        (
            Object({"type": Const("user"), "sender_user": PERSON, "date": DATE}),
            Object({"type": Const("hidden_user"), "sender_user_name": NAME, "date": DATE}),
            Object({"type": Const("chat"), "sender_chat": SUPERGROUP, "date": DATE}, {"author_signature": NAME}),
            Object(
                {"type": Const("channel"), "chat": CHANNEL, "message_id": MESSAGE_ID, "date": DATE},
                {"author_signature": NAME},
            ),
        )
    )


def _context(chat: Shape) -> Members:
    """What may come with a message."""
    replied = Object(
        {
            "message_id": MESSAGE_ID,
            "from": Const(bot()),
            "chat": chat,
            "date": DATE,
            "text": Text(1, 200, hostile=True),
        }
    )
    return {
        "reply_to_message": replied,
        "quote": Object({"text": Text(1, 64), "position": Integer(0, 10)}, {"is_manual": Const(value=True)}),
        "external_reply": Object({"origin": _origins()}, {"chat": SUPERGROUP, "message_id": MESSAGE_ID}),
        "forward_origin": _origins(),
        "via_bot": Const(robot()),
        "media_group_id": ID,
        "author_signature": NAME,
        "has_protected_content": Const(value=True),
        "is_paid_post": Const(value=True),
        "paid_star_count": Integer(1, 10_000),
        "sender_boost_count": Integer(1, 100),
        "sender_tag": NAME,
        "reply_to_story": Object({"chat": CHANNEL, "id": MESSAGE_ID}),
        "reply_markup": Const({"inline_keyboard": [[{"text": "Go", "callback_data": "category:writing"}]]}),
        "is_from_offline": Const(value=True),
        "effect_id": ID,
    }


def message(sender: Shape | None, chat: Shape, content: Members, extra: Members | None = None) -> Object:
    """A message with this content; nobody is its sender where `sender` is None."""
    head: Members = {"message_id": MESSAGE_ID, "date": DATE, "chat": chat}
    return Object(head | ({"from": sender} if sender is not None else {}) | content | (extra or {}), _context(chat))


def someone(user: int) -> tuple[Shape, Shape]:
    """A user and the private chat with them."""
    return Const(person(user)), Const(private(user))
