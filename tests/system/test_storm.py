"""Everything at once, for a while: callers that stay and callers that leave, upstreams that do
all they can do wrong. What must be true at the end is checked as after every test."""

import os
import random
import threading
import time

from dns_server import SERVFAIL
from fanoutd_process import endpoint, resolver, section
from http_wire import Connection, post_bytes, request_bytes
from scripted_upstream import (
    answer,
    closing,
    delayed,
    json_body,
    raw,
    reset_after,
    resetting,
    silence,
    text_body,
)

SECONDS = float(os.environ.get("FANOUTD_STORM_SECONDS", "3"))
CALLERS = 12
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


def moody(seed):
    """Mostly fine, at times not."""
    dice = random.Random(seed)
    moods = [
        *[json_body('{"n":9007199254740993}')] * 12,
        *[delayed(0.01), delayed(0.03), delayed(0.1)] * 2,
        json_body(b'"' + b"x" * 200_000 + b'"'),
        text_body("words"),
        answer(204),
        answer(503, b"busy", "text/plain", [("Connection", "close")]),
        closing,
        resetting,
        reset_after(HEAD + b"half"),
        raw(HEAD + b"half"),
        raw(b"garbage\r\n\r\n"),
        json_body("[1,"),
        silence,
    ]
    return lambda exchange: dice.choice(moods)(exchange)


class Caller(threading.Thread):
    """Asks again and again, in every way, until time is up."""

    def __init__(self, server, seed, end):
        super().__init__(daemon=True)
        self.server, self.dice, self.end = server, random.Random(seed), end
        self.answers = 0
        self.failure = None

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.visit()
        except Exception as error:
            self.failure = error

    def visit(self):
        """One connection."""
        connection = Connection(self.server.addresses[0])
        try:
            for _ in range(self.dice.randrange(1, 6)):
                count = self.dice.choice([1, 1, 1, 2, 5])
                connection.send(b"".join(self.request() for _ in range(count)))
                if self.dice.random() < 0.25:
                    time.sleep(self.dice.random() * 0.05)
                    return self.leave(connection)
                for _ in range(count):
                    self.check(connection.read_answer())
        finally:
            connection.close()

    def leave(self, connection):
        way = self.dice.choice(["close", "reset", "half_close"])
        getattr(connection, way)()
        if way == "half_close":
            connection.reads_end()

    def request(self):
        kind = self.dice.randrange(4)
        if kind == 0:
            return request_bytes("GET", "/fetch-multiple?require=none&timeout=150ms")
        if kind == 1:
            return request_bytes("GET", "/few?require=none&shape=map")
        if kind == 2:
            return request_bytes("GET", "/nowhere")
        requests = [
            {
                "id": str(n),
                "upstream": self.dice.choice(["moody", "named", "refused"]),
                "path": f"/{n}",
                "timeout_ms": self.dice.randrange(1, 200),
            }
            for n in range(self.dice.randrange(1, 12))
        ]
        return post_bytes({"requests": requests, "require": "none"})

    def check(self, seen):
        if seen.status == 404:
            return
        assert seen.status == 200, seen
        assert seen.document["results"]
        self.answers += 1


def test_storm(fanoutd, upstream, dns, refusing_port, blackhole):
    one = upstream(moody(1))
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    open_to_all = {"allow_path": True, "timeout": "200ms"}
    server = fanoutd(
        resolver(servers=[dns.address], timeout="100ms", tries=1, max_ttl="1s", failure_ttl="50ms"),
        section("moody", one, **open_to_all),
        section("named", f"http://users.test:{one.port}/", max_in_flight=10, **open_to_all),
        section("refused", refusing_port, **open_to_all),
        section("hole", blackhole, connect_timeout="50ms", queue_timeout="50ms"),
        endpoint("/fetch-multiple", upstreams=[]),
        endpoint("/few", upstreams=["moody", "named"]),
        workers=3,
        max_in_flight=16,
        max_queue=40,
        deadline="400ms",
    )
    end = time.monotonic() + SECONDS
    callers = [Caller(server, seed, end) for seed in range(CALLERS)]
    for caller in callers:
        caller.start()
    while time.monotonic() < end:
        time.sleep(0.2)
        dns.names["users.test"] = SERVFAIL if dns.names["users.test"] != SERVFAIL else ["127.0.0.1"]
        state = server.upstreams()
        assert state["in_flight"] <= 16 and state["queued"] <= 40
    for caller in callers:
        caller.join(30)

    assert [caller.failure for caller in callers if caller.failure] == []
    assert not any(caller.is_alive() for caller in callers)
    assert all(caller.answers > 0 for caller in callers)
    counted = server.upstream("moody")
    assert counted["requests"] == sum(counted["outcomes"].values())
