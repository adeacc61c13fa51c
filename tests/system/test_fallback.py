"""What stands in for an upstream that fails: a value from the configuration, or another upstream."""

import json

import pytest

from fanoutd_process import endpoint, run_fanoutd, section
from http_wire import WAIT_SECONDS
from scripted_upstream import (
    answer,
    by_path,
    gated,
    in_turn,
    json_body,
    resetting,
    silence,
    text_body,
)

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}
FAILED = answer(500, '"what the upstream said"', "application/json")


def static(text):
    """As it is written in upstreams.conf."""
    return json.dumps(text, ensure_ascii=False)


def check_stood_in(result, body, attempts=1):
    assert result["ok"] is True and result["via"] == "fallback" and result["body"] == body
    assert result["attempts"] == attempts and "error" not in result


# A value


@pytest.mark.parametrize(
    "value",
    [{"ads": []}, [], {}, "text", "", 42, -1.5e3, True, False, None, {"a": [1, {"b": "ü"}]}],
)
def test_any_json_value_stands_in(fanoutd, upstream, value):
    server = fanoutd(section("a", upstream(FAILED), fallback=static(json.dumps(value))))

    seen = server.get()

    assert seen.status == 200 and seen.document["status"] == "ok"
    assert seen.headers["X-Fanout-Complete"] == "true"
    check_stood_in(seen.results[0], value)
    assert seen.results[0]["status"] is None
    assert server.upstream("a")["outcomes"] == {"http_status": 1}
    assert server.upstream("a")["fallbacks"] == 1


def test_the_value_is_passed_on_byte_for_byte(fanoutd, upstream):
    value = '{"n":12345678901234567890.000,  "u":"\\u00e9"}'
    server = fanoutd(section("a", upstream(FAILED), fallback=static(f" {value} ")))

    assert f'"body":{value}}}'.encode() in server.get().body


def test_what_succeeds_needs_no_fallback(fanoutd, upstream):
    one = upstream(json_body('"own"'))
    server = fanoutd(section("a", one, fallback="'1'"), section("b", one, fallback="a"))

    for result in server.get().results:
        assert result["body"] == "own" and "via" not in result
    assert server.upstream("a")["fallbacks"] == server.upstream("b")["fallbacks"] == 0


def test_it_meets_what_is_required(fanoutd, upstream):
    server = fanoutd(
        section("a", upstream(FAILED), fallback="'0'", required=True),
        section("b", upstream(silence), timeout="100ms", fallback="'{}'"),
        endpoint("/fetch-multiple", upstreams=["a", "b"], require="all", fail_fast=True),
    )
    seen = server.get()

    assert seen.status == 200 and seen.outcomes == {"a": "ok", "b": "ok"}


# Whatever fails


def failing(kind, upstream, refusing_port):
    if kind == "connect_refused":
        return refusing_port.url
    return upstream(
        {
            "http_status": FAILED,
            "reset": resetting,
            "timeout": silence,
            "invalid_json": json_body("{"),
            "protocol_error": lambda exchange: exchange.finish(b"nonsense\r\n\r\n"),
            "response_too_large": text_body("x" * 2000),
        }[kind]
    )


KINDS = [
    "http_status",
    "reset",
    "timeout",
    "invalid_json",
    "protocol_error",
    "response_too_large",
    "connect_refused",
]


@pytest.mark.parametrize("transport", ["auto", "curl"])
@pytest.mark.parametrize("kind", KINDS)
def test_for_each_way_to_fail(fanoutd, upstream, refusing_port, kind, transport):
    bad = failing(kind, upstream, refusing_port)
    settings = {"timeout": "200ms", "max_response": "1k", "transport": transport}
    server = fanoutd(
        section("value", bad, fallback="'[1]'", **settings),
        section("other", bad, fallback="good", **settings),
        section("good", upstream(json_body("[2]"))),
        endpoint("/both", upstreams=["value", "other"]),
    )
    seen = server.get("/both")

    check_stood_in(seen.result("value"), [1])
    check_stood_in(seen.result("other"), [2], attempts=2)
    assert seen.result("other")["status"] == 200
    assert server.upstream("value")["outcomes"] == {kind: 1}
    assert server.upstream("other")["outcomes"] == {kind: 1}
    assert server.upstream("good")["outcomes"] == {"ok": 1}


