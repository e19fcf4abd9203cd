"""Options that several verbs share, declared once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from chaosbot.errors import SecretMissing

TARGET_HELP: Final = "The webhook's URL. Without one the embedded demo bot is started and tested."

Target = Annotated[str | None, typer.Argument(help=TARGET_HELP, show_default=False)]
Seed = Annotated[
    int | None, typer.Option(help="Everything random derives from it; printed when chosen for you.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Run directory; by default chaosbot-runs/<time>-<verb>.", show_default=False),
]
SecretEnv = Annotated[
    str | None,
    typer.Option(
        "--secret-env",
        metavar="NAME",
        help="Environment variable that holds the webhook's secret (default: TELEGRAM_SECRET_TOKEN when it is set).",
        show_default=False,
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST",
        help="A target that is not loopback must be named here; only name hosts that you may break.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")]
Json = Annotated[bool, typer.Option("--json", help="Print report.json on standard output instead of the text.")]
DialectName = Annotated[str, typer.Option("--dialect", help="The platform's tongue.")]

DEFAULT_SECRET: Final = "TELEGRAM_SECRET_TOKEN"  # noqa: S105 - a variable's name


def choose_seed(seed: int | None) -> int:
    """The seed given, or a fresh one; the one place where chance enters from outside."""
    return seed if seed is not None else secrets.randbelow(1 << 32)


def read_secret(name: str | None) -> str:
    """The secret behind an environment variable; empty when none was asked for and the default one is not set.

    Raises:
        SecretMissing: The variable that was named is not set.
    """
    if name is None:
        return os.environ.get(DEFAULT_SECRET, "")
    if not os.environ.get(name):
        raise SecretMissing(
            f"--secret-env {name}: the environment variable is not set; secrets come from the environment only; "
            f"set it with: export {name}=…"
        )
    return os.environ[name]
