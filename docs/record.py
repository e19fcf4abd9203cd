# ruff: noqa: INP001, T201 -- a script beside the pages
"""Records a terminal session as an animated SVG: ``python docs/record.py docs/images/session.svg``.

Runs the commands below for real, in a folder of its own, keeps the moments at which lines came, and draws them with CSS animations (no script, so that
it moves where Markdown is shown). Long waits are shortened, and the list of checks that one stage alone cannot judge is left out.
"""

from __future__ import annotations

import html
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

COMMANDS: Final = (
    "chaosbot demo --serve --fragile --port 18790 --bot-api http://127.0.0.1:18791 &",
    "chaosbot fuzz http://127.0.0.1:18790/webhook/telegram --bot-api 127.0.0.1:18791 --case 'auth/*' --stages catalogue --out f1",
    "chaosbot replay f1/findings/forged_refused-25f395b2",
)
COLUMNS, ROWS, LINE, WIDTH = 104, 24, 18, 8.2
LONGEST_WAIT_S: Final = 0.9


def run(command: str, folder: Path, environment: dict[str, str]) -> list[tuple[float, str]]:
    """Runs a command; its lines with the seconds before each of them."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.removesuffix('&')}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines, last = [], time.monotonic()
    for text in process.stdout or ():
        now = time.monotonic()
        lines.append((min(now - last, LONGEST_WAIT_S), text.rstrip()))
        last = now
        if text.startswith("not judged:"):  # most of them: one stage alone was asked for
            lines.pop()
        if command.endswith("&") and len(lines) == 3:
            STAYING.append(process)
            return lines
    process.wait()
    return lines


STAYING: list[subprocess.Popen[str]] = []


def frames(folder: Path) -> list[tuple[float, str]]:
    """All lines with the second at which each appears."""
    environment = {
        **os.environ,
        "COLUMNS": str(COLUMNS),
        "TELEGRAM_SECRET_TOKEN": "secret-of-the-recording",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    shown, at = [], 0.3
    for command in COMMANDS:
        shown.append((at, f"$ {command}"))
        at += 1.0
        for wait, text in run(command, folder, environment):
            at += wait
            shown.append((at, text))
        at += 1.5
    return shown


def drawn(shown: list[tuple[float, str]]) -> str:
    """The SVG: lines appear at their time, and the text moves up as a terminal's does."""
    total = shown[-1][0] + 6.0
    height, width = (ROWS + 1) * LINE + 14, round(COLUMNS * WIDTH) + 24
    texts, moves = [], []
    for number, (at, text) in enumerate(shown):
        tone = "c" if text.startswith("$ ") else "f" if text.startswith("FAIL") or "critical" in text else "t"
        words = html.escape(text[: COLUMNS + 6]).replace(" ", "\u00a0")
        start = 100 * at / total
        texts.append(
            f'<text class="{tone}" y="{(number + 1) * LINE}" style="animation:s{number} {total:.1f}s infinite">{words}</text>'
            f"<style>@keyframes s{number}{{0%,{start:.2f}%{{opacity:0}}{start + 0.01:.2f}%,100%{{opacity:1}}}}</style>"
        )
        up = max(0, number + 1 - ROWS) * LINE
        moves.append(f"{start:.2f}%{{transform:translateY(-{up}px)}}")
    last = max(0, len(shown) - ROWS) * LINE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="A terminal: chaosbot fuzzes a bot, lists what it found, and sends one finding again">'
        "<style>text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d5d9e0}.c{fill:#8ec8ff}.f{fill:#ff8f87}"
        f"@keyframes up{{0%{{transform:translateY(0)}}{''.join(moves)}100%{{transform:translateY(-{last}px)}}}}"
        f".up{{animation:up {total:.1f}s infinite steps(1,end)}}"
        "@media (prefers-reduced-motion:reduce){text{animation:none!important}.up{animation:none;"
        f"transform:translateY(-{last}px)}}}}</style>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#1c2129"/><svg x="12" y="6" width="{width - 24}" height="{height - 12}">'
        f'<g class="up">{"".join(texts)}</g></svg></svg>\n'
    )


def main() -> None:
    """Records and writes the file that is named."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            shown = frames(Path(folder))
        finally:
            for process in STAYING:
                process.terminate()
                process.wait()
    Path(sys.argv[1]).write_text(drawn(shown), encoding="utf-8")
    print(f"wrote {sys.argv[1]}: {len(shown)} lines")


if __name__ == "__main__":
    main()
