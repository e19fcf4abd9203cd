"""What a check's findings mean and how to mend them: the page beside the check, for reports and for ``chaosbot checks NAME``.

A page is ``pages/NAME.md`` in the folder of the check's module, a plug-in's too, with the headings *Why it matters* and *How to fix it*.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from importlib.resources import files

from chaosbot.core.check import CHECKS
from chaosbot.core.errors import UnknownName
from chaosbot.core.registry import describe


@cache
def guidance(check: str) -> str:
    """The page of a check as Markdown: its rule, why it matters, how to fix it; empty for a check that is not installed here."""
    try:
        entry = CHECKS.get(check)
    except UnknownName:
        return ""
    page = files(entry.__module__.rpartition(".")[0] or entry.__module__) / "pages" / f"{check}.md"
    told = page.read_text(encoding="utf-8") if page.is_file() else ""
    return f"{describe(entry).strip()}\n\n{told}".strip() + "\n"


def remedy(check: str) -> str:
    """The first paragraph of how to fix it; empty for a check that is not installed here."""
    return guidance(check).partition("## How to fix it")[2].strip().partition("\n\n")[0]


@cache
def page_address(check: str) -> str:
    """Where the check's page stands on the documentation's site; empty where the package's metadata name none."""
    try:
        links = metadata("chaosbot").get_all("Project-URL") or ()
    except PackageNotFoundError:
        return ""
    sites = [address for label, _, address in (link.partition(", ") for link in links) if label == "Documentation"]
    return f"{sites[0].rstrip('/')}/checks/{check}/" if sites else ""
