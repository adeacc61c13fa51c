"""The HTTP status follows `require` and, where that is not met, the kind of the failures."""

import pytest

from fanoutd_process import endpoint, section
from scripted_upstream import gated, json_body, silence


@pytest.fixture
def server(fanoutd, upstream, refusing_port):
    """Upstreams that end in each of the ways that matter."""
    return fanoutd(
        section("ok", upstream()),
        section("fine", upstream()),
        section("refused", refusing_port),
        section("failing", upstream(json_body("{}", status=500))),
        section("slow", upstream(silence), timeout="150ms"),
        section("slower", upstream(silence), timeout="160ms"),
        endpoint("/fetch-multiple", upstreams=[]),
        endpoint("/all", upstreams=["ok", "refused"], require="all"),
        endpoint("/none", upstreams=["refused", "slow"], require="none"),
        endpoint("/two", upstreams=["ok", "refused"], require="2"),
    )


@pytest.mark.parametrize(
    "names, require, status",
    [
        ("ok,fine", None, 200),
        ("ok,refused", None, 200),
        ("ok,slow", "any", 200),
        ("refused,failing", "any", 502),
        ("slow,slower", "any", 504),
        ("slow,refused", "any", 502),
        ("ok,fine", "all", 200),
        ("ok,refused", "all", 502),
        ("ok,slow", "all", 504),
        ("ok,slow,failing", "all", 502),
        ("refused,slow", "none", 200),
        ("ok,fine,refused", "2", 200),
        ("ok,slow,refused", "2", 502),
        ("ok,slow,slower", "2", 504),
        ("ok,fine", "1", 200),
    ],
)
def test_status(server, names, require, status):
    target = f"/fetch-multiple?upstreams={names}" + (f"&require={require}" if require else "")

    get = server.get(target)
    post = server.post(
        {
            "requests": [{"upstream": name} for name in names.split(",")],
            **({"require": require_member(require)} if require else {}),
        }
    )

    for answer in (get, post):
        everything_ok = set(answer.outcomes.values()) == {"ok"}
        assert answer.status == status
        assert list(answer.outcomes) == names.split(",")
        assert answer.headers["X-Fanout-Complete"] == ("true" if everything_ok else "false")
        assert ("Retry-After" in answer.headers) is False


def require_member(text):
    return int(text) if text.isdigit() else text


@pytest.mark.parametrize(
    "target, status",
    [("/all", 502), ("/none", 200), ("/two", 502), ("/all?require=any", 200)],
)
def test_an_endpoint_has_its_own_requirement_and_a_caller_may_ask_for_another(
    server, target, status
):
    assert server.get(target).status == status


def test_when_all_was_shed_the_status_is_503_and_says_when_to_come_back(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("a", one, queue_timeout="100ms"), section("b", one), max_in_flight=1, max_queue=1
    )
    first = server.start_get("/fetch-multiple?upstreams=a")
    one.wait_for_in_flight(1)

    shed = server.get("/fetch-multiple?upstreams=a,b")

    assert shed.outcomes == {"a": "queue_timeout", "b": "queue_full"}
    assert shed.status == 503 and shed.headers["Retry-After"] == "1"
    assert shed.headers["X-Fanout-Complete"] == "false"
    held.open()
    assert first.read_answer().status == 200


def test_shed_and_failed_together_are_a_502(fanoutd, upstream, gate, refusing_port):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("a", one, max_in_flight=1, queue_timeout="100ms"), section("refused", refusing_port)
    )
    first = server.start_get("/fetch-multiple?upstreams=a")
    one.wait_for_in_flight(1)

    both = server.get("/fetch-multiple?upstreams=a,refused")

    assert both.outcomes == {"a": "queue_timeout", "refused": "connect_refused"}
    assert both.status == 502 and "Retry-After" not in both.headers
    held.open()
    assert first.read_answer().status == 200


def test_the_document_is_the_same_whatever_the_status(server):
    answer = server.get("/fetch-multiple?upstreams=ok,failing&require=all")

    assert answer.status == 502
    assert answer.document["status"] == "partial"
    assert answer.result("ok")["body"] == {}
