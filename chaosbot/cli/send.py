"""`chaosbot send`: one genuine delivery of a platform, signed, and what came back."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any

import typer
from rich.markup import escape

from chaosbot.cli import verb
from chaosbot.cli._console import echo, make_console
from chaosbot.cli._options import (
    AllowHost,
    Authority,
    Certificate,
    CertificateKey,
    Insecure,
    ListAsJson,
    PlatformOptions,
    SecretEnv,
    UnixSocket,
    check_secret,
    choose_platform,
    read_option,
    read_secret,
    secret_variable,
    target_of,
    tls_of,
)
from chaosbot.core import units
from chaosbot.core.case import Expect
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, SecretMissing
from chaosbot.core.jsontext import read_json
from chaosbot.core.kit import GONE
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import Platform, platform_of
from chaosbot.session.environment import check_target
from chaosbot.session.sending import delivery
from chaosbot.transport import checked_address, curl_line
from chaosbot.transport import send as transmit

app = verb()
_SHOWN = 4000


@app.command("send")
def send(
    platform: Annotated[str, typer.Argument(help="Whose webhook: slack, github, stripe … (chaosbot platforms).")],
    event: Annotated[str, typer.Argument(help="Which event; --list shows them.", show_default="the plainest")] = "",
    url: Annotated[str | None, typer.Argument(help="The webhook's URL.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Another value in the body, e.g. comment.body=hi; JSON where it is JSON; repeatable.",
            show_default=False,
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="PATH", help="Leave a member out; repeatable.", show_default=False),
    ] = None,
    printed: Annotated[
        str | None,
        typer.Option(
            "--print", metavar="curl|raw", help="Print the request instead of sending it.", show_default=False
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the platform's events.")] = False,
    unix: UnixSocket = None,
    platform_option: PlatformOptions = None,
    secret_env: SecretEnv = None,
    public: Annotated[
        bool, typer.Option("--public-key", help="Print the public key that belongs to the secret, for the target.")
    ] = False,
    forged: Annotated[bool, typer.Option("--forged", help="Sign with a secret that is not the target's.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait for the answer.")] = "30s",
    seed: Annotated[
        int | None, typer.Option(help="Ids derive from it; otherwise each delivery has its own.", show_default=False)
    ] = None,
    ca: Authority = None,
    insecure: Insecure = False,
    cert: Certificate = None,
    key: CertificateKey = None,
    allow_host: AllowHost = None,
    as_json: ListAsJson = False,
) -> None:
    """Send one genuine delivery, signed as the platform signs: exit 0 where it is answered as it should be, 1 otherwise.

    Examples:

    - `chaosbot send github --list`
    - `chaosbot send github issue_comment http://127.0.0.1:8000/hook --secret-env HOOK_SECRET --set comment.body=/deploy`
    - `chaosbot send slack command http://127.0.0.1:3000/slack/events --secret-env SIGNING_SECRET --print curl`
    """
    chosen_platform = choose_platform(platform, platform_option)
    spoken = platform_of(chosen_platform)
    if listed:
        _list(spoken, as_json=as_json)
        return
    if public:
        told = spoken.public_key(read_secret(secret_env))
        if not told:
            raise ConfigError(
                "--public-key", f"{spoken.name} signs with the secret itself; give the target the same one"
            )
        echo(told)
        return
    if url is None and ("://" in event or event.startswith("/")):  # a path: that of --unix
        event, url = "", event
    url = target_of(url, unix)
    if url is None:
        raise ConfigError(
            "URL",
            f"is missing; write for example: chaosbot send {platform} {event or spoken.canary()} http://127.0.0.1:8000{spoken.default_path}",
        )
    if printed not in (None, "curl", "raw"):
        raise ConfigError(f"--print {printed}", "is neither curl nor raw")
    wait_s = read_option("--timeout", timeout, units.duration)
    changes = dict(_setting(text) for text in settings or ()) | dict.fromkeys(unset or (), GONE)
    secret = secrets.token_hex(16) if forged else read_secret(secret_env)
    if not secret and spoken.signs and secret_env is None:
        raise SecretMissing(
            f"{spoken.name} signs its deliveries, and no secret is set; name the environment variable that holds it by --secret-env"
        )
    if not forged:
        check_secret(chosen_platform, secret, secret_env)
    address = checked_address(url, tuple(allow_host or ())).over(tls_of(ca, cert, key, insecure=insecure))
    case = delivery(spoken, event, address, secret, seed if seed is not None else secrets.randbelow(1 << 32), changes)
    if printed is not None:
        line = curl_line(case, address) if printed == "curl" else case.request.decode("utf-8", "replace")
        if line is None:
            raise ConfigError("--print curl", "curl cannot express this request; use --print raw")
        typer.echo(line)  # byte for byte what would be sent
        return
    check_target(url, tuple(allow_host or ()))
    outcome = transmit(case, address, connect_timeout_s=5.0, timeout_s=wait_s, keep=_SHOWN)
    body = outcome.body.decode("utf-8", "replace")
    wrong = _believed(outcome) if forged else _wrong(case.expect, outcome)
    if as_json:
        row = {
            "event": case.summary,
            "status": outcome.status,
            "fate": str(outcome.fate),
            "seconds": round(outcome.total_s, 4),
        }
        echo(
            json.dumps(
                row | {"headers": dict(outcome.headers), "body": body, "wrong": wrong}, indent=2, ensure_ascii=False
            )
        )
        raise typer.Exit(1 if wrong else 0)
    console = make_console()
    what = str(outcome.status) if outcome.fate is Fate.ANSWERED else f"{outcome.fate} {outcome.detail}".strip()
    console.print(
        f"[bold]{escape(case.summary)}[/] → {escape(what)} in {outcome.total_s * 1e3:.0f} ms", highlight=False
    )
    if body.strip():
        console.print(escape(body.strip()), highlight=False)
    if wrong:
        console.print(f"[red]✗[/] {escape(wrong)}", highlight=False)
        if spoken.refusal(outcome.status) and not forged:
            console.print(f"    {escape(spoken.secret_hint(secret, secret_variable(secret_env)))}", highlight=False)
        raise typer.Exit(1)


def _setting(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {text}", "has no value; write PATH=VALUE, e.g. comment.body=hi")
    try:
        return path, read_json(value)
    except ValueError:
        return path, value


def _wrong(expect: Expect, outcome: Outcome) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if outcome.fate is not Fate.ANSWERED:
        return f"no answer: {outcome.fate}"
    if not expect.allows_status(outcome.status or 0):
        return f"{outcome.status} is no acknowledgement"
    kind = next((value for name, value in outcome.headers if name == "content-type"), "")
    if expect.answer is not None and (wrong := expect.answer.wrong(kind, outcome.body)):
        return wrong
    if expect.within_s is not None and outcome.total_s > expect.within_s:
        return f"the platform waits {expect.within_s:g} s only"
    return ""


def _believed(outcome: Outcome) -> str:
    """What is wrong with the answer to a forged delivery, which must be refused; empty when nothing is."""
    if outcome.fate is not Fate.ANSWERED:
        return f"no answer: {outcome.fate}"
    status = outcome.status or 0
    if status < 300:
        return f"a forged delivery is accepted with {status}"
    return "" if 400 <= status < 500 else f"{status} is no refusal; a forged delivery gets a 4xx"


def _list(platform: Platform, *, as_json: bool) -> None:
    names = list(platform.golden(Dice(0)))
    if as_json:
        echo(json.dumps(names, indent=2))
        return
    for name in names:
        echo(name)
