"""Experiment files: everything is validated before anything starts; the built-in ones are such files."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chaosbot.config.experiment import (
    Experiment,
    Workload,
    built_in,
    experiment_from,
    experiment_schema,
    read_experiment,
    write_experiment,
)
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.errors import ConfigError, UnknownName, UsageError
from chaosbot.core.plan import FaultPlan
from chaosbot.core.timeline import Lengths, schedule, steps
from chaosbot.session.experiment import compiled, lasting, load_of

BUILT_IN = built_in()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_experiment_is_valid_and_says_what_it_asks(name: str) -> None:
    experiment = read_experiment(name)
    assert experiment.name == name
    assert experiment.about
    assert experiment.plan.rules or name == "agent-load"  # which asks how many users the agent bears
    made = compiled(experiment)
    assert made.profile.pacer().duration_s == pytest.approx(made.load_s, rel=0.02)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_written_experiment_reads_back_the_same(name: str, tmp_path: Path) -> None:
    experiment = read_experiment(name)
    file = tmp_path / "again.toml"
    file.write_text(write_experiment(experiment, "again"), encoding="utf-8")
    again = read_experiment(str(file))
    assert again.settings() == experiment.settings()


def test_the_named_experiments_are_all_there() -> None:
    wanted = {
        "resilience",
        "outbound-outage",
        "redelivery-storm",
        "slow-clients",
        "spike-under-latency",
        "rate-limited-api",
    }
    assert wanted | {"soak"} <= set(BUILT_IN)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"phases": {"basline": "3s"}}, r"x\.toml: phases\.basline: unknown key .* did you mean 'baseline'"),
        ({"phases": {"baseline": "0s"}}, "baseline must be above 0"),
        ({"phases": {"fault": "soon"}}, r"x\.toml: phases\.fault: 'soon' is not a duration"),
        ({"workload": {"users": -1}}, r"workload\.users"),
        ({"workload": {"rate": "fast"}}, r"workload\.rate"),
        ({"workload": {"sender": "pigeon"}}, "Available: platform, raw, telegram"),
        ({"outbound": "somewhere"}, "no base URL"),
        ({"rules": [{"fault": "latncy"}]}, r"rules\[0\]\.fault: unknown fault 'latncy'; did you mean 'latency'"),
        ({"rules": [{"fault": "latency:1s", "p": 2}]}, r"rules\[0\]\.p"),
        ({"rules": [{"fault": "abort", "name": "a"}, {"fault": "abort", "name": "a"}]}, "unique"),
        ({"thresholds": ["p99 is fine"]}, "no threshold"),
        ({"seed": "lucky"}, "seed"),
        ({"alone": "yes"}, "neither true nor false"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_a_wrong_value_names_file_key_rule_and_remedy(document: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        experiment_from(document, "x.toml")


def test_yaml_says_the_same_as_toml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('rules:\n  - fault: "latency:20ms"\nphases: {baseline: 3s}\n')
    (tmp_path / "a.toml").write_text('[phases]\nbaseline = "3s"\n[[rules]]\nfault = "latency:20ms"\n')
    assert read_experiment(str(tmp_path / "a.yaml")).settings() == read_experiment(str(tmp_path / "a.toml")).settings()


def test_a_folder_named_like_a_built_in_experiment_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model-injection").mkdir()
    (tmp_path / "other").mkdir()
    assert read_experiment("model-injection").name == "model-injection"
    with pytest.raises(UsageError, match="other: cannot be read"):
        read_experiment("other")


def test_an_unknown_experiment_lists_what_there_is() -> None:
    with pytest.raises(UnknownName, match="did you mean 'resilience'"):
        read_experiment("resilence")


def test_the_schema_knows_every_key_that_the_reader_knows() -> None:
    schema = experiment_schema()
    for part, document in (("", {"name": "x"}), ("workload", {}), ("phases", {}), ("probes", {})):
        properties = schema["properties"][part]["properties"] if part else schema["properties"]
        for key in properties:
            wrong = {key: object()} if not part else {part: {key: object()}}
            with pytest.raises(ConfigError) as caught:
                experiment_from({**document, **wrong}, "x.toml")
            assert "unknown key" not in str(caught.value), key


def test_faults_alone_have_a_window_each_with_a_recovery_after_it() -> None:
    experiment = read_experiment("resilience")
    plan, labels = schedule(experiment.plan, alone=True)
    timeline = steps(experiment.lengths, labels)
    assert [step.phase for step in timeline[:2]] == ["warmup", "baseline"]
    for rule in plan.rules:
        assert rule.window.phase in {step.key for step in timeline}
    faults = [place for place, step in enumerate(timeline) if step.phase == "fault"]
    assert all(timeline[place + 1].phase == "recovery" for place in faults)
    assert all(before.end_s == pytest.approx(after.start_s) for before, after in pairwise(timeline))


def test_an_experiment_without_faults_has_no_fault_window() -> None:
    assert {step.phase for step in compiled(Experiment()).timeline} == {"warmup", "baseline", "cooldown"}


@pytest.mark.parametrize(
    ("name", "outbound", "most"),
    [*((name, "mock", None) for name in BUILT_IN), ("chaos", "off", None), ("chaos", "mock", 1), ("chaos", "mock", 0)],
)
def test_phases_last_as_long_as_the_load_whatever_is_left_out(name: str, outbound: str, most: int | None) -> None:
    written = read_experiment(name)
    experiment = replace(written, plan=FaultPlan(written.plan.rules[:most]), outbound=outbound)
    for one, seconds in ((compiled(experiment), None), (compiled(lasting(experiment, 20.0)), 20.0)):
        assert one.profile.pacer().duration_s == pytest.approx(one.load_s, abs=0.001)
        assert seconds in (None, pytest.approx(one.load_s, abs=0.001))


def test_stages_of_ones_own_are_sent_as_written_and_the_phases_last_as_long() -> None:
    load = Workload("stages", {"stages": "3s:10,2s:0"})
    experiment = replace(read_experiment("resilience"), workload=load)
    ready = compiled(experiment)
    assert ready.load_s == pytest.approx(5)
    assert ready.remarks == ("the phases take 5s, as long as the load's stages, not 1m 43s as written",)
    assert lasting(experiment, 5.0, own_load=True).workload == load
    with pytest.raises(ConfigError, match="--duration: --profile stages takes 5s as it is written"):
        lasting(experiment, 12.0, own_load=True)


def test_the_burst_of_all_the_chaos_lies_in_its_window_with_and_without_outbound_faults() -> None:
    for outbound in ("mock", "off"):
        ready = compiled(replace(read_experiment("chaos"), outbound=outbound))
        pacer, window = ready.profile.pacer(), ready.timeline[-1]
        assert window.phase == "burst"
        assert max(pacer.level(moment / 10) for moment in range(int(window.start_s * 10))) == 40
        assert pacer.level(window.start_s + window.length_s / 2) in (40, 1000)
        assert pacer.level(95) == 1000


def test_lengths_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter than 0"):
        Lengths(warmup_s=-1)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"checks": ["no_hagn"]}, "x.toml: checks[0]: unknown check 'no_hagn'; did you mean 'no_hang'"),
        (
            {"workload": {"profile": "stedy"}},
            "x.toml: workload.profile: unknown profile 'stedy'; did you mean 'steady'",
        ),
        ({"target": "ftp://127.0.0.1/x"}, "x.toml: target: "),
    ],
)
def test_names_are_looked_up_while_the_file_is_read(document: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        experiment_from(document, "x.toml")
    assert says in str(caught.value)


def spike(**window: Any) -> Experiment:
    stages = {"profile": "stages", "options": {"stages": "5s:10,2s:100,5s:10"}}
    rule = {"name": "late", "fault": "latency:1s", **window}
    return experiment_from({"workload": stages, "rules": [rule]}, "x.toml")


def test_a_rule_may_act_while_a_stage_of_the_profile_runs() -> None:
    [rule] = compiled(spike(phase="stage:2")).plan.rules
    assert (rule.window.start_s, rule.window.length_s) == (pytest.approx(5, abs=0.01), 2)


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ({"phase": "stage:4"}, r"rule late: phase: unknown phase 'stage:4'.*stage:3"),
        ({"phase": "fault:nothing"}, "unknown phase 'fault:nothing'"),
        ({"phase": "stage:2", "start": "1s", "for": "1s"}, "cannot be narrowed"),
    ],
)
def test_a_rule_that_waits_for_what_never_comes_is_refused(window: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        compiled(spike(**window))


@pytest.mark.parametrize("platform", ["slack", "discord", "whatsapp", "stripe", "github"])
def test_a_built_in_experiment_makes_the_trouble_that_the_platform_s_own_api_could_cause(platform: str) -> None:
    made = compiled(replace(read_experiment("resilience"), platform=platform))
    faults = {rule.name: rule.fault for rule in made.plan.rules}
    assert (faults["api-rate-limited"].name, faults["api-rate-limited"].status) == ("api_error", 429)
    assert faults["slow-network"].name == "latency"
    assert made.left_out == ("chat-migrated",)
    assert "fault:chat-migrated" not in {step.key for step in made.timeline}


def test_the_bot_api_s_own_words_stay_where_it_is_the_bot_api_that_is_called() -> None:
    made = compiled(read_experiment("resilience"))
    assert {"botapi_429", "botapi_migrate"} <= {rule.fault.name for rule in made.plan.rules}
    assert made.left_out == ()


@pytest.mark.parametrize(
    ("platform", "outbound"), [("standard_webhooks", "mock"), ("slack", "off"), ("telegram", "off")]
)
def test_where_no_call_is_seen_none_meets_trouble(platform: str, outbound: str) -> None:
    made = compiled(replace(read_experiment("resilience"), platform=platform, outbound=outbound))
    assert {rule.name for rule in made.plan.rules} == {"slow-network", "lost-acks", "duplicates"}
    assert {"api-black-hole", "chat-migrated"} <= set(made.left_out)
    with pytest.raises(ConfigError, match=r"--outbound"):
        compiled(
            Experiment(platform=platform, outbound=outbound, plan=plan_of([parse_fault("delay:1s;direction=outbound")]))
        )


def test_a_plan_of_which_nothing_can_happen_is_refused_with_what_can() -> None:
    plan = plan_of([parse_fault("botapi_migrate;direction=outbound")])
    with pytest.raises(ConfigError, match=r"no trouble of slack's API; .* api_error"):
        compiled(Experiment(platform="slack", plan=plan))


@pytest.mark.parametrize(("written", "read"), [(304, (304,)), (["3xx", 404], (*range(300, 400), 404)), ([], ())])
def test_statuses_that_are_no_failures_are_read_written_and_loaded(written: Any, read: Any, tmp_path: Path) -> None:
    experiment = experiment_from({"workload": {"accept_status": written}}, "x.toml")
    assert experiment.workload.accept_status == read
    assert load_of(compiled(experiment)).accepted == frozenset(read)
    file = tmp_path / "again.toml"
    file.write_text(write_experiment(experiment, "again"), encoding="utf-8")
    assert read_experiment(str(file)).workload.accept_status == read


@pytest.mark.parametrize("wrong", [99, 600, "6xx", "3x", "9" * 5000, True, [[304]], {"a": 1}, None])
def test_no_status_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^x\.toml: workload\.accept_status: "):
        experiment_from({"workload": {"accept_status": wrong}}, "x.toml")
