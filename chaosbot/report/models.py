"""Calls of language models: what they cost, per update and per fault, and when something of an answer is seen.

Rules:

- A call belongs to the update whose marker the user's last words carry. An update belongs to every fault that any of its calls met, so
  what retries cost is counted to the fault that caused them.
- Tokens are the provider's own count where it says one, otherwise an estimate (four characters a token). Costs are these tokens at the
  run's prices (`chaosbot.core.prices`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from chaosbot.checks._models import Call, Models
from chaosbot.core.check import History
from chaosbot.core.prices import cost_of, price_of
from chaosbot.core.stats import Histogram
from chaosbot.report.values import NO_FAULT, ModelRow, ModelUse, Quantiles


def models_of(history: History) -> ModelUse | None:
    """What the run's calls of models come to; None where there were none."""
    models = history.worked_out(Models)
    if not models.calls:
        return None
    sights = _first_sights(models)
    met: dict[str, list[str]] = defaultdict(list)
    for marker, calls in models.by_marker.items():
        for name in dict.fromkeys(name for call in calls for name in call.faults) or (NO_FAULT,):
            met[name].append(marker)

    def row(name: str, markers: Sequence[str], calls: Sequence[Call]) -> ModelRow:
        return ModelRow(
            name,
            updates=len(markers),
            calls=len(calls),
            failed=sum(call.called.status is None or call.called.status >= 400 or call.incomplete for call in calls),
            input_tokens=sum(call.called.input_tokens for call in calls),
            output_tokens=sum(call.called.output_tokens for call in calls),
            cost=sum(cost_of(call.called, models.prices) for call in calls),
            first_token=_quantiles(call.first_s for call in calls if call.first_s is not None),
            first_sight=_quantiles(sights[marker] for marker in markers if marker in sights),
        )

    rows = [row("all", list(models.by_marker), models.calls)]
    rows += [
        row(name, met[name], [call for marker in met[name] for call in models.by_marker[marker]])
        for name in sorted(met, key=lambda name: (name != NO_FAULT, name))
    ]
    if lone := [call for call in models.calls if not call.called.markers]:
        rows.append(row("of no update", [], lone))
    used = dict.fromkeys(call.called.model for call in models.calls if call.called.model)
    return ModelUse(tuple(rows), {name: price_of(name, models.prices) for name in used})


def _first_sights(models: Models) -> dict[str, float]:
    """How long the user of each update waited until something of an answer could be seen: by its mark, or where models give none by any reply."""
    sights = {}
    for marker, calls in models.by_marker.items():
        asked = models.asked.get(marker)
        if asked is None:
            continue
        if models.by_mark:
            seen = [one.t for call in calls if call.called.answer for one in models.shown(call.called.answer)]
        else:
            seen = [one.t for one in models.replies(marker, asked.start)]
        if seen:
            sights[marker] = max(0.0, min(seen) - asked.start)
    return sights


def _quantiles(seconds: Iterable[float]) -> Quantiles:
    return Quantiles.of(Histogram.of(Counter(seconds)))
