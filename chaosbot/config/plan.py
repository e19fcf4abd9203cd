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

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from chaosbot.config import renamed
from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName, UsageError
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.fault import FAULTS, Fault
from chaosbot.core.plan import FaultPlan, Matcher, Rule, Scope, Window
from chaosbot.core.registry import options_of

K = TypeVar("K", bound=StrEnum)

MATCH_TEXTS: Final = ("method", "path", "kind", "command", "tier", "user")
COUNTS: Final = ("first", "nth", "cap")
TARGETING: Final = frozenset(
    {"name", "direction", *MATCH_TEXTS, *COUNTS, "p", "every", "period", "per", "scope", "start", "for", "phase"}
)
RULE_KEYS: Final = TARGETING | {"fault", "options", "headers", "body", "rate"}
LINE_PREFIXES: Final = ("header.", "body.")


def read_plan(path: Path) -> FaultPlan:
    """Reads a plan file; ``.toml`` as TOML, ``.yaml``, ``.yml`` and ``.json`` as YAML.

    Raises:
        UsageError: The file cannot be read, is no TOML or YAML, or holds something that is no plan.
    """
    return plan_from(read_document(path), str(path))


def read_document(path: Path) -> Mapping[str, Any]:
    """Reads a TOML or YAML file as the table that it must be."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file that exists") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is no UTF-8 text; save it as UTF-8") from None
    try:
        if path.suffix == ".toml":
            document: Any = tomllib.loads(text)
        elif path.suffix in (".yaml", ".yml", ".json"):
            document = YAML(typ="safe", pure=True).load(text)
        else:
            raise ConfigError(str(path), f"'{path.suffix}' is no known kind of file; name it .toml, .yaml or .json")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is no TOML: {error}") from None
    except YAMLError as error:
        raise ConfigError(str(path), f"is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(str(path), 'holds no table; a plan has a list of "rules"')
    return document


def plan_from(mapping: Mapping[str, Any], where: str) -> FaultPlan:
    """Builds a plan from a table with ``rules``.

    Args:
        mapping: The table.
        where: What errors begin with: the file, or the key that holds the table.

    Raises:
        ConfigError: Naming `where`, the key, what is wrong and what to do.
    """
    for key in mapping:
        if key != "rules":
            raise UnknownName.of("key", str(key), ("rules",), where)
    listed = mapping.get("rules", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{where}: rules", "is no list; write one [[rules]] table for each rule")
    rules: list[Rule] = []
    for number, item in enumerate(listed):
        place = f"{where}: rules[{number}]"
        if not isinstance(item, Mapping):
            raise ConfigError(place, 'is no table; a rule has at least fault = "…"')
        rule = renamed.with_new_keys(item, renamed.RULE_KEYS, place)
        rules.append(_rule_from(rule, place, _unused_name(rules, rule)))
    return _plan(rules, where)


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
    fault = str(item.get("fault", "")).partition(":")[0].replace("-", "_")
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
        raise error.inside(f"--fault '{text}'") from None


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


def _at(where: str, key: str) -> str:
    """A key's place; on one line of ``--fault`` the key alone says it."""
    return f"{where}.{key}" if where else key


def _rule_from(item: Mapping[str, Any], where: str, default_name: str) -> Rule:
    named = str(item.get("fault", "")).partition(":")[0].strip()
    for key in item.keys() - RULE_KEYS:
        if key in _options_of(named):
            raise ConfigError(where, f"'{key}' is an option of {named}; write options = {{{key} = …}}")
        raise UnknownName.of("key", str(key), RULE_KEYS, where)
    fault = _fault_from(item, where)
    match = Matcher(
        direction=_choice(item, "direction", Direction, where),
        headers=_pairs(item, "headers", where),
        body=_pairs(item, "body", where),
        **{key: None if item.get(key) is None else _text(item[key], _at(where, key)) for key in MATCH_TEXTS},
    )
    period, every = _every(item, where)
    window = _built(
        where,
        lambda: Window(
            start_s=_read(item, "start", units.duration, where, 0.0),
            length_s=_read(item, "for", units.duration, where, None),
            every_s=period,
            phase=str(item.get("phase", "")),
        ),
    )
    if "p" in item and "rate" in item:
        raise ConfigError(_at(where, "rate"), "is the long name of p; keep one of the two")
    counts = {key: _read(item, key, _count, where, None) for key in COUNTS}
    scope = _choice(item, "scope", Scope, where)
    if scope is None:
        counted = every is not None or any(value is not None for value in (counts["first"], counts["nth"]))
        alone = fault.depth is Depth.BYTES and not match.needs_exchange and not counted
        scope = Scope.CONNECTION if alone else Scope.EXCHANGE
    return _built(
        where,
        lambda: Rule(
            name=_text(item.get("name", default_name), _at(where, "name")),
            fault=fault,
            match=match,
            window=window,
            rate=_read(item, "rate" if "rate" in item else "p", units.share, where, 1.0),
            scope=scope,
            every=every,
            per=str(item.get("per", "")),
            **counts,
        ),
    )