def test_for_a_queue_that_is_full_or_too_slow(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    policy = {"max_in_flight": 1, **PATIENT}
    server = fanoutd(
        section("value", one, fallback="'1'", queue_timeout="50ms", **policy),
        section("other", one, fallback="good", queue_timeout="50ms", **policy),
        section("good", upstream(json_body("2"))),
        endpoint("/both", upstreams=["value", "other"], deadline="60s"),
        workers=1,
        max_queue=1,
    )
    first = server.start_get("/both")
    one.wait_for_in_flight(2)

    seen = server.get("/both")

    check_stood_in(seen.result("value"), 1, attempts=0)
    check_stood_in(seen.result("other"), 2, attempts=1)
    counted = [server.upstream(name)["outcomes"] for name in ("value", "other")]
    assert sorted(code for one in counted for code in one) == ["queue_full", "queue_timeout"]
    held.open()
    assert first.read_answer().outcomes == {"value": "ok", "other": "ok"}


def test_for_an_open_circuit(fanoutd, upstream):
    one = upstream(FAILED)
    policy = {
        "breaker": True,
        "breaker_consecutive": 1,
        "breaker_open": "1h",
        "breaker_max_open": "1h",
    }
    server = fanoutd(
        section("value", one, fallback="'1'", **policy),
        section("other", one, fallback="good", **policy),
        section("good", upstream(json_body("2"))),
        endpoint("/both", upstreams=["value", "other"]),
    )
    for attempts in (1, 0, 0):
        seen = server.get("/both")
        check_stood_in(seen.result("value"), 1, attempts)
        check_stood_in(seen.result("other"), 2, attempts + 1)

    assert len(one.requests) == 2
    assert server.upstream("other")["outcomes"] == {"http_status": 1, "circuit_open": 2}


def test_at_the_deadline_the_value_still_stands_in(fanoutd, upstream):
    slow = upstream(silence)
    server = fanoutd(
        section("value", slow, fallback="'1'", **PATIENT),
        section("other", slow, fallback="value", **PATIENT),
        deadline="150ms",
    )
    seen = server.get()

    check_stood_in(seen.result("value"), 1)
    assert seen.outcomes["other"] == "deadline_exceeded", "nobody is asked any more"
    slow.wait_for_left(2)
    assert len(slow.requests) == 2
    assert server.upstream("value")["outcomes"] == {"deadline_exceeded": 1}


def test_with_no_time_at_all_the_value_stands_in(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one, fallback="'1'"))

    check_stood_in(server.get(headers={"X-Request-Deadline-Ms": "0"}).results[0], 1, attempts=0)
    assert one.requests == []


def test_the_deadline_while_the_other_upstream_is_asked(fanoutd, upstream):
    slow = upstream(silence)
    server = fanoutd(
        section("a", upstream(FAILED), fallback="b"),
        section("b", slow, fallback="'1'", **PATIENT),
        endpoint("/a", upstreams=["a"]),
        deadline="150ms",
    )
    seen = server.get("/a")

    assert seen.outcomes == {"a": "deadline_exceeded"} and seen.status == 504
    error = seen.results[0]["error"]
    assert error["message"].startswith("the fallback b: ") and "via" not in seen.results[0]
    slow.wait_for_left()


def test_retries_come_first(fanoutd, upstream):
    one = upstream(FAILED)
    server = fanoutd(
        section("a", one, fallback="'1'", retries=2, retry_on=["5xx"], retry_backoff="1ms")
    )
    check_stood_in(server.get().results[0], 1, attempts=3)
    assert len(one.requests) == 3


# Not for what nobody wants any more


def test_nothing_stands_in_for_what_is_abandoned(fanoutd, upstream):
    slow = upstream(silence)
    server = fanoutd(
        section("value", slow, fallback="'1'", **PATIENT),
        section("other", slow, fallback="quick", **PATIENT),
        section("quick", upstream()),
        endpoint("/some", upstreams=["value", "quick", "other"], early=True, deadline="60s"),
    )
    seen = server.get("/some")

    assert seen.outcomes == {"value": "abandoned", "quick": "ok", "other": "abandoned"}
    assert server.upstream("value")["fallbacks"] == server.upstream("other")["fallbacks"] == 0


