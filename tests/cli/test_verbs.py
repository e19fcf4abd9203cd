"""Every verb explains itself, and the small ones do what they say."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from chaosbot.cli import VERBS
from chaosbot.core.check import CHECKS
from chaosbot.core.fault import FAULTS
from chaosbot.core.profile import PROFILES
from tests.cli.test_load_tls import Webhook


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_has_help_with_an_example(chaosbot: Callable, verb: str) -> None:
    done = chaosbot(*([verb] if verb else []), "--help")
    assert done.code == 0, done
    usage, _, page = done.out.partition("Example")
    assert f"chaosbot {verb}".strip() in page if verb else "chaosbot" in usage
    assert "-completion" not in done.out
    assert "-." not in done.out  # what Markdown takes for a tag would be missing
    assert "Traceback" not in done.err


def test_the_version_is_printed(chaosbot: Callable) -> None:
    assert chaosbot("--version").out.startswith("chaosbot 0.")


@pytest.mark.parametrize(("verb", "registry"), [("faults", FAULTS), ("checks", CHECKS), ("profiles", PROFILES)])
def test_a_registry_lists_every_entry_and_shows_each_page(chaosbot: Callable, verb: str, registry) -> None:
    listed = chaosbot(verb).out
    for name in registry:
        assert name in listed
    page = chaosbot(verb, next(iter(registry)))
    assert page.code == 0
    assert "Use it: chaosbot" in page.out


def test_the_planted_bugs_are_listed_with_what_is_wrong(chaosbot: Callable) -> None:
    listed = chaosbot("demo", "--list").out
    assert "no-dedup" in listed
    assert "takes effect" in listed


def test_the_catalogue_is_listed_with_threat_and_expectation(chaosbot: Callable) -> None:
    done = chaosbot("fuzz", "--list")
    assert "auth/secret-prefix" in done.out
    assert "forger" in done.out
    # One line a case where it goes into a pipe, whatever the width of the terminal.
    lines = done.out.strip().splitlines()
    assert len(lines) >= 400
    assert all("/" in line.split()[0] for line in lines)
    # So are the sequences, which have no fixed bytes.
    (late,) = (line for line in lines if line.startswith("sequences/order-late "))
    assert late.split(None, 2)[1:] == [
        "network",
        "2xx; exactly one effect  # an update with a lower delivery id than the one before it",
    ]


def test_a_schema_for_editors_is_printed(chaosbot: Callable) -> None:
    schema = json.loads(chaosbot("run", "--schema").out)
    assert schema["properties"]["phases"]["properties"].keys() >= {"baseline", "fault", "recovery"}


def test_the_exports_for_a_client_name_the_proxy_and_its_authority(chaosbot: Callable, tmp_path: Path) -> None:
    done = chaosbot("proxy", "--print-env", "--listen", "127.0.0.1:8765", XDG_DATA_HOME=str(tmp_path))
    assert "export HTTPS_PROXY='http://127.0.0.1:8765'" in done.out
    [line] = [line for line in done.out.splitlines() if "NODE_EXTRA_CA_CERTS" in line]
    assert Path(line.split("'")[1]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert chaosbot("ca", XDG_DATA_HOME=str(tmp_path)).out.strip() == line.split("'")[1]


def test_doctor_finds_the_machine_well_and_says_what_is_wrong_with_a_target(chaosbot: Callable) -> None:
    assert chaosbot("doctor").code == 0
    sick = chaosbot("doctor", "http://127.0.0.1:9/webhook")
    assert sick.code == 2
    assert "127.0.0.1:9" in sick.out


def test_doctor_says_that_the_ca_has_no_place_and_goes_on(chaosbot: Callable) -> None:
    for home in ("/proc/nobody", "/dev/null"):
        done = chaosbot("doctor", "http://127.0.0.1:9/webhook", "--json", HOME=home, XDG_DATA_HOME="")
        assert (done.code, done.err) == (2, "")
        wrong = [look for look in json.loads(done.out) if not look["ok"]]
        assert home in wrong[0]["what"]
        assert "XDG_DATA_HOME" in wrong[0]["remedy"]
        assert "127.0.0.1:9" in wrong[1]["what"]


def test_a_corpus_of_forged_requests_is_no_fault_of_the_bot_that_refuses_them(
    chaosbot: Callable, tmp_path: Path
) -> None:
    finding = tmp_path / "findings" / "forged"
    finding.mkdir(parents=True)
    head = "POST /webhook/telegram HTTP/1.1\r\nHost: localhost\r\nX-Telegram-Bot-Api-Secret-Token: wrong\r\n"
    (finding / "request.bin").write_bytes(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
    done = chaosbot("load", "--corpus", "findings", "--rate", "20/s", "--duration", "2s", "--json", "--out", "run")
    report = json.loads(done.out)
    assert report["findings"] == []
    assert report["load"]["completed"] == report["load"]["planned"] == 40
    assert report["verdict"] != "fail"


def test_a_smoke_load_passes_as_json_on_the_healthy_bot(chaosbot: Callable, tmp_path: Path) -> None:
    done = chaosbot("load", "--rate", "30/s", "--duration", "5s", "--slo", "p50<1s,5s", "--json", "--out", "run")
    report = json.loads(done.out)
    assert report["schema"] == "chaosbot.report/1"
    assert report["load"]["planned"] == 150
    assert report["load"]["failed"] == report["load"]["dropped"] == 0
    assert report == json.loads((tmp_path / "run" / "report.json").read_text())


def test_a_short_run_says_that_nobody_takes_its_figures(chaosbot: Callable) -> None:
    nobody = "http://127.0.0.1:9/api/v1/write"
    done = chaosbot("load", "--rate", "20/s", "--duration", "3s", "--remote-write", nobody, "--json", "--quiet")
    (told,) = (reason for reason in json.loads(done.out)["reasons"] if nobody in reason)
    assert "the figures were not taken" in told


def test_a_load_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    """Its start is to take less than a quarter of a second of CPU; each of these takes some hundredths."""
    code = f"""
import os, runpy, sys, trio
def begins(*_, **__):
    print(*sys.modules, flush=True)
    os._exit(7)
trio.run = begins
sys.argv = ["chaosbot", "load", "http://127.0.0.1:{{port}}/", "--users", "1", "--duration", "1s", "--out", {str(tmp_path / "run")!r}]
runpy.run_module("chaosbot", run_name="__main__")
"""
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = code.replace("{port}", str(server.server_port))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        server.shutdown()
    loaded = set(done.stdout.split())
    assert {"trio", "chaosbot.load.engine"} <= loaded, done
    heavy = {"importlib.metadata", "jinja2", "rich.live", "hypothesis", "mitmproxy", "httpx", "plotly"}
    own = {"core.shape", "core.mock", "core.kit", "core.prices", "report.fold", "platforms.telegram._case_kit"}
    assert not loaded & (heavy | {f"chaosbot.{name}" for name in own})


@pytest.mark.slow
def test_a_finding_of_the_embedded_bot_is_replayed_on_the_embedded_bot(chaosbot: Callable, tmp_path: Path) -> None:
    """Found on the fragile bot, mended in the healthy one; the same directory says which."""
    arguments = ("--stages", "catalogue", "--case", "json/root-null", "--duration", "6s", "--corpus", "corpus")
    found = chaosbot("fuzz", *arguments, "--bugs", "crash-on-non-object-root", "--out", "run")
    assert found.code == 1, found
    [directory] = [path for path in (tmp_path / "run" / "findings").iterdir() if path.is_dir()]
    again = chaosbot("replay", str(directory))
    assert again.code == 1, again
    assert "still fails" in again.out
