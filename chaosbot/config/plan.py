"""Fault plans as people write them: TOML or YAML files and ``--fault`` options, read into a `FaultPlan`.

Rules:

- A plan file holds a list of ``rules``; each names a fault (``fault = "latency:250ms±50ms"``), its options, for whom and when.
  ``--fault 'NAME[:VALUE];key=value;…'`` says the same on one line; what is no targeting key is an option of the fault.
- Every value is checked here; an error says file, key, the rule that is broken, and the remedy. Unknown keys are refused, with
  the nearest name.
- ``every`` is a count (``every = 3``: each third match) or a period (``every = "60s"``: the window opens again and again);
  ``period`` says the second where both are wanted.
- A byte fault that asks for nothing but a direction is decided once a connection, as a network would; with any other condition,
  once an exchange. ``scope`` says otherwise.
- `plan_to_mapping` writes what `plan_from` reads: a plan survives the way there and back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from chaosbot.config import renamed
from chaosbot.config.document import read_document
from chaosbot.config.table import (
    CONDITIONS,
    DURATION,
    OPTIONS,
    SHARE,
    WORD,
    Key,
    Kind,
    Table,
    at,
    checked_table,
    choice,
    count,
    either,
    schema_of_options,
    text_that,
)
from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName, shown
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.fault import FAULTS, Fault
from chaosbot.core.plan import FaultPlan, Matcher, Rule, Scope, Window
from chaosbot.core.registry import options_of

MATCH_TEXTS: Final = ("upstream", "method", "path", "kind", "command", "tier", "user")
COUNTS: Final = ("first", "nth", "cap")
LINE_PREFIXES: Final = ("header.", "body.")


def _fault_schema() -> dict[str, Any]:
    names = "|".join(sorted({spelled for name in FAULTS for spelled in (name, name.replace("_", "-"))}))
    return {"type": "string", "pattern": f"^\\s*({names})\\s*(:.*)?$", "examples": list(FAULTS.names())}


def _spelled_fault(value: object, where: str) -> str:
    if value is None or value == "":
        raise ConfigError(where.rpartition(".fault")[0], "names no fault; write for example latency:250ms")
    if not isinstance(value, str):
        raise ConfigError(where, f'{shown(value)} is no fault; write for example "latency:250ms"')
    return value


RULE: Final = Table(
    "One rule: what happens, to whom and when.",
    {
        "name": Key(WORD, "Names the rule in reports; by default the fault's name."),
        "fault": Key(
            Kind(_spelled_fault, _fault_schema),
            "The fault, with its first option after a colon: latency:250ms±50ms. `chaosbot faults` lists all.",
            required=True,
        ),
        "options": Key(OPTIONS, "Options of the fault by name; `chaosbot faults NAME` explains them.", {}),
        "direction": Key(choice("direction", Direction), "Only traffic to the target (inbound) or from it (outbound)."),
        "upstream": Key(WORD, "Only traffic to the API of this name, such as telegram; a glob."),
        "method": Key(WORD, "Only requests of this HTTP method."),
        "path": Key(WORD, "Only requests whose path fits this glob."),
        "headers": Key(CONDITIONS, "Only requests whose headers fit these globs.", ()),
        "body": Key(CONDITIONS, "Only requests whose JSON body has these values, by dotted path.", ()),
        "kind": Key(WORD, "Only updates of this kind, such as message or callback_query."),
        "command": Key(WORD, "Only updates with this command, without its slash."),
        "tier": Key(WORD, "Only updates of users of this tier."),
        "user": Key(WORD, "Only updates of this user."),
        "p": Key(SHARE, "With which probability it happens: 0.3 or 30%."),
        "rate": Key(SHARE, "The long name of p."),
        "scope": Key(choice("scope", Scope), "Decided once a connection, an exchange or an update."),
        "first": Key(count(), "Only the first so many matches."),
        "nth": Key(count(), "Only this match."),
        "every": Key(
            either(count(), DURATION, lambda value: isinstance(value, int) or str(value).strip().isdecimal()),
            "Each so-and-so-many-th match (3), or the period of the window (60s).",
        ),
        "period": Key(DURATION, "The period of the window, where every counts matches."),
        "per": Key(
            text_that(str, enum=["", "chat", "user", "update"]),
            "Count first, nth, every and cap for each of these.",
            "",
        ),
        "cap": Key(count(), "At most so often."),
        "start": Key(DURATION, "When its window opens, from the start of the load.", 0.0),
        "for": Key(DURATION, "How long its window stays open."),
        "phase": Key(
            text_that(str, examples=["fault", "recovery", "stage:1"]),
            "The phase in which it acts (experiments only).",
            "",
        ),
    },
)
RULE_KEYS: Final = frozenset(RULE.keys)
TARGETING: Final = RULE_KEYS - {"fault", "options", "headers", "body", "rate"}
"""Keys that ``--fault`` knows beside the options of its fault."""


def rule_schema() -> dict[str, Any]:
    """The JSON Schema of a rule, in which each fault knows its own options."""
    schema = RULE.schema()
    schema["allOf"] = [
        {
            "if": {"properties": {"fault": {"pattern": f"^\\s*({name}|{name.replace('_', '-')})\\s*(:|$)"}}},
            "then": {"properties": {"options": schema_of_options(FAULTS.get(name))}},
        }
        for name in FAULTS.names()
    ]
    return schema


def read_plan(path: Path) -> FaultPlan:
    """Reads a plan file; ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        UsageError: The file cannot be read, is no such file, or holds something that is no plan.
    """
    return plan_from(read_document(path), str(path))


def plan_from(mapping: Mapping[str, Any], where: str) -> FaultPlan:
    """Builds a plan from a table with ``rules``.

    Args:
        mapping: The table.
        where: What errors begin with: the file, or the key that holds the table.

    Raises:
        ConfigError: Naming `where`, the key, what is wrong and what to do.
    """
    for key in checked_table(mapping, where):
        if key != "rules":
            raise UnknownName.of("key", key, ("rules",), where)
    return _plan(rules_from(mapping.get("rules", []), f"{where}: rules"), where)


def rules_from(listed: object, where: str) -> list[Rule]:
    """The rules of a list of tables; each error begins with `where`.

    Raises:
        ConfigError: Naming the rule's number and key.
    """
    if not isinstance(listed, list):
        raise ConfigError(where, "is no list; write one [[rules]] table for each rule")
    rules: list[Rule] = []
    for number, item in enumerate(listed):
        place = f"{where}[{number}]"
        if not isinstance(item, Mapping):
            raise ConfigError(place, 'is no table; a rule has at least fault = "…"')
        rule = renamed.with_new_keys(checked_table(item, place), renamed.RULE_KEYS, place)
        rules.append(_rule_from(rule, place, _unused_name(rules, rule)))
    return rules


PLAN: Final = Table(
    "A fault plan for `chaosbot proxy --plan` and `chaosbot run --plan`.",
    {
        "rules": Key(
            Kind(rules_from, lambda: {"type": "array", "items": rule_schema()}), "The rules; all that match act.", []
        )
    },
)


def plan_of(rules: list[Rule], where: str = "--fault") -> FaultPlan:
    """A plan of rules that came from several places (`parse_fault`); equal names that nobody chose are told apart by number."""
    named: list[Rule] = []
    for rule in rules:
        taken = {other.name for other in named}
        name, number = rule.name, 2
        while rule.name == rule.fault.name and name in taken:
            name, number = f"{rule.name}-{number}", number + 1
        named.append(replace(rule, name=name))
    return _plan(named, where)


def _plan(rules: list[Rule], where: str) -> FaultPlan:
    try:
        return FaultPlan(tuple(rules))
    except ValueError as error:
        raise ConfigError(where, str(error)) from None


def _unused_name(rules: list[Rule], item: Mapping[str, Any]) -> str:
    named = item.get("fault")
    fault = named.partition(":")[0].strip().replace("-", "_") if isinstance(named, str) else ""
    taken = {rule.name for rule in rules}
    name, number = fault, 2
    while name in taken:
        name, number = f"{fault}-{number}", number + 1
    return name


def parse_fault(text: str) -> Rule:
    """Reads one ``--fault`` option: ``NAME[:VALUE[±SPREAD]][;key=value]…``.

    Targeting keys are ``p``, ``direction``, ``method``, ``path``, ``kind``, ``command``, ``tier``, ``user``, ``header.NAME``,
    ``body.PATH``, ``first``, ``nth``, ``every``, ``per``, ``cap``, ``scope``, ``start``, ``for``, ``phase`` and ``name``;
    everything else is an option of the fault.

    Raises:
        ConfigError: Naming the option and what is wrong with it.
    """
    try:
        return _rule_from_line(text, f"--fault '{text}'")
    except ConfigError as error:
        raise type(error)(": ".join(filter(None, [f"--fault '{text}'", error.where.strip(": ")])), error.what) from None


def _rule_from_line(text: str, where: str) -> Rule:
    head, *parts = text.split(";")
    item: dict[str, Any] = {"fault": head.strip(), "options": {}, "headers": {}, "body": {}}
    for part in parts:
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals:
            raise ConfigError("", f"'{part.strip()}' has no value; write key=value, parts apart by ';'")
        if key in renamed.RULE_KEYS:
            renamed.warn_renamed(where, key, renamed.RULE_KEYS[key])
            key = renamed.RULE_KEYS[key]
        if renamed.is_old_stream(key, value):
            renamed.warn_renamed(where, f"{key}={value}", f"stream={value}")
            key = "stream"
        if key in TARGETING:
            table, name = item, key
        elif key.startswith(LINE_PREFIXES):
            table, name = item["headers" if key.startswith("header.") else "body"], key.partition(".")[2]
        else:
            table, name = item["options"], key.replace("-", "_")
        if name in table:
            raise ConfigError("", f"'{key}' is given twice; keep one")
        table[name] = value
    name = item["fault"].partition(":")[0].strip().replace("-", "_")
    known = _options_of(name)
    for key in item["options"].keys() - known if name in FAULTS else ():
        raise UnknownName.of("key", key, known | TARGETING | {"header.NAME", "body.PATH"})
    return _rule_from(item, "", name)


def _options_of(fault: str) -> set[str]:
    """The names of a fault's options; none for a fault that is not there."""
    return {field.name for field in options_of(FAULTS.get(fault))} if fault in FAULTS else set()


