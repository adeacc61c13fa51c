"""More is asked than can be done: callers take turns, what matters goes first, and what would come
too late is refused at once."""

import socket
import time

import pytest

from fanoutd_process import endpoint, section
from http_wire import WAIT_SECONDS, Connection, Reader, post_bytes, wait_until
from scripted_upstream import delayed, gated

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}
GREEDY, MODEST, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class CallerAt(Connection):
    """A connection from an address of one's own."""

    def __init__(self, server, address):
        self.sock = socket.create_connection(
            server.addresses[0], timeout=WAIT_SECONDS, source_address=(address, 0)
        )
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)
        server.connections.append(self)


def fetches(prefix, count, **settings):
    requests = [
        {"id": f"{prefix}{n}", "upstream": "a", "path": f"/{prefix}{n}"} for n in range(count)
    ]
    return {"requests": requests, **settings}


class Crowd:
    """Callers at one server, and whom the upstream saw in what order."""

    def __init__(self, server, one):
        self.server = server
        self.one = one
        self.callers = []

    def post(self, prefix, count=1, address=MODEST, target="/fetch-multiple", headers=(), **wishes):
        caller = CallerAt(self.server, address)
        caller.send(post_bytes(fetches(prefix, count, **wishes), target, headers))
        self.callers.append(caller)
        return caller

    def wait_for_queued(self, count):
        self.server.wait_for_state(queued=count)

    def order(self):
        return [seen.path.strip("/").rstrip("0123456789") for seen in self.one.requests]

    def read_all(self):
        return [caller.read_answer() for caller in self.callers]

    def leave(self):
        for caller in self.callers:
            caller.close()
        self.server.wait_for_state(in_flight=0, queued=0)


@pytest.fixture
def crowd(fanoutd, upstream):
    def make(behaviour, *endpoints, **top):
        one = upstream(behaviour)
        server = fanoutd(
            section("a", one, allow_path=True, **PATIENT),
            *endpoints,
            **{"max_in_flight": 1, "deadline": "60s", **top},
        )
        return Crowd(server, one)

    return make


def occupy(crowd):
    """Takes the one slot, so that all who follow wait."""
    crowd.post("first", address=THIRD)
    crowd.one.wait_for_in_flight(1)


def last_place(crowd, name):
    order = crowd.order()
    return len(order) - order[::-1].index(name)


# Turns

WHO = {
    "address": ({"address": GREEDY}, {"address": MODEST}),
    '"header X-Tenant"': ({"headers": {"X-Tenant": "greedy"}}, {"headers": {"X-Tenant": "modest"}}),
    '"header x-other"': (
        {"address": GREEDY, "headers": {"X-Tenant": "same"}},
        {"address": MODEST, "headers": {"X-Tenant": "same"}},
    ),
}


@pytest.mark.parametrize("fair_by", WHO)
@pytest.mark.parametrize("calls", [1, 60])
def test_a_greedy_caller_lets_others_in_between(crowd, gate, fair_by, calls):
    held = gate()
    them = crowd(gated(held), fair_by=fair_by)
    greedy, modest = WHO[fair_by]
    occupy(them)
    for n in range(calls):
        them.post(f"greedy-{n}-", 60 // calls, **greedy)
    them.wait_for_queued(60)
    for n in range(3):
        them.post(f"modest-{n}-", **modest)
    them.wait_for_queued(63)
    held.open()

    assert {seen.status for seen in them.read_all()} == {200}
    order = [name.split("-")[0] for name in them.order()]
    assert order.count("modest") == 3 and order.count("greedy") == 60
    assert len(order) - order[::-1].index("modest") <= 1 + 2 * 3 + 2, order


def test_by_request_each_is_for_itself(crowd, gate):
    held = gate()
    them = crowd(gated(held), fair_by="request")
    occupy(them)
    them.post("many-", 30, address=GREEDY)
    them.wait_for_queued(30)
    for _ in range(10):
        them.post("one-", 1, address=GREEDY)
    them.wait_for_queued(40)
    them.post("three-", 3, address=MODEST)
    them.wait_for_queued(43)
    held.open()

    assert {seen.status for seen in them.read_all()} == {200}
    order = them.order()
    assert last_place(them, "one-") <= 1 + 12 + 3 and last_place(them, "three-") < 30, order


@pytest.mark.parametrize("fair_by", ["address", '"header X-Tenant"'])
def test_three_callers_take_turns(crowd, gate, fair_by):
    held = gate()
    them = crowd(gated(held), fair_by=fair_by)
    them.post("first")
    them.one.wait_for_in_flight(1)
    for n, address in enumerate([GREEDY, MODEST, THIRD]):
        for _ in range(5):
            them.post(f"{'abc'[n]}-", 2, address, headers={"X-Tenant": str(n)})
        them.wait_for_queued(10 * (n + 1))
    held.open()

    assert {seen.status for seen in them.read_all()} == {200}
    order = them.order()[1:]
    for at in range(0, 30, 3):
        assert sorted(order[at : at + 3]) == ["a-", "b-", "c-"], order


def test_over_all_upstreams_too(fanoutd, upstream, gate):
    """Who waits in many lanes has a turn in each at most."""
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        *[section(name, one, allow_path=True, **PATIENT) for name in "abcd"],
        max_in_flight=1,
        deadline="60s",
    )
    them = Crowd(server, one)
    occupy(them)
    requests = [
        {"id": f"{name}{n}", "upstream": name, "path": "/greedy"}
        for name in "abcd"
        for n in range(10)
    ]
    greedy = CallerAt(server, GREEDY)
    greedy.send(post_bytes({"requests": requests}))
    them.wait_for_queued(40)
    them.post("modest", 4)
    them.wait_for_queued(44)
    held.open()

    assert {seen.status for seen in them.read_all()} == {200}
    assert set(greedy.read_answer().outcomes.values()) == {"ok"}
    assert last_place(them, "modest") <= 1 + 5 * 4 + 2, them.order()


