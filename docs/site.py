# ruff: noqa: INP001 -- a hook of mkdocs, beside the pages
"""What `mkdocs build` adds to the pages: the README as the first page, a page for each check, and files from beside the documentation.

The Markdown stays readable where it lies: links such as ``../SECURITY.md`` lead to files of the repository there, and to pages here.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

from chaosbot.core.check import CHECKS
from chaosbot.demo.bugs import CARDS
from chaosbot.report.guidance import guidance

ROOT: Final = Path(__file__).resolve().parent.parent
PROJECT: Final = ("SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
LINK: Final = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")


def check_page(name: str) -> str:
    """The page of a check: its rule, what of the demo bot breaks it, why it matters, how to fix it, how to ask for it alone."""
    bugs = [f"- `{card.bug}`: {card.what}" for card in CARDS.values() if name in card.checks]
    parts = [
        f"# {name}",
        guidance(name).strip(),
        "## Try it",
        f"```\nchaosbot fuzz URL --check {name}\n```" if CHECKS.get(name).live else "It is judged by `chaosbot run`.",
    ]
    if bugs:
        parts += ["Planted bugs of the demo bot that break it:", "\n".join(bugs)]
    return "\n\n".join(parts) + "\n"


def on_files(files: Files, config: Any) -> Files:
    """Adds what is generated or lies beside the documentation."""
    added = {"index.md": _moved((ROOT / "README.md").read_text(encoding="utf-8"), "README.md")}
    added |= {
        f"project/{name}": _moved((ROOT / name).read_text(encoding="utf-8"), f"project/{name}") for name in PROJECT
    }
    added |= {f"checks/{name}.md": check_page(name) for name in CHECKS.names()}
    added |= {
        f"examples/{path.name}": path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.*"))
    }
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("docs/generate.py is not there")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    added |= {name: make() for name, make in generate.SITE.items()}
    for name, text in added.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_more: Any) -> str:
    """Leads links to files beside the documentation to their pages here."""
    return _moved(markdown, page.file.src_uri) if not page.file.generated_by else markdown


def _moved(text: str, place: str) -> str:
    """The text with its links as they are on the site; `place` is where it stands there, or README.md."""
    up = "../" * place.count("/")
    outside = place in ("README.md", *(f"project/{name}" for name in PROJECT))

    def aim(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        bare = target if outside else target.removeprefix("../") if target.startswith("../") else None
        if bare is None:
            return match[0]
        bare = bare.removeprefix("./")
        if bare.startswith("docs/decisions") or bare == "decisions":
            found = bare.removeprefix("docs/") if bare.endswith(".md") else "explanation.md"
        elif bare.startswith("docs/"):
            found = bare.removeprefix("docs/")
        elif bare.startswith("chaosbot/checks/pages/"):
            found = f"checks/{Path(bare).name}"
        elif bare in PROJECT:
            found = f"project/{bare}"
        elif bare == "README.md":
            found = "index.md"
        elif bare in ("examples", "examples/"):
            found = "examples/experiment.toml"
        elif bare.startswith("examples/"):
            found = bare
        elif place.count("/") and not outside:
            return match[0]  # a sibling in a folder of the documentation
        else:
            return match[0]
        return f"]({up}{found}{anchor})"

    return LINK.sub(aim, text)
