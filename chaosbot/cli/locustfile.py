"""`chaosbot locustfile`: where Locust finds chaosbot's virtual users."""

from __future__ import annotations

import importlib.util

import typer

from chaosbot.cli import verb

app = verb()


@app.command()
def locustfile() -> None:
    """Print the path of the file that brings chaosbot's virtual users into Locust.

    Locust must run in the environment that chaosbot is installed in: pip install 'chaosbot[locust]'. Name classes to choose users
    (GuestUser, PowerUser, DeveloperUser, AdminUser; RestUser, MarketStreamUser, ForeignFlowUser, BurstUser, ReconnectStormUser),
    or choose them in the web UI.

    Examples:

    - `locust -f "$(chaosbot locustfile)" --host http://127.0.0.1:8000 --class-picker`
    - `locust -f "$(chaosbot locustfile)" --host http://127.0.0.1:8000 --headless -u 10 -r 2 -t 30s GuestUser PowerUser`
    """
    found = importlib.util.find_spec("chaosbot.locustfile")
    typer.echo(found.origin if found is not None else "")
