"""Toxics: byte faults in the words of Toxiproxy, whose control contract the API speaks.

Rules:

- A toxic becomes a rule of a fault plan: its type one of our byte faults, its toxicity the rule's rate, rolled once a
  connection on seeded dice. What it then does to bytes is what every other byte fault does.
- What clients sent is echoed as they sent it; figures that mean nothing (a negative delay) act as zero.
- Units are Toxiproxy's: milliseconds, KB/s (1 byte per ms), and microseconds for the slicer's delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from chaosbot.core.errors import shown
from chaosbot.core.fault import Fault
from chaosbot.core.plan import Rule, Scope
from chaosbot.faults.bandwidth import Bandwidth
from chaosbot.faults.latency import Latency
from chaosbot.faults.limit_data import LimitData
from chaosbot.faults.reset_peer import ResetPeer
from chaosbot.faults.slicer import Slicer
from chaosbot.faults.slow_close import SlowClose
from chaosbot.faults.timeout import Timeout

ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "bandwidth": ("rate",),
    "latency": ("latency", "jitter"),
    "limit_data": ("bytes",),
    "noop": (),
    "reset_peer": ("timeout",),
    "slicer": ("average_size", "size_variation", "delay"),
    "slow_close": ("delay",),
    "timeout": ("timeout",),
}
"""The types with their attributes, all whole numbers with the default 0."""

# A line of rate 0 holds everything until it is lifted; the hold needs a number all the same.
_FOREVER_S: Final = 1e9
_INT64: Final = 1 << 63


class ApiError(Exception):
    """An answer of the API that is no success.

    Args:
        message: What is wrong, in the contract's words where it has some.
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        self.message = message
        self.status = status
        super().__init__(message)


def bad_body(what: str) -> ApiError:
    """The body is not what was expected."""
    return ApiError(f"bad request body: {what}", 400)


def expect_object(value: Any, what: str) -> dict[str, Any]:
    """A JSON object (null counts as an empty one, as it does for the original)."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_body(f"{what} is no object")
    return value


def field(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """A field of a JSON object; absent or null keeps the default.

    Raises:
        ApiError: It has another type.
    """
    value = body.get(name)
    if value is None:
        return default
    fits = type(value) in (int, float) and -1e308 < value < 1e308 if kind is float else type(value) is kind
    if not fits or (kind is str and not _is_text(value)):
        raise bad_body(f"cannot read {shown(value)} as {name}")
    return value


def _is_text(value: str) -> bool:
    """Whether it can be written down: half a surrogate pair cannot, and would break the journal later."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Toxic:
    """One toxic of a proxy.

    Args:
        name: Unique in its proxy, over both streams.
        type: One of `ATTRIBUTES`.
        stream: ``upstream`` or ``downstream``, in whatever case it was sent.
        toxicity: Share of connections that it acts on.
        attributes: All attributes of its type.
    """

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: tuple[tuple[str, int], ...]

    @classmethod
    def read(cls, value: Any) -> Toxic:
        """Reads the toxic that a client wants to add.

        Raises:
            ApiError: In the contract's words.
        """
        body = expect_object(value, "the toxic")
        kind = field(body, "type", str, "")
        stream = field(body, "stream", str, "downstream")
        name = field(body, "name", str, "")
        toxicity = field(body, "toxicity", float, 1)
        if stream.lower() not in ("upstream", "downstream"):
            raise ApiError("stream was invalid, can be either upstream or downstream", 400)
        if kind not in ATTRIBUTES:
            raise ApiError("invalid toxic type", 400)
        plain = cls(name or f"{kind}_{stream}", kind, stream, toxicity, tuple((key, 0) for key in ATTRIBUTES[kind]))
        return plain.merged({"attributes": body.get("attributes")})

    def merged(self, value: Any) -> Toxic:
        """The same toxic with the attributes and the toxicity that a client sent.

        Raises:
            ApiError: A value of the wrong type; the toxic stays as it was.
        """
        body = expect_object(value, "the toxic")
        sent = expect_object(body.get("attributes"), "attributes")
        figures = tuple((key, _whole(sent, key, old)) for key, old in self.attributes)
        return replace(self, attributes=figures, toxicity=field(body, "toxicity", float, self.toxicity))

    @property
    def upstream(self) -> bool:
        """Whether it acts on what the client sends."""
        return self.stream.lower() == "upstream"

    def as_json(self) -> dict[str, Any]:
        """What the API shows."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    def rule(self, proxy: str) -> Rule | None:
        """The rule that it stands for in the plan of its proxy; None when it does nothing."""
        fault = self._fault()
        if fault is None:
            return None
        rate = min(1.0, max(0.0, float(self.toxicity)))
        return Rule(f"{proxy}/{self.name}", fault, rate=rate, scope=Scope.CONNECTION)

    def _fault(self) -> Fault | None:
        way = "up" if self.upstream else "down"
        figures = {key: max(0, value) for key, value in self.attributes}
        match self.type:
            case "latency":
                return Latency(_ms(figures["latency"]), _ms(figures["jitter"]), stream=way)
            case "bandwidth" if figures["rate"] == 0:
                return Latency(_FOREVER_S, shape="constant", most=_FOREVER_S, stream=way)
            case "bandwidth":
                return Bandwidth(figures["rate"] * 1000, stream=way)
            case "slow_close":
                return SlowClose(_ms(figures["delay"]), stream=way)
            case "timeout":
                return Timeout(_ms(figures["timeout"]) if figures["timeout"] else None, stream=way)
            case "reset_peer":
                return ResetPeer("before" if self.upstream else "after", delay=_ms(figures["timeout"]))
            case "slicer":
                size, variation = max(1, figures["average_size"]), figures["size_variation"]
                return Slicer(size, variation, figures["delay"] / 1e6, stream=way)
            case "limit_data":
                return LimitData(figures["bytes"], stream=way)
            case _:
                return None


def _ms(value: int) -> float:
    return min(value / 1000, _FOREVER_S)


def _whole(sent: Mapping[str, Any], key: str, default: int) -> int:
    value = sent.get(key)
    if value is None:
        return default
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise bad_body(f"cannot read {shown(value)} as attribute {key}; attributes are whole numbers")
    return value
