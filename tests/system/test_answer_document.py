"""The answer document: one entry for each name, in order, with the bodies untouched."""

import base64
import time

import pytest

from fanoutd_process import endpoint, section
from scripted_upstream import (
    answer,
    by_path,
    closing,
    gated,
    json_body,
    raw,
    silence,
    text_body,
)


def body_of(fanoutd, upstream, behaviour):
    """The one result of a fetch that ends well, with the answer it came in."""
    whole = fanoutd(section("one", upstream(behaviour))).get()
    assert whole.outcomes == {"one": "ok"}, whole
    return whole.results[0], whole


def test_a_single_ok_result(fanoutd, upstream):
    whole = fanoutd(section("users", upstream(json_body('{"name":"Ada"}')))).get()

    document = whole.document
    assert whole.status == 200
    assert list(document) == ["status", "elapsed_ms", "results", "errors"]
    assert document["status"] == "ok" and document["errors"] == []
    (result,) = document["results"]
    assert list(result) == ["id", "ok", "status", "elapsed_ms", "attempts", "body"]
    assert (result["id"], result["ok"], result["status"]) == ("users", True, 200)
    assert result["attempts"] == 1 and result["body"] == {"name": "Ada"}


def test_results_stand_in_the_order_of_the_file_not_of_arrival(fanoutd, upstream, gate):
    first, second = gate(), gate()
    server = fanoutd(
        section("a", upstream(gated(first))),
        section("b", upstream(gated(second))),
        section("c", (last := upstream())),
    )
    caller = server.start_get()
    last.wait_for_requests(1)
    second.open()
    first.open()

    assert list(caller.read_answer().outcomes) == ["a", "b", "c"]


def test_a_failed_result_is_in_results_and_again_in_errors(fanoutd, upstream, refusing_port):
    server = fanoutd(
        section("a", refusing_port), section("b", upstream()), section("c", upstream(closing))
    )
    document = server.get().document

    assert document["status"] == "partial"
    assert [(one["id"], one["ok"]) for one in document["results"]] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert [one["id"] for one in document["errors"]] == ["a", "c"]
    assert document["results"][0]["status"] is None and document["results"][0]["body"] is None


def test_when_nothing_is_ok_the_status_is_failed(fanoutd, refusing_port):
    document = fanoutd(section("a", refusing_port), section("b", refusing_port)).get().document

    assert document["status"] == "failed" and len(document["errors"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"n":9007199254740993,"m":1e400,"p":-0.0,"q":123456789012345678901234567890}',
        b'{"a":1,"a":2,"a":{"a":3}}',
        b'{"t":"\\u0041\\u0000\\ud83d\\ude00\\/\\b","raw":"\xc3\xa9\xf0\x9f\x98\x80"}',
        b'{ "a" :\t[ 1 ,\r\n  2 ]\n,  "b":{ }  }',
        b'{"":[[],[[]],{}],"nested":{"a":{"b":{"c":[null,true,false]}}}}',
        b'"text"',
        b"0",
        b"-12.5E-3",
        b"true",
        b"null",
        b"[]",
    ],
    ids=lambda body: body.decode()[:12],
)
def test_a_json_body_passes_byte_for_byte(fanoutd, upstream, body):
    _, whole = body_of(fanoutd, upstream, json_body(body))

    before, after = whole.body.split(b'"body":' + body, 1)
    assert after[:1] in (b",", b"}"), whole


def test_white_space_around_a_json_body_does_no_harm(fanoutd, upstream):
    result, _ = body_of(fanoutd, upstream, json_body(b' \r\n\t{"a": 1}\n\n'))

    assert result["body"] == {"a": 1}


def test_a_large_json_body_passes_byte_for_byte(fanoutd, upstream):
    body = b"[" + b",".join(b'{"number":%d,"text":"%d"}' % (n, n * n) for n in range(60000)) + b"]"

    _, whole = body_of(fanoutd, upstream, json_body(body))

    assert len(body) > 1 << 20 and b'"body":' + body in whole.body


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/problem+json",
        "application/vnd.api+json;v=1",
    ],
)
def test_what_counts_as_json(fanoutd, upstream, content_type):
    result, _ = body_of(fanoutd, upstream, answer(200, b'{"a":1}', content_type))

    assert result["body"] == {"a": 1} and "encoding" not in result


@pytest.mark.parametrize("content_type", ["text/plain", "text/html; charset=utf-8", "text/csv"])
def test_text_is_a_json_string_with_its_content_type(fanoutd, upstream, content_type):
    text = 'A "quoted" line\n\tand \\ a second, café, \U0001f600, \x7f\x01'

    result, _ = body_of(fanoutd, upstream, text_body(text, content_type))

    assert result["body"] == text and result["content_type"] == content_type
    assert "encoding" not in result


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("image/png", b"\x89PNG\r\n\x1a\n\x00\x00\xff"),
        ("application/octet-stream", bytes(range(256)) * 5),
        ("application/octet-stream", b"plain words"),
        ("application/pdf", b"%PDF-"),
    ],
)
def test_binary_is_base64(fanoutd, upstream, content_type, body):
    result, _ = body_of(fanoutd, upstream, text_body(body, content_type))

    assert result["encoding"] == "base64" and result["content_type"] == content_type
    assert base64.b64decode(result["body"], validate=True) == body


