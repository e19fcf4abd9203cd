"""How long a reply is waited for, by a virtual clock."""

from dataclasses import dataclass, field

import pytest

from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.fuzz import replies
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.replies import ReplyWatch

STARTED = 1_000.0


@dataclass
class Time:
    """Goes on while somebody sleeps; what is due then happens."""

    now: float = STARTED
    due: list[tuple[float, ApiCalled]] = field(default_factory=list)
    calls: list[ApiCalled] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Goes on."""
        self.now += seconds
        self.calls += [call for at, call in self.due if at <= self.now]
        self.due = [one for one in self.due if one[0] > self.now]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    virtual = Time()
    monkeypatch.setattr(replies, "monotonic", lambda: virtual.now)
    monkeypatch.setattr(replies, "sleep", virtual.sleep)
    return virtual


def case_of(user: int) -> Case:
    dice = Dice(user)
    return as_case(
        platform_of("telegram"), Endpoint(), platform_of("telegram").say("hi", dice, user=user), dice, "c", ""
    )


def asked(time: Time, watch: ReplyWatch, user: int, *, reply_s: float | None, answer_s: float) -> float:
    """Somebody asks, and gets a reply and an answer after so many seconds; how long the answer is followed by waiting."""
    case, sent = case_of(user), time.now
    with watch.awaiting(case):
        watch.sending(case)
        if reply_s is not None:
            time.due.append((sent + reply_s, ApiCalled(sent + reply_s - STARTED, "sendMessage", user, "hello")))
        time.sleep(answer_s)
        watch.answered(case)
        answered = time.now
        assert watch.quiet(case, sent)
    return time.now - answered


def test_a_target_that_answers_when_all_is_done_is_not_waited_for(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    unknown = asked(time, watch, 1, reply_s=0.01, answer_s=0.02)
    watch.answers_last = True
    assert asked(time, watch, 2, reply_s=0.01, answer_s=0.02) < unknown / 3
    assert asked(time, watch, 3, reply_s=None, answer_s=0.02) < watch.patience_s / 3


def test_replies_that_come_after_the_answer_are_waited_for_all_the_same(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    watch.answers_last = True
    for user in range(10, 20):
        asked(time, watch, user, reply_s=0.03, answer_s=0.01)
    assert not watch.prompt
    assert asked(time, watch, 30, reply_s=0.3, answer_s=0.01) > 0.3


def test_who_was_asked_lately_is_known_whichever_stage_asked(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    sent = time.now
    watch.sending(case_of(7))
    assert watch.asked("7", sent + 1.0, 1.5)
    assert not watch.asked(7, sent + 2.0, 1.5)
    assert not watch.asked(7, sent - 0.1, 1.5), "what comes before cannot be the answer"
    assert not watch.asked(8, sent + 1.0, 1.5)


def test_a_call_is_timed_by_when_it_came_and_not_by_when_it_is_known(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    case = case_of(1)
    with watch.awaiting(case):
        watch.sending(case)
        time.due.append((time.now + 2.0, ApiCalled(0.05, "sendMessage", 1, "hello", via="reply")))
        time.sleep(2.5)
        watch.look()
    assert watch.patience_s < 0.5
    assert not watch.replies(case, time.now - 1.0), "what came before is no reply to what was sent then"
    assert watch.replies(case, STARTED)


def test_a_crowd_does_not_show_how_long_the_target_takes(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    crowd = [case_of(user) for user in range(100, 160)]
    for case in crowd:
        watch.sending(case)
    time.calls += [ApiCalled(2.0 + nth / 100, "sendMessage", case.chat, "hi") for nth, case in enumerate(crowd)]
    time.sleep(4.0)
    asked(time, watch, 1, reply_s=0.01, answer_s=0.02)
    assert watch.patience_s < 0.5


def test_pieces_of_a_reply_are_waited_for_as_long_as_they_take(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for user in range(200, 250):
        second = ApiCalled(time.now + 0.21 - STARTED, "sendMessage", user, "and more")
        time.due.append((time.now + 0.21, second))
        asked(time, watch, user, reply_s=0.01, answer_s=0.005)
    assert 0.2 < watch.gap_s < 0.5


def test_what_others_do_beside_somebody_who_asks_often_is_no_piece_of_a_reply(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for _ in range(60):  # the admin, who is told of what others do
        notice = ApiCalled(time.now + 0.11 - STARTED, "sendMessage", 777, "Somebody has come.")
        time.due.append((time.now + 0.11, notice))
        asked(time, watch, 777, reply_s=0.01, answer_s=0.005)
    assert watch.gap_s < 0.2


def test_what_all_are_told_is_no_piece_of_a_reply(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for user in range(200, 250):
        for chat in (1, 2, 3, 4, user):
            news = ApiCalled(time.now + 0.21 - STARTED, "sendMessage", chat, f"number {user} is out")
            time.due.append((time.now + 0.21, news))
        asked(time, watch, user, reply_s=0.01, answer_s=0.005)
    assert watch.gap_s < 0.2


def test_what_comes_unasked_to_several_chats_is_an_announcement(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    case = case_of(1)
    watch.sending(case)
    news = [ApiCalled(0.1, "sendMessage", chat, "the shop is shut") for chat in (1, 2, 3, 4)]
    answer = ApiCalled(0.2, "sendMessage", 1, "hello")
    time.calls += [*news[:3], answer]
    watch.look()
    assert not watch.announced(news[0])  # two others were told, who may have asked for it
    time.calls.append(news[3])
    watch.look()
    assert watch.announced(news[0])
    assert not watch.announced(answer)


def test_what_several_ask_for_at_once_is_no_announcement(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for user in (1, 2, 3, 4, 5):
        watch.sending(case_of(user))
    time.calls += [ApiCalled(0.1, "sendMessage", user, "hello") for user in (1, 2, 3, 4, 5)]
    watch.look()
    assert not watch.announced(time.calls[0])


def test_who_asks_much_does_not_wait_for_what_was_slow_a_while_ago(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for user in range(200, 300):
        time.due.append((time.now + 1.2, ApiCalled(time.now + 1.2 - STARTED, "sendMessage", user, "and more")))
        asked(time, watch, user, reply_s=1.0, answer_s=0.005)
    assert watch.patience_s > 1.5
    assert watch.gap_s > 0.25
    for user in range(300, 400):
        asked(time, watch, user, reply_s=0.01, answer_s=0.005)
    assert watch.brief_s < 0.5
    assert watch.gap_s < 0.2
    assert watch.patience_s > 1.5  # but who has the time waits for what may be slower than the rest


def test_one_late_reply_of_a_few_holds_nobody_up_who_asks_much(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for user in range(200, 220):
        asked(time, watch, user, reply_s=0.01, answer_s=0.005)
    time.now += 10
    for user, reply_s in enumerate((0.01, 0.02, 0.3, 0.01, 0.03, 0.02, 0.01, 0.02), 300):
        asked(time, watch, user, reply_s=reply_s, answer_s=0.005)
    assert watch.brief_s < 0.5


def test_a_reply_that_comes_soon_after_the_waiting_was_over_makes_it_longer(time: Time) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    for user in range(200, 260):
        asked(time, watch, user, reply_s=0.01, answer_s=0.005)
    assert watch.patience_s < 0.5
    for user in range(300, 304):
        asked(time, watch, user, reply_s=0.7, answer_s=0.005)
        time.sleep(1.0)
    watch.look()
    assert watch.patience_s > 0.7


@pytest.mark.parametrize(("likely", "briefly"), [(1, True), (2, False), (0, False)])
def test_after_as_many_replies_as_mostly_come_a_further_one_is_waited_for_only_briefly(
    time: Time, likely: int, briefly: bool
) -> None:
    watch = ReplyWatch(lambda: time.calls, lambda: False, STARTED)
    case, sent = case_of(7), time.now
    time.due.append((sent + 0.01, ApiCalled(sent + 0.01 - STARTED, "sendMessage", 7, "hello")))
    with watch.awaiting(case):
        watch.sending(case)
        assert watch.quiet(case, sent, likely=likely)
    assert (time.now - sent < 0.15) is briefly
