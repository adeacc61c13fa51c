"""Fetches of one request run at the same time."""

import statistics
import time

from fanoutd_process import endpoint, section
from scripted_upstream import delayed, gated


def test_ten_upstreams_take_as_long_as_one(fanoutd, upstream):
    names = [f"u{n}" for n in range(10)]
    server = fanoutd(
        *[section(name, upstream(delayed(0.2)), timeout="30s") for name in names],
        endpoint("/one", upstreams=names[:1]),
        endpoint("/ten", upstreams=names),
        deadline="30s",
    )

    def seconds_for(target):
        start = time.monotonic()
        assert set(server.get(target).outcomes.values()) == {"ok"}
        return time.monotonic() - start

    ones, tens = [], []
    for _ in range(3):
        ones.append(seconds_for("/one"))
        tens.append(seconds_for("/ten"))

    assert statistics.median(tens) / statistics.median(ones) < 1.5, (ones, tens)


def test_all_are_at_their_upstreams_at_once(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        *[section(f"u{n}", f"{one.url}/{n}", timeout="60s") for n in range(60)], deadline="60s"
    )
    caller = server.start_get()
    one.wait_for_in_flight(60)
    held.open()

    assert set(caller.read_answer().outcomes.values()) == {"ok"}


def test_a_slow_caller_does_not_hold_up_a_quick_one(fanoutd, upstream, gate):
    held = gate()
    slow = upstream(gated(held))
    server = fanoutd(
        section("slow", slow, timeout="60s"),
        section("quick", upstream()),
        endpoint("/slow", upstreams=["slow"]),
        endpoint("/quick", upstreams=["quick"]),
        deadline="60s",
        workers=1,
    )
    waiting = [server.start_get("/slow") for _ in range(20)]
    slow.wait_for_in_flight(20)

    assert server.get("/quick").outcomes == {"quick": "ok"}
    held.open()
    for caller in waiting:
        assert caller.read_answer().status == 200


MANY = 300  # more than connections are opened at once


def ask_many(server):
    requests = [{"id": str(n), "upstream": "one"} for n in range(MANY)]
    return server.start_post({"requests": requests})


def patient_section(one, **settings):
    return section("one", one, timeout="60s", max_in_flight=MANY, **settings)


def test_many_new_connections_are_all_opened(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(patient_section(one), max_in_flight=MANY, deadline="60s", workers=1)
    caller = ask_many(server)
    one.wait_for_in_flight(MANY)
    held.open()
    assert set(caller.read_answer().outcomes.values()) == {"ok"}
    assert one.connections == MANY


def test_many_that_can_not_be_opened_all_fail(fanoutd, blackhole):
    server = fanoutd(
        patient_section(blackhole, connect_timeout="100ms"),
        max_in_flight=MANY,
        deadline="60s",
        workers=1,
    )
    assert set(ask_many(server).read_answer().outcomes.values()) == {"connect_timeout"}


def test_a_caller_who_leaves_lets_the_next_connect(fanoutd, blackhole, upstream):
    one = upstream()
    server = fanoutd(
        patient_section(blackhole, connect_timeout="60s"),
        section("fine", one),
        max_in_flight=MANY + 1,
        deadline="60s",
        workers=1,
    )
    caller = ask_many(server)
    server.wait_for_state(in_flight=MANY)
    caller.close()
    server.wait_for_state(in_flight=0)
    assert server.get("/fetch-multiple?upstreams=fine").outcomes == {"fine": "ok"}
