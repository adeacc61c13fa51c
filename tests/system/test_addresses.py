"""Which of several addresses is asked: the less loaded one; one that fails is set aside."""

import pytest

from fanoutd_process import resolver, section
from http_wire import wait_until
from scripted_upstream import answer, gated, in_turn, json_body, resetting, silence

NEVER_BACK = {"eject_failures": 3, "eject_time": "60s"}
SOON_BACK = {"eject_failures": 3, "eject_time": "50ms", "eject_max_time": "50ms"}

both_ways = pytest.mark.parametrize("transport", ["auto", "curl"])


@pytest.fixture
def replicas(upstream, dns):
    """replicas(behaviour, …): each on an address of its own, all of one port and one name."""

    def make(*behaviours):
        made = [upstream(behaviours[0])]
        for number, behaviour in enumerate(behaviours[1:], start=2):
            made.append(upstream(behaviour, host=f"127.0.0.{number}", port=made[0].port))
        dns.names["users.test"] = [one.host for one in made]
        return made

    return make


@pytest.fixture
def serve(fanoutd, dns):
    def make(replicas, transport="auto", **settings):
        patient = {"timeout": "60s", "connect_timeout": "60s", "max_in_flight": 500}
        return fanoutd(
            resolver(servers=[dns.address]),
            section("users", f"http://users.test:{replicas[0].port}/", **{**patient, **settings}),
            transport=transport,
            workers=1,  # each has its own view
            max_in_flight=500,
            deadline="60s",
        )

    return make


def ask(server, count):
    """One after the other; the outcomes."""
    return [server.get().outcomes["users"] for _ in range(count)]


def asked(replicas):
    return [len(one.requests) for one in replicas]


# The less loaded one


@both_ways
def test_two_have_as_much_to_do(replicas, serve, gate, transport):
    held = gate()
    pair = replicas(gated(held), gated(held))
    server = serve(pair, transport)
    callers = [server.start_get() for _ in range(20)]
    for one in pair:
        one.wait_for_in_flight(10)
    held.open()

    assert {caller.read_answer().outcomes["users"] for caller in callers} == {"ok"}


@both_ways
def test_one_that_hangs_gets_no_more_than_the_other_has(replicas, serve, transport):
    stuck, well = pair = replicas(silence, json_body())
    server = serve(pair, transport, eject_failures=0)
    hanging = []
    while not stuck.requests:
        hanging.append(server.start_get())
        wait_until(lambda: sum(asked(pair)) == len(hanging), "it is at one of them")
    well.wait_for_in_flight(0)

    assert ask(server, 30) == ["ok"] * 30
    assert asked([stuck]) == [1]


@both_ways
def test_of_many_none_is_left_out_and_none_overrun(replicas, serve, gate, transport):
    held = gate()
    many = replicas(*[gated(held)] * 6)
    server = serve(many, transport)
    requests = [{"id": str(n), "upstream": "users"} for n in range(120)]
    caller = server.start_post({"requests": requests})
    wait_until(lambda: sum(one.in_flight for one in many) == 120, "all are there")

    # By two choices; with one choice at random, the fullest would have about 30.
    assert all(14 <= one.in_flight <= 26 for one in many), [one.in_flight for one in many]
    held.open()
    assert set(caller.read_answer().outcomes.values()) == {"ok"}


# Setting aside


@both_ways
@pytest.mark.parametrize("failure", [answer(500), resetting], ids=["500", "reset"])
def test_one_that_fails_is_set_aside(replicas, serve, transport, failure):
    pair = replicas(failure, json_body())
    server = serve(pair, transport, **NEVER_BACK)
    outcomes = ask(server, 60)

    assert asked(pair) == [3, 57]
    assert outcomes.count("ok") == 57


def test_one_that_hangs_is_set_aside(replicas, serve):
    pair = replicas(silence, json_body())
    server = serve(pair, **{**NEVER_BACK, "timeout": "50ms"})
    outcomes = ask(server, 40)

    assert asked(pair) == [3, 37]
    assert outcomes.count("timeout") == 3


def test_one_that_refuses_is_set_aside_and_nothing_fails(upstream, dns, serve):
    one = upstream()  # on 127.0.0.1 alone
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve([one], **NEVER_BACK)

    assert ask(server, 30) == ["ok"] * 30


def test_it_takes_failures_in_a_row(replicas, serve):
    pair = replicas(in_turn(*[answer(500), answer(500), json_body()] * 40), json_body())
    server = serve(pair, **NEVER_BACK)
    ask(server, 60)

    assert min(asked(pair)) >= 10


