"""A DNS server over UDP whose answers a test decides (RFC 1035): A, AAAA and SRV."""

import collections
import ipaddress
import os
import select
import socket
import struct
import threading

from http_wire import WAIT_SECONDS

TYPE_A, TYPE_AAAA, TYPE_SRV = 1, 28, 33
NO_ERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
WITHHELD = -1

# Of the root, "", as the host: there is no such service (RFC 2782).
Service = collections.namedtuple("Service", "priority weight port host")


class DnsServer:
    """names: {"users.test": ["127.0.0.1", Service(…), …] or SERVFAIL, NXDOMAIN, REFUSED, WITHHELD}.
    A name that is not in it does not exist."""

    def __init__(self, ttl=1):
        self.names = {}
        self.ttl = ttl
        self.changed = threading.Condition()
        self.queries = []  # (name, type)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def asked(self, name):
        """How often the addresses of a name were asked for."""
        return sum(1 for asked, kind in list(self.queries) if asked == name and kind == TYPE_A)

    def wait_until_asked(self, name, times=1):
        with self.changed:
            assert self.changed.wait_for(lambda: self.asked(name) >= times, WAIT_SECONDS), (
                f"{name} was not asked for {times} times: {self.queries}"
            )

    def close(self):
        os.eventfd_write(self.stop_fd, 1)
        self.thread.join()
        self.sock.close()
        os.close(self.stop_fd)

    def _serve(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self.stop_fd, select.POLLIN)
        while self.stop_fd not in dict(poll.poll()):
            query, sender = self.sock.recvfrom(4096)
            answer = self._answer(query)
            if answer is not None:
                self.sock.sendto(answer, sender)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        (kind,) = struct.unpack_from("!H", query, at + 1)
        question = query[12 : at + 5]
        name = ".".join(labels)
        with self.changed:
            self.queries.append((name, kind))
            self.changed.notify_all()
        found = self.names.get(name, NXDOMAIN)
        if found == WITHHELD:
            return None
        code, addresses = (found, []) if isinstance(found, int) else (NO_ERROR, found)
        records = [self._record(one) for one in addresses if kind == type_of(one)]
        flags = 0x8180 | code
        return (
            query[:2]
            + struct.pack("!5H", flags, 1, len(records), 0, 0)
            + question
            + b"".join(records)
        )

    def _record(self, one):
        data = data_of(one)
        return struct.pack("!HHHIH", 0xC00C, type_of(one), 1, self.ttl, len(data)) + data


def type_of(one):
    if isinstance(one, Service):
        return TYPE_SRV
    return TYPE_AAAA if ":" in one else TYPE_A


def data_of(one):
    if not isinstance(one, Service):
        return ipaddress.ip_address(one).packed
    labels = [label.encode() for label in one.host.split(".") if label] + [b""]
    name = b"".join(bytes([len(label)]) + label for label in labels)
    return struct.pack("!HHH", one.priority, one.weight, one.port) + name
