"""An HTTP server whose every byte a test decides, and which counts what it sees.

A behaviour is a function of one Exchange; `by_path` picks one by the path. A
thread for each connection; whatever waits here also notices when the other
side leaves.
"""

import os
import select
import socket
import threading
import time

from http_wire import WAIT_SECONDS, PeerLeft, Reader, reset_socket

LEFT = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Stopped(Exception):
    """The test is over."""


class Gate:
    """Holds exchanges back until the test lets them through."""

    def __init__(self):
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE | os.EFD_CLOEXEC)

    def let_through(self, count=1):
        os.eventfd_write(self.fd, count)

    def open(self):
        """Lets through all, now and from now on."""
        self.let_through(1 << 40)

    def try_pass(self):
        try:
            os.eventfd_read(self.fd)
            return True
        except BlockingIOError:
            return False


class Request:
    def __init__(self, line, headers, body, raw, connection):
        self.method, self.target, self.version = line.split(" ")
        self.path = self.target.split("?")[0]
        self.headers = headers
        self.body = body
        self.raw = raw
        self.connection = connection  # number of the connection it came on, from 0

    def __repr__(self):
        return f"Request({self.raw[:300]!r})"


class Exchange:
    """One request at an upstream and what is done about it."""

    def __init__(self, upstream, sock, request):
        self.upstream = upstream
        self.sock = sock
        self.request = request
        self.keep = True
        self.counted = True

    def send(self, data):
        """Sends some bytes of an answer that go on."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise PeerLeft("while sending") from error

    def finish(self, data=b""):
        """Sends the last bytes. The count goes down first: the other side's slot is certainly
        taken until these bytes arrive, so the count never shows one too many."""
        self.leave_count()
        self.send(data)

    def leave_count(self):
        if self.counted:
            self.counted = False
            self.upstream.count_out()

    def answer(self, status=200, body=b"", content_type=None, headers=()):
        self.finish(answer_bytes(status, body, content_type, headers))

    def wait(self, gate):
        self._poll({gate.fd: select.POLLIN}, gate.try_pass, None)

    def pause(self, seconds):
        self._poll({}, lambda: False, time.monotonic() + seconds)

    def wait_for_leaving(self):
        self._poll({}, lambda: False, None)

    def _poll(self, extra, condition, end):
        poll = select.poll()
        poll.register(self.sock, LEFT)
        poll.register(self.upstream.stop_fd, select.POLLIN)
        for fd, events in extra.items():
            poll.register(fd, events)
        while not condition():
            left = None if end is None else max(0, end - time.monotonic())
            if left == 0:
                return
            ready = dict(poll.poll(None if left is None else left * 1000 + 1))
            if self.upstream.stop_fd in ready:
                raise Stopped
            if self.sock.fileno() in ready:
                raise PeerLeft("while waiting")

    def close(self):
        self.leave_count()
        self.keep = False

    def reset(self):
        self.leave_count()
        reset_socket(self.sock)
        self.keep = False


def answer_bytes(status=200, body=b"", content_type=None, headers=()):
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status} Scripted"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name}: {value}" for name, value in headers]
    names = {name.lower() for name, _ in headers}
    if status not in (204, 304) and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


# Behaviours


def answer(status=200, body=b"", content_type=None, headers=()):
    whole = answer_bytes(status, body, content_type, headers)
    without_body = answer_bytes(status, body, content_type, headers)[: len(whole) - len(body)]
    return lambda exchange: exchange.finish(
        without_body if exchange.request.method == "HEAD" else whole
    )


def json_body(body="{}", status=200):
    body = body.encode() if isinstance(body, str) else body
    return answer(status, body, "application/json")


def text_body(body, content_type="text/plain", status=200):
    body = body.encode() if isinstance(body, str) else body
    return answer(status, body, content_type)


def gated(gate, then=json_body()):
    def behave(exchange):
        exchange.wait(gate)
        then(exchange)

    return behave


def delayed(seconds, then=json_body()):
    def behave(exchange):
        exchange.pause(seconds)
        then(exchange)

    return behave


def raw(data, close=True):
    """Exactly these bytes, then the connection ends."""

    def behave(exchange):
        exchange.finish(data)
        if close:
            exchange.close()

    return behave


def raw_then_silence(data):
    def behave(exchange):
        exchange.send(data)
        exchange.wait_for_leaving()

    return behave


def silence(exchange):
    exchange.wait_for_leaving()


def closing(exchange):
    exchange.close()


def resetting(exchange):
    exchange.reset()


def reset_after(data):
    def behave(exchange):
        exchange.send(data)
        exchange.pause(0.05)  # lets the bytes be read before the reset takes them back
        exchange.reset()

    return behave


def dribble(data):
    """The bytes one by one, each in its own segment."""

    def behave(exchange):
        exchange.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data) - 1):
            exchange.send(data[at : at + 1])
        exchange.finish(data[-1:])

    return behave


def endless(head, piece):
    """Goes on sending until the other side has had enough."""

    def behave(exchange):
        exchange.send(head)
        while True:
            exchange.send(piece)

    return behave


def by_path(**behaviours):
    """Picks by the first segment of the path; `otherwise` for the rest."""

    def behave(exchange):
        name = exchange.request.path.strip("/").split("/")[0]
        behaviours.get(name, behaviours.get("otherwise", answer(404)))(exchange)

    return behave


def in_turn(*behaviours):
    """The first request gets the first one, and so on; the last one stays."""
    lock = threading.Lock()
    left = list(behaviours)

    def behave(exchange):
        with lock:
            chosen = left.pop(0) if len(left) > 1 else left[0]
        chosen(exchange)

    return behave


def bind(family, host, port):
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def is_free_elsewhere(port):
    try:
        for last in range(2, 6):
            bind(socket.AF_INET, f"127.0.0.{last}", port).close()
    except OSError:
        return False
    return True


def bind_free(family, host):
    """To a port that others may also bind, on the next addresses of the loopback."""
    while True:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.bind((host, 0))
        # Set only now, a free port is one that nobody else has bound; it can be had again later.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_free_elsewhere(sock.getsockname()[1]):
            return sock
        sock.close()


class Upstream:
    """Listens at once. All counters may be read at any time; wait_until waits for them."""

    def __init__(self, behaviour=None, host="127.0.0.1", port=0):
        self.behaviour = behaviour or json_body()
        self.changed = threading.Condition()
        self.requests = []
        self.in_flight = 0
        self.peak = 0
        self.left = 0  # exchanges that the other side left before their end
        self.connections = 0  # accepted so far
        self.open_connections = 0
        self.history = []  # (monotonic time, requests in flight from then on)
        self.failure = None
        self.stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = bind(family, host, port) if port != 0 else bind_free(family, host)
        self.listener.listen(1024)
        self.host, self.port = host, self.listener.getsockname()[1]
        self.threads = [self._spawn(self._accept)]

    @property
    def authority(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"http://{self.authority}"

    def wait_until(self, condition, what="the upstream sees it", seconds=WAIT_SECONDS):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), seconds), (
                f"waited in vain until {what}: {self.in_flight} in flight, "
                f"{len(self.requests)} requests, {self.left} left"
            )

    def wait_for_requests(self, count):
        self.wait_until(lambda _: len(self.requests) >= count, f"{count} requests came")

    def wait_for_in_flight(self, count):
        self.wait_until(lambda _: self.in_flight == count, f"{count} are in flight")

    def wait_for_left(self, count=1):
        self.wait_until(lambda _: self.left >= count, f"{count} exchanges were left")

    def close(self):
        """Ends every connection and stops listening."""
        os.eventfd_write(self.stop_fd, 1)
        for thread in list(self.threads):
            thread.join(WAIT_SECONDS)
        self.listener.close()
        os.close(self.stop_fd)

    def count_out(self):
        with self.changed:
            self.in_flight -= 1
            self.history.append((time.monotonic(), self.in_flight))
            self.changed.notify_all()

    def _spawn(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self):
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        poll.register(self.stop_fd, select.POLLIN)
        while self.stop_fd not in dict(poll.poll()):
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                number = self.connections
                self.connections += 1
                self.open_connections += 1
            self.threads.append(self._spawn(self._serve, sock, number))

    def _serve(self, sock, number):
        reader = Reader(sock, lambda: self._wait_for_bytes(sock))
        try:
            while self._serve_one(sock, reader, number):
                pass
        except (PeerLeft, Stopped):
            pass
        except Exception as error:  # shown by the fixture
            self.failure = error
        finally:
            sock.close()
            with self.changed:
                self.open_connections -= 1
                self.changed.notify_all()

    def _wait_for_bytes(self, sock):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self.stop_fd, select.POLLIN)
        if self.stop_fd in dict(poll.poll()):
            raise Stopped

    def _serve_one(self, sock, reader, number):
        exchange = Exchange(self, sock, self._read_request(reader, number))
        with self.changed:
            self.requests.append(exchange.request)
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            self.history.append((time.monotonic(), self.in_flight))
            self.changed.notify_all()
        try:
            self.behaviour(exchange)
        except PeerLeft:
            with self.changed:
                self.left += 1
            raise
        finally:
            exchange.leave_count()
        return exchange.keep

    def _read_request(self, reader, number):
        reader.start_message()
        line, headers = reader.head()
        body = b""
        if "Transfer-Encoding" in headers:
            body = reader.chunked()
        elif "Content-Length" in headers:
            body = reader.exactly(int(headers["Content-Length"]))
        return Request(line, headers, body, reader.raw, number)


class Blackhole:
    """A listening socket that never accepts and whose queue is full: to connect takes for ever."""

    def __init__(self):
        self.listener = bind_free(socket.AF_INET, "127.0.0.1")
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.fillers = []
        while self._fill():
            pass

    def _fill(self):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", self.port))
        self.fillers.append(filler)
        return bool(select.select([], [filler], [], 0.05)[1])

    def close(self):
        for sock in [self.listener, *self.fillers]:
            sock.close()


class RefusingPort:
    """A port that is ours but on which nobody listens: to connect is refused."""

    def __init__(self, host="127.0.0.1", port=0):
        self.sock = socket.socket()
        self.sock.bind((host, port))
        self.port = self.sock.getsockname()[1]
        self.url = f"http://{host}:{self.port}"

    def close(self):
        self.sock.close()
