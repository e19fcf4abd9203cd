"""Telegram's own cases, group by group, in the order in which they are best sent: controls and planted things first."""

from __future__ import annotations

from typing import Final

from chaosbot.core.case import Case
from chaosbot.core.kit import Kit
from chaosbot.platforms.telegram import (
    _cases_callbacks,
    _cases_commands,
    _cases_escalation,
    _cases_files,
    _cases_identity,
    _cases_kinds,
    _cases_messages,
    _cases_shape,
)
from chaosbot.platforms.telegram._case_kit import Pen
from chaosbot.platforms.telegram._users import Population

_GROUPS: Final = (
    _cases_escalation,
    _cases_commands,
    _cases_identity,
    _cases_callbacks,
    _cases_messages,
    _cases_kinds,
    _cases_files,
    _cases_shape,
)


def cases(kit: Kit, population: Population, date: int) -> tuple[Case, ...]:
    """All of them."""
    # The admin's private chat belongs to the controls; nobody else's case may happen there.
    pen = Pen(kit, population, date)
    return tuple(case for group in _GROUPS for case in group.cases(pen))