def _rule_from(item: Mapping[str, Any], where: str, default_name: str) -> Rule:
    item = {key.replace("-", "_"): value for key, value in item.items()}
    named = item.get("fault")
    fault_name = named.partition(":")[0].strip() if isinstance(named, str) else ""
    for key in item:
        if key not in RULE_KEYS:
            if key in _options_of(fault_name):
                raise ConfigError(where, f"'{key}' is an option of {fault_name}; write options = {{{key} = …}}")
            raise UnknownName.of("key", key, RULE_KEYS, where)
    if "p" in item and "rate" in item:
        raise ConfigError(at(where, "rate"), "is the long name of p; keep one of the two")
    _spelled_fault(named, at(where, "fault") if where else "fault")
    values = RULE.read(item, where)
    fault = _fault_from(values, where)
    match = Matcher(**{key: values[key] for key in ("direction", "headers", "body", *MATCH_TEXTS)})
    period, every = _every(values, where)
    window = _built(where, lambda: Window(values["start"], values["for"], period, values["phase"]))
    counts = {key: values[key] for key in COUNTS}
    scope = values["scope"]
    if scope is None:
        counted = every is not None or any(value is not None for value in (counts["first"], counts["nth"]))
        alone = fault.depth is Depth.BYTES and not match.needs_exchange and not counted
        scope = Scope.CONNECTION if alone else Scope.EXCHANGE
    rate = next((values[key] for key in ("p", "rate") if values[key] is not None), 1.0)
    return _built(
        where,
        lambda: Rule(
            name=values["name"] or default_name,
            fault=fault,
            match=match,
            window=window,
            rate=rate,
            scope=scope,
            every=every,
            per=values["per"],
            **counts,
        ),
    )


