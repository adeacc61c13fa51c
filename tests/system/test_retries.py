"""Further attempts after a failure: after which, how many, when, and for how long."""

import email.utils
import time

import pytest

from fanoutd_process import endpoint, resolver, section
from http_wire import wait_until
from scripted_upstream import answer, closing, gated, in_turn, json_body, raw, resetting, silence

OFTEN = {"retry_backoff": "1ms", "retry_budget": 1000, "retry_budget_floor": 1000}
PATIENT = {"timeout": "60s", "connect_timeout": "60s", **OFTEN}

both_ways = pytest.mark.parametrize("transport", ["auto", "curl"])


def serve(fanoutd, where, retries=2, transport="auto", deadline="60s", **settings):
    return fanoutd(
        section("users", where, retries=retries, **{**PATIENT, **settings}),
        transport=transport,
        deadline=deadline,
    )


def later(**headers):
    fields = [(name.replace("_", "-"), str(value)) for name, value in headers.items()]
    return answer(503, headers=fields)


def post(server, method="POST", **request):
    return server.post({"requests": [{"upstream": "users", "method": method, **request}]})


def summary(reply):
    """The outcome, the attempts and what the result came by."""
    result = reply.result("users")
    return reply.outcomes["users"], result["attempts"], result.get("via")


# After what


@both_ways
@pytest.mark.parametrize(
    "failure",
    [answer(429), answer(502), answer(503), answer(504), resetting, closing],
    ids=["429", "502", "503", "504", "reset", "closed"],
)
def test_what_may_pass_is_tried_again(fanoutd, upstream, transport, failure):
    one = upstream(in_turn(failure, failure, json_body('{"n": 3}')))
    reply = serve(fanoutd, one, transport=transport).get()

    assert summary(reply) == ("ok", 3, "retry")
    assert reply.result("users")["body"] == {"n": 3}
    assert len(one.requests) == 3


@both_ways
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (answer(500), "http_status"),
        (answer(501), "http_status"),
        (answer(404), "http_status"),
        (answer(408), "http_status"),
        (json_body("{"), "invalid_json"),
        (raw(b"no HTTP at all\r\n\r\n"), "protocol_error"),
    ],
)
def test_what_will_not_pass_is_not(fanoutd, upstream, transport, failure, code):
    one = upstream(in_turn(failure, json_body()))
    reply = serve(fanoutd, one, transport=transport).get()

    assert summary(reply) == (code, 1, None)
    assert len(one.requests) == 1


def test_a_success_is_not_tried_again(fanoutd, upstream):
    one = upstream(answer(503))
    server = serve(fanoutd, one, success=["2xx", "503"])

    assert summary(server.get()) == ("ok", 1, None)


@pytest.mark.parametrize(
    ("retry_on", "failure", "attempts"),
    [
        (["5xx"], answer(500), 2),
        (["500-502", "504"], answer(504), 2),
        (["500-502", "504"], answer(503), 1),
        (["timeout"], answer(503), 1),
        (["5xx"], resetting, 1),
        (["404"], answer(404), 2),
        (["invalid_json"], json_body("{"), 2),
        (["protocol_error"], raw(b"no HTTP at all\r\n\r\n"), 2),
    ],
)
def test_retry_on_says_after_what(fanoutd, upstream, retry_on, failure, attempts):
    one = upstream(in_turn(failure, json_body()))
    reply = serve(fanoutd, one, retry_on=retry_on).get()

    assert reply.result("users")["attempts"] == attempts == len(one.requests)
    assert (reply.outcomes["users"] == "ok") == (attempts == 2)


@both_ways
def test_a_refused_connection_is_tried_again(fanoutd, refusing_port, transport):
    server = serve(fanoutd, refusing_port, transport=transport)

    assert summary(server.get()) == ("connect_refused", 3, None)
    assert server.upstream("users")["outcomes"] == {"connect_refused": 1}
    assert server.upstream("users")["retries"] == 2


@both_ways
def test_a_connection_that_does_not_come_is_tried_again(fanoutd, blackhole, transport):
    server = serve(fanoutd, blackhole, retries=1, transport=transport, connect_timeout="50ms")

    assert summary(server.get()) == ("connect_timeout", 2, None)


