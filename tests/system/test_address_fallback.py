"""A name with several addresses: all are used, and one that fails is passed over."""

import pytest

from fanoutd_process import resolver, section


def serve(fanoutd, dns, port, **settings):
    patient = {"timeout": "20s", "connect_timeout": "10s", **settings}
    return fanoutd(
        resolver(servers=[dns.address]),
        section("users", f"http://users.test:{port}/", **patient),
        deadline="20s",
        workers=1,
    )


def test_the_host_header_is_the_name(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]

    assert serve(fanoutd, dns, one.port).get().outcomes == {"users": "ok"}
    assert one.requests[0].headers["Host"] == f"users.test:{one.port}"


@pytest.mark.parametrize("addresses", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_an_address_that_refuses_is_passed_over(fanoutd, upstream, dns, addresses):
    one = upstream()  # on 127.0.0.1 alone
    dns.names["users.test"] = addresses
    server = serve(fanoutd, dns, one.port)

    for _ in range(6):
        assert server.get().outcomes == {"users": "ok"}
    assert len(one.requests) == 6


def test_an_address_that_does_not_answer_is_passed_over(fanoutd, upstream, dns, blackhole):
    one = upstream(host="127.0.0.2", port=blackhole.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve(fanoutd, dns, one.port, connect_timeout="150ms")

    for _ in range(3):
        assert server.get().outcomes == {"users": "ok"}


def test_when_every_address_refuses_so_does_the_fetch(fanoutd, dns, refusing_port):
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]

    answer = serve(fanoutd, dns, refusing_port.port).get()

    assert answer.outcomes == {"users": "connect_refused"}


def test_all_addresses_are_used(fanoutd, upstream, dns):
    first = upstream()
    second = upstream(host="127.0.0.2", port=first.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve(fanoutd, dns, first.port)

    for _ in range(40):
        assert server.get().outcomes == {"users": "ok"}
    assert len(first.requests) >= 5 and len(second.requests) >= 5


def test_ipv6_and_ipv4_of_one_name(fanoutd, upstream, dns):
    one = upstream()  # IPv4 alone
    dns.names["users.test"] = ["::1", "127.0.0.1"]
    server = serve(fanoutd, dns, one.port)

    for _ in range(4):
        assert server.get().outcomes == {"users": "ok"}


def test_ipv6_alone(fanoutd, upstream, dns):
    try:
        one = upstream(host="::1")
    except OSError:
        pytest.skip("no IPv6 on the loopback here")
    dns.names["users.test"] = ["::1"]

    assert serve(fanoutd, dns, one.port).get().outcomes == {"users": "ok"}


def test_localhost_of_the_hosts_file(fanoutd, upstream):
    one = upstream()
    server = fanoutd(section("users", f"http://localhost:{one.port}/"))

    assert server.get().outcomes == {"users": "ok"}


def test_a_request_that_was_sent_is_not_sent_to_the_next_address(fanoutd, upstream, dns):
    def close_at_once(exchange):
        exchange.close()

    first = upstream(close_at_once)
    second = upstream(close_at_once, host="127.0.0.2", port=first.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve(fanoutd, dns, first.port, allow_methods=["POST"])

    answer = server.post({"requests": [{"upstream": "users", "method": "POST"}]})

    assert answer.outcomes == {"users": "reset"}
    assert len(first.requests) + len(second.requests) == 1
