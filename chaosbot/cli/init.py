"""`chaosbot init`: writes a commented experiment file to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from chaosbot.cli import verb
from chaosbot.config.experiment import built_in, built_in_text, experiment_schema
from chaosbot.core.errors import UsageError

app = verb()

SCHEMA_FILE: Final = "chaosbot.schema.json"
HEAD: Final = """\
#:schema ./{schema}
# An experiment for `chaosbot run {file}`. Durations carry a unit ("250ms", "1.5s"), shares are 0.3 or "30%".
#
# What is commented out shows its default. Secrets never stand here: name the environment variable that holds one.
#
# target = ""                     # the webhook's URL; empty: the embedded demo bot
# platform = "telegram"            # `telegram`, `standard_webhooks`, `json_webhook`
# secret_env = "TELEGRAM_SECRET_TOKEN"
# seed = 1                        # everything random derives from it
# allow_hosts = []                # hosts that are not loopback and that you may break
# outbound = "mock"           # what the bot's own calls meet: "mock", "off", or a base URL to pass through to
# thresholds = ["p99<2s,5s", "error_rate<1%,5%"]      # what must hold: target, alert
# abort_on = ["error_rate > 50% for 10s"]
# checks = []                     # empty: all; `chaosbot checks` lists them
# fuzz = "0s"                     # a fuzz campaign of this length after the load

"""
TAIL: Final = """
# Every rule: fault (`chaosbot faults` lists them), its options, and for whom and when: direction, method, path, headers, body, kind,
# command, tier, user, p, first, nth, every, per, cap, start, for, phase.

# [probes]                        # a table: keys of the experiment itself stand above all tables
# health = ""                     # a URL whose JSON may carry circuits
# metrics = ""                    # Prometheus text
# pid = 0                         # the target's process on this machine
"""


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("chaosbot.toml"),
    base: Annotated[str, typer.Option("--from", help=f"Built-in experiment: {', '.join(built_in())}.")] = "resilience",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented experiment file, based on a built-in experiment, and its JSON Schema beside it.

    Examples:

    - `chaosbot init` then `chaosbot run chaosbot.toml`
    - `chaosbot init outage.toml --from outbound-outage`
    """
    content = HEAD.format(file=file, schema=SCHEMA_FILE) + built_in_text(base) + TAIL
    if file.exists() and not force:
        raise UsageError(f"{file}: exists already; choose another name or add --force")
    try:
        file.write_text(content, encoding="utf-8")
        schema = file.with_name(SCHEMA_FILE)
        schema.write_text(json.dumps(experiment_schema(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: cannot be written ({error.strerror}); choose a place of yours") from None
    typer.echo(
        f"wrote {file} (from '{base}') and {schema}, by which editors complete and check it; next: chaosbot run {file} --dry-run"
    )
