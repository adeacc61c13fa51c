"""The caps are exact over all callers and threads, fair, and never idle while someone waits."""

import collections
import time

import pytest

from fanoutd_process import endpoint, section
from http_wire import wait_until
from scripted_upstream import by_path, delayed, gated, json_body

PATIENT = {"timeout": "60s"}


def fetches(upstream_name, count, prefix=""):
    return {
        "requests": [
            {"id": f"{prefix}{n}", "upstream": upstream_name, "path": f"/{prefix}{n}"}
            for n in range(count)
        ]
    }


def shares(history):
    """The share of the time that each number was in flight, from when it was first full until
    the last one came, so while somebody was waiting."""
    peak = max(level for _, level in history)
    first_full = next(at for at, (_, level) in enumerate(history) if level == peak)
    last_arrival = max(at for at in range(1, len(history)) if history[at][1] > history[at - 1][1])
    spent = collections.Counter()
    for at in range(first_full, last_arrival):
        start, level = history[at]
        spent[level] += history[at + 1][0] - start
    whole = sum(spent.values())
    return {level: time / whole for level, time in spent.items()}


def test_fifty_callers_of_ten_fetches_share_eight_slots(fanoutd, upstream):
    one = upstream(delayed(0.03))
    server = fanoutd(
        section("one", one, allow_path=True, **PATIENT),
        workers=4,
        max_in_flight=8,
        deadline="60s",
    )
    callers = [server.start_post(fetches("one", 10, f"c{n}-")) for n in range(50)]
    for caller in callers:
        answer = caller.read_answer()
        assert set(answer.outcomes.values()) == {"ok"} and len(answer.results) == 10

    assert len(one.requests) == 500
    assert one.peak == 8
    share = shares(one.history)
    assert share[8] > 0.5, share
    assert sum(level * part for level, part in share.items()) > 7, share


def test_one_goes_out_and_one_comes_in(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("one", one, allow_path=True, **PATIENT),
        workers=4,
        max_in_flight=5,
        deadline="60s",
    )
    callers = [server.start_post(fetches("one", 4, f"c{n}-")) for n in range(10)]
    server.wait_for_state(in_flight=5, queued=35)
    one.wait_for_in_flight(5)
    for arrived in range(6, 41):
        held.let_through(1)
        one.wait_for_requests(arrived)
        assert one.in_flight <= 5
    held.open()
    for caller in callers:
        assert set(caller.read_answer().outcomes.values()) == {"ok"}
    assert one.peak == 5 and len(one.requests) == 40


def test_the_cap_of_one_upstream_does_not_hold_up_another(fanoutd, upstream, gate):
    held = gate()
    narrow, wide = upstream(gated(held)), upstream(gated(held))
    server = fanoutd(
        section("narrow", narrow, max_in_flight=2, allow_path=True, **PATIENT),
        section("wide", wide, allow_path=True, **PATIENT),
        max_in_flight=8,
        deadline="60s",
    )
    many = fetches("narrow", 20, "n")["requests"] + fetches("wide", 6, "w")["requests"]
    caller = server.start_post({"requests": many})

    wide.wait_for_in_flight(6)
    narrow.wait_for_in_flight(2)
    state = server.upstreams()
    assert (state["in_flight"], state["queued"]) == (8, 18)
    assert server.upstream("narrow")["in_flight"] == 2
    assert server.upstream("narrow")["queued"] == 18
    held.open()
    assert set(caller.read_answer().outcomes.values()) == {"ok"}
    assert narrow.peak == 2 and wide.peak == 6


def test_the_global_cap_holds_over_several_upstreams(fanoutd, upstream):
    one = upstream(delayed(0.005))
    server = fanoutd(
        *[section(f"u{n}", f"{one.url}/u{n}", max_in_flight=3, **PATIENT) for n in range(4)],
        workers=3,
        max_in_flight=6,
        deadline="60s",
    )
    callers = [server.start_get() for _ in range(20)]

    for caller in callers:
        assert set(caller.read_answer().outcomes.values()) == {"ok"}
    assert one.peak <= 6 and len(one.requests) == 80


def test_the_caps_are_shown(fanoutd, upstream):
    server = fanoutd(section("one", upstream(), max_in_flight=7), max_in_flight=9, max_queue=11)

    state = server.upstreams()

    assert (state["max_in_flight"], state["max_queue"]) == (9, 11)
    assert (state["in_flight"], state["queued"]) == (0, 0)
    assert state["upstreams"][0]["max_in_flight"] == 7
    assert state["upstreams"][0]["url"].startswith("http://127.0.0.1:")


def with_one_slot(fanoutd, one, **settings):
    return fanoutd(
        section("one", one, allow_path=True, **PATIENT),
        max_in_flight=1,
        deadline="60s",
        **settings,
    )


