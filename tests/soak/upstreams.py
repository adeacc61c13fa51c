"""The upstreams of the soak test: one for each thing that an upstream does, right or wrong, and each
of them twice: one for each way of the transport.

Whatever is right in an answer says to which path it is the answer.
"""

import fcntl
import gzip
import json
import pathlib
import select
import socket
import struct
import termios
import threading
import weakref

from certificates import Authorities
from scripted_upstream import (
    RefusingPort,
    Upstream,
    closing,
    delayed,
    raw,
    reset_after,
    resetting,
    silence,
)
from tls_upstream import TlsUpstream, server_context

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HALF = HEAD + b"Content-Length: 10\r\n\r\nhalf"
STRAY = HEAD + b'Content-Length: 14\r\n\r\n{"to":"stray"}'
BIG_NUMBER = 9007199254740993
SOME, MUCH = 100_000, 1 << 20
WAYS = {"lean": "auto", "curl": "curl"}


class Forgetful(list):
    """For an upstream that runs for hours: keeps the newest entries."""

    def append(self, item):
        super().append(item)
        if len(self) > 200:
            del self[:100]


class Soaked:
    """An upstream for hours; mixed in."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.requests = Forgetful()
        self.history = Forgetful()

    def _spawn(self, target, *arguments):
        if hasattr(self, "threads"):
            self.threads = [thread for thread in self.threads if thread.is_alive()]
        return super()._spawn(target, *arguments)


class SoakUpstream(Soaked, Upstream):
    pass


class SoakTlsUpstream(Soaked, TlsUpstream):
    pass


class ImpatientUpstream(SoakUpstream):
    """Closes a connection on which no further request came for a short while."""

    idle_seconds = 0.02

    def __init__(self, *arguments):
        self.used = weakref.WeakSet()
        super().__init__(*arguments)

    def _serve_one(self, sock, reader, number):
        keep = super()._serve_one(sock, reader, number)
        self.used.add(sock)
        return keep

    def _wait_for_bytes(self, sock):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self.stop_fd, select.POLLIN)
        if sock in self.used and not poll.poll(self.idle_seconds * 1000):
            sock.shutdown(socket.SHUT_RDWR)
        super()._wait_for_bytes(sock)


# Behaviours


def body_for(exchange, padding=0):
    return json.dumps({"to": exchange.request.path, "n": BIG_NUMBER, "pad": "x" * padding}).encode()


def sized(body, *fields):
    lines = b"".join(field + b"\r\n" for field in fields)
    return HEAD + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def right(padding=0):
    return lambda exchange: exchange.finish(sized(body_for(exchange, padding)))


def chunk(piece):
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def chunked(exchange):
    body = body_for(exchange, SOME)
    size = 1 + len(exchange.request.raw) * 61 % 9000
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    exchange.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(pieces[0]))
    exchange.finish(b"".join(map(chunk, pieces[1:])) + b"0\r\nX-Trailer: a\r\n\r\n")


def zipped(exchange):
    packed = gzip.compress(body_for(exchange, SOME), 1)
    exchange.finish(sized(packed, b"Content-Encoding: gzip"))


def slow_body(exchange):
    data = sized(body_for(exchange, 2000))
    for at in range(0, 1600, 400):
        exchange.send(data[at : at + 400])
        exchange.pause(0.01)
    exchange.finish(data[1600:])


def close_says_so(exchange):
    exchange.finish(sized(body_for(exchange), b"Connection: close"))
    exchange.close()


def answer_then_close(exchange):
    """Says nothing of it, so that a kept connection turns out to be dead."""
    right()(exchange)
    exchange.close()


def wait_until_read(exchange):
    while struct.unpack("i", fcntl.ioctl(exchange.sock, termios.TIOCOUTQ, b"\0" * 4))[0] > 0:
        exchange.pause(0.0005)


def stray(exchange):
    """Behind the end of the answer, and in the same segment: what comes later may come when the
    next request is on its way already, and then nobody can tell."""
    padding = SOME if len(exchange.request.path) % 2 else 0
    data = sized(body_for(exchange, padding))
    if padding:
        exchange.send(data[:-500])
        wait_until_read(exchange)
    exchange.finish(data[-500:] + STRAY if padding else data + STRAY)


def alternating(*behaviours):
    """One after the other, over and over."""
    lock = threading.Lock()
    state = {"next": 0}

    def behave(exchange):
        with lock:
            chosen = behaviours[state["next"] % len(behaviours)]
            state["next"] += 1
        chosen(exchange)

    return behave


def slow():
    return alternating(*[delayed(seconds, right()) for seconds in (0.02, 0.1, 0.3)], silence)


def all_kinds(certificate):
    """What makes one of each kind."""
    return {
        "small": lambda: SoakUpstream(right()),
        "large": lambda: SoakUpstream(right(MUCH)),
        "chunked": lambda: SoakUpstream(chunked),
        "zipped": lambda: SoakUpstream(zipped),
        "tls": lambda: SoakTlsUpstream(
            server_context(certificate), alternating(right(), right(SOME), close_says_so)
        ),
        "drip": lambda: SoakUpstream(slow_body),
        "stray": lambda: SoakUpstream(stray),
        "impatient": lambda: ImpatientUpstream(right()),
        "slow": lambda: SoakUpstream(slow()),
        "resetting": lambda: SoakUpstream(alternating(resetting, reset_after(HALF), right())),
        "broken": lambda: SoakUpstream(
            alternating(
                lambda exchange: exchange.finish(sized(b"[1,")), raw(b"garbage\r\n\r\n"), raw(HALF)
            )
        ),
        "closing": lambda: SoakUpstream(alternating(answer_then_close, close_says_so, closing)),
        "refusing": RefusingPort,
    }


KINDS = list(all_kinds(None))
NAMES = [f"{kind}_{way}" for kind in KINDS for way in WAYS]


class Upstreams:
    """All of them, by name, and what the configuration says of each."""

    def __init__(self, folder):
        authorities = Authorities(pathlib.Path(folder))
        kinds = all_kinds(authorities.issue())
        self.by_name = {f"{kind}_{way}": kinds[kind]() for kind in kinds for way in WAYS}
        self.settings = {
            f"{kind}_{way}": {
                "transport": WAYS[way],
                **({"ca": f'"{authorities.root.alone}"'} if kind == "tls" else {}),
                **({"idle_timeout": "50ms"} if kind == "drip" else {}),
            }
            for kind in kinds
            for way in WAYS
        }

    @property
    def scripted(self):
        return [one for one in self.by_name.values() if isinstance(one, Upstream)]

    def close(self):
        """What went wrong in them."""
        for one in self.by_name.values():
            one.close()
        return [f"upstream: {one.failure!r}" for one in self.scripted if one.failure]
