"""A caller's path is appended below the upstream's URL and never leaves it."""

import pytest

from fanoutd_process import section


@pytest.fixture
def server(fanoutd, upstream):
    one = upstream()
    made = fanoutd(
        section("users", f"{one.url}/v1/me", allow_path=True),
        section("slashed", f"{one.url}/v1/me/", allow_path=True),
    )
    made.seen = one.requests
    return made


GOOD = [
    "/42",
    "/",
    "/a/b/c",
    "/a/b/",
    "/...",
    "/.hidden",
    "/a..b",
    "/caf%C3%A9",
    "/a%20b",
    "/@:!$&'()*+,;=-._~",
    "/%7Euser",
]


@pytest.mark.parametrize("path", GOOD)
def test_a_good_path_arrives_as_it_was_written(server, path):
    answer = server.post({"requests": [{"upstream": "users", "path": path}]})

    assert answer.outcomes == {"users": "ok"}
    assert server.seen[0].target == "/v1/me" + path


def test_a_slash_at_the_end_of_the_url_is_not_doubled(server):
    server.post({"requests": [{"upstream": "slashed", "path": "/42"}]})

    assert server.seen[0].target == "/v1/me/42"


BAD = [
    "",
    "42",
    "..",
    "/..",
    "/../",
    "/../admin",
    "/a/../../admin",
    "/a/./b",
    "/.",
    "/a/..",
    "/%2e%2e/admin",
    "/%2E%2e/",
    "/.%2e/",
    "/%2e/",
    "/..%2fadmin",
    "/a%2f..%2f..%2fadmin",
    "/%252e%252e/admin",
    "/%25252e%25252e/admin",
    "/..%5cadmin",
    "/..\\admin",
    "\\..\\admin",
    "/a\\b",
    "//evil.example/",
    "/a//b",
    "//",
    "http://evil.example/",
    "@evil.example/",
    ":80@evil.example/",
    "/a?b=c",
    "/a#b",
    "?b=c",
    "#b",
    "/a b",
    "/a\tb",
    "/a\r\nX-Injected: 1",
    "/a\n",
    "/a\u0000b",
    "/%00",
    "/%0d%0aX-Injected:%201",
    "/%7f",
    "/%",
    "/%4",
    "/%zz",
    "/caf\u00e9",
    "/%ff",
    "/%c0%ae%c0%ae/",
]


@pytest.mark.parametrize("path", BAD, ids=repr)
def test_a_bad_path_is_refused_and_reaches_no_upstream(server, path):
    answer = server.post({"requests": [{"upstream": "users", "path": path}]})

    assert answer.status == 400, server.seen
    assert answer.problem["pointer"] == "/requests/0/path"
    assert server.seen == []


@pytest.mark.parametrize(
    "name, value",
    [("a\r\nX-Injected: 1", "b"), ("a", "b\r\nX-Injected: 1"), ("a", "b c\u0000#/../?&=")],
)
def test_a_query_can_not_break_out(fanoutd, upstream, name, value):
    one = upstream()
    server = fanoutd(section("users", f"{one.url}/v1", allow_query=True))

    answer = server.post({"requests": [{"upstream": "users", "query": {name: value}}]})

    assert answer.status in (200, 400)
    for seen in one.requests:
        assert seen.path == "/v1" and seen.target.count("&") == 0 and seen.target.count("=") == 1
        assert "X-Injected" not in seen.headers