def test_nothing_stands_in_when_the_service_stops(fanoutd, upstream):
    slow = upstream(silence)
    server = fanoutd(
        section("value", slow, fallback="'1'", **PATIENT),
        section("other", slow, fallback="value", **PATIENT),
        deadline="60s",
        drain_timeout="100ms",
    )
    caller = server.start_get()
    slow.wait_for_in_flight(2)

    assert server.stop() == 0
    assert caller.read_answer().outcomes == {"value": "cancelled", "other": "cancelled"}


def test_nobody_is_asked_when_the_caller_has_left(fanoutd, upstream):
    slow, other = upstream(silence), upstream()
    server = fanoutd(
        section("a", slow, fallback="b", **PATIENT),
        section("b", other),
        endpoint("/a", upstreams=["a"], deadline="60s"),
    )
    caller = server.start_get("/a")
    slow.wait_for_in_flight(1)
    caller.close()
    slow.wait_for_left()
    server.wait_for_state(in_flight=0)

    assert other.requests == []


# Another upstream


def test_the_other_upstream_is_asked_in_its_own_way(fanoutd, upstream):
    bad, good = upstream(FAILED), upstream(json_body('"good"'))
    server = fanoutd(
        section("a", f"{bad.url}/v1/a?key=a", header=["X-Key: of-a"], fallback="b"),
        section("b", f"{good.url}/v2/b?key=b", header=["X-Key: of-b"], deadline_header="X-Left"),
        endpoint("/a", upstreams=["a"]),
    )
    seen = server.get("/a", headers={"X-Request-Id": "the-call"})
    check_stood_in(seen.results[0], "good", attempts=2)

    (request,) = good.requests
    assert request.target == "/v2/b?key=b" and request.headers["X-Key"] == "of-b"
    assert request.headers["X-Request-Id"] == "the-call"
    assert request.headers["Host"] == good.authority
    assert 0 < int(request.headers["X-Left"]) <= 1000


def test_what_a_post_wishes_is_asked_of_the_other_below_its_own_url(fanoutd, upstream):
    bad, good = upstream(FAILED), upstream(json_body('"good"'))
    allowed = {
        "allow_path": True,
        "allow_query": True,
        "allow_body": True,
        "allow_methods": ["GET", "PUT"],
        "forward_headers": ["X-A"],
    }
    server = fanoutd(
        section("a", f"{bad.url}/v1/a/?key=a", fallback="b", **allowed),
        section("b", f"{good.url}/v2?other=b", **allowed),
        endpoint("/a", upstreams=["a"]),
    )
    whole = {
        "id": "whole",
        "upstream": "a",
        "path": "/42/x%2Fy",
        "query": {"q": "1 2"},
        "method": "PUT",
        "headers": {"X-A": "b"},
        "body": {"k": [1]},
    }
    plain = {"id": "plain", "upstream": "a"}
    path = {"id": "path", "upstream": "a", "path": "/p"}
    for one in (whole, plain, path):
        check_stood_in(server.post({"requests": [one]}, "/a").results[0], "good", attempts=2)

    assert [seen.target for seen in good.requests] == [
        "/v2/42/x%2Fy?other=b&q=1%202",
        "/v2?other=b",
        "/v2/p?other=b",
    ]
    assert [seen.method for seen in good.requests] == ["PUT", "GET", "GET"]
    assert good.requests[0].body == b'{"k": [1]}' == bad.requests[0].body
    assert good.requests[0].headers["X-A"] == "b"
    assert good.requests[0].headers["Content-Type"] == "application/json"


def test_its_own_fallback_is_not_used(fanoutd, upstream):
    last = upstream()
    server = fanoutd(
        section("a", upstream(FAILED), fallback="b"),
        section("b", upstream(FAILED), fallback="c"),
        section("c", last, fallback="a"),
        endpoint("/a", upstreams=["a"]),
    )
    seen = server.get("/a")

    assert seen.outcomes == {"a": "http_status"} and seen.status == 502
    result = seen.results[0]
    assert result["error"]["message"] == "the fallback b: the upstream answered 500"
    assert result["attempts"] == 2 and result["status"] == 500
    assert result["body"] == "what the upstream said" and "via" not in result
    assert last.requests == []


