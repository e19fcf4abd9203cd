"""Discord: interactions by HTTP (commands, buttons, menus, dialogs), and webhook events; signed with the application's Ed25519 key.

The secret is the seed of the key pair: 64 hexadecimal digits, or any text (the seed is derived from it). The target is configured
with the public key that belongs to it: ``chaosbot send discord --public-key`` prints it. Signed are the time's digits and the body.

Discord probes an endpoint with wrong signatures, which must be answered with exactly 401, and with a PING, answered ``{"type":1}``. An
interaction must be answered within 3 s and is never delivered again; its token lives 15 min. ``events=true`` is for endpoints of webhook
events, whose PING (type 0) and events are answered with an empty 204.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson

from chaosbot.core.case import Expect, Reach
from chaosbot.core.event import ApiCalled
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.kit import GONE, buttons_in, there
from chaosbot.core.registry import option
from chaosbot.core.verdict import Threat
from chaosbot.platforms._keys import seed_key
from chaosbot.platforms._signatures import Style
from chaosbot.platforms._transport import Places
from chaosbot.platforms._trust import Claim, Pressing, Rights
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook, answers

_APP: Final = "845027738276462632"
_GUILD: Final = "290926798626357999"
_CHANNEL: Final = "645027906669510667"
_DEADLINE_S: Final = 3.0
_ADMINISTRATOR: Final = 1 << 3
_JSON: Final = ("application/json",)
_ANSWERED: Final = answers(200, 202, 204, within_s=_DEADLINE_S, holds='"type"', types=_JSON, empty=True)
_METHODS: Final = {
    4: "interaction.message",
    5: "interaction.deferred",
    6: "interaction.deferred_update",
    7: "interaction.update",
    8: "interaction.choices",
    9: "interaction.modal",
}


def interaction(number: int, /, **members: Any) -> dict[str, Any]:
    """An interaction of this type, by a member of a guild."""
    user = {"id": "53908232506183680", "username": "ada", "discriminator": "0", "global_name": "Ada", "avatar": None}
    member = {
        "user": user,
        "roles": ["539082325061836999"],
        "permissions": "2147483647",
        "joined_at": "2020-01-01T00:00:00.000000+00:00",
        "premium_since": None,
        "nick": None,
        "deaf": False,
        "mute": False,
        "pending": False,
    }
    return {
        "id": "846462639134605312",
        "application_id": _APP,
        "type": number,
        "token": "aW50ZXJhY3Rpb246ODQ2NDYyNjM5MTM0NjA1MzEyOmNoYW9z",
        "version": 1,
        "guild_id": _GUILD,
        "channel_id": _CHANNEL,
        "channel": {"id": _CHANNEL, "type": 0, "name": "general"},
        "member": member,
        "locale": "en-US",
        "guild_locale": "en-US",
        "app_permissions": "442368",
        "entitlements": [],
        "authorizing_integration_owners": {"0": _GUILD},
        "context": 0,
    } | members


def command(name: str, text: str = "", /, **members: Any) -> dict[str, Any]:
    """A slash command, with one option where a text is given."""
    options = [{"name": "text", "type": 3, "value": text}] if text else []
    return interaction(2, data={"id": "771825006014889984", "name": name, "type": 1, "options": options}, **members)


def _payloads(name: str) -> dict[str, Any]:
    said = {
        "id": "846462639134605399",
        "channel_id": _CHANNEL,
        "content": "Is this right?",
        "author": {"id": _APP, "username": "bot", "bot": True},
        "timestamp": "2026-01-01T00:00:00.000000+00:00",
        "type": 0,
    }
    data = command(name)["data"]
    field = {"type": 1, "components": [{"type": 4, "custom_id": "reason", "value": "All is well."}]}
    member = command(name, "hello")
    private = {key: value for key, value in member.items() if key not in ("member", "guild_id", "guild_locale")}
    target = {"id": "771825006014889999", "name": "Remember", "type": 3, "target_id": said["id"]}
    return {
        "command": command(name, "hello"),
        "command/bare": command(name),
        "command/private": private | {"user": member["member"]["user"], "context": 1},
        "command/nested": interaction(
            2,
            data=data
            | {"options": [{"name": "set", "type": 1, "options": [{"name": "text", "type": 3, "value": "hello"}]}]},
        ),
        "command/message": interaction(2, data=target | {"resolved": {"messages": {said["id"]: said}}}),
        "component": interaction(3, data={"custom_id": "approve:4711", "component_type": 2}, message=said),
        "component/menu": interaction(
            3, data={"custom_id": "pick", "component_type": 3, "values": ["a"]}, message=said
        ),
        "autocomplete": interaction(
            4, data=data | {"options": [{"name": "text", "type": 3, "value": "he", "focused": True}]}
        ),
        "modal": interaction(5, data={"custom_id": "feedback", "components": [field]}),
        "ping": {"id": "846462639134605300", "application_id": _APP, "type": 1, "token": "chaos", "version": 1},
    }


_EVENTS: Final[dict[str, Any]] = {
    "event": {
        "version": 1,
        "application_id": _APP,
        "type": 1,
        "event": {
            "type": "APPLICATION_AUTHORIZED",
            "timestamp": "2026-01-01T00:00:00.000000",
            "data": {"integration_type": 1, "scopes": ["applications.commands"], "user": {"id": "53908232506183680"}},
        },
    },
    "event_ping": {"version": 1, "application_id": _APP, "type": 0},
}
_KINDS: Final = {1: "ping", 2: "command", 3: "component", 4: "autocomplete", 5: "modal"}


@dataclass(frozen=True)
class Discord(Webhook):
    """Discord's interactions and webhook events."""

    default_path: ClassVar[str] = "/interactions"
    signed_with: ClassVar[str] = (
        "the seed of a key pair: 64 hexadecimal digits, or any text; --public-key prints what the target gets"
    )
    api_mock: ClassVar[str] = "discord"
    usual: ClassVar[str] = "command"
    style: ClassVar[Style] = Style(
        "discord",
        "X-Signature-Ed25519",
        "",
        "{timestamp}{body}",
        algorithm="ed25519",
        key_of=seed_key,
        time_header="X-Signature-Timestamp",
        constant=(("User-Agent", "Discord-Interactions/1.0 (+https://discord.com)"),),
        tolerance_s=0.0,
    )
    places: ClassVar[Places] = Places(
        delivery=("id",),
        chat=("channel_id",),
        user=("member.user.id", "user.id", "event.data.user.id"),
        tenant=("guild_id",),
        text=("data.options.0.value", "data.options.0.options.0.value", "data.components.0.components.0.value"),
        message=("message.id",),
        callback=("token",),
        command=("data.name",),
        own=("token",),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {"dialog": ("command", "component", "modal")}
    acting: ClassVar[tuple[str, ...]] = ("component", "modal")
    rights: ClassVar[tuple[Rights, ...]] = (
        Rights(
            "command/bare",
            {"data.name": "{command}"},
            {"member.permissions": str(_ADMINISTRATOR), "app_permissions": str(_ADMINISTRATOR), "member.user.id": "{admin}", "member.nick": "{name}"},
            {"member.permissions": "0", "member.roles": []},
            (
                Claim("bot-may", "a command where the bot may do everything, by somebody who may not", {"app_permissions": str(_ADMINISTRATOR)}),
                Claim("private", "a command in a private chat, where nobody has permissions", {"member": GONE, "guild_id": GONE, "context": 1, "user": {"id": "53908232506183777", "username": "eve"}}),
                Claim("permissions-absent", "a command of a member without permissions", {"member.permissions": GONE}),
                Claim("name", "a command of somebody who is called as the admin is", {"member.nick": "{name}", "member.user.username": "{name}", "member.user.global_name": "{name}"}),
                Claim("resolved", "a command that points at the admin", {"data.resolved": {"users": {"{admin}": {"id": "{admin}", "username": "{name}"}}}}),
            ),
        ),
    )  # fmt: skip
    pressing: ClassVar[tuple[Pressing, ...]] = (
        Pressing(
            "component",
            ("data.custom_id",),
            {"member.permissions": str(_ADMINISTRATOR), "member.user.id": "{admin}", "member.nick": "{name}"},
            {"member.permissions": "0", "member.roles": []},
            (
                Claim("pressed-name", "a press by somebody who is called as the admin is", {"member.nick": "{name}", "member.user.username": "{name}", "member.user.global_name": "{name}"}),
                Claim("pressed-private", "a press in a private chat, where nobody has permissions", {"member": GONE, "guild_id": GONE, "context": 1, "user": {"id": "53908232506183777", "username": "eve"}}),
            ),
        ),
    )  # fmt: skip
    expects: ClassVar[Mapping[str, Expect]] = {
        "ping": answers(200, body='{"type":1}', types=_JSON, within_s=_DEADLINE_S),
        "event_ping": answers(204, within_s=_DEADLINE_S),
        "event": answers(204, within_s=_DEADLINE_S),
    } | dict.fromkeys(("command", "component", "autocomplete", "modal"), _ANSWERED)

    withheld: ClassVar[Mapping[str, str]] = dict.fromkeys(_EVENTS, "--platform-option events=true")

    command: str = option("text", "a command that the target knows", "hello")
    events: bool = option("flag", "whether the endpoint takes webhook events instead of interactions", False)

    def payloads(self) -> Mapping[str, Any]:
        """Interactions of each type, or webhook events."""
        return _EVENTS if self.events else _payloads(self.command)

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """By the interaction's type."""
        del headers
        number = payload.get("type") if isinstance(payload, dict) else None
        if not isinstance(payload, dict) or not isinstance(number, int):
            return ""
        if self.events:
            return "event_ping" if number == 0 else "event"
        return _KINDS.get(number, "")

    def delivery(self) -> DeliveryRules:
        """Interactions come once; events again for ten minutes."""
        return DeliveryRules(answer_wait_s=_DEADLINE_S, retries=self.events, expiry_s=600.0)

    def effects(self, body: bytes) -> tuple[ApiCalled, ...]:
        """The interaction's answer: a message, a deferral, choices, a dialog."""
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            return ()
        number = told.get("type") if isinstance(told, dict) else None
        if not isinstance(number, int) or number not in _METHODS:
            return ()
        content = there(told, "data.content")
        return (
            ApiCalled(
                0.0,
                _METHODS[number],
                text=content if isinstance(content, str) else "",
                buttons=buttons_in(told, ("custom_id",)),
            ),
        )

    def odd(self) -> tuple[Odd, ...]:
        """Probes, private chats, permissions, foreign buttons, texts."""
        exact = Expect(frozenset({401}), reach=Reach.NONE)
        probe: dict[str, Any] = {"threat": Threat.FORGER, "check": "answer_understood", "expect": exact}
        big = str(1 << 63)
        return (
            Odd("handshake/ping-foreign", "ping", "a PING with a wrong signature, as Discord probes", sign="wrong", **probe),
            Odd("handshake/ping-unsigned", "ping", "a PING without signature", sign="none", **probe),
            Odd("handshake/command-foreign", "command", "a command with a wrong signature", sign="wrong", **probe),
            Odd("shape/member-absent", "command", "a guild's command without member", {"member": GONE}),
            Odd("shape/permissions-number", "command", "permissions as a number", {"member.permissions": 2147483647}),
            Odd("shape/permissions-huge", "command", "permissions beyond 53 bits", {"member.permissions": big}, **GENUINE),
            Odd("shape/options-absent", "command", "a command without options", {"data.options": GONE}, **GENUINE),
            Odd("shape/option-unknown", "command", "an option that nobody knows", {"data.options.0.name": "chaos"}),
            Odd("shape/option-type", "command", "an option of a type to come", {"data.options.0.type": 99}),
            Odd("shape/resolved-absent", "command/message", "what is pointed at is not there", {"data.resolved": GONE}),
            Odd("shape/command-unknown", "command", "a command that nobody knows", {"data.name": "chaos-unknown"}),
            Odd("shape/type-unknown", "command", "an interaction of a type to come", {"type": 99}),
            Odd("shape/data-null", "command", "an interaction without data", {"data": None}),
            Odd("identity/button-forged", "component", "a button that was never shown", {"data.custom_id": "admin:delete-all"}),
            Odd("identity/button-empty", "component", "a button without id", {"data.custom_id": ""}),
            Odd("identity/button-long", "component", "a button's id of 4000 characters", {"data.custom_id": "x" * 4000}),
            Odd("identity/application-other", "command", "an interaction of another application", {"application_id": "1"}),
            Odd("identity/guild-other", "command", "a member of another guild", {"guild_id": "999999999999999999"}),
            Odd("text/long", "command", "an option of 6000 characters", {"data.options.0.value": "x" * 6000}, **GENUINE),
            Odd("text/mention", "command", "a text that addresses everybody", {"data.options.0.value": "@everyone <@&1>"}, **GENUINE),
            Odd("text/markup", "command", "a text of markup", {"data.options.0.value": "```js\n${1+1}``` ||x||"}, **GENUINE),
            Odd("type/list", "command", "a signed list", body=b"[]", threat=Threat.NETWORK),
            Odd("type/null", "command", "a signed null", body=b"null", threat=Threat.NETWORK),
        )  # fmt: skip


__all__ = ["Discord", "command", "interaction"]
