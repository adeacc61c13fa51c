"""The command line, and what is said about a configuration that is wrong."""

import time

import pytest

from fanoutd_process import endpoint, free_port, run_fanoutd, sanitizer, section
from scripted_upstream import answer, silence

GOOD = section("users", "http://127.0.0.1:9/v1", timeout="800ms", header=["X-Key: k"]) + endpoint(
    "/home", upstreams=["users"], require="all", deadline="500ms"
)


def test_version():
    done = run_fanoutd("--version")

    assert done.returncode == 0 and done.stdout.startswith("fanoutd ")


def test_memory_is_allocated_by_jemalloc():
    """A linker leaves out what it takes for unneeded, and nothing else would show it."""
    is_linked = "jemalloc/" in run_fanoutd("--version").stdout

    assert is_linked or sanitizer()


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option):
    done = run_fanoutd(option)

    assert done.returncode == 0
    for mentioned in ("-c", "-t", "--version", "--help", "--health"):
        assert mentioned in done.stdout


@pytest.mark.parametrize("option", ["--wrong", "-x", "stray"])
def test_an_unknown_option(option):
    done = run_fanoutd(option)

    assert done.returncode > 0 and option.lstrip("-") in done.stderr
    assert "--help" in done.stderr or "usage" in done.stderr.lower()


def test_an_option_without_its_file():
    assert run_fanoutd("-c").returncode > 0


def test_a_good_file_is_printed_with_its_effective_settings(config_file):
    done = run_fanoutd("-t", config_file(GOOD))

    assert done.returncode == 0, done.stderr
    for shown in ("users", "http://127.0.0.1:9/v1", "800ms", "/home", "500ms", "max_queue", "4096"):
        assert shown in done.stdout


def test_what_is_printed_is_a_good_file_and_says_the_same(config_file, tmp_path):
    first = run_fanoutd("-t", config_file(GOOD))
    again = tmp_path / "again.conf"
    again.write_text(first.stdout)

    second = run_fanoutd("-t", again)

    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_secrets_from_the_environment_are_taken(config_file):
    path = config_file(section("users", "http://127.0.0.1:9/", header=["X-Key: ${USERS_KEY}"]))

    assert run_fanoutd("-t", path, environment={"USERS_KEY": "k"}).returncode == 0


@pytest.mark.parametrize("option", ["-c", "-t"])
def test_a_missing_file(tmp_path, option):
    done = run_fanoutd(option, tmp_path / "none.conf")

    assert done.returncode > 0 and "none.conf" in done.stderr
    assert "no such file" in done.stderr.lower()


@pytest.mark.parametrize("option", ["-c", "-t"])
def test_a_directory_for_a_file(tmp_path, option):
    done = run_fanoutd(option, tmp_path)

    assert done.returncode > 0 and str(tmp_path) in done.stderr


USERS = 'upstream users {\n  url = "http://127.0.0.1:9/"\n}\n'

