"""`python -m chaosbot.demo`: the demo as a process of its own.

Secrets come from the environment only: TELEGRAM_SECRET_TOKEN, BOT_TOKEN, WS_AUTH_TOKEN; ADMIN_TELEGRAM_ID as well.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from chaosbot.demo.bugs import parse_bugs
from chaosbot.demo.server import serve
from chaosbot.demo.settings import DemoSettings


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the options and serves."""
    parser = argparse.ArgumentParser(prog="python -m chaosbot.demo", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--bugs", default="", help="planted bugs, with commas between; fragile for all")
    parser.add_argument("--bot-api", help="base URL of the Bot API; without it replies are in the webhook's answer")
    parser.add_argument("--limits", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--supervised", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args(argv)
    try:
        settings = DemoSettings.from_environment(
            os.environ,
            host=arguments.host,
            port=arguments.port,
            bugs=parse_bugs(arguments.bugs),
            bot_api=arguments.bot_api or None,
            limits=arguments.limits,
            supervised=arguments.supervised,
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        serve(settings, None, _announce, sys.stdin.fileno() if arguments.exit_with_stdin else None)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}\n")
        return 2
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"READY {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
