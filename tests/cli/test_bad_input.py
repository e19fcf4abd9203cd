"""Bad input gets one clear line with what, rule and remedy, exit code 2, and no traceback."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaosbot.core.errors import TargetRefused
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.load.driver import drive
from chaosbot.load.spec import LoadSpec
from chaosbot.session.environment import check_target
from chaosbot.transport import Address

TARGET = "http://127.0.0.1:9/webhook"
DIGITS = "9" * 5000
"""More than Python reads as one number."""
DEEP = "[" * 100_000
"""Deeper than Python's parser of JSON follows."""


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["faults", "latncy"], "did you mean 'latency'?"),
        (["demo", "--port", "0"], "--port: is for the bot alone; add --serve or drop it"),
        (["demo", "--serve", "--llm"], "--llm: is for the tour; drop it or --serve"),
        (["proxy", "http://127.0.0.1:9", "--fault", "latncy:1s"], "did you mean 'latency'?"),
        (["proxy", "http://127.0.0.1:9", "--fault", "latency:250"], '"250ms"'),
        (["proxy", "http://127.0.0.1:9", "--fault", "latency:1s;p=130%"], "outside 0..1"),
        (["proxy", "http://127.0.0.1:9", "--fault", "latency:1s;colour=red"], "colour"),
        (["proxy", "http://127.0.0.1:9", "--plan", "absent.toml"], "cannot be read"),
        (["proxy", "http://127.0.0.1:9", "--plan", "ab\nsent.toml"], "ab\\nsent.toml"),
        (
            ["proxy", "http://127.0.0.1:9", "--fault", "abort;paht=/x"],
            "--fault 'abort;paht=/x': unknown key 'paht'; did you mean",
        ),
        (["proxy", "http://127.0.0.1:9", "--fault", ""], "names no fault"),
        (["proxy", "http://127.0.0.1:9", "--fault", "abort;per=chat"], "add one of them"),
        (["proxy", "http://127.0.0.1:9", "--fault", "abort;command=/help"], "write help"),
        (["proxy", "http://127.0.0.1:9", "--fault", "botapi_429"], "add --outbound mock"),
        (["proxy", "http://127.0.0.1:9", "--duration", "5"], "--duration: '5' has no unit"),
        (["proxy", "http://127.0.0.1:9", "--control", "127.0.0.1:x"], "--control 127.0.0.1:x: is no HOST:PORT"),
        (["proxy", "http://127.0.0.1:9", "--replay", "absent"], "name one that a run wrote"),
        (["proxy", "http://127.0.0.1:9", "--upstream-ca", "absent.pem"], "name a PEM file"),
        (["proxy", "http://127.0.0.1:9", "--listen", "192.0.2.1:0"], "choose an address of this machine"),
        (["proxy", "http://192.0.2.1"], "add --allow-host 192.0.2.1"),
        (["proxy", "http://127.0.0.1:9", "--outbound", "https://192.0.2.1"], "add --allow-host 192.0.2.1"),
        (["proxy", "ftp://127.0.0.1:9"], "http://HOST:PORT"),
        (["proxy", "http://127.0.0.1:9", "--listen", "8080"], "HOST:PORT"),
        (["run", "resilience", "--mode", "mild"], "Available: chaos, full, load"),
        (["run", "resiliense"], "did you mean 'resilience'?"),
        (["run", "absent.toml"], "cannot be read"),
        (["run", "--llm-prices", "absent.toml"], "cannot be read"),
        (["fuzz", TARGET, "--llm-prices", "wrong.csv"], "cannot be read"),
        (["run", TARGET], "127.0.0.1:9"),
        (["run", "resilience", TARGET, TARGET], "one target URL at most"),
        (["run", "--unix", "no.sock", TARGET, TARGET], "one target URL at most"),
        (
            ["load", "--profile", "soka"],
            "--profile: unknown profile 'soka'; did you mean 'soak'? Available: burst, knee, ",
        ),
        (["run", "--profile", "nosuch"], "--profile: unknown profile 'nosuch'; Available: burst, knee, "),
        (["run", "--profile", "steady:1s"], "--profile: rate: '1s': unknown unit 's'"),
        (["load", "--duration", "5"], "has no unit"),
        (["load", "--slo", "p99 around 2s"], "no threshold"),
        (["load", "--abort-on", "errors > many"], "--abort-on: 'errors > many' is no stop condition"),
        (["fuzz", "--guide", TARGET], "--guide: needs --start-cmd"),
        (["fuzz", "--guide-include", "acme", TARGET], "add --guide"),
        (["run", "--abort-on", "p99 > 3 for long"], "--abort-on 'p99 > 3 for long': "),
        (
            ["proxy", "--listen", "unix:"],
            "--listen unix:: is no HOST:PORT; write for example 127.0.0.1:8080 or unix:/run/",
        ),
        (["proxy", "--print-env", "--listen", "unix:chaos.sock"], "--listen unix:chaos.sock: is no HOST:PORT"),
        (["proxy", "http://unix:"], "http://unix:: is no upstream"),
        (
            ["proxy", "http://127.0.0.1:1", "--listen", "unix:no/folder"],
            "choose a path in a folder that is there and yours",
        ),
        (["load", "--profile", "sustained:0"], "sends nothing"),
        (["load", "--platform", "market", "--stream", "market"], "did you mean 'market_stream'?"),
        (["load", "--ca", "absent.pem"], "absent.pem"),
        (["load", TARGET], "127.0.0.1:9"),
        (["fuzz", TARGET], "127.0.0.1:9"),
        (["fuzz", "not a url"], "URL"),
        (["load", f"http://127.0.0.1:{DIGITS}/"], "ports go from 1 to 65535"),
        (["load", "--users", DIGITS], "--users"),
        (["load", "--cluster", f"tcp://127.0.0.1:{DIGITS}"], "is no scheduler"),
        (["mock", "--listen", f"127.0.0.1:{DIGITS}"], "is no HOST:PORT"),
        (["proxy", f"http://127.0.0.1:{DIGITS}"], "is no upstream"),
        (["proxy", TARGET, "--control", f"127.0.0.1:{DIGITS}"], "is no HOST:PORT"),
        (["replay", ".", TARGET, "--bot-api", f"127.0.0.1:{DIGITS}"], "is no HOST:PORT"),
        (["proxy", TARGET, "--fault", f"json_patch:{DEEP}"], "is nested too deeply"),
        (["fuzz", TARGET, "--platform", f"json_webhook:{DEEP}"], "is no JSON object of options"),
        (["fuzz", TARGET, "--duration", "1e3s"], "--duration: '1e': unknown unit"),
        (["fuzz", "--stages", "catalog"], "did you mean 'catalogue'?"),
        (["fuzz", "--bot-api", "10.0.0.1:80"], "loopback"),
        (["fuzz", "--case", "atuh/*"], "--case atuh/*: matches none"),
        (["fuzz", "--corpus", "/dev/null"], "--corpus /dev/null: cannot be written in"),
        (["load", "--out", "x" * 300], "the name is too long for this file system"),
        (["fuzz", "--out", "x" * 300], "too long"),
        (["run", "x" * 300 + ".toml"], "File name too long"),
        (["fuzz", "--baseline", "absent.txt"], "--baseline absent.txt: cannot be read"),
        (["fuzz", "--secret-env", "NO_SUCH_SECRET"], "export NO_SUCH_SECRET="),
        (["load", "--secret-env", "NO_SUCH_SECRET"], "export NO_SUCH_SECRET="),
        (["report", "--format", "pdf", "."], "unknown format 'pdf'"),
        (["demo", "--bugs", "no-dedupe"], "--bugs: unknown planted bug 'no-dedupe'; did you mean 'no-dedup'?"),
        (["run", "--bugs", "no-dedupe"], "did you mean 'no-dedup'?"),
        (["fuzz", "--bugs", "no-dedupe"], "did you mean 'no-dedup'?"),
        (["run", "127.0.0.1:8000/webhook"], "http://127.0.0.1:8000/webhook"),
        (["run", "--users", "0"], "--users: 0 sends nothing"),
        (["run", "--slo", "happiness>3"], "--slo: 'happiness>3': unknown metric 'happiness'"),
        (["run", "--class", "guest=x"], "--class guest=x: 'guest=x' is no NAME=WEIGHT"),
        (["run", "--check", "rate_limit"], "unknown check 'rate_limit'"),
        (["load", "--slo", "p101<1s"], "--slo: 'p101<1s': unknown metric 'p101'"),
        (["load", "--class", "guest=0"], "--class guest=0: gives nothing a weight above 0"),
        (["load", "--mix", "chat"], "--mix chat: 'chat' is no NAME=WEIGHT"),
        (["load", "--slo", "p95{/grnt}<1s"], "promise about p95{/grnt}: unknown task 'grnt'; did you mean 'grant'?"),
        (["load", "--class", "gest=1"], "--class: unknown class 'gest'; did you mean 'guest'"),
        (["run", "--class", "gest=1"], "--class: unknown class 'gest'; did you mean 'guest'"),
        (["run", "--class", "gest=1", "--dry-run"], "--class: unknown class 'gest'; did you mean 'guest'"),
        (["run", "--mix", "chatt=1", "--dry-run"], "--mix: unknown task 'chatt'; did you mean 'chat'"),
        (["run", "--users", "20", "--slo", "p95{/grant}<1s", "--dry-run"], "is about admin alone"),
        (["load", "--users", "20", "--slo", "p95{/grant}<1s"], "is about admin alone, of whom there is none among 20"),
        (["load", "--class", "guest=1", "--mix", "grant=1"], "--mix: unknown task 'grant'"),
        (["load", "--slo", "p99<1s,0.5s"], "--slo: 'p99<1s,0.5s': the alert lies inside the target"),
        (["run", "--slo", "throughput>10/s,20/s"], "the alert lies inside the target"),
        (["load", "--stream", "market_stream"], "--stream market_stream: there are no streams here to choose from"),
        (["load", "--bodies", "some"], "--bodies: unknown choice 'some'"),
        (["load", "--web", "0", "--linger", "soon"], "--linger"),
        (["load", "--linger", "5s"], "--linger: holds what --web or --prometheus show"),
        (["run", "--bodies", "some"], "--bodies: unknown choice 'some'"),
        (["load", "--slo", "p99/fault<2s"], "--slo 'p99/fault<2s': has no window 'fault'"),
        (["run", "--slo", "p99/falt<2s"], "unknown window 'falt'; did you mean 'fault'?"),
        (["run", "--slo", "p99/burst<2s"], "promise 'p99/burst<2s': unknown window 'burst'"),
        (["run", "--profile", "knee"], "profile 'knee': searches a rate"),
        (
            ["run", "--profile", "stages:10s:10", "--duration", "20s"],
            "--duration: --profile stages takes 10s as it is written",
        ),
        (["load", "--otlp", "http://metrics.example:4318"], "--otlp"),
        (["load", "--wait", "3s..1s"], "--wait 3s..1s: the first pause is the longer one"),
        (["load", "--wait", "3x"], "--wait: '3x': unknown unit"),
        (["load", "--wait", "3s", "--rate", "5/s"], "--wait: needs users"),
        (["load", "--processes", "4", "--max-in-flight", "3"], "--max-in-flight: 3 is less than one for each"),
        (["load", "--users", "-3"], "--users: -3 sends nothing"),
        (["load", "--users", "5", "--rate", "5/s"], "--users: users who wait for answers and --rate"),
        (["load", "--rate", "0/s"], "--rate: 0 sends nothing"),
        (["run", "--rate", "fast"], "--rate: 'fast' is not a rate"),
        (["load", "--duration", "long"], "--duration: 'long' is not a duration"),
        (["run", "--seed", "abc"], "see: chaosbot run --help"),
        (["run", "--no-such-option"], "--no-such-option"),
        (["load", "--processes", "0"], "--processes"),
        (["frobnicate"], "frobnicate"),
        (["report"], "directory"),
        (["report", "absent"], "events.ndjson: cannot be read"),
        (["init", "--from", "nothing"], "unknown experiment 'nothing'"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(chaosbot: Callable, arguments: list[str], says: str) -> None:
    done = chaosbot(*arguments)
    assert done.code == 2, done
    assert says in done.err
    assert "Traceback" not in done.err + done.out
    [line] = done.err.strip().splitlines()
    assert line.startswith("chaosbot: ")
    assert len(line) < 4000
    assert "trouble" not in done.out


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('abort_on = ["errors > 3"]', "mine.toml: abort_on: 'errors > 3' is no stop condition"),
        (
            '[[rules]]\nfault = "latency:1s"\nphase = "fault:none"',
            "mine.toml: rule latency: phase: unknown phase 'fault:none'",
        ),
        ('[workload]\nprofile = "stedy"', "mine.toml: workload.profile: unknown profile 'stedy'"),
    ],
)
def test_a_wrong_experiment_file_is_named_with_its_key(
    chaosbot: Callable, tmp_path: Path, written: str, says: str
) -> None:
    (tmp_path / "mine.toml").write_text(written)
    done = chaosbot("run", "mine.toml", "--dry-run")
    assert done.code == 2
    assert says in done.err


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/webhook",
        "http://10.0.0.1/webhook",
        "http://127.0.0.1.example.com/webhook",
        "http://127.evil.example/webhook",
        "http://0.0.0.0:80/",
        "http://[::ffff:8.8.8.8]/",
        "http://localhost.example.com/",
    ],
)
@pytest.mark.parametrize("verb", ["load", "fuzz", "run"])
def test_a_foreign_target_is_refused_with_why_and_how(chaosbot: Callable, verb: str, target: str) -> None:
    done = chaosbot(verb, target)
    assert done.code == 2, done
    assert "only loopback targets" in done.err
    assert "--allow-host" in done.err
    assert "Traceback" not in done.err


