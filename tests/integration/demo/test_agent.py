"""The demo bot's agent in front of a broken model: each planted bug is found by the check that its card names, and a healthy agent by none."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import ApiCalled, Event, ExchangeSeen, ModelCalled, RequestDone, RunEnded, RunStarted
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Judgement, Verdict
from chaosbot.demo.bugs import CARDS, Area, Bug
from chaosbot.session.environment import DemoTarget
from tests.support.models import Behind, behind_proxy

SECRET = "a-secret-of-the-agent"
OPTIONS: dict[str, dict[str, Any]] = {
    "llm_user_answered": {"within": "1s"},
    "llm_timeout": {"within": "8s"},
    "llm_formatting_survived": {"within": "1s"},
    "llm_ack_first": {"slow": "1s"},
}
# What shows each bug: faults, how many users ask, how often each update is delivered, how long calls are waited for.
SHOWN: dict[Bug, tuple[tuple[str, ...], int, int, float]] = {
    Bug.PARTIAL_AS_COMPLETE: (("llm_cut_stream:6",), 1, 1, 0.0),
    Bug.NO_LLM_TIMEOUT: (("llm_stall:60s;after=4",), 1, 1, 9.0),
    Bug.RETRY_400: (("llm_error:400",), 1, 1, 0.0),
    Bug.RETRY_LOOP_AROUND_SDK: (("llm_error:529",), 1, 1, 0.0),
    Bug.PAYS_ON_REDELIVERY: ((), 2, 2, 0.0),
    Bug.ACK_AFTER_MODEL: (("llm_slow:1500ms",), 1, 1, 0.0),
    Bug.KEY_IN_ERROR: (("llm_error:401",), 1, 1, 0.0),
    Bug.MARKDOWN_UNESCAPED: (("llm_hostile_text:markdown",), 1, 1, 0.0),
    Bug.NO_SPLIT: (("llm_hostile_text:over4096",), 1, 1, 0.0),
    Bug.EMPTY_ANSWER: (("llm_hostile_text:empty",), 1, 1, 0.0),
    Bug.ADMIN_TOOL_UNCHECKED: (("llm_escalate",), 1, 1, 0.0),
    Bug.POISONED_HISTORY: (("llm_bad_tool;first=1",), 1, 1, 0.0),
    Bug.SHARED_HISTORY: ((), 2, 1, 0.0),
}


def marker(number: int) -> str:
    return f"cbm{number:012x}"


class Bot:
    """The embedded bot behind the proxy, spoken to by its webhook."""

    def __init__(self, behind: Behind, bugs: str) -> None:
        self.behind = behind
        urls = {"bot_api": behind.url("telegram"), "models": behind.url("llm")}
        self.target = DemoTarget(bugs=bugs, secret=SECRET, limits=False, **urls)

    def ask(self, number: int, text: str = "", times: int = 1) -> None:
        """One user's question, delivered so often, one delivery after the other."""
        who = {"id": 1_000_000 + number, "is_bot": False, "first_name": "Guest"}
        said = text or f"What do you know about spades? {marker(number)}"
        message = {"message_id": 1, "date": 1, "chat": {"id": who["id"], "type": "private"}, "from": who, "text": said}
        body = json.dumps({"update_id": 1000 + number, "message": message}).encode()
        headers = {"content-type": "application/json", "x-telegram-bot-api-secret-token": SECRET}
        for _ in range(times):
            start = time.monotonic()
            with urllib.request.urlopen(
                urllib.request.Request(self.target.webhook, body, headers), timeout=60
            ) as answer:
                status = answer.status
            took = time.monotonic() - start
            t = start - self.behind.proxy.spec.started
            outcome = Outcome(Fate.ANSWERED, status, total_s=took)
            more: dict[str, Any] = {"marker": marker(number), "tier": "guest", "chat": who["id"], "user": who["id"]}
            self.behind.events.append(RequestDone(t, f"r{number}", t, t, outcome, **more))

    def history(self, wait_s: float = 0.0) -> History:
        """Everything that happened, when nothing has for a while."""
        until, quiet, seen = time.monotonic() + 30, time.monotonic() + max(wait_s, 2.5), -1
        while time.monotonic() < min(quiet, until):
            time.sleep(0.1)
            self.behind.proxy.flush()
            count = sum(isinstance(event, ApiCalled | ModelCalled | ExchangeSeen) for event in self.behind.events)
            if count != seen and not wait_s:
                seen, quiet = count, time.monotonic() + 2.5
        end = RunEnded(time.monotonic() - self.behind.proxy.spec.started, "completed")
        start = RunStarted(0.0, "run", "0", 1, "agent", "now")
        return History.of([start, *self.behind.events, end])


