"""The chaos addon: faults in any mitmproxy, and in chaosbot's own proxy.

Run ``mitmdump -s "$(chaosbot addon)" --set chaos_fault='abort:503;p=0.1'`` (or mitmproxy, mitmweb). Flows that met a fault are marked and
carry a comment with what happened.

Rules:

- Only documented hooks are used; what needs mitmproxy's inside goes through a `Door`.
- In chaosbot's own proxy the worker gives the addon its engine and its door. In a foreign mitmproxy `ChaosScript` makes both
  from mitmproxy's options; what the options mean is decided by the `Composer` (`chaosbot.session.mitmproxy_script`).
- Faults on bytes need sockets of our own: in a foreign mitmproxy they are refused at start, with the verb that can.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mitmproxy import ctx, exceptions

from chaosbot.addons._mitm import Door, Later
from chaosbot.addons.engine import ExchangeEngine
from chaosbot.addons.spec import ProxySpec
from chaosbot.core.errors import ChaosbotError, ConfigError
from chaosbot.core.event import Event
from chaosbot.core.exchange import Depth
from chaosbot.core.plan import FaultPlan

logger: Final = logging.getLogger(__name__)


class ChaosAddon:
    """The hooks of mitmproxy, for one exchange engine.

    Args:
        engine: Decides and performs.
        door: To the mitmproxy that runs the addon.
    """

    def __init__(self, engine: ExchangeEngine, door: Door) -> None:
        self.engine = engine
        self._door = door

    def client_connected(self, client: Any) -> Later | None:
        """A client has connected."""
        return self.engine.open(client.id, self._door.carrier(client))

    def client_disconnected(self, client: Any) -> None:
        """A client connection is over."""
        self.engine.leave(client.id)

    def next_layer(self, chooser: Any) -> None:
        """The next protocol layer is to be chosen."""
        self._door.choose_layer(chooser)

    def requestheaders(self, flow: Any) -> Later | None:
        """A request's head has come."""
        return self.engine.request_head(flow)

    def request(self, flow: Any) -> Later | None:
        """A request is complete."""
        return self.engine.request(flow)

    def responseheaders(self, flow: Any) -> Later | None:
        """An answer's head has come."""
        return self.engine.response_head(flow)

    def response(self, flow: Any) -> Later | None:
        """An answer is complete."""
        return self.engine.response(flow)

    def error(self, flow: Any) -> None:
        """An exchange broke off."""
        self.engine.error(flow)

    def websocket_message(self, flow: Any) -> Later | None:
        """A WebSocket message passes."""
        return self.engine.message(flow)

    def websocket_end(self, flow: Any) -> None:
        """A WebSocket has ended."""
        self.engine.websocket_over(flow)


# ── loaded by mitmproxy ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class AddonOptions:
    """mitmproxy's options ``chaos_…``.

    Args:
        plan: Path of a fault plan, or empty.
        faults: Faults as ``--fault`` takes them.
        seed: The run's seed; 0 chooses one.
        platform: The webhook platform that inbound requests are read by.
        journal: The run directory to write, or empty.
    """

    plan: str = ""
    faults: tuple[str, ...] = ()
    seed: int = 0
    platform: str = ""
    journal: str = ""


class AddonRun(Protocol):
    """What the options amount to."""

    spec: ProxySpec

    def emit(self, event: Event, /) -> None:
        """Takes an event."""

    def close(self) -> None:
        """Ends the run: its journal is complete."""


Composer = Callable[[AddonOptions], AddonRun]
"""Makes a run of the options; raises `ChaosbotError` where they are wrong."""


class ChaosScript:
    """The script that mitmproxy loads: options, and a `ChaosAddon` made of them.

    Args:
        compose: Makes a run of the options.
    """

    def __init__(self, compose: Composer) -> None:
        self._compose = compose
        self._run: AddonRun | None = None
        self._addons: list[ChaosAddon] = []

    @property
    def addons(self) -> Sequence[object]:
        """The addon, once options have made one; mitmproxy calls its hooks."""
        return self._addons

    def load(self, loader: Any) -> None:
        """Declares the options."""
        loader.add_option("chaos_plan", str, "", "A chaosbot fault plan (TOML or YAML).")
        loader.add_option("chaos_fault", Sequence[str], [], "A fault, e.g. 'delay:250ms;p=0.3;path=/webhook/*'.")
        loader.add_option("chaos_seed", int, 0, "The seed of all chance; 0 chooses one.")
        loader.add_option(
            "chaos_platform",
            str,
            "",
            "The webhook platform that inbound requests are read by; the default one if empty.",
        )
        loader.add_option("chaos_journal", str, "", "The run directory to write, for `chaosbot report`.")

    def configure(self, updated: set[str]) -> None:
        """Takes the options; faults may change at any time, the rest belongs to the start.

        Raises:
            OptionsError: They are wrong.
        """
        if not any(name.startswith("chaos_") for name in updated):
            return
        options: Any = ctx.options
        wanted = AddonOptions(
            options.chaos_plan,
            tuple(options.chaos_fault),
            options.chaos_seed,
            options.chaos_platform,
            options.chaos_journal,
        )
        self.done()
        if not wanted.plan and not wanted.faults:
            return
        try:
            self._run = self._compose(wanted)
            refuse_bytes(self._run.spec.plan)
        except ChaosbotError as error:
            self.done()
            if updated >= set(options.keys()):
                # At start mitmproxy would show a traceback; an error that is logged then ends it, with this one line.
                logger.error("chaosbot: %s", error)  # noqa: TRY400 - the line says it all
                return
            raise exceptions.OptionsError(f"chaosbot: {error}") from None  # type: ignore[no-untyped-call]
        self._start(self._run)

    def _start(self, run: AddonRun) -> None:
        # Its imports are mitmproxy's own, which are there by now.
        from chaosbot.addons._mitm.hosted import HostedDoor  # noqa: PLC0415

        engine = ExchangeEngine(run.spec, run.emit, streams=False)
        engine.follow_windows()
        self._addons = [ChaosAddon(engine, HostedDoor(ctx.master))]

    def done(self) -> None:
        """Mitmproxy ends, or other options hold: the run is complete."""
        for addon in self._addons:
            addon.engine.close()
        self._addons = []
        if self._run is not None:
            self._run.close()
            self._run = None


def refuse_bytes(plan: FaultPlan) -> None:
    """Refuses rules that act on bytes.

    Raises:
        ConfigError: There is one.
    """
    for rule in plan.rules:
        if rule.fault.depth is Depth.BYTES:
            raise ConfigError(
                f"rule {rule.name}",
                f"'{rule.fault.name}' acts on the bytes of connections, which mitmproxy's hooks cannot reach; "
                "use `chaosbot proxy` for it, or a fault on exchanges (`delay`, `dribble`, `hang_up` …) here",
            )
