"""Each allocation fails once: the service works on, refuses politely, or ends with one line.

Never a crash, a hang or a wrong answer. All those of a request are tried. Of
those at the start, FANOUTD_EVERY_ALLOCATION=1 tries all, which takes minutes; otherwise
the first ones and then a sample.
"""

import base64
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess

import pytest

import fanoutd_process
from fanoutd_process import SANITIZER_REPORT, Fanoutd, resolver, section
from http_wire import PeerLeft, check_document, results_of, wait_until
from scripted_upstream import answer, by_path, json_body, text_body

LAST_WORDS = "fanoutd: out of memory"
NEVER = 1 << 40
EVERY = os.environ.get("FANOUTD_EVERY_ALLOCATION") == "1"
HERE = pathlib.Path(__file__).resolve().parent

BINARY_BODY = bytes(range(256)) * 8
JSON_BODY = '{"orders":[9007199254740993,1e400,"\\u0000"]}'
LARGE_BODY = ["not copied"] * 4000
BODIES = {
    "json": lambda one: one["body"] == {"orders": [9007199254740993, float("inf"), "\0"]},
    "large": lambda one: one["body"] == LARGE_BODY,
    "text": lambda one: one["body"] == "Grüße\n" * 40,
    "binary": lambda one: base64.b64decode(one["body"]) == BINARY_BODY,
    "named": lambda one: one["body"] == {},
    "fresh": lambda one: one["body"] == {},
}


