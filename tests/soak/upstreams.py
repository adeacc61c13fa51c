"""The upstreams of the soak test: one for each thing that an upstream does, right or wrong."""

import threading

from scripted_upstream import (
    Upstream,
    closing,
    delayed,
    json_body,
    raw,
    reset_after,
    resetting,
    silence,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
LARGE = b'"' + b"x" * 200 * 1024 + b'"'


class Forgetful(list):
    """For an upstream that runs for hours: keeps the newest entries."""

    def append(self, item):
        super().append(item)
        if len(self) > 200:
            del self[:100]


class SoakUpstream(Upstream):
    def __init__(self, behaviour):
        super().__init__(behaviour)
        self.requests = Forgetful()
        self.history = Forgetful()

    def _spawn(self, target, *arguments):
        if hasattr(self, "threads"):
            self.threads = [thread for thread in self.threads if thread.is_alive()]
        return super()._spawn(target, *arguments)


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


def answer_then_close(exchange):
    """Says nothing of it, so that a kept connection turns out to be dead."""
    json_body('{"n":1}')(exchange)
    exchange.close()


def all_behaviours():
    return {
        "small": json_body('{"n":9007199254740993}'),
        "large": json_body(LARGE),
        "slow": alternating(delayed(0.02), delayed(0.1), delayed(0.3), silence),
        "resetting": alternating(resetting, reset_after(HEAD + b"half"), json_body()),
        "broken": alternating(json_body("[1,"), raw(b"garbage\r\n\r\n"), raw(HEAD + b"half")),
        "closing": alternating(answer_then_close, answer_then_close, closing),
    }
