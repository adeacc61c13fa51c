"""The circuit breaker: what opens it, what an open one does, and how it closes again."""

import pytest

from fanoutd_process import endpoint, section
from http_wire import wait_until
from scripted_upstream import answer, gated, in_turn, json_body, resetting, silence

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}
BY_RATE = {
    "breaker": True,
    "breaker_failure_rate": 50,
    "breaker_min_calls": 4,
    "breaker_window": "60s",
    "breaker_open": "30s",
}
BY_RUN = {**BY_RATE, "breaker_failure_rate": 0, "breaker_consecutive": 3}
AT_ONCE = {**BY_RUN, "breaker_consecutive": 1}
SHORT = {"breaker_open": "50ms", "breaker_max_open": "50ms"}
ENOUGH = 12

both_ways = pytest.mark.parametrize("transport", ["auto", "curl"])


def serve(fanoutd, where, *, workers=1, transport="auto", deadline="60s", **settings):
    return fanoutd(
        section("users", where, **{**PATIENT, **settings}),
        workers=workers,
        transport=transport,
        deadline=deadline,
    )


def code(server):
    return server.get().outcomes["users"]


def breaker(server):
    return server.upstream("users")["breaker"]


def wait_for_probes(server):
    wait_until(lambda: breaker(server).get("probes_in_ms") == 0, "the next call is a probe")


# What opens it


@both_ways
@pytest.mark.parametrize(
    "failure",
    [answer(500), answer(503), resetting, json_body("{")],
    ids=["500", "503", "reset", "json"],
)
def test_it_opens_when_too_many_fail(fanoutd, upstream, transport, failure):
    one = upstream(failure)
    server = serve(fanoutd, one, transport=transport, **BY_RATE)
    codes = [code(server) for _ in range(ENOUGH)]

    assert "circuit_open" not in codes[:4]
    assert codes[4:] == ["circuit_open"] * (ENOUGH - 4)
    assert len(one.requests) == 4


def test_half_of_them_is_enough(fanoutd, upstream):
    one = upstream(in_turn(*[answer(500), json_body()] * ENOUGH))
    server = serve(fanoutd, one, **BY_RATE)
    codes = [code(server) for _ in range(6)]

    assert codes == ["http_status", "ok", "http_status", "ok", "http_status", "circuit_open"]


def test_fewer_are_not(fanoutd, upstream):
    one = upstream(in_turn(*[json_body(), json_body(), answer(500)] * ENOUGH))
    server = serve(fanoutd, one, **BY_RATE)

    assert [code(server) for _ in range(9)] == ["ok", "ok", "http_status"] * 3
    assert breaker(server)["state"] == "closed"
    assert (breaker(server)["calls"], breaker(server)["failures"]) == (9, 3)


def test_it_opens_after_a_run_of_failures(fanoutd, upstream):
    one = upstream(in_turn(answer(500), answer(500), json_body(), answer(500)))
    server = serve(fanoutd, one, **BY_RUN)
    codes = [code(server) for _ in range(8)]

    assert codes[:6] == ["http_status"] * 2 + ["ok"] + ["http_status"] * 3
    assert codes[6:] == ["circuit_open"] * 2


def test_a_refused_connection_counts(fanoutd, refusing_port):
    server = serve(fanoutd, refusing_port, **BY_RUN)

    assert [code(server) for _ in range(5)] == ["connect_refused"] * 3 + ["circuit_open"] * 2


def test_a_timeout_counts(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, **{**BY_RUN, "timeout": "60ms"})

    assert [code(server) for _ in range(5)] == ["timeout"] * 3 + ["circuit_open"] * 2


def test_so_does_a_deadline_that_left_enough_time(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, deadline="150ms", **{**BY_RUN, "timeout": "200ms"})

    assert [code(server) for _ in range(5)] == ["deadline_exceeded"] * 3 + ["circuit_open"] * 2


def test_every_attempt_counts(fanoutd, upstream):
    one = upstream(answer(503))
    server = serve(fanoutd, one, retries=1, retry_backoff="0ms", **BY_RUN)

    assert code(server) == "http_status"
    assert code(server) == "http_status"  # opened by it, so there was no retry
    assert code(server) == "circuit_open"
    assert len(one.requests) == 3


# What does not


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 301])
def test_that_we_were_wrong_does_not_count(fanoutd, upstream, status):
    server = serve(fanoutd, upstream(answer(status)), **BY_RUN)

    assert [code(server) for _ in range(6)] == ["http_status"] * 6


def test_what_is_a_success_does_not(fanoutd, upstream):
    server = serve(fanoutd, upstream(answer(503)), success=["2xx", "503"], **BY_RUN)

    assert [code(server) for _ in range(6)] == ["ok"] * 6


def test_an_answer_that_is_too_large_does_not(fanoutd, upstream):
    server = serve(fanoutd, upstream(json_body("[1, 2, 3]")), max_response=4, **BY_RUN)

    assert [code(server) for _ in range(6)] == ["response_too_large"] * 6


