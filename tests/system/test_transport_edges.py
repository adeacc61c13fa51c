"""What comes between two answers of an upstream, in front of one and without end: none of it may
reach another fetch or keep the others waiting."""

import os
import signal
import socket
import threading
import zlib

import pytest

from fanoutd_process import section
from http_wire import wait_until
from scripted_upstream import Exchange, json_body

WAYS = ["auto", "curl"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STRAY = HEAD + b'Content-Length: 7\r\n\r\n"stray"'


def sized(body):
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def unread_bytes(sock):
    """What the other side has not taken off its socket yet, and what is on the way."""
    import fcntl
    import struct
    import termios

    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


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
