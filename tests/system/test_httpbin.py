"""httpbin as the upstream."""

import base64
import json

import pytest

from fanoutd_process import section

OPEN = {
    "allow_path": True,
    "allow_query": True,
    "allow_body": True,
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "forward_headers": ["X-Custom"],
    "timeout": "20s",
}


@pytest.fixture
def server(fanoutd, httpbin):
    return fanoutd(section("bin", httpbin, **OPEN), deadline="20s")


def ask(server, **request):
    return server.post({"requests": [{"upstream": "bin", **request}]}).results[0]


def test_what_it_says_it_was_asked(server):
    result = ask(server, path="/anything/a%20b", query={"x": "1 & 2"}, headers={"X-Custom": "yes"})

    assert result["ok"] and result["body"]["method"] == "GET"
    assert result["body"]["args"] == {"x": "1 & 2"}
    assert result["body"]["headers"]["X-Custom"] == "yes"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies(server, method):
    body = '{"n": 9007199254740993, "t": "é"}'

    answer = server.post(
        f'{{"requests":[{{"upstream":"bin","path":"/{method.lower()}","method":"{method}","body":{body}}}]}}'
    )

    assert answer.results[0]["body"]["data"] == body


@pytest.mark.parametrize("status", [201, 400, 418, 500])
def test_statuses(server, status):
    result = ask(server, path=f"/status/{status}")

    assert result["status"] == status and result["ok"] == (status < 300)


@pytest.mark.parametrize("path, words", [("/xml", "slideshow"), ("/html", "Herman Melville")])
def test_texts(server, path, words):
    result = ask(server, path=path)

    assert result["ok"] and words in result["body"]


@pytest.mark.parametrize("count", [0, 1, 1024, 70000])
def test_bytes(server, count):
    result = ask(server, path=f"/bytes/{count}", query={"seed": "1"})

    assert result["ok"]
    if count:
        assert result["encoding"] == "base64" and len(base64.b64decode(result["body"])) == count


def test_a_stream_of_lines_is_not_one_json_value(server):
    assert ask(server, path="/stream/3")["error"]["code"] == "invalid_json"


def test_chunked_bytes(server):
    result = ask(server, path="/stream-bytes/5000", query={"chunk_size": "100"})

    assert len(base64.b64decode(result["body"])) == 5000


def test_a_slow_one_and_quick_ones(server):
    requests = [{"id": str(n), "upstream": "bin", "path": "/get"} for n in range(3)]
    slow = {"id": "slow", "upstream": "bin", "path": "/delay/9", "timeout_ms": 500}

    answer = server.post({"requests": [slow, *requests]})

    assert answer.outcomes == {"slow": "timeout", "0": "ok", "1": "ok", "2": "ok"}


def test_drip(server):
    query = {"numbytes": "5", "duration": "1", "delay": "0"}

    result = ask(server, path="/drip", query=query)

    assert result["ok"] and base64.b64decode(result["body"]) == b"*****"


def test_a_redirect_is_shown_not_followed(server):
    result = ask(server, path="/redirect/3")

    assert result["error"]["code"] == "http_status" and result["status"] == 302


def test_thirty_at_once(server):
    requests = [
        {"id": str(n), "upstream": "bin", "path": "/anything", "query": {"n": str(n)}}
        for n in range(30)
    ]
    answer = server.post({"requests": requests})

    for result in answer.results:
        assert result["body"]["args"] == {"n": result["id"]}
    assert json.loads(answer.body)["status"] == "ok"
