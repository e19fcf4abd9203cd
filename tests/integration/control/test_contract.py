"""The control API, call by call, against the contract of Toxiproxy 2.12."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from chaosbot.core.event import Noted


def error_of(answer):
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith("}\n")
    return answer.status_code, answer.json()


@pytest.fixture
def proxy(http, echo):
    return http.post("/proxies", json={"name": "one", "upstream": echo}).json()


def test_a_proxy_is_created_with_the_defaults_of_the_contract(http, echo):
    answer = http.post("/proxies", json={"name": "one", "upstream": echo})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    proxy = answer.json()
    host, _, port = proxy.pop("listen").rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert proxy == {"name": "one", "upstream": echo, "enabled": True, "toxics": []}


def test_null_fields_keep_their_defaults_and_unknown_ones_are_ignored(http, echo):
    body = {"name": "one", "upstream": echo, "enabled": None, "listen": None, "colour": "red"}
    assert http.post("/proxies", json=body).json()["enabled"] is True


def test_a_disabled_proxy_does_not_listen_until_it_is_enabled(http, echo, connect):
    proxy = http.post(
        "/proxies", json={"name": "one", "upstream": echo, "listen": "127.0.0.1:0", "enabled": False}
    ).json()
    assert proxy["listen"] == "127.0.0.1:0"
    assert proxy["enabled"] is False
    proxy = http.patch("/proxies/one", json={"enabled": True}).json()
    sock = connect(proxy["listen"])
    sock.sendall(b"hi")
    assert sock.recv(2) == b"hi"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"upstream": "127.0.0.1:1"}, "missing required field: name"),
        ({"name": "x"}, "missing required field: upstream"),
        ({}, "missing required field: name"),
    ],
)
def test_missing_fields_are_named(http, body, message):
    assert error_of(http.post("/proxies", json=body)) == (400, {"error": message, "status": 400})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 5}', '{"name":"x","upstream":"y","enabled":"yes"}'])
def test_bodies_that_are_none_are_refused(http, content):
    status, error = error_of(http.post("/proxies", content=content))
    assert status == 400
    assert error["error"].startswith("bad request body: ")


def test_two_proxies_of_one_name_conflict(http, proxy):
    answer = http.post("/proxies", json={"name": "one", "upstream": proxy["upstream"]})
    assert error_of(answer) == (409, {"error": "proxy already exists", "status": 409})


def test_an_address_that_is_taken_is_a_500(http, proxy):
    status, error = error_of(
        http.post("/proxies", json={"name": "two", "upstream": proxy["upstream"], "listen": proxy["listen"]})
    )
    assert status == 500
    assert "address already in use" in error["error"]
    assert http.get("/proxies/two").status_code == 404


def test_proxies_are_listed_shown_and_deleted(http, proxy):
    assert http.get("/proxies").json() == {"one": proxy}
    assert http.get("/proxies/one").json() == proxy
    answer = http.delete("/proxies/one")
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (("GET", "/proxies/one"), ("DELETE", "/proxies/one"), ("POST", "/proxies/one/toxics")):
        assert error_of(http.request(method, path)) == (404, {"error": "proxy not found", "status": 404})


def test_a_deleted_proxy_frees_its_port(http, proxy, echo):
    http.delete("/proxies/one")
    again = http.post("/proxies", json={"name": "one", "upstream": echo, "listen": proxy["listen"]})
    assert again.status_code == 201


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_updating_ignores_the_name_and_drops_connections_when_addresses_change(http, proxy, connect, method):
    sock = connect(proxy["listen"])
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    http.request(method, "/proxies/one", json={"name": "other", "enabled": True})
    sock.sendall(b"y")
    assert sock.recv(1) == b"y", "nothing changed, nothing was dropped"
    answer = http.request(method, "/proxies/one", json={"upstream": "127.0.0.1:9"})
    assert answer.status_code == 200
    assert answer.json() == {**proxy, "upstream": "127.0.0.1:9"}
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""


def test_disabling_drops_connections_and_toxics_survive_it(http, proxy, connect):
    http.post("/proxies/one/toxics", json={"type": "latency", "attributes": {"latency": 150}})
    sock = connect(proxy["listen"])
    http.patch("/proxies/one", json={"enabled": False})
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy["listen"])
    again = http.patch("/proxies/one", json={"enabled": True}).json()
    assert again["listen"] == proxy["listen"]
    assert [toxic["name"] for toxic in again["toxics"]] == ["latency_downstream"]
    sock = connect(again["listen"])
    began = time.monotonic()
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    assert time.monotonic() - began >= 0.15


def test_a_toxic_has_the_defaults_of_the_contract(http, proxy):
    answer = http.post("/proxies/one/toxics", json={"type": "slicer"})
    assert answer.status_code == 200
    assert answer.json() == {
        "attributes": {"average_size": 0, "size_variation": 0, "delay": 0},
        "name": "slicer_downstream",
        "type": "slicer",
        "stream": "downstream",
        "toxicity": 1,
    }


def test_the_stream_is_read_in_any_case_and_echoed_as_sent(http, proxy):
    toxic = http.post("/proxies/one/toxics", json={"type": "noop", "stream": "UpStream"}).json()
    assert toxic["stream"] == "UpStream"
    assert toxic["name"] == "noop_UpStream"


def test_toxics_are_listed_with_those_of_the_upstream_first(http, proxy):
    for name, stream in (("a", "downstream"), ("b", "upstream"), ("c", "downstream"), ("d", "upstream")):
        http.post("/proxies/one/toxics", json={"type": "noop", "name": name, "stream": stream})
    listed = [toxic["name"] for toxic in http.get("/proxies/one/toxics").json()]
    assert listed == ["b", "d", "a", "c"]
    assert [toxic["name"] for toxic in http.get("/proxies/one").json()["toxics"]] == listed


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "earthquake"}, "invalid toxic type"),
        ({}, "invalid toxic type"),
        ({"type": "latency", "stream": "sideways"}, "stream was invalid, can be either upstream or downstream"),
    ],
)
def test_toxics_that_are_none_are_refused(http, proxy, body, message):
    assert error_of(http.post("/proxies/one/toxics", json=body)) == (400, {"error": message, "status": 400})
    assert http.get("/proxies/one/toxics").json() == []


@pytest.mark.parametrize("value", ["100", 1.5, True, [1], 1 << 64])
def test_attributes_are_whole_numbers(http, proxy, value):
    status, error = error_of(
        http.post("/proxies/one/toxics", json={"type": "latency", "attributes": {"latency": value}})
    )
    assert status == 400
    assert error["error"].startswith("bad request body: ")


def test_names_of_toxics_are_unique_over_both_streams(http, proxy):
    http.post("/proxies/one/toxics", json={"type": "noop", "name": "x", "stream": "upstream"})
    answer = http.post("/proxies/one/toxics", json={"type": "latency", "name": "x"})
    assert error_of(answer) == (409, {"error": "toxic already exists", "status": 409})


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_patching_a_toxic_merges_attributes_and_toxicity_only(http, proxy, method):
    http.post("/proxies/one/toxics", json={"type": "latency", "attributes": {"latency": 5, "jitter": 2}})
    answer = http.request(
        method,
        "/proxies/one/toxics/latency_downstream",
        json={"attributes": {"latency": 7, "colour": 3}, "toxicity": 0.5, "name": "no", "stream": "upstream"},
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "attributes": {"latency": 7, "jitter": 2},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
    }
    assert http.get("/proxies/one/toxics/latency_downstream").json() == answer.json()


def test_a_toxic_is_deleted_and_then_unknown(http, proxy):
    http.post("/proxies/one/toxics", json={"type": "noop"})
    assert http.delete("/proxies/one/toxics/noop_downstream").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        answer = http.request(method, "/proxies/one/toxics/noop_downstream", json={})
        assert error_of(answer) == (404, {"error": "toxic not found", "status": 404})


def test_populate_creates_replaces_and_leaves_what_matches(http, echo, connect):
    first = http.post("/populate", json=[{"name": "a", "upstream": echo}, {"name": "b", "upstream": echo}])
    assert first.status_code == 201
    a, b = first.json()["proxies"]
    http.post("/proxies/a/toxics", json={"type": "noop"})
    sock = connect(a["listen"])
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    second = http.post(
        "/populate",
        json=[
            {"name": "a", "upstream": echo, "listen": a["listen"]},
            {"name": "b", "upstream": "127.0.0.1:9", "listen": b["listen"]},
        ],
    ).json()["proxies"]
    assert [toxic["name"] for toxic in second[0]["toxics"]] == ["noop_downstream"]
    assert second[1]["upstream"] == "127.0.0.1:9"
    sock.sendall(b"y")
    assert sock.recv(1) == b"y", "the matching one was not touched"


def test_toxics_that_a_new_proxy_brings_along_are_not_dropped_without_a_word(http, echo, connect):
    toxics = [{"type": "limit_data", "attributes": {"bytes": 1}}]
    (proxy,) = http.post("/populate", json=[{"name": "a", "upstream": echo, "toxics": toxics}]).json()["proxies"]
    assert [toxic["name"] for toxic in proxy["toxics"]] == ["limit_data_downstream"]
    sock = connect(proxy["listen"])
    sock.sendall(b"xyz")
    assert sock.recv(3) == b"x"
    assert sock.recv(3) == b""
    answer = http.post("/populate", json=[{"name": "b", "upstream": echo, "toxics": [{"type": "quake"}]}])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid toxic type")
    assert list(http.get("/proxies").json()) == ["a"]


def test_populate_of_nothing_is_null(http):
    answer = http.post("/populate", json=[])
    assert (answer.status_code, answer.json()) == (201, {"proxies": None})


def test_populate_checks_all_fields_before_it_creates_anything(http, echo):
    answer = http.post("/populate", json=[{"name": "a", "upstream": echo}, {"name": "b"}])
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == 400
    assert answer.json() == {"error": "missing required field: upstream at proxy 2", "status": 400, "proxies": None}
    assert http.get("/proxies").json() == {}


def test_populate_keeps_what_succeeded_before_an_error(http, echo):
    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = http.post(
            "/populate", json=[{"name": "a", "upstream": echo}, {"name": "b", "upstream": echo, "listen": busy}]
        )
    assert answer.status_code == 500
    assert [proxy["name"] for proxy in answer.json()["proxies"]] == ["a"]
    assert list(http.get("/proxies").json()) == ["a"]


def test_reset_enables_everything_and_drops_toxics(http, proxy, echo):
    http.post("/proxies/one/toxics", json={"type": "timeout"})
    http.post("/proxies", json={"name": "off", "upstream": echo, "enabled": False})
    answer = http.post("/reset")
    assert (answer.status_code, answer.content) == (204, b"")
    proxies = http.get("/proxies").json()
    assert [each["enabled"] for each in proxies.values()] == [True, True]
    assert proxies["one"]["toxics"] == []


def test_the_version_is_the_one_that_clients_compare(http):
    answer = http.get("/version")
    assert answer.text == '{"version": "2.12.0"}\n'
    assert answer.headers["content-type"] == "application/json;charset=utf-8"


def test_browsers_are_refused_everywhere(http):
    for path in ("/version", "/proxies", "/nowhere"):
        answer = http.get(path, headers={"User-Agent": "Mozilla/5.0"})
        assert (answer.status_code, answer.text) == (403, "User agent not allowed\n")


def test_unknown_paths_are_404_and_wrong_methods_405(http, proxy):
    assert http.get("/nowhere").status_code == 404
    assert http.get("/reset").status_code == 405
    assert http.delete("/proxies").status_code == 405
    assert http.put("/proxies/one", json={}).status_code == 405


def test_upstreams_beyond_this_machine_need_permission(http):
    for upstream in ("93.184.216.34:80", "example.org:443"):
        status, error = error_of(http.post("/proxies", json={"name": "far", "upstream": upstream}))
        assert status == 400
        assert "--allow-host" in error["error"]


def test_a_foreign_upstream_may_be_configured_and_is_refused_when_its_proxy_is_enabled(http):
    made = http.post("/proxies", json={"name": "far", "upstream": "example.org:443", "enabled": False})
    assert (made.status_code, made.json()["enabled"]) == (201, False)
    status, error = error_of(http.post("/proxies/far", json={"enabled": True}))
    assert (status, "--allow-host" in error["error"]) == (400, True)
    assert http.get("/proxies/far").json()["enabled"] is False
    assert http.post("/proxies/far", json={"upstream": "127.0.0.1:9", "enabled": True}).json()["enabled"] is True


def test_a_proxy_that_is_moved_to_a_foreign_upstream_listens_and_connects_to_nobody(api, http, proxy, connect):
    moved = http.post("/proxies/one", json={"upstream": "example.org:443", "enabled": True})
    assert (moved.status_code, moved.json()["enabled"]) == (200, True)
    sock = connect(moved.json()["listen"])
    assert sock.recv(1) == b""
    until = time.monotonic() + 30  # the connection's end and the event run on two ways
    while not any(isinstance(event, Noted) and "--allow-host example.org" in event.text for event in api.events):
        assert time.monotonic() < until, api.events
        time.sleep(0.01)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8474"},
        {"Host": "[::1]@evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/plan"), ("POST", "/reset"), ("DELETE", "/proxies/one"), ("GET", "/plan"), ("GET", "/metrics")],
)
def test_what_another_site_may_have_sent_is_refused(http, proxy, headers, method, path):
    assert http.request(method, path, headers=headers).status_code == 403
    assert "one" in http.get("/proxies").json()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "192.0.2.1:8474"])
def test_changes_that_name_this_machine_are_taken(http, name):
    own = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
    assert http.post("/reset", headers=own).status_code == 204


def test_metrics_tell_traffic_and_what_toxics_did(api, http, proxy, connect):
    http.post("/proxies/one/toxics", json={"type": "latency", "attributes": {"latency": 1}})
    sock = connect(proxy["listen"])
    sock.sendall(b"hello")
    assert sock.recv(5) == b"hello"
    text = http.get("/metrics").text
    labels = f'listener="{proxy["listen"]}",proxy="one",stream="%s",upstream="{proxy["upstream"]}"'
    assert f"toxiproxy_proxy_received_bytes_total{{{labels % 'upstream'}}} 5.0\n" in text
    assert f"toxiproxy_proxy_sent_bytes_total{{{labels % 'downstream'}}} 5.0\n" in text
    assert 'chaosbot_pipe_connections{proxy="one"} 1.0\n' in text
    assert 'chaosbot_rule_applied_total{fault="latency",rule="one/latency_downstream"} 1.0\n' in text
    assert text.endswith("chaosbot_more 1\n")


def test_the_plan_is_read_replaced_and_merged_by_rule_names(api, http):
    plan = {"seed": 5, "rules": [{"name": "slow", "fault": "latency", "rate": 0.5}]}
    assert http.put("/plan", json=plan).json() == plan
    assert http.get("/plan").json() == plan
    answer = http.patch("/plan", json={"rules": {"slow": {"rate": 0.1}, "cut": {"fault": "limit_data"}}})
    assert answer.json()["rules"] == [
        {"name": "slow", "fault": "latency", "rate": 0.1},
        {"name": "cut", "fault": "limit_data"},
    ]
    answer = http.patch("/plan", json={"seed": None, "rules": {"slow": None}})
    assert answer.json() == {"rules": [{"name": "cut", "fault": "limit_data"}]}


def test_a_wrong_plan_is_refused_with_its_reason_and_the_old_one_stays(api, http):
    http.put("/plan", json={"rules": []})
    status, error = error_of(http.put("/plan", json={"rules": [{"name": "x"}]}))
    assert status == 400
    assert error["error"] == "rules[0].fault: missing; every rule needs a fault; name one"
    assert http.get("/plan").json() == {"rules": []}
    assert http.put("/plan", json=[1]).status_code == 400


def test_every_answer_but_those_without_a_page_carries_a_number_of_its_own(http, proxy):
    told = [http.get(path) for path in ("/version", "/proxies", "/proxies/none")]
    told += [http.get("/version", headers={"User-Agent": "Mozilla/5.0"})]
    ids = [answer.headers["x-toxiproxy-request-id"] for answer in told]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 20 and one.isalnum() and one == one.lower() for one in ids)
    for answer in (http.get("/nowhere"), http.put("/proxies")):
        assert "x-toxiproxy-request-id" not in answer.headers
