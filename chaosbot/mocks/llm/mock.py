"""The mock of language models: answers as the provider on a good day, and records what was asked.

Rules:

- An answer is a function of the seed and of what was asked; the n-th time the same is asked, it differs by its ids and marks.
- A tool is called once: when its result has come, the answer is text.
- Keys are compared by a digest and never kept.
"""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.event import ModelCalled
from chaosbot.core.llm import (
    SENTENCES,
    Api,
    Block,
    Completion,
    LlmCall,
    Provider,
    Stop,
    ToolCall,
    Words,
    about,
    call_of_tool,
    marked,
    read_call,
    sample_of,
    tokens_of,
    wire,
)
from chaosbot.core.llm.openai import CREATED
from chaosbot.core.llm.reading import error_code, read_answer
from chaosbot.core.marker import markers_in
from chaosbot.core.mock import Headers, MockAnswer, MockApi, MockRequest, MockServices, Part
from chaosbot.mocks.llm import LlmApi
from chaosbot.mocks.llm.validation import Problem, problem_of

_MOST_NAME: Final = 80
_MOST_TEXT: Final = 512
_MOST_RESULT: Final = 200
_MOST_MARKERS: Final = 50
_KNOWN: Final = 1 << 16
_SHOWN_LIMIT: Final = 1_000_000
"""What the headers say where there is no limit."""
_MODELS: Final = {
    Provider.ANTHROPIC: ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"),
    Provider.OPENAI: ("gpt-5.2", "gpt-5-mini", "text-embedding-3-small", "whisper-1"),
    Provider.GEMINI: ("gemini-3-pro", "gemini-2.5-flash"),
}
_MARKDOWN: Final = "# Answer\n\n**Bold**, _soft_ and `code_with_underscores`:\n\n- one\n- two (2 > 1)\n\n```python\nprint('a < b')\n```\n[link](https://example.com/a_b)"
_HTML: Final = "<h1>Answer</h1><p>1 < 2 & <b>bold</b><br/><ul><li>one</li></ul></p>"


@dataclass(slots=True)
class _Bucket:
    """What a key may still use: filled steadily, at most a minute's worth."""

    per_minute: int
    left: float
    t: float

    def take(self, amount: int, now: float) -> float:
        """Takes an amount if it is there; otherwise how many seconds until it is."""
        self.left = min(self.per_minute, self.left + (now - self.t) * self.per_minute / 60)
        self.t = now
        wanted = min(amount, self.per_minute)
        if wanted <= self.left:
            self.left -= wanted
            return 0.0
        return (wanted - self.left) * 60 / self.per_minute


