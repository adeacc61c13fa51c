"""Each way a fetch can end has its own stable code."""

import base64
import gzip

import pytest

from dns_server import NXDOMAIN, REFUSED, SERVFAIL, WITHHELD
from fanoutd_process import endpoint, resolver, section
from scripted_upstream import (
    answer,
    answer_bytes,
    closing,
    dribble,
    endless,
    json_body,
    raw,
    raw_then_silence,
    reset_after,
    resetting,
    silence,
    text_body,
)

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def end_of(fanoutd, where, **settings):
    """How a fetch from there ends: its result."""
    answer = fanoutd(section("one", where, **settings), deadline="15s").get()
    return answer.results[0]


def code_of(result):
    return "ok" if result["ok"] else result["error"]["code"]


def test_a_refused_connection(fanoutd, refusing_port):
    result = end_of(fanoutd, refusing_port)

    assert code_of(result) == "connect_refused"
    assert result["error"]["retryable"] is True
    assert result["status"] is None and result["body"] is None
    assert f"127.0.0.1:{refusing_port.port}" in result["error"]["message"]


def test_a_connection_that_takes_too_long(fanoutd, blackhole):
    result = end_of(fanoutd, blackhole, connect_timeout="150ms", timeout="10s")

    assert code_of(result) == "connect_timeout" and result["error"]["retryable"] is True
    assert "150 ms" in result["error"]["message"]


def test_a_timeout_while_connecting(fanoutd, blackhole):
    result = end_of(fanoutd, blackhole, connect_timeout="10s", timeout="150ms")

    assert code_of(result) in ("timeout", "connect_timeout")


def test_no_answer_in_time(fanoutd, upstream):
    result = end_of(fanoutd, upstream(silence), timeout="150ms")

    assert code_of(result) == "timeout" and result["error"]["retryable"] is True
    assert result["error"]["message"] == "no answer within 150 ms"


@pytest.mark.parametrize(
    "behaviour",
    [
        raw_then_silence(b"HTTP/1.1 200 O"),
        raw_then_silence(JSON_HEAD),
        raw_then_silence(JSON_HEAD + b"Content-Length: 10\r\n\r\n[1,"),
        raw_then_silence(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n"),
        raw_then_silence(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["status line", "head", "body", "chunks", "only 100"],
)
def test_an_answer_that_stops_half_way_is_a_timeout(fanoutd, upstream, behaviour):
    result = end_of(fanoutd, upstream(behaviour), timeout="150ms")

    assert code_of(result) == "timeout" and result["body"] is None


@pytest.mark.parametrize(
    "behaviour",
    [
        closing,
        resetting,
        reset_after(JSON_HEAD + b"Content-Length: 10\r\n\r\n[1,"),
        raw(JSON_HEAD + b"Content-Length: 10\r\n\r\n[1,"),
        raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n"),
        raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n"),
    ],
    ids=["close", "reset", "reset in the body", "short", "short chunks", "no last chunk"],
)
def test_an_answer_cut_off_is_a_reset(fanoutd, upstream, behaviour):
    result = end_of(fanoutd, upstream(behaviour))

    assert code_of(result) == "reset" and result["error"]["retryable"] is True
    assert result["body"] is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01garbage garbage garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}   ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    ],
    ids=["TLS", "SSH", "status", "length", "negative length", "two lengths", "chunk size"],
)
def test_what_is_not_http_is_a_protocol_error(fanoutd, upstream, data):
    result = end_of(fanoutd, upstream(raw(data)))

    assert code_of(result) == "protocol_error" and result["error"]["retryable"] is False
    assert result["body"] is None


@pytest.mark.parametrize(
    "status, retryable",
    [(301, False), (400, False), (404, False), (429, True), (500, False), (503, True), (504, True)],
)
def test_another_status_is_an_error_that_keeps_status_and_body(
    fanoutd, upstream, status, retryable
):
    result = end_of(fanoutd, upstream(json_body('{"why":1}', status=status)))

    assert code_of(result) == "http_status" and result["error"]["retryable"] is retryable
    assert result["status"] == status and result["body"] == {"why": 1}
    assert str(status) in result["error"]["message"]


def test_a_failing_status_keeps_text_too(fanoutd, upstream):
    result = end_of(fanoutd, upstream(text_body("<h1>Sorry</h1>", "text/html", 500)))

    assert (result["status"], result["body"], result["content_type"]) == (
        500,
        "<h1>Sorry</h1>",
        "text/html",
    )


def test_a_redirect_is_not_followed(fanoutd, upstream):
    target = upstream()
    moved = answer(302, b"", headers=[("Location", target.url + "/elsewhere")])

    result = end_of(fanoutd, upstream(moved))

    assert code_of(result) == "http_status" and result["status"] == 302
    assert target.requests == []


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_success(fanoutd, upstream, status):
    assert code_of(end_of(fanoutd, upstream(answer(status)))) == "ok"


@pytest.mark.parametrize(
    "success, status, code",
    [
        (["2xx", "404"], 404, "ok"),
        (["2xx", "404"], 410, "http_status"),
        (["200"], 201, "http_status"),
        (["400-499"], 450, "ok"),
    ],
)
def test_the_configuration_says_what_is_a_success(fanoutd, upstream, success, status, code):
    result = end_of(fanoutd, upstream(json_body("{}", status=status)), success=success)

    assert code_of(result) == code and result["status"] == status


LARGE = b'"' + b"x" * 3000 + b'"'


