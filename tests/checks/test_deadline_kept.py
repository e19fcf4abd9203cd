"""A target whose every answer is late is told by its first health requests, whatever else the campaign comes to."""

import pytest

from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import CampaignStarted, CaseTried
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Threat, Verdict

CASE = CaseTried(1.0, "auth/x", "auth", Threat.FORGER, "catalogue", Outcome(Fate.ANSWERED, 401))


@pytest.mark.parametrize(("health_s", "deadline_s", "late"), [(4.0, 3.0, True), (2.9, 3.0, False), (4.0, 0.0, False)])
def test_the_first_health_requests_count(health_s: float, deadline_s: float, late: bool) -> None:
    started = CampaignStarted(0.0, health_s=health_s, deadline_s=deadline_s)
    judgement = CHECKS.build("deadline_kept").judge(History.of([started, CASE]))
    assert (judgement.verdict is Verdict.FAIL) == late
    assert [finding.title for finding in judgement.findings] == (
        ["answers after the 3 s that the platform waits: the plainest valid update"] if late else []
    )