class FailingMalloc:
    """The allocator to preload, and what tells it which allocation fails."""

    def __init__(self, directory):
        self.library = directory / "failing_malloc.so"
        self.control = directory / "control"
        self.control.write_bytes(bytes(16))
        with self.control.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 16)
        subprocess.run(
            ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-fPIC", "-shared", "-o", self.library]
            + [HERE / "failing_malloc.c"],
            check=True,
        )

    @property
    def environment(self):
        options = os.environ.get("ASAN_OPTIONS", "")
        return {
            "LD_PRELOAD": str(self.library),
            "FAILING_MALLOC": str(self.control),
            "MALLOC_CONF": "junk:true",  # what was freed or not set shows
            "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0",
        }

    @property
    def environment_at_start(self):
        """A library whose own start failed half way goes on without what it had taken."""
        environment = self.environment
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"
        return environment

    def fail_at(self, number):
        """The number-th allocation from now on; 0: none, and none is counted."""
        struct.pack_into("q", self.shared, 0, 0)
        struct.pack_into("q", self.shared, 8, 0)
        struct.pack_into("q", self.shared, 0, number)

    @property
    def count(self):
        return struct.unpack_from("q", self.shared, 8)[0]


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    hook = FailingMalloc(tmp_path_factory.mktemp("failing_malloc"))
    hook.fail_at(NEVER)
    subprocess.run(
        [fanoutd_process.BINARY, "--help"],
        env={**os.environ, **hook.environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    if hook.count == 0:
        pytest.skip("this build brings an allocator of its own")
    return hook


def sample(count, most):
    """All numbers up to count, or the first ones and then as many as to have `most`."""
    first = most // 3
    if EVERY or count <= most:
        return range(1, count + 1)
    stride = -(-(count - first) // (most - first))
    return [*range(1, first + 1), *range(first + 1, count + 1, stride)]


# How libConfuse ends a program that has no memory.
LIBRARY_ENDS = re.compile(r"out of dynamic memory in yy|Parse error in default|Assertion `cfg_")


def how_it_ended(server):
    """None if it ended as it may, or what was wrong."""
    code = server.wait_for_exit()
    lines = [line.text for line in server.log]
    if any(SANITIZER_REPORT.search(line) for line in lines):
        return "\n".join(lines)
    if code == -signal.SIGABRT and LAST_WORDS in lines:
        return None
    if code in (2, -signal.SIGABRT) and any(LIBRARY_ENDS.search(line) for line in lines):
        return None
    return f"exit code {code}: {lines[-3:]}"


class Service:
    """A fanoutd that is started again whenever it has ended."""

    def __init__(self, config, failing):
        self.config, self.failing = config, failing
        self.server = None

    def get(self):
        if self.server is None:
            self.failing.fail_at(0)
            self.server = Fanoutd(self.config, self.failing.environment)
            self.server.wait_until_ready()
            self.server.get("/livez")  # its thread is past a sanitizer's part of its start
        return self.server

    def has_ended(self):
        """None while it runs; else what was wrong with its end, or an empty text."""
        if self.server.is_running() and not any(x.text == LAST_WORDS for x in self.server.log):
            return None
        wrong = how_it_ended(self.server)
        self.drop()
        return wrong or ""

    def drop(self):
        if self.server is not None:
            self.server.kill()
        self.server = None

    def end(self, upstreams):
        server = self.get()
        self.failing.fail_at(0)
        try:
            server.check_end(upstreams)
        finally:
            self.drop()


def check_answer(got):
    if got.status >= 500 and got.headers.get("Content-Type") != "application/json":
        return
    assert got.headers.get("Content-Type") == "application/json", got
    document = got.json()
    check_document(document)
    for one in results_of(document):
        assert not one["ok"] or BODIES[one["id"]](one), one


def try_once(service, failing, ask, number):
    """One request in which one allocation fails. What was wrong, or None."""
    server = service.get()
    failing.fail_at(number)
    try:
        check_answer(ask(server))
    except (PeerLeft, ConnectionError):
        pass
    except (AssertionError, ValueError, KeyError, OSError) as error:
        failing.fail_at(0)
        return service.has_ended() or f"{type(error).__name__}: {error}"
    finally:
        failing.fail_at(0)
    try:
        wait_until(lambda: set(ask(server).outcomes.values()) == {"ok"}, "all is well again", 5)
    except (PeerLeft, OSError):
        wait_until(lambda: not server.is_running(), "it ends", 5)
    except (AssertionError, ValueError, KeyError) as error:
        return service.has_ended() or f"not well after it: {error}"
    return service.has_ended() or None


def get_all(server):
    return server.get("/fetch-multiple?upstreams=json,large,text,binary")


def post_all(server):
    requests = [
        {"upstream": "json", "path": "/json", "method": "POST", "body": {"a": [1, "é"]}},
        {"upstream": "text", "query": {"q": "a b"}, "headers": {"X-A": "b"}},
    ]
    return server.post({"requests": requests, "timeout_ms": 900, "require": "all"})


def get_named(server):
    return server.get("/fetch-multiple?upstreams=named")


def get_fresh(server):
    return server.get("/fetch-multiple?upstreams=fresh&shape=map")


def close_after(exchange):
    exchange.answer(200, "{}", "application/json", [("Connection", "close")])
    exchange.close()


def write_config(config_file, one):
    short = {"timeout": "800ms"}
    caller = {"allow_path": True, "allow_query": True, "allow_body": True}
    methods = {"allow_methods": ["GET", "POST"], "forward_headers": ["X-A"]}
    return config_file(
        resolver(min_ttl="1us", max_ttl="1us", stale="0s", failure_ttl="1us"),
        section("json", f"{one.url}/json", **short, **caller, **methods),
        section("large", f"{one.url}/large", **short),
        section("text", f"{one.url}/text", **short, **caller, **methods),
        section("binary", f"{one.url}/binary", **short),
        section("fresh", f"{one.url}/fresh", **short),
        section("named", f"http://localhost:{one.port}/named", **short),
        workers=1,
        deadline="1s",
    )


@pytest.fixture
def config(config_file, upstream):
    one = upstream(
        by_path(
            json=json_body(JSON_BODY),
            large=json_body(json.dumps(LARGE_BODY)),
            text=text_body("Grüße\n" * 40, "text/plain; charset=utf-8"),
            binary=answer(200, BINARY_BODY, "application/octet-stream"),
            named=json_body(),
            fresh=close_after,
        )
    )
    return write_config(config_file, one)


@pytest.mark.parametrize("ask", [get_all, post_all, get_named, get_fresh])
def test_in_a_request_any_allocation_may_fail(config, failing, upstream, ask):
    service = Service(config, failing)
    try:
        for _ in range(3):
            assert set(ask(service.get()).outcomes.values()) == {"ok"}
        failing.fail_at(NEVER)
        ask(service.get())
        count = failing.count
        findings = {}
        for number in range(1, count + 1):
            wrong = try_once(service, failing, ask, number)
            if wrong:
                findings[number] = wrong
                service.drop()
        assert not findings, f"of {count}: {findings}"
        service.end(upstream.made)
    finally:
        service.drop()


def start_with_failure(config, failing, number):
    """What was wrong, or None."""
    failing.fail_at(number)
    server = Fanoutd(config, failing.environment_at_start)
    try:
        wait_until(
            lambda: any(line.event == "ready" for line in server.log) or not server.is_running(),
            "it serves or ends",
        )
        failing.fail_at(0)
        if server.is_running() and not any(line.text == LAST_WORDS for line in server.log):
            server.wait_until_ready()
            assert set(get_fresh(server).outcomes.values()) <= {"ok", "internal"}
            return None if server.stop() == 0 else f"stopped: {server.log}"
        wrong = how_it_ended(server)
        return wrong if server.process.returncode != 1 or not server.log else None
    except (AssertionError, PeerLeft, OSError) as error:
        return f"{type(error).__name__}: {error} {server.process.poll()} {server.log[-2:]}"
    finally:
        server.kill()


def test_at_the_start_any_allocation_may_fail(config, failing):
    failing.fail_at(NEVER)
    server = Fanoutd(config, failing.environment)
    server.wait_until_ready()
    count = failing.count
    server.kill()

    numbers = sample(count, 60)
    wrong = {number: start_with_failure(config, failing, number) for number in numbers}

    findings = {number: text for number, text in wrong.items() if text}
    assert not findings, f"of {count}: {findings}"
