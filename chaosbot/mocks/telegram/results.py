"""What each Bot API method returns: the smallest results that are valid for the frameworks' parsers.

Rules:

- Every method of the Bot API is in `METHODS`; a test compares it with the frameworks' own lists, so a new method shows there.
- A result repeats what the call said (text, chat, files) and invents the rest.
"""

from __future__ import annotations

from typing import Any, Final

from chaosbot.mocks.telegram import messages
from chaosbot.mocks.telegram.call import ApiCall, BadCall
from chaosbot.mocks.telegram.files import FILES, describe_file, file_of
from chaosbot.mocks.telegram.messages import Builder, Desk, chat_of


def _get_file(call: ApiCall, _desk: Desk) -> Any:
    file_id = call.text("file_id")
    if not file_id:
        raise BadCall(400, "Bad Request: file_id not specified")
    return describe_file(file_id)


def _upload_sticker(call: ApiCall, desk: Desk) -> Any:
    return describe_file(file_of("sticker", call, desk.ids)["file_id"])


def _rights(*, granted: bool) -> dict[str, bool]:
    names = (
        "can_manage_chat can_delete_messages can_manage_video_chats can_restrict_members can_promote_members "
        "can_change_info can_invite_users can_post_stories can_edit_stories can_delete_stories can_send_welcome_messages"
    )
    return {"is_anonymous": False} | dict.fromkeys(names.split(), granted)


def _user(number: int | None) -> dict[str, Any]:
    return {"id": number or 1, "is_bot": False, "first_name": "Test"}


def _member(user: int | None, desk: Desk) -> dict[str, Any]:
    role = {"status": "creator", "is_anonymous": False} if user == desk.admin else {"status": "member"}
    return role | {"user": _user(user)}


def _chat(call: ApiCall, _desk: Desk) -> Any:
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    return chat_of(call.chat) | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }


def _invite(call: ApiCall, desk: Desk) -> Any:
    return {
        "invite_link": call.text("invite_link") or f"https://t.me/+chaosbot{next(desk.ids)}",
        "creator": desk.bot(call),
        "creates_join_request": call.flag("creates_join_request"),
        "is_primary": False,
        "is_revoked": call.method.lower().startswith("revoke"),
    }


def _set_webhook(call: ApiCall, desk: Desk) -> Any:
    desk.webhook = call.text("url")
    return True


def _delete_webhook(_call: ApiCall, desk: Desk) -> Any:
    desk.webhook = ""
    return True


def _webhook_info(_call: ApiCall, desk: Desk) -> Any:
    return {"url": desk.webhook, "has_custom_certificate": False, "pending_update_count": 0}


def _updates(_call: ApiCall, desk: Desk) -> Any:
    if desk.webhook:
        raise BadCall(
            409,
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
        )
    return []


def _remember(name: str, parameter: str) -> Builder:
    def build(call: ApiCall, desk: Desk) -> Any:
        value = call.nested(parameter)
        desk.settings[name] = call.text(parameter) if value is None else value
        return True

    return build


def _recall(name: str, otherwise: Any, wrap: str = "") -> Builder:
    def build(_call: ApiCall, desk: Desk) -> Any:
        value = desk.settings.get(name, otherwise)
        return {wrap: value} if wrap else value

    return build


def _fixed(value: Any) -> Builder:
    return lambda _call, _desk: value


_TRUE: Final = _fixed(True)

API_VERSION: Final = "10.3"
"""The Bot API whose methods are known here."""

_ACKNOWLEDGED: Final = """
addStickerToSet answerCallbackQuery answerChatJoinRequestQuery answerInlineQuery answerPreCheckoutQuery
answerShippingQuery approveChatJoinRequest approveSuggestedPost banChatMember banChatSenderChat close closeForumTopic
closeGeneralForumTopic convertGiftToStars createNewStickerSet declineChatJoinRequest declineSuggestedPost
deleteAllMessageReactions deleteBusinessMessages deleteChatPhoto deleteChatStickerSet deleteEphemeralMessage
deleteForumTopic deleteMessage deleteMessageReaction deleteMessages deleteStickerFromSet deleteStickerSet deleteStory
editEphemeralMessageCaption editEphemeralMessageMedia editEphemeralMessageReplyMarkup editEphemeralMessageText
editForumTopic editGeneralForumTopic editUserStarSubscription giftPremiumSubscription hideGeneralForumTopic leaveChat
logOut pinChatMessage promoteChatMember readBusinessMessage refundStarPayment removeBusinessAccountProfilePhoto
removeChatVerification removeMyProfilePhoto removeUserVerification reopenForumTopic reopenGeneralForumTopic
replaceStickerInSet restrictChatMember sendChatAction sendChatJoinRequestWebApp sendGift sendMessageDraft
sendRichMessageDraft setBusinessAccountBio setBusinessAccountGiftSettings setBusinessAccountName
setBusinessAccountProfilePhoto setBusinessAccountUsername setChatAdministratorCustomTitle setChatDescription
setChatMemberTag setChatMenuButton setChatPermissions setChatPhoto setChatStickerSet setChatTitle
setCustomEmojiStickerSetThumbnail setManagedBotAccessSettings setMessageReaction setMyDefaultAdministratorRights
setMyProfilePhoto setPassportDataErrors setStickerEmojiList setStickerKeywords setStickerMaskPosition
setStickerPositionInSet setStickerSetThumbnail setStickerSetTitle setUserEmojiStatus transferBusinessAccountStars
transferGift unbanChatMember unbanChatSenderChat unhideGeneralForumTopic unpinAllChatMessages unpinAllForumTopicMessages
unpinAllGeneralForumTopicMessages unpinChatMessage upgradeGift verifyChat verifyUser
"""

