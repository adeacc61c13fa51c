"""GET: which upstreams, how long, how many must answer, in what shape."""

import pytest

from fanoutd_process import endpoint, section
from scripted_upstream import silence


@pytest.fixture
def server(fanoutd, upstream):
    return fanoutd(
        section("users", upstream()),
        section("orders", upstream()),
        section("weather", upstream()),
        section("quiet", upstream(silence), timeout="20s"),
        endpoint("/fetch-multiple", upstreams=["users", "orders", "weather", "quiet"]),
        endpoint("/home", upstreams=["weather", "users"]),
        deadline="20s",
    )


@pytest.mark.parametrize("names", ["users", "weather,users", "orders,weather,users"])
def test_a_subset_in_the_order_asked(server, names):
    answer = server.get(f"/fetch-multiple?upstreams={names}")

    assert list(answer.outcomes) == names.split(",")


def test_an_endpoint_asks_its_own_list_in_its_own_order(server):
    assert list(server.get("/home").outcomes) == ["weather", "users"]


def test_without_an_endpoint_section_every_upstream_is_asked_in_the_order_of_the_file(
    fanoutd, upstream
):
    server = fanoutd(section("z", upstream()), section("a", upstream()), section("m", upstream()))

    assert list(server.get("/fetch-multiple").outcomes) == ["z", "a", "m"]


def test_percent_encoding_and_plus_in_the_query_are_understood(server):
    assert list(server.get("/fetch-multiple?upstreams=users%2Cweather").outcomes) == [
        "users",
        "weather",
    ]


def test_the_timeout_lowers_the_deadline(server):
    answer = server.get("/fetch-multiple?upstreams=users,quiet&timeout=200ms")

    assert answer.outcomes == {"users": "ok", "quiet": "deadline_exceeded"}
    assert answer.status == 200


def test_the_timeout_never_raises_the_deadline(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), timeout="60s"), deadline="150ms")

    assert server.get("/fetch-multiple?timeout=1m").outcomes == {"quiet": "deadline_exceeded"}


@pytest.mark.parametrize("timeout", ["250000us", "250ms", "1s", "1m"])
def test_units_of_the_timeout(server, timeout):
    assert server.get(f"/fetch-multiple?upstreams=users&timeout={timeout}").status == 200


@pytest.mark.parametrize(
    "query, parameter, hint",
    [
        ("upstreams=user", "upstreams", "users"),
        ("upstreams=users,ordres", "upstreams", "orders"),
        ("upstreams=users,users", "upstreams", "users"),
        ("upstreams=", "upstreams", ""),
        ("upstreams=users,,orders", "upstreams", ""),
        ("timeout=fast", "timeout", ""),
        ("timeout=800", "timeout", ""),
        ("timeout=0ms", "timeout", ""),
        ("timeout=-1s", "timeout", ""),
        ("timeout=", "timeout", ""),
        ("require=some", "require", "any"),
        ("require=0", "require", ""),
        ("require=-1", "require", ""),
        ("upstreams=users&require=2", "require", ""),
        ("require=99999999999999999999", "require", ""),
        ("shape=lst", "shape", "list"),
        ("shape=", "shape", ""),
        ("timout=1s", "timout", "timeout"),
        ("Upstreams=users", "Upstreams", "upstreams"),
        ("shape=list&shape=map", "shape", ""),
    ],
)
def test_a_wrong_query_is_refused_at_the_exact_parameter(server, query, parameter, hint):
    answer = server.get(f"/fetch-multiple?{query}")

    assert answer.status == 400
    assert answer.problem["parameter"] == parameter
    assert hint in answer.problem["detail"]


@pytest.mark.parametrize(
    "query, meant",
    [("upstreams=user", "users"), ("upstreams=wether", "weather"), ("timout=1s", "timeout")],
)
def test_a_near_miss_is_told_what_would_have_been_right(server, query, meant):
    detail = server.get(f"/fetch-multiple?{query}").problem["detail"]

    assert "did you mean" in detail and meant in detail


def test_an_upstream_of_another_endpoint_is_not_asked_by_name(server):
    answer = server.get("/home?upstreams=orders")

    assert answer.status == 400 and answer.problem["parameter"] == "upstreams"


def test_a_refused_query_reaches_no_upstream(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("users", one))

    assert server.get("/fetch-multiple?upstreams=users,nobody").status == 400
    assert one.requests == []
