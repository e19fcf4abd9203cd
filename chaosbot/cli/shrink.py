"""`chaosbot shrink`: the smallest fault plan that still breaks what a recorded run broke."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from chaosbot.cli import verb
from chaosbot.cli._console import make_console
from chaosbot.cli._options import BOT_API_PORT, AllowHost, SecretEnv, read_secret
from chaosbot.config.experiment import Experiment, experiment_from, write_experiment
from chaosbot.core.check import History
from chaosbot.core.errors import ConfigError, EngineError, UnknownName
from chaosbot.journal import read
from chaosbot.report import fold
from chaosbot.session.environment import prepared
from chaosbot.session.experiment import check_experiment, compiled, environment_for, run_experiment
from chaosbot.session.run import Run, conducting, default_directory, known_secrets
from chaosbot.session.shrink import Shrinker, breaches

app = verb()


@app.command()
def shrink(
    directory: Annotated[Path, typer.Argument(help="The directory of a `run` that failed.", show_default=False)],
    breach: Annotated[
        str | None,
        typer.Option(
            help="What must break again: a promise's or a finding's name; by default the first.", show_default=False
        ),
    ] = None,
    max_runs: Annotated[
        int, typer.Option(min=2, help="Most runs, the first one with the whole plan; each is a whole run.")
    ] = 20,
    bot_api_port: Annotated[
        int, typer.Option(help="Where the outbound direction listens, for a target of your own.")
    ] = BOT_API_PORT,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory for the runs and smallest.toml.", show_default=False)
    ] = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
) -> None:
    """Run a failed experiment again with fewer, rarer and shorter faults until nothing more can be left out.

    Writes the smallest experiment as a file for `chaosbot run`. Exit codes: 0 found, 2 usage, 3 the run did not break again.

    Example: `chaosbot shrink chaosbot-runs/20260101-120000-run`
    """
    history = read(directory)
    experiment, seed, bugs = _recorded(directory, history)
    allow = (*experiment.allow_hosts, *(allow_host or ()))
    broken = sorted(breaches(fold(history)))
    wanted = _wanted(broken, breach, directory)
    experiment = replace(experiment, allow_hosts=allow)
    check_experiment(experiment)
    secret = read_secret(secret_env or experiment.secret_env or None, embedded_seed=None if experiment.target else seed)
    console = make_console()
    console.print(f"[bold]shrinking[/] {escape(wanted)} · {len(experiment.plan.rules)} rules · at most {max_runs} runs")
    base = out or default_directory("shrink")
    numbers = iter(range(1, max_runs + 2))

    def again(candidate: Experiment) -> frozenset[str]:
        run = Run(
            "run",
            candidate.target or "embedded demo bot",
            seed,
            base / f"trial-{next(numbers):02}",
            secrets=known_secrets(secret),
            settings={**candidate.settings(), "bugs": bugs},
        )
        with (
            conducting(run),
            prepared(run, environment_for(candidate, secret, bugs=bugs, port=bot_api_port)) as environment,
        ):
            run_experiment(run, environment, compiled(candidate), secret)
        if run.stopping.is_set():
            raise KeyboardInterrupt
        return breaches(run.finish("completed"))

    tell: Callable[[str], None] = lambda line: console.print(f"  {escape(line)}", highlight=False)  # noqa: E731
    if wanted not in again(experiment):
        console.print(
            "[yellow]the same plan did not break it again[/]; it may need luck: try another --seed or a longer run"
        )
        raise typer.Exit(3)
    tell("the whole plan: still breaks")
    result = Shrinker(again, wanted, max_runs - 1, tell).shrink(experiment)
    file = base / "smallest.toml"
    try:
        file.write_text(write_experiment(result.experiment, f"The smallest plan that still breaks: {wanted}."))
    except OSError as error:
        raise EngineError(f"{file}: cannot be written ({error.strerror}); the runs are kept in {base}") from None
    names = ", ".join(f"{rule.name} (p {rule.rate:g})" for rule in result.experiment.plan.rules)
    console.print(f"\n[bold]smallest[/]: {escape(names)}, fault windows of {result.experiment.lengths.fault_s:g} s")
    if not result.complete:
        console.print(f"[yellow]stopped after {max_runs} runs[/]; more --max-runs may find a smaller one")
    line = repeat_line(file, seed, bugs=bugs, port=bot_api_port, secret_env=secret_env, allow=allow)
    console.print(f"wrote {file}; run it: [bold]{escape(line)}[/]", soft_wrap=True)


def repeat_line(
    file: Path,
    seed: int,
    *,
    bugs: str = "",
    port: int = BOT_API_PORT,
    secret_env: str | None = None,
    allow: Sequence[str] = (),
) -> str:
    """The command that runs an experiment's file as it was run here; what the file says itself is left out."""
    words = ["chaosbot", "run", str(file), "--seed", str(seed)]
    words += ["--bugs", bugs] if bugs else []
    words += ["--bot-api-port", str(port)] if port != BOT_API_PORT else []
    words += ["--secret-env", secret_env] if secret_env else []
    words += [word for host in allow for word in ("--allow-host", host)]
    return shlex.join(words)


def _recorded(directory: Path, history: History) -> tuple[Experiment, int, str]:
    """The experiment that a run recorded, its seed, and the planted bugs of its embedded target."""
    start = history.start
    if start is None or start.verb not in ("run", "demo"):
        raise ConfigError(str(directory), "holds no `chaosbot run`; only an experiment's faults can be shrunk")
    document = {
        key: value for key, value in start.settings.items() if key in ("platform", "outbound", "alone", "limits")
    }
    workload = {key: value for key, value in start.settings["workload"].items() if value is not None}
    workload["timeout"] = f"{workload.pop('timeout_s')}s"
    if "rate" in workload:
        workload["rate"] = f"{workload['rate']}/s"
    document |= {
        "name": start.settings["experiment"],
        "seed": start.seed,
        "workload": workload,
        "phases": {name: f"{value}s" for name, value in start.settings["lengths"].items()},
        "rules": start.settings["plan"]["rules"],
        "thresholds": start.settings.get("promised", []),
        "abort_on": start.settings.get("abort_on", []),
        "checks": start.settings.get("checks", []),
    }
    if "://" in start.target:
        document["target"] = start.target
    return experiment_from(document, str(directory)), start.seed, str(start.settings.get("bugs") or "")


def _wanted(broken: list[str], asked: str | None, directory: Path) -> str:
    if not broken:
        raise ConfigError(str(directory), "broke no promise and made no finding; there is nothing to shrink")
    if asked is None:
        return broken[0]
    matching = [name for name in broken if asked in name]
    if not matching:
        raise UnknownName.of("breach", asked, broken, where="--breach")
    return matching[0]
