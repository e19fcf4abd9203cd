"""`chaosbot doctor`: checks the environment, the target and the bot's way to its API, and says what to do."""

from __future__ import annotations

import json
from itertools import chain
from typing import Annotated

import typer
from rich.markup import escape

from chaosbot.cli import verb
from chaosbot.cli._console import make_console
from chaosbot.cli._options import (
    LLM_PORT,
    AllowHost,
    Authority,
    Certificate,
    CertificateKey,
    Insecure,
    ListAsJson,
    PlatformName,
    PlatformOptions,
    SecretEnv,
    UnixSocket,
    bot_api_port,
    check_secret,
    choose_platform,
    read_secret,
    target_of,
    tls_of,
)
from chaosbot.config import defaults
from chaosbot.core.mock import with_llm
from chaosbot.session.diagnosis import machine, target_diagnosis

app = verb()


@app.command()
def doctor(
    target: Annotated[str | None, typer.Argument(help="The webhook's URL.", show_default=False)] = None,
    unix: UnixSocket = None,
    bot_api: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Start the mock there and see whether the bot's calls really arrive.",
            show_default=False,
        ),
    ] = None,
    llm: Annotated[
        bool,
        typer.Option(
            "--llm",
            help="Also start the mock of language models, on the port after --bot-api (8082 without it), and see whether calls arrive.",
        ),
    ] = False,
    platform: PlatformName = defaults.PLATFORM,
    platform_option: PlatformOptions = None,
    ca: Authority = None,
    insecure: Insecure = False,
    cert: Certificate = None,
    key: CertificateKey = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
    as_json: ListAsJson = False,
) -> None:
    """Check the environment and, with a TARGET, whether chaosbot can test it: exit 0 when all is well, 2 otherwise.

    Examples:

    - `chaosbot doctor`
    - `chaosbot doctor http://127.0.0.1:8000/webhook/telegram --bot-api 127.0.0.1:8081`
    - `chaosbot doctor http://127.0.0.1:8000/webhook/telegram --bot-api 127.0.0.1:8081 --llm`
    """
    platform = choose_platform(platform, platform_option)
    target = target_of(target, unix)
    console = make_console()
    looks = [machine()]
    if target:
        looks.append(
            target_diagnosis(
                target,
                bot_api_port(bot_api) or (LLM_PORT if llm else 0),
                platform,
                lambda: _secret(platform, secret_env),
                tuple(allow_host or ()),
                tls_of(ca, cert, key, insecure=insecure),
                secret_env or defaults.SECRET_ENV,
                with_llm("mock" if bot_api else "off", "mock" if llm else "off"),
            )
        )
    seen = []
    for diagnosis in chain.from_iterable(looks):
        seen.append(diagnosis)
        if not as_json:
            mark = "[green]✓[/]" if diagnosis.ok else "[red]✗[/]"
            console.print(f"{mark} {escape(diagnosis.what)}", highlight=False)
            if not diagnosis.ok:
                console.print(f"    {escape(diagnosis.remedy)}", highlight=False)
    if as_json:
        rows = [{"ok": one.ok, "what": one.what, "remedy": "" if one.ok else one.remedy} for one in seen]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    raise typer.Exit(0 if all(one.ok for one in seen) else 2)


def _secret(platform: str, name: str | None) -> str:
    secret = read_secret(name)
    check_secret(platform, secret, name)
    return secret
