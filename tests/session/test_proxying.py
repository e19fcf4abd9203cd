"""What a proxy says before it starts."""

import pytest

from chaosbot.addons.spec import ListenerSpec, ProxySpec
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.session import proxying
from chaosbot.session.proxying import interception_note

FORWARD = ListenerSpec(Direction.OUTBOUND, "")
REVERSE = ListenerSpec(Direction.INBOUND, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("release", "listener", "told"),
    [("11.0.2", FORWARD, True), ("11.0.2", REVERSE, False), ("12.2.3", FORWARD, False), ("13.0.0", FORWARD, False)],
)
def test_an_old_mitmproxy_that_opens_tls_is_told_with_what_to_use_instead(
    monkeypatch: pytest.MonkeyPatch, release: str, listener: ListenerSpec, told: bool
) -> None:
    monkeypatch.setattr(proxying, "version", lambda _name: release)
    note = interception_note(ProxySpec((listener,), 1, FaultPlan()))
    assert bool(note) is told
    if told:
        assert "SECURITY.md" in note
        assert "Python 3.12 and mitmproxy 12" in note
