"""Every profile of the registry keeps the same promises, and the documented ones have the documented figures."""

import dataclasses
import pickle

import pytest

from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.profile import PROFILES, STANDARD, Metric, Profile, Threshold, Workload
from chaosbot.core.registry import describe, options_of

REQUIRED = {"stages": {"stages": "10s:100,20s:100,5s:0"}}


def built(name: str) -> Profile:
    return PROFILES.build(name, REQUIRED.get(name, {}))


@pytest.mark.parametrize("name", PROFILES.names())
class TestEveryProfile:
    def test_is_a_shape_with_a_beginning_and_an_end(self, name: str) -> None:
        pacer = built(name).pacer()
        assert 0 < pacer.duration_s < 24 * 3600
        assert 0 < pacer.peak < 1e6
        assert pacer.level(-1) == pacer.level(pacer.duration_s + 1) == 0

    def test_says_what_it_does_and_what_the_bot_experiences(self, name: str) -> None:
        first, _, rest = describe(PROFILES.get(name)).partition("\n")
        assert first.strip()
        assert "The bot experiences" in rest

    def test_is_a_value_that_travels_to_another_process(self, name: str) -> None:
        profile = built(name)
        assert dataclasses.is_dataclass(profile)
        again = pickle.loads(pickle.dumps(profile))
        assert again == profile
        assert again.pacer() == profile.pacer()
        assert again.workload is profile.workload

    def test_has_options_with_help_and_thresholds_that_can_be_written(self, name: str) -> None:
        assert all(field.metadata["help"] for field in options_of(PROFILES.get(name)))
        for threshold in built(name).thresholds:
            assert threshold.write(threshold.target)

    def test_refuses_a_figure_that_it_does_not_have(self, name: str) -> None:
        profile = built(name)
        known = {field.name for field in options_of(type(profile))}
        for figure in {"users", "spawn_rate", "rate"} - known:
            with pytest.raises(ConfigError, match="no such figure"):
                profile.overridden(**{figure: 5})


@pytest.mark.parametrize(
    ("name", "moments", "duration"),
    [
        ("ramp_up", {50: 500, 100: 1000, 299: 1000}, 300),
        ("sustained", {10: 500, 20: 1000, 599: 1000}, 600),
        ("spike", {5: 500, 59: 500, 75: 2000, 119: 2000, 135: 500, 179: 500}, 180),
        ("soak", {10: 200, 3599: 200}, 3600),
        ("burst", {5: 50, 15: 1000, 25: 50}, 30),
        ("smoke", {1: 5}, 30),
    ],
)
def test_the_documented_figures(name: str, moments: dict[float, float], duration: float) -> None:
    pacer = built(name).pacer()
    assert pacer.duration_s == pytest.approx(duration)
    assert {t: pacer.level(t) for t in moments} == pytest.approx(moments)


def test_the_table_of_targets_and_alerts() -> None:
    table = {threshold.metric: (threshold.target, threshold.alert, threshold.below) for threshold in STANDARD}
    assert table == {
        "p50": (0.5, 1.0, True),
        "p99": (2.0, 5.0, True),
        "error_rate": (0.01, 0.05, True),
        "stream_errors": (0.01, 0.05, True),
        "throughput": (100.0, 50.0, False),
        "circuit_trips": (0.0, 3.0, True),
    }


def test_overrides_change_the_shape() -> None:
    profile = PROFILES.build("sustained").overridden(users=100, spawn_rate=10, duration=60)
    assert (profile.pacer().peak, profile.pacer().duration_s, profile.pacer().level(5)) == (100, 60, 50)


def test_a_climb_that_does_not_fit_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ConfigError, match="takes 1m 40s, longer than the 30s there are; raise the spawn rate or the duration"
    ):
        PROFILES.build("ramp_up", {"duration": "30s"})


def test_stages_are_stretched_alike_and_keep_their_levels() -> None:
    for options in ({"stages": "10s:5,0s:50,1m30s:0", "start": 2}, {"stages": [{"duration": "4s", "rate": "30/min"}]}):
        stretched = PROFILES.get("stages").stretched(options, 0.5)
        assert stretched is not None
        before, after = (PROFILES.build("stages", values) for values in (options, stretched))
        assert after.pacer().duration_s == pytest.approx(before.pacer().duration_s / 2)
        assert (after.pacer().peak, after.workload) == (before.pacer().peak, before.workload)
    assert PROFILES.get("steady").stretched({}, 2.0) is None


