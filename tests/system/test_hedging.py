"""A second attempt beside a slow first one: when, where to, and what comes of the two."""

import pytest

from fanoutd_process import resolver, section
from http_wire import post_bytes, wait_until
from scripted_upstream import answer, delayed, gated, in_turn, json_body, resetting, silence

OFTEN = {"retry_backoff": "1ms", "retry_budget": 1000, "retry_budget_floor": 1000}
PATIENT = {"timeout": "60s", "connect_timeout": "60s", **OFTEN}
MEASURED = 50  # answers, before a quantile of them is known

both_ways = pytest.mark.parametrize("transport", ["auto", "curl"])


def serve(fanoutd, where, transport="auto", deadline="60s", workers=1, **settings):
    return fanoutd(
        section("users", where, **{"hedge": "20ms", **PATIENT, **settings}),
        transport=transport,
        deadline=deadline,
        workers=workers,
    )


def serve_name(fanoutd, dns, port, **settings):
    return fanoutd(
        resolver(servers=[dns.address]),
        section("users", f"http://users.test:{port}/", **{"hedge": "20ms", **PATIENT, **settings}),
        deadline="60s",
        workers=1,
    )


def summary(reply):
    """The outcome, the attempts and what the result came by."""
    result = reply.result("users")
    return reply.outcomes["users"], result["attempts"], result.get("via")


def post(server, **request):
    return server.post({"requests": [{"upstream": "users", **request}]})


def counts(server, *names):
    state = server.upstream("users")
    return tuple(state[name] for name in names)


# The first answer wins


@both_ways
def test_the_hedge_answers_first(fanoutd, upstream, transport):
    one = upstream(in_turn(silence, json_body('{"n": 2}')))
    server = serve(fanoutd, one, transport)
    reply = server.get()

    assert summary(reply) == ("ok", 2, "hedge")
    assert reply.result("users")["body"] == {"n": 2}
    one.wait_for_left(1)  # the first was cancelled, and its connection closed
    server.wait_for_state(in_flight=0, queued=0)
    assert counts(server, "hedges", "hedge_wins", "retries", "in_flight") == (1, 1, 0, 0)
    assert server.upstream("users")["outcomes"] == {"ok": 1}


