"""The documentation is true: generated pages are up to date, links lead somewhere, command lines parse, examples load and run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chaosbot.cli import VERBS, Verbs, long_options
from chaosbot.cli._aliases import LOCUST
from chaosbot.config.experiment import built_in, experiment_from, read_experiment
from chaosbot.config.plan import parse_fault, plan_from, read_plan
from chaosbot.core.check import CHECKS
from chaosbot.core.dice import Dice
from chaosbot.core.event import TYPES
from chaosbot.core.fault import FAULTS
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.prices import prices_of
from chaosbot.core.profile import PROFILES, Threshold
from chaosbot.core.registry import Registry
from chaosbot.fuzz.catalogue import cases
from chaosbot.load.sources import JourneyFile
from chaosbot.session.abort import StopCondition
from chaosbot.session.experiment import compiled

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLES = ROOT / "examples"
CONTINUED = re.compile(r"\\\n\s*")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(chaosbot [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SUBSTITUTED = re.compile(r"\$\((chaosbot [^)]*)\)")
SEPARATORS = {"&&", "||", "|", ";", "&", ">", ">>", "<", "(", ")"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page, each with its language."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def commands_in(line: str) -> Iterator[list[str]]:
    """The chaosbot commands of a shell line, each as its words after ``chaosbot``."""
    for inner in SUBSTITUTED.findall(line):
        yield from commands_in(inner)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] | None = None
    for word in lexer:
        if word in SEPARATORS:
            if found is not None:
                yield found
            found = None
        elif found is not None:
            found.append(word)
        elif word == "chaosbot" or word.endswith("/chaosbot"):
            found = []
    if found is not None:
        yield found


def command_lines() -> Iterator[tuple[str, list[str], bool]]:
    """Every command line of the documentation: where it stands, its words, whether it stands in running text."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        for language, block in blocks(page):
            lines = CONTINUED.sub(" ", block).splitlines()
            if language == "console":
                lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
            elif language not in ("", "sh", "bash"):
                continue
            for line in lines:
                if "chaosbot " in line and not re.match(r"\s|[A-Z]+  |[a-z-]+  ", line):
                    yield from ((name, words, False) for words in commands_in(line))
        for text in INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            yield from ((name, words, True) for words in commands_in(text.replace("\n", " ")))
    workflow = YAML(typ="safe", pure=True).load((EXAMPLES / "github-actions.yml").read_text(encoding="utf-8"))
    for step in workflow["jobs"]["chaos"]["steps"]:
        for line in step.get("run", "").splitlines():
            if not line.startswith("pip "):
                yield from (("examples/github-actions.yml", words, False) for words in commands_in(line))


@cache
def verb_command(verb: str) -> Any:
    """A verb's parser."""
    command = Verbs(name="chaosbot").get_command(None, verb)
    assert command is not None
    return command


def parsed(words: list[str]) -> dict[str, Any]:
    """What a verb makes of its words.

    Raises:
        ValueError: The command line would be refused.
    """
    try:
        params: dict[str, Any] = verb_command(words[0]).make_context(words[0], words[1:]).params
    except Exception as error:
        # typer brings a click of its own or takes the installed one, by its version; both tell what is wrong so.
        if not hasattr(error, "format_message"):
            raise
        raise ValueError(f"chaosbot {shlex.join(words)}: {error.format_message()}") from None
    return params


@cache
def case_names() -> tuple[str, ...]:
    tongue = PLATFORMS.build("telegram")
    return tuple(case.name for case in cases(tongue, Endpoint(path=tongue.default_path, secret="s"), Dice(0)))


def values_exist(verb: str, params: dict[str, Any]) -> None:
    """Every name that the command line gives is one that there is."""
    for text in params.get("fault") or ():
        parse_fault(text)
    for check in params.get("check") or ():
        CHECKS.get(check)
    for text in params.get("slo") or ():
        Threshold.parse(text)
    for text in params.get("abort_on") or ():
        StopCondition.parse(text)
    for pattern in params.get("case") or ():
        assert any(fnmatchcase(name, pattern) for name in case_names()), f"no case is called {pattern}"
    if verb == "load":
        name, _, value = params["profile"].partition(":")
        PROFILES.build(name, {"stages": value} if name == "stages" else {})
    if params.get("platform"):
        PLATFORMS.get(params["platform"])
    registries: dict[str, Registry[Any]] = {"faults": FAULTS, "checks": CHECKS, "profiles": PROFILES}
    if verb in registries and params["name"] not in (None, "NAME"):
        registries[verb].get(params["name"])
    if verb == "init":
        assert params["base"] in built_in()
    if verb == "run":
        names = [item for item in params["what"] or () if "://" not in item and item not in ("URL", "…")]
        for name in names:
            assert name in built_in() or name.endswith(".toml"), f"no experiment is called {name}"
            if name.startswith("examples/"):
                assert (ROOT / name).exists()
    for option in ("plan", "journey"):
        if str(params.get(option) or "").startswith("examples/"):
            assert (ROOT / str(params[option])).exists()


def own_plug_ins(page: Path) -> set[str]:
    """The plug-ins whose entry points a page shows."""
    shown = [tomllib.loads(text) for language, text in blocks(page) if language == "toml"]
    groups = [document["project"]["entry-points"] for document in shown if "project" in document]
    return {name for points in groups for named in points.values() for name in named}


LINES = tuple(command_lines())