def _fault_from(values: Mapping[str, Any], where: str) -> Fault:
    name, colon, value = values["fault"].partition(":")
    name = name.strip()
    options = values["options"]
    try:
        entry = FAULTS.get(name)
    except ConfigError as error:
        raise type(error)(at(where, "fault"), error.what) from None
    if renamed.is_old_stream("direction", options.get("direction")) and "stream" in _options_of(name):
        options = renamed.with_new_keys(options, {"direction": "stream"}, at(where, "options"))
    if colon:
        primaries = [field.name for field in options_of(entry) if field.metadata["primary"]]
        centre, around = units.spread(value)
        given = [centre] if around is None else [centre, around]
        if len(given) > len(primaries):
            takes = " ± ".join(primaries) or "no value after its name"
            raise ConfigError(at(where, "fault"), f"{shown(value)} is more than {entry.__name__} takes ({takes})")
        for option, written in zip(primaries, given, strict=False):
            if option in options:
                raise ConfigError(at(where, option), "is given twice: after the fault's name and by its own; keep one")
            options = {**options, option: written}
    try:
        return FAULTS.build(name, options)
    except ConfigError as error:
        raise error.inside(where) from None


def _every(values: Mapping[str, Any], where: str) -> tuple[float | None, int | None]:
    """The period of the window or the count of matches, whichever ``every`` says."""
    period, every = values["period"], values["every"]
    if not isinstance(every, float):
        return period, every
    if period is not None:
        raise ConfigError(at(where, "every"), "is a duration and so is period; keep one of the two")
    return every, None