WRONG = {
    "unknown option": ("dedline = 1s\n" + USERS, 1, ["dedline", "deadline"]),
    "unknown option of an upstream": (
        'upstream users {\n  url = "http://127.0.0.1:9/"\n  timout = 1s\n}\n',
        3,
        ["timout", "timeout"],
    ),
    "unit": ("deadline = 5 parsecs\n" + USERS, 1, []),
    "no unit": ("deadline = 500\n" + USERS, 1, ["500"]),
    "size": ("max_request_body = 5q\n" + USERS, 1, ["5q"]),
    "number": ("max_in_flight = many\n" + USERS, 1, ["many"]),
    "zero": ("max_in_flight = 0\n" + USERS, 1, ["max_in_flight"]),
    "negative": ("max_queue = -1\n" + USERS, 1, ["max_queue"]),
    "twice": ("deadline = 1s\ndeadline = 2s\n" + USERS, 2, ["deadline"]),
    "no url": ("upstream users {\n  timeout = 1s\n}\n", 1, ["users", "url"]),
    "bad url": ('upstream users {\n  url = "ftp://127.0.0.1/"\n}\n', None, ["users", "url"]),
    "url with a user": ('upstream users {\n  url = "http://a:b@127.0.0.1/"\n}\n', None, ["users"]),
    "name twice": (USERS + USERS, 4, ["users"]),
    "unknown upstream": (
        USERS + 'endpoint "/home" {\n  upstreams = { user }\n}\n',
        None,
        ["user", "users"],
    ),
    "no upstream at all": ("deadline = 1s\n", None, ["upstream"]),
    "unset variable": (
        'upstream users {\n url = "http://127.0.0.1:9/"\n header = { "K: ${FANOUTD_UNSET}" }\n}\n',
        None,
        ["FANOUTD_UNSET"],
    ),
    "header": (
        'upstream users {\n  url = "http://127.0.0.1:9/"\n  header = { "no colon" }\n}\n',
        None,
        ["no colon"],
    ),
    "hop-by-hop header": (
        'upstream users {\n  url = "http://127.0.0.1:9/"\n  header = { "Connection: close" }\n}\n',
        None,
        ["Connection"],
    ),
    "method": (
        'upstream users {\n  url = "http://127.0.0.1:9/"\n  allow_methods = { GTE }\n}\n',
        None,
        ["GTE", "GET"],
    ),
    "require": (USERS + 'endpoint "/home" {\n  require = al\n}\n', None, ["al", "all"]),
    "require more than there are": (
        USERS + 'endpoint "/home" {\n  upstreams = { users }\n  require = 2\n}\n',
        None,
        ["require"],
    ),
    "endpoint twice": (
        USERS
        + 'endpoint "/home" { upstreams = { users } }\n'
        + 'endpoint "/home" { upstreams = { users } }\n',
        5,
        ["/home"],
    ),
    "no end": ('upstream users {\n  url = "http://127.0.0.1:9/"\n', None, []),
    "listen": ('listen = "nowhere"\n' + USERS, 1, ["nowhere"]),
    "log level": ("log_level = loud\n" + USERS, 1, ["loud"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_with_the_place_and_what_was_found(tmp_path, name):
    text, line, hints = WRONG[name]
    path = tmp_path / "upstreams.conf"
    path.write_text(text)

    done = run_fanoutd("-t", path)

    assert done.returncode > 0
    place = f"{path}:{line}:" if line else f"{path}"
    assert place in done.stderr, done.stderr
    for hint in hints:
        assert hint in done.stderr, done.stderr


@pytest.mark.parametrize(
    "text, meant",
    [
        ("dedline = 1s\n" + USERS, "deadline"),
        (USERS + 'endpoint "/home" { upstreams = { user } }\n', "users"),
    ],
)
def test_a_near_miss_is_told_what_would_have_been_right(tmp_path, text, meant):
    path = tmp_path / "upstreams.conf"
    path.write_text(text)

    done = run_fanoutd("-t", path)

    assert "did you mean" in done.stderr and meant in done.stderr


def test_a_wrong_file_is_not_served(tmp_path):
    path = tmp_path / "upstreams.conf"
    path.write_text("dedline = 1s\n" + USERS)

    done = run_fanoutd("-c", path)

    assert done.returncode > 0 and "deadline" in done.stderr


def test_health_of_a_healthy_one(fanoutd, upstream, config_file):
    port = free_port()
    path = config_file(section("a", upstream()), listen=f'"127.0.0.1:{port}"')
    fanoutd(file=path)

    assert run_fanoutd("--health", "-c", path).returncode == 0


def test_health_when_nobody_is_there(config_file):
    path = config_file(GOOD, listen=f'"127.0.0.1:{free_port()}"')

    done = run_fanoutd("--health", "-c", path)

    assert done.returncode == 1 and "no answer" in done.stdout + done.stderr


def test_health_of_one_that_listens_everywhere(fanoutd, upstream, config_file):
    path = config_file(section("a", upstream()), listen=f'"0.0.0.0:{free_port()}"')
    fanoutd(file=path)

    assert run_fanoutd("--health", "-c", path).returncode == 0


def test_health_of_one_that_answers_nothing(config_file, upstream):
    deaf = upstream(silence)
    path = config_file(GOOD, listen=f'"127.0.0.1:{deaf.port}"')

    assert run_fanoutd("--health", "-c", path).returncode == 1


def test_health_does_not_wait_longer_than_it_must(fanoutd, config_file, upstream):
    path = config_file(section("a", upstream()), listen=f'"127.0.0.1:{free_port()}"')
    fanoutd(file=path)
    deaf = config_file(GOOD, listen=f'"127.0.0.1:{upstream(silence).port}"', name="deaf.conf")

    def seconds_for(file, code):
        start = time.monotonic()
        assert run_fanoutd("--health", "-c", file).returncode == code
        return time.monotonic() - start

    assert seconds_for(path, 0) < seconds_for(deaf, 1) / 2


def test_health_of_another_server_that_fails(config_file, upstream):
    failing = upstream(answer(500))
    path = config_file(GOOD, listen=f'"127.0.0.1:{failing.port}"')

    assert run_fanoutd("--health", "-c", path).returncode == 1
