"""Looks at a target from outside: health pages, values in JSON, Prometheus metrics.

httpx is imported when the first look happens: it takes longer to load than all the rest of this package, and most users of
`chaosbot.transport` never probe.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from chaosbot.core.errors import ConfigError, TargetUnusable
from chaosbot.core.event import Scalar
from chaosbot.core.plan import at_path
from chaosbot.transport.address import UNIX, USUAL_TLS, Address, Tls
from chaosbot.transport.link import client_context

# Contexts of its own: httpx writes its protocols (ALPN) into one, and requests over TLS would offer them from then on.
_page_context: Final = lru_cache(maxsize=8)(client_context.__wrapped__)
MOST_BODY: Final = 4 * 1024 * 1024
_KEPT_TEXT: Final = 512
_SAMPLE: Final = re.compile(
    r"([A-Za-z_:][A-Za-z0-9_:]*)"
    r'(\{(?:[^"{}]|"(?:[^"\\\n]|\\.)*")*\})?'
    r"[ \t]+([^ \t]+)(?:[ \t]+-?[0-9]+)?[ \t]*"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look came to.

    Args:
        ok: Whether the target answered 2xx and, when a value was asked for, whether it was there.
        status: The HTTP status; None without an answer.
        value: The value at the JSON path.
        seconds: How long it took.
        text: The start of the answer's body.
        detail: Why it is not ok.
    """

    ok: bool
    status: int | None = None
    value: Scalar = None
    seconds: float = 0.0
    text: str = ""
    detail: str = ""


def look(
    url: str,
    *,
    timeout_s: float = 5.0,
    headers: tuple[tuple[str, str], ...] = (),
    tls: Tls = USUAL_TLS,
) -> tuple[int, bytes]:
    """A page's status and body, of which at most 4 MB are read. Redirects are not followed.

    Args:
        url: The page.
        timeout_s: Bound on the look.
        headers: Headers to send, for example an authorisation.
        tls: How an https page is spoken to.

    Raises:
        TargetUnusable: No answer; the reason in one line.
        ConfigError: A file of `tls` that holds nothing of the kind, or a Unix socket's URL that names none.
    """
    import httpx  # noqa: PLC0415 - see the module's docstring

    until = monotonic() + timeout_s
    body = bytearray()
    try:
        context = _page_context(tls)
        place = Address.parse(url) if urlsplit(url).netloc == UNIX else None
        way = httpx.HTTPTransport(verify=context, uds=place.host) if place else None
        page = f"{place.origin}{place.path}" if place else url
        # No environment: HTTP_PROXY may well point at chaosbot itself, whose faults are not for the probe.
        with (
            httpx.Client(trust_env=False, timeout=timeout_s, verify=context, transport=way) as client,
            client.stream("GET", page, headers=list(headers)) as answer,
        ):
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MOST_BODY or monotonic() > until:
                    raise TargetUnusable(f"{url}: the answer does not end; at most 4 MB in {timeout_s:g} s are read")
            return answer.status_code, bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise TargetUnusable(f"{url}: {type(error).__name__}: {error}") from None


def probe(
    url: str,
    *,
    json_path: str = "",
    timeout_s: float = 5.0,
    headers: tuple[tuple[str, str], ...] = (),
    tls: Tls = USUAL_TLS,
) -> Probe:
    """Looks at a page; never raises.

    Args:
        url: The page, for example a health check.
        json_path: A value to take from its JSON (``circuits.0.state``); without one, only the status counts.
        timeout_s: Bound on the look.
        headers: Headers to send, for example an authorisation.
        tls: How an https page is spoken to.
    """
    began = monotonic()
    try:
        status, body = look(url, timeout_s=timeout_s, headers=headers, tls=tls)
    except (TargetUnusable, ConfigError) as error:
        return Probe(ok=False, seconds=monotonic() - began, detail=str(error))
    seconds = monotonic() - began
    text = body[:_KEPT_TEXT].decode("utf-8", "replace")
    if not 200 <= status < 300:
        return Probe(ok=False, status=status, seconds=seconds, text=text, detail=f"{url}: status {status}")
    if not json_path:
        return Probe(ok=True, status=status, seconds=seconds, text=text)
    try:
        value = at_path(json.loads(body), json_path)
    except (ValueError, RecursionError):
        return Probe(ok=False, status=status, seconds=seconds, text=text, detail=f"{url}: the answer is no JSON")
    except LookupError:
        return Probe(ok=False, status=status, seconds=seconds, text=text, detail=f"{url}: nothing at '{json_path}'")
    plain: Scalar = value if value is None or isinstance(value, (str, int, float)) else json.dumps(value)[:_KEPT_TEXT]
    return Probe(ok=True, status=status, value=plain, seconds=seconds, text=text)


def metrics(
    url: str,
    *,
    timeout_s: float = 5.0,
    headers: tuple[tuple[str, str], ...] = (),
    tls: Tls = USUAL_TLS,
) -> dict[str, float]:
    """The samples of a Prometheus page, by name with labels as the page writes them.

    Raises:
        TargetUnusable: No answer, a status other than 2xx, or no samples in it.
    """
    status, body = look(url, timeout_s=timeout_s, headers=headers, tls=tls)
    if not 200 <= status < 300:
        raise TargetUnusable(f"{url}: status {status}; a metrics page answers 200")
    samples = parse_metrics(body.decode("utf-8", "replace"))
    if not samples:
        raise TargetUnusable(f"{url}: holds no samples in the Prometheus text format; give the URL of the metrics page")
    return samples


def parse_metrics(text: str) -> dict[str, float]:
    """Reads the Prometheus text format (and OpenMetrics); lines that are no samples are ignored.

    NaN samples are left out: they say that there is no value.
    """
    samples: dict[str, float] = {}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if line.startswith("#") or found is None:
            continue
        rest = line[found.end() :]
        if rest and not rest.startswith("#"):  # an OpenMetrics exemplar may follow
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if not math.isnan(value):
            samples[found[1] + (found[2] or "")] = value
    return samples
