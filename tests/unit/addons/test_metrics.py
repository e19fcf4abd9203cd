"""The figures of a run as Prometheus text."""

from __future__ import annotations

from chaosbot.addons.metrics import EventMetrics
from chaosbot.model.event import ExchangeSeen, Injected, Noted, RuleSwitched, Trouble
from chaosbot.model.exchange import Depth, Lane


def test_events_are_counted_by_small_alphabets():
    metrics = EventMetrics()
    for seconds, status in ((0.02, 200), (0.3, 204), (70.0, None)):
        metrics.take(ExchangeSeen(1.0, "x", Lane.INBOUND, "POST", "/secret/path", status, "target", seconds))
    for stage in ("applied", "applied", "missed"):
        metrics.take(Injected(1.0, 'a"b', "latency", Depth.BYTES, Lane.INBOUND, "x", stage))
    metrics.take(RuleSwitched(1.0, "r", "latency", active=True))
    metrics.take(RuleSwitched(2.0, "r", "latency", active=False))
    metrics.take(Trouble(1.0, "here", "what"))
    metrics.take(Noted(1.0, "area", "text"))
    text = metrics.text()
    lines = text.splitlines()
    assert 'chaosbot_exchanges_total{lane="inbound",by="target",status="2xx"} 2' in lines
    assert 'chaosbot_exchanges_total{lane="inbound",by="target",status="none"} 1' in lines
    assert 'chaosbot_exchange_seconds_bucket{lane="inbound",le="0.025"} 1' in lines
    assert 'chaosbot_exchange_seconds_bucket{lane="inbound",le="60.0"} 2' in lines
    assert 'chaosbot_exchange_seconds_bucket{lane="inbound",le="+Inf"} 3' in lines
    assert 'chaosbot_exchange_seconds_count{lane="inbound"} 3' in lines
    assert 'chaosbot_injections_total{rule="a\\"b",fault="latency",lane="inbound",stage="applied"} 2' in lines
    assert 'chaosbot_rule_active{rule="r",fault="latency"} 0' in lines
    assert "chaosbot_troubles_total 1" in lines
    assert "/secret" not in text


def test_every_family_has_its_type_before_its_samples():
    metrics = EventMetrics()
    metrics.take(ExchangeSeen(1.0, "x", Lane.OUTBOUND, "POST", "/", 500, "standin", 0.1))
    typed = set()
    for line in metrics.text().splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            assert any(name in (each, f"{each}_bucket", f"{each}_sum", f"{each}_count") for each in typed), line
