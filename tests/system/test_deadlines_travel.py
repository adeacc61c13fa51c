"""What time a caller has left is taken from it and passed on, less at each step; what would come too
late is not sent."""

import pathlib
import select
import signal
import socket
import threading
import time

import pytest

from fanoutd_process import endpoint, resolver, section
from http_wire import post_bytes, wait_until
from scripted_upstream import answer, closing, gated, in_turn, json_body, silence

OURS = "X-Request-Deadline-Ms"
ENVOYS = "x-envoy-expected-rq-timeout-ms"
SYN_SENT = "02"
PATIENT = {"timeout": "60s", "connect_timeout": "60s"}

both_ways = pytest.mark.parametrize("transport", ["auto", "curl"])


def told(request, name=OURS):
    """The milliseconds that an upstream was told; it was told them once."""
    text = request.headers[name]
    assert text.isdigit(), request
    return int(text)


def let_pass(seconds):
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the time has passed")


# Told to upstreams


@both_ways
@pytest.mark.parametrize(
    ("timeout", "deadline", "most"),
    [("800ms", "2s", 800), ("60s", "700ms", 700), ("60s", "20s", 20000)],
)
def test_an_upstream_is_told_what_is_left(fanoutd, upstream, transport, timeout, deadline, most):
    one = upstream()
    server = fanoutd(
        section("a", one, timeout=timeout, connect_timeout="200ms", transport=transport),
        deadline=deadline,
    )
    assert server.get().status == 200

    assert most / 2 < told(one.requests[0]) <= most


@both_ways
def test_on_a_kept_connection_too(fanoutd, upstream, transport):
    one = upstream()
    server = fanoutd(
        section("a", one, timeout="60s", transport=transport), workers=1, deadline="60s"
    )
    limits = [30000, 2000, 40000]
    for limit in limits:
        assert server.get(headers={OURS: str(limit)}).status == 200

    assert len({seen.connection for seen in one.requests}) == 1
    assert all(0 < told(seen) <= limit for seen, limit in zip(one.requests, limits, strict=True))


@both_ways
def test_what_is_sent_once_more_tells_it_anew(fanoutd, upstream, transport):
    """A kept connection that turns out to be closed."""
    one = upstream(in_turn(json_body(), closing, json_body()))
    server = fanoutd(
        section("a", one, timeout="20s", transport=transport), workers=1, deadline="60s"
    )
    assert [server.get().status for _ in range(2)] == [200, 200]

    assert [seen.connection for seen in one.requests] == [0, 0, 1]
    assert 20000 >= told(one.requests[1]) >= told(one.requests[2]) > 0
    assert one.requests[1].raw.count(b"\r\n") == one.requests[2].raw.count(b"\r\n")


@both_ways
def test_the_field_has_any_name(fanoutd, upstream, transport):
    one = upstream()
    server = fanoutd(section("a", one, deadline_header="X-Time-Left", transport=transport))
    assert server.get().status == 200

    assert 0 < told(one.requests[0], "x-time-left") <= 1000
    assert OURS not in one.requests[0].headers


@both_ways
def test_the_field_may_be_left_out(fanoutd, upstream, transport):
    one = upstream()
    server = fanoutd(
        section("a", one, deadline_header="none", transport=transport), deadline="500ms"
    )
    assert server.get(headers={OURS: "400"}).status == 200

    assert OURS not in one.requests[0].headers and ENVOYS not in one.requests[0].headers


@both_ways
def test_a_body_follows_the_field(fanoutd, upstream, transport):
    bodies = [b'"' + b"x" * size + b'"' for size in (1, 4000, 5000, 500_000)]
    one = upstream()
    server = fanoutd(
        section(
            "a", one, allow_methods=["POST"], allow_body=True, timeout="30s", transport=transport
        ),
        deadline="60s",
        max_request_body="1m",
    )
    for body in bodies:
        document = b'{"requests":[{"upstream":"a","body":' + body + b"}]}"
        assert server.post(document).status == 200

    assert [seen.body for seen in one.requests] == bodies
    assert all(0 < told(seen) <= 30000 for seen in one.requests)


@both_ways
def test_each_attempt_is_told_less(fanoutd, upstream, transport):
    one = upstream(in_turn(answer(503), answer(503), json_body()))
    server = fanoutd(
        section("a", one, retries=2, retry_backoff="40ms", timeout="20s", transport=transport),
        deadline="60s",
    )
    assert server.get().results[0]["attempts"] == 3

    first, second, third = map(told, one.requests)
    assert 20000 >= first >= second >= third > 0


