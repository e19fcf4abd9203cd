"""`chaosbot completion`: prints the script that completes verbs, options and names in a shell.

The script holds every word itself, plug-ins' names included, so that a press of Tab starts no Python. Print it again after an update.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from chaosbot.cli import VERBS, Verbs, verb
from chaosbot.config.experiment import built_in
from chaosbot.core.check import CHECKS
from chaosbot.core.errors import UnknownName
from chaosbot.core.fault import FAULTS
from chaosbot.core.platform import PLATFORMS
from chaosbot.core.profile import PROFILES
from chaosbot.demo.bugs import Bug
from chaosbot.fuzz.spec import STAGES
from chaosbot.report import REPORTERS

app = verb()

SHELLS: Final = ("bash", "zsh", "fish")
VALUES: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "--fault": FAULTS.names,
    "--check": CHECKS.names,
    "--platform": PLATFORMS.names,
    "--profile": PROFILES.names,
    "--format": lambda: ("text", *REPORTERS.names()),
    "--stages": lambda: STAGES,
    "--malformed": lambda: ("any", "ack", "reject"),
    "--mode": lambda: ("load", "chaos", "full"),
    "--bugs": lambda: ("fragile", *Bug),
    "--from": built_in,
}
"""What may stand behind an option."""
ARGUMENTS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "faults": FAULTS.names,
    "checks": CHECKS.names,
    "profiles": PROFILES.names,
    "run": built_in,
    "completion": lambda: SHELLS,
}
"""What may stand behind a verb."""


@dataclass(frozen=True)
class Option:
    """An option of a verb: what may stand behind it, None where nothing does, and its help in one sentence."""

    words: tuple[str, ...]
    values: tuple[str, ...] | None
    help: str


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print the script that completes verbs, options and names in your shell.

    Examples:

    - `eval "$(chaosbot completion bash)"` – in ~/.bashrc
    - `eval "$(chaosbot completion zsh)"` – in ~/.zshrc, behind compinit
    - `chaosbot completion fish > ~/.config/fish/completions/chaosbot.fish`
    """
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if shell not in scripts:
        raise UnknownName.of("shell", shell, SHELLS)
    typer.echo("\n".join(scripts[shell]()))


def _options(name: str) -> list[Option]:
    command = Verbs(name="chaosbot").get_command(None, name)
    found = []
    for parameter in command.params:
        if getattr(parameter, "param_type_name", "") != "option" or getattr(parameter, "hidden", False):
            continue
        words = tuple(parameter.opts)
        takes = None if parameter.is_flag else tuple(VALUES.get(words[0], tuple)())
        found.append(Option(words, takes, (parameter.help or "").split(". ")[0].rstrip(".")))
    return [*found, Option(("--help", "-h"), None, "Show the verb's page")]


def _named(name: str) -> tuple[str, ...]:
    return tuple(ARGUMENTS.get(name, tuple)())


def _bash() -> Iterator[str]:
    yield "_chaosbot() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} words="
    yield '    case "${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD-1]}" in'
    for name in VERBS:
        for option in _options(name):
            if option.values is None:
                continue
            pattern = "|".join(f'"{name} {word}"' for word in option.words)
            if option.values:
                yield f'        {pattern}) words="{" ".join(option.values)}" ;;'
            else:
                yield f"        {pattern}) return ;;"
    yield "    esac"
    yield f'    if (( COMP_CWORD == 1 )); then words="{" ".join(VERBS)} --help --version"; fi'
    yield '    if [[ -z $words ]]; then case "${COMP_WORDS[1]}" in'
    for name in VERBS:
        words = [*_named(name), *(word for option in _options(name) for word in option.words)]
        yield f'        {name}) words="{" ".join(words)}" ;;'
    yield "    esac; fi"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield "}"
    yield "complete -o default -F _chaosbot chaosbot"


def _zsh() -> Iterator[str]:
    yield "#compdef chaosbot"
    yield "_chaosbot() {"
    yield "  local -a verbs"
    yield f"  verbs=({' '.join(shlex.quote(f'{name}:{line}') for name, line in VERBS.items())})"
    yield "  if (( CURRENT == 2 )); then _describe verb verbs; return; fi"
    yield "  local chosen=$words[2]"
    yield "  shift words; (( CURRENT-- ))"
    yield "  case $chosen in"
    for name in VERBS:
        specs = []
        for option in _options(name):
            about = "".join(f"\\{one}" if one in "[]:\\" else one for one in option.help)
            behind = ""
            if option.values is not None:
                behind = f":value:({' '.join(option.values)})" if option.values else ":value:_files"
            specs += [shlex.quote(f"*{word}[{about}]{behind}") for word in option.words]
        named = _named(name)
        rest = f"*:name:({' '.join(named)})" if named else "*:file:_files"
        yield f"    {name}) _arguments {' '.join(specs)} {shlex.quote(rest)} ;;"
    yield "  esac"
    yield "}"
    yield "compdef _chaosbot chaosbot"


def _fish() -> Iterator[str]:
    for name, line in VERBS.items():
        yield f"complete -c chaosbot -n __fish_use_subcommand -f -a {name} -d {shlex.quote(line)}"
        here = f"-n '__fish_seen_subcommand_from {name}'"
        if named := _named(name):
            yield f"complete -c chaosbot {here} -f -a {shlex.quote(' '.join(named))}"
        for option in _options(name):
            names = " ".join(f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in option.words)
            behind = ""
            if option.values is not None:
                behind = f" -x -a {shlex.quote(' '.join(option.values))}" if option.values else " -r"
            yield f"complete -c chaosbot {here} {names}{behind} -d {shlex.quote(option.help)}"
