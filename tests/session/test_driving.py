"""How many processes share a load or a campaign: what was asked for holds, on a cluster too."""

from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest

from chaosbot.config.experiment import read_experiment
from chaosbot.core.errors import TargetUnusable
from chaosbot.session.driving import endpoint_for, require_webhook, worker_processes
from chaosbot.transport import Tls
from chaosbot.workers import Worker
from tests.support.campaigns import served

NOTHING: Any = None


@pytest.mark.parametrize(
    ("cluster", "asked", "count"),
    [
        (None, None, 1),
        (None, 3, 3),
        (None, 0, 0),
        ("tcp://127.0.0.1:1", 0, 0),  # nothing listens there, and nothing is asked
    ],
)
def test_the_number_of_processes_is_the_one_that_was_asked_for(
    cluster: str | None, asked: int | None, count: int
) -> None:
    with worker_processes(NOTHING, NOTHING, cluster, asked) as (found, start):
        assert (found, start) == (count, Worker)


def test_an_experiment_without_a_number_leaves_it_to_the_cluster() -> None:
    assert read_experiment("resilience").workload.processes is None


@pytest.mark.parametrize("path", ["/slack/events", "/elsewhere"])
def test_a_framework_that_knows_no_handler_for_an_empty_document_is_a_webhook_all_the_same(path: str) -> None:
    class Bolt(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            genuine = self.path != "/slack/events" or self.headers["X-Slack-Signature"]
            self.send_response(404 if genuine else 401)
            self.end_headers()

    with served(Bolt) as url:
        target = url.rpartition("/")[0] + path
        environment: Any = SimpleNamespace(webhook=target, tls=Tls(), demo=None)
        with nullcontext() if path == "/slack/events" else pytest.raises(TargetUnusable, match="404"):
            require_webhook(environment, "slack", "8f742231b10e8888abcd99yyyzzz85a5")


def test_behind_a_proxy_the_target_is_spoken_to_by_its_own_name() -> None:
    """Some senders sign the URL: with the proxy's in it, a target that rebuilds its own refuses everything."""
    environment: Any = SimpleNamespace(webhook="http://127.0.0.1:5000/sms", tls=Tls(), demo=None)
    address, endpoint = endpoint_for(environment, "http://127.0.0.1:9999/sms", "secret")
    assert (address.port, endpoint.host, endpoint.path) == (9999, "127.0.0.1:5000", "/sms")
