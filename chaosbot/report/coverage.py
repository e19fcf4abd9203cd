"""What the run exercised, and what the probes saw of the target's circuit breakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from chaosbot.core.check import History
from chaosbot.core.errors import ChaosbotError
from chaosbot.core.event import MUTATION, PRODUCT, UNREACHED, CodeReached, LoopBlocked, Noted, ProbeSeen
from chaosbot.core.platform import PLATFORMS
from chaosbot.report.values import Blocked, Circuits, Coverage, Second, Share, StageCode, Unreached

# Words after a slash that are none of the platform's commands: what a fuzzer tries.
OTHERS = "(others)"
CLOSED = frozenset({"closed", "0", "0.0", "false", "none", "ok", ""})


def coverage_of(history: History, seconds: Sequence[Second]) -> Coverage | None:
    """Commands, update kinds and case groups with how often; None when nothing was sent.

    All of the platform's commands are listed, and words that are none of them counted together. A note of area ``coverage`` may name what should occur (``{"commands": […], "update_kinds": […], "cases": […]}``); what
    did not then stands with 0.
    """
    commands: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for second in seconds:
        commands.update(second.commands)
        kinds.update(second.kinds)
    for case in history.cases:
        commands.update([case.command] if case.command else [])
        kinds.update([case.kind] if case.kind else [])
    groups = Counter(case.group for case in history.cases)
    for note in history.all(Noted):
        if note.area == "coverage":
            for key, counts in (("commands", commands), ("update_kinds", kinds), ("cases", groups)):
                _expect(counts, note.data.get(key))
    if not (commands or kinds or groups):
        return None
    operators, places = _product(history)
    return Coverage(
        _by_name(_of_platform(commands, history)),
        _by_name(kinds),
        _by_name(groups),
        operators,
        places,
        tuple(
            StageCode(one.stage, Share(one.lines, one.of_lines), Share(one.sides, one.of_sides))
            for one in history.all(CodeReached)
        ),
        _unreached(history),
        _blocked(history),
    )


def _unreached(history: History) -> tuple[Unreached, ...]:
    """The target's functions with lines that nothing reached."""
    notes = [note.data.get("rows") for note in history.all(Noted) if note.area == UNREACHED]
    try:
        rows = notes[-1] if notes else ()
        return tuple(Unreached(str(row["file"]), str(row["function"]), tuple(row["lines"])) for row in rows or ())
    except (KeyError, TypeError):
        return ()


def _blocked(history: History) -> tuple[Blocked, ...]:
    """What held the target's event loop, by the innermost function of its own, the longest first."""
    found: dict[str, Blocked] = {}
    for one in history.all(LoopBlocked):
        own = one.frames[1] if len(one.frames) > 1 else next(iter(one.frames), "?")
        within = f" (in {one.frames[0].rpartition(' in ')[2]})" if len(one.frames) > 1 else ""
        known = found.get(own + within)
        if known is None:
            found[own + within] = Blocked(own + within, 1, one.seconds, one.case)
        else:
            better = one.seconds > known.longest_s
            found[own + within] = Blocked(
                known.function, known.times + 1, max(one.seconds, known.longest_s), one.case if better else known.case
            )
    return tuple(sorted(found.values(), key=lambda one: -one.longest_s))


def _product(history: History) -> tuple[dict[str, Share], dict[str, Share]]:
    """The pairs of a mutation operator and a place that were tried: by operator, and by place."""
    planned = next((note.data for note in history.all(Noted) if note.area == PRODUCT), {})
    prefix = f"{MUTATION}/"
    tried = {case.case for case in history.cases if case.case.startswith(prefix)}
    # An operator's name holds no slash; a place's may.
    pairs = [name.removeprefix(prefix).rpartition("/") for name in tried]
    done = {"operators": Counter(pair[2] for pair in pairs), "places": Counter(pair[0] for pair in pairs)}

    def shares(which: str) -> dict[str, Share]:
        wanted = planned.get(which)
        counts = wanted.items() if isinstance(wanted, dict) else ()
        return {name: Share(done[which][name], count) for name, count in counts if isinstance(count, int) and count > 0}

    return shares("operators"), shares("places")


def _of_platform(counts: Counter[str], history: History) -> Counter[str]:
    """The counts of the platform's own commands, the others as one."""
    platform = history.start.settings.get("platform") if history.start is not None else None
    try:
        commands = PLATFORMS.get(str(platform).partition(":")[0]).commands if platform else None
    except (ChaosbotError, TypeError):
        commands = None
    if not commands or not counts:
        return counts
    named = Counter({name: counts[name] for name in commands})
    if others := sum(count for name, count in counts.items() if name not in commands):
        named[OTHERS] = others
    return named


def _expect(counts: Counter[str], names: object) -> None:
    for name in names if isinstance(names, (list, tuple, dict)) else ():
        counts.setdefault(str(name), 0)


def _by_name(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (item[0] == OTHERS, item[1] == 0, item[0])))


def circuits_of(history: History) -> Circuits | None:
    """Trips and recoveries from the probes called ``circuits`` or ``circuit:NAME``; None when nobody looked.

    A probe's value is the number of open circuits, a flag, or a state (``open``, ``half_open``, ``closed``). A half-open
    circuit has not recovered yet, and opening again from there is no new trip.
    """
    looks: dict[str, list[ProbeSeen]] = {}
    for probe in history.probes:
        if probe.probe == "circuits" or probe.probe.startswith(("circuit:", "circuits:")):
            looks.setdefault(probe.probe, []).append(probe)
    if not any(probe.value is not None for series in looks.values() for probe in series):
        return None
    trips = recovered = 0
    for series in looks.values():
        # The first look is where counting starts; a circuit found open had tripped already.
        before = 0.0
        for probe in series:
            if probe.value is None:
                continue
            now = _open_circuits(probe)
            trips += round(max(0.0, now - before))
            recovered += round(max(0.0, before - now))
            before = now
    return Circuits(trips, recovered)


def _open_circuits(probe: ProbeSeen) -> float:
    value = probe.value
    if isinstance(value, (bool, int, float)):
        return max(0.0, float(value)) if value == value and abs(value) < 1e6 else 0.0  # noqa: PLR0124 - NaN
    return 0.0 if str(value).lower() in CLOSED else 1.0
