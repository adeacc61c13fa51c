"""Whatever a caller sends, it has one meaning: it is answered, or refused and the connection closed.

Each case is told twice, in one piece and byte by byte, as the meaning must not hang on that.
"""

import pytest

from bad_requests import BODY, CASES, CLOSED, GOOD, LENGTH, OPEN, POST
from bad_requests_framing import FRAMING_CASES
from fanoutd_process import section
from scripted_upstream import gated

PROBE = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: probe\r\n\r\n"
MOST_BYTES_ONE_BY_ONE = 3000
ALL = [*CASES, *FRAMING_CASES]


def send(caller, data, piece):
    """Whoever refuses may close before all is sent."""
    try:
        for at in range(0, len(data), piece):
            caller.send(data[at : at + piece])
    except (BrokenPipeError, ConnectionResetError):
        pass


def read_answer(caller, to_head=False):
    """Status and fields of the next answer, of HTTP/1.1 or 1.0."""
    caller.reader.start_message()
    line, headers = caller.reader.head()
    version, status, _ = line.split(" ", 2)
    assert version in ("HTTP/1.1", "HTTP/1.0"), line
    if not to_head:
        body = read_body(caller, line, headers)
        assert body.startswith(b"{"), body
    return int(status), headers


def read_body(caller, line, headers):
    if "Content-Length" not in headers and line.startswith("HTTP/1.0 "):
        return caller.reader.to_the_end()
    return caller.reader.exactly(int(headers["Content-Length"]))


def check_end(caller, case, headers):
    if case.end == OPEN:
        send(caller, PROBE, len(PROBE))
        status, headers = read_answer(caller)
        assert status == 200 and headers["X-Request-Id"] == "probe"
        return
    if case.end == CLOSED:
        assert headers["Connection"] == "close"
    else:
        caller.half_close()
    assert caller.reads_end()


def tell(server, case, piece):
    caller = server.connect()
    headers = None

    send(caller, case.data, piece)
    for number, wanted in enumerate(case.statuses):
        status, headers = read_answer(caller, case.to_head and number == 0)
        assert status == wanted, headers
        if status >= 400:
            assert headers["Content-Type"] == "application/problem+json"
    check_end(caller, case, headers)
    caller.close()


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_a_request_has_one_meaning(fanoutd, upstream, case):
    one = upstream()
    server = fanoutd(section("a", one), workers=1)
    pieces = [len(case.data)] + [1] * (len(case.data) <= MOST_BYTES_ONE_BY_ONE)
    reached = case.statuses.count(200) if case.reached is None else case.reached

    for piece in pieces:
        tell(server, case, piece)

    server.wait_for_state(in_flight=0, queued=0)
    assert len(one.requests) == reached * len(pieces)


@pytest.mark.parametrize("expectation", [b"100-continue", b"100-Continue"])
def test_who_waits_for_100_gets_it_and_then_the_answer(fanoutd, upstream, expectation):
    server = fanoutd(section("a", upstream()), workers=1)
    caller = server.connect()
    for _ in range(2):
        caller.send(POST + LENGTH + b"Expect: " + expectation + b"\r\n\r\n")
        caller.reader.start_message()
        assert caller.reader.head()[0].startswith("HTTP/1.1 100 ")
        assert caller.is_silent()
        caller.send(BODY)

        assert read_answer(caller)[0] == 200


def test_who_waits_for_100_with_too_much_is_refused_before(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), workers=1)
    caller = server.connect()
    caller.send(POST + b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")

    assert read_answer(caller)[0] == 413
    assert caller.reads_end()


def test_earlier_ones_are_answered_before_a_refusal(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, timeout="15s"), workers=1, deadline="15s")
    caller = server.connect()
    caller.send(GOOD * 2 + b"nonsense\r\n\r\n")
    one.wait_for_requests(1)
    assert caller.is_silent()
    held.open()

    assert [read_answer(caller)[0] for _ in range(3)] == [200, 200, 400]
    assert caller.reads_end() and len(one.requests) == 2


def test_a_refused_caller_that_goes_on_sending_is_cut_off(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), workers=1)
    caller = server.connect()
    caller.send(b"nonsense\r\n\r\n")
    assert read_answer(caller)[0] == 400

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            caller.send(b"x" * 65536)


def test_one_refused_caller_harms_no_other(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), workers=1)
    fine, bad = server.connect(), server.connect()
    fine.send(GOOD[:20])
    bad.send(b"nonsense\r\n\r\n")
    assert read_answer(bad)[0] == 400
    fine.send(GOOD[20:] + GOOD)

    assert [read_answer(fine)[0] for _ in range(2)] == [200, 200]
    assert bad.reads_end()