@both_ways
def test_an_attempt_is_told_no_more_than_it_has(fanoutd, upstream, transport):
    one = upstream(in_turn(silence, json_body()))
    server = fanoutd(
        section("a", one, retries=1, attempt_timeout="600ms", timeout="20s", transport=transport),
        deadline="60s",
    )
    assert server.get().outcomes == {"a": "ok"}

    assert all(0 < told(seen) <= 600 for seen in one.requests) and len(one.requests) == 2


@both_ways
def test_the_last_attempt_is_told_what_the_others_left(fanoutd, upstream, transport):
    one = upstream(in_turn(silence, json_body()))
    server = fanoutd(
        section("a", one, retries=1, attempt_timeout="1200ms", timeout="2s", transport=transport),
        deadline="60s",
    )
    assert server.get().outcomes == {"a": "ok"}

    assert told(one.requests[0]) > 800 >= told(one.requests[1])


@both_ways
def test_the_timeout_of_a_request_is_told(fanoutd, upstream, transport):
    one = upstream()
    server = fanoutd(section("a", one, timeout="30s", transport=transport), deadline="60s")
    assert server.post({"requests": [{"upstream": "a", "timeout_ms": 3000}]}).status == 200

    assert 0 < told(one.requests[0]) <= 3000


@both_ways
def test_a_wait_for_a_slot_is_subtracted(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("a", one, transport=transport, **PATIENT), max_in_flight=1, deadline="20s"
    )
    first = server.start_get()
    one.wait_for_in_flight(1)
    second = server.start_get()
    server.wait_for_state(queued=1)
    let_pass(0.3)
    held.open()
    assert [caller.read_answer().status for caller in (first, second)] == [200, 200]

    assert told(one.requests[0]) > 20000 - 300 >= told(one.requests[1])


def test_a_service_behind_another_passes_on_what_that_left_it(fanoutd, upstream):
    last = upstream()
    back = fanoutd(section("last", last, timeout="50s"), deadline="50s")
    front = fanoutd(
        section("back", f"{back.url}/fetch-multiple", timeout="50s", max_response="1m"),
        deadline="50s",
    )
    assert front.get(headers={OURS: "3000"}).outcomes == {"back": "ok"}

    assert 1000 < told(last.requests[0]) <= 3000
    assert front.stop() == 0  # before its connection to the other is missed


def test_a_service_behind_another_gives_up_in_time(fanoutd, upstream):
    last = upstream(silence)
    back = fanoutd(section("last", last, **PATIENT), deadline="60s")
    front = fanoutd(section("back", f"{back.url}/fetch-multiple", **PATIENT), deadline="60s")

    seen = front.get(headers={OURS: "300"})
    assert seen.outcomes["back"] in ("http_status", "deadline_exceeded")

    last.wait_for_left()
    assert told(last.requests[0]) <= 300
    assert front.stop() == 0


# Told by callers


@pytest.mark.parametrize("name", [OURS, ENVOYS, OURS.lower(), ENVOYS.upper()])
def test_a_caller_says_what_time_it_has(fanoutd, upstream, name):
    slow = upstream(silence)
    server = fanoutd(section("slow", slow, **PATIENT), section("quick", upstream()), deadline="60s")

    seen = server.get(headers={name: "150"})

    assert seen.outcomes == {"slow": "deadline_exceeded", "quick": "ok"}
    assert "deadline of 150 ms" in seen.result("slow")["error"]["message"]
    assert told(slow.requests[0]) <= 150
    slow.wait_for_left()


@pytest.mark.parametrize(
    "fields", [{OURS: "150", ENVOYS: "9000"}, {OURS: "9000", ENVOYS: "150"}], ids=["ours", "envoys"]
)
@pytest.mark.parametrize("way", ["get", "post"])
def test_the_smaller_of_two_counts(fanoutd, upstream, fields, way):
    one = upstream(silence)
    server = fanoutd(section("a", one, **PATIENT), deadline="60s")

    if way == "get":
        seen = server.get(headers=fields)
    else:
        seen = server.post({"requests": [{"upstream": "a"}], "timeout_ms": 20000}, headers=fields)

    assert seen.outcomes == {"a": "deadline_exceeded"} and seen.status == 504
    assert "deadline of 150 ms" in seen.results[0]["error"]["message"]


