"""The closed workload: virtual users who write, wait for the answer, pause, and write again.

A user has a connection of their own, as a client has. What a user does is drawn from their number and their request's
ordinal, so it is the same on one process and on eight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.journey import JourneySpec
from chaosbot.core.outcome import Fate
from chaosbot.core.pacer import Pacer
from chaosbot.load.courier import Courier
from chaosbot.load.frames import Recorder
from chaosbot.load.hub import Hub
from chaosbot.load.line import Line
from chaosbot.load.maker import Chance, Maker, Writer, draw_block
from chaosbot.load.shot import Shot


@dataclass
class Floor:
    """What all users of a run share.

    Args:
        hub: The loop.
        recorder: Where it is counted.
        maker: Who encodes.
        line: Opens a connection of one's own.
        dice: The plan's place in the tree of chance.
        peak: Users at the peak; ordinals are counted in steps of it.
        courier: The platform's sender, when it delivers what users write; None gives each user a connection.
    """

    hub: Hub
    recorder: Recorder
    maker: Maker
    line: Callable[[], Line]
    peak: int
    dice: Dice
    courier: Courier | None = None


_BLOCK: Final = 16  # requests whose chance is drawn at once
_ANSWERED: Final = Fate.ANSWERED


class VirtualUser:
    """One user: between `enter` and `leave` always either waiting for an answer or pausing."""

    __slots__ = (
        "_busy",
        "_chance",
        "_due",
        "_floor",
        "_line",
        "_pause_s",
        "_user",
        "_writer",
        "count",
        "journey",
        "number",
        "present",
    )

    def __init__(self, floor: Floor, number: int, journey: JourneySpec, user: int | str) -> None:
        self._floor = floor
        self.number = number
        self.journey = journey
        self._user = user
        self._line: Line | None = None
        self._due = 0.0
        self._busy = False
        self._pause_s = 0.0
        self._chance: Iterator[Chance] = iter(())
        self._writer: Writer | None = None
        self.count = 0
        self.present = False

    def enter(self, due: float) -> None:
        """The user comes and writes at once."""
        self.present = True
        if self._line is None and self._floor.courier is None:
            self._line = self._floor.line()
        self._due = due
        if not self._busy:
            self._write(self._floor.hub.clock() - due)

    def leave(self) -> None:
        """The user goes; a request on its way is still waited for."""
        self.present = False
        if self._line is not None and not self._busy:
            self._line.hang_up()

    def _write(self, late_s: float) -> None:
        """The next request, which was due so long ago."""
        floor = self._floor
        chance = next(self._chance, None) or self._draw()
        writer = self._writer or self._learn()
        shot = writer.shot(self, self.number + self.count * floor.peak, self._due, chance)
        self.count += 1
        self._busy = True
        line = self._line
        if line is not None:
            floor.recorder.begun(late_s)
            line.fire(shot)
        elif floor.courier is not None:
            self._pause_s = shot.pause_s
            floor.recorder.planned(late_s)
            floor.courier.post(shot, self._delivered)

    def _draw(self) -> Chance:
        self._chance = draw_block(self._floor.dice.at("user", self.number, self.count // _BLOCK), _BLOCK)
        return next(self._chance)

    def _learn(self) -> Writer:
        self._writer = self._floor.maker.writer(self.journey, self._user)
        return self._writer

    def finished(self, shot: Shot) -> None:
        """The answer is there, or will never be: a pause, then the next request."""
        floor = self._floor
        floor.recorder.ended(shot)
        if self.present and not shot.pause_s and shot.fate is _ANSWERED:
            self._due = shot.ended
            self._write(0.0)
        else:
            self._rest(floor.hub.clock(), shot.pause_s)

    def _delivered(self) -> None:
        """The platform has delivered it, or has given up."""
        self._rest(self._floor.hub.clock(), self._pause_s)

    def _rest(self, now: float, pause_s: float) -> None:
        self._busy = False
        if self.present:
            self._due = now + pause_s
            self._floor.hub.at(self._due, self._again)
        elif self._line is not None:
            self._line.hang_up()

    def _again(self) -> None:
        late_s = self._floor.hub.clock() - self._due
        # A user who left and came back in the meantime has started anew, with another due time.
        if self.present and not self._busy and late_s >= 0:
            self._write(late_s)


class Closed:
    """All virtual users of this process.

    Args:
        floor: What they share.
        pacer: How many are at work when.
        population: Who they are.
        shard: Which of them are this process's.
        start: The common start on the hub's clock.
    """

    def __init__(self, floor: Floor, pacer: Pacer, population: Population, shard: Shard, start: float) -> None:
        self._floor = floor
        self._pacer = pacer
        self._start = start
        self.users = []
        for number in range(floor.peak):
            journey, user = population.resident(number)
            if shard.owns(user):
                self.users.append(VirtualUser(floor, number, journey, user))

    @property
    def active(self) -> int:
        """Users at work."""
        return sum(user.present for user in self.users)

    @property
    def waiting(self) -> int:
        """What users wrote and the platform has not delivered yet; without a courier they send it themselves."""
        return 0 if self._floor.courier is None else self._floor.courier.waiting

    def begin(self) -> None:
        """Writes everybody's coming and going into the hub's diary."""
        for user in self.users:
            for come, go in self._pacer.spans(user.number):
                self._floor.hub.at(self._start + come, lambda user=user, due=self._start + come: user.enter(due))  # type: ignore[misc]
                self._floor.hub.at(self._start + go, user.leave)

    def over(self) -> None:
        """The plan's time is up: nobody writes any more."""
        for user in self.users:
            user.leave()

    def give_up(self) -> None:
        """The run ends now: what the platform has not delivered stays undelivered."""
        if self._floor.courier is not None:
            self._floor.courier.give_up()
