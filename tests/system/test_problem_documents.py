"""Requests that are themselves wrong get a problem document (RFC 9457)."""

import pytest

from fanoutd_process import endpoint, section
from http_wire import PeerLeft, request_bytes


@pytest.fixture
def server(fanoutd, upstream):
    one = upstream()
    made = fanoutd(
        section("users", one),
        endpoint("/fetch-multiple", upstreams=["users"]),
        endpoint("/home", upstreams=["users"]),
        max_request_body="4k",
    )
    made.seen = one.requests
    return made


@pytest.mark.parametrize(
    "target",
    ["/", "/fetch-multipl", "/fetch-multiple/", "/fetch-multiple/x", "/FETCH-MULTIPLE"],
)
def test_an_unknown_path_is_a_404(server, target):
    answer = server.get(target)

    assert answer.status == 404 and answer.problem["title"] == "Not Found"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("target", ["/fetch-multiple", "/home"])
def test_another_method_is_a_405_that_says_which_are_allowed(server, target, method):
    answer = server.ask(method, target)

    assert answer.status == 405
    allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
    assert {"GET", "POST"} <= allowed <= {"GET", "POST", "HEAD", "OPTIONS"}
    assert answer.problem["status"] == 405


@pytest.mark.parametrize("target", ["/livez", "/readyz", "/upstreams"])
def test_looking_is_all_that_may_be_done_with_the_state(server, target):
    answer = server.ask("POST", target, {"Content-Type": "application/json"}, b"{}")

    assert answer.status == 405 and "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None]
)
def test_a_post_of_another_content_type_is_a_415(server, content_type):
    headers = {"Content-Type": content_type} if content_type else {}

    answer = server.ask("POST", "/fetch-multiple", headers, b'{"requests":[{"upstream":"users"}]}')

    assert answer.status == 415 and "application/json" in answer.problem["detail"]
    assert server.seen == []


def test_a_body_over_the_limit_is_a_413(server):
    answer = server.post(b" " * 4097)

    assert answer.status == 413 and "max_request_body" in answer.problem["detail"]


def test_a_chunked_body_over_the_limit_is_a_413(server):
    connection = server.connect()
    connection.send(
        b"POST /fetch-multiple HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"800\r\n" + b" " * 2048 + b"\r\n"
    )
    connection.send(b"900\r\n" + b" " * 2304 + b"\r\n0\r\n\r\n")

    answer = connection.read_answer()
    assert answer.status == 413 and answer.problem["status"] == 413


def test_a_body_of_exactly_the_limit_is_read(server):
    text = b'{"requests":[{"upstream":"users"}]}'

    assert server.post(text + b" " * (4096 - len(text))).status == 200


def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(server):
    connection = server.connect()
    connection.send(
        b"POST /fetch-multiple HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000000\r\n\r\n"
    )
    answer = connection.read_answer()
    assert answer.status == 413 and answer.problem["status"] == 413


@pytest.mark.parametrize("target", ["/livez", "/readyz", "/upstreams", "/nowhere"])
def test_head_is_get_without_the_body(server, target):
    connection = server.connect()
    head = connection.ask("HEAD", target)
    get = connection.ask("GET", target)

    assert head.status == get.status
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers.get("Content-Length") in (None, get.headers.get("Content-Length"))
    assert connection.is_silent()


def test_head_of_an_endpoint_has_no_body(server):
    connection = server.connect()
    answer = connection.ask("HEAD", "/fetch-multiple")

    assert answer.status == 200
    assert connection.ask("GET", "/livez").status == 200


def test_the_problem_says_which_request_it_was(server):
    answer = server.get("/nowhere", {"X-Request-Id": "my-own.id_1"})

    assert answer.problem["request_id"] == "my-own.id_1"


def test_a_problem_in_the_query_names_the_parameter_and_one_in_the_body_the_place(server):
    query = server.get("/fetch-multiple?shape=round").problem
    body = server.post({"requests": [{"upstream": "nobody"}]}).problem

    assert query["parameter"] == "shape" and "pointer" not in query
    assert body["pointer"] == "/requests/0/upstream" and "parameter" not in body


def test_the_connection_goes_on_after_a_problem(server):
    connection = server.connect()

    assert connection.ask("GET", "/nowhere").status == 404
    assert connection.ask("GET", "/fetch-multiple?x=y").status == 400
    assert connection.ask("PUT", "/fetch-multiple").status == 405
    assert connection.ask("GET", "/fetch-multiple").status == 200


def test_what_is_no_http_at_all_is_answered_and_closed(server):
    connection = server.connect()
    connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    try:
        assert connection.read_answer().status == 400
    except PeerLeft:
        pass  # to close without a word is as good
    assert server.get("/livez").status == 200


def test_a_request_without_an_end_does_not_stop_the_others(server):
    connection = server.connect()
    connection.send(request_bytes("GET", "/fetch-multiple")[:-2])

    assert server.get().status == 200