def test_a_caller_with_more_time_than_the_query_says(fanoutd, upstream):
    server = fanoutd(section("a", upstream(silence), **PATIENT), deadline="60s")

    seen = server.get("/fetch-multiple?timeout=150ms", headers={OURS: "20000"})

    assert "deadline of 150 ms" in seen.results[0]["error"]["message"]


@pytest.mark.parametrize("left", ["9000", "999999999999", "000000009000"])
def test_a_deadline_is_never_raised(fanoutd, upstream, left):
    one = upstream(silence)
    server = fanoutd(section("a", one, **PATIENT), deadline="150ms")

    seen = server.get(headers={OURS: left, ENVOYS: left})

    assert "deadline of 150 ms" in seen.results[0]["error"]["message"]
    assert told(one.requests[0]) <= 150


@pytest.mark.parametrize("name", [OURS, ENVOYS])
def test_with_no_time_left_nothing_is_asked(fanoutd, upstream, name):
    one = upstream()
    server = fanoutd(section("a", one), section("b", one), deadline="60s")
    for left in ("0", "000"):
        seen = server.get(headers={name: left})
        assert seen.outcomes == {"a": "deadline_exceeded", "b": "deadline_exceeded"}
        assert seen.status == 504 and seen.headers["X-Fanout-Complete"] == "false"
        assert [result["attempts"] for result in seen.results] == [0, 0]

    assert server.get().status == 200
    assert len(one.requests) == 2


def test_with_no_time_left_it_is_not_for_want_of_a_slot(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, **PATIENT), max_in_flight=1, deadline="60s")
    callers = [server.start_get() for _ in range(2)]
    server.wait_for_state(in_flight=1, queued=1)

    assert server.get(headers={OURS: "0"}).outcomes == {"a": "deadline_exceeded"}
    held.open()
    assert [caller.read_answer().status for caller in callers] == [200, 200]


GARBAGE = ["", "-1", "+5", "1.5", "1e3", "100ms", "0x10", "1 2", "1,2", "1000000000000", "soon"]


@pytest.mark.parametrize("name", [OURS, ENVOYS])
@pytest.mark.parametrize("text", GARBAGE)
def test_what_is_no_number_is_refused(fanoutd, upstream, name, text):
    one = upstream()
    server = fanoutd(section("a", one))
    other = ENVOYS if name == OURS else OURS
    for refused in (
        server.get(headers={name: text, other: "100"}),
        server.post({"requests": [{"upstream": "a"}]}, headers={name: text}),
    ):
        assert refused.status == 400
        assert name in refused.problem["detail"] and f'"{text}"' in refused.problem["detail"]
    assert one.requests == []


# Not sent too late


