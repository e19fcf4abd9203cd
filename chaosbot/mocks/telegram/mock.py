"""The Bot API mock: answers every method of the Bot API in a well-formed way and records what the bot did.

Rules:

- Colourless and synchronous: a request in, an answer out. The proxy workers embed it for their outbound directions, the standalone
  server wraps it in a socket; a fault plan stands in front of it, not inside.
- Every call becomes one `ApiCalled` before its answer leaves, so whoever has seen the answer can count on the record.
- Of the token only the bot's number is read; nothing keeps or prints the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from chaosbot.core.event import KEPT_TEXT, ApiCalled, Event, Trouble
from chaosbot.core.marker import answer_marks_in, markers_in
from chaosbot.core.mock import MockAnswer, MockApi, MockRequest
from chaosbot.mocks.telegram import Script
from chaosbot.mocks.telegram.call import ApiCall, BadCall, read_call
from chaosbot.mocks.telegram.files import FILES, content_of
from chaosbot.mocks.telegram.markup import plain
from chaosbot.mocks.telegram.messages import Desk
from chaosbot.mocks.telegram.results import METHODS
from chaosbot.platforms.telegram._keyboards import concerned, menu_chat, offered

_MOST_SEARCHED: Final = 64 * 1024
_LONGEST_POLL_S: Final = 50.0
_JSON: Final = (("content-type", "application/json"),)

# Where a bot's words stand, the most telling first; the nested ones are searched as the JSON that they are.
_WORDS: Final = ("text", "caption", "question", "title", "description", "first_name", "name", "custom_title")
_NESTED_WORDS: Final = ("media", "results", "rich_message", "checklist", "options", "result", "commands")
_NEEDS_CHAT: Final = ("send", "forwardmessage", "copymessage", "editmessage", "deletemessage", "pinchat", "banchat")
_NOT_IN_REPLY: Final = frozenset({"setwebhook", "deletewebhook", "close", "logout"})


class BotApiMock(MockApi):
    """One Bot API.

    Args:
        now: Seconds since the run started.
        emit: Takes the events.
        bot_id: The bot's id where the token does not tell it.
        ids: Rising numbers for messages and files; workers of one run use disjoint ones.
        scripts: Failures on purpose; the first that matches counts.
        admin: Who administers every group; None for user 1.
        alone: Whether all calls come here, so that what stands in a message is known.
    """

    def __init__(
        self,
        now: Callable[[], float],
        emit: Callable[[Event], None],
        *,
        bot_id: int = 1_000_000_001,
        ids: Iterator[int] | None = None,
        scripts: Sequence[Script] = (),
        admin: int | None = None,
        alone: bool = True,
    ) -> None:
        self._now = now
        self._emit = emit
        self._desk = Desk(bot_id, ids or itertools.count(1), admin=1 if admin is None else admin, alone=alone)
        self._scripts = [[script, script.first] for script in scripts]

    def answer(self, request: MockRequest) -> MockAnswer:
        """Answers one request."""
        call = read_call(request.method, request.path, request.headers, request.body)
        if call is None:
            return failure(404, "Not Found")
        try:
            answer, retry_after_s, made, refusal = self._answer_call(call)
        except Exception as error:  # noqa: BLE001 - whoever embeds this only logs; a broken mock must not look like a fault
            self._emit(Trouble(self._now(), "mock", f"{call.method[:64]}: {type(error).__name__}: {error}"))
            answer, retry_after_s, made, refusal = failure(500, "Internal Server Error"), None, None, ""
        self._emit(
            called(
                call,
                self._now(),
                status=answer.status,
                exchange=request.exchange,
                retry_after_s=retry_after_s,
                message=made,
                refusal=refusal,
            )
        )
        return answer

    def refusal(self, status: int, reason: str) -> MockAnswer:
        """An error as the Bot API writes it."""
        return failure(status, reason)

    def note(
        self, request: MockRequest, *, status: int | None, retry_after_s: float | None = None, body: bytes = b""
    ) -> None:
        """Records a call that was answered by a fault in front of the mock, or refused by its server."""
        del body
        call = read_call(request.method, request.path, request.headers, request.body)
        if call is not None:
            self._emit(called(call, self._now(), status=status, exchange=request.exchange, retry_after_s=retry_after_s))

    def heard(self, body: bytes, content_type: str, exchange: str) -> None:
        """Records the call that a webhook's 2xx answer makes by naming a method in its body."""
        call = reply_in_response(body, content_type=content_type, t=self._now(), exchange=exchange)
        if call is not None:
            self._emit(call)

    def _answer_call(self, call: ApiCall) -> tuple[MockAnswer, float | None, int | None, str]:
        """The answer, how long it says to wait, the id of the message that it made, and why what the call says was refused."""
        script = self._scripted(call)
        if script is not None:
            if script.html:
                page = f"<html><head><title>{script.status}</title></head><body>{script.description}</body></html>"
                return MockAnswer.of(script.status, (("content-type", "text/html"),), page.encode()), None, None, ""
            return failure(script.status, script.description, script.retry_after_s), script.retry_after_s, None, ""
        if call.download:
            found = content_of(call.method)
            if found is None:
                return failure(404, "Not Found"), None, None, ""
            return MockAnswer.of(200, (("content-type", found[0]),), found[1]), None, None, ""
        known = METHODS.get(call.method.lower())
        if known is None:
            return failure(404, "Not Found"), None, None, ""
        try:
            if call.fault is not None:
                raise call.fault
            validate(call)
            result = known[1](call, self._desk)
        except BadCall as bad:
            return failure(bad.status, bad.description), None, None, _of_content(bad)
        hold_s = 0.0
        if known[0] == "getUpdates":
            hold_s = min(max(call.number("timeout"), 0.0), _LONGEST_POLL_S)
        made = result.get("message_id") if isinstance(result, dict) else None
        answer = MockAnswer.of(200, _JSON, orjson.dumps({"ok": True, "result": result}), hold_s=hold_s)
        return answer, None, made if isinstance(made, int) else None, ""

    def _scripted(self, call: ApiCall) -> Script | None:
        for entry in self._scripts:
            script, left = entry
            if isinstance(script, Script) and script.method.lower() in ("", call.method.lower()) and left != 0:
                if isinstance(left, int):
                    entry[1] = left - 1
                return script
        return None