def test_a_full_queue_refuses_at_once(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = with_one_slot(fanoutd, one, max_queue=2)
    caller = server.start_post(fetches("one", 5, "f"))
    one.wait_for_in_flight(1)
    server.wait_for_state(in_flight=1, queued=2)
    other = server.get()
    assert other.outcomes == {"one": "queue_full"} and other.status == 503
    assert other.results[0]["error"]["retryable"] is True
    assert other.headers["Retry-After"] == "1"
    held.open()

    assert list(caller.read_answer().outcomes.values()) == ["ok", "ok", "ok"] + ["queue_full"] * 2
    assert len(one.requests) == 3


def test_with_no_queue_nobody_waits(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = with_one_slot(fanoutd, one, max_queue=0)
    first = server.start_get()
    one.wait_for_in_flight(1)

    assert server.get().outcomes == {"one": "queue_full"}
    held.open()
    assert first.read_answer().outcomes == {"one": "ok"}
    assert server.get().outcomes == {"one": "ok"}


def test_a_wait_for_a_slot_may_be_bounded(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("patient", one, **PATIENT),
        section("hasty", one, queue_timeout="150ms", **PATIENT),
        endpoint("/patient", upstreams=["patient"]),
        endpoint("/hasty", upstreams=["hasty"]),
        max_in_flight=1,
        deadline="60s",
    )
    first = server.start_get("/patient")
    one.wait_for_in_flight(1)

    answer = server.get("/hasty")

    assert answer.outcomes == {"hasty": "queue_timeout"} and answer.status == 503
    assert "150 ms" in answer.results[0]["error"]["message"]
    server.wait_for_state(in_flight=1, queued=0)
    held.open()
    assert first.read_answer().outcomes == {"patient": "ok"}
    assert len(one.requests) == 1


def test_waiting_for_a_slot_does_not_use_up_the_upstreams_timeout(fanoutd, upstream, gate):
    held = gate()
    slow, quick = upstream(gated(held)), upstream()
    server = fanoutd(
        section("slow", slow, **PATIENT),
        section("quick", quick, timeout="1s"),
        endpoint("/slow", upstreams=["slow"]),
        endpoint("/quick", upstreams=["quick"]),
        max_in_flight=1,
        deadline="60s",
    )
    first = server.start_get("/slow")
    slow.wait_for_in_flight(1)
    second = server.start_get("/quick")
    server.wait_for_state(queued=1)
    let_pass_more_than(1.0)
    held.open()

    answer = second.read_answer()
    assert answer.outcomes == {"quick": "ok"}
    assert answer.results[0]["elapsed_ms"] >= 1000
    assert first.read_answer().status == 200


def let_pass_more_than(seconds):
    end = time.monotonic() + seconds * 1.1
    wait_until(lambda: time.monotonic() > end, "the time has passed")


def test_a_caller_with_few_fetches_is_let_in_between(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = with_one_slot(fanoutd, one, workers=3)
    greedy = server.start_post(fetches("one", 40, "greedy-"))
    server.wait_for_state(in_flight=1, queued=39)
    modest = server.start_post(fetches("one", 3, "modest-"))
    server.wait_for_state(in_flight=1, queued=42)
    held.open()

    assert set(modest.read_answer().outcomes.values()) == {"ok"}
    assert set(greedy.read_answer().outcomes.values()) == {"ok"}
    order = [seen.path.strip("/") for seen in one.requests]
    places = [at for at, name in enumerate(order) if name.startswith("modest")]
    assert len(order) == 43 and places[-1] <= 8, order
    of_modest = [name for name in order if name.startswith("modest")]
    of_greedy = [name for name in order if name.startswith("greedy")]
    assert of_modest == [f"modest-{n}" for n in range(3)]
    assert of_greedy == [f"greedy-{n}" for n in range(40)]


def test_callers_take_turns(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = with_one_slot(fanoutd, one)
    first = server.start_get()
    one.wait_for_in_flight(1)
    callers = []
    for n in range(4):
        callers.append(server.start_post(fetches("one", 5, f"{n}-")))
        server.wait_for_state(queued=5 * (n + 1))
    held.open()
    for caller in [first, *callers]:
        assert caller.read_answer().status == 200

    turns = [seen.path.strip("/").split("-")[0] for seen in one.requests[1:]]
    for round in range(5):
        assert sorted(turns[4 * round : 4 * round + 4]) == ["0", "1", "2", "3"], turns


@pytest.mark.parametrize("workers", [1, 4])
def test_a_cap_of_one_keeps_everything_in_line(fanoutd, upstream, workers):
    one = upstream(by_path(otherwise=json_body()))
    server = fanoutd(
        section("one", one, max_in_flight=1, allow_path=True, **PATIENT),
        workers=workers,
        deadline="60s",
    )
    callers = [server.start_post(fetches("one", 10, f"{n}-")) for n in range(10)]

    for caller in callers:
        assert set(caller.read_answer().outcomes.values()) == {"ok"}
    assert one.peak == 1 and len(one.requests) == 100