# A full queue


def test_who_fills_the_queue_makes_room_for_others(crowd, gate):
    held = gate()
    them = crowd(gated(held), max_queue=12)
    occupy(them)
    greedy = them.post("greedy-", 20, GREEDY)
    them.wait_for_queued(12)
    modest = them.post("modest-", 4)
    them.server.wait_for_state(callers_waiting=2)
    too_much = them.post("more-", 1, GREEDY)
    assert too_much.read_answer().outcomes == {"more-0": "queue_full"}
    held.open()

    assert set(modest.read_answer().outcomes.values()) == {"ok"}
    codes = list(greedy.read_answer().outcomes.values())
    assert codes == ["ok"] * 8 + ["queue_full"] * 12, "the newest gave way"
    assert them.callers[0].read_answer().status == 200
    assert them.server.upstreams()["refused_full"] >= 8 + 4


def test_no_caller_fills_the_queue_call_by_call(crowd, gate):
    held = gate()
    them = crowd(gated(held), max_queue=12)
    occupy(them)
    for _ in range(24):
        them.post("greedy-", 1, GREEDY)

    def all_decided():
        state = them.server.upstreams()
        return state["queued"] + state["upstreams"][0]["outcomes"].get("queue_full", 0) == 24

    wait_until(all_decided, "each waits or was refused")
    modest = [them.post("modest-", 1, address) for address in (MODEST, "127.0.0.5", "127.0.0.6")]
    them.server.wait_for_state(callers_waiting=4)
    held.open()

    assert {caller.read_answer().status for caller in modest} == {200}
    seen = [caller.read_answer() for caller in them.callers if caller not in modest]
    refused = [one for one in seen if one.status == 503]
    assert len(refused) >= 12 and all(one.headers["Retry-After"] for one in refused)
    assert them.order().count("modest-") == 3


def test_equals_do_not_drive_each_other_out(crowd, gate):
    held = gate()
    them = crowd(gated(held), max_queue=4)
    occupy(them)
    for address in (GREEDY, MODEST):
        them.post("x-", 2, address)
    them.wait_for_queued(4)

    for address in (GREEDY, MODEST):
        assert them.post("late-", 1, address).read_answer().outcomes == {"late-0": "queue_full"}
        them.callers.pop()
    held.open()
    assert {seen.status for seen in them.read_all()} == {200}


def test_where_callers_leave_the_queue_is_free_again(crowd, gate):
    held = gate()
    them = crowd(gated(held), max_queue=10)
    occupy(them)
    greedy = them.post("greedy-", 10, GREEDY)
    them.wait_for_queued(10)
    modest = them.post("modest-", 5)
    them.server.wait_for_state(callers_waiting=2)

    them.callers.remove(greedy)
    greedy.reset()
    them.wait_for_queued(5)
    them.callers.remove(modest)
    modest.close()
    them.wait_for_queued(0)
    held.open()
    assert {seen.status for seen in them.read_all()} == {200}


