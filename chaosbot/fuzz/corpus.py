"""What is remembered between runs: reproducers of what was found, which the next run sends first, and what people accepted.

``.chaosbot/findings/<id>.json`` holds one reproducer each, without secrets. A finding that no longer shows leaves the corpus.
A baseline is a text file with one finding id a line (``#`` begins a comment), or a ``report.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.platform import platform_of
from chaosbot.fuzz import findings
from chaosbot.fuzz._anatomy import renewed, resigned
from chaosbot.fuzz.spec import STAGES, CampaignSpec

_FOLDER: Final = "findings"


def known_cases(spec: CampaignSpec) -> tuple[Case, ...]:
    """The single-request cases of earlier findings, as deliveries of their own."""
    if spec.corpus is None or not (spec.corpus / _FOLDER).is_dir():
        return ()
    cases: list[Case] = []
    platform = platform_of(spec.platform)
    for number, path in enumerate(sorted((spec.corpus / _FOLDER).glob("*.json"))):
        try:
            reproducer = findings.read(path, spec.endpoint.secret)
        except ConfigError:
            continue  # written by another version: it will be found again
        if len(reproducer.steps) == 1 and len(reproducer.steps[0]) == 1 and reproducer.platform == spec.platform:
            (case,) = findings.timely(reproducer, spec.endpoint, platform).steps[0]
            case = renewed(
                case,
                Dice(spec.seed).at("known", number, spec.endpoint.started),
                partial(resigned, platform, spec.endpoint.secret),
            )
            cases.append(replace(case, name=f"{case.name}~known"))
    return tuple(cases)


def remember(spec: CampaignSpec, found: Iterable[tuple[str, findings.Reproducer]], *, complete: bool) -> None:
    """Keeps what was found; after a complete campaign, what no longer shows is dropped.

    A campaign that was told to look at less (some stages, cases or checks) drops nothing: it did not look.
    """
    if spec.corpus is None:
        return
    folder = spec.corpus / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    for identity, reproducer in found:
        if sum(len(case.request) for step in reproducer.steps for case in step) > findings.LARGEST_REQUEST:
            continue
        text = json.dumps(findings.to_json(reproducer, spec.endpoint.secret), indent=1)
        (folder / f"{identity}.json").write_text(text + "\n", encoding="utf-8")
        written.add(f"{identity}.json")
    looked_at_all = not spec.only and spec.checks is None and set(spec.stages) == set(STAGES)
    if complete and looked_at_all:
        for path in folder.glob("*.json"):
            if path.name not in written:
                path.unlink()


def accepted(baseline: Path | None) -> frozenset[str]:
    """The ids of findings that people have accepted.

    Raises:
        ConfigError: The file cannot be read.
    """
    if baseline is None:
        return frozenset()
    try:
        text = baseline.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"--baseline {baseline}", "is no UTF-8 text; name a list of ids, or a report.json") from None
    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--baseline {str(baseline)[:200]}", f"cannot be read ({why})") from None
    if text.lstrip().startswith("{"):
        try:
            return frozenset(str(finding["id"]) for finding in json.loads(text)["findings"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"--baseline {baseline}", f"is no report.json ({type(error).__name__})") from None
    return frozenset(line.split("#", 1)[0].strip() for line in text.splitlines()) - {""}
