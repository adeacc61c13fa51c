"""/livez, /readyz and /upstreams."""

from fanoutd_process import section
from scripted_upstream import gated, silence


def test_it_is_alive_and_ready(fanoutd, upstream):
    server = fanoutd(section("a", upstream()))

    assert server.get("/livez").status == 200
    assert server.get("/readyz").status == 200


def test_it_is_alive_and_ready_although_every_upstream_is_down(fanoutd, refusing_port):
    server = fanoutd(section("a", refusing_port))
    server.get()

    assert server.get("/livez").status == 200 and server.get("/readyz").status == 200


def test_it_is_alive_although_every_slot_and_the_queue_are_full(fanoutd, upstream, gate):
    held = gate()
    one = upstream(gated(held))
    server = fanoutd(section("a", one, timeout="60s"), max_in_flight=1, max_queue=1, deadline="60s")
    callers = [server.start_get(), server.start_get()]
    server.wait_for_state(in_flight=1, queued=1)

    assert server.get("/livez").status == 200 and server.get("/readyz").status == 200
    held.open()
    assert [caller.read_answer().status for caller in callers] == [200, 200]


def test_the_state_of_the_upstreams(fanoutd, upstream, refusing_port):
    quiet = upstream(silence)
    server = fanoutd(
        section("good", upstream()),
        section("bad", refusing_port),
        section("quiet", quiet, timeout="60s"),
        deadline="60s",
        max_in_flight=5,
    )
    caller = server.start_get()
    quiet.wait_for_in_flight(1)
    server.wait_for_state(in_flight=1, queued=0)

    state = server.upstreams()
    assert [one["name"] for one in state["upstreams"]] == ["good", "bad", "quiet"]
    for one in state["upstreams"]:
        assert {
            "name",
            "url",
            "in_flight",
            "max_in_flight",
            "queued",
            "requests",
            "outcomes",
        } <= set(one)
    assert [one["in_flight"] for one in state["upstreams"]] == [0, 0, 1]
    assert server.upstream("good")["outcomes"]["ok"] == 1
    assert server.upstream("bad")["outcomes"]["connect_refused"] == 1
    caller.close()


def test_no_secret_of_the_configuration_is_shown(fanoutd, upstream):
    server = fanoutd(section("a", upstream(), header=["X-Api-Key: s3cret"]))

    assert b"s3cret" not in server.get("/upstreams").body
    assert not any("s3cret" in line.text for line in server.log)
