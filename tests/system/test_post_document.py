"""POST: each fetch described by the caller, within what the configuration allows."""

import json

import pytest

from fanoutd_process import section
from scripted_upstream import silence

OPEN = {
    "allow_path": True,
    "allow_query": True,
    "allow_body": True,
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
    "forward_headers": ["X-A", "Authorization"],
}


@pytest.fixture
def server(fanoutd, upstream):
    one = upstream()
    made = fanoutd(
        section("users", f"{one.url}/v1", **OPEN),
        section("closed", f"{one.url}/closed"),
        section("weather", f"{one.url}/weather?key=k", allow_query=True),
        max_requests=20,
    )
    made.seen = one.requests
    return made


def post_one(server, **request):
    answer = server.post({"requests": [{"upstream": "users", **request}]})
    assert answer.status == 200, answer
    assert answer.results[0]["ok"], answer
    return server.seen[-1]


def test_an_upstream_alone_is_enough(server):
    answer = server.post({"requests": [{"upstream": "closed"}]})

    assert answer.outcomes == {"closed": "ok"}
    assert (server.seen[0].method, server.seen[0].target) == ("GET", "/closed")


def test_the_id_defaults_to_the_upstream_and_may_be_chosen(server):
    answer = server.post({"requests": [{"upstream": "users"}, {"id": "u2", "upstream": "users"}]})

    assert list(answer.outcomes) == ["users", "u2"]


def test_the_path_is_appended_below_the_url(server):
    assert post_one(server, path="/42/orders").target == "/v1/42/orders"


def test_the_query_is_encoded(server):
    assert (
        post_one(server, query={"full": "1", "q": "a b&c=d/é+"}).target
        == "/v1?full=1&q=a%20b%26c%3Dd%2F%C3%A9%2B"
    )


def test_the_query_joins_that_of_the_url(server):
    server.post({"requests": [{"upstream": "weather", "query": {"city": "Oslo"}}]})

    assert server.seen[0].target == "/weather?key=k&city=Oslo"


def test_path_and_query_together(server):
    assert post_one(server, path="/a", query={"b": "c"}).target == "/v1/a?b=c"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_each_method(server, method):
    assert post_one(server, method=method).method == method


def test_a_header_that_may_be_forwarded(server):
    seen = post_one(server, headers={"X-A": "b", "authorization": "Bearer t"})

    assert seen.headers["X-A"] == "b" and seen.headers["Authorization"] == "Bearer t"


BODIES = [
    '{"n":9007199254740993,"n":1e400}',
    '{ "spaced" :\t[1 , 2 ]\n}',
    '"\\u0000\\ud83d\\ude00 é"',
    "[]",
    "0",
    "false",
]


@pytest.mark.parametrize("body", BODIES)
def test_the_body_is_passed_on_byte_for_byte(server, body):
    document = f'{{"requests":[{{"upstream":"users","method":"POST","body":{body}}}]}}'

    assert server.post(document).status == 200
    assert server.seen[0].body == body.encode()
    assert server.seen[0].headers["Content-Type"] == "application/json"
    assert server.seen[0].headers["Content-Length"] == str(len(body.encode()))


def test_a_large_body_passes(server):
    body = json.dumps(["x" * 1000] * 900)

    server.post(f'{{"requests":[{{"upstream":"users","method":"PUT","body":{body}}}]}}')

    assert server.seen[0].body == body.encode()


def test_a_null_body_is_no_body_or_the_word_but_never_lost_silently(server):
    assert post_one(server, method="POST", body=None).body in (b"", b"null")


def test_a_timeout_of_its_own(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), timeout="30s"), deadline="20s")

    answer = server.post({"requests": [{"upstream": "quiet", "timeout_ms": 150}]})

    assert answer.outcomes == {"quiet": "timeout"} and answer.status == 504


def test_a_timeout_of_its_own_never_raises_that_of_the_upstream(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), timeout="150ms"), deadline="20s")

    answer = server.post({"requests": [{"upstream": "quiet", "timeout_ms": 60000}]})

    assert answer.outcomes == {"quiet": "timeout"}


