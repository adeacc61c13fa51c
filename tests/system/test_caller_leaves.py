"""When the caller leaves, its fetches stop and its slots are free again."""

import pytest

from fanoutd_process import endpoint, section
from http_wire import post_bytes, request_bytes
from scripted_upstream import gated, json_body, raw_then_silence, silence

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}
WAYS = ["close", "reset", "half_close"]


def leave(caller, way):
    getattr(caller, way)()


@pytest.mark.parametrize("way", WAYS)
def test_in_transfer(fanoutd, upstream, way):
    one = upstream(silence)
    server = fanoutd(section("a", one, **PATIENT), section("b", one, **PATIENT), deadline="60s")
    caller = server.start_get()
    one.wait_for_in_flight(2)

    leave(caller, way)

    one.wait_for_left(2)
    server.wait_for_state(in_flight=0, queued=0)


@pytest.mark.parametrize("way", WAYS)
def test_in_the_middle_of_a_body(fanoutd, upstream, way):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nhalf"
    one = upstream(raw_then_silence(head))
    server = fanoutd(section("a", one, **PATIENT), deadline="60s")
    caller = server.start_get()
    one.wait_for_in_flight(1)

    leave(caller, way)

    one.wait_for_left()
    server.wait_for_state(in_flight=0, queued=0)


@pytest.mark.parametrize("way", WAYS)
def test_while_queued(fanoutd, upstream, gate, way):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, allow_path=True, **PATIENT), max_in_flight=1, deadline="60s")
    first = server.start_get()
    one.wait_for_in_flight(1)
    requests = [{"id": str(n), "upstream": "a", "path": f"/left-{n}"} for n in range(5)]
    leaver = server.start_post({"requests": requests})
    server.wait_for_state(in_flight=1, queued=5)

    leave(leaver, way)

    server.wait_for_state(in_flight=1, queued=0)
    held.open()
    assert first.read_answer().outcomes == {"a": "ok"}
    assert server.get().outcomes == {"a": "ok"}
    assert [seen.path for seen in one.requests] == ["/", "/"]


@pytest.mark.parametrize("way", WAYS)
def test_while_connecting(fanoutd, blackhole, way):
    server = fanoutd(section("hole", blackhole, **PATIENT), deadline="60s")
    caller = server.start_get()
    server.wait_for_state(in_flight=1)

    leave(caller, way)

    server.wait_for_state(in_flight=0, queued=0)


@pytest.mark.parametrize("way", WAYS)
def test_with_the_next_request_already_sent(fanoutd, upstream, way):
    one = upstream(silence)
    server = fanoutd(section("a", one, **PATIENT), deadline="60s")
    caller = server.connect()
    caller.send(request_bytes("GET", "/fetch-multiple") * 3)
    one.wait_for_in_flight(1)

    leave(caller, way)

    one.wait_for_left(1)
    server.wait_for_state(in_flight=0, queued=0)
    assert len(one.requests) <= 3


@pytest.mark.parametrize(
    "extra", [b"G", b"\r\n", b"garbage that is no request\r\n\r\n", b"x" * 100000]
)
def test_with_other_bytes_already_sent(fanoutd, upstream, extra):
    one = upstream(silence)
    server = fanoutd(section("a", one, **PATIENT), deadline="60s")
    caller = server.start_get()
    one.wait_for_in_flight(1)
    try:
        caller.send(extra)
    except OSError:
        pass  # being shut out for it is as good

    caller.close()

    one.wait_for_left(1)
    server.wait_for_state(in_flight=0, queued=0)
    assert server.get("/livez").status == 200


def test_before_the_request_is_complete(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one))
    whole = post_bytes({"requests": [{"upstream": "a"}]})
    for cut in (1, 20, len(whole) - 5):
        caller = server.connect()
        caller.send(whole[:cut])
        caller.close()

    assert server.get().status == 200
    assert len(one.requests) == 1


def test_a_slot_set_free_goes_to_who_waits(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, **PATIENT), max_in_flight=1, deadline="60s", workers=4)
    leaver = server.start_get()
    one.wait_for_in_flight(1)
    waiting = [server.start_get() for _ in range(3)]
    server.wait_for_state(queued=3)

    leaver.close()

    one.wait_for_requests(2)
    one.wait_for_left(1)
    held.open()
    for caller in waiting:
        assert caller.read_answer().outcomes == {"a": "ok"}
    assert len(one.requests) == 4


def test_while_one_fetch_is_done_and_another_is_not(fanoutd, upstream):
    quick, slow = upstream(), upstream(silence)
    server = fanoutd(section("quick", quick), section("slow", slow, **PATIENT), deadline="60s")
    caller = server.start_get()
    slow.wait_for_in_flight(1)
    quick.wait_until(lambda one: len(one.requests) == 1 and one.in_flight == 0)

    caller.close()

    slow.wait_for_left()
    server.wait_for_state(in_flight=0)


def test_many_leave_at_once(fanoutd, upstream):
    one = upstream(silence)
    server = fanoutd(
        *[section(f"u{n}", one, **PATIENT) for n in range(4)],
        max_in_flight=20,
        workers=4,
        deadline="60s",
    )
    callers = [server.start_get() for _ in range(30)]
    server.wait_for_state(in_flight=20, queued=100)
    one.wait_for_in_flight(20)

    for at, caller in enumerate(callers):
        leave(caller, WAYS[at % 3])

    server.wait_for_state(in_flight=0, queued=0)
    one.wait_for_in_flight(0)


def test_a_caller_who_leaves_does_not_disturb_another_who_asks_the_same(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, **PATIENT), deadline="60s")
    leaver, stays = server.start_get(), server.start_get()
    one.wait_for_in_flight(2)

    leaver.reset()
    one.wait_for_left(1)
    held.open()

    assert stays.read_answer().outcomes == {"a": "ok"}


def test_a_caller_who_leaves_while_a_large_answer_is_sent(fanoutd, upstream):
    body = b'"' + b"x" * 4_000_000 + b'"'
    server = fanoutd(
        *[section(f"u{n}", upstream(json_body(body)), **PATIENT) for n in range(3)],
        endpoint("/fetch-multiple", upstreams=["u0", "u1", "u2"]),
        deadline="60s",
    )
    caller = server.start_get()
    caller.reader.until(b"\r\n\r\n")
    caller.reset()

    assert server.get().outcomes == {"u0": "ok", "u1": "ok", "u2": "ok"}
