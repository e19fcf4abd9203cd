"""Slack: Events API, slash commands and interactivity, all signed with the app's signing secret.

| what | body | kinds |
|---|---|---|
| Events API | JSON | ``message``, ``app_mention``, ``reaction_added`` … (the event's own type), ``url_verification`` |
| slash commands | form | ``command`` |
| interactivity | form with ``payload=`` JSON | ``block_actions``, ``view_submission``, ``shortcut``, ``message_action`` … |

Slack waits 3 s for a 2xx. It repeats events (at once, after 1 min, after 5 min, with ``X-Slack-Retry-Num``), and never commands or
interactions, whose users see the failure. The challenge of ``url_verification`` must come back, signed requests only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson

from chaosbot.core.case import Answer, Expect, Reach
from chaosbot.core.event import ApiCalled
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.kit import GONE, buttons_in
from chaosbot.core.platform import EPOCH
from chaosbot.core.verdict import Threat
from chaosbot.platforms._signatures import STYLES, Style
from chaosbot.platforms._transport import FORM, PAYLOAD, Places, Transport
from chaosbot.platforms._trust import Claim, Pressing, Rights
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook, answers

_TEAM: Final = "T02CHAOSBOT"
_USER: Final = "U02ADA00815"
_CHANNEL: Final = "C02GENERAL1"
_APP: Final = "A02CHAOSAPP"
_CHALLENGE: Final = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
_DEADLINE_S: Final = 3.0
_TS: Final = f"{EPOCH}.000200"
_RESPONSE_URL: Final = "http://127.0.0.1:9/commands/T02CHAOSBOT/1/chaosbot"
_INTERACTIVE: Final = (
    "block_actions",
    "view_submission",
    "view_closed",
    "shortcut",
    "message_action",
    "block_suggestion",
)
_REFUSED: Final = frozenset({400, 401, 403, 404, 422})


def event(kind: str, /, **members: Any) -> dict[str, Any]:
    """An ``event_callback`` of the Events API around an event of this type."""
    return {
        "token": "XXYYZZ-verification",
        "team_id": _TEAM,
        "api_app_id": _APP,
        "event": {"type": kind, "user": _USER, "channel": _CHANNEL, "ts": _TS, "event_ts": _TS} | members,
        "type": "event_callback",
        "event_id": "Ev02CHAOS001",
        "event_time": EPOCH,
        "authorizations": [
            {"enterprise_id": None, "team_id": _TEAM, "user_id": "U02THEBOT01", "is_bot": True}
            | {"is_enterprise_install": False}
        ],
        "is_ext_shared_channel": False,
        "event_context": "4-chaosbot-context",
    }


def message(text: str, /, **members: Any) -> dict[str, Any]:
    """A message that a person wrote in a channel."""
    usual = {"channel_type": "channel", "team": _TEAM, "client_msg_id": "8f3c2a10-5b7e-4d19-9c41-7a60e2d4b5f1"}
    return event("message", **(usual | {"text": text} | members))


def command(name: str, text: str, /, **members: Any) -> dict[str, Any]:
    """A slash command."""
    return {
        "token": "XXYYZZ-verification",
        "team_id": _TEAM,
        "team_domain": "chaosbot",
        "channel_id": _CHANNEL,
        "channel_name": "general",
        "user_id": _USER,
        "user_name": "ada",
        "command": name,
        "text": text,
        "api_app_id": _APP,
        "is_enterprise_install": "false",
        "response_url": _RESPONSE_URL,
        "trigger_id": "13345224609.738474920.8088930838d88f008e0",
    } | members


def interaction(kind: str, /, **members: Any) -> dict[str, Any]:
    """The payload of a button, a menu, a shortcut or a dialog."""
    return {
        "type": kind,
        "team": {"id": _TEAM, "domain": "chaosbot"},
        "user": {"id": _USER, "username": "ada", "name": "ada", "team_id": _TEAM},
        "api_app_id": _APP,
        "token": "XXYYZZ-verification",
        "trigger_id": "13345224609.738474920.8088930838d88f008e0",
        "is_enterprise_install": False,
        "enterprise": None,
    } | members


def _view() -> dict[str, Any]:
    return {
        "id": "V02CHAOS001",
        "team_id": _TEAM,
        "type": "modal",
        "callback_id": "feedback",
        "private_metadata": "",
        "title": {"type": "plain_text", "text": "Feedback", "emoji": True},
        "blocks": [],
        "state": {"values": {"note": {"text": {"type": "plain_text_input", "value": "All is well."}}}},
        "hash": "1767225600.aBcDeFgH",
        "root_view_id": "V02CHAOS001",
        "app_id": _APP,
        "bot_id": "B02THEBOT01",
    }


def _payloads() -> dict[str, Any]:
    posted = {"type": "message", "user": _USER, "ts": _TS, "text": "Lunch at noon?", "team": _TEAM}
    button = {
        "type": "button",
        "action_id": "approve",
        "block_id": "review",
        "value": "request-4711",
        "text": {"type": "plain_text", "text": "Approve", "emoji": True},
        "action_ts": "1767225600.123456",
    }
    menu = button | {
        "type": "static_select",
        "selected_option": {"text": {"type": "plain_text", "text": "A"}, "value": "a"},
    }
    where = {"channel": {"id": _CHANNEL, "name": "general"}, "message": posted, "response_url": _RESPONSE_URL}
    container = {"type": "message", "message_ts": _TS, "channel_id": _CHANNEL, "is_ephemeral": False}
    file = {"id": "F02CHAOS001", "name": "notes.txt", "mimetype": "text/plain", "size": 12} | {
        "url_private": "https://files.slack.com/files-pri/T02CHAOSBOT-F02CHAOS001/notes.txt",
        "url_private_download": "https://files.slack.com/files-pri/T02CHAOSBOT-F02CHAOS001/download/notes.txt",
    }
    changed = {"type": "message", "user": _USER, "text": "Edited.", "ts": _TS, "edited": {"user": _USER, "ts": _TS}}
    return {
        "message": message("Live long and prosper."),
        "message/accents": message("Grüße aus Łódź 👋 <https://example.com/a?b=1&amp;c=2>"),
        "message/edited": event(
            "message", subtype="message_changed", message=changed, previous_message=posted, hidden=True
        ),
        "message/deleted": event(
            "message", subtype="message_deleted", deleted_ts=_TS, previous_message=posted, hidden=True
        ),
        "message/bot": event(
            "message", subtype="bot_message", bot_id="B02OTHER001", text="I am a bot.", username="other"
        ),
        "message/thread": message("In a thread.", thread_ts="1767225599.000100", parent_user_id=_USER),
        "message/im": event("message", text="Hello, bot.", channel="D02PRIVATE1", channel_type="im"),
        "message/file": event("message", text="", subtype="file_share", files=[file], upload=False),
        "app_mention": event("app_mention", text="<@U02THEBOT01> what is the hour?"),
        "reaction_added": event(
            "reaction_added",
            reaction="thumbsup",
            item_user=_USER,
            item={"type": "message", "channel": _CHANNEL, "ts": _TS},
        ),
        "app_home_opened": event("app_home_opened", tab="home"),
        "member_joined_channel": event("member_joined_channel", channel_type="C", team=_TEAM, inviter="U02BOB00815"),
        "channel_created": event(
            "channel_created", channel={"id": _CHANNEL, "name": "fun", "created": EPOCH, "creator": _USER}
        ),
        "team_join": event("team_join", user={"id": _USER, "team_id": _TEAM, "name": "ada", "is_restricted": False}),
        "app_uninstalled": event("app_uninstalled"),
        "tokens_revoked": event("tokens_revoked", tokens={"oauth": [_USER], "bot": ["U02THEBOT01"]}),
        "command": command("/weather", "94070"),
        "command/empty": command("/weather", ""),
        "block_actions": interaction(
            "block_actions", container=container, actions=[button], state={"values": {}}, **where
        ),
        "block_actions/menu": interaction(
            "block_actions", container=container, actions=[menu], state={"values": {}}, **where
        ),
        "message_action": interaction("message_action", callback_id="remember", message_ts=_TS, action_ts=_TS, **where),
        "shortcut": interaction("shortcut", callback_id="open", action_ts=_TS),
        "view_submission": interaction("view_submission", view=_view(), response_urls=[]),
        "view_closed": interaction("view_closed", view=_view(), is_cleared=False),
        "block_suggestion": interaction(
            "block_suggestion", action_id="pick", block_id="menu", value="ap", container=container, **where
        ),
        "url_verification": {"token": "XXYYZZ-verification", "challenge": _CHALLENGE, "type": "url_verification"},
        "app_rate_limited": {
            "token": "XXYYZZ-verification",
            "type": "app_rate_limited",
            "team_id": _TEAM,
            "minute_rate_limited": EPOCH,
            "api_app_id": _APP,
        },
    }


_BUTTON: Final = ("action_id", "value", "block_id")


@dataclass(frozen=True)
class Slack(Webhook):
    """Slack's Events API, slash commands and interactivity."""

    default_path: ClassVar[str] = "/slack/events"
    signed_with: ClassVar[str] = "the app's Signing Secret (Basic Information)"
    api_mock: ClassVar[str] = "slack"
    usual: ClassVar[str] = "message"
    style: ClassVar[Style] = STYLES["slack"]
    transports: ClassVar[Mapping[str, Transport]] = {"command": Transport(FORM)} | {
        kind: Transport(PAYLOAD) for kind in _INTERACTIVE
    }
    places: ClassVar[Places] = Places(
        delivery=("event_id", "trigger_id"),
        chat=("event.channel", "event.item.channel", "channel_id", "channel.id", "event.channel.id"),
        user=("event.user", "user_id", "user.id", "event.user.id", "event.message.user"),
        tenant=("team_id", "team.id"),
        text=("event.text", "text", "event.message.text"),
        message=("event.ts", "message.ts"),
        callback=("trigger_id",),
        command=("command",),
        own=("event.client_msg_id", "view.id"),
        reply=("response_url",),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "dialog": ("command", "block_actions", "view_submission"),
        "thread": ("app_mention", "message/thread", "reaction_added"),
    }
    acting: ClassVar[tuple[str, ...]] = ("app_mention", "message/im", "command", "block_actions")
    rights: ClassVar[tuple[Rights, ...]] = (
        Rights(
            "command",
            {"command": "{command}", "text": "{rest}"},
            {"user_id": "{admin}", "user_name": "{name}"},
            claims=(
                Claim("name", "a command of somebody who is called as the admin is", {"user_name": "{name}"}),
                Claim("text", "a command whose text names the admin", {"text": "{rest} <@{admin}>"}),
            ),
        ),
        *(
            Rights(
                golden,
                {"event.text": "{text}"},
                {"event.user": "{admin}"},
                claims=(
                    Claim("name", "a message of somebody who is called as the admin is", {"event.username": "{name}", "event.user_profile": {"name": "{name}", "real_name": "{name}", "display_name": "{name}"}}),
                    Claim("mention", "a message that mentions the admin", {"event.text": "{text} <@{admin}>"}),
                    Claim("thread", "a message below one of the admin's", {"event.thread_ts": _TS, "event.parent_user_id": "{admin}"}),
                ),
            )
            for golden in ("message", "app_mention", "message/im")
        ),
    )  # fmt: skip
    pressing: ClassVar[tuple[Pressing, ...]] = (
        Pressing(
            "block_actions",
            ("actions.0.action_id", "actions.0.value", "actions.0.block_id"),
            {"user.id": "{admin}", "user.username": "{name}", "user.name": "{name}"},
            claims=(Claim("pressed-name", "a press by somebody who is called as the admin is", {"user.username": "{name}", "user.name": "{name}"}),),
        ),
    )  # fmt: skip
    rules: ClassVar[DeliveryRules] = DeliveryRules(
        answer_wait_s=_DEADLINE_S,
        schedule_s=(0.0, 60.0, 300.0),
        once_kinds=frozenset({"command", *_INTERACTIVE}),
        stop_header="x-slack-no-retry",
    )
    expects: ClassVar[Mapping[str, Expect]] = {
        "url_verification": answers(200, holds=_CHALLENGE, within_s=_DEADLINE_S),
    }

    def payloads(self) -> Mapping[str, Any]:
        """Events, commands and interactions."""
        return _payloads()

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """The event's type, ``command``, or the interaction's type."""
        del headers
        if not isinstance(payload, dict):
            return ""
        inner = payload.get("event")
        kind = inner.get("type") if isinstance(inner, dict) else payload.get("type")
        if isinstance(kind, str):
            return kind
        return "command" if "command" in payload else ""

    def effects(self, body: bytes) -> tuple[ApiCalled, ...]:
        """What the answer to a command or an interaction says to its user."""
        try:
            told = orjson.loads(body) if body[:1] == b"{" else None
        except orjson.JSONDecodeError:
            return ()
        if not isinstance(told, dict):
            return ()
        if isinstance(told.get("response_action"), str):
            return (ApiCalled(0.0, f"view.{told['response_action']}"),)
        text = told.get("text")
        if isinstance(text, str) or isinstance(told.get("blocks"), list):
            return (
                ApiCalled(
                    0.0, "response", text=text if isinstance(text, str) else "", buttons=buttons_in(told, _BUTTON)
                ),
            )
        return ()

    def again(self, request: bytes, secret: str, attempt: int, reason: str, later_s: int) -> bytes:
        """The same event with a new signature, the number of the attempt and why."""
        why = {"late": "http_timeout", "status": "http_error"}.get(reason, "connection_failed")
        signed = self.resigned(secret, request, request, later_s) or request
        head, blank, body = signed.partition(b"\r\n\r\n")
        return head + f"\r\nX-Slack-Retry-Num: {attempt}\r\nX-Slack-Retry-Reason: {why}".encode() + blank + body

    def odd(self) -> tuple[Odd, ...]:
        """Challenges, teams, retries, loops and forms."""
        forms = {
            "empty": (b"payload=", "an empty payload"),
            "null": (b"payload=null", "the payload null"),
            "list": (b"payload=[]", "the payload []"),
            "number": (b"payload=1", "a number as payload"),
            "broken": (b"payload=%7B%22type%22", "a payload that is no JSON"),
            "absent": (b"text=hi", "a form that is neither command nor interaction"),
            "keys": (b"&".join(b"k%d=1" % number for number in range(1100)), "a form of 1100 fields"),
        }
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        stranger = Expect(_REFUSED, reach=Reach.NONE, answer=Answer(lacks=_CHALLENGE))
        nobody: dict[str, Any] = {"threat": Threat.FORGER, "check": "forged_refused", "expect": stranger}
        plain = ("text/plain", "application/json", "application/x-www-form-urlencoded")
        escaped = answers(2, 4, types=plain, empty=True)
        return (
            Odd(
                "handshake/challenge-unsigned",
                "url_verification",
                "a challenge without signature",
                sign="none",
                **nobody,
            ),
            Odd(
                "handshake/challenge-foreign", "url_verification", "a challenge of another app", sign="wrong", **nobody
            ),
            Odd(
                "handshake/challenge-markup",
                "url_verification",
                "a challenge that is markup",
                {"challenge": "<script>alert(1)</script>"},
                expect=escaped,
                check="answer_understood",
            ),
            Odd(
                "handshake/challenge-missing",
                "url_verification",
                "a challenge request without one",
                {"challenge": GONE},
            ),
            *(
                Odd(f"form/payload-{word}", "block_actions", what, body=body, headers=form, threat=Threat.NETWORK)
                for word, (body, what) in forms.items()
            ),
            *(
                Odd(
                    f"form/unsigned-{word}",
                    "block_actions",
                    f"{what}, without signature",
                    body=body,
                    headers=form,
                    sign="none",
                    threat=Threat.FORGER,
                    check="auth_before_parsing",
                    expect=Expect(_REFUSED, reach=Reach.NONE),
                )
                for word, (body, what) in forms.items()
                if word in ("broken", "null", "empty")
            ),
            Odd(
                "form/unsigned-ssl-check",
                "command",
                "a command without signature that says it is Slack's check of the certificate",
                {"ssl_check": "1"},
                sign="none",
                threat=Threat.FORGER,
                check="forged_refused",
                # The check itself is answered 200, unsigned as it is; the command beside it must do nothing.
                expect=Expect(_REFUSED | {2}, reach=Reach.NONE),
            ),
            Odd(
                "form/command-json",
                "command",
                "a command as JSON under a form's type",
                body=b'{"command":"/weather","text":"x","user_id":"U02ADA00815"}',
                headers=form,
                threat=Threat.NETWORK,
            ),
            Odd(
                "delivery/retried",
                "message",
                "the first that the target sees of an event, as a retry after an error",
                headers={"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_error"},
                **GENUINE,
            ),
            Odd("tenant/absent", "message", "an event without team", {"team_id": GONE, "authorizations": []}),
            Odd("tenant/enterprise", "message", "a team that is null (enterprise install)", {"team_id": None}),
            Odd(
                "tenant/split",
                "message",
                "another team in the authorizations",
                {"authorizations.0.team_id": "T0OTHER0001"},
            ),
            Odd("tenant/user", "block_actions", "a user of another team", {"user.team_id": "T0OTHER0001"}),
            Odd("tenant/shared", "message", "a user of a connected workspace", {"event.user_team": "T0OTHER0001"}),
            Odd("shape/event-null", "message", "an event that is null", {"event": None}),
            Odd("shape/event-text", "message", "an event that is a text", {"event": "message"}),
            Odd(
                "shape/type-unknown",
                "message",
                "an event of a kind that is not subscribed",
                {"event.type": "chaos_event"},
            ),
            Odd("shape/textless", "message", "a message without text", {"event.text": GONE}, **GENUINE),
            Odd("shape/userless", "message", "a message without user", {"event.user": GONE}),
            Odd("shape/actions-none", "block_actions", "a press of nothing", {"actions": []}),
            Odd(
                "shape/action-forged",
                "block_actions",
                "a button that was never shown",
                {"actions.0.action_id": "../admin"},
            ),
            Odd("shape/state-null", "view_submission", "a dialog without state", {"view.state": None}),
            Odd(
                "text/everyone",
                "message",
                "a text that addresses everyone",
                {"event.text": "<!everyone> <!channel>"},
                **GENUINE,
            ),
            Odd(
                "text/entities",
                "message",
                "escaped characters",
                {"event.text": "&lt;b&gt; &amp;amp; <@U0>"},
                **GENUINE,
            ),
            Odd("text/long", "message", "a text of 40 000 characters", {"event.text": "x" * 40_000}, **GENUINE),
            Odd("text/shell", "command", "a command's text as shell text", {"text": "$(id) `id` ; id"}, **GENUINE),
        )


__all__ = ["Slack", "command", "event", "interaction", "message"]
