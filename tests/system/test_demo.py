"""The shipped upstreams.conf: what one sees at the first try."""

import re

import pytest

from fanoutd_process import TOP, free_port, run_fanoutd


@pytest.fixture
def shipped(tmp_path):
    """The shipped file, moved to ports that are free."""
    text = (TOP / "upstreams.conf").read_text()
    assert '"0.0.0.0:8080"' in text and "127.0.0.1:8081" in text
    path = tmp_path / "upstreams.conf"
    path.write_text(
        text.replace('"0.0.0.0:8080"', '"127.0.0.1:0"').replace(
            "127.0.0.1:8081", f"127.0.0.1:{free_port()}"
        )
    )
    return path


def test_one_is_slow_one_fails_and_the_others_answer(fanoutd, shipped):
    server = fanoutd(file=shipped)
    server.wait_for_event("demo_listening")

    answer = server.get()

    assert answer.status == 200 and answer.headers["X-Fanout-Complete"] == "false"
    assert answer.document["status"] == "partial"
    assert answer.outcomes == {
        "users": "ok",
        "orders": "ok",
        "weather": "ok",
        "recommendations": "timeout",
        "ads": "http_status",
    }
    assert answer.result("ads")["status"] == 503
    assert b"9007199254740993" in answer.body


def test_the_ones_that_work_are_complete(fanoutd, shipped):
    answer = fanoutd(file=shipped).get("/fetch-multiple?upstreams=users,weather&require=all")

    assert answer.status == 200 and answer.headers["X-Fanout-Complete"] == "true"


def test_the_shipped_file_is_a_good_one(tmp_path):
    done = run_fanoutd("-t", TOP / "upstreams.conf")

    assert done.returncode == 0 and done.stderr == ""


def settings_shown(path):
    """{section: {option: value}} of what -t prints; the top's section is ""."""
    done = run_fanoutd("-t", path)
    assert done.returncode == 0, done.stderr
    sections = {"": {}}
    section = ""
    for line in done.stdout.splitlines():
        text = line.split(" # ")[0].strip()
        if text.endswith("{") and "=" not in text:
            section = text[:-1].strip()
            sections[section] = {}
        elif text == "}":
            section = ""
        elif text:
            option, value = text.split("=", 1)
            sections[section][option.strip()] = value.strip()
    return sections


def test_every_default_that_the_shipped_file_tells_of_is_the_real_one(tmp_path):
    text = (TOP / "upstreams.conf").read_text()
    told = tmp_path / "told.conf"
    option = r"(  )?[a-z0-9_]+ += \S"
    rest_of_list = r" {20,}[^#\n]*\}"
    section = "(upstream|defaults|endpoint|resolver) "
    told.write_text(re.sub(rf"(?m)^# (?={option}|{rest_of_list}|{section}|\}})", "", text))

    said = settings_shown(told)
    real = settings_shown(TOP / "upstreams.conf")

    assert len(told.read_text()) < len(text) - 50
    assert said[""] == real[""]
    assert said["resolver"] == real["resolver"]
    assert {**said["upstream NAME"], "url": None} == {**real["upstream users"], "url": None}
    home, default = said['endpoint "/home"'], real['endpoint "/fetch-multiple"']
    assert {**home, "upstreams": None} == {**default, "upstreams": None}