def failure(status: int, description: str, retry_after_s: int | None = None) -> MockAnswer:
    """An error as the Bot API writes it."""
    document: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if retry_after_s is None:
        return MockAnswer.of(status, _JSON, orjson.dumps(document))
    document["parameters"] = {"retry_after": retry_after_s}
    return MockAnswer.of(status, (*_JSON, ("retry-after", str(retry_after_s))), orjson.dumps(document))


def validate(call: ApiCall) -> None:
    """Refuses what the real server refuses most often.

    Raises:
        BadCall: With the real server's words.
    """
    method = call.method.lower()
    if method.startswith(_NEEDS_CHAT) and method not in ("sendchatjoinrequestwebapp", "sendgift"):
        inline = method.startswith("editmessage") and call.text("inline_message_id")
        if call.chat is None and not inline:
            raise BadCall(400, "Bad Request: chat_id is empty")
        if method.startswith(("editmessage", "deletemessage")) and not inline:
            wanted = "message_ids" if method == "deletemessages" else "message_id"
            if wanted not in call.params:
                raise BadCall(400, "Bad Request: message identifier is not specified")
    if method in ("sendmessage", "editmessagetext"):
        text = plain(call.text("text"), _mode(call, "entities"))
        if not text.strip() and "rich_message" not in call.params:
            raise BadCall(400, "Bad Request: message text is empty")
        if len(text) > 4096:
            raise BadCall(400, "Bad Request: message is too long")
    if len(plain(call.text("caption"), _mode(call, "caption_entities"))) > 1024:
        raise BadCall(400, "Bad Request: message caption is too long")
    kind = _kind(method)
    if kind and kind not in call.files and not call.text(kind):
        raise BadCall(400, f"Bad Request: there is no {kind.replace('_', ' ')} in the request")
    if method == "answercallbackquery" and not call.text("callback_query_id"):
        raise BadCall(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
    if "reply_markup" in call.params:
        _validate_buttons(call)


def _of_content(bad: BadCall) -> str:
    """Why a call is refused, where that is about what it says to people."""
    told = bad.description.removeprefix("Bad Request: ")
    return told if told.startswith(_CONTENT) else ""


def _mode(call: ApiCall, entities: str) -> str:
    """The markup that counts: explicit entities win over `parse_mode`."""
    return "" if call.params.get(entities) else call.text("parse_mode")


def _kind(method: str) -> str:
    return next((kind for kind in FILES if method == "send" + kind.replace("_", "")), "")


def _validate_buttons(call: ApiCall) -> None:
    markup = call.nested("reply_markup")
    if markup is None and call.params["reply_markup"] not in ("", None):
        raise BadCall(400, "Bad Request: object expected as reply markup")
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    for row in rows if isinstance(rows, list) else ():
        for button in row if isinstance(row, list) else ():
            data = button.get("callback_data") if isinstance(button, dict) else None
            if isinstance(data, str) and not 1 <= len(data.encode("utf-8", "replace")) <= 64:
                raise BadCall(400, "Bad Request: BUTTON_DATA_INVALID")


_CONTENT: Final = (
    "can't parse entities",
    "message is too long",
    "message caption is too long",
    "message text is empty",
    "BUTTON_DATA",
)
"""How refusals begin that are about what is said to people."""
_SHORTEST_TOKEN: Final = 8
"""A shorter one may stand in a text by chance."""


def called(
    call: ApiCall,
    t: float,
    *,
    status: int | None,
    via: str = "mock",
    exchange: str = "",
    retry_after_s: float | None = None,
    message: int | None = None,
    refusal: str = "",
) -> ApiCalled:
    """The event of a call: whom it went to, the start of what it said, every marker in it."""
    words = [text for name in _WORDS if (text := call.text(name))]
    for name in _NESTED_WORDS:
        value = call.params.get(name)
        if value is not None:
            words.append(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())
    words += [upload.name for upload in call.files.values() if upload.name]
    said = "\n".join(words)[:_MOST_SEARCHED] if words else ""
    name = "download" if call.download else METHODS.get(call.method.lower(), (call.method[:64],))[0]
    buttons, keys = offered(call.params)
    passed_on = name in ("forwardMessage", "copyMessage")
    return ApiCalled(
        t=t,
        method=name,
        chat=call.chat if "commands" not in call.params else menu_chat(call.params),
        text=said[:KEPT_TEXT],
        markers=markers_in(said) if said else (),
        answers=answer_marks_in(said) if "cba" in said else (),
        status=status,
        via=via,
        exchange=exchange,
        reply_to=call.reply_to,
        retry_after_s=retry_after_s,
        message=message if message is not None or passed_on else call.integer("message_id"),
        callback=call.text("callback_query_id") if name == "answerCallbackQuery" else "",
        tells="token" if len(call.token) >= _SHORTEST_TOKEN and call.token in said else "",
        buttons=buttons,
        keys=keys,
        origin=call.integer("from_chat_id") if passed_on else None,
        original=call.integer("message_id") if passed_on else None,
        refusal=refusal,
        member=concerned(name, call.params),
    )


def reply_in_response(
    body: bytes, *, content_type: str = "application/json", t: float = 0.0, exchange: str = ""
) -> ApiCalled | None:
    """The call that a webhook's 2xx answer makes by naming a method in its body.

    Telegram executes it, except `setWebhook`, `deleteWebhook`, `close`, `logOut` and every `get…`.

    Returns:
        The call, its status as the mock would have answered; None when the body makes none.
    """
    if not body or b"method" not in body:
        return None
    call = read_call("POST", "/bot0/reply", (("content-type", content_type),), body)
    if call is None or call.fault is not None:
        return None
    method = call.text("method")
    lower = method.lower()
    if lower not in METHODS or lower in _NOT_IN_REPLY or lower.startswith("get"):
        return None
    named = ApiCall(None, method, call.params, call.files)
    status, refusal = 200, ""
    try:
        validate(named)
    except BadCall as bad:
        status, refusal = bad.status, _of_content(bad)
    return called(named, t, status=status, via="reply", exchange=exchange, refusal=refusal)
