"""Large JSON bodies are sent from where they were received: in order, whole, once, and let go of."""

import random
import socket

import pytest

from fanoutd_process import sanitizer, section
from http_wire import Connection, check_document, request_bytes, wait_until
from scripted_upstream import answer, by_path, json_body, text_body

LEAST = 32 << 10  # of a body that is not copied


def json_text(length, mark):
    """A JSON string of that many bytes."""
    return (b'"%s' % mark.encode()).ljust(length - 1, b"x") + b'"'


def small_window(server):
    """A connection whose kernel takes little for a reader that does not read."""
    caller = Connection.__new__(Connection)
    caller.sock = socket.socket()
    caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.sock.settimeout(20)
    caller.sock.connect(server.addresses[0])
    return caller


def read_slowly(caller, count):
    """In pieces of every size."""
    random.seed(count)
    data = b""
    while len(data) < count:
        more = caller.sock.recv(random.randrange(1, 30000))
        assert more
        data += more
    return data


def split_answers(data, count):
    """The bodies of that many answers, which are all there is."""
    bodies = []
    for _ in range(count):
        head, _, data = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        bodies.append(data[:length])
        data = data[length:]
    assert data == b""
    return bodies


def serve(fanoutd, upstream, bodies, **options):
    """fanoutd with an upstream for each body, which are JSON or what gives something else."""
    behaviours = {
        name: json_body(body) if isinstance(body, bytes) else body for name, body in bodies.items()
    }
    one = upstream(by_path(**behaviours))
    sections = [section(name, f"{one.url}/{name}", timeout="30s") for name in bodies]
    return fanoutd(*sections, deadline="30s", **options)


def check_bodies(whole, bodies):
    """Byte for byte, and in order."""
    at = 0
    for name, body in bodies.items():
        if isinstance(body, bytes):
            at = whole.index(b'{"id":"%s"' % name.encode(), at)
            at = whole.index(b'"body":', at) + len(b'"body":')
            assert whole[at:].startswith(body), name
            at += len(body)


MIXED = {
    "empty": answer(200, b""),
    "below": json_text(LEAST - 1, "below"),
    "least": json_text(LEAST, "least"),
    "above": json_text(LEAST + 1, "above"),
    "small": b"{}",
    "text": text_body("some text\n" * 1000),
    "large": json_text(300_000, "large"),
    "binary": answer(200, bytes(range(256)) * 30, "application/octet-stream"),
    "failed": json_body(json_text(2 * LEAST, "failed"), status=503),
    "broken": json_body(b"[" * 2 * LEAST),
    "last": json_text(70_000, "last"),
}


def mixed(fanoutd, upstream, **options):
    return serve(fanoutd, upstream, MIXED, **options)


@pytest.mark.parametrize("shape", ["list", "map"])
def test_bodies_of_all_sizes_and_kinds_stand_in_their_places(fanoutd, upstream, shape):
    whole = mixed(fanoutd, upstream).get(f"/fetch-multiple?shape={shape}")

    check_document(whole.document)
    check_bodies(whole.body, {name: body for name, body in MIXED.items() if name != "failed"})
    assert json_text(2 * LEAST, "failed") in whole.body
    assert whole.outcomes["failed"] == "http_status" and whole.outcomes["broken"] == "invalid_json"


def test_a_head_tells_the_length_and_sends_none_of_it(fanoutd, upstream):
    server = serve(fanoutd, upstream, {"a": json_text(100_000, "a")})
    caller = server.connect()

    head = caller.ask("HEAD", "/fetch-multiple")
    assert int(head.headers["Content-Length"]) > 100_000
    assert caller.ask("GET", "/livez").status == 200


@pytest.mark.parametrize("count", [30, 31, 40, 150])
def test_more_bodies_than_one_system_call_takes(fanoutd, upstream, count):
    bodies = {f"u{number}": json_text(LEAST + number, f"u{number}") for number in range(count)}
    whole = serve(fanoutd, upstream, bodies).get()

    assert whole.status == 200 and list(whole.outcomes) == list(bodies)
    check_bodies(whole.body, bodies)


def test_a_slow_reader_gets_every_byte_once(fanoutd, upstream):
    bodies = {f"u{number}": json_text(200_000, f"u{number}") for number in range(20)}
    server = serve(fanoutd, upstream, bodies)
    caller = small_window(server)
    caller.sock.sendall(request_bytes("GET", "/fetch-multiple"))
    server.wait_for_log(lambda line: line.event == "answer")

    got = read_slowly(caller, sum(map(len, bodies.values())))
    while not got.endswith(b'"errors":[]}\n'):
        got += caller.sock.recv(65536)
    (body,) = split_answers(got, 1)
    check_bodies(body, bodies)
    caller.sock.close()


def test_pipelined_answers_do_not_mix(fanoutd, upstream):
    server = mixed(fanoutd, upstream)
    caller = small_window(server)
    request = request_bytes("GET", "/fetch-multiple")
    last = request_bytes("GET", "/fetch-multiple", {"Connection": "close"})
    caller.sock.sendall(request * 3 + last)
    got = b""
    while more := caller.sock.recv(10_000):
        got += more

    for body in split_answers(got, 4):
        check_bodies(body, {name: one for name, one in MIXED.items() if name != "failed"})
    caller.sock.close()


def test_what_a_slow_reader_has_read_is_let_go_of(fanoutd, upstream):
    bodies = {f"u{number}": json_text(1_000_000, f"u{number}") for number in range(10)}
    server = serve(fanoutd, upstream, bodies)
    caller = small_window(server)
    caller.sock.sendall(request_bytes("GET", "/fetch-multiple"))
    server.wait_for_log(lambda line: line.event == "answer")
    held = server.upstreams()["memory_bytes"]
    assert held > 2_000_000  # beside what the kernel took
    read_slowly(caller, 2_500_000)

    wait_until(
        lambda: server.upstreams()["memory_bytes"] < held - 1_000_000, "what was read is let go of"
    )
    caller.sock.close()
    server.wait_for_state(memory_bytes=0)


def test_a_caller_that_leaves_amid_an_answer_costs_nothing_more(fanoutd, upstream):
    bodies = {f"u{number}": json_text(1_000_000, f"u{number}") for number in range(5)}
    server = serve(fanoutd, upstream, bodies)
    callers = [small_window(server) for _ in range(5)]
    for caller in callers:
        caller.sock.sendall(request_bytes("GET", "/fetch-multiple"))
    for caller in callers:
        read_slowly(caller, 1_200_000)
    assert server.upstreams()["memory_bytes"] > 0
    for caller in callers:
        caller.sock.close()

    server.wait_for_state(memory_bytes=0)
    assert server.get().status == 200


@pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer keeps what was freed")
def test_memory_goes_back_while_nothing_is_asked(fanoutd, upstream):
    bodies = {f"u{number}": json_text(4_000_000, f"u{number}") for number in range(10)}
    soon = {"MALLOC_CONF": "dirty_decay_ms:100"}
    server = serve(fanoutd, upstream, bodies, environment=soon)
    at_rest = server.memory_kib("VmRSS")
    assert len(server.get().body) > 40_000_000

    wait_until(
        lambda: server.memory_kib("VmRSS") < at_rest + 10_000,
        lambda: f"{server.memory_kib('VmRSS')} KiB are as few as before, {at_rest}",
    )
