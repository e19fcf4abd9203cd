"""The control API's figures as Prometheus text: what flowed through each proxy, and what its toxics did."""

from __future__ import annotations

from chaosbot.control.metrics import family
from chaosbot.control.proxies import ToxicProxy


def render(proxies: list[ToxicProxy]) -> str:
    """All proxies' figures; the byte counters are named as Toxiproxy names them."""
    lines: list[str] = []
    traffic = []
    for proxy in proxies:
        for stream, counted in zip(("upstream", "downstream"), proxy.pipe.traffic, strict=True):
            labels = {
                "stream": stream,
                "proxy": proxy.name,
                "listener": proxy.listen,
                "upstream": proxy.upstream,
            }
            traffic.append((labels, counted))
    lines += family(
        "toxiproxy_proxy_received_bytes_total",
        "counter",
        "Bytes that came in.",
        [(labels, counted.received) for labels, counted in traffic],
    )
    lines += family(
        "toxiproxy_proxy_sent_bytes_total",
        "counter",
        "Bytes that went out.",
        [(labels, counted.sent) for labels, counted in traffic],
    )
    lines += family(
        "chaosbot_pipe_connections",
        "gauge",
        "Connections that are open.",
        [({"proxy": proxy.name}, proxy.pipe.connections) for proxy in proxies],
    )
    lines += family(
        "chaosbot_pipe_connections_total",
        "counter",
        "Connections that were accepted.",
        [({"proxy": proxy.name}, proxy.pipe.accepted) for proxy in proxies],
    )
    tallies = [tally for proxy in proxies for tally in proxy.pipe.tallied()]
    for name, help_line in (
        ("considered", "Connections that a rule looked at."),
        ("decided", "Connections on which a rule's fault was to act."),
        ("applied", "Connections on which it did."),
        ("failed", "Connections on which it broke."),
    ):
        lines += family(
            f"chaosbot_rule_{name}_total",
            "counter",
            help_line,
            [({"rule": tally.rule, "fault": tally.fault}, getattr(tally, name)) for tally in tallies],
        )
    return "".join(line + "\n" for line in lines)
