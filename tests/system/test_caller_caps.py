"""What callers may have of everything is bounded, and going over it is told politely."""

import subprocess

from fanoutd_process import section
from http_wire import PeerLeft, post_bytes, request_bytes, wait_until
from scripted_upstream import gated, json_body


def is_answered(server):
    """Whether a new caller is let in and answered."""
    caller = server.connect()
    try:
        return caller.ask("GET", "/livez").status == 200
    except (PeerLeft, OSError):
        return False
    finally:
        caller.close()


def test_more_connections_than_allowed_are_refused_and_room_comes_back(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), max_connections=3, workers=2)
    kept = [server.connect() for _ in range(3)]
    for one in kept:
        assert one.ask("GET", "/livez").status == 200
    refused = server.connect().read_answer()
    assert refused.status == 503 and "connections" in refused.problem["detail"]
    for one in kept:
        one.close()

    wait_until(lambda: is_answered(server), "there is room again")


def test_one_address_has_a_cap_of_its_own(fanoutd, upstream):
    server = fanoutd(
        section("a", upstream()),
        listen='{ "127.0.0.1:0", "[::1]:0" }',
        max_connections_per_client=1,
    )
    first = server.connect(server.addresses[0])
    assert first.ask("GET", "/livez").status == 200
    assert server.connect(server.addresses[0]).read_answer().status == 503
    other = server.connect(server.addresses[1])
    assert other.ask("GET", "/livez").status == 200
    first.close()
    other.close()


def test_more_pipelined_requests_than_allowed(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held, json_body("1")))
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s", max_pipelined=4)
    caller = server.connect()
    caller.send(request_bytes("GET", "/fetch-multiple"))
    one.wait_for_in_flight(1)
    caller.send(request_bytes("GET", "/fetch-multiple") * 4)
    held.open()
    answers = [caller.read_answer() for _ in range(6)]
    assert [each.status for each in answers] == [200] * 5 + [400]
    assert "wait for their answers" in answers[-1].problem["detail"]
    assert caller.reads_end()


def test_header_limits_are_options(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), max_target=100, max_header=500, max_header_count=5)
    assert server.get("/" + "a" * 99).status == 404
    assert server.get("/" + "a" * 100).status == 414
    many = [(f"X-{n}", "1") for n in range(6)]
    assert server.get("/livez", many[:4]).status == 200
    assert server.get("/livez", many).status == 431
    assert server.get("/livez", {"X": "a" * 400}).status == 200
    assert server.get("/livez", {"X": "a" * 600}).status == 431


def test_running_out_of_descriptors_pauses_and_goes_on(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), workers=1)
    kept = server.connect()
    assert kept.ask("GET", "/fetch-multiple").status == 200
    present = server.fd_count()
    subprocess.run(
        ["prlimit", f"--nofile={present + 4}:"]
        + ["--pid", str(server.process.pid)],
        check=True,
    )
    crowd = [server.connect() for _ in range(8)]
    server.wait_for_log(lambda line: line.event == "accept_failed")
    assert kept.ask("GET", "/livez").status == 200
    for one in crowd:
        one.close()

    wait_until(lambda: is_answered(server), "it accepts again")
    lines = [line for line in server.log if line.event == "accept_failed"]
    assert len(lines) < 100, "the log is flooded"


def answer_with_little_memory(fanoutd, upstream, held, content_type):
    """Upstreams send 600 KB each and then hold back the end: three do not fit into 1 MiB."""
    piece = b'"' + b"x" * 600_000

    def behaviour(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n" % content_type)
        exchange.send(b"Content-Length: %d\r\n\r\n" % (len(piece) + 1) + piece)
        exchange.wait(held)
        exchange.finish(b'"')

    one = upstream(behaviour)
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s", max_memory="1m")
    document = {"requests": [{"id": f"r{n}", "upstream": "a"} for n in range(3)]}
    caller = server.connect()
    caller.send(post_bytes(document))
    wait_until(
        lambda: server.upstream("a")["outcomes"].get("queue_full", 0) == 2, "two are refused"
    )
    held.open()
    answer = caller.read_answer()
    server.wait_for_state(memory_bytes=0)
    assert server.get("/livez").status == 200
    return answer


def test_answers_held_in_memory_are_bounded_in_all(fanoutd, upstream, gate):
    answer = answer_with_little_memory(fanoutd, upstream, gate(), b"application/json")

    assert answer.status == 200
    assert sorted(answer.outcomes.values()) == ["ok", "queue_full", "queue_full"]
    assert [one["body"] for one in answer.results if one["ok"]] == ["x" * 600_000]


def test_what_is_to_be_written_anew_counts_beside_what_is_held(fanoutd, upstream, gate):
    answer = answer_with_little_memory(fanoutd, upstream, gate(), b"text/plain")

    assert answer.status == 503 and answer.headers["Retry-After"] == "1"
    assert "max_memory" in answer.problem["detail"]


def test_ids_and_nesting_have_limits(fanoutd, upstream):
    server = fanoutd(
        section("a", upstream(), allow_body="true"), max_id=8, max_request_depth=5
    )
    assert server.post({"requests": [{"upstream": "a", "id": "x" * 8}]}).status == 200
    refused = server.post({"requests": [{"upstream": "a", "id": "x" * 9}]})
    assert refused.status == 400 and refused.problem["pointer"] == "/requests/0/id"
    assert "max_id" in refused.problem["detail"]
    deep = server.post({"requests": [{"upstream": "a", "body": [[[1]]]}]})
    assert deep.status == 400 and "nested deeper" in deep.problem["detail"]
