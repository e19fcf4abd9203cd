"""`chaosbot ca`: the proxy's own certificate authority."""

from __future__ import annotations

import typer

from chaosbot.addons.ca import ensure_ca
from chaosbot.cli import verb

app = verb()


@app.command()
def ca() -> None:
    """Print the path of the proxy's CA certificate; it is made on first use.

    Its key signs for any host: give the certificate to test clients only, never to a system's trust store.

    Example: `curl --cacert "$(chaosbot ca)" --proxy http://127.0.0.1:8080 https://api.telegram.org/`
    """
    typer.echo(ensure_ca())