class Paused:
    """The server does nothing in the meantime, whatever comes."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.server.signal(signal.SIGSTOP)
        status = pathlib.Path(f"/proc/{self.server.pid}/stat")
        wait_until(lambda: ") T " in status.read_text(), "the server has stopped")

    def __exit__(self, *_):
        self.server.signal(signal.SIGCONT)


@both_ways
def test_who_gets_a_slot_too_late_sends_nothing(fanoutd, upstream, gate, transport):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(
        section("first", f"{one.url}/first", transport=transport, **PATIENT),
        section("second", f"{one.url}/second", transport=transport, **PATIENT),
        endpoint("/first", upstreams=["first"], deadline="60s"),
        endpoint("/second", upstreams=["second"], deadline="60s"),
        max_in_flight=1,
        workers=1,
    )
    first = server.start_get("/first")
    one.wait_for_in_flight(1)
    second = server.start_get("/second", headers={OURS: "250"})
    server.wait_for_state(queued=1)
    with Paused(server):  # the slot comes free and the deadline passes, both unseen
        held.open()
        one.wait_for_in_flight(0)
        let_pass(0.3)

    assert first.read_answer().status == 200
    assert set(second.read_answer().outcomes.values()) <= {"deadline_exceeded", "queue_full"}
    server.wait_for_state(in_flight=0, queued=0)
    assert [seen.path for seen in one.requests] == ["/first"]


@both_ways
def test_who_is_connected_too_late_sends_nothing(fanoutd, blackhole, transport):
    server = fanoutd(section("a", blackhole, transport=transport, **PATIENT), deadline="60s")
    caller = server.start_get(headers={OURS: "400"})
    wait_until(lambda: server.descriptors()[f"tcp in state {SYN_SENT}"] == 1, "it is connecting")
    with Paused(server):
        late = accept_late(blackhole)
        let_pass(0.4)

    assert caller.read_answer().outcomes == {"a": "deadline_exceeded"}
    server.wait_for_state(in_flight=0)
    assert read_to_end(late) == b""


def test_no_more_of_a_body_is_sent_too_late(fanoutd):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = fanoutd(
            section(
                "a",
                f"http://127.0.0.1:{listener.getsockname()[1]}/",
                allow_methods=["POST"],
                allow_body=True,
                **PATIENT,
            ),
            max_request_body="20m",
            deadline="60s",
        )
        caller = server.connect()
        body = b'{"requests":[{"upstream":"a","body":"' + b"x" * 15_000_000 + b'"}]}'
        caller.send(post_bytes(body, headers={OURS: "400"}))
        sock, _ = listener.accept()
        server.wait_for_state(in_flight=1)
        with Paused(server):
            taken = read_what_was_sent(sock)
            let_pass(0.4)
        assert caller.read_answer().outcomes == {"a": "deadline_exceeded"}
        assert len(taken) < len(body) and read_to_end(sock) == b""


def read_what_was_sent(sock):
    """All that the kernel has of it: whoever sends is paused."""
    pieces = []
    while unsent_to(sock) > 0 or select.select([sock], [], [], 0)[0]:
        pieces.append(sock.recv(1 << 20))
    return b"".join(pieces)


def unsent_to(sock):
    """Bytes that the other side's kernel has for it, and of which it has not heard yet."""
    ports = [f"{name[1]:04X}" for name in (sock.getpeername(), sock.getsockname())]
    for _ in range(100):  # a row is missed now and then, as others come and go meanwhile
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if [local.split(":")[1], remote.split(":")[1]] == ports:
                return int(queues.split(":")[0], 16)
    raise AssertionError(f"the kernel has no connection between {ports}")


def accept_late(blackhole):
    """Accepts who waited to be connected; the kernel tries again after a second."""
    fillers = {filler.getsockname() for filler in blackhole.fillers}
    while True:
        assert select.select([blackhole.listener], [], [], 20)[0], "nobody came"
        sock, peer = blackhole.listener.accept()
        if peer not in fillers:
            return sock
        sock.close()


def read_to_end(sock):
    sock.settimeout(20)
    pieces = []
    try:
        while piece := sock.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    sock.close()
    return b"".join(pieces)


@both_ways
def test_who_shakes_hands_too_late_sends_nothing(fanoutd, transport):
    """What comes of the handshake is not the request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = fanoutd(
            section(
                "a",
                f"https://127.0.0.1:{listener.getsockname()[1]}/secret-path",
                transport=transport,
                tls_verify=False,
                **PATIENT,
            ),
            deadline="60s",
        )
        caller = server.start_get(headers={OURS: "200"})
        sock, _ = listener.accept()
        assert caller.read_answer().outcomes == {"a": "deadline_exceeded"}
        hello = read_to_end(sock)
    assert hello[:1] == b"\x16" and b"secret-path" not in hello


class HeldNames(dict):
    """Names that DNS knows when it is told to."""

    def __init__(self, names):
        super().__init__(names)
        self.told = threading.Event()

    def get(self, *arguments):
        self.told.wait(20)
        return super().get(*arguments)


@both_ways
def test_who_has_the_name_too_late_sends_nothing(fanoutd, upstream, dns, transport):
    one = upstream()
    dns.names = HeldNames({"late.test": ["127.0.0.1"]})
    server = fanoutd(
        resolver(servers=[dns.address]),
        section("a", f"http://late.test:{one.port}/", transport=transport, **PATIENT),
        deadline="60s",
    )
    caller = server.start_get(headers={OURS: "200"})
    dns.wait_until_asked("late.test")
    with Paused(server):
        dns.names.told.set()
        let_pass(0.25)

    assert caller.read_answer().outcomes == {"a": "deadline_exceeded"}
    server.wait_for_state(in_flight=0)
    assert one.requests == []


@both_ways
def test_nothing_is_tried_again_too_late(fanoutd, upstream, transport):
    one = upstream(answer(503, headers=[("Retry-After", "1")]))
    server = fanoutd(section("a", one, retries=3, transport=transport, **PATIENT), deadline="60s")
    assert server.get(headers={OURS: "500"}).outcomes == {"a": "http_status"}

    assert len(one.requests) == 1
