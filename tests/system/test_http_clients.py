"""curl and httpx as callers."""

import asyncio
import json
import subprocess

import pytest

from fanoutd_process import section
from real_servers import find_program
from scripted_upstream import json_body, silence


@pytest.fixture
def curl():
    program = find_program("curl", "curl")

    def run(*arguments, stdin=None):
        done = subprocess.run(
            [program, "-sS", "--noproxy", "*", "--max-time", "20", *arguments],
            capture_output=True,
            input=stdin,
        )
        return done.returncode, done.stdout, done.stderr.decode()

    return run


def test_curl_gets(fanoutd, upstream, curl):
    server = fanoutd(section("a", upstream(json_body('{"n":1}'))))

    code, out, error = curl(f"{server.url}/fetch-multiple")

    assert code == 0, error
    assert json.loads(out)["results"][0]["body"] == {"n": 1}


def test_curl_posts(fanoutd, upstream, curl):
    server = fanoutd(section("a", upstream()))
    document = '{"requests":[{"id":"x","upstream":"a"}]}'

    code, out, error = curl("--json", document, f"{server.url}/fetch-multiple")

    assert code == 0, error
    assert json.loads(out)["results"][0]["id"] == "x"


def test_curl_waits_for_100_continue_with_a_large_post(fanoutd, upstream, curl):
    one = upstream()
    server = fanoutd(
        section("a", one, allow_body=True, allow_methods=["POST"]), max_request_body="3m"
    )
    body = json.dumps("x" * 2_000_000)
    document = f'{{"requests":[{{"upstream":"a","method":"POST","body":{body}}}]}}'

    code, out, error = curl(
        *["-H", "Expect: 100-continue", "--expect100-timeout", "15"],
        *["--json", "@-", f"{server.url}/fetch-multiple"],
        stdin=document.encode(),
    )

    assert code == 0, error
    assert json.loads(out)["status"] == "ok" and one.requests[0].body == body.encode()


def test_curl_sees_the_refusal_of_a_body_that_is_too_large(fanoutd, upstream, curl):
    server = fanoutd(section("a", upstream()), max_request_body="64k")

    code, out, error = curl(
        *[
            "-o",
            "-",
            "-w",
            "\n%{http_code}",
            "-H",
            "Content-Type: application/json",
            "-H",
            "Expect:",
        ],
        *["--data-binary", "@-", f"{server.url}/fetch-multiple"],
        stdin=b" " * 3_000_000,
    )

    assert code == 0, error
    assert out.endswith(b"\n413")


def test_curl_head(fanoutd, upstream, curl):
    server = fanoutd(section("a", upstream()))

    code, out, error = curl("-I", f"{server.url}/livez")

    assert code == 0 and b" 200 " in out, error


def test_curl_keeps_its_connection(fanoutd, upstream, curl):
    server = fanoutd(section("a", upstream()))
    url = f"{server.url}/fetch-multiple"

    code, out, error = curl(
        "-o", "/dev/null", "-w", "%{num_connects} ", *[url, "-o", "/dev/null"] * 2, url
    )

    assert code == 0 and sum(int(n) for n in out.split()) == 1, (out, error)


def test_curl_that_gives_up_leaves_nothing_behind(fanoutd, upstream, curl):
    one = upstream(silence)
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s")

    code, _, _ = curl("--max-time", "0.3", f"{server.url}/fetch-multiple")

    assert code == 28
    one.wait_for_left()
    server.wait_for_state(in_flight=0)


def test_httpx_asks_many_times_at_once(fanoutd, upstream):
    httpx = pytest.importorskip("httpx")
    server = fanoutd(section("a", upstream()), section("b", upstream()), deadline="20s")

    async def ask_all():
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            target = f"{server.url}/fetch-multiple"
            return await asyncio.gather(*[client.get(target) for _ in range(40)])

    for answer in asyncio.run(ask_all()):
        assert answer.status_code == 200
        assert [one["id"] for one in answer.json()["results"]] == ["a", "b"]


def test_httpx_that_is_cancelled_leaves_nothing_behind(fanoutd, upstream):
    httpx = pytest.importorskip("httpx")
    one = upstream(silence)
    server = fanoutd(section("a", one, timeout="60s"), deadline="60s")

    async def ask_and_cancel():
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            asks = [
                asyncio.create_task(client.get(f"{server.url}/fetch-multiple")) for _ in range(5)
            ]
            await asyncio.get_running_loop().run_in_executor(None, one.wait_for_in_flight, 5)
            for ask in asks:
                ask.cancel()
            await asyncio.gather(*asks, return_exceptions=True)

    asyncio.run(ask_and_cancel())

    one.wait_for_left(5)
    server.wait_for_state(in_flight=0)


def test_httpx_posts(fanoutd, upstream):
    httpx = pytest.importorskip("httpx")
    server = fanoutd(section("a", upstream(json_body('{"text":"café"}'))))
    with httpx.Client(trust_env=False, timeout=20) as client:
        answer = client.post(
            f"{server.url}/fetch-multiple", json={"requests": [{"id": "é", "upstream": "a"}]}
        )
    assert answer.json()["results"][0] | {"elapsed_ms": 0} == {
        "id": "é",
        "ok": True,
        "status": 200,
        "elapsed_ms": 0,
        "attempts": 1,
        "body": {"text": "café"},
    }
