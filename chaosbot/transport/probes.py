"""Looks at a target from outside: health pages, values in JSON, Prometheus metrics.

A look is over at its deadline and after 4 MB, whatever the page does: whoever probes waits for it.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from dataclasses import dataclass
from time import monotonic
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from chaosbot.core.errors import ConfigError, TargetUnusable
from chaosbot.core.event import Scalar
from chaosbot.core.jsontext import read_json
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.plan import at_path
from chaosbot.transport.address import USUAL_TLS, Address, Tls
from chaosbot.transport.answer import MOST_HEAD, AnswerReader
from chaosbot.transport.link import LinkFailed, client_context, explain
from chaosbot.transport.sending import Run, opened

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
    """A page's status and body, of which at most 4 MB are read, as they are (no compression). Redirects are not followed.

    Args:
        url: The page.
        timeout_s: Bound on the whole look, however slowly the page comes.
        headers: Headers to send, for example an authorisation.
        tls: How an https page is spoken to.

    Raises:
        TargetUnusable: No answer; the reason in one line.
        ConfigError: A file of `tls` that holds nothing of the kind, or a Unix socket's URL that names none.
    """
    return _asked("GET", url, None, timeout_s, headers, tls)


def post(
    url: str,
    body: bytes,
    *,
    timeout_s: float = 5.0,
    headers: tuple[tuple[str, str], ...] = (),
    tls: Tls = USUAL_TLS,
) -> tuple[int, bytes]:
    """Sends a body to a page; bounds, answer and errors as of `look`, and the time that sending takes counts."""
    return _asked("POST", url, body, timeout_s, headers, tls)


def _asked(
    method: str, url: str, body: bytes | None, timeout_s: float, headers: tuple[tuple[str, str], ...], tls: Tls
) -> tuple[int, bytes]:
    place, owner = _place(url)
    lines = [f"{method} {place.path} HTTP/1.1", f"Host: {place.authority}", "Accept: */*", "Accept-Encoding: identity"]
    lines += [] if body is None else [f"Content-Length: {len(body)}"]
    lines += [*owner, *(f"{name}: {value}" for name, value in headers), "Connection: close", "", ""]
    began = monotonic()
    link = opened(place.over(tls), timeout_s, began)
    if isinstance(link, Outcome):
        if link.fate is Fate.CANCELLED:
            client_context(tls)  # says which file is none of those that it should be
        raise TargetUnusable(f"{url}: {link.detail}")
    run = Run(link, AnswerReader(MOST_BODY), began + timeout_s, began)
    try:
        if run.write("\r\n".join(lines).encode("latin-1") + (body or b""), read=True):
            run.read_until(run.until, most=MOST_BODY + MOST_HEAD)
        seen = run.judged(timeout_s)
    except LinkFailed as error:
        seen = run.outcome(error.fate, error.detail)
    except OSError as error:
        seen = run.outcome(Fate.CLOSED, explain(error))
    finally:
        link.close()
    if seen.fate is Fate.TIMEOUT and seen.received:
        raise TargetUnusable(f"{url}: the answer does not end; at most 4 MB in {timeout_s:g} s are read")
    if seen.fate is not Fate.ANSWERED or seen.status is None:
        raise TargetUnusable(f"{url}: {seen.detail}")
    return seen.status, seen.body


def _place(url: str) -> tuple[Address, list[str]]:
    """Where a page is, and the header that carries the user name and password of its URL, where it has some.

    Raises:
        ConfigError: No such URL.
    """
    parts = urlsplit(url)
    owner, at, host = parts.netloc.rpartition("@")
    place = Address.parse(urlunsplit((parts.scheme, host, parts.path, parts.query, "")))
    return place, [f"Authorization: Basic {b64encode(unquote(owner).encode()).decode()}"] if at else []


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
        value = at_path(read_json(body), json_path)
        plain: Scalar = (
            value if value is None or isinstance(value, (str, int, float)) else json.dumps(value)[:_KEPT_TEXT]
        )
    except (ValueError, RecursionError):  # what is written takes a little deeper a call than what is read
        return Probe(ok=False, status=status, seconds=seconds, text=text, detail=f"{url}: the answer is no JSON")
    except LookupError:
        return Probe(ok=False, status=status, seconds=seconds, text=text, detail=f"{url}: nothing at '{json_path}'")
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
