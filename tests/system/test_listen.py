"""Where it listens."""

import os
import socket

import pytest

from fanoutd_process import free_port, run_fanoutd, section


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback here")


def test_port_0_takes_a_free_one_and_the_log_says_which(fanoutd, upstream):
    first, second = (fanoutd(section("a", upstream()), listen='"127.0.0.1:0"') for _ in range(2))

    assert first.port != 0 and second.port != 0 and first.port != second.port
    assert first.get().status == second.get().status == 200


def test_a_given_port(fanoutd, upstream):
    port = free_port()
    server = fanoutd(section("a", upstream()), listen=f'"127.0.0.1:{port}"')

    assert server.addresses == [("127.0.0.1", port)]
    assert server.get().status == 200


@needs_ipv6
def test_ipv6(fanoutd, upstream):
    server = fanoutd(section("a", upstream(host="::1")), listen='"[::1]:0"')

    assert server.addresses[0][0] == "::1"
    assert server.get().outcomes == {"a": "ok"}


@needs_ipv6
def test_two_addresses(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), listen='{ "127.0.0.1:0", "[::1]:0" }')

    assert [host for host, _ in server.addresses] == ["127.0.0.1", "::1"]
    for address in server.addresses:
        assert server.connect(address).ask("GET", "/fetch-multiple").status == 200


@pytest.mark.parametrize("workers", [1, 4])
def test_every_worker_serves(fanoutd, upstream, workers):
    server = fanoutd(section("a", upstream()), workers=workers)
    callers = [server.connect() for _ in range(40)]

    for caller in callers:
        assert caller.ask("GET", "/fetch-multiple").status == 200
    assert server.wait_for_event("ready").fields["workers"] == str(workers)


def test_workers_auto_is_a_worker_for_each_core(fanoutd, upstream):
    server = fanoutd(section("a", upstream()), workers="auto")

    assert server.wait_for_event("ready").fields["workers"] == str(len(os.sched_getaffinity(0)))


def test_a_port_in_use_is_a_clear_error(config_file, upstream):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = run_fanoutd("-c", config_file(section("a", upstream()), listen=f'"{address}"'))

    assert done.returncode not in (0, None) and done.returncode > 0
    assert address in done.stderr and "in use" in done.stderr.lower()


def test_a_second_one_on_the_same_port_is_a_clear_error(fanoutd, config_file, upstream):
    first = fanoutd(section("a", upstream()))
    path = config_file(section("a", upstream()), listen=f'"127.0.0.1:{first.port}"')

    done = run_fanoutd("-c", path)

    assert done.returncode > 0 and "in use" in done.stderr.lower()


def test_an_address_that_is_not_ours_is_a_clear_error(config_file, upstream):
    done = run_fanoutd("-c", config_file(section("a", upstream()), listen='"192.0.2.1:8080"'))

    assert done.returncode > 0 and "192.0.2.1:8080" in done.stderr
