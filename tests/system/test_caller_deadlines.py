"""A caller has absolute time limits; only the reader of an answer is asked for progress instead."""

import socket
import time

import pytest
from fanoutd_process import section
from http_wire import Connection, PeerLeft, post_bytes, request_bytes
from scripted_upstream import answer, gated, text_body


def trickle_until_it_ends(caller, data, pause):
    """Sends a byte at a time, again and again; ends when the other side has answered or closed."""
    caller.sock.settimeout(pause)
    sent = 0
    while True:
        try:
            if caller.sock.recv(1, socket.MSG_PEEK) == b"":
                return sent
            return sent
        except (TimeoutError, socket.timeout):
            pass
        try:
            caller.send(data[sent % len(data) : sent % len(data) + 1])
        except OSError:
            return sent
        sent += 1


def test_an_idle_connection_is_closed(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), idle_timeout="200ms")
    assert server.connect().reads_end()


def test_a_kept_connection_is_closed_when_it_is_idle(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), idle_timeout="200ms")
    caller = server.connect()
    assert caller.ask("GET", "/livez").status == 200
    assert caller.reads_end()


def test_a_header_section_a_byte_at_a_time_gets_nowhere(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one), header_timeout="300ms")
    caller = server.connect()
    caller.send(b"GET /fetch-multiple HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    trickle_until_it_ends(caller, b"a", 0.02)
    caller.sock.settimeout(20)
    refused = caller.read_answer()
    assert refused.status == 408 and "header" in refused.problem["detail"]
    assert refused.headers["Connection"] == "close"
    assert len(one.requests) == 0


def test_a_body_a_byte_at_a_time_gets_nowhere(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one), body_timeout="300ms")
    caller = server.connect()
    head, _, body = post_bytes({"requests": [{"upstream": "a"}]}).partition(b"\r\n\r\n")
    caller.send(head + b"\r\n\r\n")
    trickle_until_it_ends(caller, b" ", 0.02)
    caller.sock.settimeout(20)
    refused = caller.read_answer()
    assert refused.status == 408 and "body" in refused.problem["detail"]
    assert len(one.requests) == 0


def test_waiting_for_an_answer_is_no_idleness(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("a", one, timeout="60s"),
        deadline="60s",
        idle_timeout="100ms",
        header_timeout="100ms",
        body_timeout="100ms",
        write_timeout="100ms",
    )
    caller = server.start_get()
    one.wait_for_in_flight(1)
    assert server.connect().reads_end()  # so the limits have passed
    held.open()
    assert caller.read_answer().status == 200


def small_window(address):
    """A connection whose kernel takes little for a reader that does not read."""
    caller = Connection.__new__(Connection)
    caller.sock = socket.socket()
    caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    caller.sock.settimeout(20)
    caller.sock.connect(address)
    return caller


LARGE = 8 * 1024 * 1024


def large_answer(fanoutd, upstream, **options):
    body = b'"' + b"x" * (LARGE - 2) + b'"'
    one = upstream(answer(200, body, "application/json"))
    return fanoutd(section("a", one, max_response="16m", timeout="60s"), deadline="60s", **options)


def test_who_reads_nothing_of_an_answer_is_cut(fanoutd, upstream):
    server = large_answer(fanoutd, upstream, write_timeout="300ms")
    caller = small_window(server.addresses[0])
    caller.sock.sendall(request_bytes("GET", "/fetch-multiple"))
    server.wait_for_log(lambda line: line.event == "answer")
    server.wait_for_state(in_flight=0)
    total = 0
    time.sleep(1.5)  # reads nothing for several times the limit: that is what is tried here
    with pytest.raises((ConnectionResetError, AssertionError)):
        while data := caller.sock.recv(65536):
            total += len(data)
        assert total > LARGE
    caller.sock.close()


def test_a_slow_reader_that_reads_on_gets_it_all(fanoutd, upstream):
    server = large_answer(fanoutd, upstream, write_timeout="400ms")
    caller = small_window(server.addresses[0])
    caller.sock.sendall(request_bytes("GET", "/fetch-multiple", {"Connection": "close"}))
    total = 0
    start = time.monotonic()
    while data := caller.sock.recv(65536):
        total += len(data)
        if time.monotonic() - start < 2:  # several times the limit
            time.sleep(0.02)
    assert total > LARGE
    caller.sock.close()


def test_a_late_caller_is_told_only_behind_the_answers_it_is_owed(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s", header_timeout="200ms")
    caller = server.connect()
    caller.send(request_bytes("GET", "/fetch-multiple") + b"GET /livez HT")
    one.wait_for_in_flight(1)
    held.open()
    assert caller.read_answer().status == 200
    try:
        assert caller.read_answer().status == 408
    except PeerLeft:
        pytest.fail("closed without a word")