@pytest.mark.parametrize(
    "body, shown",
    [
        (b"caf\xe9 au lait", "caf\ufffd au lait"),
        (b"cut short \xe2\x82", "cut short \ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ],
)
def test_bytes_of_a_text_that_are_not_utf_8_are_shown_as_replaced(fanoutd, upstream, body, shown):
    result, _ = body_of(fanoutd, upstream, text_body(body))

    assert result["body"] == shown


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(204),
        answer(200, b"", "application/json"),
        answer(200, b"", "text/plain"),
        answer(200, b""),
        answer(205, b""),
    ],
    ids=["204", "empty JSON", "empty text", "empty without type", "205"],
)
def test_an_empty_body_is_null(fanoutd, upstream, behaviour):
    result, _ = body_of(fanoutd, upstream, behaviour)

    assert result["body"] is None and result["ok"]


@pytest.mark.parametrize(
    "body, seen",
    [(b'{"a":[1]}', {"a": [1]}), (b"just words", "just words"), (b"{not json", "{not json")],
)
def test_without_a_content_type_it_is_json_if_it_can_be(fanoutd, upstream, body, seen):
    result, _ = body_of(fanoutd, upstream, answer(200, body))

    assert result["body"] == seen and "encoding" not in result


def test_without_a_content_type_binary_is_base64(fanoutd, upstream):
    result, _ = body_of(fanoutd, upstream, answer(200, b"\xff\xfe"))

    assert result["encoding"] == "base64" and base64.b64decode(result["body"]) == b"\xff\xfe"


def test_a_chunked_body_is_put_together(fanoutd, upstream):
    chunks = b'4\r\n{"a"\r\n3;x=y\r\n:[1\r\n2\r\n]}\r\n0\r\nTrailer: t\r\n\r\n'
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    result, _ = body_of(fanoutd, upstream, raw(head + chunks))

    assert result["body"] == {"a": [1]}


def test_a_body_may_end_with_the_connection(fanoutd, upstream):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

    result, _ = body_of(fanoutd, upstream, raw(head + b'{"to the":"end"}'))

    assert result["body"] == {"to the": "end"}


def test_a_map_is_keyed_by_id(fanoutd, upstream, refusing_port):
    server = fanoutd(section("b", upstream(json_body("[2]"))), section("a", refusing_port))

    document = server.get("/fetch-multiple?shape=map").document

    assert list(document["results"]) == ["b", "a"]
    assert document["results"]["b"]["body"] == [2]
    assert [one["id"] for one in document["errors"]] == ["a"]


def test_an_endpoint_may_answer_with_a_map(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), endpoint("/home", upstreams=["a"], shape="map"))
    assert list(server.get("/home").document["results"]) == ["a"]
    assert isinstance(server.get("/home?shape=list").document["results"], list)


def test_elapsed_time_counts_from_the_request_to_its_end(fanoutd, upstream, gate):
    held = gate()
    slow = upstream(gated(held))
    quick = upstream()
    server = fanoutd(section("slow", slow), section("quick", quick), deadline="10s")
    caller = server.start_get()
    slow.wait_for_in_flight(1)
    slow.wait_until(lambda _: len(quick.requests) == 1 and quick.in_flight == 0)
    time.sleep(0.15)  # something to measure
    held.open()

    whole = caller.read_answer()
    assert whole.result("slow")["elapsed_ms"] >= 150
    assert whole.document["elapsed_ms"] >= whole.result("slow")["elapsed_ms"] - 0.2


def test_ids_with_quotes_and_other_scripts_come_back_as_they_were(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))
    ids = ['"quoted" \\ back', "名前", "emoji \U0001f600", "a/b~c"]

    answers = server.post({"requests": [{"id": one, "upstream": "a"} for one in ids]})

    assert list(answers.outcomes) == ids


def test_fifty_upstreams_each_come_back_once(fanoutd, upstream):
    paths = {f"u{n}": json_body(f'{{"number":{n}}}') for n in range(50)}
    one = upstream(by_path(**paths))
    server = fanoutd(*[section(f"u{n}", f"{one.url}/u{n}") for n in range(50)])

    results = server.get().results

    assert [(r["id"], r["body"]) for r in results] == [(f"u{n}", {"number": n}) for n in range(50)]
    assert len(one.requests) == 50


def test_every_name_is_answered_for_when_all_ends_differ(fanoutd, upstream, refusing_port):
    server = fanoutd(
        section("ok", upstream()),
        section("slow", upstream(silence), timeout="150ms"),
        section("refused", refusing_port),
        section("failing", upstream(json_body('{"why":"full"}', status=503))),
        section("broken", upstream(json_body('{"a":'))),
    )
    whole = server.get()

    assert whole.outcomes == {
        "ok": "ok",
        "slow": "timeout",
        "refused": "connect_refused",
        "failing": "http_status",
        "broken": "invalid_json",
    }
