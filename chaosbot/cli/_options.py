"""Options that several verbs share, declared once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from typer.core import TyperCommand

from chaosbot.cli._aliases import hosts
from chaosbot.config import defaults
from chaosbot.config.document import read_document
from chaosbot.core.errors import MOST_SHOWN, ConfigError, SecretMissing, TargetRefused, UnknownName, UsageError
from chaosbot.core.platform import PLATFORMS, platform_of, spoken, unspoken
from chaosbot.core.registry import options_of
from chaosbot.core.units import MOST_PORT, whole
from chaosbot.demo.bugs import Bug
from chaosbot.files import read_text, yaml_as_json
from chaosbot.session.environment import embedded_secret
from chaosbot.transport import Address, Tls, checked_address, client_context, is_loopback, permit


def _allow(hosts: list[str] | None) -> list[str] | None:
    permit(hosts or ())
    return hosts


R = TypeVar("R")
W = TypeVar("W")

TARGET_HELP: Final = "The webhook's URL. Without one the embedded demo bot is started and tested."

Target = Annotated[str | None, typer.Argument(help=TARGET_HELP, show_default=False)]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Run the processes on a Dask cluster: tcp://HOST:8786, or 'local' for one on this machine.",
        show_default=False,
    ),
]
AcceptStatus = Annotated[
    list[str] | None,
    typer.Option(
        help="A status beside 2xx that is right for a valid request, e.g. 304 or 3xx; repeatable.", show_default=False
    ),
]
Seed = Annotated[
    int | None, typer.Option(help="Everything random derives from it; printed when chosen for you.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Run directory; by default chaosbot-runs/TIME-VERB.", show_default=False),
]
SecretEnv = Annotated[
    str | None,
    typer.Option(
        "--secret-env",
        metavar="NAME",
        help=f"Environment variable that holds the webhook's secret (default: {defaults.SECRET_ENV} when it is set).",
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
        callback=_allow,
    ),
]
UnixSocket = Annotated[
    Path | None,
    typer.Option(
        "--unix",
        metavar="SOCKET",
        help="The Unix socket on which the target listens; of TARGET, path and query count.",
        show_default=False,
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        exists=True,
        dir_okay=False,
        help="The authority that signed an https target's certificate.",
        show_default=False,
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Take any certificate of an https target.")]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        exists=True,
        dir_okay=False,
        help="A client certificate (PEM), where the target asks.",
        show_default=False,
    ),
]
CertificateKey = Annotated[
    Path | None,
    typer.Option("--key", exists=True, dir_okay=False, help="Its key, if not in --cert.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")]
Json = Annotated[bool, typer.Option("--json", help="Print report.json on standard output instead of the text.")]
ListAsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlatformName = Annotated[
    str,
    typer.Option(
        "--platform",
        help="Whose webhook it is: telegram, slack, github, stripe, standard_webhooks, json_webhook … (chaosbot platforms).",
    ),
]
PlatformOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--platform-option",
        metavar="KEY=VALUE",
        help="An option of the platform, e.g. bot_username=my_bot, style=github, sample=@body.json; repeatable.",
        show_default=False,
    ),
]

Web = Annotated[
    int | None,
    typer.Option(
        "--web",
        metavar="[PORT]",
        min=0,
        max=65535,
        help="A live page on 127.0.0.1; without a port, a free one.",
        show_default=False,
    ),
]
Prometheus = Annotated[
    int | None,
    typer.Option(
        "--prometheus",
        metavar="PORT",
        min=0,
        max=65535,
        help="The run's figures for Prometheus, on 127.0.0.1:PORT/metrics.",
        show_default=False,
    ),
]

RemoteWriteUrl = Annotated[
    str | None,
    typer.Option(
        "--remote-write",
        metavar="URL",
        help="Push the run's figures by Prometheus remote write, to a URL that ends in /api/v1/write.",
        show_default=False,
    ),
]
OtlpUrl = Annotated[
    str | None,
    typer.Option(
        "--otlp",
        metavar="URL",
        help="Push the run's figures by OTLP over HTTP, e.g. http://127.0.0.1:4318 (extra: chaosbot[otlp]).",
        show_default=False,
    ),
]
Linger = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="How long the live page and the figures stay after the verdict, at most; at a terminal the page stays until Ctrl-C.",
        show_default=False,
    ),
]

Llm = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="mock|off|URL",
        help="What the bot's calls of language models meet: a mock (mock, or 'mock:llm;shape=long'), or a real base URL, which "
        "--allow-host must name.",
        show_default=False,
    ),
]
LlmSpend = Annotated[
    float | None,
    typer.Option(
        "--llm-spend",
        metavar="USD",
        min=0,
        help="What calls of real models may cost; more ends the run [1].",
        show_default=False,
    ),
]
LlmPrices = Annotated[
    Path | None,
    typer.Option(
        "--llm-prices",
        metavar="FILE",
        help='What models cost: a file of lines such as "claude-haiku-*" = [1.0, 5.0], US dollars a million tokens sent and written.',
        show_default=False,
    ),
]
LLM_PORT: Final = 8082
"""Where language models are reached, where the Bot API is not mocked."""
BOT_API_PORT: Final = 8081
"""Where the outbound direction of a run listens, unless told otherwise."""
DEFAULT_SECRET: Final = defaults.SECRET_ENV


class Watched(TyperCommand):
    """A verb whose ``--web`` may stand without a port."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments; what follows ``--web`` is its port only when it is a number."""
        rest = args[: args.index("--")] if "--" in args else args
        for place in [index for index, word in enumerate(rest) if word == "--web"]:
            if not args[place + 1 : place + 2] or not args[place + 1].lstrip("-").isdecimal():
                args[place] = "--web=0"
        return super().parse_args(ctx, args)