def test_a_name_is_asked_for_again_where_retry_on_says_so(fanoutd, upstream, dns):
    one = upstream()
    where = f"http://users.test:{one.port}/"
    server = fanoutd(
        resolver(servers=[dns.address], failure_ttl="0ms"),
        section("users", where, retries=2, retry_on=["dns_failure"], **PATIENT),
    )

    assert summary(server.get()) == ("dns_failure", 3, None)
    dns.names["users.test"] = ["127.0.0.1"]
    assert summary(server.get()) == ("ok", 1, None)


def test_there_are_no_more_than_retries(fanoutd, upstream):
    one = upstream(answer(503, b"not now", "text/plain"))
    reply = serve(fanoutd, one, retries=5).get()

    assert summary(reply) == ("http_status", 6, None)
    assert reply.result("users")["body"] == "not now"
    assert len(one.requests) == 6


def test_none_are_made_by_default(fanoutd, upstream):
    one = upstream(answer(503))
    server = fanoutd(section("users", one))

    assert summary(server.get()) == ("http_status", 1, None)
    assert len(one.requests) == 1


def test_the_last_failure_is_the_one_that_counts(fanoutd, upstream):
    one = upstream(in_turn(resetting, answer(503), answer(404)))
    reply = serve(fanoutd, one, retries=9).get()

    assert summary(reply) == ("http_status", 3, None)
    assert reply.result("users")["status"] == 404


def test_each_fetch_of_a_request_has_its_own_attempts(fanoutd, upstream):
    flaky = upstream(in_turn(answer(503), json_body()))
    server = fanoutd(
        section("flaky", flaky, retries=1, **PATIENT),
        section("steady", upstream(), retries=1, **PATIENT),
        section("broken", upstream(closing), retries=1, **PATIENT),
    )
    reply = server.get()

    assert reply.outcomes == {"flaky": "ok", "steady": "ok", "broken": "reset"}
    assert [one["attempts"] for one in reply.results] == [2, 1, 2]


# What must not be sent twice


@both_ways
@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("failure", [answer(503), resetting], ids=["503", "reset"])
def test_what_is_not_idempotent_is_sent_once(fanoutd, upstream, transport, method, failure):
    one = upstream(failure)
    server = serve(fanoutd, one, transport=transport, allow_methods=[method])

    assert post(server, method).result("users")["attempts"] == 1
    assert len(one.requests) == 1


@both_ways
def test_unless_the_upstream_can_take_it(fanoutd, upstream, transport):
    one = upstream(in_turn(answer(503), resetting, json_body()))
    server = serve(
        fanoutd,
        one,
        transport=transport,
        allow_methods=["POST"],
        allow_body=True,
        retry_unsafe=True,
    )

    assert summary(post(server, body={"a": [1, 2]})) == ("ok", 3, "retry")
    assert [(seen.method, seen.body) for seen in one.requests] == [("POST", b'{"a": [1, 2]}')] * 3


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_what_is_idempotent_is_sent_again(fanoutd, upstream, method):
    one = upstream(in_turn(answer(503), answer(204)))
    server = serve(fanoutd, one, allow_methods=[method])

    assert summary(post(server, method)) == ("ok", 2, "retry")
    assert [seen.method for seen in one.requests] == [method] * 2


@both_ways
def test_what_was_never_sent_may_be_sent_again(fanoutd, refusing_port, transport):
    server = serve(fanoutd, refusing_port, transport=transport, allow_methods=["POST"])

    assert summary(post(server)) == ("connect_refused", 3, None)


# When


def test_a_retry_waits_for_a_random_while(fanoutd, upstream):
    one = upstream(lambda exchange: exchange.answer(503 if is_first(exchange) else 204))
    seen = set()

    def is_first(exchange):
        new = exchange.request.path not in seen
        seen.add(exchange.request.path)
        return new

    server = serve(fanoutd, one, retries=1, allow_path=True, retry_backoff="300ms")
    requests = [{"id": str(n), "upstream": "users", "path": f"/{n}"} for n in range(40)]
    reply = server.post({"requests": requests})
    waited = [result["elapsed_ms"] for result in reply.results]

    assert set(reply.outcomes.values()) == {"ok"}
    assert max(waited) > 100 and max(waited) - min(waited) > 50


