"""A caller and upstreams that move in step with the fanoutd under test, in one thread.

How many answers one epoll_wait brings changes how many instructions they cost. So nothing is sent
before fanoutd sleeps: every answer wakes it alone, and each run is the same as the one before.
"""

import contextlib
import os
import pathlib
import re
import selectors
import socket
import sys
import time

STUCK_SECONDS = 30
NAP_SECONDS = 0.00002
MOST_CALLERS_TRIED = 64

BODY = (
    b'{"path":"/profile","user":{"id":9007199254740993,"name":"Ada Lovelace","active":true},'
    b'"scores":[12.5,7,300],"tags":["first","second"],'
    b'"note":"about as long as a small answer of a service is"}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: upstream\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%s"
) % (len(BODY), BODY)
REQUEST = b"GET /fetch-multiple HTTP/1.1\r\nHost: fanoutd\r\nAccept: */*\r\n\r\n"


class Threads:
    """The threads of a process: whether they sleep, and how often they went to sleep.

    Not the allocator's, which wakes up by the clock.
    """

    def __init__(self, process):
        self.process = process
        self.files = {}  # of thread ids: open files of procfs, which say anew each time
        for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("jemalloc"):
                continue
            self.files[task.name] = os.open(task / "status", os.O_RDONLY)

    def close(self):
        for file in self.files.values():
            os.close(file)

    def sleeps(self):
        """Times that each thread went to sleep; None: one is awake."""
        counts = {}
        for thread, file in self.files.items():
            status = os.pread(file, 4096, 0)
            if re.search(rb"^State:\s+(\w)", status, re.MULTILINE)[1] != b"S":
                return None
            counts[thread] = int(re.search(rb"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])
        return counts

    def wait_for_sleep(self, before=None):
        """Until all sleep, and have woken up since `before`."""
        end = time.monotonic() + STUCK_SECONDS
        while True:
            now = self.sleeps()
            if now is not None and now != before:
                return now
            if self.process.poll() is not None:
                sys.exit(f"{self.process.args[0]} has ended")
            if time.monotonic() > end:
                sys.exit(f"{self.process.args[0]} does not do what it is woken up for")
            time.sleep(NAP_SECONDS)


class Upstreams:
    """Each has a port of its own, and answers only when it is told to."""

    def __init__(self, count):
        self.selector = selectors.DefaultSelector()
        self.listeners = [self._listen() for _ in range(count)]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        self.connections = []
        self.asking = []

    def _listen(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _accept(self, listener):
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.append(connection)
        self.selector.register(connection, selectors.EVENT_READ, self._take)

    def _take(self, connection):
        request = connection.recv(65536)
        if request.endswith(b"\r\n\r\n"):
            self.asking.append(connection)
        elif request:
            sys.exit(f"an upstream got a request in pieces, or none: {request!r}")
        else:
            self.selector.unregister(connection)
            connection.close()

    def gather(self):
        """The connections that ask, once each upstream was asked; in the upstreams' order."""
        end = time.monotonic() + STUCK_SECONDS
        while len(self.asking) < len(self.ports):
            for key, _ in self.selector.select(timeout=1):
                key.data(key.fileobj)
            if time.monotonic() > end:
                sys.exit(f"{len(self.asking)} of {len(self.ports)} upstreams were asked")
        asking, self.asking = self.asking, []
        return sorted(asking, key=lambda one: self.ports.index(one.getsockname()[1]))

    def close(self):
        for one in self.listeners + self.connections:
            one.close()
        self.selector.close()


def connect(port):
    caller = socket.create_connection(("127.0.0.1", port), timeout=STUCK_SECONDS)
    caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return caller


def connect_to_each_worker(port, workers, threads):
    """One caller for each; the kernel chooses whose it is, and the worker that wakes up has it."""
    callers = {}
    for _ in range(MOST_CALLERS_TRIED):
        before = threads.wait_for_sleep()
        caller = connect(port)
        after = threads.wait_for_sleep(before)
        worker = max(after, key=lambda thread: after[thread] - before[thread])
        if worker in callers:
            caller.close()
            threads.wait_for_sleep(after)
        callers.setdefault(worker, caller)
        if len(callers) == workers:
            return list(callers.values())
    sys.exit(f"{MOST_CALLERS_TRIED} connections went to {len(callers)} of {workers} workers")


def read_reply(caller):
    reply = b""
    while b"\r\n\r\n" not in reply:
        reply += receive(caller)
    head, _, body = reply.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
    while len(body) < length:
        body += receive(caller)
    if not head.startswith(b"HTTP/1.1 200 ") or b'"status":"ok"' not in body:
        sys.exit(f"no good answer: {head.decode()}\n\n{body.decode()}")


def receive(caller):
    received = caller.recv(1 << 20)
    if not received:
        sys.exit("fanoutd closed the connection of a caller")
    return received


def ask_once(caller, upstreams, threads):
    """One caller asks; then every upstream answers, one at a time."""
    threads.wait_for_sleep()
    caller.sendall(REQUEST)
    for connection in upstreams.gather():
        before = threads.wait_for_sleep()
        connection.sendall(ANSWER)
        threads.wait_for_sleep(before)
    read_reply(caller)


def ask(process, port, upstreams, workers, times):
    """Asks fanoutd that many times, each of its workers."""
    with contextlib.closing(Threads(process)) as threads:
        callers = connect_to_each_worker(port, workers, threads)
        for _ in range(times):
            for caller in callers:
                ask_once(caller, upstreams, threads)
        for caller in callers:
            caller.close()
        threads.wait_for_sleep()