B = TypeVar("B")


def _built(where: str, build: Callable[[], B]) -> B:
    try:
        return build()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(where, str(error)) from None


# ── back to what people write ────────────────────────────────────────────────────────────────────────────────────────


def _plain_number(value: float) -> str:
    """All digits of a float and no exponent, which units do not know."""
    return format(Decimal(repr(value)), "f")


def _written(kind: str, value: Any) -> Any:
    match kind:
        case "duration":
            return f"{_plain_number(value)}s"
        case "frequency":
            return f"{_plain_number(value)}/s"
        case "share":
            return _plain_number(value)
        case _:
            return value


def rule_to_mapping(rule: Rule) -> dict[str, Any]:
    """One rule as `plan_from` reads it, defaults left out."""
    match, window = rule.match, rule.window
    options = {
        field.name: _written(field.metadata["kind"], getattr(rule.fault, field.name))
        for field in options_of(type(rule.fault))
        if getattr(rule.fault, field.name) != field.default
    }
    durations = {"start": window.start_s or None, "for": window.length_s, "period": window.every_s}
    return {
        key: value
        for key, value in {
            "name": rule.name,
            "fault": rule.fault.name,
            "options": options,
            "p": None if rule.rate == 1 else _plain_number(rule.rate),
            "scope": str(rule.scope),
            "direction": None if match.direction is None else str(match.direction),
            **{key: getattr(match, key) for key in MATCH_TEXTS},
            "headers": dict(match.headers),
            "body": dict(match.body),
            **{key: None if value is None else _written("duration", value) for key, value in durations.items()},
            "every": rule.every,
            "phase": window.phase,
            **{key: getattr(rule, key) for key in COUNTS},
            "per": rule.per,
        }.items()
        if value not in (None, "", {})
    }


def plan_to_mapping(plan: FaultPlan) -> dict[str, Any]:
    """A plan as `plan_from` reads it and as JSON, TOML or YAML can hold it."""
    return {"rules": [rule_to_mapping(rule) for rule in plan.rules]}
