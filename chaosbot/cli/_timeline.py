"""Draws an experiment's timeline in the terminal, before anything starts."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chaosbot.core.plan import Window
from chaosbot.core.units import format_duration
from chaosbot.session.experiment import Compiled

WIDEST: Final = 60
BESIDE: Final = 48
"""Columns that labels and times need beside the bars."""
STYLES: Final = {
    "warmup": "dim",
    "baseline": "green",
    "fault": "red",
    "recovery": "yellow",
    "burst": "magenta",
    "cooldown": "dim",
}
MARKS: Final = {"warmup": "·", "baseline": "═", "fault": "█", "recovery": "▒", "burst": "▲", "cooldown": "·"}


def draw_timeline(console: Console, compiled: Compiled) -> None:
    """Prints the phases as bars on one axis, every rule with when it acts, and what differs from the experiment as written."""
    experiment, total = compiled.experiment, compiled.load_s or 1.0
    width = max(12, min(WIDEST, console.width - BESIDE))
    console.print(f"[bold]{escape(experiment.name)}[/]  {escape(experiment.about)}", highlight=False)
    target = experiment.target or "embedded demo bot"
    workload = experiment.workload
    load = f"{workload.rate:g}/s" if workload.rate else f"{workload.users} users" if workload.users else ""
    options = ", ".join(f"{key} {value}" for key, value in workload.options.items())
    campaign = f", then a fuzz campaign of {format_duration(experiment.fuzz_s)}" if experiment.fuzz_s else ""
    for remark in compiled.remarks:
        console.print(escape(remark), style="yellow", highlight=False)
    console.print(
        f"target {escape(target)} · load {workload.profile} {load or options} · outbound {escape(experiment.outbound)} · "
        f"{format_duration(total)} in all{campaign}\n",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for step in compiled.timeline:
        left = round(step.start_s / total * width)
        length = max(1, round(step.length_s / total * width))
        style = STYLES.get(step.phase, "cyan")
        bar = " " * left + MARKS.get(step.phase, "─") * length
        when = f"{format_duration(step.start_s)} – {format_duration(step.end_s)}"
        label = f"{step.phase} {escape(step.label)}".strip()
        table.add_row(f"[{style}]{label}[/]", f"[{style}]{bar:<{width + 1}}[/]", f"[dim]{when}[/]")
    console.print(table)
    if compiled.windows.rules:
        rules = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("rule", "fault", "direction", "p", "when"):
            rules.add_column(heading)
        for rule in compiled.windows.rules:
            rules.add_row(
                rule.name, rule.fault.name, str(rule.match.direction or "both"), f"{rule.rate:g}", _when(rule.window)
            )
        console.print()
        console.print(rules)


def _when(window: Window) -> str:
    if window.phase:
        return f"while {window.phase}"
    parts = [f"from {format_duration(window.start_s)}"]
    if window.length_s is not None:
        parts.append(f"for {format_duration(window.length_s)}")
    if window.every_s is not None:
        parts.append(f"every {format_duration(window.every_s)}")
    return " ".join(parts)
