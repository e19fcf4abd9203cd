"""Language models as a bot's upstream: what a call asks for and what a model answers, in one form for all providers.

Rules:

- The provider and the API are told by the tail of the path, whatever prefix a base URL brings (``/v1``, ``/v1beta``, ``/anthropic/v1``).
- A call is read from bytes that a program sent, which may be anything: reading never fails, what is missing is empty.
- `wire` writes answers, streams and errors as each provider does. The mock and the faults of this name share all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from chaosbot.core.dice import Dice
from chaosbot.core.jsontext import read_json
from chaosbot.core.marker import markers_in


class Provider(StrEnum):
    """Whose API it is."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GEMINI = "gemini"


class Api(StrEnum):
    """What a call is for."""

    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    TRANSCRIPTIONS = "transcriptions"
    MODELS = "models"
    GENERATE = "generate"
    UNKNOWN = "unknown"

    @property
    def generates(self) -> bool:
        """Whether a model writes an answer."""
        return self in (Api.MESSAGES, Api.CHAT, Api.RESPONSES, Api.GENERATE)


# Method, end of the path, provider and API; the first that fits counts.
_TAILS: Final = (
    ("POST", re.compile(r"/messages/count_tokens$"), Provider.ANTHROPIC, Api.COUNT_TOKENS),
    ("POST", re.compile(r"/messages$"), Provider.ANTHROPIC, Api.MESSAGES),
    ("POST", re.compile(r"/chat/completions$"), Provider.OPENAI, Api.CHAT),
    ("POST", re.compile(r"/responses$"), Provider.OPENAI, Api.RESPONSES),
    ("POST", re.compile(r"/embeddings$"), Provider.OPENAI, Api.EMBEDDINGS),
    ("POST", re.compile(r"/audio/transcriptions$"), Provider.OPENAI, Api.TRANSCRIPTIONS),
    ("POST", re.compile(r"/models/[^/:]+:(?:stream)?[gG]enerateContent$"), Provider.GEMINI, Api.GENERATE),
    ("GET", re.compile(r"/models(?:/[^/:]+)?$"), None, Api.MODELS),
)
_GEMINI_MODEL: Final = re.compile(r"/models/([^/:]+):")
_CONVERSATION: Final = {Api.GENERATE: "contents", Api.RESPONSES: "input"}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a call offers to the model."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LlmCall:
    """One call of a provider's API.

    Args:
        provider: Whose API.
        api: Which of its APIs.
        method: The HTTP method.
        path: The path without the query.
        query: The query.
        headers: Names in lower case.
        body: The request's body.
    """

    provider: Provider
    api: Api
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            found = read_json(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def model(self) -> str:
        """The model that it names."""
        if self.provider is Provider.GEMINI:
            found = _GEMINI_MODEL.search(self.path)
            return found[1] if found else ""
        named = self.document.get("model")
        if named is None and self.api is Api.TRANSCRIPTIONS:
            return "whisper-1"
        return named if isinstance(named, str) else ""

    @property
    def streams(self) -> bool:
        """Whether the answer is to be a stream of events."""
        if self.api is Api.GENERATE:
            return "stream" in self.path.rpartition(":")[2]
        return self.api.generates and self.document.get("stream") is True

    @property
    def events(self) -> bool:
        """Whether that stream is to be server-sent events, which only Gemini leaves open."""
        return self.streams and (self.api is not Api.GENERATE or "alt=sse" in self.query)

    @property
    def key(self) -> str:
        """The key that it was sent with, whichever header holds it; empty without one."""
        bearer = self.headers.get("authorization", "")
        held = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or ""
        return held or (bearer[7:].strip() if bearer[:7].lower() == "bearer " else "")

    @property
    def attempt(self) -> int:
        """Which attempt of the SDK it is, from 1; later calls that the application makes count from 1 again."""
        told = self.headers.get("x-stainless-retry-count", "")
        return int(told) + 1 if told.isdecimal() and len(told) < 9 else 1

    @cached_property
    def digest(self) -> str:
        """The same for calls that ask for the same."""
        return blake2b(self.path.encode("utf-8", "replace") + b"\0" + self.body, digest_size=8).hexdigest()

    @cached_property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """The conversation: role and text of each turn, in order, without instructions."""
        turns = []
        for turn in self._given:
            role = turn.get("role", "tool" if "output" in turn else "user")
            content = turn.get("content", turn.get("parts"))
            if isinstance(content, list) and content and all(map(_is_result, content)):
                role = "tool"
            if role not in ("system", "developer"):
                said = texts_in(turn.get("content", turn.get("parts", turn.get("output"))))
                turns.append((str(role), "\n".join(said)))
        return tuple(turns)

    @cached_property
    def _given(self) -> list[dict[str, Any]]:
        """The turns and items of the conversation as they came."""
        given = self.document.get(_CONVERSATION.get(self.api, "messages"))
        if isinstance(given, str):
            return [{"role": "user", "content": given}]
        return [turn for turn in given if isinstance(turn, dict)] if isinstance(given, list) else []

    @property
    def user_text(self) -> str:
        """What the user said last."""
        return next((text for role, text in reversed(self.turns) if role == "user" and text), "")

    @property
    def system(self) -> str:
        """The instructions."""
        names = ("system", "instructions", "systemInstruction", "system_instruction")
        told = [text for name in names for text in texts_in(self.document.get(name))]
        for turn in self._given:
            if turn.get("role") in ("system", "developer"):
                told += texts_in(turn.get("content"))
        return "\n".join(told)

    @cached_property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that it offers."""
        found = []
        offered = self.document.get("tools")
        for entry in offered if isinstance(offered, list) else ():
            if not isinstance(entry, dict):
                continue
            nested = entry.get("functionDeclarations") or entry.get("function_declarations")
            for tool in nested if isinstance(nested, list) else (entry.get("function", entry),):
                if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                    schemas = (
                        tool.get(name)
                        for name in ("input_schema", "parameters", "parametersJsonSchema", "parameters_json_schema")
                    )
                    schema = next((each for each in schemas if isinstance(each, dict)), {})
                    found.append(Tool(tool["name"], str(tool.get("description") or ""), schema))
        return tuple(found)

    @property
    def forced_tool(self) -> str:
        """The tool that the answer must call: its name, ``*`` for any, empty for none."""
        choice = self.document.get("tool_choice")
        if isinstance(choice, str):
            return "*" if choice in ("required", "any") else ""
        if isinstance(choice, dict):
            if choice.get("type") in ("any", "required"):
                return "*"
            named = choice.get("name") or _object(choice.get("function")).get("name")
            return named if isinstance(named, str) else ""
        config = _object(_object(self.document.get("toolConfig")).get("functionCallingConfig"))
        return "*" if config.get("mode") == "ANY" else ""

    @property
    def after_tool(self) -> bool:
        """Whether its last turn brings the result of a tool."""
        last = self._given[-1] if self._given else {}
        content = last.get("content") or last.get("parts")
        parts = content if isinstance(content, list) else ()
        return last.get("role") in ("tool", "function") or _is_result(last) or any(map(_is_result, parts))

    @property
    def results(self) -> tuple[str, ...]:
        """What tools answered to the calls of the turn before; ``error: `` precedes what is said to be an error."""
        found: list[str] = []
        for turn in reversed(self._given):
            content = turn.get("content") or turn.get("parts")
            parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
            told: list[tuple[Any, Any]] = []
            if turn.get("role") in ("tool", "function") or turn.get("type") == "function_call_output":
                told = [(turn.get("content", turn.get("output")), False)]
            for part in parts:
                if part.get("type") == "tool_result":
                    told.append((part.get("content"), part.get("is_error") is True))
                elif "functionResponse" in part:
                    answered = _object(part["functionResponse"]).get("response")
                    told.append((json.dumps(answered), "error" in _object(answered)))
            if not told:
                break
            found += [("error: " if wrong else "") + "\n".join(texts_in(text)) for text, wrong in reversed(told)]
        return tuple(reversed(found))

    @property
    def answer_schema(self) -> Mapping[str, Any] | None:
        """The JSON Schema that the answer's text is to follow; empty for any JSON, None for prose."""
        asked = self.document
        told = _object(asked.get("response_format")) or _object(_object(asked.get("text")).get("format"))
        told = told or _object(_object(asked.get("output_config")).get("format"))
        if told.get("type") in ("json_schema", "json_object"):
            return _object(told.get("schema") or _object(told.get("json_schema")).get("schema"))
        if self._config.get("responseMimeType") == "application/json":
            return _object(self._config.get("responseSchema") or self._config.get("responseJsonSchema"))
        return None

    @property
    def _config(self) -> dict[str, Any]:
        return _object(self.document.get("generationConfig"))

    @property
    def thinks(self) -> bool:
        """Whether the answer is to show its reasoning."""
        told = _object(self.document.get("thinking")).get("type")
        return told in ("enabled", "adaptive") or bool(
            _object(self._config.get("thinkingConfig")).get("includeThoughts")
        )

    @property
    def wants_usage(self) -> bool:
        """Whether a stream of chat chunks is to end with its usage."""
        return _object(self.document.get("stream_options")).get("include_usage") is True

    @property
    def most_tokens(self) -> int | None:
        """The bound of the answer."""
        names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
        told = next(
            (self.document[name] for name in names if name in self.document), self._config.get("maxOutputTokens")
        )
        return told if isinstance(told, int) and not isinstance(told, bool) else None

    @cached_property
    def input_tokens(self) -> int:
        """An estimate of what the provider counts: four characters a token."""
        said = sum(len(text) for _, text in self.turns) + len(self.system) + sum(len(str(tool)) for tool in self.tools)
        return -(-said // 4) + 3 * len(self.turns)


def read_call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> LlmCall:
    """Reads a call; one that no provider knows has the API ``unknown``, and the provider that its headers speak of.

    Args:
        method: The HTTP method.
        target: Path and query.
        headers: Names in lower case.
        body: The whole body.
    """
    path, _, query = target.partition("?")
    path = path.rstrip("/")
    spoken = Provider.OPENAI
    if "anthropic-version" in headers or "x-api-key" in headers:
        spoken = Provider.ANTHROPIC
    elif "x-goog-api-key" in headers:
        spoken = Provider.GEMINI
    for wanted, tail, provider, api in _TAILS:
        if method == wanted and tail.search(path):
            return LlmCall(provider or spoken, api, method, path, query, headers, body)
    return LlmCall(spoken, Api.UNKNOWN, method, path, query, headers, body)


def _is_result(part: Any) -> bool:
    """Whether an item or a part of a turn brings the result of a tool."""
    kinds = ("tool_result", "function_call_output")
    return isinstance(part, dict) and (part.get("type") in kinds or "functionResponse" in part)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def texts_in(content: Any) -> list[str]:
    """The texts of a turn, in order: a string, blocks, parts, and what a tool answered."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, dict):
        inner = content.get("text", content.get("content", content.get("parts")))
        return texts_in(inner) if inner is not None else []
    if isinstance(content, list):
        return [text for part in content for text in texts_in(part)]
    return []


def tokens_of(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text) // 4)


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Stop(StrEnum):
    """Why a model stops."""

    END = "end"
    LENGTH = "length"
    TOOL = "tool"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Words:
    """Text of an answer; `thought` is reasoning that is shown."""

    text: str
    thought: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool; `arguments` is JSON, unless a fault wrote it."""

    name: str
    arguments: str

    @property
    def values(self) -> Any:
        """The arguments as a value; an empty object where they are no JSON, as an SDK makes of them."""
        try:
            return read_json(self.arguments)
        except ValueError:
            return {}


Block: TypeAlias = Words | ToolCall


@dataclass(frozen=True)
class Completion:
    """What a model answers.

    Args:
        id: A hexadecimal word that no other answer has.
        blocks: Texts and calls of tools, in order.
        stop: Why it ends.
    """

    id: str
    blocks: tuple[Block, ...]
    stop: Stop = Stop.END

    @property
    def text(self) -> str:
        """What is said, reasoning left out."""
        return "".join(block.text for block in self.blocks if isinstance(block, Words) and not block.thought)

    @cached_property
    def output_tokens(self) -> int:
        """An estimate of what the provider counts."""
        said = (block.text if isinstance(block, Words) else block.name + block.arguments for block in self.blocks)
        return sum(map(tokens_of, said))


def marked(text: str, id: str) -> str:
    """A text between the marks of an answer's start and end: letters and digits, which survive every platform's markup."""
    return f"cbas{id[:8]} {text} cbae{id[:8]}"


def pieces(text: str, size: int = 16) -> Iterator[str]:
    """A text in the pieces in which a model writes it, cut between words where there are any."""
    piece = ""
    for word in re.findall(r"\S{1,64}\s*|\s+", text):
        if piece and len(piece) + len(word) > size:
            yield piece
            piece = ""
        piece += word
    if piece:
        yield piece


SENTENCES: Final = (
    "The train leaves at noon and the tickets are at the counter",
    "Boil the water first and add the salt later",
    "Three of the five boxes have arrived and two are on their way",
    "A short walk in the morning helps more than a long one at night",
    "The report is ready and nothing in it is urgent",
    "Ask for the blue folder when you come to the desk",
)
"""What a model says when it does not matter what."""


def about(call: LlmCall, text: str) -> str:
    """A text about the first marker of what the user said, so that a reply with it can be joined to what it answers."""
    told = markers_in(call.user_text)[:1]
    return f"About {told[0]} {text}" if told else text


def call_of_tool(tool: Tool, dice: Dice) -> ToolCall:
    """A call of a tool with arguments that fit its schema."""
    return ToolCall(tool.name, json.dumps(sample_of(tool.schema or {"type": "object"}, dice), ensure_ascii=False))


def _number(value: Any) -> int | float | None:
    """A bound of a schema, if it is a number that can be reckoned with."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if plain and abs(value) < 1e15 else None


def sample_of(schema: Any, dice: Dice, root: Any = None, depth: int = 0) -> Any:
    """A value that fits a JSON Schema: of objects all members, of texts and numbers the plainest.

    Understood are the words that tools use: type, enum, const, default, properties, items, limits, anyOf, oneOf, allOf, local $ref.
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > 16:
        return None
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return dice.at("enum").choice(schema["enum"])
    if isinstance(schema.get("$ref"), str):
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target.get(step) if isinstance(target, Mapping) else None
        return sample_of(target, dice, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            return sample_of(schema[word][0], dice.at(word), root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = str(kind[0] if isinstance(kind, list) and kind else kind).lower()
    match kind:
        case "object":
            members = schema.get("properties")
            members = members if isinstance(members, Mapping) else {}
            return {name: sample_of(each, dice.at(name), root, depth + 1) for name, each in members.items()}
        case "array":
            least = schema.get("minItems")
            most = 100 if depth < 2 else 10 if depth < 5 else 2  # lists in lists multiply
            count = least if isinstance(least, int) and 0 < least < most else 1
            return [sample_of(schema.get("items"), dice.at(number), root, depth + 1) for number in range(count)]
        case "integer" | "number":
            low = _number(schema.get("minimum"))
            above = _number(schema.get("exclusiveMinimum"))
            low = low if low is not None else above + 1 if above is not None else 0
            told = _number(schema.get("maximum"))
            high = told if told is not None else low + 9
            return dice.integer(int(low), max(int(low), int(high))) if kind == "integer" else float(low)
        case "boolean":
            return dice.chance(0.5)
        case "null":
            return None
        case _:
            formats = {"date": "2026-01-01", "date-time": "2026-01-01T09:00:00Z", "email": "ada@example.com"}
            text = formats.get(str(schema.get("format")), f"word {dice.token(4)}")
            least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
            return text.ljust(least if isinstance(least, int) else 0, "x")[: most if isinstance(most, int) else None]
