"""The figures of a run as Prometheus text."""

from __future__ import annotations

from chaosbot.control.metrics import EventMetrics
from chaosbot.core.event import (
    ApiCalled,
    CaseTried,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Judged,
    Noted,
    PhaseChanged,
    RuleSwitched,
    Trouble,
)
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.stats import Histogram
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict


def test_events_are_counted_by_small_alphabets():
    metrics = EventMetrics()
    for seconds, status in ((0.02, 200), (0.3, 204), (70.0, None)):
        metrics.take(ExchangeSeen(1.0, "x", Direction.INBOUND, "POST", "/secret/path", status, "target", seconds))
    for stage in ("applied", "applied", "missed"):
        metrics.take(Injected(1.0, 'a"b', "latency", Depth.BYTES, Direction.INBOUND, "x", stage))
    metrics.take(RuleSwitched(1.0, "r", "latency", active=True))
    metrics.take(RuleSwitched(2.0, "r", "latency", active=False))
    metrics.take(Trouble(1.0, "here", "what"))
    metrics.take(Noted(1.0, "area", "text"))
    text = metrics.text()
    lines = text.splitlines()
    assert 'chaosbot_exchanges_total{by="target",direction="inbound",status="2xx"} 2.0' in lines
    assert 'chaosbot_exchanges_total{by="target",direction="inbound",status="none"} 1.0' in lines
    assert 'chaosbot_exchange_seconds_bucket{direction="inbound",le="0.025"} 1.0' in lines
    assert 'chaosbot_exchange_seconds_bucket{direction="inbound",le="60.0"} 2.0' in lines
    assert 'chaosbot_exchange_seconds_bucket{direction="inbound",le="+Inf"} 3.0' in lines
    assert 'chaosbot_exchange_seconds_count{direction="inbound"} 3.0' in lines
    assert 'chaosbot_injections_total{direction="inbound",fault="latency",rule="a\\"b",stage="applied"} 2.0' in lines
    assert 'chaosbot_rule_active{fault="latency",rule="r"} 0.0' in lines
    assert "chaosbot_troubles_total 1.0" in lines
    assert "/secret" not in text


def test_a_load_is_summed_over_its_seconds_and_processes_and_gauges_are_those_of_each_last_second():
    metrics = EventMetrics()
    for second in range(3):
        for shard in range(2):
            metrics.take(
                IntervalMeasured(
                    *(second + 1.0, second, shard, 10, 9, 7, 1, 1, 1, "", ""),
                    errors={"status_500": 1, "timeout": 1},
                    active_users=second,
                    in_flight=shard,
                    lateness_p99_s=0.5 * second + 2.0 * shard,
                    cpu=0.5,
                )
            )
    metrics.responses(Histogram((0.004, 0.2), (30, 12)))
    metrics.responses(Histogram((40.0,), (6,)))
    lines = metrics.text().splitlines()
    assert "chaosbot_load_planned_total 60.0" in lines
    assert "chaosbot_load_dropped_total 6.0" in lines
    assert 'chaosbot_load_requests_total{result="completed"} 42.0' in lines
    assert 'chaosbot_load_errors_total{kind="timeout"} 6.0' in lines
    assert "chaosbot_load_active_users 4.0" in lines
    assert "chaosbot_load_in_flight 1.0" in lines
    assert "chaosbot_load_lateness_p99_seconds 3.0" in lines
    assert 'chaosbot_load_response_seconds_bucket{le="0.005"} 30.0' in lines
    assert 'chaosbot_load_response_seconds_bucket{le="0.25"} 42.0' in lines
    assert 'chaosbot_load_response_seconds_bucket{le="60.0"} 48.0' in lines
    assert "chaosbot_load_response_seconds_count 48.0" in lines
    total = next(float(line.split()[1]) for line in lines if line.startswith("chaosbot_load_response_seconds_sum"))
    assert abs(total - (0.004 * 30 + 0.2 * 12 + 40.0 * 6)) < 1e-9


def test_a_campaign_is_counted_by_stage_and_check_and_each_finding_once():
    metrics = EventMetrics()
    for violations in ((), ("no_hang",), ("no_hang", "no_leak")):
        metrics.take(CaseTried(1.0, "c", "g", Threat.USER, "catalogue", Outcome(Fate.ANSWERED, 200), violations))
    found = Finding("no_hang", "Hangs", Severity.HIGH, Threat.USER, RootCause("cause"))
    for _ in range(3):
        metrics.take(Judged(1.0, Judgement("no_hang", Verdict.FAIL, findings=(found,))))
    metrics.take(ApiCalled(1.0, "sendMessage", 5, "text that is nobody's business"))
    metrics.take(ApiCalled(1.0, "sendMessage", status=429, upstream="telegram"))
    metrics.take(PhaseChanged(1.0, "fault", "slow"))
    metrics.take(PhaseChanged(2.0, "recovery", "slow"))
    lines = metrics.text().splitlines()
    assert 'chaosbot_cases_total{stage="catalogue"} 3.0' in lines
    assert 'chaosbot_breaches_total{check="no_hang"} 2.0' in lines
    assert 'chaosbot_findings{severity="high"} 1.0' in lines
    assert 'chaosbot_api_calls_total{status="4xx",upstream="telegram",via="mock"} 1.0' in lines
    assert [line for line in lines if line.startswith("chaosbot_phase{")] == [
        'chaosbot_phase{label="slow",phase="recovery"} 1.0'
    ]
    assert "business" not in metrics.text()


def test_every_family_has_its_type_before_its_samples():
    metrics = EventMetrics()
    metrics.take(ExchangeSeen(1.0, "x", Direction.OUTBOUND, "POST", "/", 500, "mock", 0.1))
    metrics.take(IntervalMeasured(1.0, 0, 0, 1, 1, 1, 0, 0, 0, "", "", errors={"reset": 1}))
    metrics.responses(Histogram((0.1,), (1,)))
    typed = set()
    for line in metrics.text().splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            assert any(name in (each, f"{each}_bucket", f"{each}_sum", f"{each}_count") for each in typed), line
