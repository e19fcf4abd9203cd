"""Other people in the same roles: the synthetic users of a case, each replaced by one of the same tier wherever they stand."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from chaosbot.core.case import Case, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.platform import Platform
from chaosbot.fuzz._anatomy import Signer, split
from chaosbot.fuzz.scenario import NOBODY

_ID: Final = re.compile(rb"(?<![\d.])\d{6,16}(?!\d)")
_LARGEST: Final = 1_000_000
"""Larger requests are not searched: what they show is their size."""
_ATTEMPTS: Final = 200
_NOBODIES: Final = range(NOBODY, NOBODY + 5_000_000_000)


class Peers:
    """Who stands in for whom, the same in all cases of a sequence.

    Args:
        platform: Knows the users.
        dice: Chooses.
    """

    def __init__(self, platform: Platform, dice: Dice) -> None:
        self._platform = platform
        self._dice = dice
        self._chosen: dict[int, int] = {}

    def instead(self, case: Case, sign: Signer) -> Case:
        """The case with other users in it; as it is where it names none."""
        parts = split(case.request)
        if parts is None or len(case.request) > _LARGEST:
            return case
        rest = parts[0] + _ID.sub(lambda found: self._peer(found[0]), parts[1])
        if rest == case.request:
            return case
        segments = []
        for segment in case.segments:
            segments.append(Segment(rest[: len(segment.data)], segment.pause_s))
            rest = rest[len(segment.data) :]
        chat = self._chosen.get(case.chat, case.chat) if isinstance(case.chat, int) else case.chat
        return sign(case, replace(case, segments=tuple(segments), chat=chat)) or case

    def _peer(self, written: bytes) -> bytes:
        user = int(written)
        if user not in self._chosen:
            self._chosen[user] = self._choose(user)
        return str(self._chosen[user]).encode() if len(str(user)) == len(written) else written

    def _choose(self, user: int) -> int:
        for attempt in range(_ATTEMPTS):
            place = self._dice.at(user, attempt)
            if user in _NOBODIES:
                peer: int | None = NOBODY + place.integer(0, len(_NOBODIES) - 1)
            else:
                peer = self._platform.peer(user, place)
            if peer is None or len(str(peer)) != len(str(user)):
                break
            if peer not in self._chosen.values():  # two people stay two
                return peer
        return user
