"""What comes between two answers of an upstream, in front of one and without end: none of it may
reach another fetch or keep the others waiting."""

import fcntl
import os
import select
import signal
import socket
import struct
import termios

import pytest

from fanoutd_process import section
from http_wire import WAIT_SECONDS, wait_until

WAYS = ["auto", "curl"]
SYN_SENT = "02"
CONNECT_MS = 500
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STRAY = HEAD + b'Content-Length: 7\r\n\r\n"stray"'


def sized(body):
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pieces", [1, 3])
def test_an_answer_comes_whole_however_small_those_before_were(fanoutd, upstream, way, pieces):
    """Around the least that libcurl reads at once, and far above it."""
    bodies = [b'"%b"' % (b"x" * length) for length in (1, *range(940, 960), 5_000, 1, 300_000, 1)]

    def behave(exchange):
        answer = sized(bodies[len(one.requests) - 1])
        for start in range(0, len(answer), len(answer) // pieces + 1):
            exchange.send(answer[start : start + len(answer) // pieces + 1])
            wait_until_read(exchange)

    one = upstream(behave)
    server = fanoutd(section("a", one, transport=way), workers=1)

    for body in bodies:
        assert server.get().results[0]["body"] == body.decode().strip('"')
    assert len(one.requests) == len(bodies)


def wait_until_read(exchange):
    """Until the other side's kernel has all of it."""
    while struct.unpack("i", fcntl.ioctl(exchange.sock, termios.TIOCOUTQ, b"\0" * 4))[0] > 0:
        exchange.pause(0.0005)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [60_000, 65_536, 70_000, 100_000, 200_000, 400_000])
def test_bytes_behind_a_large_answer_do_not_become_the_next_answer(
    fanoutd, upstream, way, length
):
    """All of it is there before any of it is read."""
    server = None

    def behave(exchange):
        number = len(one.requests)
        if number <= 3:  # the kernel learns that much comes here, and makes room for it
            exchange.finish(sized(b'"' + b"w" * 2_000_000 + b'"'))
        elif number == 4:
            os.kill(server.pid, signal.SIGSTOP)
            exchange.finish(sized(b'"' + b"x" * (length - 2) + b'"') + STRAY)
            os.kill(server.pid, signal.SIGCONT)
        else:
            exchange.finish(sized(b'"right"'))

    one = upstream(behave)
    server = fanoutd(section("a", one, transport=way, timeout="5s"), workers=1)
    for _ in range(4):
        assert server.get().outcomes == {"a": "ok"}

    assert server.get().results[0]["body"] == "right"


@pytest.mark.parametrize("way", WAYS)
def test_bytes_behind_an_answer_do_not_become_another_where_a_connection_is_used_on_at_once(
    fanoutd, upstream, way
):
    """Many connections and many who wait for them, so that whatever is kept for a connection is
    used with another one, too."""

    def behave(exchange):
        body = b'"%b%b"' % (exchange.request.path.encode(), b" " * 20_000)
        exchange.send(sized(body)[:-100])
        wait_until_read(exchange)
        exchange.finish(body[-100:] + STRAY)  # in one segment

    one = upstream(behave)
    settings = {"transport": way, "allow_path": True, "timeout": "20s", "max_in_flight": 40}
    server = fanoutd(section("a", one, **settings), workers=1, deadline="20s")
    ids = [f"/{n}" for n in range(600)]

    requests = [{"id": n, "upstream": "a", "path": n} for n in ids]
    for _ in range(4):
        answer = server.post({"requests": requests})
        bodies = {result["id"]: str(result["body"]).strip() for result in answer.results}
        assert {name: body for name, body in bodies.items() if name != body} == {}


@pytest.mark.parametrize("way", WAYS)
def test_what_an_upstream_says_before_it_is_asked_is_no_answer(fanoutd, blackhole, way):
    """The connection comes about, and bytes are on it, while the other side does not look."""
    settings = {"transport": way, "timeout": "15s", "connect_timeout": "15s"}
    server = fanoutd(section("a", blackhole, **settings), deadline="15s")
    caller = server.start_get()
    wait_until(lambda: server.descriptors()[f"tcp in state {SYN_SENT}"] == 1, "it connects")
    os.kill(server.pid, signal.SIGSTOP)
    sock = accept_behind(blackhole)
    sock.sendall(STRAY)
    os.kill(server.pid, signal.SIGCONT)

    assert caller.read_answer().outcomes == {"a": "protocol_error"}
    sock.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_takes_too_long(fanoutd, blackhole, way):
    server = fanoutd(section("a", blackhole, transport=way, connect_timeout="150ms", timeout="15s"))

    result = server.get().results[0]
    assert result["error"]["code"] == "connect_timeout"
    assert "150 ms" in result["error"]["message"]


def slow(exchange):
    exchange.pause(CONNECT_MS / 1000 * 1.2)
    exchange.finish(sized(b"1"))


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_may_take_longer_than_connecting(fanoutd, upstream, way):
    """On a new connection and on a kept one."""
    one = upstream(slow)
    settings = {"transport": way, "connect_timeout": f"{CONNECT_MS}ms", "timeout": "15s"}
    server = fanoutd(section("a", one, **settings), workers=1, deadline="15s")

    assert [server.get().outcomes for _ in range(2)] == [{"a": "ok"}] * 2
    assert one.connections == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_was_given_up_does_not_take_too_long_later(
    fanoutd, upstream, blackhole, way
):
    server = fanoutd(
        section("hole", blackhole, transport=way, connect_timeout=f"{CONNECT_MS}ms", timeout="50ms"),
        section("slow", upstream(slow), transport=way, timeout="15s"),
        workers=1,
        deadline="15s",
    )

    for _ in range(2):
        seen = server.get()
        assert seen.outcomes == {"hole": "connect_timeout", "slow": "ok"}
        assert seen.result("hole")["elapsed_ms"] < CONNECT_MS


def accept_behind(blackhole):
    """The first connection that is not one of those that fill the queue."""
    blackhole.listener.settimeout(WAIT_SECONDS)
    fillers = {filler.getsockname()[1] for filler in blackhole.fillers}
    for filler in blackhole.fillers:
        filler.close()
    while True:
        sock, (_, port) = blackhole.listener.accept()
        if port not in fillers:
            return sock
        sock.close()


def endless_nothing(exchange):
    """Gzip whose blocks are all empty, in chunks: no limit on the size of a body is ever met."""
    chunk = b"\x00\x00\x00\xff\xff" * 200_000
    packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    exchange.send(HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.send(b"a\r\n" + packed + b"\r\n")
    while True:
        exchange.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_never_pauses_keeps_nobody_waiting(fanoutd, upstream, way):
    one = upstream(endless_nothing)
    server = fanoutd(
        section("endless", one, transport=way, timeout="300ms"),
        workers=1,
    )

    assert server.get().outcomes == {"endless": "timeout"}


def test_long_heads_that_an_upstream_takes_in_parts_do_not_mix(fanoutd):
    """Two at once, of which the kernel takes but a part before the upstreams read. (libcurl sends no
    head that is larger than 1 MiB.)"""
    fields = {f"X-Long-{n}": str(n % 10) * 60_000 for n in range(100)}
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server = fanoutd(
            section("a", url, forward_headers=list(fields), allow_path=True, timeout="60s"),
            workers=1,
            deadline="60s",
            max_request_body="20m",
        )
        requests = [
            {"id": name, "upstream": "a", "path": f"/{name}", "headers": fields}
            for name in ("one", "two")
        ]
        caller = server.start_post({"requests": requests})
        peers = [listener.accept()[0] for _ in requests]
        for peer in peers:
            assert select.select([peer], [], [], WAIT_SECONDS)[0]
        heads = [read_head(peer) for peer in peers]
        for peer in peers:
            peer.sendall(sized(b'"read"'))

        assert caller.read_answer().outcomes == {"one": "ok", "two": "ok"}
    assert {head.split(b" ")[1] for head in heads} == {b"/one", b"/two"}
    for head in heads:
        lines = [line.decode() for line in head.split(b"\r\n") if b"X-Long" in line]
        assert lines == [f"{name}: {value}" for name, value in fields.items()]
        assert head.count(b"HTTP/1.1\r\n") == 1


def read_head(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(10_000)
        assert piece, head
        head += piece
    return head
