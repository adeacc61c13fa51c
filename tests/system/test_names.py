"""Names: traffic follows a record that changes, and DNS that fails does little harm."""

import time

import pytest

from dns_server import NXDOMAIN, SERVFAIL, WITHHELD
from fanoutd_process import resolver, section
from http_wire import wait_until

QUICK = {"min_ttl": "1s", "max_ttl": "1s", "timeout": "300ms", "tries": 1}


def serve(fanoutd, dns_address, port, **settings):
    return fanoutd(
        resolver(servers=[dns_address], **{**QUICK, **settings}),
        section("users", f"http://users.test:{port}/", timeout="10s", connect_timeout="5s"),
        deadline="15s",
        workers=1,
    )


def pass_time(seconds):
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the time has passed")


def test_a_record_that_changes_moves_the_traffic_and_no_fetch_fails(fanoutd, upstream, dnsmasq):
    old = upstream()
    new = upstream(host="127.0.0.2", port=old.port)
    dnsmasq.set_hosts(users=["127.0.0.1"])
    server = serve(fanoutd, dnsmasq.address, old.port)
    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the name is there")
    assert len(new.requests) == 0

    dnsmasq.set_hosts(users=["127.0.0.2"])
    changed = time.monotonic()
    asked = 0
    while not new.requests:
        assert server.get().outcomes == {"users": "ok"}
        asked += 1
        assert time.monotonic() < changed + 20, "the traffic never moved"
        time.sleep(0.01)
    moved_after = time.monotonic() - changed
    count = len(old.requests)
    for _ in range(20):
        assert server.get().outcomes == {"users": "ok"}

    assert len(old.requests) == count, "some traffic stayed behind"
    assert moved_after < dnsmasq.TTL + 1.5, f"moved after {moved_after:.2f} s, {asked} fetches"


def test_while_dns_is_down_the_last_answer_serves(fanoutd, upstream, dnsmasq):
    one = upstream()
    dnsmasq.set_hosts(users=["127.0.0.1"])
    server = serve(fanoutd, dnsmasq.address, one.port, stale="1m")
    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the name is there")
    dnsmasq.stop()

    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert server.get().outcomes == {"users": "ok"}
        time.sleep(0.05)


def test_dns_that_comes_back_is_asked_again(fanoutd, upstream, dnsmasq):
    old = upstream()
    new = upstream(host="127.0.0.2", port=old.port)
    dnsmasq.set_hosts(users=["127.0.0.1"])
    server = serve(fanoutd, dnsmasq.address, old.port, stale="1m", failure_ttl="200ms")
    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the name is there")
    dnsmasq.stop()
    pass_time(1.2)
    assert server.get().outcomes == {"users": "ok"}
    dnsmasq.set_hosts(users=["127.0.0.2"])
    dnsmasq.start()

    def moved():
        assert server.get().outcomes == {"users": "ok"}
        return new.requests

    wait_until(moved, "the traffic moves")


def test_a_name_that_does_not_exist_is_a_failure_until_it_does(fanoutd, upstream, dnsmasq):
    one = upstream()
    server = serve(fanoutd, dnsmasq.address, one.port, failure_ttl="200ms")
    assert server.get().outcomes == {"users": "dns_failure"}

    dnsmasq.set_hosts(users=["127.0.0.1"])

    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the name is found")


@pytest.mark.parametrize("answered", [SERVFAIL, WITHHELD])
def test_a_server_in_trouble_leaves_the_last_answer_in_place(fanoutd, upstream, dns, answered):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, one.port, stale="1m")
    assert server.get().outcomes == {"users": "ok"}
    dns.names["users.test"] = answered

    end = time.monotonic() + 2.2
    while time.monotonic() < end:
        assert server.get().outcomes == {"users": "ok"}
        time.sleep(0.05)
    assert dns.asked("users.test") >= 2


def test_a_stale_answer_serves_no_longer_than_allowed(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, one.port, stale="500ms", failure_ttl="100ms")
    assert server.get().outcomes == {"users": "ok"}
    dns.names["users.test"] = SERVFAIL

    wait_until(lambda: server.get().outcomes == {"users": "dns_failure"}, "the stale one is gone")


def test_a_failure_is_remembered_for_a_while(fanoutd, upstream, dns):
    dns.names["users.test"] = SERVFAIL
    server = serve(fanoutd, dns.address, 9, failure_ttl="30s")
    assert server.get().outcomes == {"users": "dns_failure"}
    asked = dns.asked("users.test")

    for _ in range(5):
        assert server.get().outcomes == {"users": "dns_failure"}
    assert dns.asked("users.test") == asked


def test_an_answer_is_kept_for_its_time(fanoutd, upstream, dns):
    one = upstream()
    dns.ttl = 300
    dns.names["users.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, one.port, max_ttl="5m")

    for _ in range(10):
        assert server.get().outcomes == {"users": "ok"}
    assert dns.asked("users.test") == 1


def test_a_slow_server_is_waited_for_once_for_all_who_ask(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = WITHHELD
    server = serve(fanoutd, dns.address, one.port, timeout="1s", tries=5)
    callers = [server.start_get() for _ in range(10)]
    dns.wait_until_asked("users.test")
    server.wait_for_state(in_flight=10)
    asked_by_ten = dns.asked("users.test")
    dns.names["users.test"] = ["127.0.0.1"]

    for caller in callers:
        assert caller.read_answer().outcomes == {"users": "ok"}
    assert asked_by_ten == 1 and dns.asked("users.test") <= 3


def test_a_slow_name_does_not_hold_up_others(fanoutd, upstream, dns):
    one = upstream()
    dns.names["slow.test"] = WITHHELD
    dns.names["users.test"] = ["127.0.0.1"]
    server = fanoutd(
        resolver(servers=[dns.address], timeout="2s", tries=1),
        section("slow", "http://slow.test:9/", timeout="30s"),
        section("users", f"http://users.test:{one.port}/"),
        deadline="30s",
        workers=1,
    )
    caller = server.start_get("/fetch-multiple?upstreams=slow")
    dns.wait_until_asked("slow.test")

    assert server.get("/fetch-multiple?upstreams=users").outcomes == {"users": "ok"}
    caller.close()


def test_a_caller_who_leaves_while_the_name_is_looked_up(fanoutd, dns):
    dns.names["users.test"] = WITHHELD
    server = serve(fanoutd, dns.address, 9, timeout="1s", tries=1)
    caller = server.start_get()
    dns.wait_until_asked("users.test")

    caller.close()

    server.wait_for_state(in_flight=0, queued=0)


def test_a_name_that_goes_away_is_a_failure(fanoutd, upstream, dns):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]
    server = serve(fanoutd, dns.address, one.port, stale="200ms", failure_ttl="100ms")
    assert server.get().outcomes == {"users": "ok"}
    dns.names["users.test"] = NXDOMAIN

    wait_until(lambda: server.get().outcomes == {"users": "dns_failure"}, "it is noticed")


def test_more_servers_than_one(fanoutd, upstream, dns, refusing_port):
    one = upstream()
    dns.names["users.test"] = ["127.0.0.1"]
    server = fanoutd(
        resolver(
            servers=[f"127.0.0.1:{refusing_port.port}", dns.address], timeout="300ms", tries=2
        ),
        section("users", f"http://users.test:{one.port}/", timeout="10s"),
        deadline="15s",
        workers=1,
    )
    assert server.get().outcomes == {"users": "ok"}
