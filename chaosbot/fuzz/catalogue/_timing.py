"""timing: slow, torn and abandoned requests. Answered, timed out or closed; whoever comes next is served, and text is intact."""

from __future__ import annotations

import json
from collections.abc import Iterator

from chaosbot.core.case import Case, Ending, Expect, Reach, Reading, Segment
from chaosbot.core.jsontext import read_json
from chaosbot.core.kit import BROKEN, FRAMED, Base, Kit
from chaosbot.core.verdict import Threat

_SOUND = Expect(frozenset({2, 408}), close=True, reach=Reach.AT_MOST_ONCE)
_GONE = Expect(FRAMED | BROKEN, close=True, reach=Reach.AT_MOST_ONCE)
_TEXT = "Zoë naïve привет 你好 🙂🚀 tail"


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    yield from _slow(kit)
    yield from _gone(kit)
    yield from _split(kit)
    yield from _many(kit)


def _pieces(data: bytes, count: int, pause_s: float) -> tuple[Segment, ...]:
    size = -(-len(data) // count)
    return tuple(Segment(data[start : start + size], pause_s if start else 0.0) for start in range(0, len(data), size))


def _slow(kit: Kit) -> Iterator[Case]:
    def slow(name: str, made: object, summary: str) -> Case:
        base = kit.base(f"timing/{name}")
        segments = made(base) if callable(made) else ()
        return kit.case(f"timing/{name}", base, segments, summary, _SOUND, threat=Threat.NETWORK, check="no_hang")

    def body_in(count: int, pause_s: float) -> object:
        return lambda base: (Segment(base.request.head), *_pieces(base.body, count, pause_s))

    def head_in(count: int, pause_s: float) -> object:
        return lambda base: (*_pieces(base.request.head, count, pause_s), Segment(base.body))

    yield slow("slow-head", head_in(8, 0.05), "the head comes in eight pieces")
    yield slow("slow-body", body_in(8, 0.05), "the body comes in eight pieces")
    yield slow("slow-pause", body_in(2, 1.0), "a second's pause in the body")
    yield slow("slow-headpause", head_in(2, 1.0), "a second's pause in the head")
    yield slow(
        "slow-bytes",
        lambda base: tuple(Segment(base.request.data[n : n + 1]) for n in range(min(len(base.request.data), 2000))),
        "each byte in a segment of its own",
    )
    yield slow(
        "slow-boundary",
        lambda base: (Segment(base.request.head[:-1]), Segment(b"\n" + base.body, 0.05)),
        "the line end before the body is torn apart",
    )
    yield slow(
        "slow-late",
        lambda base: (Segment(base.request.data[:1]), Segment(base.request.data[1:], 0.3)),
        "one byte, a pause, then the rest",
    )


def _gone(kit: Kit) -> Iterator[Case]:
    def gone(name: str, data: object, summary: str, ending: Ending, reading: Reading = Reading.ALL) -> Case:
        base = kit.base(f"timing/{name}")
        segments = (Segment(data(base)),) if callable(data) else ()
        return kit.case(
            f"timing/{name}",
            base,
            segments,
            summary,
            _GONE,
            threat=Threat.NETWORK,
            check="canary_answered",
            ending=ending,
            reading=reading,
        )

    def whole(base: Base) -> bytes:
        return base.request.data

    def half_body(base: Base) -> bytes:
        return base.request.head + base.body[: len(base.body) // 2]

    def half_head(base: Base) -> bytes:
        return base.request.head[: len(base.request.head) // 2]

    for ending, word, says in (
        (Ending.RESET, "reset", "resets"),
        (Ending.CLOSE, "closed", "closes"),
        (Ending.HALF_CLOSE, "halfclosed", "half-closes"),
    ):
        yield gone(f"{word}-whole", whole, f"{says} right behind the request", ending)
        yield gone(f"{word}-body", half_body, f"{says} in the middle of the body", ending)
        yield gone(f"{word}-head", half_head, f"{says} in the middle of the head", ending)
    yield gone("unread-answer", whole, "the answer is never read", Ending.CLOSE, Reading.NEVER)
    yield gone("unread-reset", whole, "the answer is never read, then reset", Ending.RESET, Reading.NEVER)


def _split(kit: Kit) -> Iterator[Case]:
    """A character torn over two segments, at each byte within it, where the platform's users can write one."""
    said = kit.platform.say(_TEXT, kit.place("timing/split"))
    if said is None:
        return
    for word, character in (("two", "ë"), ("three", "你"), ("four", "🚀")):
        raw = character.encode()
        for cut in range(1, len(raw)):
            name = f"timing/split-{word}-{cut}"
            base = _saying(kit, name)
            # The platform may escape what is not ASCII; the bytes are written out here, because only they can be torn.
            body = _unescaped(base.body)
            if raw not in body:
                return
            request = kit.signed(body)
            at = len(request.head) + body.index(raw) + cut
            segments = (Segment(request.data[:at]), Segment(request.data[at:], 0.05))
            summary = f"a character of {len(raw)} bytes torn after {cut}"
            expect = Expect(frozenset({2}), reach=Reach.AT_MOST_ONCE, text=_TEXT)
            yield kit.case(name, base, segments, summary, expect, threat=Threat.USER, check="text_intact")
    name = "timing/split-everywhere"
    base = _saying(kit, name)
    body = _unescaped(base.body)
    request = kit.signed(body)
    pieces = (Segment(request.head), *(Segment(body[n : n + 1], 0.002) for n in range(len(body))))
    expect = Expect(frozenset({2}), reach=Reach.AT_MOST_ONCE, text=_TEXT)
    yield kit.case(name, base, pieces, "every byte apart", expect, threat=Threat.USER, check="text_intact")


def _unescaped(body: bytes) -> bytes:
    """A body of JSON with all characters written out; any other as it is."""
    try:
        return json.dumps(read_json(body), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:
        return body


def _saying(kit: Kit, name: str) -> Base:
    """A person's text with the marker in front, in a chat that no other case uses."""
    for attempt in range(200):
        place = kit.place(name).at("attempt", attempt)
        base = kit.wrap(kit.platform.fresh(kit.platform.say(_TEXT, place), place))
        if base.facts.chat not in kit.taken:
            break
    return kit.take(base)


def _many(kit: Kit) -> Iterator[Case]:
    for count in (2, 10, 50):
        name = f"timing/pipelined-{count}"
        base = kit.base(name)
        others = [kit.base(f"{name}-{number}").request.data for number in range(1, count)]
        yield kit.case(
            name,
            base,
            (Segment(b"".join([base.request.data, *others])),),
            f"{count} requests on one connection, without waiting",
            Expect(frozenset({2, 429, 503}), close=True, reach=Reach.AT_MOST_ONCE),
            threat=Threat.NETWORK,
            check="no_hang",
        )
    name = "timing/pipelined-unread"
    base = kit.base(name)
    yield kit.case(
        name,
        base,
        (Segment(base.request.data * 200),),
        "200 times the same request on one connection, no answer is read",
        _GONE,
        threat=Threat.NETWORK,
        check="canary_answered",
        ending=Ending.RESET,
        reading=Reading.NEVER,
    )
