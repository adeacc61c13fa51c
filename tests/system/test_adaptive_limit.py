"""The adaptive limit: it rises while that costs the upstream nothing, and falls when it is too much."""

import pytest

from fanoutd_process import section
from http_wire import WAIT_SECONDS, wait_until
from scripted_upstream import answer, delayed, json_body

LEAST, MOST = 4, 40
UNHURRIED = delayed(0.02)  # however much is asked at once
BURST = {"requests": [{"id": f"n{number}", "upstream": "users"} for number in range(MOST)]}


@pytest.fixture
def serve(fanoutd, upstream):
    def make(behaviour, **settings):
        one = upstream(behaviour)
        limits = {"min_in_flight": LEAST, "max_in_flight": MOST, **settings}
        server = fanoutd(section("users", one, timeout="60s", **limits), workers=1, deadline="60s")
        return one, server

    return make


def limit(server):
    return server.upstream("users")["max_in_flight"]


def busy_until(server, condition, what):
    """Asks for more than the limit allows at once, again and again."""

    def ask_and_look():
        server.post(BURST)
        return condition()

    wait_until(ask_and_look, what, 3 * WAIT_SECONDS)


def test_it_begins_at_its_least(serve):
    one, server = serve(json_body())

    assert limit(server) == LEAST
    server.post(BURST)
    assert one.peak <= limit(server) <= MOST


def test_it_rises_where_it_is_used_up(serve):
    _, server = serve(UNHURRIED)

    busy_until(server, lambda: limit(server) > 2 * LEAST, "the limit has doubled")
    assert server.upstream("users")["baseline_ms"] > 0


def test_it_falls_where_the_upstream_says_that_it_is_too_much(serve):
    healthy = [True]
    bad = answer(503)
    _, server = serve(lambda exchange: (UNHURRIED if healthy[0] else bad)(exchange))
    busy_until(server, lambda: limit(server) > 2 * LEAST, "the limit has doubled")
    healthy[0] = False

    busy_until(server, lambda: limit(server) == LEAST, "it is at its least again")


def test_nobody_is_beyond_it(serve):
    one, server = serve(json_body())
    for _ in range(20):
        server.post(BURST)

    assert one.peak <= MOST
    assert server.upstream("users")["in_flight"] == 0


def test_without_a_least_it_is_fixed(serve):
    _, server = serve(json_body(), min_in_flight="none")
    server.post(BURST)

    assert limit(server) == MOST
    assert "baseline_ms" not in server.upstream("users")
