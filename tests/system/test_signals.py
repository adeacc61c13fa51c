"""SIGTERM and SIGINT drain; a second one ends at once."""

import errno
import signal
import socket
import time

import pytest

from dns_server import WITHHELD
from fanoutd_process import resolver, section
from http_wire import PeerLeft, wait_until
from scripted_upstream import gated, json_body, silence


def serve(fanoutd, one, drain_timeout="60s", **settings):
    """One upstream, for which everybody waits for as long as it takes."""
    return fanoutd(
        section("a", one, timeout="60s"), deadline="60s", drain_timeout=drain_timeout, **settings
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_one_ends_at_once(fanoutd, upstream, number):
    server = fanoutd(section("a", upstream()), drain_timeout="60s")
    idle = server.connect()
    assert idle.ask("GET", "/livez").status == 200

    server.signal(number)

    assert server.wait_for_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished(fanoutd, upstream, gate, number):
    held = gate()
    one = upstream(gated(held))
    server = serve(fanoutd, one)
    callers = [server.start_get() for _ in range(5)]
    one.wait_for_in_flight(5)

    server.signal(number)
    wait_until_refusing(server)
    time.sleep(0.2)  # a drain that does not wait would be over
    assert server.is_running()
    held.open()

    for caller in callers:
        answer = caller.read_answer()
        assert answer.outcomes == {"a": "ok"} and answer.status == 200
    assert server.wait_for_exit() == 0


def wait_until_refusing(server):
    server.wait_for_event("draining")
    wait_until(lambda: refuses(server.port), "it accepts nobody any more", seconds=3)


def refuses(port):
    with socket.socket() as sock:
        sock.settimeout(2)
        return sock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_what_waits_for_a_slot_is_finished_too(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = serve(fanoutd, one, max_in_flight=1)
    callers = [server.start_get() for _ in range(4)]
    server.wait_for_state(in_flight=1, queued=3)

    server.signal(signal.SIGTERM)
    wait_until_refusing(server)
    held.open()

    for caller in callers:
        assert caller.read_answer().outcomes == {"a": "ok"}
    assert server.wait_for_exit() == 0


def test_nobody_is_told_that_it_is_ready_while_it_drains(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = serve(fanoutd, one, workers=1)
    watcher = server.connect()
    assert watcher.ask("GET", "/readyz").status == 200
    caller = server.start_get()
    one.wait_for_in_flight(1)

    server.signal(signal.SIGTERM)
    wait_until_refusing(server)
    try:
        assert watcher.ask("GET", "/readyz").status == 503
    except (PeerLeft, BrokenPipeError, ConnectionResetError):
        pass  # an idle connection may be closed: that says so as well
    held.open()
    assert caller.read_answer().outcomes == {"a": "ok"}
    assert server.wait_for_exit() == 0


def test_no_caller_with_an_idle_connection_is_left_hanging(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = serve(fanoutd, one, workers=4)
    idle = [server.connect() for _ in range(20)]
    for connection in idle:
        assert connection.ask("GET", "/livez").status == 200
    caller = server.start_get()
    one.wait_for_in_flight(1)

    server.signal(signal.SIGTERM)
    server.wait_for_event("draining")

    # Each is answered or closed while the drain still goes on.
    for connection in idle:
        try:
            answer = connection.ask("GET", "/readyz")
            assert answer.status in (200, 503)
        except (PeerLeft, BrokenPipeError, ConnectionResetError):
            pass
    held.open()
    assert caller.read_answer().outcomes == {"a": "ok"}
    assert server.wait_for_exit() == 0


def test_the_drain_has_an_end(fanoutd, upstream):
    one = upstream(silence)
    server = serve(fanoutd, one, drain_timeout="300ms")
    server.start_get()
    one.wait_for_in_flight(1)

    server.signal(signal.SIGTERM)

    assert server.wait_for_exit() == 0
    one.wait_for_left()


@pytest.mark.parametrize(
    "first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]
)
def test_a_second_signal_ends_at_once(fanoutd, upstream, first, second):
    one = upstream(silence)
    server = serve(
        fanoutd,
        one,
        environment={"TSAN_OPTIONS": "report_thread_leaks=0"},  # to end at once leaves threads
    )
    server.start_get()
    one.wait_for_in_flight(1)

    server.signal(first)
    wait_until_refusing(server)
    assert server.is_running()
    server.signal(second)

    assert server.wait_for_exit() != 0


def test_a_name_that_is_being_looked_up_does_not_hold_the_end_up(fanoutd, dns):
    dns.names["users.test"] = WITHHELD
    server = fanoutd(
        resolver(servers=[dns.address], timeout="30s", tries=3),
        section("users", "http://users.test:9/", timeout="60s"),
        deadline="60s",
        drain_timeout="200ms",
    )
    server.start_get()
    dns.wait_until_asked("users.test")

    assert server.stop() == 0


def test_a_caller_in_the_middle_of_a_request_does_not_hold_the_end_up(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), drain_timeout="500ms")
    half = server.connect()
    half.send(b"GET /fetch-multiple HTTP/1.1\r\nHost:")
    assert server.get().status == 200

    assert server.stop() == 0


def test_a_caller_who_does_not_read_does_not_hold_the_end_up(fanoutd, upstream):
    one = upstream(json_body(b'"' + b"x" * 7_000_000 + b'"'))
    server = fanoutd(section("a", one), drain_timeout="500ms")
    server.start_get()
    one.wait_until(lambda _: len(one.requests) == 1 and one.in_flight == 0)
    server.wait_for_state(in_flight=0)

    assert server.stop() == 0


def test_sigpipe_and_sighup_are_no_end(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    server.signal(signal.SIGPIPE)

    assert server.get().status == 200
