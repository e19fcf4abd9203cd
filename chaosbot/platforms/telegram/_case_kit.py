"""What Telegram's own cases share: people and chats that nobody else uses, and updates written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.case import Case, Change, Expect, Role
from chaosbot.core.dice import Dice
from chaosbot.core.kit import ACK, Base, Kit, accepted, shaped, technique, word_of
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.platforms.telegram._parts import Json, Place, callback, message, text_message, update
from chaosbot.platforms.telegram._users import Population

MARK: Final = "\ue000"
"""Stands for the marker in a text that is still to be written."""


POLITE: Final = "please, if you can spare a moment"
"""Ends the commands that are compared with a control: it makes a mere echo of an unknown command resemble the echo of a known one."""


@dataclass
class Pen:
    """Writes the updates of cases.

    Args:
        kit: What builds the cases.
        population: Which ids belong to which tier.
        date: Unix time that updates claim.
    """

    kit: Kit
    population: Population
    date: int

    @property
    def admin(self) -> int:
        """The bot's admin."""
        return self.population.admin_id

    def place(self, name: str) -> Place:
        """A case's place."""
        return Place(self.kit.place(name), self.date)

    def someone(self, name: str, tier: str = "guest") -> int:
        """A person of a tier in whose private chat no other case happens, where the tier has enough people."""
        ids = self.population.ids(tier)
        start = self.kit.place(name).at("someone").integer(0, len(ids) - 1)
        order = (ids[(start + step) % len(ids)] for step in range(len(ids)))
        return next((number for number in order if number not in self.kit.taken), ids[start])

    def message(
        self, name: str, text: str | None = None, *, user: int | None = None, kind: str = "message", **content: Any
    ) -> Base:
        """An update with a message; by default a guest's text, in which `MARK` stands for the marker."""
        place = self.place(name)
        writer = self.someone(name) if user is None else user
        said = f"Hello {place.marker}" if text is None else text.replace(MARK, place.marker)
        if kind.startswith("edited_"):
            content.setdefault("edit_date", self.date + 5)
        members = text_message(place, writer, said, **content)
        return self.base(update(place, kind, members))

    def media(self, name: str, caption: str = "", *, user: int | None = None, **content: Any) -> Base:
        """An update with a message that has no text but `content`."""
        place = self.place(name)
        writer = self.someone(name) if user is None else user
        words = {"caption": caption.replace(MARK, place.marker)} if caption else {}
        return self.base(update(place, "message", message(place, writer, **words, **content)))

    def press(self, name: str, data: str | None, *, user: int | None = None, **content: Any) -> Base:
        """An update with a pressed button."""
        presser = self.someone(name) if user is None else user
        place = self.place(name)
        data = data.replace(MARK, place.marker) if data else data
        return self.base(update(place, "callback_query", callback(place, presser, data, **content)))

    def base(self, made: Json) -> Base:
        """An update as a case's base."""
        return self.kit.take(self.kit.wrap(made))

    def case(
        self,
        name: str,
        base: Base,
        summary: str,
        expect: Expect | None = None,
        *,
        threat: Threat = Threat.USER,
        check: str = "",
        control: str = "",
        role: Role = Role.ATTEMPT,
        change: Change | None = None,
    ) -> Case:
        """A case that sends its base as it is; by default a real person's valid update."""
        chosen = expect or accepted()
        fallback = "valid_accepted" if chosen.statuses == ACK else "no_server_error"
        return self.kit.case(
            name,
            base,
            base.request,
            summary,
            chosen,
            threat=threat,
            check=check or fallback,
            control=control,
            role=role,
            change=change or changed(name),
        )


_MEMBERS: Final = frozenset({"callbacks", "messages"})
"""Groups whose cases are named after the member of the payload that they change."""
_WHOLE: Final = frozenset({"costly", "naughty", "valid"})
"""Cases of these groups that change no one member."""
_SHAPES: Final = frozenset({"update_kinds", "chats", "files"})
"""Groups of updates that are not as a simple bot expects them."""


def changed(name: str) -> Change:
    """What the case of this name changes."""
    group, _, rest = name.partition("/")
    word = word_of(rest)
    if group in _MEMBERS and word not in _WHOLE:
        return Change(Mechanism.MEMBER, f"*.{word}", rest)
    return shaped(name) if group in _SHAPES else technique(name)


def dice_of(pen: Pen, name: str) -> Dice:
    """A case's dice."""
    return pen.kit.place(name)
