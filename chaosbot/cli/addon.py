"""`chaosbot addon`: where mitmproxy finds the chaos addon."""

from __future__ import annotations

import importlib.util

import typer

from chaosbot.cli import verb

app = verb()


@app.command()
def addon() -> None:
    """Print the path of the script that brings faults into mitmdump, mitmproxy or mitmweb.

    mitmproxy must run in the environment that chaosbot is installed in. Options: chaos_plan, chaos_fault (repeatable), chaos_seed,
    chaos_platform, chaos_journal. Faults on bytes need `chaosbot proxy`.

    Examples:

    - `mitmdump -s "$(chaosbot addon)" --set chaos_plan=plan.toml`
    - `mitmproxy -m reverse:http://127.0.0.1:8000 -s "$(chaosbot addon)" --set chaos_fault='abort:503;p=0.1'`
    """
    # Found, not imported: the script loads mitmproxy.
    found = importlib.util.find_spec("chaosbot.session.mitmproxy_script")
    typer.echo(found.origin if found is not None else "")