@both_ways
def test_retry_after_in_seconds_is_waited_for(fanoutd, upstream, transport):
    one = upstream(in_turn(later(Retry_After=1), json_body()))
    reply = serve(fanoutd, one, transport=transport).get()

    assert summary(reply) == ("ok", 2, "retry")
    assert reply.result("users")["elapsed_ms"] >= 999


@both_ways
def test_retry_after_as_a_date_is_waited_for(fanoutd, upstream, transport):
    def ask_for_two_seconds(exchange):
        date = email.utils.formatdate(time.time() + 2, usegmt=True)  # in whole seconds
        exchange.answer(503, headers=[("Retry-After", date)])

    one = upstream(in_turn(ask_for_two_seconds, json_body()))
    reply = serve(fanoutd, one, transport=transport).get()

    assert summary(reply) == ("ok", 2, "retry")
    assert reply.result("users")["elapsed_ms"] >= 900


@pytest.mark.parametrize("value", ["0", "soon", "-5", "Sun, 06 Nov 1994 08:49:37 GMT", "1.5"])
def test_retry_after_that_asks_for_nothing(fanoutd, upstream, value):
    one = upstream(in_turn(later(Retry_After=value), json_body()))

    assert summary(serve(fanoutd, one, timeout="10s").get()) == ("ok", 2, "retry")


@both_ways
@pytest.mark.parametrize("value", ["30", "99999999999999999999", "Tue, 01 Jan 2999 00:00:00 GMT"])
@pytest.mark.parametrize("limit", ["timeout", "deadline"])
def test_retry_after_beyond_the_end_is_not_waited_for(fanoutd, upstream, transport, value, limit):
    one = upstream(in_turn(later(Retry_After=value), json_body()))
    reply = serve(fanoutd, one, transport=transport, **{limit: "20s"}).get()

    assert summary(reply) == ("http_status", 1, None)
    assert reply.result("users")["status"] == 503


@both_ways
def test_an_attempt_that_takes_too_long_is_given_up_for_another(fanoutd, upstream, transport):
    one = upstream(in_turn(silence, json_body('{"n": 2}')))
    reply = serve(fanoutd, one, transport=transport, attempt_timeout="150ms").get()

    assert summary(reply) == ("ok", 2, "retry")
    one.wait_for_left(1)


@both_ways
def test_when_no_attempt_is_in_time_it_is_said(fanoutd, upstream, transport):
    one = upstream(silence)
    reply = serve(fanoutd, one, retries=1, transport=transport, attempt_timeout="100ms").get()

    assert summary(reply) == ("timeout", 2, None)
    assert reply.result("users")["error"]["message"] == "no answer within 100 ms"
    one.wait_for_left(2)


@both_ways
def test_the_timeout_is_for_all_attempts_together(fanoutd, upstream, transport):
    one = upstream(silence)
    server = serve(
        fanoutd, one, retries=10, transport=transport, attempt_timeout="300ms", timeout="700ms"
    )
    reply = server.get()
    code, attempts, _ = summary(reply)

    assert code == "timeout" and 2 <= attempts <= 3
    assert reply.result("users")["error"]["message"] == "no answer within 700 ms"


def test_there_is_no_retry_when_the_time_is_up(fanoutd, upstream):
    one = upstream(silence)

    assert summary(serve(fanoutd, one, timeout="200ms").get()) == ("timeout", 1, None)
    assert len(one.requests) == 1


def test_a_callers_own_timeout_is_for_all_attempts_too(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, retries=10, attempt_timeout="100ms")
    reply = post(server, "GET", timeout_ms=250)

    assert reply.outcomes == {"users": "timeout"}
    assert reply.result("users")["error"]["message"] == "no answer within 250 ms"


# Where