def test_each_may_stand_in_for_the_other(fanoutd, upstream):
    one = upstream(by_path(a=in_turn(FAILED, json_body("1")), b=in_turn(json_body("2"), FAILED)))
    server = fanoutd(
        section("a", f"{one.url}/a", fallback="b"),
        section("b", f"{one.url}/b", fallback="a"),
        endpoint("/a", upstreams=["a"]),
        endpoint("/b", upstreams=["b"]),
    )
    check_stood_in(server.get("/a").results[0], 2, attempts=2)
    check_stood_in(server.get("/b").results[0], 1, attempts=2)


def test_the_other_has_its_own_timeout_and_retries(fanoutd, upstream):
    bad = upstream(silence)
    good = upstream(in_turn(FAILED, FAILED, json_body('"third"')))
    server = fanoutd(
        section("a", bad, timeout="150ms", retries=0, fallback="b"),
        section("b", good, timeout="20s", retries=2, retry_on=["500"], retry_backoff="1ms"),
        endpoint("/a", upstreams=["a"], deadline="60s"),
    )
    check_stood_in(server.get("/a").results[0], "third", attempts=4)
    assert server.upstream("b")["retries"] == 2 and server.upstream("a")["retries"] == 0


def test_retries_of_the_one_are_none_of_the_other(fanoutd, upstream):
    bad, good = upstream(FAILED), upstream(in_turn(FAILED, FAILED, json_body('"third"')))
    policy = {"retry_on": ["500"], "retry_backoff": "1ms"}
    server = fanoutd(
        section("a", bad, retries=2, fallback="b", **policy),
        section("b", good, retries=2, **policy),
        endpoint("/a", upstreams=["a"]),
    )
    check_stood_in(server.get("/a").results[0], "third", attempts=6)


def test_the_others_slots_are_respected(fanoutd, upstream, gate):
    held = gate()
    good = upstream(gated(held))
    server = fanoutd(
        section("a", upstream(FAILED), allow_path=True, fallback="b"),
        section("b", good, allow_path=True, max_in_flight=2, **PATIENT),
        endpoint("/a", upstreams=["a"], deadline="60s"),
    )
    requests = [{"id": str(n), "upstream": "a", "path": f"/{n}"} for n in range(10)]
    caller = server.start_post({"requests": requests}, "/a")
    server.wait_for_state(in_flight=2, queued=8)
    good.wait_for_in_flight(2)
    held.open()

    assert set(caller.read_answer().outcomes.values()) == {"ok"}
    assert good.peak == 2 and len(good.requests) == 10


def test_the_caller_leaves_while_the_other_is_asked(fanoutd, upstream):
    slow = upstream(silence)
    server = fanoutd(
        section("a", upstream(FAILED), fallback="b"),
        section("b", slow, **PATIENT),
        endpoint("/a", upstreams=["a"], deadline="60s"),
    )
    caller = server.start_get("/a")
    slow.wait_for_in_flight(1)

    caller.reset()

    slow.wait_for_left()
    server.wait_for_state(in_flight=0)
    assert server.upstream("b")["outcomes"] == {"cancelled": 1}
    assert server.upstream("a")["outcomes"] == {"http_status": 1}


# The configuration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'{\"a\":}'", "must be none, a JSON value, or the name of another upstream"),
        ("nobody", "unknown upstream 'nobody'"),
        ("a", "can't be the upstream itself"),
        ("b", "must allow callers what this one does, and lacks allow_path"),
    ],
)
def test_a_fallback_that_can_not_stand_in(config_file, upstream, text, message):
    one = upstream()
    path = config_file(section("a", one, allow_path=True, fallback=text), section("b", one))

    done = run_fanoutd("-t", path, seconds=WAIT_SECONDS)

    assert done.returncode == 1
    assert f"{path}:2: " in done.stderr and message in done.stderr


def test_no_memory_for_the_value(fanoutd, upstream):
    value = json.dumps("x" * 400_000)
    server = fanoutd(
        section("a", upstream(FAILED), allow_path=True, fallback=static(value)),
        max_memory="1m",
        deadline="20s",
    )
    requests = [{"id": str(n), "upstream": "a", "path": f"/{n}"} for n in range(4)]

    seen = server.post({"requests": requests})

    assert seen.status == 503 and "max_memory" in seen.problem["detail"]
    server.wait_for_state(memory_bytes=0)
