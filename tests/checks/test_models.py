"""What the checks over calls of language models make of cases that are judged wrongly from the provider's side alone, and of other doubts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import ApiCalled, Event, ExchangeSeen
from chaosbot.core.verdict import Judgement, Severity, Verdict
from tests.checks.models import Talk, fine, talks

SORRY = "Sorry, no answer today."
OVERLOADED = {"status": 529, "seconds": 0.1}


def judged(check: str, events: Sequence[Event]) -> Judgement:
    return CHECKS.build(check).judge(History.of(events))


def verdicts(events: Sequence[Event], *checks: str) -> set[Verdict]:
    return {judged(check, events).verdict for check in checks}


# ── three cases that a look at the provider's side alone gets wrong ──────────────────────────────────────────────────


def test_a_caller_that_notices_a_cut_stream_and_asks_again_without_streaming_is_right() -> None:
    talk = Talk().asked().model("llm_cut_stream", whole=False, call="streamed").model(at=2.0, call="plain").told(at=3.0)
    assert verdicts(talks(talk), "llm_truncation_shown", "llm_paid_once", "llm_user_answered") <= {
        Verdict.PASS,
        Verdict.INCONCLUSIVE,
    }
    assert judged("llm_user_answered", talks(talk)).findings == ()


def test_a_dropped_stream_that_ends_in_an_apology_is_not_given_up() -> None:
    talk = Talk().asked().model("llm_cut_stream", whole=False).told(SORRY, at=2.0)
    assert judged("llm_user_answered", talks(talk)).verdict is Verdict.PASS
    assert judged("llm_truncation_shown", talks(talk)).findings == ()


def test_a_broken_event_that_raised_in_the_caller_and_was_told_is_not_ignored() -> None:
    talk = Talk().asked().model("llm_error_event", whole=False).told(SORRY)
    assert judged("llm_user_answered", talks(talk)).verdict is Verdict.PASS


# ── doubts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_calls_of_models_nothing_is_judged_and_the_reason_says_how_to_get_them() -> None:
    quiet = talks(Talk().asked().told("hello"))
    for name in CHECKS.names():
        if name.startswith("llm_"):
            judgement = judged(name, quiet)
            assert (judgement.verdict, judgement.judged) == (Verdict.INCONCLUSIVE, 0)
            assert "--llm" in judgement.reason


def test_a_part_that_is_edited_into_the_whole_is_no_truncation() -> None:
    talk = Talk().asked().model("llm_cut_stream", whole=False)
    part = talk.text.partition(" all")[0]
    assert (
        judged(
            "llm_truncation_shown",
            talks(
                talk.told(part, message=7),
            ),
        ).verdict
        is Verdict.FAIL
    )
    talk.told(f"{part} – the rest is missing", at=2.0, message=7)
    assert judged("llm_truncation_shown", talks(talk)).verdict is Verdict.PASS


def test_an_answer_at_its_bound_weighs_less_than_a_cut_stream() -> None:
    talk = Talk().asked().model(stop="length")
    (finding,) = judged("llm_truncation_shown", talks(talk.told(talk.text.partition(" all")[0]))).findings
    assert finding.severity is Severity.MEDIUM


def test_an_sdk_that_tries_a_quota_again_by_itself_is_let_pass_and_a_loop_around_it_is_not() -> None:
    def quota(*attempts: int) -> Talk:
        talk = Talk().asked()
        for number, attempt in enumerate(attempts):
            talk.model("llm_429", status=429, error="insufficient_quota", attempt=attempt, at=0.1 + number)
        return talk

    assert judged("llm_not_retried", talks(quota(1, 2, 3))).verdict is Verdict.PASS
    assert judged("llm_not_retried", talks(quota(1, 2, 3, 1))).verdict is Verdict.FAIL


def test_redelivery_after_a_failed_call_may_cost_the_one_answer() -> None:
    talk = Talk().asked(times=2).model("llm_error", **OVERLOADED).model(at=5.1).told(at=6.0)
    assert judged("llm_paid_once", talks(talk, fine(2))).verdict is Verdict.PASS


def test_a_caller_that_gave_up_waiting_and_asks_again_has_no_answer_yet() -> None:
    talk = Talk().asked().model("llm_slow", at=0.1, seconds=4.0)
    left = talk.events[-1]
    assert isinstance(left, ExchangeSeen)
    talk.events[-1] = msgspec.structs.replace(left, status=None)
    assert judged("llm_paid_once", talks(talk.model(at=4.5).told(at=6.0), fine(2))).findings == ()


def test_an_answer_in_the_wrong_chat_is_found_by_its_mark() -> None:
    lost = Talk(2, 3.0).asked().model().told(chat=101)
    (finding,) = judged("llm_foreign_text", talks(fine(), lost)).findings
    assert (str(finding.cause), finding.severity) == ("chat", Severity.CRITICAL)


def test_a_refusal_that_takes_long_on_a_busy_machine_is_no_stall_that_holds_others_up() -> None:
    def others(begin: int, t: float, took: float) -> list[Talk]:
        return [Talk(begin + n, t + n / 10).asked().model().told(at=took) for n in range(6)]

    def run(fault: str, **more: int) -> Sequence[Event]:
        slow = Talk(1, 20.0).asked().model(fault, seconds=6.0, **more)
        return talks(*others(2, 1.0, 0.5), slow, *others(12, 22.0, 9.0))

    assert judged("llm_isolation", run("llm_stall")).verdict is Verdict.FAIL
    assert judged("llm_isolation", run("llm_error", status=529)).findings == ()


def test_an_admin_may_use_the_admins_tool() -> None:
    talk = Talk().asked(tier="admin").model("llm_escalate", stop="tool", tools=("grant",), text="", answer="")
    talk.model(at=1.0, call="after", results=("Granted.",)).told()
    assert judged("llm_no_escalation", talks(talk)).findings == ()


def test_a_read_timeout_of_minutes_is_found_without_waiting_for_it() -> None:
    (finding,) = judged("llm_timeout", talks(fine(read_timeout_s=600.0))).findings
    assert finding.severity is Severity.LOW
    assert judged("llm_timeout", talks(fine(read_timeout_s=60.0))).verdict is Verdict.PASS


def test_a_run_that_ends_too_soon_does_not_blame_who_had_no_time_to_answer() -> None:
    talk = Talk(t=50.0).asked().model("llm_error", **OVERLOADED)
    assert judged("llm_user_answered", talks(talk)).verdict is Verdict.INCONCLUSIVE


def test_a_bot_that_is_behind_with_everybody_gets_as_long_as_it_took_with_others() -> None:
    waited = Talk(1, t=1.0).asked().model("llm_error", **OVERLOADED).told(SORRY, at=30.0)
    waits = Talk(2, t=35.0).asked().model("llm_error", **OVERLOADED)
    assert judged("llm_user_answered", talks(waited, waits)).verdict is Verdict.PASS
    prompt = Talk(1, t=1.0).asked().model("llm_error", **OVERLOADED).told(SORRY, at=3.0)
    assert len(judged("llm_user_answered", talks(prompt, waits)).findings) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Error code: 502 - <html><center>cloudflare</center>",
        "Error code: 529 - {'type': 'error', 'error': {'type': 'overloaded_error'}, 'request_id': 'req_220d808b7178d4da'}",
        "Connection to api.anthropic.com failed",
    ],
)
def test_a_providers_error_in_a_message_is_a_leak(text: str) -> None:
    (finding,) = judged("no_leak", [ApiCalled(1.0, "sendMessage", 5, text)]).findings
    assert str(finding.cause) == "provider:message"


def test_what_a_model_was_told_and_its_key_are_leaks() -> None:
    calls = [ApiCalled(1.0, "sendMessage", 5, "x", tells=what) for what in ("key", "instructions")]
    assert [str(one.cause) for one in judged("no_leak", calls).findings] == ["key:message", "instructions:message"]
