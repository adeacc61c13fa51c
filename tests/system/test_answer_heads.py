"""The heads of answers, which fanoutd makes itself: by the version asked in, and the connection."""

import email.utils
import re
import select
import threading
import time

import pytest

from fanoutd_process import section
from http_wire import post_bytes, request_bytes
from scripted_upstream import gated, in_turn, json_body

CLOCK_REALTIME_COARSE = 5  # of Linux; what time(2) tells, and up to a tick behind the other
DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
TARGETS = ["/fetch-multiple", "/livez", "/nowhere", "/fetch-multiple?upstreams=nobody"]


def read_head(caller):
    caller.reader.start_message()
    return caller.reader.head()


@pytest.mark.parametrize("target", TARGETS)
def test_each_field_comes_once(fanoutd, upstream, target):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()
    before = int(time.clock_gettime(CLOCK_REALTIME_COARSE))
    seen = caller.ask("GET", target)

    date = seen.headers["Date"]
    assert DATE.fullmatch(date)
    assert before <= email.utils.parsedate_to_datetime(date).timestamp() <= time.time()
    assert int(seen.headers["Content-Length"]) == len(seen.body)
    assert seen.headers["X-Request-Id"] and seen.headers["Content-Type"]
    assert "Connection" not in seen.headers and "Transfer-Encoding" not in seen.headers


@pytest.mark.parametrize("target", TARGETS)
def test_a_head_is_what_a_get_would_have(fanoutd, upstream, target):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()
    got = caller.ask("GET", target)
    seen = caller.ask("HEAD", target)

    assert seen.status == got.status
    assert seen.headers["Content-Type"] == got.headers["Content-Type"]
    assert abs(int(seen.headers["Content-Length"]) - len(got.body)) < 8  # its times are others
    assert caller.ask("GET", "/livez").status == 200


def test_http_1_0_is_answered_in_its_version(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()
    for _ in range(2):
        caller.send(b"GET /fetch-multiple HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        line, headers = read_head(caller)
        assert line == "HTTP/1.0 200 OK" and headers["Connection"] == "keep-alive"
        caller.reader.exactly(int(headers["Content-Length"]))
    caller.send(b"GET /fetch-multiple HTTP/1.0\r\n\r\n")
    line, headers = read_head(caller)
    assert line == "HTTP/1.0 200 OK" and headers["Connection"] == "close"
    caller.reader.exactly(int(headers["Content-Length"]))
    assert caller.reads_end()


def test_the_last_answer_of_a_connection_says_so_and_no_other(fanoutd, upstream, gate):
    held = gate()
    one = upstream(in_turn(gated(held, json_body("1")), json_body("2")))
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s")
    caller = server.connect()
    caller.send(
        request_bytes("GET", "/fetch-multiple")
        + request_bytes("GET", "/fetch-multiple", {"Connection": "close"})
    )
    one.wait_for_in_flight(1)
    held.open()

    assert "Connection" not in caller.read_answer().headers
    assert caller.read_answer().headers["Connection"] == "close"
    assert caller.reads_end()


def numbered_document(number, chunked):
    document = f'{{"requests":[{{"id":"r{number}","upstream":"a"}}]{" " * 900_000}}}'.encode()
    if not chunked:
        return post_bytes(document)
    fields = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    head = request_bytes("POST", "/fetch-multiple", fields)
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(document), document)


@pytest.mark.parametrize("chunked", [False, True])
def test_more_documents_than_are_read_ahead(fanoutd, upstream, gate, chunked):
    held = gate()
    one = upstream(in_turn(gated(held, json_body("0")), *[json_body(str(n)) for n in range(1, 9)]))
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s", write_timeout="60s")
    caller = server.connect()
    unsent = b"".join(numbered_document(number, chunked) for number in range(9))
    while select.select([], [caller.sock], [], 0.5)[1]:  # until it is not read any more
        unsent = unsent[caller.sock.send(unsent) :]
        assert unsent
    one.wait_for_in_flight(1)
    held.open()
    sender = threading.Thread(target=caller.send, args=(unsent,))
    sender.start()

    for number in range(9):
        answer = caller.read_answer()
        assert answer.outcomes == {f"r{number}": "ok"} and answer.results[0]["body"] == number
    sender.join()