_BUILDERS: Final[dict[str, Builder]] = {
    "sendMessage": messages.text,
    **{f"send{kind.title().replace('_', '')}": messages.media(kind) for kind in FILES},
    "sendMediaGroup": messages.album,
    "sendPaidMedia": messages.paid,
    "sendLocation": messages.location,
    "sendVenue": messages.venue,
    "sendContact": messages.contact,
    "sendPoll": messages.poll,
    "sendDice": messages.dice,
    "sendChecklist": messages.checklist,
    "sendGame": messages.game,
    "sendInvoice": messages.invoice,
    "sendRichMessage": messages.rich,
    "forwardMessage": messages.forward,
    "forwardMessages": messages.message_ids,
    "copyMessage": lambda _call, desk: {"message_id": next(desk.ids)},
    "copyMessages": messages.message_ids,
    "editMessageText": messages.edit,
    "editMessageCaption": messages.edit,
    "editMessageMedia": messages.edit,
    "editMessageReplyMarkup": messages.edit,
    "editMessageLiveLocation": messages.edit,
    "stopMessageLiveLocation": messages.edit,
    "editMessageChecklist": messages.checklist,
    "setGameScore": messages.edit,
    "stopPoll": lambda call, desk: messages.poll_object(call, desk, closed=True),
    "getMe": lambda call, desk: (
        desk.bot(call)
        | {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": True}
    ),
    "getFile": _get_file,
    "uploadStickerFile": _upload_sticker,
    "setWebhook": _set_webhook,
    "deleteWebhook": _delete_webhook,
    "getWebhookInfo": _webhook_info,
    "getUpdates": _updates,
    "setMyCommands": _remember("commands", "commands"),
    "deleteMyCommands": lambda _call, desk: desk.settings.pop("commands", None) is None or True,
    "getMyCommands": _recall("commands", []),
    "setMyName": _remember("name", "name"),
    "getMyName": _recall("name", "Chaosbot mock", "name"),
    "setMyDescription": _remember("description", "description"),
    "getMyDescription": _recall("description", "", "description"),
    "setMyShortDescription": _remember("short_description", "short_description"),
    "getMyShortDescription": _recall("short_description", "", "short_description"),
    "getMyDefaultAdministratorRights": _fixed(_rights(granted=False)),
    "getMyStarBalance": _fixed({"amount": 0}),
    "getBusinessAccountStarBalance": _fixed({"amount": 0}),
    "getChat": _chat,
    "getChatMember": lambda call, desk: _member(call.integer("user_id"), desk),
    "getChatAdministrators": lambda _call, desk: [_member(desk.admin, desk)],
    "getChatMemberCount": _fixed(2),
    "getChatMenuButton": _fixed({"type": "commands"}),
    "getUserProfilePhotos": _fixed({"total_count": 0, "photos": []}),
    "getUserProfileAudios": _fixed({"total_count": 0, "audios": []}),
    "getUserChatBoosts": _fixed({"boosts": []}),
    "getUserPersonalChatMessages": _fixed([]),
    "getUserGifts": _fixed({"total_count": 0, "gifts": []}),
    "getChatGifts": _fixed({"total_count": 0, "gifts": []}),
    "getBusinessAccountGifts": _fixed({"total_count": 0, "gifts": []}),
    "getAvailableGifts": _fixed({"gifts": []}),
    "getStarTransactions": _fixed({"transactions": []}),
    "getForumTopicIconStickers": _fixed([]),
    "getCustomEmojiStickers": _fixed([]),
    "getGameHighScores": _fixed([]),
    "getManagedBotAccessSettings": _fixed({"is_access_restricted": False}),
    "getManagedBotToken": _fixed("0:mock"),
    "replaceManagedBotToken": _fixed("0:mock"),
    "getStickerSet": lambda call, _desk: {
        "name": call.text("name") or "set",
        "title": "set",
        "sticker_type": "regular",
        "stickers": [],
    },
    "getBusinessConnection": lambda call, _desk: {
        "id": call.text("business_connection_id") or "1",
        "user": _user(1),
        "user_chat_id": 1,
        "date": messages.unix_now(),
        "is_enabled": True,
        "can_reply": True,
    },
    "createChatInviteLink": _invite,
    "editChatInviteLink": _invite,
    "revokeChatInviteLink": _invite,
    "createChatSubscriptionInviteLink": _invite,
    "editChatSubscriptionInviteLink": _invite,
    "exportChatInviteLink": lambda _call, desk: f"https://t.me/+chaosbot{next(desk.ids)}",
    "createInvoiceLink": lambda _call, desk: f"https://t.me/$chaosbot{next(desk.ids)}",
    "createForumTopic": lambda call, desk: {
        "message_thread_id": next(desk.ids),
        "name": call.text("name") or "topic",
        "icon_color": call.integer("icon_color") or 7322096,
    },
    "answerWebAppQuery": lambda _call, desk: {"inline_message_id": str(next(desk.ids))},
    "answerGuestQuery": lambda _call, desk: {"inline_message_id": str(next(desk.ids))},
    "savePreparedInlineMessage": lambda _call, desk: {
        "id": str(next(desk.ids)),
        "expiration_date": messages.unix_now() + 600,
    },
    "savePreparedKeyboardButton": lambda _call, desk: {"id": str(next(desk.ids))},
    **dict.fromkeys(
        ("postStory", "editStory", "repostStory"),
        lambda call, desk: {"chat": chat_of(call.chat or 1), "id": next(desk.ids)},
    ),
    **dict.fromkeys(_ACKNOWLEDGED.split(), _TRUE),
}

METHODS: Final[dict[str, tuple[str, Builder]]] = {name.lower(): (name, build) for name, build in _BUILDERS.items()}
"""Every method by its name in lower case: its real name, and what builds its result."""