def read_option(option: str, text: W, read: Callable[[W], R]) -> R:
    """What an option says, such as a value with a unit.

    Raises:
        ConfigError: It is none; the message names the option.
    """
    try:
        return read(text)
    except ConfigError as error:
        raise error.inside(option) from None


def choose_bugs(text: str) -> str:
    """The planted bugs of ``--bugs``, as they were written.

    Raises:
        UnknownName: No such bug.
    """
    known = ("fragile", "healthy", *Bug)
    for name in filter(None, map(str.strip, text.split(","))):
        if name not in known:
            raise UnknownName.of("planted bug", name, known, where="--bugs")
    return text


def read_prices(path: Path | None) -> dict[str, tuple[float, float]]:
    """The prices in a file (``.toml``, ``.yaml``, ``.json``); none without one.

    Raises:
        UsageError: It cannot be read.
        ConfigError: It holds something that is no price.
    """
    if path is None:
        return {}
    from chaosbot.core.prices import prices_of  # noqa: PLC0415 - few name prices

    return prices_of(read_document(path), str(path))


def choose_upstreams(outbound: str, llm: str | None) -> str:
    """The upstreams with the models that ``--llm`` names.

    Raises:
        ConfigError: It is neither mock, off nor a base URL.
    """
    if llm is None:
        return outbound
    from chaosbot.config.experiment import outbound_of  # noqa: PLC0415 - plain load needs none of an experiment's keys
    from chaosbot.core.mock import with_llm  # noqa: PLC0415 - few name models

    chosen = with_llm(outbound, llm)
    return outbound_of(chosen, "--llm") if llm not in ("off", "") else chosen


def choose_seed(seed: int | None) -> int:
    """The seed given, or a fresh one; the one place where chance enters from outside."""
    return seed if seed is not None else int.from_bytes(os.urandom(4))


def webhook_of(target: str | None, platform: str) -> str | None:
    """The target's URL; one of ``--host`` without a path gets the platform's usual one, and a line says so.

    Raises:
        ConfigError: ``--host`` is no URL.
    """
    if target is None or target not in hosts.get():
        return target
    address, usual = Address.parse(target, where="--host"), platform_of(platform).default_path
    if address.path != "/" or usual == "/":
        return target
    url = replace(address, path=usual).url
    with suppress(TargetRefused):  # which is told when it is looked at, and is enough then
        checked_address(url)
        typer.echo(f"--host {target} has no path, so the target is {url}", err=True)
    return url


def target_of(target: str | None, socket: Path | None) -> str | None:
    """The target's URL, on the Unix socket of ``--unix`` where one is given.

    Raises:
        ConfigError: The target is elsewhere.
    """
    if socket is None:
        return target
    address = Address.parse(target if target and "://" in target else f"http://localhost{target or '/'}")
    if address.on_socket or not is_loopback(address.host):
        raise ConfigError(f"--unix {socket}", f"and {target} are two places; write the target as http://localhost/PATH")
    return replace(address, host=str(socket.absolute())).url