def test_that_we_were_wrong_is_no_failure(replicas, serve):
    pair = replicas(answer(404), json_body())
    server = serve(pair, **NEVER_BACK)
    ask(server, 60)

    assert min(asked(pair)) >= 10


def test_a_caller_in_a_hurry_sets_nothing_aside(replicas, serve, gate):
    held = gate()
    slow, _ = pair = replicas(gated(held), json_body())
    server = serve(pair, **NEVER_BACK)
    while len(slow.requests) < 6:
        server.get("/fetch-multiple?timeout=20ms")
    held.open()

    before = len(slow.requests)
    assert ask(server, 60) == ["ok"] * 60
    assert len(slow.requests) - before >= 10


def test_none_is_set_aside_where_that_is_off(replicas, serve):
    pair = replicas(answer(500), json_body())
    server = serve(pair, eject_failures=0)
    ask(server, 60)

    assert min(asked(pair)) >= 10


def test_a_retry_does_not_go_to_one_that_is_set_aside(replicas, serve):
    bad, _ = replicas(answer(500), in_turn(*[answer(503), json_body()] * 40))
    plenty = {"retry_budget": 1000, "retry_budget_floor": 1000, "retry_backoff": "1ms"}
    server = serve(
        [bad], retries=1, retry_on=["503"], **{**NEVER_BACK, "eject_failures": 2, **plenty}
    )
    while len(bad.requests) < 2:
        server.get()

    assert set(ask(server, 20)) == {"ok"}
    assert len(bad.requests) == 2


# Never more than half


def test_one_of_two_goes_on(replicas, serve):
    pair = replicas(answer(500), answer(503))
    server = serve(pair, **NEVER_BACK)

    assert ask(server, 40) == ["http_status"] * 40
    assert sorted(asked(pair)) == [3, 37]


def test_two_of_four_go_on(replicas, serve):
    four = replicas(*[answer(500)] * 4)
    server = serve(four, **{**NEVER_BACK, "eject_failures": 1})
    ask(server, 60)

    least, less, *others = sorted(asked(four))
    assert (least, less) == (1, 1)
    assert min(others) >= 10


def test_an_only_one_goes_on(replicas, serve):
    alone = replicas(in_turn(*[answer(500)] * 20, json_body()))
    server = serve(alone, **{**NEVER_BACK, "eject_failures": 1})

    assert ask(server, 22) == ["http_status"] * 20 + ["ok"] * 2


# Coming back


@both_ways
def test_it_comes_back_when_it_is_well(replicas, serve, gate, transport):
    held = gate()
    back, well = pair = replicas(in_turn(*[answer(500)] * 3, json_body()), json_body())
    server = serve(pair, transport, **SOON_BACK)
    while len(back.requests) < 3:
        server.get()

    def is_asked_again():
        assert server.get().outcomes["users"] == "ok"
        return len(back.requests) > 3

    wait_until(is_asked_again, "it is tried again")
    back.behaviour = well.behaviour = gated(held)
    callers = [server.start_get() for _ in range(20)]
    for one in pair:
        one.wait_for_in_flight(10)
    held.open()
    assert {caller.read_answer().outcomes["users"] for caller in callers} == {"ok"}


def test_it_is_tried_by_one_call_and_set_aside_again(replicas, serve, gate):
    held = gate()
    bad, _ = pair = replicas(
        in_turn(*[answer(500)] * 3, gated(held, answer(500)), json_body()), json_body()
    )
    server = serve(pair, **{**SOON_BACK, "eject_max_time": "60s"})
    while len(bad.requests) < 3:
        server.get()
    callers = []

    def is_tried():
        callers.append(server.start_get())
        wait_until(lambda: sum(asked(pair)) >= before + len(callers), "it is at one of them")
        return len(bad.requests) > 3

    before = sum(asked(pair))
    wait_until(is_tried, "it is tried again")
    assert ask(server, 10) == ["ok"] * 10  # the others go elsewhere
    assert len(bad.requests) == 4
    held.open()
    codes = [caller.read_answer().outcomes["users"] for caller in callers]
    assert codes == ["ok"] * (len(callers) - 1) + ["http_status"]


def test_a_new_address_is_used(dns, replicas, serve):
    first, second = pair = replicas(json_body(), json_body())
    dns.names["users.test"] = [first.host]
    server = serve(pair)
    assert ask(server, 5) == ["ok"] * 5
    assert asked(pair) == [5, 0]
    dns.names["users.test"] = [first.host, second.host]

    wait_until(lambda: ask(server, 1) == ["ok"] and second.requests, "the second one is asked")
