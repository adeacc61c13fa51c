"""Whatever an upstream sends, a fetch ends in time, as what it is, and harms no other.

All of it holds on both ways of the transport: what an answer means must not depend on the way.
"""

import select

import pytest

from bad_answers import ANY, STRAY
from bad_answers_bodies import BODIES_CASES
from bad_answers_framing import FRAMING_CASES
from bad_answers_heads import HEADS_CASES
from fanoutd_process import sanitizer, section
from http_wire import WAIT_SECONDS, outcome_of
from scripted_upstream import closing, gated, in_turn, json_body, raw, resetting

RIGHT = json_body('"right"')
METHODS = ["GET", "HEAD", "POST"]
MAX_GROWTH_KIB = 48 * 1024
IGNORED = {"id": None, "elapsed_ms": None, "error": None}  # where two ways may differ
ALL = [*FRAMING_CASES, *HEADS_CASES, *BODIES_CASES]


WAYS = ["auto", "curl"]


def upstream_section(name, one, **settings):
    wanted = {"timeout": "5s", "allow_methods": METHODS, "allow_body": True, **settings}
    return section(name, one, **wanted)


@pytest.fixture(params=WAYS)
def start(fanoutd, request):
    """Starts fanoutd with one upstream, on either way."""

    def start_with(one):
        asked = upstream_section("one", one, transport=request.param)
        return fanoutd(asked, workers=1, deadline="15s")

    return start_with


def fetch(server, method="GET", **more):
    """The result of one fetch."""
    document = {"requests": [{"upstream": "one", "method": method, **more}]}
    return server.post(document).results[0]


def check_result(result, case):
    code = outcome_of(result)

    assert code in case.codes.split("|"), result
    if code not in ("ok", "http_status"):
        assert result["body"] is None or code == "invalid_json", result
        return
    assert case.body is ANY or result["body"] == case.body, result
    assert case.status is None or result["status"] == case.status, result


def fetch_by_both_ways(server, method="GET"):
    requests = [{"upstream": way, "method": method} for way in WAYS]
    return server.post({"requests": requests}).results


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in ALL])
def test_a_fetch_ends_as_what_it_is_and_the_next_is_fine(fanoutd, upstream, case):
    ones = [upstream(in_turn(case.behaviour, RIGHT)) for _ in WAYS]
    sections = [
        upstream_section(way, one, transport=way, **case.settings) for way, one in zip(WAYS, ones)
    ]
    server = fanoutd(*sections, workers=1, deadline="15s")
    before = server.memory_kib("VmHWM")

    lean, curl = fetch_by_both_ways(server, case.method)
    check_result(lean, case)
    assert outcome_of(lean) == outcome_of(curl), (lean, curl)
    assert {**lean, **IGNORED} == {**curl, **IGNORED}
    server.wait_for_state(in_flight=0, queued=0)
    for one in ones if case.kept is False else []:
        one.wait_until(lambda _, one=one: one.open_connections == 0, "the connection is closed")
    for result in fetch_by_both_ways(server):
        assert outcome_of(result) == "ok" and result["body"] == "right", result
    for one in ones:
        assert len(one.requests) == 2
        assert case.kept is None or one.connections == (1 if case.kept else 2)
    assert sanitizer() == "asan" or server.memory_kib("VmHWM") - before < MAX_GROWTH_KIB


def test_a_port_that_refuses_is_asked_again_the_next_time(start, upstream, refusing_port):
    server = start(refusing_port)
    assert outcome_of(fetch(server)) == "connect_refused"
    refusing_port.close()

    upstream(RIGHT, port=refusing_port.port)

    assert fetch(server)["body"] == "right"


@pytest.mark.parametrize(
    "stray",
    [
        STRAY,
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n",
        b"\r\n",
        b"\0",
    ],
    ids=["an answer", "a timeout", "an interim answer", "half an answer", "a line end", "a NUL"],
)
@pytest.mark.parametrize("then", ["it stays open", "it closes"])
def test_what_comes_on_an_idle_connection_answers_nothing(start, upstream, gate, stray, then):
    asked, told = gate(), gate()

    def answer_and_more(exchange):
        exchange.answer(200, b"[1]", "application/json")
        exchange.wait(asked)
        exchange.send(stray)
        if then == "it closes":
            exchange.close()
            exchange.sock.close()
        told.open()

    server = start(upstream(in_turn(answer_and_more, RIGHT)))
    assert fetch(server)["body"] == [1]
    asked.open()
    wait_for_gate(told)

    assert fetch(server)["body"] == "right"


def wait_for_gate(gate):
    assert select.select([gate.fd], [], [], WAIT_SECONDS)[0]


STALE = [
    pytest.param(closing, id="closes"),
    pytest.param(resetting, id="resets"),
]


@pytest.mark.parametrize("end", STALE)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_kept_connection_that_ends_as_it_is_asked_is_replaced(start, upstream, end, method):
    one = upstream(in_turn(RIGHT, end, RIGHT))
    server = start(one)
    fetch(server)

    result = fetch(server, method)

    assert outcome_of(result) == "ok", result
    assert [seen.connection for seen in one.requests] == [0, 0, 1]


@pytest.mark.parametrize("end", STALE)
def test_a_post_is_never_sent_twice(start, upstream, end):
    one = upstream(in_turn(RIGHT, end, RIGHT))
    server = start(one)
    fetch(server)

    result = fetch(server, "POST", body={"pay": 1})

    assert outcome_of(result) == "reset", result
    assert [seen.method for seen in one.requests] == ["GET", "POST"]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[",
        b"nonsense and more of it\r\n\r\n",
    ],
    ids=["a length", "chunks", "nonsense"],
)
def test_an_answer_that_had_begun_is_not_asked_for_again(start, upstream, data):
    one = upstream(in_turn(RIGHT, raw(data), RIGHT))
    server = start(one)
    fetch(server)

    assert outcome_of(fetch(server)) in ("reset", "protocol_error")
    assert len(one.requests) == 2


def test_a_bad_answer_spoils_no_other_that_is_under_way(fanoutd, upstream, gate):
    held = gate()
    bad, fine = upstream(raw(b"nonsense\r\n" * 9)), upstream(gated(held, RIGHT))
    server = fanoutd(section("bad", bad), section("fine", fine), workers=1, deadline="15s")
    caller = server.start_get()
    fine.wait_for_in_flight(1)
    bad.wait_until(lambda _: bad.connections == 1 and bad.open_connections == 0)
    held.open()

    assert caller.read_answer().outcomes == {"bad": "protocol_error", "fine": "ok"}