# Priorities

RANKS = ["high", "normal", "low"]


def ranked():
    return [endpoint(f"/{rank}", upstreams=["a"], priority=rank) for rank in RANKS]


def test_a_higher_priority_goes_first(crowd, gate):
    held = gate()
    them = crowd(gated(held), endpoint("/plain", upstreams=["a"]), *ranked())
    them.post("first", target="/plain")
    them.one.wait_for_in_flight(1)
    for n, (rank, address) in enumerate(
        [("low", GREEDY), ("normal", GREEDY), ("low", MODEST), ("plain", MODEST), ("high", GREEDY)]
    ):
        them.post(f"{rank}-", 4, address, f"/{rank}")
        them.wait_for_queued(4 * (n + 1))
    held.open()

    assert {seen.status for seen in them.read_all()} == {200}
    order = them.order()[1:]
    assert order[:4] == ["high-"] * 4 and order[12:] == ["low-"] * 8, order
    assert sorted(order[4:12]) == ["normal-"] * 4 + ["plain-"] * 4


def test_a_lower_priority_gives_way_in_a_full_queue(crowd, gate):
    held = gate()
    them = crowd(gated(held), *ranked(), max_queue=6)
    them.post("first", target="/high")
    them.one.wait_for_in_flight(1)
    low = them.post("low-", 6, GREEDY, "/low")
    them.wait_for_queued(6)
    high = them.post("high-", 4, MODEST, "/high")
    wait_until(lambda: them.server.upstreams()["refused_full"] == 4, "four have given way")
    normal = them.post("normal-", 4, THIRD, "/normal")
    wait_until(lambda: them.server.upstreams()["refused_full"] == 8, "six, and two newcomers")
    held.open()

    assert set(low.read_answer().outcomes.values()) == {"queue_full"}
    assert list(normal.read_answer().outcomes.values()) == ["ok"] * 2 + ["queue_full"] * 2
    assert set(high.read_answer().outcomes.values()) == {"ok"}
    assert them.order() == ["first"] + ["high-"] * 4 + ["normal-"] * 2


# Too late


def overload(crowd, seconds_each=0.04, waiting=80):
    """A queue whose rate is known."""
    them = crowd(delayed(seconds_each))
    for _ in range(waiting):
        them.post("busy-", 1, GREEDY)
    them.one.wait_for_requests(15)
    return them


def test_who_would_be_too_late_is_refused_at_once(crowd):
    them = overload(crowd)
    rate = 14 / (them.one.history[-1][0] - them.one.history[0][0])
    before = time.monotonic()
    seen = them.post("late-", 1, GREEDY, headers={"X-Request-Deadline-Ms": "400"}).read_answer()
    took = time.monotonic() - before

    assert seen.status == 503 and seen.outcomes == {"late-0": "queue_full"}
    assert took < 0.4 and seen.results[0]["attempts"] == 0
    assert seen.results[0]["error"]["retryable"] is True
    to_be_served = them.server.upstreams()["queued"] / rate
    assert to_be_served / 2 <= int(seen.headers["Retry-After"]) <= 2 * to_be_served + 2
    them.leave()
    assert "late-" not in them.order()


def test_the_whole_request_is_refused_not_parts_of_it(crowd):
    them = overload(crowd)
    seen = them.post(
        "late-", 10, GREEDY, headers={"X-Request-Deadline-Ms": "400"}, require="all"
    ).read_answer()

    assert seen.status == 503 and set(seen.outcomes.values()) == {"queue_full"}
    assert "late-" not in them.order()
    them.leave()


def test_who_has_the_time_is_not_refused(crowd):
    them = overload(crowd, seconds_each=0.01, waiting=60)
    patient = them.post("patient-", 1, GREEDY, headers={"X-Request-Deadline-Ms": "20000"})

    assert patient.read_answer().outcomes == {"patient-0": "ok"}
    them.callers.remove(patient)
    assert {seen.status for seen in them.read_all()} == {200}


def test_another_caller_is_not_refused(crowd):
    """Its turn is the next."""
    them = overload(crowd)
    modest = them.post("modest-", 1, MODEST, headers={"X-Request-Deadline-Ms": "1000"})

    assert modest.read_answer().outcomes == {"modest-0": "ok"}
    them.leave()


