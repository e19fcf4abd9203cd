"""`chaosbot doctor`: checks the environment, the target and the bot's way to its API, and says what to do."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from chaosbot.cli import verb
from chaosbot.cli._options import (
    AllowHost,
    PlatformName,
    PlatformOptions,
    SecretEnv,
    bot_api_port,
    choose_platform,
    read_secret,
)
from chaosbot.config import defaults
from chaosbot.session.diagnosis import machine, target_diagnosis

app = verb()


@app.command()
def doctor(
    target: Annotated[str | None, typer.Argument(help="The webhook's URL.", show_default=False)] = None,
    bot_api: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Start the mock there and see whether the bot's calls really arrive.",
            show_default=False,
        ),
    ] = None,
    platform: PlatformName = defaults.PLATFORM,
    platform_option: PlatformOptions = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
) -> None:
    """Check the environment and, with a TARGET, whether chaosbot can test it: exit 0 when all is well, 2 otherwise.

    Examples:

    - `chaosbot doctor`
    - `chaosbot doctor http://127.0.0.1:8000/webhook/telegram --bot-api 127.0.0.1:8081`
    """
    platform = choose_platform(platform, platform_option)
    console = Console(emoji=False)
    well = True
    looks = [machine()]
    if target:
        looks.append(
            target_diagnosis(
                target, bot_api_port(bot_api), platform, lambda: read_secret(secret_env), tuple(allow_host or ())
            )
        )
    for diagnoses in looks:
        for diagnosis in diagnoses:
            well = well and diagnosis.ok
            mark = "[green]✓[/]" if diagnosis.ok else "[red]✗[/]"
            console.print(f"{mark} {escape(diagnosis.what)}", highlight=False)
            if not diagnosis.ok:
                console.print(f"    {escape(diagnosis.remedy)}", highlight=False)
    raise typer.Exit(0 if well else 2)