def test_a_retry_goes_to_another_address_where_there_is_one(fanoutd, upstream, dns):
    bad = upstream(answer(503))
    good = upstream(host="127.0.0.2", port=bad.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = fanoutd(
        resolver(servers=[dns.address]),
        section("users", f"http://users.test:{bad.port}", retries=1, eject_failures=0, **PATIENT),
    )

    for _ in range(20):
        assert server.get().outcomes == {"users": "ok"}
    assert len(good.requests) == 20


# How much


def test_retries_stay_within_the_budget(fanoutd, upstream):
    one = upstream(answer(503))
    server = serve(fanoutd, one, retries=3, retry_budget=20, retry_budget_floor=0)
    requests = [{"id": str(n), "upstream": "users"} for n in range(50)]
    reply = server.post({"requests": requests})

    assert set(reply.outcomes.values()) == {"http_status"}
    assert sum(result["attempts"] for result in reply.results) == len(one.requests) == 60
    assert server.upstream("users")["retries"] == 10
    assert server.upstream("users")["extra_refused"] > 0
    assert server.upstream("users")["retry_budget"] == 0


def test_without_a_budget_there_are_none(fanoutd, upstream):
    one = upstream(answer(503))
    server = serve(fanoutd, one, retry_budget=0, retry_budget_floor=0)

    for _ in range(5):
        assert summary(server.get()) == ("http_status", 1, None)
    assert len(one.requests) == 5


def test_the_floor_allows_some_each_second(fanoutd, upstream):
    one = upstream(answer(503))
    start = time.monotonic()
    server = serve(fanoutd, one, retry_budget=0, retry_budget_floor=3)
    for _ in range(20):
        server.get()
    seconds_begun = int(time.monotonic() - start) + 2

    assert 3 <= len(one.requests) - 20 <= 3 * seconds_begun


# While it waits


def wait_for_backoff(server, one):
    one.wait_until(lambda _: len(one.requests) == 1 and one.in_flight == 0)
    server.wait_for_state(in_flight=0, queued=0)


def test_it_holds_no_slot_while_it_waits(fanoutd, upstream):
    one, other = upstream(later(Retry_After=30)), upstream()
    server = fanoutd(
        section("users", one, retries=1, **PATIENT),
        section("other", other),
        endpoint("/users", upstreams=["users"]),
        endpoint("/other", upstreams=["other"]),
        max_in_flight=1,
        deadline="60s",
    )
    waiting = server.start_get("/users")
    wait_for_backoff(server, one)

    assert server.get("/other").outcomes == {"other": "ok"}
    assert waiting.is_silent()


def test_when_the_caller_leaves_it_ends(fanoutd, upstream):
    one = upstream(later(Retry_After=30))
    server = serve(fanoutd, one)
    caller = server.start_get()
    wait_for_backoff(server, one)

    caller.close()

    wait_until(
        lambda: server.upstream("users")["outcomes"] == {"cancelled": 1}, "the fetch was cancelled"
    )
    assert len(one.requests) == 1


def test_when_it_is_no_longer_wanted_it_ends(fanoutd, upstream, gate):
    held = gate()
    one, other = upstream(later(Retry_After=30)), upstream(gated(held))
    server = fanoutd(
        section("users", one, retries=1, **PATIENT),
        section("other", other, timeout="60s"),
        endpoint("/both", upstreams=["users", "other"], early=True, require=1),
        deadline="60s",
    )
    caller = server.start_get("/both")
    one.wait_until(lambda _: len(one.requests) == 1 and one.in_flight == 0)
    server.wait_for_state(in_flight=1)
    held.open()
    reply = caller.read_answer()

    assert reply.outcomes == {"users": "abandoned", "other": "ok"}
    assert reply.result("users")["attempts"] == 1
    assert reply.result("users")["error"]["message"].endswith("while waiting to try again")


def test_when_the_service_stops_it_ends(fanoutd, upstream):
    one = upstream(later(Retry_After=30))
    server = fanoutd(
        section("users", one, retries=1, **PATIENT), deadline="60s", drain_timeout="50ms"
    )
    caller = server.start_get()
    wait_for_backoff(server, one)

    assert server.stop() == 0
    assert caller.read_answer().outcomes == {"users": "cancelled"}


@both_ways
def test_slots_are_counted_exactly_over_many_retries(fanoutd, upstream, transport):
    some_fail = [answer(503), json_body(), answer(502), answer(429), json_body(), answer(404)]
    one = upstream(in_turn(*some_fail * 100))
    server = fanoutd(
        section("users", one, retries=3, max_in_flight=7, **PATIENT),
        transport=transport,
        workers=4,
        deadline="60s",
    )
    requests = [{"id": str(n), "upstream": "users"} for n in range(60)]
    callers = [server.start_post({"requests": requests}) for _ in range(4)]
    replies = [caller.read_answer() for caller in callers]

    assert one.peak <= 7
    attempts = sum(result["attempts"] for reply in replies for result in reply.results)
    assert attempts == len(one.requests)
    server.wait_for_state(in_flight=0, queued=0)
