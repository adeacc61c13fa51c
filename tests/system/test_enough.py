"""When what is required is there, or can't be had any more, nobody waits for the rest."""

import pytest

from fanoutd_process import endpoint, section
from http_wire import PeerLeft
from scripted_upstream import answer, by_path, gated, json_body, resetting, silence

PATIENT = {"timeout": "60s", "connect_timeout": "60s"}
FAILED = answer(500)


def service(fanoutd, behaviours, required=(), **settings):
    """One upstream for each behaviour, asked by one endpoint with these settings."""
    return fanoutd(
        *[
            section(name, one, allow_path=True, required=name in required, **PATIENT)
            for name, one in behaviours.items()
        ],
        endpoint("/some", upstreams=list(behaviours), deadline="60s", **settings),
    )


def check_abandoned(answer, *names):
    """Each stands in its place and among the errors, and nobody is told to try again."""
    for name in names:
        error = answer.result(name)["error"]
        assert error["code"] == "abandoned" and error["retryable"] is False
        assert answer.result(name)["status"] is None and answer.result(name)["body"] is None
    listed = {one["id"] for one in answer.document["errors"] if one["code"] == "abandoned"}
    assert listed == set(names)
    assert answer.headers["X-Fanout-Complete"] == "false"


def answer_behind(held, caller):
    """The answer, of which nothing comes before the gate is opened."""
    assert caller.is_silent()
    held.open()
    return caller.read_answer()


# As soon as there is enough


@pytest.mark.parametrize("require", ["any", 1])
def test_the_first_that_is_ok_is_enough(fanoutd, upstream, require):
    slow, other = upstream(silence), upstream(silence)
    server = service(
        fanoutd, {"slow": slow, "quick": upstream(), "other": other}, early=True, require=require
    )
    seen = server.get("/some")

    assert seen.status == 200 and seen.document["status"] == "partial"
    assert list(seen.outcomes) == ["slow", "quick", "other"]
    assert seen.result("quick")["ok"]
    check_abandoned(seen, "slow", "other")
    server.wait_for_state(in_flight=0, queued=0)


def test_those_abandoned_see_the_connection_end(fanoutd, upstream, gate):
    held = gate()
    slow, quick = upstream(silence), upstream(gated(held))
    server = service(fanoutd, {"slow": slow, "quick": quick}, early=True)
    caller = server.start_get("/some")
    slow.wait_for_in_flight(1)

    check_abandoned(answer_behind(held, caller), "slow")
    slow.wait_for_left()
    server.wait_for_event("answer", path="/some", status="200", ok="1", failed="0", abandoned="1")
    assert server.upstream("slow")["outcomes"] == {"abandoned": 1}
    assert server.upstream("quick")["outcomes"] == {"ok": 1}


def test_so_many_as_are_required_are_waited_for(fanoutd, upstream, gate):
    gates = [gate() for _ in range(4)]
    server = service(
        fanoutd,
        {f"u{n}": upstream(gated(held)) for n, held in enumerate(gates)},
        early=True,
        require=3,
    )
    caller = server.start_get("/some")
    for n in (2, 0):
        gates[n].open()
        server.wait_for_outcomes(**{f"u{n}": "ok"})
        assert caller.is_silent()
    gates[3].open()

    seen = caller.read_answer()
    assert seen.status == 200
    check_abandoned(seen, "u1")


