"""Requests written at once are answered in order, each with its own answer."""

from fanoutd_process import section
from http_wire import post_bytes, request_bytes
from scripted_upstream import gated, in_turn, json_body


def test_several_requests_at_once(fanoutd, upstream):
    server = fanoutd(section("a", upstream(), allow_path=True))
    caller = server.connect()
    caller.send(
        request_bytes("GET", "/livez")
        + request_bytes("GET", "/fetch-multiple", {"X-Request-Id": "second"})
        + request_bytes("GET", "/nowhere", {"X-Request-Id": "third"})
        + post_bytes({"requests": [{"id": "of-post", "upstream": "a"}]})
        + request_bytes("GET", "/fetch-multiple?shape=map", {"X-Request-Id": "fifth"})
    )
    answers = [caller.read_answer() for _ in range(5)]

    assert [one.status for one in answers] == [200, 200, 404, 200, 200]
    assert answers[1].headers["X-Request-Id"] == "second"
    assert answers[2].headers["X-Request-Id"] == "third"
    assert list(answers[3].outcomes) == ["of-post"]
    assert isinstance(answers[4].document["results"], dict)
    assert caller.is_silent()


def test_a_quick_one_behind_a_slow_one_waits_its_turn(fanoutd, upstream, gate):
    held = gate()
    one = upstream(in_turn(gated(held, json_body("1")), json_body("2"), json_body("3")))
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s")
    caller = server.connect()
    caller.send(request_bytes("GET", "/fetch-multiple") * 3)
    one.wait_for_in_flight(1)
    assert caller.is_silent()

    held.open()

    assert [caller.read_answer().results[0]["body"] for _ in range(3)] == [1, 2, 3]


def test_many(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one))
    caller = server.connect()
    count = 100
    caller.send(
        b"".join(
            request_bytes("GET", "/fetch-multiple", {"X-Request-Id": f"r{n}"}) for n in range(count)
        )
    )
    for n in range(count):
        answer = caller.read_answer()
        assert answer.status == 200 and answer.headers["X-Request-Id"] == f"r{n}"
    assert len(one.requests) == count


def test_requests_cut_at_every_byte(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    data = post_bytes({"requests": [{"upstream": "a"}]}) + request_bytes("GET", "/fetch-multiple")
    caller = server.connect()
    for at in range(len(data)):
        caller.send(data[at : at + 1])

    assert [caller.read_answer().status for _ in range(2)] == [200, 200]


def test_nothing_is_answered_behind_a_last_request(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()
    caller.send(
        request_bytes("GET", "/fetch-multiple", {"Connection": "close"})
        + request_bytes("GET", "/livez")
    )
    assert caller.read_answer().status == 200
    assert caller.reads_end()
