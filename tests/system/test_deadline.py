"""One deadline covers queueing, names, connecting and transfer; the answer is on time."""

import pytest

from dns_server import WITHHELD
from fanoutd_process import endpoint, resolver, section
from scripted_upstream import gated, raw_then_silence, silence

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}


def test_the_deadline_ends_the_slow_and_keeps_the_quick(fanoutd, upstream):
    slow = upstream(silence)
    server = fanoutd(
        section("quick", upstream()),
        section("slow", slow, **PATIENT),
        section("also", upstream()),
        deadline="200ms",
    )
    answer = server.get()

    assert answer.status == 200 and answer.headers["X-Fanout-Complete"] == "false"
    assert answer.outcomes == {"quick": "ok", "slow": "deadline_exceeded", "also": "ok"}
    assert answer.result("slow")["error"]["retryable"] is True
    slow.wait_for_left()


def test_a_quick_answer_does_not_wait_for_the_deadline(fanoutd, upstream):
    server = fanoutd(section("quick", upstream(), **PATIENT), deadline="60s")

    assert server.get().outcomes == {"quick": "ok"}


def test_the_deadline_in_the_middle_of_a_transfer(fanoutd, upstream):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nhalf"
    half = upstream(raw_then_silence(head))
    server = fanoutd(section("half", half, **PATIENT), deadline="200ms")

    answer = server.get()

    assert answer.outcomes == {"half": "deadline_exceeded"} and answer.status == 504
    assert answer.results[0]["body"] is None
    half.wait_for_left()


def test_the_deadline_while_waiting_for_a_slot(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("one", one, **PATIENT),
        endpoint("/long", upstreams=["one"], deadline="60s"),
        endpoint("/short", upstreams=["one"], deadline="200ms"),
        max_in_flight=1,
    )
    first = server.start_get("/long")
    one.wait_for_in_flight(1)

    answer = server.get("/short")

    assert answer.outcomes == {"one": "deadline_exceeded"} and answer.status == 504
    assert "slot" in answer.results[0]["error"]["message"]
    server.wait_for_state(queued=0, in_flight=1)
    held.open()
    assert first.read_answer().outcomes == {"one": "ok"}
    assert len(one.requests) == 1


def test_the_deadline_while_connecting(fanoutd, blackhole):
    server = fanoutd(section("hole", blackhole, **PATIENT), deadline="200ms")

    answer = server.get()

    assert answer.outcomes == {"hole": "deadline_exceeded"} and answer.status == 504
    assert "connecting" in answer.results[0]["error"]["message"]


def test_the_deadline_while_the_name_is_looked_up(fanoutd, upstream, dns):
    dns.names["users.test"] = WITHHELD
    server = fanoutd(
        resolver(servers=[dns.address], timeout="1s", tries=1),
        section("named", "http://users.test:9/", **PATIENT),
        section("quick", upstream()),
        deadline="200ms",
    )
    answer = server.get()

    assert answer.outcomes == {"named": "deadline_exceeded", "quick": "ok"}
    assert "name" in answer.result("named")["error"]["message"]


def test_each_endpoint_has_its_own_deadline(fanoutd, upstream):
    server = fanoutd(
        section("quiet", upstream(silence), **PATIENT),
        endpoint("/short", upstreams=["quiet"], deadline="150ms"),
        deadline="60s",
    )
    answer = server.get("/short")

    assert answer.outcomes == {"quiet": "deadline_exceeded"}
    assert "150 ms" in answer.results[0]["error"]["message"]


def test_the_upstreams_own_timeout_comes_first(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), timeout="150ms"), deadline="60s")

    assert server.get().outcomes == {"quiet": "timeout"}


def test_a_post_may_shorten_the_deadline(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), **PATIENT), deadline="60s")
    document = {"requests": [{"upstream": "quiet"}], "timeout_ms": 150}

    assert server.post(document).outcomes == {"quiet": "deadline_exceeded"}


def test_the_shorter_of_document_and_query_counts(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), **PATIENT), deadline="60s")
    document = {"requests": [{"upstream": "quiet"}], "timeout_ms": 30000}

    answer = server.post(document, "/fetch-multiple?timeout=150ms")

    assert answer.status in (400, 504)
    if answer.status == 504:
        assert answer.outcomes == {"quiet": "deadline_exceeded"}


def test_many_deadlines_at_once(fanoutd, upstream):
    quiet = upstream(silence)
    server = fanoutd(section("quiet", quiet, **PATIENT), deadline="60s", max_in_flight=10)
    callers = [server.start_get(f"/fetch-multiple?timeout={200 + n}ms") for n in range(40)]

    for caller in callers:
        assert caller.read_answer().outcomes == {"quiet": "deadline_exceeded"}


def test_the_same_deadline_for_every_fetch_of_a_request(fanoutd, upstream):
    quiet = upstream(silence)
    server = fanoutd(*[section(f"q{n}", quiet, **PATIENT) for n in range(20)], deadline="200ms")

    answer = server.get()

    assert set(answer.outcomes.values()) == {"deadline_exceeded"} and len(answer.results) == 20
    assert answer.status == 504
    quiet.wait_for_left(len(quiet.requests))


@pytest.mark.parametrize("late", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
def test_an_answer_that_comes_after_the_deadline_is_not_taken_for_another(
    fanoutd, upstream, gate, late
):
    held = gate()

    def behave(exchange):
        if len(one.requests) == 1:
            exchange.wait(held)
        exchange.answer(200, f'"{exchange.request.target}"', "application/json")

    one = upstream(behave)
    server = fanoutd(section("one", one, allow_path=True, **PATIENT), workers=1)
    ask = {"requests": [{"upstream": "one", "path": "/first"}], "timeout_ms": 150}
    assert server.post(ask).outcomes == {"one": "deadline_exceeded"}
    held.open()

    second = server.post({"requests": [{"upstream": "one", "path": "/second"}]})

    assert second.results[0]["body"] == "/second"