def test_failures_are_not_enough(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd,
        {"bad": upstream(FAILED), "worse": upstream(resetting), "good": upstream(gated(held))},
        early=True,
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(bad="http_status", worse="reset")

    seen = answer_behind(held, caller)
    assert seen.status == 200
    assert seen.outcomes == {"bad": "http_status", "worse": "reset", "good": "ok"}


def test_where_all_are_required_all_are_waited_for(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd, {"a": upstream(), "b": upstream(gated(held))}, early=True, require="all"
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(a="ok")

    assert answer_behind(held, caller).outcomes == {"a": "ok", "b": "ok"}


def test_a_caller_says_what_is_enough(fanoutd, upstream):
    server = service(
        fanoutd, {"slow": upstream(silence), "quick": upstream()}, early=True, require="all"
    )
    check_abandoned(server.get("/some?require=any"), "slow")
    check_abandoned(server.get("/some?require=1"), "slow")
    requests = [{"upstream": "slow"}, {"upstream": "quick"}]
    check_abandoned(server.post({"requests": requests, "require": 1}, "/some"), "slow")


def test_of_requests_to_one_upstream_too(fanoutd, upstream):
    one = upstream(by_path(slow=silence, otherwise=json_body()))
    server = service(fanoutd, {"a": one}, early=True)
    requests = [{"id": name, "upstream": "a", "path": f"/{name}"} for name in ("slow", "quick")]

    seen = server.post({"requests": requests, "shape": "map"}, "/some")

    assert seen.outcomes == {"slow": "abandoned", "quick": "ok"}
    check_abandoned(seen, "slow")


def test_those_that_wait_for_a_slot_are_abandoned_too(fanoutd, upstream):
    one = upstream()
    server = fanoutd(
        section("a", one, allow_path=True, max_in_flight=1, **PATIENT),
        endpoint("/some", upstreams=["a"], early=True, deadline="60s"),
    )
    requests = [{"id": str(n), "upstream": "a", "path": f"/{n}"} for n in range(20)]
    for _ in range(5):
        seen = server.post({"requests": requests}, "/some")
        assert seen.status == 200 and seen.outcomes["0"] == "ok"
        assert "abandoned" in seen.outcomes.values()
        server.wait_for_state(in_flight=0, queued=0)


def test_without_the_option_everything_is_waited_for(fanoutd, upstream, gate):
    held = gate()
    server = service(fanoutd, {"a": upstream(), "b": upstream(gated(held))}, require="any")
    caller = server.start_get("/some")
    server.wait_for_outcomes(a="ok")

    seen = answer_behind(held, caller)
    assert seen.outcomes == {"a": "ok", "b": "ok"}
    assert seen.headers["X-Fanout-Complete"] == "true"


def test_what_is_complete_is_not_early(fanoutd, upstream):
    server = service(fanoutd, {"a": upstream()}, early=True)

    seen = server.get("/some")

    assert seen.document["status"] == "ok" and seen.headers["X-Fanout-Complete"] == "true"


# From a time on


def test_from_the_soft_deadline_on_what_is_required_is_enough(fanoutd, upstream):
    slow = upstream(silence)
    server = service(fanoutd, {"slow": slow, "quick": upstream()}, soft_deadline="150ms")

    seen = server.get("/some")

    assert seen.status == 200 and seen.result("quick")["ok"]
    check_abandoned(seen, "slow")
    assert seen.result("slow")["elapsed_ms"] >= 150
    slow.wait_for_left()


def test_until_the_soft_deadline_everything_is_waited_for(fanoutd, upstream, gate):
    held = gate()
    server = service(fanoutd, {"a": upstream(), "b": upstream(gated(held))}, soft_deadline="50s")
    caller = server.start_get("/some")
    server.wait_for_outcomes(a="ok")

    assert answer_behind(held, caller).outcomes == {"a": "ok", "b": "ok"}


def test_behind_the_soft_deadline_what_is_missing_is_waited_for(fanoutd, upstream, gate):
    held = gate()
    first, slow = upstream(gated(held)), upstream(silence)
    server = service(fanoutd, {"first": first, "slow": slow}, soft_deadline="1ms")
    caller = server.start_get("/some")
    slow.wait_for_in_flight(1)

    seen = answer_behind(held, caller)
    assert seen.status == 200
    check_abandoned(seen, "slow")


@pytest.mark.parametrize("require", ["all", "none"])
def test_the_soft_deadline_and_what_is_required(fanoutd, upstream, gate, require):
    held = gate()
    server = service(
        fanoutd,
        {"slow": upstream(gated(held)), "quick": upstream()},
        soft_deadline="50ms",
        require=require,
    )
    caller = server.start_get("/some")
    if require == "all":
        server.wait_for_outcomes(quick="ok")
        held.open()
        assert caller.read_answer().outcomes == {"slow": "ok", "quick": "ok"}
    else:
        seen = caller.read_answer()
        assert seen.status == 200
        check_abandoned(seen, "slow")


def test_the_deadline_goes_before_the_soft_one(fanoutd, upstream):
    server = service(fanoutd, {"slow": upstream(silence), "a": upstream()}, soft_deadline="50s")

    seen = server.get("/some?timeout=100ms")

    assert seen.outcomes == {"slow": "deadline_exceeded", "a": "ok"}


# As soon as there can't be enough


def test_the_first_failure_of_all_ends_it(fanoutd, upstream):
    slow = upstream(silence)
    server = service(
        fanoutd, {"slow": slow, "bad": upstream(FAILED)}, fail_fast=True, require="all"
    )
    seen = server.get("/some")

    assert seen.status == 502 and seen.document["status"] == "failed"
    assert seen.outcomes["bad"] == "http_status"
    check_abandoned(seen, "slow")


def test_one_failure_of_any_does_not_end_it(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd, {"bad": upstream(FAILED), "good": upstream(gated(held))}, fail_fast=True
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(bad="http_status")

    assert answer_behind(held, caller).status == 200


def test_so_many_failures_as_leave_too_few_end_it(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd,
        {
            "good": upstream(),
            "bad": upstream(FAILED),
            "worse": upstream(gated(held, then=FAILED)),
            "slow": upstream(silence),
        },
        fail_fast=True,
        require=3,
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(good="ok", bad="http_status")

    seen = answer_behind(held, caller)
    assert seen.status == 502 and seen.document["status"] == "partial"
    check_abandoned(seen, "slow")


def test_where_none_is_required_no_failure_ends_it(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd,
        {"bad": upstream(FAILED), "slow": upstream(gated(held))},
        fail_fast=True,
        require="none",
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(bad="http_status")

    seen = answer_behind(held, caller)
    assert seen.status == 200 and seen.outcomes == {"bad": "http_status", "slow": "ok"}


def test_without_the_option_failures_do_not_end_it(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd, {"bad": upstream(FAILED), "slow": upstream(gated(held))}, require="all"
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(bad="http_status")

    seen = answer_behind(held, caller)
    assert seen.status == 502 and seen.outcomes == {"bad": "http_status", "slow": "ok"}


def test_early_and_fail_fast_together(fanoutd, upstream):
    one = upstream(by_path(bad=FAILED, slow=silence, otherwise=json_body()))
    server = service(fanoutd, {"a": one}, early=True, fail_fast=True)

    def ask(*paths):
        requests = [{"id": path, "upstream": "a", "path": f"/{path}"} for path in paths]
        return server.post({"requests": requests, "require": 2}, "/some")

    assert ask("x", "slow", "y").outcomes == {"x": "ok", "slow": "abandoned", "y": "ok"}
    assert ask("bad", "x", "y").status == 200
    assert ask("bad", "slow").outcomes == {"bad": "http_status", "slow": "abandoned"}
    server.wait_for_state(in_flight=0, queued=0)


# Upstreams that are required


def test_a_required_upstream_is_waited_for(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd,
        {"needed": upstream(gated(held)), "quick": upstream(), "slow": upstream(silence)},
        required=["needed"],
        early=True,
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(quick="ok")

    seen = answer_behind(held, caller)
    assert seen.status == 200
    check_abandoned(seen, "slow")


def test_with_a_required_one_missing_there_is_never_enough(fanoutd, upstream, gate):
    held = gate()
    server = service(
        fanoutd,
        {"needed": upstream(FAILED), "quick": upstream(), "slow": upstream(gated(held))},
        required=["needed"],
        early=True,
    )
    caller = server.start_get("/some")
    server.wait_for_outcomes(needed="http_status", quick="ok")

    seen = answer_behind(held, caller)
    assert seen.outcomes == {"needed": "http_status", "quick": "ok", "slow": "ok"}
    assert seen.status == 502


@pytest.mark.parametrize("require", ["any", "none"])
def test_a_required_one_that_fails_ends_it(fanoutd, upstream, require):
    server = service(
        fanoutd,
        {"needed": upstream(FAILED), "slow": upstream(silence)},
        required=["needed"],
        fail_fast=True,
        require=require,
    )
    seen = server.get("/some")

    assert seen.status == 502
    check_abandoned(seen, "slow")


def test_a_required_one_that_is_not_asked_is_not_missed(fanoutd, upstream):
    server = service(
        fanoutd, {"needed": upstream(FAILED), "a": upstream()}, required=["needed"], fail_fast=True
    )
    assert server.get("/some?upstreams=a").status == 200
    assert server.post({"requests": [{"upstream": "a"}]}, "/some").status == 200
    assert server.get("/some").status == 502


def test_each_request_to_a_required_one_is_needed(fanoutd, upstream):
    one = upstream(by_path(bad=FAILED, otherwise=json_body()))
    server = service(fanoutd, {"needed": one}, required=["needed"])
    requests = [{"id": path, "upstream": "needed", "path": f"/{path}"} for path in ("x", "bad")]

    assert server.post({"requests": requests[:1]}, "/some").status == 200
    assert server.post({"requests": requests}, "/some").status == 502


@pytest.mark.parametrize("fail_fast", [False, True])
def test_the_status_is_that_of_the_real_failures(fanoutd, upstream, gate, fail_fast):
    held = gate()
    server = fanoutd(
        section("down", upstream(FAILED), required=True, **PATIENT),
        section("late", upstream(silence), required=True, timeout="150ms"),
        section("shut", upstream(gated(held)), required=True, max_in_flight=1, **PATIENT),
        section("good", upstream()),
        section("slow", upstream(gated(held)), **PATIENT),
        *[
            endpoint(
                f"/{name}", upstreams=[name, "good", "slow"], fail_fast=fail_fast, deadline="60s"
            )
            for name in ("down", "late", "shut")
        ],
        max_queue=0,
    )
    first = server.start_get("/shut")
    server.wait_for_outcomes(good="ok")
    server.wait_for_state(in_flight=2)
    callers = {name: server.start_get(f"/{name}") for name in ("down", "late", "shut")}
    if fail_fast:
        seen = {name: caller.read_answer() for name, caller in callers.items()}
        for one in seen.values():
            assert one.outcomes["slow"] == "abandoned"
            assert one.outcomes["good"] in ("ok", "abandoned")
        held.open()
    else:
        server.wait_for_outcomes(down="http_status", late="timeout", shut="queue_full")
        held.open()
        seen = {name: caller.read_answer() for name, caller in callers.items()}
    assert first.read_answer().status == 200

    codes = {name: (one.status, one.outcomes[name]) for name, one in seen.items()}
    assert codes == {
        "down": (502, "http_status"),
        "late": (504, "timeout"),
        "shut": (503, "queue_full"),
    }
    assert seen["shut"].headers["Retry-After"]
    assert all(one.headers["X-Fanout-Complete"] == "false" for one in seen.values())


def test_a_caller_leaves_when_some_are_there_already(fanoutd, upstream):
    slow, quick = upstream(silence), upstream()
    server = service(fanoutd, {"slow": slow, "quick": quick}, early=True, require="all")
    caller = server.start_get("/some")
    slow.wait_for_in_flight(1)
    quick.wait_until(lambda one: len(one.requests) == 1 and one.in_flight == 0)

    caller.close()

    slow.wait_for_left()
    server.wait_for_state(in_flight=0)


def test_the_next_call_on_the_connection_is_served(fanoutd, upstream):
    server = service(fanoutd, {"slow": upstream(silence), "quick": upstream()}, early=True)
    caller = server.connect()
    try:
        for _ in range(20):
            check_abandoned(caller.ask("GET", "/some"), "slow")
    except PeerLeft as left:
        raise AssertionError("the connection was to be kept") from left
