"""Any webhook that takes JSON: described by a sample body, or by a JSON Schema or OpenAPI request body.

(The name keeps clear of the standard library's ``json``.) A secret, when the target has one, stands in a header of your choice. Text
members carry the marker, and members that look like a delivery's id get a new one for each delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import orjson

from chaosbot.core.case import Case, Expect
from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.marker import markers_in
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.registry import option
from chaosbot.core.shape import OneOf, Shape, problems, sample
from chaosbot.platforms._generic import bodies_of, delivery_id, inferred, marker_place, parsed, post, renew
from chaosbot.platforms._json_schema import read_schema

_EXAMPLE = {"id": "evt_1", "type": "chaosbot.ping", "text": "hello", "count": 1, "data": {"tags": ["a"], "ok": True}}


@dataclass(frozen=True)
class JsonWebhook(Platform):
    """A webhook that takes JSON."""

    extends: ClassVar[bool] = False

    sample: Any = option("json", "a valid body, as JSON", None)  # noqa: RUF009 - frozen field
    more: Any = option("json", "further valid bodies, as a JSON list; a recording given as sample has them", ())  # noqa: RUF009 - frozen field
    schema: Any = option("json", "JSON Schema of the body, or an OpenAPI document, as JSON", None)  # noqa: RUF009 - frozen field
    operation: str = option(
        "text", "which OpenAPI operation: operationId, or 'POST /path'; the first one otherwise", ""
    )
    header: str = option("text", "the header that carries the secret", "X-Webhook-Secret")
    kind: str = option("text", "the member that names the event", "type")

    def __post_init__(self) -> None:
        """Reads texts as JSON and the schema as a shape, so that mistakes show before anything starts."""
        for name in ("sample", "more", "schema"):
            object.__setattr__(self, name, parsed(name, getattr(self, name)))
        self.shape()

    @property
    def described(self) -> bool:
        """A schema says what is valid, where all of it is understood; a sample says that of itself only."""
        return self.schema is not None and self._read[1]

    @cached_property
    def _read(self) -> tuple[Shape, bool]:
        return read_schema(self.schema, self.operation)

    def expected(self, name: str) -> Expect:
        """What a correct target answers: it acknowledges the first sample, and what a schema surely allows; other bodies may be refused.

        A further sample that was made fresh is a guess as well: its texts may be names that the target knows.
        """
        promised = self.described or (name == "sample" and self.sample is not None)
        return Expect() if promised else Expect(frozenset({2, 4}))

    @property
    def secret_header(self) -> str:  # type: ignore[override]
        """The header that carries the secret."""
        return self.header

    @cached_property
    def _shape(self) -> Shape:
        if self.schema is not None:
            return self._read[0]
        bodies = self._bodies.values()
        return OneOf(tuple(map(inferred, bodies))) if self.more else inferred(self._body)

    @cached_property
    def _bodies(self) -> dict[str, Any]:
        return bodies_of(self._body, self.more, self.kind)

    @cached_property
    def _body(self) -> Any:
        if self.sample is not None:
            return self.sample
        return _EXAMPLE if self.schema is None else sample(self._shape, Dice(0).at("sample"), 1.0)

    def shape(self) -> Shape:
        """What bodies look like: the schema's, or inferred from the sample."""
        return self._shape

    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Delivery id, kind and marker of a body that is JSON."""
        del path, headers
        if method != "POST" or len(body) > 1 << 20:
            return None
        try:
            root = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        found = markers_in(body.decode("utf-8", "replace"))
        kind = root.get(self.kind) if isinstance(root, dict) else None
        return UpdateFacts(
            update_id=delivery_id(root),
            kind=kind if isinstance(kind, str) else None,
            marker=found[0] if found else None,
        )

    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """A POST with the secret in its header; bytes are sent as they are."""
        secret = ((self.header, endpoint.secret),) if endpoint.secret else ()
        return post(endpoint, update, secret)

    def golden(self, dice: Dice) -> dict[str, Any]:
        """The samples, and with a schema a body of required members only and one of all."""
        bodies = dict(self._bodies)
        if self.schema is not None:
            bodies["minimal"] = sample(self._shape, dice.at("minimal"), 0.0)
            bodies["full"] = sample(self._shape, dice.at("full"), 1.0)
        return {name: self.fresh(body, dice.at("golden", name)) for name, body in bodies.items()}

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same body with a delivery id and marker of its own, where the schema leaves room for them."""
        made = renew(update, dice)
        if self.schema is None or not any(problems(self._shape, made)):
            return made
        return update if not any(problems(self._shape, update)) else made

    def written(self, text: str, dice: Dice) -> Any:
        """The sample with this text in its first text member."""
        path = marker_place(self._body)
        return renew(self._body, dice, {path: text}) if path else None

    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """Nothing of its own: the neutral groups say it all."""
        del endpoint, dice
        return ()
