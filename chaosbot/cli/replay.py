"""`chaosbot replay`: sends a finding's request again and says whether the target still fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chaosbot.cli._options import AllowHost, SecretEnv, read_secret
from chaosbot.fuzz.replay import replay as replay_finding
from chaosbot.session.stage import check_target

app = typer.Typer()


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(help="A finding's directory: RUN_DIR/findings/ID.", show_default=False)],
    target: Annotated[
        str | None, typer.Argument(help="Another target than the one it was found at.", show_default=False)
    ] = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
) -> None:
    """Send a finding's request again: exit 1 while the target still fails, 0 when it is mended.

    Examples:

    - `chaosbot replay chaosbot-runs/20260101-120000-fuzz/findings/no_server_error-1a2b3c4d`
    - `chaosbot replay DIR http://127.0.0.1:8001/webhook/telegram`
    """
    allow = tuple(allow_host or ())
    if target:
        check_target(target, allow)
    result = replay_finding(directory, target=target, secret=read_secret(secret_env), allow=allow)
    typer.echo(result.text)
    raise typer.Exit(1 if result.still_fails else 0)