@both_ways
def test_the_first_answers_after_all(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(in_turn(gated(held, json_body('{"n": 1}')), silence))
    server = serve(fanoutd, one, transport)
    caller = server.start_get()
    one.wait_for_in_flight(2)
    held.open()
    reply = caller.read_answer()

    assert summary(reply) == ("ok", 2, None)
    assert reply.result("users")["body"] == {"n": 1}
    one.wait_for_left(1)
    server.wait_for_state(in_flight=0, queued=0)
    assert counts(server, "hedges", "hedge_wins") == (1, 0)


def test_there_is_none_when_the_answer_is_in_time(fanoutd, upstream):
    one = upstream()
    server = serve(fanoutd, one, hedge="20s")

    for _ in range(10):
        assert summary(server.get()) == ("ok", 1, None)
    assert counts(server, "hedges") == (0,)


def test_there_are_never_two(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, hedge="1ms", timeout="300ms")

    assert summary(server.get()) == ("timeout", 2, None)
    assert len(one.requests) == 2


def test_the_rest_of_a_request_is_not_disturbed(fanoutd, upstream, gate):
    held = gate()
    slow, quick = upstream(in_turn(silence, gated(held))), upstream()
    server = fanoutd(
        section("users", slow, hedge="20ms", **PATIENT), section("quick", quick), deadline="60s"
    )
    caller = server.start_get()
    slow.wait_for_in_flight(2)
    held.open()
    reply = caller.read_answer()

    assert reply.outcomes == {"users": "ok", "quick": "ok"}
    assert [one["attempts"] for one in reply.results] == [2, 1]


def test_there_is_none_for_what_has_its_answer_while_others_wait(fanoutd, upstream, gate):
    held = gate()
    slow, quick = upstream(gated(held)), upstream()
    server = fanoutd(
        section("slow", slow, hedge="50ms", **PATIENT),
        section("quick", quick, hedge="50ms", **PATIENT),
        deadline="60s",
        workers=1,
    )
    caller = server.start_get()
    slow.wait_for_in_flight(2)
    held.open()

    assert caller.read_answer().outcomes == {"slow": "ok", "quick": "ok"}
    assert len(quick.requests) == 1


# Where it goes


def test_it_goes_to_another_address(fanoutd, upstream, dns, gate):
    held = gate()
    first = upstream(gated(held))
    second = upstream(gated(held), host="127.0.0.2", port=first.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve_name(fanoutd, dns, first.port)

    for _ in range(6):
        caller = server.start_get()
        first.wait_for_in_flight(1)
        second.wait_for_in_flight(1)
        held.let_through()
        assert caller.read_answer().outcomes == {"users": "ok"}
        first.wait_for_in_flight(0)
        second.wait_for_in_flight(0)
    assert len(first.requests) == len(second.requests) == 6


def test_it_does_so_even_where_that_has_more_to_do(fanoutd, upstream, dns, gate):
    idle, busy = gate(), gate()
    first = upstream(gated(idle))
    second = upstream(gated(busy), host="127.0.0.2", port=first.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve_name(fanoutd, dns, first.port, allow_methods=["GET", "POST"])
    requests = [{"id": str(n), "upstream": "users", "method": "POST"} for n in range(6)]
    load = server.start_post({"requests": requests})  # for which there are no hedges
    first.wait_for_in_flight(3)
    second.wait_for_in_flight(3)
    idle.let_through(3)
    first.wait_for_in_flight(0)
    server.wait_for_state(in_flight=3)

    caller = server.start_get()
    second.wait_for_in_flight(4)
    assert first.in_flight == 1
    busy.open()
    assert summary(caller.read_answer()) == ("ok", 2, "hedge")
    assert set(load.read_answer().outcomes.values()) == {"ok"}


def test_it_saves_the_fetch_from_an_address_that_hangs(fanoutd, upstream, dns):
    bad = upstream(silence)
    good = upstream(host="127.0.0.2", port=bad.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve_name(fanoutd, dns, bad.port)

    for _ in range(12):
        assert server.get().outcomes == {"users": "ok"}
    assert len(good.requests) == 12
    assert counts(server, "hedge_wins") == (len(bad.requests),)


def test_it_goes_where_the_first_is_when_there_is_nothing_else(fanoutd, upstream, dns):
    one = upstream(in_turn(silence, json_body()))
    dns.names["users.test"] = ["127.0.0.1"]
    server = serve_name(fanoutd, dns, one.port)

    assert summary(server.get()) == ("ok", 2, "hedge")


def test_or_when_the_other_address_refuses(fanoutd, upstream, dns):
    one = upstream(in_turn(*[silence, json_body()] * 6))  # on 127.0.0.1 alone
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve_name(fanoutd, dns, one.port, eject_failures=0)

    for _ in range(6):
        assert summary(server.get()) == ("ok", 2, "hedge")


def test_there_is_none_while_the_name_is_looked_up(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = -1  # withheld
    server = serve_name(fanoutd, dns, one.port, timeout="300ms")

    assert summary(server.get()) == ("timeout", 1, None)
    assert counts(server, "hedges") == (0,)


# When it is made


@both_ways
def test_the_time_is_measured(fanoutd, upstream, transport):
    one = upstream(in_turn(*[json_body()] * MEASURED, delayed(0.3)))
    server = serve(fanoutd, one, transport, hedge="p95")
    requests = [{"id": str(n), "upstream": "users"} for n in range(MEASURED)]
    reply = server.post({"requests": requests})
    assert {result["attempts"] for result in reply.results} == {1}

    # What is known is looked up again after a while.
    wait_until(lambda: server.get().result("users")["attempts"] == 2, "a hedge is made")


def test_there_is_none_before_enough_is_measured(fanoutd, upstream):
    one = upstream(in_turn(*[json_body()] * (MEASURED - 1), silence))
    server = serve(fanoutd, one, hedge="p50", timeout="400ms")
    for _ in range(MEASURED - 1):
        assert server.get().outcomes == {"users": "ok"}

    assert summary(server.get()) == ("timeout", 1, None)


# What it must not do


@both_ways
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_there_is_none_for_what_is_not_idempotent(fanoutd, upstream, transport, method):
    one = upstream(silence)
    server = serve(fanoutd, one, transport, timeout="300ms", allow_methods=[method])

    assert summary(post(server, method=method)) == ("timeout", 1, None)
    assert len(one.requests) == 1


def test_unless_the_upstream_can_take_it(fanoutd, upstream):
    one = upstream(in_turn(silence, json_body()))
    server = serve(fanoutd, one, allow_methods=["POST"], retry_unsafe=True)

    assert summary(post(server, method="POST")) == ("ok", 2, "hedge")


def test_hedges_stay_within_the_budget(fanoutd, upstream):
    one = upstream(silence)
    server = serve(
        fanoutd, one, timeout="400ms", hedge="5ms", retry_budget=20, retry_budget_floor=0
    )
    requests = [{"id": str(n), "upstream": "users"} for n in range(50)]
    reply = server.post({"requests": requests})

    assert set(reply.outcomes.values()) == {"timeout"}
    assert sum(one["attempts"] for one in reply.results) == len(one.requests) <= 60
    assert counts(server, "hedges") == (len(one.requests) - 50,)
    assert server.upstream("users")["hedges"] + server.upstream("users")["extra_refused"] == 50


def test_without_a_budget_there_are_none(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, timeout="200ms", retry_budget=0, retry_budget_floor=0)

    assert summary(server.get()) == ("timeout", 1, None)
    assert counts(server, "hedges", "extra_refused") == (0, 1)


@pytest.mark.parametrize(
    ("of_upstream", "of_service"), [(1, 64), (64, 1)], ids=["upstream", "service"]
)
def test_it_does_not_wait_for_a_slot(fanoutd, upstream, of_upstream, of_service):
    one = upstream(delayed(0.15))
    settings = {**PATIENT, "hedge": "10ms", "retry_budget": 100, "retry_budget_floor": 0}
    server = fanoutd(
        section("users", one, max_in_flight=of_upstream, **settings),
        max_in_flight=of_service,
        deadline="60s",
    )
    callers = [server.start_get() for _ in range(3)]

    for caller in callers:
        assert summary(caller.read_answer()) == ("ok", 1, None)
    assert one.peak == 1
    assert counts(server, "hedges", "extra_refused", "queued") == (0, 0, 0)
    assert counts(server, "retry_budget") == (3,)  # nothing was spent on what was not sent


def test_it_takes_nobodys_place_in_the_queue(fanoutd, upstream):
    """Neither by priority nor by number of those who wait."""
    one = upstream(delayed(0.2))
    server = fanoutd(
        section("users", one, hedge="20ms", **PATIENT),
        'endpoint "/first" { priority = high }\n',
        'endpoint "/last" { priority = low }\n',
        max_in_flight=1,
        max_queue=1,
        workers=1,
        deadline="60s",
    )
    first = server.start_get("/first")
    one.wait_for_in_flight(1)
    last = server.start_get("/last")
    server.wait_for_state(in_flight=1, queued=1)

    assert summary(first.read_answer()) == ("ok", 1, None)
    assert last.read_answer().outcomes == {"users": "ok"}


# When one of the two fails


def answer_when_one_of_two_fails(server, one, fails, ends):
    """The answer, for which the attempt that is still out is waited for."""
    caller = server.start_get()
    one.wait_for_in_flight(2)
    fails.open()
    one.wait_for_in_flight(1)
    server.wait_for_state(in_flight=1)
    assert caller.is_silent()
    ends.open()
    return caller.read_answer()


@both_ways
def test_the_first_fails_while_the_hedge_is_out(fanoutd, upstream, gate, transport):
    before, after = gate(), gate()
    one = upstream(in_turn(gated(before, answer(503)), gated(after)))
    server = serve(fanoutd, one, transport)

    seen = answer_when_one_of_two_fails(server, one, fails=before, ends=after)

    assert summary(seen) == ("ok", 2, "hedge")


@both_ways
@pytest.mark.parametrize("failure", [answer(503), resetting], ids=["503", "reset"])
def test_the_hedge_fails_while_the_first_is_out(fanoutd, upstream, gate, transport, failure):
    before, after = gate(), gate()
    one = upstream(in_turn(gated(after), gated(before, failure)))
    server = serve(fanoutd, one, transport)

    seen = answer_when_one_of_two_fails(server, one, fails=before, ends=after)

    assert summary(seen) == ("ok", 2, None)


@both_ways
def test_both_fail(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(gated(held, answer(503)))
    server = serve(fanoutd, one, transport)
    caller = server.start_get()
    one.wait_for_in_flight(2)
    held.open()

    assert summary(caller.read_answer()) == ("http_status", 2, None)


@both_ways
def test_both_fail_and_it_is_tried_again(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(in_turn(gated(held, answer(503)), gated(held, answer(503)), json_body()))
    server = serve(fanoutd, one, transport, retries=1)
    caller = server.start_get()
    one.wait_for_in_flight(2)
    held.open()

    assert summary(caller.read_answer()) == ("ok", 3, "retry")
    assert counts(server, "hedges", "retries") == (1, 1)


@pytest.mark.parametrize("which", ["first", "hedge"])
def test_an_answer_that_will_not_change_ends_both(fanoutd, upstream, gate, which):
    held = gate()
    final = gated(held, answer(404))
    one = upstream(in_turn(final, silence) if which == "first" else in_turn(silence, final))
    caller = serve(fanoutd, one).start_get()
    one.wait_for_in_flight(2)
    held.open()
    reply = caller.read_answer()

    assert summary(reply) == ("http_status", 2, None)
    assert reply.result("users")["status"] == 404
    one.wait_for_left(1)


def test_the_first_fails_before_the_hedge_is_due(fanoutd, upstream):
    one = upstream(in_turn(answer(503), json_body()))
    server = serve(fanoutd, one, retries=1, hedge="30s")

    assert summary(server.get()) == ("ok", 2, "retry")
    assert counts(server, "hedges", "retries") == (0, 1)


def test_each_attempt_has_its_own_time(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, hedge="50ms", attempt_timeout="200ms")
    reply = server.get()

    assert summary(reply) == ("timeout", 2, None)
    assert reply.result("users")["error"]["message"] == "no answer within 200 ms"
    one.wait_for_left(2)


# When both are cut off


@both_ways
@pytest.mark.parametrize("way", ["close", "reset", "half_close"])
def test_the_caller_leaves(fanoutd, upstream, transport, way):
    one = upstream(silence)
    server = serve(fanoutd, one, transport)
    caller = server.start_get()
    one.wait_for_in_flight(2)

    getattr(caller, way)()

    one.wait_for_left(2)
    server.wait_for_state(in_flight=0, queued=0)
    assert server.upstream("users")["outcomes"] == {"cancelled": 1}


@both_ways
@pytest.mark.parametrize(
    ("limit", "code"), [("timeout", "timeout"), ("deadline", "deadline_exceeded")]
)
def test_the_time_is_up(fanoutd, upstream, transport, limit, code):
    one = upstream(silence)
    server = serve(fanoutd, one, transport, **{limit: "300ms"})

    assert summary(server.get()) == (code, 2, None)
    one.wait_for_left(2)
    server.wait_for_state(in_flight=0, queued=0)


@both_ways
def test_slots_are_counted_exactly_over_many_hedges(fanoutd, upstream, transport):
    mixed = [json_body(), delayed(0.05), answer(503), delayed(0.01), json_body()]
    one = upstream(in_turn(*mixed * 200))
    server = serve(fanoutd, one, transport, workers=4, hedge="5ms", retries=2, max_in_flight=9)
    document = post_bytes({"requests": [{"id": str(n), "upstream": "users"} for n in range(40)]})
    callers = [server.connect() for _ in range(8)]
    for caller in callers:
        caller.send(document)
    callers.pop().close()
    for caller in callers:
        caller.read_answer()

    assert one.peak <= 9
    server.wait_for_state(in_flight=0, queued=0)
    assert counts(server, "in_flight", "queued") == (0, 0)
