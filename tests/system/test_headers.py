"""What is sent to upstreams, what is passed on from the caller, and what never is."""

import re

import pytest

from fanoutd_process import section
from scripted_upstream import answer


@pytest.fixture
def one(upstream):
    return upstream()


def fetch(fanoutd, one, headers=(), **settings):
    """The request that reached the upstream for a GET with these headers."""
    server = fanoutd(section("a", one, **settings))
    assert server.get(headers=headers).outcomes == {"a": "ok"}
    return one.requests[-1]


def test_a_plain_fetch_sends_little(fanoutd, one):
    seen = fetch(fanoutd, one)

    assert (seen.method, seen.target, seen.version) == ("GET", "/", "HTTP/1.1")
    assert seen.headers["Host"] == one.authority
    assert "Expect" not in seen.headers and "Content-Length" not in seen.headers
    assert seen.headers["User-Agent"].startswith("fanoutd/")
    names = {name.lower() for name, _ in seen.headers.fields}
    known = {"host", "user-agent", "accept", "accept-encoding"}
    known |= {"x-request-id", "x-request-deadline-ms"}
    assert names <= known | {"traceparent", "tracestate"}, names


def test_fixed_headers_of_the_configuration(fanoutd, one):
    seen = fetch(fanoutd, one, header=["X-Api-Key: k e y", "Accept: application/json", "X-Empty:"])

    assert seen.headers["X-Api-Key"] == "k e y"
    assert seen.headers.get_all("Accept") == ["application/json"]
    assert seen.headers["X-Empty"] == ""


def test_a_value_from_the_environment(fanoutd, one):
    server = fanoutd(
        section("a", one, header=["X-Api-Key: ${USERS_KEY}"]), environment={"USERS_KEY": "s3cret"}
    )
    server.get()

    assert one.requests[0].headers["X-Api-Key"] == "s3cret"


def test_headers_of_the_caller_are_not_passed_on_unless_the_configuration_says_so(fanoutd, one):
    seen = fetch(
        fanoutd,
        one,
        {
            "Cookie": "session=1",
            "Authorization": "Bearer t",
            "X-Other": "1",
            "Accept-Language": "de",
        },
        forward_headers=["accept-language"],
    )

    assert seen.headers["Accept-Language"] == "de"
    assert not {"Cookie", "Authorization", "X-Other"} & {name for name, _ in seen.headers.fields}


def test_forwarded_headers_go_to_the_upstreams_that_want_them_only(fanoutd, upstream):
    trusted, other = upstream(), upstream()
    server = fanoutd(
        section("trusted", trusted, forward_headers=["Authorization"]), section("other", other)
    )
    server.get(headers={"Authorization": "Bearer t"})

    assert trusted.requests[0].headers["Authorization"] == "Bearer t"
    assert "Authorization" not in other.requests[0].headers


def test_a_header_of_the_document_comes_before_that_of_the_request(fanoutd, one):
    server = fanoutd(section("a", one, forward_headers=["X-A"]))
    answer = server.post(
        {"requests": [{"upstream": "a", "headers": {"X-A": "of the document"}}]},
        headers={"X-A": "of the request"},
    )
    assert answer.status == 200
    assert one.requests[0].headers.get_all("X-A") == ["of the document"]


def test_a_forwarded_header_that_is_fixed_as_well_comes_once(fanoutd, one):
    seen = fetch(fanoutd, one, {"X-A": "caller"}, header=["X-A: fixed"], forward_headers=["X-A"])

    assert len(seen.headers.get_all("X-A")) == 1


HOP_BY_HOP = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Host",
    "Content-Length",
    "Expect",
]