@pytest.mark.parametrize(
    "behaviour",
    [
        json_body(LARGE),
        raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (3002, LARGE)),
        raw(JSON_HEAD + b"\r\n" + LARGE),
        raw_then_silence(JSON_HEAD + b"Content-Length: 999999999999\r\n\r\n" + LARGE),
        endless(
            JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b" " * 1024 + b"\r\n"
        ),
        endless(JSON_HEAD + b"\r\n", b" " * 1024),
    ],
    ids=["Content-Length", "chunked", "to the end", "announced", "endless chunks", "endless"],
)
def test_a_body_over_the_limit(fanoutd, upstream, behaviour):
    result = end_of(fanoutd, upstream(behaviour), max_response="3000")

    assert code_of(result) == "response_too_large" and result["error"]["retryable"] is False
    assert result["body"] is None and "3000" in result["error"]["message"]


def test_a_body_of_exactly_the_limit_is_taken(fanoutd, upstream):
    result = end_of(fanoutd, upstream(json_body(LARGE)), max_response="3002")

    assert code_of(result) == "ok"


def test_an_endless_head_ends(fanoutd, upstream):
    behaviour = endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 1000 + b"\r\n")

    result = end_of(fanoutd, upstream(behaviour), timeout="8s")

    assert code_of(result) in ("protocol_error", "response_too_large")
    assert result["error"]["retryable"] is False


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "image/png"])
def test_a_coded_body_that_nobody_asked_for_is_never_passed_off_as_the_plain_one(
    fanoutd, upstream, content_type
):
    coded = gzip.compress(b'"plain words"')
    behaviour = answer(200, coded, content_type, [("Content-Encoding", "gzip")])

    result = end_of(fanoutd, upstream(behaviour))

    if result["ok"] and content_type == "image/png":
        assert base64.b64decode(result["body"]) == b'"plain words"'
    elif result["ok"]:
        assert "plain words" in result["body"]


@pytest.mark.parametrize(
    "body, offset",
    [
        (b'{"a":1,}', 7),
        (b'{"a":', 5),
        (b'{"a":1} x', 8),
        (b"[01]", 2),
        (b'"\xff"', 1),
        (b'["\\ud800"]', 8),
        (b"\xef\xbb\xbf{}", 0),
        (b"[NaN]", 1),
        (b"<html>", 0),
    ],
)
def test_a_body_that_claims_to_be_json_and_is_not(fanoutd, upstream, body, offset):
    result = end_of(fanoutd, upstream(json_body(body)))

    assert code_of(result) == "invalid_json" and result["error"]["retryable"] is False
    assert result["status"] == 200
    assert f"byte {offset}" in result["error"]["message"]


def test_json_nested_too_deep(fanoutd, upstream):
    result = end_of(fanoutd, upstream(json_body("[" * 5 + "]" * 5)), max_json_depth=4)

    assert code_of(result) == "invalid_json"


def test_json_nested_as_deep_as_allowed(fanoutd, upstream):
    result = end_of(fanoutd, upstream(json_body("[" * 4 + "]" * 4)), max_json_depth=4)

    assert code_of(result) == "ok"


def test_broken_json_of_a_failing_status_stays_an_http_status(fanoutd, upstream):
    result = end_of(fanoutd, upstream(json_body("{broken", status=500)))

    assert code_of(result) == "http_status" and result["status"] == 500


def test_an_answer_that_comes_byte_by_byte(fanoutd, upstream):
    behaviour = dribble(answer_bytes(200, b'{"slow":true}', "application/json"))

    result = end_of(fanoutd, upstream(behaviour), timeout="10s")

    assert code_of(result) == "ok" and result["body"] == {"slow": True}


def test_interim_answers_are_passed_over(fanoutd, upstream):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"

    result = end_of(fanoutd, upstream(raw(early + answer_bytes(200, b"[1]", "application/json"))))

    assert code_of(result) == "ok" and result["status"] == 200 and result["body"] == [1]


@pytest.mark.parametrize("answered", [NXDOMAIN, SERVFAIL, REFUSED, []])
def test_a_name_that_has_no_address(fanoutd, dns, answered):
    dns.names["name.invalid"] = answered
    server = fanoutd(
        resolver(servers=[dns.address], timeout="200ms", tries=1),
        section("one", "http://name.invalid:9/", timeout="10s", connect_timeout="10s"),
        deadline="15s",
    )
    result = server.get().results[0]

    assert code_of(result) == "dns_failure" and result["error"]["retryable"] is True
    assert result["status"] is None


def test_dns_that_does_not_answer(fanoutd, dns):
    dns.names["name.invalid"] = WITHHELD
    server = fanoutd(
        resolver(servers=[dns.address], timeout="100ms", tries=1),
        section("one", "http://name.invalid:9/", timeout="10s", connect_timeout="10s"),
        deadline="15s",
    )
    assert code_of(server.get().results[0]) == "dns_failure"


def test_outcomes_are_counted_by_upstream(fanoutd, upstream, refusing_port):
    server = fanoutd(
        section("good", upstream()),
        section("bad", refusing_port),
        endpoint("/fetch-multiple", upstreams=["good", "bad"]),
    )
    for _ in range(3):
        server.get()
    server.get("/fetch-multiple?upstreams=bad")

    assert server.upstream("good")["outcomes"]["ok"] == 3
    assert server.upstream("bad")["outcomes"]["connect_refused"] == 4
    assert server.upstream("good")["requests"] == 3 and server.upstream("bad")["requests"] == 4