def test_a_foreign_target_is_refused_before_any_socket_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guards run where no socket can be made and no name be resolved: they must not even try."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a socket was made or a name resolved")

    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    for url in ("http://example.com/", "https://10.1.2.3:8443/x", "http://127.evil.example/"):
        address = Address.parse(url)
        endpoint = Endpoint(address.authority, address.path)
        with pytest.raises(TargetRefused, match="--allow-host"):
            check_target(url, ())
        with pytest.raises(TargetRefused, match="--allow-host"):
            drive(LoadSpec(url, endpoint, "telegram", 1, PROFILES.build("smoke")), lambda _event: None)
        with pytest.raises(TargetRefused, match="--allow-host"):
            Campaign(CampaignSpec(address, endpoint), lambda _event: None, tuple).run(lambda: False)


def test_a_busy_port_is_named_with_the_remedy(chaosbot: Callable, busy_port: int, tmp_path: Path) -> None:
    done = chaosbot("proxy", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{busy_port}")
    assert done.code == 2
    assert f"{busy_port} is taken; choose another port" in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())  # there was no run, so there is no directory of one
    served = chaosbot("demo", "--serve", "--port", str(busy_port))
    assert served.code == 2
    assert "choose another port" in served.err


def test_an_experiment_with_an_unknown_key_names_file_key_and_the_nearest_name(
    chaosbot: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text('[phases]\nbasline = "3s"\n')
    done = chaosbot("run", "mine.toml")
    assert done.code == 2
    assert "mine.toml: phases.basline" in done.err
    assert "did you mean 'baseline'?" in done.err


def test_a_run_directory_that_holds_a_run_is_not_overwritten(chaosbot: Callable, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "events.ndjson").write_text("")
    done = chaosbot("load", "--out", "taken", "--duration", "1s")
    assert done.code == 2
    assert "choose another directory" in done.err


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python can watch code")
def test_the_guided_tour_says_which_python_it_needs(chaosbot: Callable) -> None:
    done = chaosbot("demo", "--guide")
    assert (done.code, "needs Python 3.12 or newer" in done.err) == (2, True), done.err


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python cannot watch code")
def test_the_guided_tour_finds_what_only_the_code_tells_of(chaosbot: Callable) -> None:
    done = chaosbot("demo", "--guide")
    assert (done.code, "1 of 1 planted bugs found" in done.out) == (0, True), done.out


def test_a_misspelt_verb_is_told_with_the_nearest_one(chaosbot: Callable) -> None:
    done = chaosbot("fuz", "http://127.0.0.1:1/")
    assert (done.code, done.err[:46]) == (2, "chaosbot: unknown verb 'fuz'; did you mean 'fu")


def test_init_writes_a_file_that_run_accepts_and_does_not_overwrite_it(chaosbot: Callable) -> None:
    assert chaosbot("init", "mine.toml").code == 0
    assert chaosbot("init", "mine.toml").code == 2
    dry = chaosbot("run", "mine.toml", "--dry-run")
    assert dry.code == 0, dry.err
    assert "slow-network" in dry.out


@pytest.fixture
def http_server() -> Iterator[int]:
    """A web server without any webhook: it answers 501 to every POST."""
    from http.server import HTTPServer, SimpleHTTPRequestHandler  # noqa: PLC0415
    from threading import Thread  # noqa: PLC0415

    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("verb", ["load", "run", "fuzz"])
def test_a_target_that_is_no_webhook_is_said_to_be_none(chaosbot: Callable, http_server: int, verb: str) -> None:
    done = chaosbot(verb, f"http://127.0.0.1:{http_server}/webhook")
    assert done.code == 2, done
    assert f"http://127.0.0.1:{http_server}/webhook" in done.err
    assert "501" in done.err
    assert "Traceback" not in done.err + done.out


@pytest.mark.parametrize("verb", ["run", "load"])
def test_who_takes_part_is_looked_at_before_anything_is_said_or_written(
    chaosbot: Callable, verb: str, tmp_path: Path
) -> None:
    done = chaosbot(verb, "--class", "gest=1")
    assert (done.code, done.out) == (2, "")
    assert not list(tmp_path.iterdir())
