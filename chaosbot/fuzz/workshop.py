"""What every stage of a campaign works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.platform import Platform
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.ledger import Ledger
from chaosbot.fuzz.recorder import Recorder
from chaosbot.fuzz.slowlane import SlowLane
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.target import Target


@dataclass
class Workshop:
    """Everything that a stage works with."""

    spec: CampaignSpec
    platform: Platform
    target: Target
    attribution: Attribution
    recorder: Recorder
    ledger: Ledger
    slow: SlowLane
    show: Callable[[str, int], None]

    @property
    def dice(self) -> Dice:
        """The campaign's chance."""
        return Dice(self.spec.seed).at("fuzz")
