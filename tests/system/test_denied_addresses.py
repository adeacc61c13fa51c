"""Addresses that are never connected to, whatever name leads there."""

import pytest

from fanoutd_process import resolver, run_fanoutd, section

METADATA = "169.254.169.254"


def serve(fanoutd, dns, port, **top):
    return fanoutd(
        resolver(servers=[dns.address]),
        section("users", f"http://users.test:{port}/", timeout="20s", connect_timeout="10s"),
        workers=1,
        **{"deadline": "20s", **top},
    )


def failure_of(answer):
    result = answer.result("users")
    assert answer.outcomes == {"users": "address_denied"}
    assert answer.status == 502 and result["error"]["retryable"] is False
    return result["error"]["message"]


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "169.254.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
    ],
)
def test_a_name_that_leads_to_a_denied_address_alone(fanoutd, dns, address):
    dns.names["users.test"] = [address]

    message = failure_of(serve(fanoutd, dns, 80).get())

    assert message == f"the address {address} is denied by deny_addresses"


@pytest.mark.parametrize("addresses", [[METADATA, "127.0.0.1"], ["127.0.0.1", METADATA]])
def test_a_denied_address_among_others_is_passed_over(fanoutd, upstream, dns, addresses):
    one = upstream()
    dns.names["users.test"] = addresses
    server = serve(fanoutd, dns, one.port)

    for _ in range(6):
        assert server.get().outcomes == {"users": "ok"}
    assert len(one.requests) == 6


def test_what_went_wrong_with_the_others_is_told(fanoutd, dns, refusing_port):
    dns.names["users.test"] = [METADATA, "127.0.0.1"]
    server = serve(fanoutd, dns, refusing_port.port)

    for _ in range(4):
        assert server.get().outcomes == {"users": "connect_refused"}


def test_the_list_is_the_operators(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns, one.port, deny_addresses=["127.0.0.0/31", "10.0.0.0/8"])

    assert "127.0.0.1" in failure_of(server.get())
    assert one.connections == 0


def test_one_address_beside_a_denied_one_is_used(fanoutd, upstream, dns):
    one = upstream(host="127.0.0.2")
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve(fanoutd, dns, one.port, deny_addresses=["127.0.0.1"])

    assert server.get().outcomes == {"users": "ok"}


def test_nothing_is_denied_by_an_empty_list(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]

    assert serve(fanoutd, dns, one.port, deny_addresses=[]).get().outcomes == {"users": "ok"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_that_stands_in_the_url_was_meant(fanoutd, upstream, host):
    one = upstream(host=host.strip("[]"))
    server = fanoutd(section("users", one), deny_addresses=["127.0.0.0/8", "::/0"])

    assert server.get().outcomes == {"users": "ok"}


def test_a_name_from_the_hosts_file_is_no_exception(fanoutd, upstream):
    one = upstream()
    server = fanoutd(
        section("users", f"http://localhost:{one.port}/"), deny_addresses=["127.0.0.0/8", "::1"]
    )

    failure_of(server.get())
    assert one.connections == 0


@pytest.mark.parametrize(
    "text, words",
    [
        ("metadata.test", "must be an address or a range, like 169.254.0.0/16 or fe80::/10"),
        ("127.0.0.1:80", "must be an address or a range, like 169.254.0.0/16 or fe80::/10"),
        ("fe80::1%lo", "must be an address or a range, like 169.254.0.0/16 or fe80::/10"),
        ("10.0.0.0/33", "what follows '/' must be a number from 0 to 32"),
        ("10.0.0.0/", "what follows '/' must be a number from 0 to 32"),
        ("fe80::/129", "what follows '/' must be a number from 0 to 128"),
        ("10.1.0.0/8", "the address has bits set behind those that '/' counts"),
    ],
)
def test_what_is_no_range_is_refused(config_file, text, words):
    path = config_file(section("users", "http://127.0.0.1:9/"), deny_addresses=[text])

    done = run_fanoutd("-t", path)

    assert done.returncode == 1
    assert done.stderr == f"{path}:1: deny_addresses '{text}': {words}\n"
