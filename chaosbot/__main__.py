"""The program `chaosbot`, also as `python -m chaosbot`.

It stands outside of `cli` so that a signal is answered before everything else is imported, which takes a moment.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType


def main() -> None:
    """Runs the command line; until its verb begins there is nothing to tidy up, so a signal ends the process at once."""
    if sys.platform == "win32":
        sys.stderr.write(
            "chaosbot: needs Linux or macOS (signals, forked workers and resets of connections are other on Windows); "
            "on Windows run it in WSL 2 or in the Docker image\n"
        )
        sys.exit(2)
    gc.disable()  # of what is imported nothing is garbage, and looking for it takes a tenth of the start-up
    _on_signals(_leave)
    _fill_streams()
    from chaosbot.cli import main as command_line  # noqa: PLC0415 - signals first

    command_line(_begin)


def _begin() -> None:
    gc.freeze()
    gc.enable()
    _on_signals(_interrupt)


def _fill_streams() -> None:
    """Opens nothing in place of standard streams that are closed, so that no file or socket takes their number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _on_signals(act: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell has it for what runs behind `&`
            signal.signal(number, act)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"chaosbot: interrupted\n")
    os._exit(3)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
