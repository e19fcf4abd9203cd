"""`chaosbot replay`: sends a finding's request again and says whether the target still fails."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from chaosbot.cli._options import AllowHost, SecretEnv, bot_api_port, read_secret
from chaosbot.cli._verb import verb
from chaosbot.core.errors import JournalError
from chaosbot.fuzz.replay import Replayed
from chaosbot.fuzz.replay import replay as replay_finding
from chaosbot.journal import read
from chaosbot.session.run import Run
from chaosbot.session.stage import StageSpec, check_target, staged

app = verb()


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(help="A finding's directory: RUN_DIR/findings/ID.", show_default=False)],
    target: Annotated[
        str | None, typer.Argument(help="Another target than the one it was found at.", show_default=False)
    ] = None,
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
    allow = tuple(allow_host or ())
    origin = _origin(directory)
    embedded = None if target else origin.get("embedded")
    secret = read_secret(secret_env, embedded_seed=origin["seed"] if embedded is not None else None)
    if target:
        check_target(target, allow)
    if embedded is None and bot_api is None:
        result = replay_finding(directory, target=target, secret=secret, allow=allow)
    else:
        url = target or ("" if embedded is not None else origin.get("target", ""))
        spec = StageSpec(
            target=url,
            bugs=embedded or "",
            secret=secret,
            outbound_port=bot_api_port(bot_api),
            inbound=False,
            allow_hosts=allow,
        )
        result = _staged_replay(directory, spec, origin["seed"])
    typer.echo(result.text)
    raise typer.Exit(3 if not result.conclusive else 1 if result.still_fails else 0)


def _origin(directory: Path) -> dict[str, Any]:
    """What the run that found it says of its target; nothing when the finding was copied away from its run."""
    try:
        start = read(directory.resolve().parent.parent).start
    except JournalError:
        start = None
    if start is None:
        return {"seed": 0}
    return {"seed": start.seed, "target": start.target, "embedded": start.settings.get("bugs")}


def _staged_replay(directory: Path, spec: StageSpec, seed: int) -> Replayed:
    """Replays with a mock (and, for the embedded bot, the bot) around it; what it records is thrown away."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        run = Run("replay", spec.target, seed, Path(scratch) / "run")
        stack.callback(run.journal.close)
        stage = stack.enter_context(staged(run, spec))
        return replay_finding(
            directory, target=stage.webhook, secret=spec.secret, allow=spec.allow_hosts, calls=stage.calls
        )
