"""What upstreams send that they should not, or rarely do, and what a fetch makes of it.

Unless a case says more, the connection stays open behind the bytes, so that what must be told
from the bytes alone is never told by a close. RFC 9112 decides; where it leaves a choice, all
choices stand in `codes`, parted by "|".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripted_upstream import raw, raw_then_silence

ANY = object()

SHORT = {"timeout": "150ms"}

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

TEXT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

TWO = b"Content-Length: 2\r\n"

LAST = b"0\r\n\r\n"

STRAY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"stray"'


@dataclass(frozen=True)
class Case:
    name: str
    behaviour: Callable
    codes: str
    kept: bool | None = False  # whether the next fetch goes over the same connection; None: may
    body: Any = ANY  # where the outcome is ok or http_status
    status: int | None = None  # where it is one of them; None: any
    method: str = "GET"
    settings: dict = field(default_factory=dict)


def sent(name, data, codes, kept=False, body=ANY, **more):
    return Case(name, raw(data, close=False), codes, kept, body, **more)


def cut(name, data, codes, body=ANY, **more):
    """The upstream closes behind the bytes."""
    return Case(name, raw(data), codes, False, body, **more)


def good(name, data, body, kept=True, **more):
    return sent(name, data, "ok", kept, body, **more)


def bad(name, data, **more):
    return sent(name, data, "protocol_error", **more)


def whole(data):
    return HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(data), data)


def typed(content_type, data):
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type:%s\r\nContent-Length: %d\r\n\r\n"
        % (content_type, len(data))
        + data
    )


def coded(coding, data):
    return HEAD + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(data)) + data


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def trickle(start, piece):
    """A little now and then, for ever."""

    def behave(exchange):
        exchange.send(start)
        while True:
            exchange.pause(0.01)
            exchange.send(piece)

    return behave


def stopped(name, data):
    return Case(name, raw_then_silence(data), "timeout", settings=SHORT)


def answer(status, rest):
    return b"HTTP/1.1 %d Scripted\r\n%s" % (status, rest)