def test_stages_are_written_as_text_or_as_tables() -> None:
    text = PROFILES.build("stages", {"stages": "30s:100, 1m:500,0s:0"})
    tables = [{"duration": "30s", "users": 100}, {"duration": "1m", "users": 500}, {"duration": "0s", "users": 0}]
    assert text.pacer() == PROFILES.build("stages", {"stages": tables}).pacer()
    assert text.workload is Workload.CLOSED
    rates = PROFILES.build("stages", {"stages": "10s:100/s,10s:100/s"})
    assert rates.workload is Workload.OPEN
    assert rates.pacer().arrivals == 1500


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("30s", r"stages\[0\]: '30s' has no level"),
        ("30:100", r"stages\[0\]: '30' has no unit"),
        ("30s:100,10s:5/s", "mix users and rates"),
        ([{"duration": "1s"}], r"stages\[0\]: .* is no stage"),
        ("0s:5", "without any duration"),
        ({}, "no list of stages"),
    ],
)
def test_bad_stages_are_named(stages: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PROFILES.build("stages", {"stages": stages})


@pytest.mark.parametrize(
    ("text", "metric", "target", "alert", "below"),
    [
        ("p99<2s", "p99", 2.0, None, True),
        ("p50 < 500ms, 1s", "p50", 0.5, 1.0, True),
        ("error_rate<1%", "error_rate", 0.01, None, True),
        ("throughput>100/s,50/s", "throughput", 100.0, 50.0, False),
        ("circuit_trips<=0,3", "circuit_trips", 0.0, 3.0, True),
    ],
)
def test_thresholds_are_read(text: str, metric: str, target: float, alert: float | None, below: bool) -> None:
    assert Threshold.parse(text) == Threshold(metric, target, alert, below)


def test_a_threshold_without_meaning_is_refused() -> None:
    for text, message in (
        ("p99", "no threshold"),
        ("p142<1s", "unknown metric 'p142'"),
        ("q42<1s", "unknown metric 'q42'"),
        ("p99<2", "has no unit"),
    ):
        with pytest.raises(ConfigError, match=message):
            Threshold.parse(text)


def test_a_threshold_holds_alarms_or_lies_between() -> None:
    latency, trips = Threshold("p99", 2.0, 5.0), Threshold("circuit_trips", 0.0, 3.0)
    assert [(latency.holds(value), latency.alarms(value)) for value in (1, 3, 6)] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert [(trips.holds(value), trips.alarms(value)) for value in (0, 3, 4)] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert Threshold("p99", 1.0).alarms(1.0)


def test_an_unknown_profile_is_named_with_its_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'sustained'"):
        PROFILES.build("sustaned")


@pytest.mark.parametrize(
    ("metric", "share"),
    [("p50", 0.5), ("p98", 0.98), ("p99.5", 0.995), ("p999", 0.999), ("p99.9", 0.999), ("max", 1.0)]
    + [(name, None) for name in ("p0", "p100", "p1e1", "p", "mean", "error_rate", "p٣")],
)
def test_any_percentile_is_a_latency_metric(metric: str, share: float | None) -> None:
    assert Metric.parse(metric).share == share


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("mean", Metric("mean", "", "response")),
        ("p95{/grant}", Metric("p95", "/grant", "response", 0.95)),
        ("stream_gap_p99", Metric("stream_gap_p99", "", "gap", 0.99)),
        ("stream_latency_max{prices}", Metric("stream_latency_max", "prices", "latency", 1.0)),
        ("stream_errors", Metric("stream_errors")),
        ("stream_gap_p0", Metric("stream_gap_p0")),
        ("happiness", Metric("happiness")),
    ],
)
def test_a_metric_says_what_it_is_about(text: str, metric: Metric) -> None:
    assert Metric.parse(text) == metric


@pytest.mark.parametrize(
    "text", ["p95{/grant}<1s", "mean<20ms,50ms", "stream_gap_p99<1s", "stream_errors<1%,5%", "stream_messages{x}>5/s"]
)
def test_a_threshold_is_written_as_it_was_read(text: str) -> None:
    threshold = Threshold.parse(text)
    assert f"{threshold.metric}{threshold.write(threshold.target)}".replace(" ", "") == text.split(",", maxsplit=1)[0]


@pytest.mark.parametrize("text", ["p95{}<1s", "stream_gap<1s", "stream_gap_p101<1s", "circuit_trips{x}<1", "p95<1%"])
def test_a_threshold_about_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Threshold.parse(text)