@pytest.mark.parametrize("limit", ["fetch", "document", "query"])
def test_a_caller_in_a_hurry_can_not_open_it_for_others(fanoutd, upstream, limit):
    one = upstream(silence)
    server = serve(fanoutd, one, **BY_RUN)
    for _ in range(6):
        if limit == "fetch":
            reply = server.post({"requests": [{"upstream": "users", "timeout_ms": 20}]})
        elif limit == "document":
            reply = server.post({"requests": [{"upstream": "users"}], "timeout_ms": 20})
        else:
            reply = server.get("/fetch-multiple?timeout=20ms")
        assert reply.outcomes["users"] in ("timeout", "deadline_exceeded")

    assert breaker(server)["state"] == "closed"
    assert breaker(server)["calls"] == 0


def test_callers_who_leave_do_not_open_it(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, **BY_RUN)
    for number in range(6):
        caller = server.start_get()
        one.wait_for_requests(number + 1)
        caller.close()
        one.wait_for_left(number + 1)

    server.wait_for_state(in_flight=0)
    assert (breaker(server)["state"], breaker(server)["calls"]) == ("closed", 0)


def test_without_one_there_is_none(fanoutd, upstream):
    server = serve(fanoutd, upstream(answer(500)))

    assert [code(server) for _ in range(40)] == ["http_status"] * 40
    assert "breaker" not in server.upstream("users")


# What an open one does


@both_ways
def test_an_open_one_answers_at_once(fanoutd, upstream, transport):
    one = upstream(answer(500))
    server = serve(fanoutd, one, transport=transport, **AT_ONCE)
    code(server)
    reply = server.get()
    result = reply.result("users")

    assert reply.status == 503 and 1 <= int(reply.headers["Retry-After"]) <= 60
    assert reply.headers["X-Fanout-Complete"] == "false"
    assert (result["status"], result["attempts"], result["body"]) == (None, 0, None)
    assert result["error"]["code"] == "circuit_open" and result["error"]["retryable"]
    assert result["error"]["message"].startswith("the circuit breaker is open for ")
    assert result["error"]["message"].endswith("1 of 1 calls failed (100 %), the last 1 in a row")
    assert server.upstream("users")["outcomes"] == {"http_status": 1, "circuit_open": 1}


def test_it_is_told_in_the_log_and_on_the_status_page(fanoutd, upstream):
    one = upstream(in_turn(answer(500), json_body()))
    server = serve(fanoutd, one, **{**AT_ONCE, **SHORT, "breaker_successes": 1})
    code(server)
    opened = server.wait_for_event("breaker", upstream="users", state="open")
    assert opened.level == "warn" and "1 of 1 calls failed" in opened.fields["reason"]
    assert breaker(server)["times_opened"] == 1

    wait_for_probes(server)
    assert code(server) == "ok"
    closed = server.wait_for_event("breaker", upstream="users", state="closed")
    assert closed.level == "info"
    assert breaker(server)["state"] == "closed"


def test_other_upstreams_are_asked_as_before(fanoutd, upstream):
    server = fanoutd(
        section("users", upstream(answer(500)), **AT_ONCE), section("other", upstream()), workers=1
    )
    assert server.get().outcomes == {"users": "http_status", "other": "ok"}
    reply = server.get()

    assert reply.status == 200
    assert reply.outcomes == {"users": "circuit_open", "other": "ok"}


def test_who_waits_for_a_slot_when_it_opens_is_not_sent(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held, answer(500)))
    server = serve(fanoutd, one, max_in_flight=1, **AT_ONCE)
    first = server.start_get()
    one.wait_for_in_flight(1)
    others = [server.start_get() for _ in range(5)]
    server.wait_for_state(in_flight=1, queued=5)
    held.open()

    assert first.read_answer().outcomes == {"users": "http_status"}
    for caller in others:
        result = caller.read_answer().result("users")
        assert (result["error"]["code"], result["attempts"]) == ("circuit_open", 0)
    assert len(one.requests) == 1
    server.wait_for_state(in_flight=0, queued=0)


@pytest.mark.parametrize("threads", [1, 4])
def test_it_is_one_for_all_workers(fanoutd, upstream, threads):
    one = upstream(answer(500))
    server = serve(fanoutd, one, workers=threads, **BY_RATE)
    codes = [code(server) for _ in range(40)]

    assert codes == ["http_status"] * 4 + ["circuit_open"] * 36
    assert len(one.requests) == 4
    opened = [line for line in server.log if line.event == "breaker"]
    assert [line.fields["state"] for line in opened] == ["open"]


# How it closes


