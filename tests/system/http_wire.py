"""HTTP/1.1 on a raw socket, strictly read: shows what really came over the wire.

Used on both sides: by the tests as callers and by the scripted upstreams.
"""

import json
import os
import select
import socket
import ssl
import struct
import time

# Bounds a wait that has gone wrong; no test concludes anything from it.
WAIT_SECONDS = 20 * float(os.environ.get("FANOUTD_SLOWNESS", "1"))


class PeerLeft(Exception):
    """The other side closed or reset the connection."""


def wait_until(condition, what, seconds=WAIT_SECONDS):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain until {what() if callable(what) else what}"
        time.sleep(0.002)


class Headers:
    """The fields of one message in the order they came."""

    def __init__(self, fields):
        self.fields = list(fields)

    def get_all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The one value of a field; a field that came twice is an error."""
        values = self.get_all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.get_all(name))

    def __getitem__(self, name):
        value = self.get(name)
        assert value is not None, f"no {name} in {self.fields}"
        return value

    def __repr__(self):
        return repr(self.fields)


class Reader:
    """Takes messages off a socket and keeps the raw bytes of the present one."""

    def __init__(self, sock, before_read=lambda: None):
        self.sock = sock
        self.before_read = before_read
        self.pending = b""
        self.raw = b""

    def start_message(self):
        self.raw = b""

    def _take(self, count):
        taken, self.pending = self.pending[:count], self.pending[count:]
        self.raw += taken
        return taken

    def fill(self):
        self.before_read()
        try:
            data = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise PeerLeft("reset") from error
        except ssl.SSLEOFError as error:  # some versions of libcurl leave TLS without a word
            raise PeerLeft("closed") from error
        if not data:
            raise PeerLeft("closed")
        self.pending += data

    def until(self, mark):
        while mark not in self.pending:
            self.fill()
        return self._take(self.pending.index(mark) + len(mark))

    def exactly(self, count):
        pieces = []
        while count > 0:
            if not self.pending:
                self.fill()
            piece = self._take(count)
            count -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def to_the_end(self):
        try:
            while True:
                self.fill()
        except PeerLeft as left:
            if str(left) == "reset":
                raise
            return self._take(len(self.pending))

    def chunked(self):
        body = []
        while True:
            size = int(self.until(b"\r\n")[:-2].split(b";")[0], 16)
            if size == 0:
                break
            body.append(self.exactly(size))
            assert self.exactly(2) == b"\r\n"
        while self.until(b"\r\n") != b"\r\n":
            pass
        return b"".join(body)

    def head(self):
        """The start line and the fields."""
        lines = self.until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name == name.strip(), f"bad field {line!r}"
            fields.append((name, value.strip(" \t")))
        return lines[0], Headers(fields)


class Answer:
    """One answer of fanoutd."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self):
        return f"Answer({self.status}, {self.headers}, {self.body[:2000]!r})"

    def json(self):
        return json.loads(self.body)

    @property
    def document(self):
        """The answer document; whatever must be true of each is checked here."""
        assert self.headers["Content-Type"] == "application/json", self
        document = self.json()
        check_document(document)
        return document

    @property
    def results(self):
        """The results as a list, whatever the shape."""
        return results_of(self.document)

    @property
    def outcomes(self):
        """{id: "ok" or the error's code}, in the order of the results."""
        return {one["id"]: outcome_of(one) for one in self.results}

    def result(self, identity):
        return next(one for one in self.results if one["id"] == identity)

    @property
    def problem(self):
        """The problem document (RFC 9457), checked for what each one holds."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        problem = self.json()
        assert problem["type"] == "about:blank", self
        assert problem["status"] == self.status, self
        assert problem["title"] and problem["detail"], self
        assert problem["request_id"] == self.headers["X-Request-Id"], self
        return problem


def outcome_of(result):
    return "ok" if result["ok"] else result["error"]["code"]


def results_of(document):
    results = document["results"]
    if isinstance(results, list):
        return results
    assert all(result["id"] == identity for identity, result in results.items())
    return list(results.values())


def check_document(document):
    results = results_of(document)
    failed = [one for one in results if not one["ok"]]
    everything = "ok" if not failed else "failed" if len(failed) == len(results) else "partial"

    assert document["status"] == everything, document
    assert document["elapsed_ms"] >= 0, document
    assert len({one["id"] for one in results}) == len(results), document
    for one in results:
        assert ("error" in one) == (not one["ok"]), one
        assert 0 <= one["elapsed_ms"] <= document["elapsed_ms"] + 0.2, document
        assert isinstance(one["attempts"], int) and one["attempts"] >= 0, one
        assert one["status"] is None or 100 <= one["status"] <= 599, one
        assert "body" in one, one
    for one in failed:
        assert set(one["error"]) == {"code", "message", "retryable"}, one
        assert isinstance(one["error"]["retryable"], bool) and one["error"]["message"], one
    assert document["errors"] == [{"id": one["id"], **one["error"]} for one in failed], document


class Connection:
    """A caller's connection to fanoutd."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, timeout=WAIT_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, target, headers=(), body=None):
        self.send(request_bytes(method, target, headers, body))

    def read_answer(self, to_head=False):
        """The next answer; the interim ones (100) are passed over."""
        self.reader.start_message()
        line, headers = self.reader.head()
        version, status, _ = (line + " ").split(" ", 2)
        assert version == "HTTP/1.1", line
        if 100 <= int(status) < 200:
            return self.read_answer(to_head)
        return Answer(int(status), headers, self._body(int(status), headers, to_head))

    def _body(self, status, headers, to_head):
        if to_head or status in (204, 304):
            return b""
        if "Transfer-Encoding" in headers:
            assert headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in headers
            return self.reader.chunked()
        if "Content-Length" in headers:
            return self.reader.exactly(int(headers["Content-Length"]))
        return self.reader.to_the_end()

    def ask(self, method, target, headers=(), body=None):
        self.request(method, target, headers, body)
        return self.read_answer(to_head=method == "HEAD")

    def is_silent(self):
        """Whether nothing has come that was not read yet."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not self.reader.pending and not poll.poll(0)

    def reads_end(self):
        """Whether the other side has closed with nothing more to read; waits for it."""
        try:
            return self.reader.to_the_end() == b""
        except PeerLeft:
            return True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        reset_socket(self.sock)


def reset_socket(sock):
    """Closes with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def request_bytes(method, target, headers=(), body=None):
    fields = list(headers.items() if isinstance(headers, dict) else headers)
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        fields.insert(0, ("Host", "fanoutd.test"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def post_bytes(document, target="/fetch-multiple", headers=()):
    """A POST of a document: an object, or its text as str or bytes."""
    if not isinstance(document, (str, bytes)):
        document = json.dumps(document)
    if isinstance(document, str):
        document = document.encode()
    fields = list(headers.items() if isinstance(headers, dict) else headers)
    if "content-type" not in {name.lower() for name, _ in fields}:
        fields.append(("Content-Type", "application/json"))
    return request_bytes("POST", target, fields, document)
