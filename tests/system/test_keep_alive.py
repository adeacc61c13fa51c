"""Connections are kept on both sides, and a kept one that has died does no harm."""

import time

import pytest

from fanoutd_process import section
from http_wire import wait_until
from scripted_upstream import answer, in_turn, json_body


def test_a_caller_asks_again_on_the_same_connection(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()

    for _ in range(20):
        answer_seen = caller.ask("GET", "/fetch-multiple")
        assert answer_seen.status == 200 and answer_seen.headers.get("Connection") != "close"


def test_connection_close_is_honoured(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()

    assert caller.ask("GET", "/fetch-multiple", {"Connection": "close"}).status == 200
    assert caller.reads_end()


def test_http_1_0_is_answered_and_closed(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    caller = server.connect()
    caller.send(b"GET /livez HTTP/1.0\r\nHost: a\r\n\r\n")

    seen = caller.reader.to_the_end()
    assert b" 200 " in seen.split(b"\r\n")[0]


def test_one_connection_to_the_upstream_serves_many_fetches(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one), workers=1)

    for _ in range(20):
        assert server.get().outcomes == {"a": "ok"}
    assert one.connections == 1


def test_as_many_connections_as_fetches_at_once(fanoutd, upstream):
    one = upstream()
    server = fanoutd(*[section(f"u{n}", f"{one.url}/{n}") for n in range(5)], workers=1)

    for _ in range(10):
        assert set(server.get().outcomes.values()) == {"ok"}
    assert one.connections <= 5


def test_the_upstream_may_close_each_time(fanoutd, upstream):
    one = upstream(answer(200, b"{}", "application/json", [("Connection", "close")]))
    server = fanoutd(section("a", one), workers=1)

    for _ in range(5):
        assert server.get().outcomes == {"a": "ok"}
    assert one.connections == 5


def test_a_kept_connection_that_the_upstream_closed_is_replaced(fanoutd, upstream):
    def answer_and_close(exchange):
        exchange.answer(200, b"{}", "application/json")
        exchange.close()

    one = upstream(answer_and_close)
    server = fanoutd(section("a", one), workers=1)

    for _ in range(5):
        assert server.get().outcomes == {"a": "ok"}
        one.wait_until(lambda _: one.open_connections == 0)


def test_an_upstream_that_was_restarted_is_found_again(fanoutd, upstream):
    first = upstream()
    server = fanoutd(section("a", first), workers=1)
    assert server.get().outcomes == {"a": "ok"}
    first.close()
    wait_until(lambda: first.open_connections == 0, "the first one is gone")
    upstream.made.remove(first)
    assert server.get().outcomes == {"a": "connect_refused"}

    second = upstream(port=first.port)

    assert server.get().outcomes == {"a": "ok"} and len(second.requests) == 1


def methods_by_connection(one):
    by_connection = {}
    for seen in one.requests:
        by_connection.setdefault(seen.connection, []).append(seen.method)
    return list(by_connection.values())


def ask_three_times(fanoutd, one, **settings):
    allowed = {"allow_methods": ["GET", "POST"], "allow_body": True}
    server = fanoutd(section("a", one, **allowed, **settings), workers=1)
    post = {"requests": [{"upstream": "a", "method": "POST", "body": {}}]}
    for _ in range(3):
        assert server.get().status == 200
        assert server.post(post).status == 200


def test_every_method_rides_on_a_kept_connection(fanoutd, upstream):
    one = upstream()
    ask_three_times(fanoutd, one)
    assert methods_by_connection(one) == [["GET", "POST"] * 3]


def test_libcurl_gets_a_fresh_connection_for_what_it_must_not_send_again(fanoutd, upstream):
    one = upstream()
    ask_three_times(fanoutd, one, transport="curl")
    assert all("POST" not in methods[1:] for methods in methods_by_connection(one))


def test_a_post_on_which_the_upstream_closes_is_not_sent_again(fanoutd, upstream):
    one = upstream(in_turn(json_body(), lambda exchange: exchange.close()))
    server = fanoutd(section("a", one, allow_methods=["GET", "POST"], allow_body=True), workers=1)
    assert server.get().outcomes == {"a": "ok"}

    answer_seen = server.post({"requests": [{"upstream": "a", "method": "POST", "body": {}}]})

    assert answer_seen.outcomes == {"a": "reset"}
    assert [seen.method for seen in one.requests] == ["GET", "POST"]


def test_a_connection_idle_for_too_long_is_not_used_again(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("a", one, idle_timeout="1s"), workers=1)
    server.get()
    server.get()
    assert one.connections == 1
    last = time.monotonic()
    wait_until(lambda: time.monotonic() > last + 2.2, "it was idle for longer")

    assert server.get().outcomes == {"a": "ok"}
    assert one.connections == 2


@pytest.mark.parametrize("body", [b"", b'{"left":"over"}'])
def test_bytes_that_nobody_asked_for_do_not_become_the_next_answer(fanoutd, upstream, body):
    stray = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"stray"'

    def behave(exchange):
        if len(one.requests) == 1:
            exchange.finish(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body + stray
            )
        else:
            exchange.answer(200, b'"right"', "application/json")

    one = upstream(behave)
    server = fanoutd(section("a", one), workers=1)
    server.get()

    assert server.get().results[0]["body"] == "right"


def test_each_fetch_gets_its_own_answer_however_connections_are_shared(fanoutd, upstream):
    one = upstream(lambda exchange: exchange.answer(200, f'"{exchange.request.path}"', "text/json"))
    server = fanoutd(section("a", one, allow_path=True), workers=2, max_in_flight=4)
    callers = [
        server.start_post(
            {
                "requests": [
                    {"id": f"/{c}/{n}", "upstream": "a", "path": f"/{c}/{n}"} for n in range(9)
                ]
            }
        )
        for c in range(12)
    ]
    for caller in callers:
        for result in caller.read_answer().results:
            assert result["body"] == result["id"]