class LlmMock(MockApi):
    """The providers' APIs.

    Args:
        services: What runs it.
        options: What answers look like, and how fast they come.
    """

    def __init__(self, services: MockServices, options: LlmApi) -> None:
        self._services = services
        self._options = options
        self._asked: Counter[str] = Counter()
        self._buckets: dict[tuple[bytes, str], _Bucket] = {}

    def answer(self, request: MockRequest) -> MockAnswer:
        """Answers one request."""
        call = _read(request)
        if len(self._asked) > _KNOWN:
            self._asked.clear()
        self._asked[call.digest] += 1
        dice = self._services.dice.at(call.digest, self._asked[call.digest])
        key = dice.at("id").token(24)
        head = wire.request_id(call.provider, key)
        refused = self._refused(call, key)
        if refused is not None:
            answer, wait_s, problem = refused
            self._emit(call, request, status=answer.status, problem=problem, retry_after_s=wait_s)
            return MockAnswer(answer.status, (*answer.headers, *head), answer.parts)
        head += self._limits(call)
        if not call.api.generates:
            self._emit(call, request)
            made = _other(call, dice)
            kind = wire.JSON if isinstance(made, dict) else (("content-type", "text/plain; charset=utf-8"),)
            return MockAnswer.of(200, (*kind, *head), wire.packed(made) if isinstance(made, dict) else made.encode())
        completion = self._completion(call, dice, key)
        text = completion.text
        self._emit(
            call,
            request,
            answer=key[:8] if f"cbas{key[:8]}" in text else "",
            text=text[:_MOST_TEXT],
            stop=completion.stop,
            tools=tuple(block.name for block in completion.blocks if isinstance(block, ToolCall)),
            output_tokens=completion.output_tokens,
        )
        return self._paced(call, completion, head)

    def refusal(self, status: int, reason: str) -> MockAnswer:
        """An error of the edge before the provider."""
        del reason
        headers, page = wire.gateway_page(status)
        return MockAnswer.of(status, headers, page)

    def note(
        self,
        request: MockRequest,
        *,
        status: int | None,
        retry_after_s: float | None = None,
        body: bytes = b"",
    ) -> None:
        """Records a call that was answered by a fault or by the real API, or refused by the server."""
        call = _read(request)
        told: dict[str, Any] = {}
        if body and status is not None and status >= 400:
            told = {"error": error_code(body)}
        if body and status is not None and status < 300:
            served = read_answer(call, body)
            told = {
                "answer": served.mark,
                "text": served.text[:_MOST_TEXT],
                "stop": served.stop or "",
                "tools": tuple(served.tools),
                "output_tokens": tokens_of(served.text) if served.output_tokens is None else served.output_tokens,
            }
            if served.input_tokens is not None:
                told["input_tokens"] = served.input_tokens
        self._emit(call, request, status=status, retry_after_s=retry_after_s, **told)

    def confidential(self, request: MockRequest) -> tuple[tuple[str, str], ...]:
        """The key and the instructions."""
        call = _read(request)
        return (call.key, "key"), (call.system, "instructions")

    def _emit(self, call: LlmCall, request: MockRequest, **told: Any) -> None:
        wait = call.headers.get("x-stainless-read-timeout", "")
        told.setdefault("input_tokens", call.input_tokens)
        markers = markers_in(call.user_text)
        spoken = markers_in("\n".join(text for _, text in call.turns)) if len(call.turns) > 1 else ()
        self._services.emit(
            ModelCalled(
                self._services.now(),
                call.provider,
                call.api,
                call.model[:_MOST_NAME]
                or (f"{call.method} {call.path}"[:_MOST_NAME] if call.api is Api.UNKNOWN else ""),
                call.digest,
                stream=call.streams,
                attempt=call.attempt,
                markers=markers[:_MOST_MARKERS],
                earlier=tuple(one for one in spoken if one not in markers)[-_MOST_MARKERS:],
                turns=len(call.turns),
                results=tuple(each[:_MOST_RESULT] for each in call.results),
                read_timeout_s=float(wait) if wait.replace(".", "", 1).isdecimal() else None,
                exchange=request.exchange,
                **told,
            )
        )

    # ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _refused(self, call: LlmCall, id: str) -> tuple[MockAnswer, float | None, str] | None:
        """What the provider refuses: the answer, how long it says to wait, and why."""

        def error(status: int, problem: Problem, *, code: str | None = None, extra: Headers = ()) -> MockAnswer:
            told = wire.error_document(call.provider, status, problem.message, id=id, code=code, param=problem.param)
            return MockAnswer.of(status, (*wire.JSON, *extra), wire.packed(told))

        if call.api is Api.UNKNOWN:
            said = "Not Found" if call.provider is Provider.ANTHROPIC else f"Invalid URL ({call.method} {call.path})"
            return (
                error(404, Problem(said), code="unknown_url"),
                None,
                f"no such endpoint: {call.method} {call.path}"[:200],
            )
        if not call.key:
            said = {
                Provider.ANTHROPIC: "x-api-key header is required",
                Provider.OPENAI: "You didn't provide an API key.",
                Provider.GEMINI: "Method doesn't allow unregistered callers.",
            }[call.provider]
            status = 403 if call.provider is Provider.GEMINI else 401
            return error(status, Problem(said)), None, "no key"
        problem = problem_of(call)
        if problem is not None:
            return error(400, problem), None, problem.message[:200]
        wait_s = self._short_of(call)
        if wait_s:
            seconds = int(-(-wait_s // 1))
            said = f"This request would exceed your rate limit; try again in {seconds} s."
            extra = () if call.provider is Provider.GEMINI else (("retry-after", str(seconds)),)
            return error(429, Problem(said), code="rate_limit_exceeded", extra=extra), float(seconds), "rate limit"
        return None

    def _short_of(self, call: LlmCall) -> float:
        """How long the key must wait until its buckets hold what the call needs."""
        if not (self._options.requests or self._options.tokens):
            return 0.0
        needs = {"requests": (1, self._options.requests), "tokens": (call.input_tokens, self._options.tokens)}
        now = self._services.now()
        return max(
            (self._bucket(call, name, most).take(amount, now) for name, (amount, most) in needs.items() if most),
            default=0.0,
        )

    def _bucket(self, call: LlmCall, name: str, most: int) -> _Bucket:
        key = blake2b(call.key.encode("utf-8", "replace"), digest_size=16).digest()
        if (key, name) not in self._buckets:
            self._buckets[key, name] = _Bucket(most, most, self._services.now())
        return self._buckets[key, name]

    def _limits(self, call: LlmCall) -> Headers:
        """The headers that say what is left."""
        mosts = (("requests", self._options.requests), ("tokens", self._options.tokens))
        limits = [
            (name, most, int(self._bucket(call, name, most).left)) if most else (name, _SHOWN_LIMIT, _SHOWN_LIMIT - 1)
            for name, most in mosts
        ]
        return _limit_headers(call.provider, *limits)

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _completion(self, call: LlmCall, dice: Dice, id: str) -> Completion:
        thought = (Words("The user wants a short answer.", thought=True),) if call.thinks else ()
        offered = {tool.name: tool for tool in call.tools}
        if offered and not call.after_tool and (call.forced_tool or self._options.shape == "tool"):
            tool = offered.get(call.forced_tool, call.tools[0])
            return Completion(id, (*thought, call_of_tool(tool, dice.at("tool"))), Stop.TOOL)
        blocks: tuple[Block, ...] = (*thought, Words(text)) if (text := self._text(call, dice, id)) else thought
        most = call.most_tokens
        if most is not None and most > 0 and len(text) > 4 * most:
            return Completion(id, (*thought, Words(text[: 4 * most])), Stop.LENGTH)
        return Completion(id, blocks)

    def _text(self, call: LlmCall, dice: Dice, id: str) -> str:
        """The answer's text: about the user's marker, so that a reply with it can be joined to what it answers."""
        if call.answer_schema is not None:
            schema = call.answer_schema or {"type": "object", "properties": {"answer": {"const": f"cbas{id[:8]}"}}}
            return json.dumps(sample_of(schema, dice.at("json")), ensure_ascii=False)
        match self._options.shape:
            case "empty":
                return ""
            case "markdown":
                return marked(about(call, _MARKDOWN), id)
            case "html":
                return marked(about(call, _HTML), id)
            case "long" | "over4096":
                sentences = dice.at("sentences").shuffled(SENTENCES)
                least = 1500 if self._options.shape == "long" else 4200
                parts: list[str] = []
                while sum(map(len, parts)) < least:
                    parts.append(f"Part {len(parts) + 1}. {sentences[len(parts) % len(sentences)]}.\n")
                return marked(about(call, "".join(parts).rstrip()), id)
            case _:
                return marked(about(call, dice.at("sentence").choice(SENTENCES)), id)

    def _paced(self, call: LlmCall, completion: Completion, head: Headers) -> MockAnswer:
        """The answer, at the model's pace."""
        first_s, pace = self._options.first_token, self._options.pace
        if not call.streams:
            hold_s = first_s + (completion.output_tokens / pace if pace else 0.0)
            return MockAnswer.of(200, (*wire.JSON, *head), wire.document(call, completion), hold_s=hold_s)
        if pace:
            parts = tuple(Part(event.data, event.tokens / pace) for event in wire.stream(call, completion))
        else:
            first, *rest = (event.data for event in wire.stream(call, completion))
            parts = (Part(first), Part(b"".join(rest)))  # a stream of two parts is one still, and many parts cost time
        return MockAnswer(200, (*(wire.EVENTS if call.events else wire.JSON), *head), parts, first_s)


@lru_cache(maxsize=256)
def _limit_headers(provider: Provider, *limits: tuple[str, int, int]) -> Headers:
    """What a provider says of limits: each with its name, how much there is in a minute, and how much of it is left."""
    found: list[tuple[str, str]] = []
    for name, most, left in limits:
        told = (("limit", str(most)), ("remaining", str(left)))
        match provider:
            case Provider.ANTHROPIC:
                for kind in ("tokens", "input-tokens", "output-tokens") if name == "tokens" else (name,):
                    shown = (*told, ("reset", "2026-12-01T00:00:00Z"))
                    found += [(f"anthropic-ratelimit-{kind}-{what}", value) for what, value in shown]
            case Provider.OPENAI:
                found += [(f"x-ratelimit-{what}-{name}", value) for what, value in (*told, ("reset", "60ms"))]
            case Provider.GEMINI:
                pass
    return tuple(found)


def _read(request: MockRequest) -> LlmCall:
    headers = {name.lower(): value for name, value in request.headers}
    return read_call(request.method, request.path, headers, request.body)


def _other(call: LlmCall, dice: Dice) -> dict[str, Any] | str:
    """What is answered to calls for which no model writes; a text where one was asked for."""
    match call.api:
        case Api.COUNT_TOKENS:
            return {"input_tokens": call.input_tokens}
        case Api.EMBEDDINGS:
            return _embeddings(call, dice)
        case Api.TRANSCRIPTIONS:
            said = SENTENCES[0]
            if b'name="response_format"\r\n\r\ntext' in call.body:
                return said + "\n"
            return {"text": said, "usage": {"type": "duration", "seconds": 2}}
        case _:
            return _models(call)


def _embeddings(call: LlmCall, dice: Dice) -> dict[str, Any]:
    given = call.document["input"]
    several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    size = call.document.get("dimensions", 1536)
    size = size if isinstance(size, int) and 0 < size <= 4096 else 1536
    data = []
    for index in range(len(given) if several else 1):
        text = str(given[index] if several else given)
        # The same text has the same vector: programs compare them.
        raw = Dice(dice.seed).at("embedding", text).data(2 * size)
        vector = [(value - 32768) / 32768 for value in struct.unpack(f"<{size}H", raw)]
        norm = sum(value * value for value in vector) ** 0.5 or 1.0
        vector = [value / norm for value in vector]
        encoded: Any = vector
        if call.document.get("encoding_format") == "base64":
            encoded = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": encoded})
    spent = max(1, len(str(given)) // 4)
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    return {"object": "list", "data": data, "model": call.model, "usage": usage}


def _models(call: LlmCall) -> dict[str, Any]:
    names = _MODELS[call.provider]
    asked = call.path.rpartition("/models")[2].strip("/")
    match call.provider:
        case Provider.ANTHROPIC:
            found = [
                {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
                for name in names
            ]
            if asked:
                return found[0] | {"id": asked, "display_name": asked}
            return {"data": found, "has_more": False, "first_id": names[0], "last_id": names[-1]}
        case Provider.OPENAI:
            listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "openai"} for name in names]
            return listed[0] | {"id": asked} if asked else {"object": "list", "data": listed}
        case Provider.GEMINI:
            actions = ["generateContent", "streamGenerateContent"]
            known = [
                {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": actions} for name in names
            ]
            return known[0] | {"name": f"models/{asked}"} if asked else {"models": known}
