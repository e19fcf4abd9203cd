"""`chaosbot replay`: sends a finding's request again and says whether the target still fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chaosbot.cli import verb
from chaosbot.cli._console import echo
from chaosbot.cli._options import AllowHost, SecretEnv, UnixSocket, bot_api_port, read_secret, target_of
from chaosbot.session.replay import replayed

app = verb()


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(help="A finding's directory: RUN_DIR/findings/ID.", show_default=False)],
    target: Annotated[
        str | None, typer.Argument(help="Another target than the one it was found at.", show_default=False)
    ] = None,
    unix: UnixSocket = None,
    bot_api: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Start the Bot API mock there: findings about the bot's own calls need to see them.",
            show_default=False,
        ),
    ] = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
) -> None:
    """Send a finding's request again: exit 1 while the target still fails, 0 when it is mended, 3 when that cannot be seen.

    A finding of the embedded demo bot starts that bot again, with the same planted bugs.

    Examples:

    - `chaosbot replay chaosbot-runs/20260101-120000-fuzz/findings/no_server_error-1a2b3c4d`
    - `chaosbot replay DIR http://127.0.0.1:8001/webhook/telegram --bot-api 127.0.0.1:8081`
    """
    result = replayed(
        directory,
        target=target_of(target, unix),
        port=None if bot_api is None else bot_api_port(bot_api),
        secret=lambda seed: read_secret(secret_env, embedded_seed=seed),
        allow=tuple(allow_host or ()),
    )
    echo(result.text)
    raise typer.Exit(3 if not result.conclusive else 1 if result.still_fails else 0)
