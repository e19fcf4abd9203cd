"""What can go wrong with a call of the target's: a page of the outbound stage, without any doing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

_TIME_OUT_S: Final = 10.0
"""So long clients usually wait for an answer, at most."""
GROUP: Final = "outbound"
"""The group of cases that show nothing without the trouble that the target's calls met meanwhile."""
_SERVICE: Final = frozenset({"silence", "502", "reset", "not-json", "cut", "500", "down"})
"""Trouble of the service itself, which a circuit breaker may count; the others are refusals of one chat."""
_TELLS: Final = ("send", "edit", "copy", "forward")
_REFUSED: Final = (
    ("edit", "message is not modified"),
    ("answercallback", "query is too old and response timeout expired or query ID is invalid"),
    ("delete", "message to delete not found"),
    ("getfile", "file is too big"),
    ("", "not enough rights to send text messages to the chat"),
)
"""What the API says when it refuses a method, by the method's beginning."""


@dataclass(frozen=True)
class Trouble:
    """One kind of trouble with a call.

    Args:
        name: Its name in cases and findings.
        what: What happens, for people.
        fault: The fault's name.
        options: Its options.
        first: How many attempts of the trial meet it; None for all.
        lossless: Whether the message must arrive in the end all the same.
        group: Whether it happens to group chats only.
        wait_s: How much longer than usual the message may take.
        after: Whether the same chat must be answered afterwards; not where the target rightly still waits, or has moved elsewhere.
        starts: Whether who is in trouble begins anew first, as people do who let the target write to them again.
        crowd: How many chats meet it at once.
        final: Whether it is a refusal for good, so that a later delivery of the same update helps nobody.
        others_s: How long other users are waited for, at least; less than the pause that the trouble asks for, which is not theirs.
    """

    name: str
    what: str
    fault: str
    options: dict[str, object] = field(default_factory=dict)
    first: int | None = 1
    lossless: bool = False
    group: bool = False
    wait_s: float = 0.0
    after: bool = True
    starts: bool = False
    crowd: int = 1
    final: bool = False
    others_s: float = 3.0

    @property
    def arrives(self) -> bool:
        """Whether the message comes all the same: in the chat, or in the one that a group has moved to."""
        return self.lossless or self.group

    @property
    def service(self) -> bool:
        """Whether the service is in trouble, not one chat."""
        return self.name in _SERVICE


SILENCE: Final = Trouble("silence", "gets no answer", "delay", {"time": "25s"}, after=False)
TROUBLES: Final = (
    SILENCE,
    Trouble(
        "429",
        "is answered 429 with retry_after",
        "botapi_429",
        {"retry_after": "3s"},
        lossless=True,
        wait_s=3.0,
        others_s=2.0,
    ),
    Trouble(
        "502", "is answered 502 with a page of HTML", "botapi_5xx_html", {"status": 502}, lossless=True, wait_s=3.0
    ),
    Trouble(
        "down",
        "is answered 500 again and again",
        "botapi_5xx_html",
        {"status": 500},
        first=None,
        wait_s=3.0,
        after=False,
    ),
    Trouble("reset", "meets a connection reset", "hang_up", {"farewell": "rst"}, lossless=True, wait_s=3.0),
    Trouble(
        "migrated",
        "is told that the group moved",
        "botapi_migrate",
        first=None,
        group=True,
        wait_s=3.0,
        after=False,
        final=True,
    ),
    Trouble(
        "blocked",
        "is answered 403, the user blocked the bot",
        "botapi_blocked",
        first=None,
        starts=True,
        crowd=6,
        final=True,
    ),
    Trouble("refused", "is answered 400", "botapi_400", first=None, final=True),
    Trouble("429-bare", "is answered 429 without retry_after", "abort", {"status": 429}, lossless=True, wait_s=3.0),
    Trouble("not-json", "is answered 200 with what is no JSON", "abort", {"status": 200, "body": "<html>ok</html>"}),
    Trouble("cut", "is answered with half of the JSON", "truncate_response", {"keep": "50%"}),
    Trouble(
        "500", "is answered 500 with a page of HTML", "botapi_5xx_html", {"status": 500}, lossless=True, wait_s=3.0
    ),
)
"""In the order of what hurts most; the first begins first because it takes the longest."""


PLAIN: Final = (
    Trouble("502", "is answered 502 with a page of HTML", "botapi_5xx_html", {"status": 502}, wait_s=3.0),
    Trouble("reset", "meets a connection reset", "hang_up", {"farewell": "rst"}, wait_s=3.0),
    Trouble(
        "429", "is answered 429 in the API's own words", "api_error", {"status": 429, "retry_after": "2s"}, wait_s=5.0
    ),
)
"""What calls of an API meet of which nothing more is known than that it speaks HTTP."""


def tells(method: str) -> bool:
    """Whether a user sees what a call of this method brings."""
    return method.lower().startswith(_TELLS) and method.lower() != "sendchataction"


def troubles_of(method: str, *, notice: bool = False) -> Iterator[Trouble]:
    """The kinds of trouble that calls of a method can meet, as they are for it; `notice` is a call to somebody else than who asked.

    What is refused only beside the message (the end of a button's waiting, a typing note) is no reason not to send the message.
    """
    beside = not tells(method)
    # What happens every day comes first: who presses a button twice, and who is told of something and has blocked the bot.
    often = "blocked" if notice else "refused" if method.lower().startswith("edit") else ""
    for trouble in sorted(TROUBLES, key=lambda one: one.name != often):
        if (beside and (trouble.group or trouble.name in ("blocked", "down"))) or (notice and trouble.group):
            continue
        if trouble.name == "refused":
            why = next(why for start, why in _REFUSED if method.lower().startswith(start))
            yield replace(trouble, options={"description": why}, lossless=beside)
        else:
            lossless = trouble.lossless or (beside and trouble.name != "silence")
            # A client may wait for the other half until its own time is over, and then go on to the reply.
            wait_s = _TIME_OUT_S if lossless and trouble.name == "cut" else trouble.wait_s
            yield replace(trouble, lossless=lossless, wait_s=wait_s)