def _fault_from(item: Mapping[str, Any], where: str) -> Fault:
    spelled = item.get("fault")
    if spelled is None or spelled == "":
        raise ConfigError(where, "names no fault; write for example latency:250ms")
    if not isinstance(spelled, str):
        raise ConfigError(_at(where, "fault"), f'{spelled!r} is no fault; write for example "latency:250ms"')
    name, colon, value = spelled.partition(":")
    options = item.get("options", {})
    if not isinstance(options, Mapping):
        raise ConfigError(_at(where, "options"), "is no table; write options = {delay = …}")
    options = dict(options)
    try:
        entry = FAULTS.get(name.strip())
    except ConfigError as error:
        raise type(error)(_at(where, "fault"), error.what) from None
    if renamed.is_old_stream("direction", options.get("direction")) and "stream" in _options_of(name.strip()):
        options = renamed.with_new_keys(options, {"direction": "stream"}, _at(where, "options"))
    if colon:
        primaries = [field.name for field in options_of(entry) if field.metadata["primary"]]
        centre, around = units.spread(value)
        given = [centre] if around is None else [centre, around]
        if len(given) > len(primaries):
            takes = " ± ".join(primaries) or "no value after its name"
            raise ConfigError(_at(where, "fault"), f"'{value}' is more than {entry.__name__} takes ({takes})")
        for option, written in zip(primaries, given, strict=False):
            if option in options:
                raise ConfigError(_at(where, option), "is given twice: after the fault's name and by its own; keep one")
            options[option] = written
    try:
        return FAULTS.build(name.strip(), options)
    except ConfigError as error:
        raise error.inside(where) from None


def _every(item: Mapping[str, Any], where: str) -> tuple[float | None, int | None]:
    """The period of the window or the count of matches, whichever ``every`` says."""
    period: float | None = _read(item, "period", units.duration, where, None)
    value = item.get("every")
    if value is None:
        return period, None
    if (isinstance(value, int) and not isinstance(value, bool)) or str(value).strip().isdecimal():
        return period, _read(item, "every", _count, where, None)
    if period is not None:
        raise ConfigError(_at(where, "every"), "is a duration and so is period; keep one of the two")
    return _read(item, "every", units.duration, where, None), None


def _count(value: object) -> int:
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise ConfigError("", f"{value!r} is not a count; write a whole number of at least 1")
    return int(str(value))


def _read(item: Mapping[str, Any], key: str, read: Callable[[object], Any], where: str, default: Any) -> Any:
    if key not in item:
        return default
    try:
        return read(item[key])
    except ConfigError as error:
        raise error.inside(_at(where, key)) from None


def _choice(item: Mapping[str, Any], key: str, kind: type[K], where: str) -> K | None:
    if item.get(key) is None:
        return None
    try:
        return kind(item[key])
    except ValueError:
        raise UnknownName.of(key, str(item[key]), [str(word) for word in kind], _at(where, key)) from None


def _text(value: Any, where: str) -> str:
    if isinstance(value, (dict, list, bool)) or value == "":
        raise ConfigError(where, f"{value!r} is not a text")
    return str(value)


def _pairs(item: Mapping[str, Any], key: str, where: str) -> tuple[tuple[str, str], ...]:
    table = item.get(key, {})
    if not isinstance(table, Mapping):
        raise ConfigError(_at(where, key), "is no table; write name = value for each condition")
    return tuple((str(name), _json_text(value, _at(where, f"{key}.{name}"))) for name, value in table.items())


def _json_text(value: Any, where: str) -> str:
    """A condition's value as the matcher compares it: JSON's own spelling of true, false and null."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _text(value, where)


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