def test_nobody_is_refused_by_a_rate_that_nobody_knows(crowd, gate):
    held = gate()
    them = crowd(gated(held))
    occupy(them)
    them.post("busy-", 30, GREEDY)
    them.wait_for_queued(30)
    caller = them.post("late-", 1, GREEDY, headers={"X-Request-Deadline-Ms": "300"})
    them.wait_for_queued(31)

    assert caller.read_answer().outcomes == {"late-0": "deadline_exceeded"}
    them.callers.remove(caller)
    held.open()
    assert {seen.status for seen in them.read_all()} == {200}


def test_a_fallback_stands_in_for_what_is_refused(fanoutd, upstream):
    one = upstream(delayed(0.04))
    server = fanoutd(
        section("a", one, allow_path=True, fallback="'0'", **PATIENT),
        max_in_flight=1,
        deadline="60s",
    )
    them = Crowd(server, one)
    for _ in range(60):
        them.post("busy-", 1, GREEDY)
    one.wait_for_requests(15)

    seen = them.post("late-", 2, GREEDY, headers={"X-Request-Deadline-Ms": "300"}).read_answer()

    assert seen.status == 200
    assert [(result["via"], result["body"]) for result in seen.results] == [("fallback", 0)] * 2
    them.leave()


# A standing queue


def flood(them, address, calls, seconds):
    """Ends when all have been answered; each caller asks again at once for that time."""
    end = time.monotonic() + seconds
    statuses = []
    while time.monotonic() < end:
        callers = [them.post("flood-", 1, address) for _ in range(calls)]
        for caller in callers:
            seen = caller.read_answer()
            caller.close()
            them.callers.remove(caller)
            statuses.append((seen.status, seen.results[0]["elapsed_ms"]))
    return statuses


def test_a_standing_queue_is_cleared(crowd):
    them = crowd(delayed(0.02), shed_target="20ms", shed_interval="200ms")
    callers = [them.post("flood-", 1, GREEDY) for _ in range(100)]
    seen = them.read_all()

    codes = {one.results[0]["ok"] or one.results[0]["error"]["code"] for one in seen}
    assert codes <= {True, "queue_timeout", "queue_full"} and len(codes) >= 2
    served = [one for one in seen if one.status == 200]
    refused = [one for one in seen if one.status == 503]
    assert len(served) + len(refused) == len(callers) and len(served) >= 5
    assert all(1 <= int(one.headers["Retry-After"]) <= 60 for one in refused)
    assert max(one.results[0]["elapsed_ms"] for one in refused) < 20 * 100, "not at the end"
    assert len(them.one.requests) == len(served)


def test_without_a_target_everybody_waits(crowd):
    them = crowd(delayed(0.005))
    for _ in range(100):
        them.post("flood-", 1, GREEDY)

    assert {seen.status for seen in them.read_all()} == {200}


def test_a_burst_is_taken_up(crowd):
    them = crowd(delayed(0.005), shed_target="20ms", shed_interval="20s")
    for _ in range(60):
        them.post("flood-", 1, GREEDY)

    assert {seen.status for seen in them.read_all()} == {200}


def test_others_are_not_cleared_with_the_flood(crowd):
    them = crowd(delayed(0.01), shed_target="40ms", shed_interval="80ms")
    modest = []
    for _ in range(6):
        for _ in range(30):
            them.post("flood-", 1, GREEDY)
        caller = them.post("modest-", 1, MODEST)
        modest.append(caller.read_answer().status)
        them.callers.remove(caller)

    assert modest == [200] * 6
    assert {seen.status for seen in them.read_all()} == {200, 503}


def test_after_the_flood_all_is_as_before(crowd):
    them = crowd(delayed(0.01), shed_target="5ms", shed_interval="20ms")
    assert {status for status, _ in flood(them, GREEDY, 30, 0.5)} == {200, 503}

    for _ in range(5):
        assert them.post("after-", 1, GREEDY).read_answer().status == 200
    state = them.server.upstreams()
    assert (state["in_flight"], state["queued"], state["callers_waiting"]) == (0, 0, 0)


# Identical requests


def test_shared_requests_take_turns_too(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("a", one, allow_path=True, coalesce=True, **PATIENT),
        max_in_flight=1,
        workers=1,
        deadline="60s",
    )
    them = Crowd(server, one)
    occupy(them)
    them.post("greedy-", 60, GREEDY)
    them.wait_for_queued(60)
    them.post("modest-", 3, MODEST)
    them.wait_for_queued(63)
    held.open()

    assert {seen.status for seen in them.read_all()} == {200}
    assert last_place(them, "modest-") <= 1 + 2 * 3 + 2, them.order()
