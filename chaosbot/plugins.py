"""The public surface for plug-ins: what a package of your own needs to add a fault, a check, a platform, a profile, a mock or a
reporter.

::

    from chaosbot.plugins import Fault, option

| to add | derive from | entry point group | page |
|---|---|---|---|
| a fault | `Fault` | ``chaosbot.faults`` | ``docs/adding-a-fault.md`` |
| a check | `Check` | ``chaosbot.checks`` | ``docs/adding-a-check.md`` |
| a platform | `Platform` | ``chaosbot.platforms`` | ``docs/adding-a-platform.md`` |
| a load profile | `Profile` | ``chaosbot.profiles`` | ``docs/adding-a-profile.md`` |
| a mock of an API | `Mock` | ``chaosbot.mocks`` | ``docs/adding-a-mock.md`` |
| a format of reports | `Reporter` | ``chaosbot.reporters`` | ``docs/adding-a-reporter.md`` |

Rules:

- Names of this module are stable under semantic versioning; where they live inside chaosbot is not.
- A plug-in is a frozen dataclass whose fields are made by `option`: command line, files, help and schema follow from them. Its name is
  the name of the file (or folder) that it stands in, and of its entry point.
- A plug-in decides and never performs: no clock, no socket, no thread, and no chance but the `Dice` that it is given.
"""

from __future__ import annotations

from chaosbot.core.case import Case, Change, Ending, Expect, Reach, Reading, Role, Segment
from chaosbot.core.check import Check, History
from chaosbot.core.dice import Dice
from chaosbot.core.effect import (
    Answer,
    CloseIdle,
    CorruptBytes,
    CutAfter,
    CutBody,
    DelayLaw,
    DisturbMessages,
    Dribble,
    Effect,
    Farewell,
    HangUp,
    HoldBytes,
    HoldClose,
    HoldForNext,
    MessageAction,
    PaceBytes,
    Point,
    RefuseConnection,
    ResetConnection,
    SendAgain,
    SendEarlier,
    SendH2Frame,
    SendRaw,
    SetBody,
    SetHeader,
    Side,
    Silence,
    SliceBytes,
    StreamBody,
    StreamDirection,
    Throttle,
    Wait,
)
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import (
    ApiCalled,
    CaseTried,
    Event,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    ProbeSeen,
    RequestDone,
)
from chaosbot.core.exchange import Depth, Direction, Exchange, UpdateFacts
from chaosbot.core.fault import Fault
from chaosbot.core.journey import DeliveryRules, JourneySpec, StreamSpec, Task
from chaosbot.core.mock import Mock, MockAnswer, MockApi, MockRequest, MockServices, Part
from chaosbot.core.pacer import Pacer, Stage
from chaosbot.core.platform import Endpoint, Platform, Request
from chaosbot.core.profile import Profile, Threshold, Workload, climb
from chaosbot.core.registry import option
from chaosbot.core.verdict import Assertion, Finding, Judgement, Mechanism, RootCause, Severity, Threat, Verdict
from chaosbot.report import Report, Reporter

__all__ = [
    "Answer",
    "ApiCalled",
    "Assertion",
    "Case",
    "CaseTried",
    "Change",
    "Check",
    "CloseIdle",
    "ConfigError",
    "CorruptBytes",
    "CutAfter",
    "CutBody",
    "DelayLaw",
    "DeliveryRules",
    "Depth",
    "Dice",
    "Direction",
    "DisturbMessages",
    "Dribble",
    "Effect",
    "Ending",
    "Endpoint",
    "Event",
    "Exchange",
    "ExchangeSeen",
    "Expect",
    "Farewell",
    "Fault",
    "Finding",
    "HangUp",
    "History",
    "HoldBytes",
    "HoldClose",
    "HoldForNext",
    "Injected",
    "IntervalMeasured",
    "JourneySpec",
    "Judgement",
    "Mechanism",
    "MessageAction",
    "Mock",
    "MockAnswer",
    "MockApi",
    "MockRequest",
    "MockServices",
    "PaceBytes",
    "Pacer",
    "Part",
    "Platform",
    "Point",
    "ProbeSeen",
    "Profile",
    "Reach",
    "Reading",
    "RefuseConnection",
    "Report",
    "Reporter",
    "Request",
    "RequestDone",
    "ResetConnection",
    "Role",
    "RootCause",
    "Segment",
    "SendAgain",
    "SendEarlier",
    "SendH2Frame",
    "SendRaw",
    "SetBody",
    "SetHeader",
    "Severity",
    "Side",
    "Silence",
    "SliceBytes",
    "Stage",
    "StreamBody",
    "StreamDirection",
    "StreamSpec",
    "Task",
    "Threat",
    "Threshold",
    "Throttle",
    "UpdateFacts",
    "Verdict",
    "Wait",
    "Workload",
    "climb",
    "option",
]
