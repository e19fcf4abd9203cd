"""Where a proxy listens and leads, and how a client finds it, from what was typed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chaosbot.core.errors import MOST_SHOWN, ConfigError
from chaosbot.core.units import MOST_PORT, whole
from chaosbot.files import regular
from chaosbot.transport import UNIX, bracketed, permit_listening

_PEM: Final = "name a PEM file"


def address_of(option: str, text: str, *, sockets: bool = False) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; where `sockets` may be, the path of ``unix:/run/proxy.sock`` and 0.

    Raises:
        ConfigError: It is none.
    """
    if sockets and text.startswith(UNIX) and len(text) > len(UNIX):
        return str(Path(text.removeprefix(UNIX)).absolute()), 0
    host, colon, port = text.rpartition(":")
    number = whole(port, MOST_PORT)
    if not colon or number is None:
        more = " or unix:/run/chaos.sock" if sockets else ""
        raise ConfigError(f"{option} {text[:MOST_SHOWN]}", f"is no HOST:PORT; write for example 127.0.0.1:8080{more}")
    host = host.strip("[]") or "127.0.0.1"
    permit_listening(host)
    return host, number


def authority(path: Path | None) -> str:
    """A file of certificates to check upstreams by; empty for the usual ones.

    Raises:
        ConfigError: It cannot be read, or holds no certificate.
    """
    if path is None:
        return ""
    try:
        ssl.create_default_context(cafile=regular(path, f"--upstream-ca {path}", remedy=_PEM))
    except OSError as error:  # what OpenSSL cannot read is one too
        why = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "it holds no certificate"
        raise ConfigError(f"--upstream-ca {path}", f"cannot be used ({why}); name a PEM file") from None
    return str(path)


@contextmanager
def client_certificate(certificate: Path | None, key: Path | None) -> Iterator[str]:
    """One PEM file with a certificate and its key, as long as it is needed; empty for none.

    Raises:
        ConfigError: A file cannot be read, or they do not belong together.
    """
    if certificate is None:
        if key is not None:
            raise ConfigError(f"--upstream-key {key}", "belongs to a certificate; name it by --upstream-cert")
        yield ""
        return
    try:
        ssl.create_default_context().load_cert_chain(
            regular(certificate, f"--upstream-cert {certificate}", remedy=_PEM),
            key and regular(key, f"--upstream-key {key}", remedy=_PEM),
        )
    except OSError as error:
        why = "no certificate with its key" if isinstance(error, ssl.SSLError) else error.strerror
        remedy = "name PEM files, the key by --upstream-key unless the certificate's file holds it"
        raise ConfigError(f"--upstream-cert {certificate}", f"cannot be used ({why}); {remedy}") from None
    if key is None:
        yield str(certificate)
        return
    # Its folder is the user's alone.
    with TemporaryDirectory(prefix="chaosbot-") as folder:
        both = Path(folder) / "client.pem"
        both.write_bytes(certificate.read_bytes() + b"\n" + key.read_bytes())
        yield str(both)


def exports(address: tuple[str, int]) -> str:
    """The variables by which curl, requests, httpx, aiohttp (trust_env) and Node find the proxy and its authority."""
    from chaosbot.addons.ca import ensure_ca  # noqa: PLC0415 - only when asked for

    host, port = address
    url = f"http://{bracketed(host)}:{port}"
    certificate = str(ensure_ca())
    names = {
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "http_proxy": url,
        "https_proxy": url,
        "NO_PROXY": "",
        "no_proxy": "",
        "SSL_CERT_FILE": certificate,
        "REQUESTS_CA_BUNDLE": certificate,
        "CURL_CA_BUNDLE": certificate,
        "NODE_EXTRA_CA_CERTS": certificate,
        "NODE_USE_ENV_PROXY": "1",
    }
    return "\n".join(f"export {name}='{value}'" for name, value in names.items())