def test_a_timeout_for_all(fanoutd, upstream):
    server = fanoutd(section("quiet", upstream(silence), timeout="30s"), deadline="20s")

    answer = server.post({"requests": [{"upstream": "quiet"}], "timeout_ms": 150})

    assert answer.outcomes == {"quiet": "deadline_exceeded"}


def test_the_shape_may_be_asked_for_in_the_query(server):
    answer = server.post({"requests": [{"upstream": "users"}]}, "/fetch-multiple?shape=map")

    assert list(answer.document["results"]) == ["users"]


def test_the_order_is_that_of_the_document(server):
    ids = [f"r{n}" for n in (5, 3, 9, 1, 7)]

    answer = server.post({"requests": [{"id": one, "upstream": "users"} for one in ids]})

    assert list(answer.outcomes) == ids


def test_escapes_in_the_names_of_members_are_understood(server):
    answer = server.post('{"re\\u0071uests":[{"upstre\\u0061m":"us\\u0065rs"}]}')

    assert answer.outcomes == {"users": "ok"}


def test_content_type_with_a_parameter_is_json_too(server):
    answer = server.post(
        {"requests": [{"upstream": "users"}]},
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    assert answer.status == 200


def wrong(request, pointer, hint=""):
    """A document whose second request is wrong."""
    return ({"requests": [{"upstream": "users"}, request]}, "/requests/1" + pointer, hint)


WRONG = {
    "no object": ([], "", "object"),
    "empty object": ({}, "", "requests"),
    "requests is no list": ({"requests": {}}, "/requests", "array"),
    "no request": ({"requests": []}, "/requests", ""),
    "too many": (
        {"requests": [{"id": str(n), "upstream": "users"} for n in range(21)]},
        "/requests",
        "20",
    ),
    "unknown member": (
        {"requests": [{"upstream": "users"}], "requre": "all"},
        "/requre",
        "require",
    ),
    "require: word": ({"requests": [{"upstream": "users"}], "require": "al"}, "/require", "all"),
    "require: too many": ({"requests": [{"upstream": "users"}], "require": 2}, "/require", ""),
    "require: zero": ({"requests": [{"upstream": "users"}], "require": 0}, "/require", ""),
    "require: type": ({"requests": [{"upstream": "users"}], "require": []}, "/require", ""),
    "timeout: zero": ({"requests": [{"upstream": "users"}], "timeout_ms": 0}, "/timeout_ms", ""),
    "timeout: text": ({"requests": [{"upstream": "users"}], "timeout_ms": "1s"}, "/timeout_ms", ""),
    "timeout: below": ({"requests": [{"upstream": "users"}], "timeout_ms": -1}, "/timeout_ms", ""),
    "timeout: part": ({"requests": [{"upstream": "users"}], "timeout_ms": 0.5}, "/timeout_ms", ""),
    "request is no object": wrong("users", "", "object"),
    "no upstream": wrong({"id": "x"}, "", "upstream"),
    "unknown upstream": wrong({"upstream": "user"}, "/upstream", "users"),
    "upstream is no text": wrong({"upstream": 1}, "/upstream", "string"),
    "unknown request member": wrong({"upstream": "closed", "paht": "/1"}, "/paht", "path"),
    "id twice": wrong({"upstream": "closed", "id": "users"}, "/id", "users"),
    "default id twice": wrong({"upstream": "users"}, "", "users"),
    "id is no text": wrong({"upstream": "closed", "id": 7}, "/id", "string"),
    "id empty": wrong({"upstream": "closed", "id": ""}, "/id", ""),
    "path not allowed": wrong({"upstream": "closed", "path": "/1"}, "/path", "closed"),
    "path is no text": wrong({"id": "x", "upstream": "users", "path": 1}, "/path", "string"),
    "query not allowed": wrong({"upstream": "closed", "query": {"a": "b"}}, "/query", "closed"),
    "query is no object": wrong(
        {"id": "x", "upstream": "users", "query": "a=b"}, "/query", "object"
    ),
    "query value": wrong({"id": "x", "upstream": "users", "query": {"a": [1]}}, "/query/a", ""),
    "method not allowed": wrong({"upstream": "closed", "method": "POST"}, "/method", "closed"),
    "method unknown": wrong({"id": "x", "upstream": "users", "method": "get"}, "/method", "GET"),
    "method is CONNECT": wrong({"id": "x", "upstream": "users", "method": "CONNECT"}, "/method"),
    "header not allowed": wrong(
        {"id": "x", "upstream": "users", "headers": {"X-B": "1"}}, "/headers/X-B", "X-B"
    ),
    "header value": wrong({"id": "x", "upstream": "users", "headers": {"X-A": 1}}, "/headers/X-A"),
    "headers no object": wrong({"id": "x", "upstream": "users", "headers": []}, "/headers"),
    "escape in the pointer": wrong(
        {"id": "x", "upstream": "users", "headers": {"a~b/c": "1"}}, "/headers/a~0b~1c"
    ),
    "body not allowed": wrong({"upstream": "closed", "body": {}}, "/body", "closed"),
    "body with GET": wrong({"id": "x", "upstream": "users", "body": {}}, "/body", "GET"),
    "request timeout": wrong({"upstream": "closed", "timeout_ms": 0}, "/timeout_ms"),
    "request timeout type": wrong({"upstream": "closed", "timeout_ms": True}, "/timeout_ms"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_document_is_refused_at_the_exact_place(server, name):
    document, pointer, hint = WRONG[name]

    answer = server.post(document)

    assert answer.status == 400, answer
    assert answer.problem.get("pointer", "") == pointer
    assert hint in answer.problem["detail"]
    assert server.seen == []


@pytest.mark.parametrize(
    "text, pointer",
    [
        ('{"requests":[{"upstream":"users","upstream":"closed"}]}', "/requests/0/upstream"),
        ('{"requests":[{"upstream":"users"}],"requests":[]}', "/requests"),
    ],
)
def test_a_member_twice_is_refused(server, text, pointer):
    answer = server.post(text)

    assert answer.status == 400 and answer.problem["pointer"] == pointer


@pytest.mark.parametrize(
    "document, meant",
    [
        ({"requests": [{"upstream": "user"}]}, "users"),
        ({"requests": [{"upstream": "wether"}]}, "weather"),
        ({"requests": [{"upstream": "users", "pth": "/1"}]}, "path"),
        ({"request": [{"upstream": "users"}]}, "requests"),
        ({"requests": [{"upstream": "users", "method": "GTE"}]}, "GET"),
    ],
)
def test_a_near_miss_is_told_what_would_have_been_right(server, document, meant):
    detail = server.post(document).problem["detail"]

    assert "did you mean" in detail and meant in detail


@pytest.mark.parametrize(
    "text, offset",
    [
        (b'{"requests":[', 13),
        (b'{"requests":[{"upstream":"users"}],}', 35),
        (b'{"requests":[{"upstream":"us\xffers"}]}', 28),
        (b"", 0),
        (b"\xef\xbb\xbf{}", 0),
        (b'{"requests":[]} x', 16),
        (b"[" * 5000, None),
    ],
    ids=["cut short", "comma", "UTF-8", "empty", "byte order mark", "more", "deep"],
)
def test_what_is_not_json_is_refused_with_the_offset(server, text, offset):
    answer = server.post(text)

    assert answer.status == 400
    if offset is not None:
        assert str(offset) in answer.problem["detail"]


def test_a_hostile_value_is_not_repeated_raw_in_the_problem(server):
    answer = server.post({"requests": [{"upstream": "\r\nX: y\u0000\u001b<b>" + "a" * 5000}]})

    assert answer.status == 400
    assert len(answer.problem["detail"]) < 1000


def test_as_many_requests_as_allowed(server):
    answer = server.post({"requests": [{"id": str(n), "upstream": "users"} for n in range(20)]})

    assert answer.status == 200 and len(answer.results) == 20


def test_a_chunked_post_is_read(server):
    text = b'{"requests":[{"upstream":"users"}]}'
    chunks = b"%x\r\n%s\r\n" % (10, text[:10]) + b"%x\r\n%s\r\n0\r\n\r\n" % (
        len(text) - 10,
        text[10:],
    )
    connection = server.connect()
    connection.send(
        b"POST /fetch-multiple HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    )
    assert connection.read_answer().outcomes == {"users": "ok"}
