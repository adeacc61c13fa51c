"""Services (SRV, RFC 2782): ports of their own, weights, priorities, and what there is not."""

import collections

import pytest

from certificates import Authorities
from dns_server import NXDOMAIN, SERVFAIL, Service
from fanoutd_process import resolver, run_fanoutd, section
from http_wire import wait_until
from tls_upstream import TlsUpstream, server_context

NAME = "_api._tcp.users.test"
WAYS = ["auto", "curl"]
PATIENT = {"timeout": "20s", "connect_timeout": "10s"}


def serve(fanoutd, dns_address, scheme="http+srv", path="/", names=None, **settings):
    names = {"min_ttl": "1s", "max_ttl": "1s", "failure_ttl": "200ms", **(names or {})}
    return fanoutd(
        resolver(servers=[dns_address], **names),
        section("users", f"{scheme}://{NAME}{path}", **{**PATIENT, **settings}),
        deadline="20s",
        workers=1,
    )


def failure_of(server):
    answer = server.get()
    assert answer.outcomes == {"users": "dns_failure"}
    return answer.result("users")["error"]["message"]


def shares(server, asked, **upstreams):
    """How many of so many requests each of the upstreams sees."""
    before = {name: len(one.requests) for name, one in upstreams.items()}
    for _ in range(asked):
        assert server.get().outcomes == {"users": "ok"}
    seen = {name: len(one.requests) - before[name] for name, one in upstreams.items()}
    assert sum(seen.values()) == asked
    return collections.Counter(seen)


# What is asked, and of whom