@pytest.mark.parametrize("name", ["Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "Upgrade"])
def test_hop_by_hop_headers_of_the_caller_end_here(fanoutd, one, name):
    seen = fetch(fanoutd, one, {name: "trailers"})

    assert name not in seen.headers


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_hop_by_hop_headers_are_refused_in_a_document(fanoutd, one, name):
    server = fanoutd(section("a", one, forward_headers=["X-A"]))

    answer = server.post({"requests": [{"upstream": "a", "headers": {name: "1"}}]})

    assert answer.status == 400 and answer.problem["pointer"] == f"/requests/0/headers/{name}"
    assert one.requests == []


@pytest.mark.parametrize(
    "value", ["b\r\nX-Injected: 1", "b\nc", "b\rc", "b\u0000c", "\u0001", "\u007f"]
)
def test_control_bytes_in_a_header_are_refused(fanoutd, one, value):
    server = fanoutd(section("a", one, forward_headers=["X-A"]))

    answer = server.post({"requests": [{"upstream": "a", "headers": {"X-A": value}}]})

    assert answer.status == 400 and answer.problem["pointer"] == "/requests/0/headers/X-A"
    assert one.requests == []


@pytest.mark.parametrize("name", ["X-A\r\nX-Injected", "X A", "X-A:", "", "X-\u00e9"])
def test_a_header_name_that_is_no_token_is_refused(fanoutd, one, name):
    server = fanoutd(section("a", one, forward_headers=["X-A"]))

    answer = server.post({"requests": [{"upstream": "a", "headers": {name: "1"}}]})

    assert answer.status == 400 and one.requests == []
    assert answer.problem["pointer"].startswith("/requests/0/headers/")


def test_a_document_may_not_set_a_header_twice_in_other_letters(fanoutd, one):
    server = fanoutd(section("a", one, forward_headers=["X-A"]))

    answer = server.post({"requests": [{"upstream": "a", "headers": {"X-A": "1", "x-a": "2"}}]})

    assert answer.status in (200, 400)
    for seen in one.requests:
        assert len(seen.headers.get_all("X-A")) == 1


@pytest.mark.parametrize("given", ["abc", "a", "A-Z_0.9", "x" * 128])
def test_a_good_request_id_is_kept_and_passed_on(fanoutd, one, given):
    server = fanoutd(section("a", one))

    assert server.get(headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    assert one.requests[0].headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "caf\xe9", "a,b", "${x}", "a\tb"])
def test_a_bad_request_id_is_replaced(fanoutd, one, given):
    server = fanoutd(section("a", one))

    answer = server.get(headers={"X-Request-Id": given})

    made = answer.headers["X-Request-Id"]
    assert made != given and re.fullmatch(r"[A-Za-z0-9._-]{1,128}", made)
    assert one.requests[0].headers["X-Request-Id"] == made


def test_every_answer_has_a_request_id_and_each_is_another(fanoutd, one):
    server = fanoutd(section("a", one))
    targets = [
        "/fetch-multiple",
        "/livez",
        "/readyz",
        "/upstreams",
        "/nowhere",
        "/fetch-multiple?x=1",
    ]
    seen = [server.get(target).headers["X-Request-Id"] for target in targets * 2]

    assert len(set(seen)) == len(seen)


def test_the_request_id_is_in_the_log(fanoutd, one):
    server = fanoutd(section("a", one), log_level="debug")
    server.get(headers={"X-Request-Id": "find-me-in-the-log"})

    server.wait_for_log(lambda line: line.request == "find-me-in-the-log")


def test_no_header_of_an_upstream_reaches_the_caller(fanoutd, upstream):
    one = upstream(
        answer(200, b"{}", "application/json", [("Set-Cookie", "a=b"), ("X-Secret", "s")])
    )
    seen = fanoutd(section("a", one)).get()

    assert "Set-Cookie" not in seen.headers and "X-Secret" not in seen.headers


def test_an_answer_names_its_length_and_is_not_kept_by_caches(fanoutd, one):
    seen = fanoutd(section("a", one)).get()

    assert "Content-Length" in seen.headers or "Transfer-Encoding" in seen.headers
    assert seen.headers["Content-Type"] == "application/json"
