"""The urls stage: URLs in deliveries lead to a listener here, which sees who fetches them.

| where | sent |
|---|---|
| in place of every URL of a valid update | signed, and unsigned |
| in what users write | signed |
| where a token says that its key is (`Examples.baits`) | signed by that key, which the listener serves |

The listener is on loopback, so only targets on this machine can reach it. Judged by `urls_not_fetched`, and by `forged_refused`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any, Final

from chaosbot.core.case import Case, Change, Expect, Reach, Segment
from chaosbot.core.kit import RawRequest, refused
from chaosbot.core.marker import marker
from chaosbot.core.observation import Fetched
from chaosbot.core.units import whole
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.transport import is_loopback
from chaosbot.transport.hearing import TimelyHandler

_WRITTEN: Final = "text"
"""The place of a URL that a user writes."""
_URL: Final = re.compile(r"https?://[^\s]+")
_NUMBER: Final = re.compile(r"(?:^|\.)\d+(?=\.|$)")
_FETCHED_S: Final = 1.0
"""So long after the last delivery a fetch is waited for."""
_MOST_READ: Final = 1 << 20
"""A fetch with a longer body is not read."""
_UNSIGNED: Final = 6
"""So many kinds are sent unsigned as well."""
_ODD: Final = Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)


class _Listener(ThreadingHTTPServer):
    """Answers every request, and remembers for each path whether it came with credentials."""

    daemon_threads = True

    def __init__(self) -> None:
        self.fetched: dict[str, bool] = {}
        self.documents: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), _Answering)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A fetcher that goes away in the middle has fetched all the same."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(TimelyHandler, BaseHTTPRequestHandler):
    timeout = 5.0
    server: _Listener

    def do_GET(self) -> None:
        """Notes the path."""
        shown = bool(self.headers.get("Authorization") or self.headers.get("Cookie"))
        path = self.path.partition("?")[0]
        self.server.fetched[path] = shown or self.server.fetched.get(path, False)
        # What was sent is read: to close on it would reset the connection, and the answer be lost.
        self.rfile.read(whole(self.headers.get("Content-Length", ""), _MOST_READ) or 0)
        body = self.server.documents.get(path, b"chaosbot")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names that the server asks for

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing."""


@contextmanager
def _listening() -> Iterator[_Listener]:
    """A listener while it listens."""
    with _Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True)
class _Lure:
    """A case with the paths of its URLs by place."""

    case: Case
    paths: dict[str, str]


def run_urls(context: CampaignContext, clock: Clock) -> None:
    """Sends them all side by side, before anything that leads elsewhere: a target may wait long for what cannot be reached."""
    if not is_loopback(context.spec.address.host):
        return
    with _listening() as server:
        lures = [*_members(context, server.url), *_words(context, server.url), *_baits(context, server)]
        results = context.target.volley([lure.case for lure in lures], "urls")
        until, count = monotonic() + _FETCHED_S, -1
        while monotonic() < until and not clock.should_stop():
            if len(server.fetched) > count:
                until, count = monotonic() + _FETCHED_S, len(server.fetched)
            sleep(POLL_S)
        for lure, result in zip(lures, results, strict=True):
            for place, path in lure.paths.items():
                shown = [shown for one, shown in server.fetched.items() if one == path or one.startswith(f"{path}/")]
                if shown:
                    result.observations.append(Fetched(place, any(shown)))
        observe(context, results)
    context.show("urls", 0)


def _members(context: CampaignContext, url: str) -> Iterator[_Lure]:
    """Every valid update with all its URLs changed; some of them unsigned as well."""
    platform, endpoint, forged = context.platform, context.spec.endpoint, 0
    meant = frozenset(platform.answers_to())
    tried: set[str] = set()
    for name, update in platform.golden(context.dice).items():
        for word in ("signed", "forged"):
            if word == "forged" and not (endpoint.secret and platform.proof and forged < _UNSIGNED):
                break
            # Two deliveries, each with a chat and a marker of its own: what one of them causes is not the other's.
            place = context.dice.at("lure", name, word, endpoint.started)
            made = platform.fresh(update, place)
            lure = _Lured(f"/{place.token(12)}/{word}", url, meant, len(platform.inside(made)))
            changed = lure.made(made, ())
            if not lure.paths or ("/" in name and word == "signed" and lure.paths.keys() <= tried):
                break  # a variant has the URLs of its kind
            tried |= lure.paths.keys()
            if word == "signed":
                case = context.case(changed, place, f"urls/{name}", f"{name} with URLs that lead to this machine", _ODD)
                yield _Lure(_urls(case), lure.paths)
                continue
            forged += 1
            what = f"{name} with such URLs, unsigned"
            case = context.case(changed, place, f"urls/{name}-unsigned", what, refused(400, 422))
            bare = RawRequest.of(case.request).without(platform.proof)
            yield _Lure(replace(_urls(case), segments=(Segment(bare.data),), threat=Threat.FORGER), lure.paths)


@dataclass(frozen=True, slots=True)
class _Lured:
    """Changes the URLs in an update.

    Args:
        begins: How the paths of the new ones begin.
        url: Where they lead.
        meant: Places of those that stay.
        inside: How long the path of the update's payload is.
        paths: The new paths by place; grows.
    """

    begins: str
    url: str
    meant: frozenset[str]
    inside: int
    paths: dict[str, str] = field(default_factory=dict)

    def made(self, value: Any, path: tuple[str | int, ...]) -> Any:
        """The value with other URLs."""
        if isinstance(value, dict):
            return {name: self.made(one, (*path, name)) for name, one in value.items()}
        if isinstance(value, list):
            return [self.made(one, (*path, number)) for number, one in enumerate(value)]
        dotted = ".".join(map(str, path[self.inside :]))
        if not isinstance(value, str) or dotted in self.meant or not _URL.fullmatch(value):
            return value
        place = _NUMBER.sub("", dotted)
        self.paths.setdefault(place, f"{self.begins}/{len(self.paths)}")
        return self.url + self.paths[place]


def _words(context: CampaignContext, url: str) -> Iterator[_Lure]:
    """A text with a URL in it."""
    place = context.dice.at("lure", _WRITTEN, context.spec.endpoint.started)
    path = f"/{place.token(12)}/0"
    update = context.platform.say(f"{url}{path} {marker(place)}", place)
    if update is not None:
        case = context.case(update, place, "urls/text", "a text with a URL that leads to this machine", _ODD)
        yield _Lure(replace(_urls(case), threat=Threat.USER), {_WRITTEN: path})


def _baits(context: CampaignContext, server: _Listener) -> Iterator[_Lure]:
    """Proofs that say where their key is."""
    place = context.dice.at("bait", context.spec.endpoint.started)
    for bait in context.platform.baits(context.spec.endpoint, place, f"{server.url}/{place.token(12)}"):
        server.documents |= {bait.path + rest: document for rest, document in bait.documents.items()}
        yield _Lure(bait.case, {bait.place: bait.path})


def _urls(case: Case) -> Case:
    return replace(
        case,
        group="urls",
        threat=Threat.NETWORK,
        change=Change(Mechanism.TECHNIQUE, "urls/lure"),
    )
