"""What Meta's platforms share: the signature with the app secret, the handshake by GET, and bodies escaped as Meta writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from chaosbot.core.case import Answer, Expect, Reach
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.verdict import Threat
from chaosbot.platforms._signatures import Style
from chaosbot.platforms._transport import NONE, BodyCodec, Transport, escaped
from chaosbot.platforms._webhook import Odd, answers

CHALLENGE: Final = "1158201444"
PLAIN: Final = ("text/plain", "application/json", "")
STYLE: Final = Style(
    "meta",
    "X-Hub-Signature-256",
    "sha256=",
    "{body}",
    constant=(("User-Agent", "facebookexternalua"),),
    legacy=("X-Hub-Signature", "sha1=", "sha1"),
    # The library pywa takes the digits without their prefix.
    lenient=frozenset({"signed/unversioned"}),
)
DELIVERED: Final = Transport(BodyCodec("application/json", escaped, orjson.loads))
HANDSHAKE: Final = Transport(NONE, "GET", query=True, signed=False)


def rules(expiry_s: float) -> DeliveryRules:
    """How Meta delivers, and for how long again."""
    return DeliveryRules(
        answer_wait_s=20.0, base_s=60.0, cap_s=(3600.0, 7200.0), success=frozenset({200}), expiry_s=expiry_s
    )


def handshake(token: str) -> dict[str, str]:
    """The query of the request by which Meta asks whether a URL is meant for it."""
    return {"hub.mode": "subscribe", "hub.challenge": CHALLENGE, "hub.verify_token": token}


EXPECTED: Final = {"handshake": answers(200, body=CHALLENGE)}


def handshakes(token: str, usual: str) -> tuple[Odd, ...]:
    """Handshakes that must not be answered, and a challenge that is markup.

    Args:
        token: The right verify token; empty where it is not known.
        usual: An ordinary golden update.
    """
    refused = Expect(frozenset({4}), reach=Reach.NONE, answer=Answer(lacks=CHALLENGE))
    stranger: dict[str, Any] = {"threat": Threat.FORGER, "check": "answer_understood", "expect": refused}
    wrong: Mapping[str, Any] = {
        "wrong": {"hub.verify_token": "chaosbot-wrong"},
        "empty": {"hub.verify_token": ""},
        "undefined": {"hub.verify_token": "undefined"},
        "list": {"hub.verify_token": ["", "x"]},
    }
    made = [
        Odd(
            f"handshake/token-{word}",
            usual,
            f"a handshake whose token is {word}",
            update={"handshake": handshake("") | change},
            **stranger,
        )
        for word, change in wrong.items()
    ]
    absent = {name: value for name, value in handshake("").items() if name != "hub.verify_token"}
    made.append(
        Odd("handshake/token-absent", usual, "a handshake without token", update={"handshake": absent}, **stranger)
    )
    if token:
        markup = handshake(token) | {"hub.challenge": "<script>alert(1)</script>"}
        shown = answers(200, 4, types=PLAIN)
        made.append(
            Odd(
                "handshake/challenge-markup",
                usual,
                "a challenge that is markup",
                update={"handshake": markup},
                expect=shown,
                check="answer_understood",
            )
        )
    made.append(
        Odd("handshake/post-unsigned", usual, "a delivery without signature", sign="none", threat=Threat.FORGER, check="forged_refused",
            expect=Expect(frozenset({400, 401, 403, 404}), reach=Reach.NONE))
    )  # fmt: skip
    return tuple(made)