@both_ways
def test_a_few_calls_at_once_try_it_out(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(in_turn(answer(500), gated(held)))
    settings = {**AT_ONCE, **SHORT, "breaker_probes": 2, "breaker_successes": 2}
    server = serve(fanoutd, one, workers=4, transport=transport, **settings)
    code(server)
    wait_for_probes(server)
    probes = [server.start_get() for _ in range(2)]
    one.wait_for_in_flight(2)

    for _ in range(8):
        reply = server.get()
        assert reply.outcomes == {"users": "circuit_open"}
        message = reply.result("users")["error"]["message"]
        assert message.startswith("the circuit breaker is half-open, 2 probes out")
    assert len(one.requests) == 3
    held.open()
    assert [probe.read_answer().outcomes["users"] for probe in probes] == ["ok"] * 2
    server.wait_for_event("breaker", state="closed")
    assert [code(server) for _ in range(10)] == ["ok"] * 10


def test_a_probe_that_fails_opens_it_again(fanoutd, upstream):
    one = upstream(answer(500))
    server = serve(fanoutd, one, **{**AT_ONCE, **SHORT})
    code(server)
    for times in (2, 3):
        wait_for_probes(server)
        assert code(server) == "http_status"
        assert breaker(server)["times_opened"] == times
    assert len(one.requests) == 3


def test_each_time_for_longer(fanoutd, upstream):
    settings = {**AT_ONCE, "breaker_open": "50ms", "breaker_max_open": "40s"}
    server = serve(fanoutd, upstream(answer(500)), **settings)
    code(server)
    for _ in range(3):
        wait_for_probes(server)
        assert code(server) == "http_status"

    assert 50 < breaker(server)["probes_in_ms"] <= 400


@pytest.mark.parametrize("way", ["leaves", "gives_up"])
def test_a_probe_that_comes_to_nothing_makes_room_for_another(fanoutd, upstream, way):
    one = upstream(in_turn(answer(500), silence, json_body()))
    server = serve(fanoutd, one, **{**AT_ONCE, **SHORT, "breaker_successes": 1})
    code(server)
    wait_for_probes(server)
    if way == "leaves":
        caller = server.start_get()
        one.wait_for_in_flight(1)
        assert code(server) == "circuit_open"
        caller.close()
    else:
        assert server.get("/fetch-multiple?timeout=20ms").outcomes == {"users": "deadline_exceeded"}
    one.wait_for_left(1)
    server.wait_for_state(in_flight=0)

    assert code(server) == "ok"
    assert breaker(server)["state"] == "closed"


def test_a_probe_that_waits_for_a_slot(fanoutd, upstream, gate):
    """Others have all slots of the service: it keeps its place, and is sent when it has one."""
    held = gate()
    one, other = upstream(in_turn(answer(500), json_body())), upstream(gated(held))
    server = fanoutd(
        section("users", one, **{**PATIENT, **AT_ONCE, **SHORT, "breaker_successes": 1}),
        section("other", other, **PATIENT),
        endpoint("/users", upstreams=["users"]),
        endpoint("/other", upstreams=["other"]),
        max_in_flight=1,
        deadline="60s",
        workers=1,
    )
    server.get("/users")
    busy = server.start_get("/other")
    other.wait_for_in_flight(1)
    wait_for_probes(server)
    probe = server.start_get("/users")
    server.wait_for_state(in_flight=1, queued=1)
    assert server.get("/users").outcomes == {"users": "circuit_open"}
    held.open()

    assert busy.read_answer().outcomes == {"other": "ok"}
    assert probe.read_answer().outcomes == {"users": "ok"}


def test_many_callers_at_one_that_comes_and_goes(fanoutd, upstream):
    one = upstream(in_turn(*([answer(500)] * 10 + [json_body()] * 10) * 60))
    settings = {**BY_RUN, **SHORT, "breaker_open": "5ms", "breaker_max_open": "5ms"}
    server = serve(fanoutd, one, workers=4, max_in_flight=5, retries=2, hedge="5ms", **settings)
    requests = [{"id": str(n), "upstream": "users"} for n in range(50)]
    for _ in range(6):
        callers = [server.start_post({"requests": requests}) for _ in range(4)]
        callers.pop().close()
        for caller in callers:
            assert set(caller.read_answer().outcomes.values()) <= {
                "ok",
                "http_status",
                "circuit_open",
            }
    assert one.peak <= 5
    server.wait_for_state(in_flight=0, queued=0)

    def recovers():
        return code(server) == "ok" and breaker(server)["state"] == "closed"

    one.behaviour = json_body()
    wait_until(recovers, "it closes once all is well")


@both_ways
def test_a_failure_that_opens_it_is_told_as_it_was(fanoutd, upstream, transport):
    one = upstream(answer(503, b"busy", "text/plain"))
    server = serve(fanoutd, one, transport=transport, retries=2, **AT_ONCE)
    result = server.get().results[0]

    assert (result["error"]["code"], result["status"], result["body"]) == ("http_status", 503, "busy")
    assert result["attempts"] == 1
    assert code(server) == "circuit_open"


def test_callers_are_told_when_it_lets_somebody_through(fanoutd, upstream):
    server = serve(fanoutd, upstream(answer(500)), **AT_ONCE)
    server.get()
    refused = server.get()

    assert refused.status == 503 and 25 <= int(refused.headers["Retry-After"]) <= 30