@pytest.mark.parametrize("way", WAYS)
def test_the_host_field_is_the_domain_without_a_port(fanoutd, upstream, dns, way):
    one = upstream()
    dns.names[NAME] = [Service(1, 1, one.port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, path="/v1/me?full=1", transport=way)

    assert server.get().outcomes == {"users": "ok"}
    assert one.requests[0].headers["Host"] == "users.test"
    assert one.requests[0].target == "/v1/me?full=1"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    return Authorities(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls(upstream):
    def make(certificate):
        upstream.made.append(TlsUpstream(server_context(certificate)))
        return upstream.made[-1]

    return make


def serve_tls(fanoutd, dns, authorities, port, way):
    dns.names[NAME] = [Service(1, 1, port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    root = f'"{authorities.root.alone}"'
    return serve(fanoutd, dns.address, scheme="https+srv", ca=root, transport=way)


@pytest.mark.parametrize("way", WAYS)
def test_the_certificate_is_that_of_the_domain(fanoutd, tls, authorities, dns, way):
    one = tls(authorities.issue(also="DNS:users.test"))
    server = serve_tls(fanoutd, dns, authorities, one.port, way)

    assert server.get().outcomes == {"users": "ok"}
    assert one.handshakes[0].server_name == "users.test"
    assert one.requests[0].headers["Host"] == "users.test"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["one.test", NAME])
def test_a_certificate_of_the_target_is_not_enough(fanoutd, tls, authorities, dns, name, way):
    one = tls(authorities.issue(also=f"DNS:{name}"))
    server = serve_tls(fanoutd, dns, authorities, one.port, way)

    assert server.get().outcomes == {"users": "tls_error"}
    assert one.requests == []


def test_without_srv_in_the_scheme_the_name_is_a_host(fanoutd, upstream, dns):
    one = upstream()
    dns.names[NAME] = ["127.0.0.1", Service(1, 1, 9, "one.test")]
    server = serve(fanoutd, dns.address, scheme="http", path="", names={})
    assert server.get().outcomes == {"users": "connect_refused"}  # port 80
    server = fanoutd(
        resolver(servers=[dns.address]), section("users", f"http://{NAME}:{one.port}/", **PATIENT)
    )
    assert server.get().outcomes == {"users": "ok"}
    assert one.requests[0].headers["Host"] == f"{NAME}:{one.port}"


def test_the_url_is_printed_as_configured(config_file):
    path = config_file(section("users", f"http+srv://{NAME}/v1"))

    assert f'url = "http+srv://{NAME}/v1"' in " ".join(run_fanoutd("-t", path).stdout.split())


# Weights and priorities


@pytest.mark.parametrize("way", WAYS)
def test_ports_and_weights_are_those_of_the_records(fanoutd, upstream, dns, way):
    light, heavy = upstream(), upstream()
    dns.names[NAME] = [Service(1, 1, light.port, "one.test"), Service(1, 4, heavy.port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, transport=way)

    seen = shares(server, 250, light=light, heavy=heavy)

    assert 20 <= seen["light"] <= 90, seen  # 50, and a deviation of 6.3


def test_weight_0_is_hardly_ever_used(fanoutd, upstream, dns):
    idle, busy = upstream(), upstream()
    dns.names[NAME] = [Service(1, 0, idle.port, "one.test"), Service(1, 1, busy.port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address)

    assert shares(server, 100, idle=idle, busy=busy)["idle"] <= 12


def test_the_addresses_of_a_host_share_its_weight(fanoutd, upstream, dns):
    first, alone = upstream(), upstream()
    second = upstream(host="127.0.0.2", port=first.port)
    dns.names[NAME] = [Service(1, 1, first.port, "two.test"), Service(1, 1, alone.port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    dns.names["two.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve(fanoutd, dns.address)

    seen = shares(server, 240, first=first, second=second, alone=alone)

    assert 85 <= seen["alone"] <= 155, seen  # 120, and a deviation of 7.7
    assert 30 <= seen["first"] <= 95 and 30 <= seen["second"] <= 95, seen


def test_a_higher_priority_value_waits_until_the_others_fail(fanoutd, upstream, dns, refusing_port):
    spare, used = upstream(), upstream()
    dns.names[NAME] = [
        Service(20, 65535, spare.port, "one.test"),
        Service(10, 0, used.port, "one.test"),
    ]
    dns.names["one.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address)
    assert shares(server, 20, spare=spare, used=used) == {"used": 20, "spare": 0}

    dns.names[NAME][1] = Service(10, 0, refusing_port.port, "one.test")
    wait_until(lambda: server.get().outcomes == {"users": "ok"} and spare.requests, "it moves")

    assert shares(server, 10, spare=spare) == {"spare": 10}


def test_when_every_target_refuses_so_does_the_fetch(fanoutd, dns, refusing_port):
    dns.names[NAME] = [Service(n, 1, refusing_port.port, f"host{n}.test") for n in (1, 2, 3)]
    dns.names.update({f"host{n}.test": [f"127.0.0.{n}"] for n in (1, 2, 3)})

    assert serve(fanoutd, dns.address).get().outcomes == {"users": "connect_refused"}


# What there is not


def test_a_service_that_does_not_exist(fanoutd, dns):
    dns.names[NAME] = NXDOMAIN

    assert failure_of(serve(fanoutd, dns.address)) == "no such name"


def test_a_name_that_has_only_addresses(fanoutd, dns):
    dns.names[NAME] = ["127.0.0.1"]

    assert failure_of(serve(fanoutd, dns.address)) == "the name has no SRV record"


def test_a_dot_alone(fanoutd, dns):
    dns.names[NAME] = [Service(0, 0, 0, "")]

    message = failure_of(serve(fanoutd, dns.address))

    assert message == 'the service is not offered (its target is ".")'


def test_targets_without_address(fanoutd, upstream, dns):
    one = upstream()
    dns.names[NAME] = [Service(1, 1, one.port, "one.test"), Service(1, 1, one.port, "two.test")]
    server = serve(fanoutd, dns.address)
    assert failure_of(server) == "no target of the service has an address"

    dns.names["two.test"] = ["127.0.0.1"]

    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "one of them has")


def test_a_target_at_a_denied_address(fanoutd, upstream, dns):
    one = upstream()
    dns.names[NAME] = [Service(1, 1, one.port, "metadata.test")]
    dns.names["metadata.test"] = ["169.254.169.254"]
    server = serve(fanoutd, dns.address)

    assert server.get().outcomes == {"users": "address_denied"}
    dns.names[NAME].append(Service(2, 1, one.port, "one.test"))
    dns.names["one.test"] = ["127.0.0.1"]
    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the other one is found")


# As time goes on


def test_records_that_change_move_the_traffic(fanoutd, upstream, dns):
    old, new = upstream(), upstream()
    dns.names[NAME] = [Service(1, 1, old.port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address)
    assert shares(server, 3, old=old, new=new) == {"old": 3, "new": 0}

    dns.names[NAME] = [Service(1, 1, new.port, "one.test")]
    wait_until(lambda: server.get().outcomes == {"users": "ok"} and new.requests, "it moves")

    assert shares(server, 10, old=old, new=new) == {"old": 0, "new": 10}


def test_while_dns_fails_the_last_targets_serve(fanoutd, upstream, dns):
    one = upstream()
    dns.names[NAME] = [Service(1, 1, one.port, "one.test")]
    dns.names["one.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, names={"stale": "1m"})
    assert server.get().outcomes == {"users": "ok"}
    dns.names[NAME] = dns.names["one.test"] = SERVFAIL

    server_is_asked_again = len(dns.queries)
    wait_until(
        lambda: server.get().outcomes == {"users": "ok"}
        and len(dns.queries) > server_is_asked_again + 2,
        "DNS has failed",
    )

    assert server.get().outcomes == {"users": "ok"}


# A real DNS server


def test_dnsmasq(fanoutd, upstream, dnsmasq):
    one, two = upstream(), upstream(host="127.0.0.2")
    dnsmasq.set_hosts(one=["127.0.0.1"], two=["127.0.0.2"])
    dnsmasq.set_services(f"{NAME},one.test,{one.port},10,1", f"{NAME},two.test,{two.port},20,1")
    server = serve(fanoutd, dnsmasq.address)
    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the service is there")

    assert shares(server, 5, one=one, two=two) == {"one": 5, "two": 0}
    dnsmasq.set_services(NAME)
    wait_until(lambda: server.get().outcomes == {"users": "dns_failure"}, "it is not offered")
    assert failure_of(server) == 'the service is not offered (its target is ".")'
    dnsmasq.set_services(f"{NAME},two.test,{two.port},1,1")
    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "it is offered again")
    assert len(two.requests) == 1


def test_more_records_than_fit_into_a_datagram(fanoutd, upstream, dnsmasq):
    one = upstream()
    names = [f"a-rather-long-name-of-a-host-number-{n}" for n in range(100)]
    dnsmasq.set_hosts(**{name: ["127.0.0.1"] for name in names})
    dnsmasq.set_services(*(f"{NAME},{name}.test,{one.port},10,1" for name in names))
    server = serve(fanoutd, dnsmasq.address)

    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the service is there")
