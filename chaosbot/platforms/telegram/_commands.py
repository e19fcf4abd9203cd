"""The 22 commands with the lowest tier that may use each, and the texts that a person writes with them.

Rule: `/grant` and `/revoke` name test ids of the tier ``user`` only, and grant nothing above it. A load or fuzz run against a
real bot therefore never touches a real person's rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.platforms.telegram._users import TEST_SUBJECTS

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("start", "help", "status", "skills", "mode", "cancel", "clear"), "guest"),
        **dict.fromkeys(("skill", "translate", "summarize", "rewrite", "remind", "reminders", "task", "tasks"), "user"),
        **dict.fromkeys(("traces", "trace", "circuits", "tier"), "developer"),
        **dict.fromkeys(("grant", "revoke", "admin"), "admin"),
    }
)
"""Each command's lowest tier."""

SKILLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"writing": ("rewrite", "summarize"), "language": ("translate", "explain"), "work": ("plan", "remind")}
)
"""Categories and skills as buttons offer them; a bot with others answers that it knows no such thing."""

SENTENCES: Final = (
    "Could you look at this for me, please?",
    "The meeting moved to Thursday, half past nine.",
    "Xin chào! Tôi cần tóm tắt bản báo cáo này.",
    "Привет, сколько это стоит?",
    "请帮我把这段话改得更简洁。",
    "Thanks 🙏 that was quick 🚀",
    "What is the difference between the two plans, and which one is cheaper over a year?",
    "أحتاج إلى ملخص قصير من فضلك",
)
"""What people write: several scripts and directions, so that text damage shows."""


def command_text(name: str, dice: Dice, marker: str) -> str:
    """A command as a person of its tier writes it, with an argument where it takes one and the marker at its end."""
    return " ".join(part for part in (f"/{name}", _argument(name, dice.at("argument", name)), marker) if part)


def _argument(name: str, dice: Dice) -> str:
    sentence = dice.choice(SENTENCES)
    skill = dice.choice(tuple(skill for skills in SKILLS.values() for skill in skills))
    subject = str(dice.choice(TEST_SUBJECTS))
    match name:
        case "mode":
            return dice.choice(("plain", "brief", "formal"))
        case "skill":
            return f"{skill} {sentence}"
        case "translate":
            return f"en {sentence}"
        case "summarize" | "rewrite" | "task":
            return sentence
        case "remind":
            return f"10m {sentence}"
        case "trace":
            return str(dice.integer(1, 999_999))
        case "tier" | "revoke":
            return subject
        case "grant":
            return f"{subject} user"
        case _:
            return ""
