"""Identical GETs at one time are sent once (option coalesce): one request of each worker's."""

import pytest

from fanoutd_process import endpoint, section
from http_wire import wait_until
from scripted_upstream import (
    answer,
    gated,
    in_turn,
    json_body,
    raw_then_silence,
    silence,
    text_body,
)

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}
SHARED = {"coalesce": True, **PATIENT}


def service(fanoutd, *parts, **top):
    return fanoutd(*parts, **{"workers": 1, "deadline": "60s", **top})


def wait_for_seats(server, name, count):
    """Until so many fetches besides the first sit in the flights of that upstream."""
    wait_until(lambda: server.upstream(name)["coalesced"] == count, f"{count} share")


@pytest.mark.parametrize("transport", ["auto", "curl"])
def test_one_request_for_all(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(gated(held, then=json_body('{"n":12345678901234567890}')))
    server = service(fanoutd, section("a", one, transport=transport, **SHARED))
    callers = [server.start_get() for _ in range(20)]
    wait_for_seats(server, "a", 19)
    server.wait_for_state(in_flight=1, queued=0)
    held.open()

    for caller in callers:
        (result,) = caller.read_answer().results
        assert result["ok"] and result["status"] == 200 and result["attempts"] == 1
        assert result["body"] == {"n": 12345678901234567890} and "via" not in result
    assert len(one.requests) == 1
    state = server.upstream("a")
    assert state["outcomes"] == {"ok": 20} and state["coalesced"] == 19


def test_the_next_one_is_sent_anew(fanoutd, upstream):
    one = upstream(in_turn(json_body("1"), json_body("2")))
    server = service(fanoutd, section("a", one, **SHARED))

    assert [server.get().results[0]["body"] for _ in range(2)] == [1, 2]
    assert server.upstream("a")["coalesced"] == 0


def test_without_the_option_each_is_sent(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = service(fanoutd, section("a", one, **PATIENT))
    callers = [server.start_get() for _ in range(3)]
    one.wait_for_in_flight(3)
    held.open()

    assert [caller.read_answer().status for caller in callers] == [200] * 3


def test_each_worker_sends_its_own(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = service(fanoutd, section("a", one, **SHARED), workers=3)
    callers = [server.start_get() for _ in range(30)]
    wait_until(
        lambda: server.upstream("a")["coalesced"] + len(one.requests) == 30, "all are on their way"
    )
    held.open()

    assert {caller.read_answer().status for caller in callers} == {200}
    assert 1 <= len(one.requests) <= 3


# What is the same


ALLOWED = {
    "allow_path": True,
    "allow_query": True,
    "allow_body": True,
    "allow_methods": ["GET", "HEAD", "POST"],
    "forward_headers": ["Authorization", "X-Tenant"],
}

DIFFERENT = {
    "the path": ({"path": "/1"}, {"path": "/2"}),
    "one has a path": ({}, {"path": "/2"}),
    "the query": ({"query": {"q": "1"}}, {"query": {"q": "2"}}),
    "the credentials": (
        {"headers": {"Authorization": "Bearer a"}},
        {"headers": {"Authorization": "Bearer b"}},
    ),
    "one has credentials": ({"headers": {"Authorization": "Bearer a"}}, {}),
    "the other has credentials": ({}, {"headers": {"Authorization": "Bearer a"}}),
    "the case of a value": ({"headers": {"X-Tenant": "a"}}, {"headers": {"X-Tenant": "A"}}),
    "one header more": (
        {"headers": {"X-Tenant": "a"}},
        {"headers": {"X-Tenant": "a", "Authorization": "b"}},
    ),
    "not to be repeated": ({"method": "POST"}, {"method": "POST"}),
    "with a body": ({"method": "POST", "body": {}}, {"method": "POST", "body": {}}),
    "a HEAD": ({"method": "HEAD"}, {"method": "HEAD"}),
    "a HEAD and a GET": ({"method": "HEAD"}, {"method": "GET"}),
}

SAME = {
    "nothing": ({}, {}),
    "the path": ({"path": "/1"}, {"path": "/1"}),
    "the query": ({"query": {"q": 1}}, {"query": {"q": "1"}}),
    "the headers in another order": (
        {"headers": {"X-Tenant": "a", "Authorization": "b"}},
        {"headers": {"authorization": "b", "x-tenant": "a"}},
    ),
    "the time for it": ({"timeout_ms": 20000}, {"timeout_ms": 30000}),
}


def start_pair(server, pair):
    return [
        server.start_post({"requests": [{"upstream": "a", **one}]}, headers={"X-Request-Id": name})
        for one, name in zip(pair, ("first", "second"), strict=True)
    ]


@pytest.mark.parametrize("what", DIFFERENT)
def test_not_the_same(fanoutd, upstream, gate, what):
    held = gate()
    one = upstream(gated(held, then=answer(204)))
    server = service(fanoutd, section("a", one, **ALLOWED, **SHARED))
    callers = start_pair(server, DIFFERENT[what])
    one.wait_for_in_flight(2)
    held.open()

    assert [caller.read_answer().status for caller in callers] == [200, 200]
    assert server.upstream("a")["coalesced"] == 0


@pytest.mark.parametrize("what", SAME)
def test_the_same(fanoutd, upstream, gate, what):
    held = gate()
    one = upstream(gated(held))
    server = service(fanoutd, section("a", one, **ALLOWED, **SHARED))
    callers = start_pair(server, SAME[what])
    wait_for_seats(server, "a", 1)
    held.open()

    assert [caller.read_answer().status for caller in callers] == [200, 200]
    (request,) = one.requests
    assert request.headers["X-Request-Id"] in ("first", "second")


def test_credentials_of_the_caller_itself(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = service(
        fanoutd, section("a", one, forward_headers=["Authorization", "Cookie"], **SHARED)
    )
    callers = [
        server.start_get(headers=fields)
        for fields in (
            {"Authorization": "a"},
            {"Authorization": "a", "X-Other": "not forwarded"},
            {"Authorization": "b"},
            {"Cookie": "a"},
            {},
        )
    ]
    one.wait_for_in_flight(4)
    wait_for_seats(server, "a", 1)
    held.open()

    assert {caller.read_answer().status for caller in callers} == {200}
    seen = {(one.headers.get("Authorization"), one.headers.get("Cookie")) for one in one.requests}
    assert seen == {("a", None), ("b", None), (None, "a"), (None, None)}


def test_many_upstreams_with_one_url(fanoutd, upstream, gate):
    """So many that two of them are looked for in one place."""
    held = gate()
    one = upstream(gated(held))
    names = [f"u{n}" for n in range(300)]
    server = service(
        fanoutd,
        *[section(name, one, **SHARED) for name in names],
        max_in_flight=300,
        max_connections=50,
        max_requests=300,
    )
    caller = server.start_get()
    one.wait_for_in_flight(300)
    held.open()

    assert set(caller.read_answer().outcomes.values()) == {"ok"}


def test_several_of_one_call(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held, then=json_body("[1]")))
    server = service(fanoutd, section("a", one, **SHARED))
    requests = [{"id": str(n), "upstream": "a"} for n in range(50)]
    caller = server.start_post({"requests": requests})
    wait_for_seats(server, "a", 49)
    held.open()

    results = caller.read_answer().results
    assert [result["body"] for result in results] == [[1]] * 50
    assert len(one.requests) == 1


@pytest.mark.parametrize("option", ["early", "fail_fast"])
def test_a_result_that_ends_a_call_with_more_seats(fanoutd, upstream, gate, option):
    """The first result ends the whole call, and with it the others' seats."""
    held = gate()
    one = upstream(gated(held, then=json_body("1") if option == "early" else answer(500)))
    server = service(
        fanoutd,
        section("a", one, **SHARED),
        endpoint(
            "/some",
            upstreams=["a"],
            require="any" if option == "early" else "all",
            deadline="60s",
            **{option: True},
        ),
    )
    requests = [{"id": str(n), "upstream": "a"} for n in range(10)]
    callers = [
        server.start_post(
            {"requests": requests, "require": "any" if option == "early" else "all"}, "/some"
        )
        for _ in range(3)
    ]
    wait_for_seats(server, "a", 29)
    held.open()

    for caller in callers:
        codes = list(caller.read_answer().outcomes.values())
        assert sorted(codes) == sorted(
            ["ok" if option == "early" else "http_status"] + ["abandoned"] * 9
        )
    assert len(one.requests) == 1
    server.wait_for_state(in_flight=0, memory_bytes=0)


def test_the_next_call_of_a_caller_does_not_join_what_landed(fanoutd, upstream):
    one = upstream(in_turn(*[json_body(str(n)) for n in range(20)]))
    server = service(fanoutd, section("a", one, **SHARED))
    caller = server.connect()
    for _ in range(10):
        caller.request("GET", "/fetch-multiple")

    assert [caller.read_answer().results[0]["body"] for _ in range(10)] == list(range(10))


# Coming and going


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_one_leaves_and_the_others_stay(fanoutd, upstream, gate, leaver):
    held = gate()
    one = upstream(gated(held))
    server = service(fanoutd, section("a", one, **SHARED))
    callers = []
    for n in range(3):
        callers.append(server.start_get())
        if n == 0:
            one.wait_for_in_flight(1)
        wait_for_seats(server, "a", n)

    callers.pop(leaver).close()
    wait_until(lambda: server.upstream("a")["outcomes"] == {"cancelled": 1}, "it has left")
    assert one.left == 0
    held.open()

    assert [caller.read_answer().outcomes for caller in callers] == [{"a": "ok"}] * 2
    assert len(one.requests) == 1


def test_the_last_to_leave_ends_it(fanoutd, upstream):
    one = upstream(silence)
    server = service(fanoutd, section("a", one, **SHARED))
    callers = [server.start_get() for _ in range(3)]
    wait_for_seats(server, "a", 2)
    one.wait_for_in_flight(1)

    for caller in callers:
        assert one.left == 0
        caller.close()

    one.wait_for_left()
    server.wait_for_state(in_flight=0, queued=0)
    assert server.upstream("a")["outcomes"] == {"cancelled": 3}


def test_the_last_to_leave_ends_it_in_the_queue(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = service(
        fanoutd,
        section("first", f"{one.url}/first", **PATIENT),
        section("a", f"{one.url}/a", **SHARED),
        endpoint("/first", upstreams=["first"], deadline="60s"),
        endpoint("/a", upstreams=["a"], deadline="60s"),
        max_in_flight=1,
    )
    first = server.start_get("/first")
    one.wait_for_in_flight(1)
    callers = [server.start_get("/a") for _ in range(3)]
    wait_for_seats(server, "a", 2)
    server.wait_for_state(in_flight=1, queued=1)
    for caller in callers:
        caller.close()
    server.wait_for_state(in_flight=1, queued=0)
    held.open()

    assert first.read_answer().status == 200
    assert [seen.path for seen in one.requests] == ["/first"]


def test_after_the_last_has_left_it_is_begun_anew(fanoutd, upstream):
    one = upstream(in_turn(silence, json_body("2")))
    server = service(fanoutd, section("a", one, **SHARED))
    leaver = server.start_get()
    one.wait_for_in_flight(1)
    leaver.close()
    one.wait_for_left()

    assert server.get().results[0]["body"] == 2


def test_a_deadline_is_that_of_each(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = service(fanoutd, section("a", one, **SHARED))
    hasty = server.start_get(headers={"X-Request-Deadline-Ms": "300"})
    one.wait_for_in_flight(1)
    patient = server.start_get()
    wait_for_seats(server, "a", 1)

    seen = hasty.read_answer()
    assert seen.outcomes == {"a": "deadline_exceeded"}
    assert "identical request" in seen.results[0]["error"]["message"]
    assert one.left == 0
    held.open()
    assert patient.read_answer().outcomes == {"a": "ok"}
    (request,) = one.requests
    assert int(request.headers["X-Request-Deadline-Ms"]) > 10000, "no caller's deadline is told"


def test_a_timeout_is_that_of_each(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = service(fanoutd, section("a", one, **SHARED))
    hasty = server.start_post({"requests": [{"upstream": "a", "timeout_ms": 300}]})
    one.wait_for_in_flight(1)
    patient = server.start_post({"requests": [{"upstream": "a", "timeout_ms": 30000}]})
    wait_for_seats(server, "a", 1)

    seen = hasty.read_answer()
    assert seen.outcomes == {"a": "timeout"} and "300 ms" in seen.results[0]["error"]["message"]
    assert one.left == 0
    held.open()
    assert patient.read_answer().outcomes == {"a": "ok"}


def test_the_upstreams_timeout_is_everybodys(fanoutd, upstream):
    one = upstream(silence)
    server = service(fanoutd, section("a", one, coalesce=True, timeout="300ms"))
    callers = [server.start_get() for _ in range(5)]

    for caller in callers:
        assert caller.read_answer().outcomes == {"a": "timeout"}
    one.wait_for_left()


def test_retries_are_made_once_for_all(fanoutd, upstream, gate):
    held = gate()
    one = upstream(in_turn(gated(held, then=answer(503)), json_body("2")))
    server = service(
        fanoutd, section("a", one, retries=1, retry_on=["503"], retry_backoff="1ms", **SHARED)
    )
    callers = [server.start_get() for _ in range(5)]
    wait_for_seats(server, "a", 4)
    held.open()

    for caller in callers:
        (result,) = caller.read_answer().results
        assert (result["body"], result["attempts"], result["via"]) == (2, 2, "retry")
    assert len(one.requests) == 2 and server.upstream("a")["retries"] == 1


# What comes of it


def test_each_gets_the_failure(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held, then=text_body("broken", status=500)))
    server = service(fanoutd, section("a", one, **SHARED))
    callers = [server.start_get() for _ in range(5)]
    wait_for_seats(server, "a", 4)
    held.open()

    for caller in callers:
        (result,) = caller.read_answer().results
        assert (result["status"], result["body"]) == (500, "broken")
        assert result["content_type"] == "text/plain"
        assert result["error"]["message"] == "the upstream answered 500"
    assert server.upstream("a")["outcomes"] == {"http_status": 5}


def test_each_has_its_own_fallback(fanoutd, upstream, gate):
    held = gate()
    other = upstream(json_body("2"))
    server = service(
        fanoutd,
        section("a", upstream(gated(held, then=answer(500))), fallback="b", **SHARED),
        section("b", other, **PATIENT),
        section("c", upstream(gated(held, then=answer(500))), fallback="'3'", **SHARED),
        endpoint("/both", upstreams=["a", "c"], deadline="60s"),
    )
    callers = [server.start_get("/both") for _ in range(4)]
    wait_for_seats(server, "a", 3)
    wait_for_seats(server, "c", 3)
    held.open()

    for caller in callers:
        seen = caller.read_answer()
        assert [one["body"] for one in seen.results] == [2, 3]
        assert {one["via"] for one in seen.results} == {"fallback"}
    assert len(other.requests) == 4
    assert server.upstream("a")["fallbacks"] == server.upstream("c")["fallbacks"] == 4


def test_a_large_body_for_each(fanoutd, upstream, gate):
    held = gate()
    body = b'"' + bytes(range(97, 123)) * 40_000 + b'"'
    one = upstream(gated(held, then=json_body(body)))
    server = service(fanoutd, section("a", one, **SHARED))
    callers = [server.start_get() for _ in range(8)]
    wait_for_seats(server, "a", 7)
    held.open()

    for caller in callers:
        assert b'"body":' + body + b"}" in caller.read_answer().body
    server.wait_for_state(memory_bytes=0)


def test_no_memory_for_all_the_copies(fanoutd, upstream, gate):
    """Each call holds its copy until the other upstream has answered."""
    held, held_longer = gate(), gate()
    one = upstream(gated(held, then=json_body(b'"' + b"x" * 900_000 + b'"')))
    server = service(
        fanoutd,
        section("a", one, **SHARED),
        section("slow", upstream(gated(held_longer)), **PATIENT),
        endpoint("/both", upstreams=["a", "slow"], require="all", deadline="60s"),
        max_memory="6m",
    )
    callers = [server.start_get("/both") for _ in range(12)]
    wait_for_seats(server, "a", 11)
    held.open()
    wait_until(lambda: sum(server.upstream("a")["outcomes"].values()) == 12, "it has landed")
    counted = server.upstream("a")["outcomes"]
    assert set(counted) == {"ok", "queue_full"} and counted["ok"] >= 3
    held_longer.open()

    refused = 0
    for caller in callers:
        seen = caller.read_answer()
        if "X-Fanout-Complete" not in seen.headers:
            assert seen.status == 503 and "max_memory" in seen.problem["detail"]
        elif seen.status == 200:
            assert len(seen.result("a")["body"]) == 900_000
        else:
            refused += 1
            assert seen.status == 503 and seen.outcomes == {"a": "queue_full", "slow": "ok"}
            assert "max_memory" in seen.result("a")["error"]["message"]
            assert seen.result("a")["attempts"] == 1
    assert refused == counted["queue_full"]
    server.wait_for_state(memory_bytes=0)
    assert len(one.requests) == 1


def test_the_service_stops_meanwhile(fanoutd, upstream):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nhalf"
    one = upstream(raw_then_silence(head))
    server = service(fanoutd, section("a", one, **SHARED), drain_timeout="100ms")
    callers = [server.start_get() for _ in range(3)]
    wait_for_seats(server, "a", 2)
    one.wait_for_in_flight(1)

    assert server.stop() == 0
    assert [caller.read_answer().outcomes for caller in callers] == [{"a": "cancelled"}] * 3


def test_many_come_and_go(fanoutd, upstream):
    one = upstream(in_turn(*[silence, json_body()] * 40, json_body()))
    server = service(
        fanoutd,
        section("a", one, allow_path=True, retries=1, fallback="'0'", **SHARED),
        endpoint("/some", upstreams=["a"], early=True, deadline="60s"),
        max_in_flight=3,
        max_queue=5,
    )
    for round_number in range(20):
        requests = [{"id": str(n), "upstream": "a", "path": f"/{n % 3}"} for n in range(9)]
        callers = [
            server.start_post(
                {"requests": requests, "require": "any"},
                "/some",
                headers={"X-Request-Deadline-Ms": str(10 + 5 * (n % 4))},
            )
            for n in range(6)
        ]
        for n, caller in enumerate(callers):
            if (n + round_number) % 3 == 0:
                caller.reset()
            else:
                assert caller.read_answer().status == 200
    server.wait_for_state(in_flight=0, queued=0, memory_bytes=0)