@pytest.mark.parametrize(("page", "words", "inline"), LINES, ids=[f"{page}: {' '.join(w)}" for page, w, _ in LINES])
def test_a_command_line_parses_and_names_only_what_exists(page: str, words: list[str], inline: bool) -> None:
    if words in (["--help"], ["--version"]) or not words:
        return
    assert words[0] in VERBS, f"{page}: chaosbot has no verb {words[0]}"
    if len(words) == 1 and inline:
        return  # the verb is only mentioned
    own = own_plug_ins(ROOT / page)
    if any(re.search(rf"\b{name}\b", word) for word in words for name in own):
        parsed(words)  # tests/test_plugins.py installs the page's own plug-in and uses it
        return
    values_exist(words[0], parsed(words))


def test_the_documentation_shows_every_verb() -> None:
    assert {words[0] for _, words, _ in LINES if words} >= set(VERBS)


def test_every_option_that_is_named_exists() -> None:
    known = {option for verb in VERBS for param in verb_command(verb).params for option in param.opts}
    # Of the pytest plugin, of everything, of cargo, and Locust's words.
    others = {"--chaos-seed", "--help", "--test-threads", "--host", *LOCUST}
    named = {
        (page.name, option)
        for page in PAGES
        for text in re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))
        for option in re.findall(r"(?:^|\s)(--[a-z0-9-]+)", text)
        if not re.match(r"(?:[A-Z_]+=\S+ )*(?:pip|npm|python|locust)", text)
    }
    assert sorted(pair for pair in named if pair[1] not in known | others) == []


@pytest.mark.parametrize("line", ["chaosbot fuzz --nonsense", "chaosbot proxy --listen", "chaosbot load --users many"])
def test_a_wrong_command_line_would_be_noticed(line: str) -> None:
    with pytest.raises(ValueError, match="chaosbot "):
        parsed(next(commands_in(line)))


def generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date() -> None:
    stale = [path.name for path, text in generate().pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run python docs/generate.py: {', '.join(stale)}"


def test_every_fault_and_check_is_on_its_page() -> None:
    module = generate()
    for page, names in ((module.faults_page(), FAULTS.names()), (module.checks_page(), CHECKS.names())):
        assert [name for name in names if f"\n| `{name}` |" not in page and f"\n| [`{name}`](" not in page] == []


def test_the_sites_reference_names_every_verb_option_platform_and_event() -> None:
    made = {name: page() for name, page in generate().SITE.items()}
    for verb in VERBS:
        assert f"\n## chaosbot {verb}" in made["commands.md"]
        assert all(
            f"`{option}`" in made["commands.md"]
            for param in verb_command(verb).params
            for option in param.opts
            if option[0] == "-"
        )
    assert all(f"\n## {name}\n" in made["platforms.md"] for name in PLATFORMS.names())
    assert all(f"\n## {name}\n" in made["events.md"] for name in TYPES)


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in LINK.findall(text) if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or not page.is_file():
            continue
        seen.add(page)
        text = page.read_text(encoding="utf-8")
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(text) if ".md" in link]
    assert sorted(page.name for page in PAGES if page not in seen) == []


def toml_blocks() -> list[tuple[str, str]]:
    return [(page.name, block) for page in PAGES for language, block in blocks(page) if language == "toml"]


@pytest.mark.parametrize(("page", "text"), toml_blocks())
def test_toml_in_the_pages_is_a_plan_or_an_experiment(page: str, text: str) -> None:
    document = tomllib.loads(text)
    if "project" in document:  # a package of the reader's own; tests/test_plugins.py installs it
        assert set(document["project"]) == {"entry-points"}
        return
    if text.startswith("# prices.toml"):
        assert prices_of(document)
        return
    if set(document) <= set(VERBS) and all(isinstance(values, dict) for values in document.values()):
        for verb, values in document.items():  # settings of verbs
            assert {key.replace("-", "_") for key in values} <= long_options(verb_command(verb)).keys()
        return
    (plan_from if set(document) == {"rules"} else experiment_from)(document, page)


def test_the_experiment_reads_and_its_timeline_stands() -> None:
    experiment = read_experiment(str(EXAMPLES / "experiment.toml"))
    windows = [step.key for step in compiled(experiment).timeline if step.phase == "fault"]
    assert windows == [f"fault:{rule.name}" for rule in experiment.plan.rules]
    for text in experiment.abort_on:
        StopCondition.parse(text)


def test_the_plan_reads_and_has_faults_of_every_depth() -> None:
    plan = read_plan(EXAMPLES / "plan.toml")
    assert {str(rule.fault.depth) for rule in plan.rules} == {"bytes", "exchange", "update"}


def test_the_journey_builds_every_task_as_a_telegram_update() -> None:
    telegram = PLATFORMS.build("telegram")
    endpoint = Endpoint("127.0.0.1:8000", "/webhook/telegram", "secret")
    journey = JourneyFile(EXAMPLES / "journey.py", telegram, endpoint)
    specs = journey.journeys()
    assert [spec.name for spec in specs] == ["browser", "buyer"]
    ids = set()
    todo = [(spec, task) for spec in specs for task in spec.tasks]
    for number, (spec, task) in enumerate(todo):
        request = journey.build(task.name, spec.users[0], number, Dice(7).at(number), endpoint)
        assert request.facts is not None
        assert request.facts.kind == "message"
        assert request.facts.user == spec.users[0]
        ids.add(request.data)
    assert len(ids) == len(todo)


def test_the_test_file_passes(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "test_with_chaos_proxy.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_with_chaos_proxy.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_workflow_uploads_files_that_the_commands_write() -> None:
    workflow = YAML(typ="safe", pure=True).load((EXAMPLES / "github-actions.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["chaos"]["steps"]
    written = {str(parsed(words)["out"]) for page, words, _ in LINES if page.endswith(".yml") and "--out" in words}
    uploaded = next(step["with"]["sarif_file"] for step in steps if "upload-sarif" in step.get("uses", ""))
    assert str(Path(uploaded).parent) in written