def judged(name: str, history: History) -> Judgement:
    return CHECKS.build(name, OPTIONS.get(name, {})).judge(history)


def asked(bugs: str, faults: Sequence[str], users: int, times: int, wait_s: float) -> History:
    with behind_proxy("mock,mock:llm", *faults) as behind:
        bot = Bot(behind, bugs)
        with bot.target:
            for number in range(1, users + 1):
                bot.ask(number, times=times)
                if users > 1:  # one after the other
                    behind.all(ApiCalled, number)
            return bot.history(wait_s)


# One always, the others with the slow tests.
_ALWAYS = (Bug.ADMIN_TOOL_UNCHECKED,)


@pytest.mark.parametrize(
    "bug", [bug if bug in _ALWAYS else pytest.param(bug, marks=pytest.mark.slow) for bug in SHOWN], ids=str
)
def test_a_bug_of_the_agent_is_found_by_its_check_and_a_healthy_agent_by_none(bug: Bug) -> None:
    faults, users, times, wait_s = SHOWN[bug]
    with ThreadPoolExecutor(2) as pool:
        sick = pool.submit(asked, bug.value, faults, users, times, wait_s)
        well = pool.submit(asked, "", faults, users, times, wait_s)
        judgements = [judged(name, sick.result()) for name in CARDS[bug].checks]
        assert [one.verdict for one in judgements] == [Verdict.FAIL], [one.reason for one in judgements]
        checks = [name for name in CHECKS.names() if name.startswith("llm_") or name in CARDS[bug].checks]
        healthy = [judged(name, well.result()) for name in checks]
    assert [finding for one in healthy for finding in one.findings] == []
    # A healthy agent sends nothing that is refused, so there is nothing to judge its forms by.
    unmet = Verdict.INCONCLUSIVE if CARDS[bug].checks == ("llm_formatting_survived",) else Verdict.PASS
    assert judged(CARDS[bug].checks[0], well.result()).verdict is unmet


def test_every_bug_of_the_agent_is_shown_here() -> None:
    assert {bug for bug, card in CARDS.items() if card.area is Area.AGENT} == set(SHOWN)


def test_a_healthy_agent_answers_ask_and_free_text_and_keeps_its_instructions() -> None:
    with behind_proxy("mock,mock:llm", "llm_echo;nth=3") as behind:
        bot = Bot(behind, "")
        with bot.target:
            bot.ask(1)
            behind.all(ApiCalled, 1)
            bot.ask(2)
            behind.all(ApiCalled, 2)
            bot.ask(3)
            texts: list[Event] = list(behind.all(ApiCalled, 3))
    first, second, third = (one for one in texts if isinstance(one, ApiCalled))
    assert first.answers
    assert second.answers
    assert third.text.startswith("I keep that to myself")
    assert third.tells == ""


@pytest.mark.slow
def test_a_bot_that_knows_no_redelivery_of_other_updates_buys_no_answer_twice() -> None:
    events = asked(Bug.NO_DEDUP.value, (), 2, 2, 0.0)
    judgement = judged("llm_paid_once", events)
    assert (judgement.verdict, judgement.judged > 0) == (Verdict.PASS, True)