def tls_of(ca: Path | None, cert: Path | None, key: Path | None, *, insecure: bool) -> Tls:
    """How TLS is spoken with the target, by the options of that.

    Raises:
        ConfigError: A file holds no certificate or key, or the key has no certificate.
    """
    if key is not None and cert is None:
        raise ConfigError(f"--key {key}", "belongs to a certificate; name it by --cert")
    tls = Tls(not insecure, str(ca or ""), str(cert or ""), str(key or ""))
    if tls != Tls():
        client_context(tls)
    return tls


def read_secret(name: str | None, *, embedded_seed: int | None = None) -> str:
    """The secret behind an environment variable.

    When none was asked for and the default one is not set, the embedded bot gets one that follows from the seed, and an
    external target is spoken to without.

    Raises:
        SecretMissing: The variable that was named is not set.
    """
    if name is None:
        fallback = "" if embedded_seed is None else embedded_secret(embedded_seed)
        return os.environ.get(DEFAULT_SECRET) or fallback
    if not os.environ.get(name):
        raise SecretMissing(
            f"--secret-env {name}: the environment variable is not set; secrets come from the environment only; "
            f"set it with: export {name}=…"
        )
    return os.environ[name]


def check_secret(platform: str, secret: str, name: str | None) -> None:
    """Refuses what is plainly no secret of this platform's webhooks, before everything is refused because of it.

    Raises:
        ConfigError: It is a token, a key or another platform's secret.
    """
    spoken_to = platform_of(platform)
    what = spoken_to.mistaken(secret) if secret else ""
    if what:
        raise ConfigError(
            f"--secret-env {name or DEFAULT_SECRET}",
            f"holds {what}; {spoken_to.name} signs with {spoken_to.signed_with}",
        )


def secret_variable(name: str | None) -> str:
    """The variable that `read_secret` reads, when it is set: machines of a cluster read it themselves."""
    variable = name or DEFAULT_SECRET
    return variable if os.environ.get(variable) else ""


def bot_api_port(text: str | None) -> int:
    """The port of ``--bot-api HOST:PORT``, which is on loopback; 0 when there is none.

    Raises:
        ConfigError: No such address.
    """
    if text is None:
        return 0
    host, colon, port = text.rpartition(":")
    number = whole(port, MOST_PORT)
    if not colon or number is None or host not in ("127.0.0.1", "localhost", ""):
        raise ConfigError(
            f"--bot-api {text[:MOST_SHOWN]}", "is no HOST:PORT on loopback; write for example 127.0.0.1:8081"
        )
    return number


def _content(path: Path) -> str:
    """A file's text; a YAML document as JSON."""
    if path.suffix in (".yaml", ".yml"):
        try:
            return yaml_as_json(read_text(path))
        except (ValueError, RecursionError) as error:
            raise ConfigError(str(path), f"is no YAML as it should be: {error}") from None
    return read_text(path)


def choose_platform(name: str, options: list[str] | None) -> str:
    """The platform with its options as specs carry it; ``@FILE`` stands for a file's content.

    Some options can be said by environment variables (`chaosbot.config.defaults.OPTION_VARIABLES`).

    Raises:
        ConfigError: No such platform or option, or an unreadable file.
    """
    name, values = unspoken(name)
    has = {field.name for field in options_of(PLATFORMS.get(name))} if name in PLATFORMS else set()
    for text in options or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--platform-option {text}", "has no value; write KEY=VALUE, or KEY=@FILE")
        if value.startswith("@"):
            from chaosbot.transport.recordings import samples_in  # noqa: PLC0415 - few runs name a recording

            try:
                recorded = samples_in(Path(value[1:])) if key.strip() == "sample" else []
                value = json.dumps(recorded[0], ensure_ascii=False) if recorded else _content(Path(value[1:]))
                if recorded[1:] and "more" in has:
                    values["more"] = json.dumps(recorded[1:], ensure_ascii=False)
            except UsageError as error:
                raise ConfigError(f"--platform-option {key}", str(error)) from None
        values[key.strip().replace("-", "_")] = value
    for key, variable in defaults.OPTION_VARIABLES.items():
        owner, _, option = key.rpartition(".")
        if owner in ("", name) and option in has and os.environ.get(variable):
            values.setdefault(option, os.environ[variable])
    chosen = spoken(name, values)
    try:
        platform_of(chosen)
    except ConfigError as error:
        raise error.inside("--platform") from None
    return chosen
