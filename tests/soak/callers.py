"""The callers of the soak test: each kind is a thread that visits until time is up. Whatever they
read is checked: every name once and in order, and every body to be the answer to its own path."""

import collections
import random
import threading
import time

from http_wire import Connection, PeerLeft, post_bytes, request_bytes
from upstreams import BIG_NUMBER, NAMES

FEW = ["small_lean", "small_curl", "slow_lean", "refusing_curl"]
LARGE = [name for name in NAMES if name.startswith("large")]
# Whatever the weather these have an answer, unless time is up or the service is full.
GOOD = ("small", "large", "chunked", "zipped", "tls", "drip", "stray", "impatient")
MAY_FAIL_SO = {"ok", "timeout", "deadline_exceeded", "queue_full", "queue_timeout"}
MAY_FAIL_SO |= {"connect_timeout"}
# None may be taken for a request; each ends its connection.
BAD_FRAMING = [
    b"GET /few HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /few HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /few HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    b"POST /few HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
]


class Tally:
    """What all callers counted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.outcomes = collections.Counter()

    def count(self, **more):
        with self.lock:
            self.counts.update(more)

    def count_outcomes(self, outcomes):
        with self.lock:
            self.outcomes.update(outcomes)


class Asked:
    """The bytes of a request, and the ids, upstreams and paths that the answer must have, in order.
    """

    def __init__(self, data, wanted):
        self.data = data
        self.wanted = wanted

    @property
    def ids(self):
        return [one for one, _, _ in self.wanted]


def asked_by_get(target, names, headers=()):
    return Asked(request_bytes("GET", target, headers), [(name, name, "/") for name in names])


def asked_by_post(names, headers=(), **settings):
    requests = [
        {"id": f"r{n}", "upstream": name, "path": f"/{n}"} for n, name in enumerate(names)
    ]
    document = {"requests": requests, "require": "none", **settings}
    return Asked(
        post_bytes(document, headers=headers),
        [(one["id"], one["upstream"], one["path"]) for one in requests],
    )


def check_result(result, upstream, path):
    outcome = "ok" if result["ok"] else result["error"]["code"]
    if upstream.startswith(GOOD):
        assert outcome in MAY_FAIL_SO, (upstream, path, result)
    if outcome == "ok":
        body = result["body"]
        assert body["to"] == path and body["n"] == BIG_NUMBER, (upstream, path, str(result)[:500])


class Caller(threading.Thread):
    pause = 0.0

    def __init__(self, server, tally, seed, end):
        super().__init__(daemon=True, name=f"{type(self).__name__} {seed}")
        self.server, self.tally, self.end = server, tally, end
        self.dice = random.Random(seed)
        self.visits = 0
        self.failure = None

    def run(self):
        try:
            while time.monotonic() < self.end:
                connection = Connection(self.server.addresses[0])
                try:
                    self.visit(connection)
                finally:
                    connection.close()
                self.visits += 1
                time.sleep(self.pause)
        except Exception as error:
            self.failure = error

    def visit(self, connection):
        """What it does with one connection."""
        raise NotImplementedError

    def make_request(self, headers=()):
        kind = self.dice.randrange(3)
        if kind == 0:
            names = self.dice.sample(NAMES, self.dice.randrange(1, 7))
            query = f"require=none&timeout=700ms&upstreams={','.join(names)}"
            return asked_by_get(f"/fetch-multiple?{query}", names, headers)
        if kind == 1:
            return asked_by_get("/few?require=none", FEW, headers)
        names = [self.dice.choice(NAMES) for _ in range(self.dice.randrange(1, 12))]
        return asked_by_post(names, headers, timeout_ms=600)

    def read_answer(self, connection, asked):
        answer = connection.read_answer()
        assert answer.status == 200, answer
        outcomes = answer.outcomes
        assert list(outcomes) == asked.ids, f"asked for {asked.ids}, got {outcomes}"
        results = answer.results
        results = list(results.values()) if isinstance(results, dict) else results
        for (_, upstream, path), result in zip(asked.wanted, results, strict=True):
            check_result(result, upstream, path)
        self.tally.count(answers=1, results=len(outcomes))
        self.tally.count_outcomes(outcomes.values())


class KeepsAlive(Caller):
    def visit(self, connection):
        for _ in range(self.dice.randrange(1, 20)):
            asked = self.make_request()
            connection.send(asked.data)
            self.read_answer(connection, asked)


class ClosesEachTime(Caller):
    def visit(self, connection):
        asked = self.make_request([("Connection", "close")])
        connection.send(asked.data)
        self.read_answer(connection, asked)
        assert connection.reads_end(), "the connection stays open"


class Pipelines(Caller):
    def visit(self, connection):
        for _ in range(3):
            asked = [self.make_request() for _ in range(self.dice.randrange(2, 6))]
            connection.send(b"".join(one.data for one in asked))
            for one in asked:
                self.read_answer(connection, one)


class ReadsSlowly(Caller):
    """Asks for much, and takes it in small pieces with pauses."""

    def visit(self, connection):
        asked = asked_by_post([self.dice.choice(LARGE) for _ in range(8)])
        connection.send(asked.data)
        connection.reader.before_read = lambda: time.sleep(0.01)
        self.read_answer(connection, asked)


class WritesSlowly(Caller):
    def visit(self, connection):
        asked = self.make_request()
        for at in range(0, len(asked.data), 50):
            connection.send(asked.data[at : at + 50])
            time.sleep(0.005)
        self.read_answer(connection, asked)


class Leaves(Caller):
    """By FIN, by RST, or by saying no more, somewhere between its first byte and the answer."""

    pause = 0.005

    def visit(self, connection):
        data = self.make_request().data
        connection.send(data[: self.dice.randrange(1, len(data) + 1)])
        time.sleep(self.dice.choice([0, 0, 0.01, 0.05, 0.2]))
        getattr(connection, self.dice.choice(["close", "reset"]))()
        self.tally.count(left=1)


class FramesBadly(Caller):
    """At times behind a good request, which has its answer all the same."""

    pause = 0.01

    def visit(self, connection):
        good = self.make_request() if self.dice.random() < 0.3 else None
        connection.send((good.data if good else b"") + self.dice.choice(BAD_FRAMING))
        connection.half_close()
        try:
            if good:
                self.read_answer(connection, good)
            answer = connection.read_answer()
        except PeerLeft:
            return
        assert 400 <= answer.status < 600, answer
        self.tally.count(problems=1)


class AsksForWrongThings(Caller):
    pause = 0.01

    def visit(self, connection):
        connection.send(
            self.dice.choice(
                [
                    request_bytes("GET", "/nowhere"),
                    request_bytes("GET", "/few?upstreams=small_lea"),
                    request_bytes("DELETE", "/few"),
                    post_bytes("{"),
                    post_bytes({"requests": [{"upstream": "small_lean", "path": "/../x"}]}),
                ]
            )
        )
        answer = connection.read_answer()
        assert answer.status in (400, 404, 405), answer
        assert answer.problem
        self.tally.count(problems=1)


CALLERS = [
    *[KeepsAlive] * 3,
    *[ClosesEachTime] * 2,
    *[Pipelines] * 2,
    *[ReadsSlowly] * 2,
    *[WritesSlowly] * 2,
    *[Leaves] * 3,
    *[FramesBadly] * 2,
    AsksForWrongThings,
]
