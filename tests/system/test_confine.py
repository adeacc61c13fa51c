"""The serving process gives up what it never needs, and all that it needs goes on."""

import pathlib
import socket
import ssl
import subprocess
import threading

import pytest

from fanoutd_process import resolver, section
from http_wire import WAIT_SECONDS, wait_until
from scripted_upstream import answer_bytes, json_body

SECCOMP_FILTER = "2"


@pytest.fixture
def certificate(tmp_path):
    """A certificate of its own authority for 127.0.0.1: the file, and that of its key."""
    directory = tmp_path / "certificate"
    directory.mkdir()
    files = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
        check=True,
        capture_output=True,
    )
    return files


def serve(fanoutd, *parts, **settings):
    """Skips where the kernel has neither part of it."""
    server = fanoutd(*parts, **settings)
    if server.wait_for_event("confined").fields["seccomp"] == "no":
        pytest.skip("no seccomp here")
    return server


def statuses(server):
    """/proc/PID/status of every thread."""
    for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        yield dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_every_thread_is_confined(fanoutd, upstream):
    server = serve(fanoutd, section("a", upstream(json_body())), workers=3)
    assert server.get().outcomes == {"a": "ok"}

    seen = list(statuses(server))

    assert len(seen) >= 4
    assert {status["NoNewPrivs"] for status in seen} == {"1"}
    assert {status["Seccomp"] for status in seen} == {SECCOMP_FILTER}


def test_the_log_says_so_before_it_serves(fanoutd, upstream):
    server = serve(fanoutd, section("a", upstream(json_body())))
    events = [line.event for line in server.log]

    assert events.index("confined") < events.index("ready")
    assert server.wait_for_event("confined").fields["landlock"].isdigit()


def test_an_option_leaves_it_out(fanoutd, upstream):
    server = fanoutd(section("a", upstream(json_body())), confine=False)
    before = {status["Seccomp"] for status in statuses(server)}

    assert server.wait_for_event("not_confined")
    assert before == {
        line.split(":\t")[1]
        for line in pathlib.Path("/proc/self/status").read_text().splitlines()
        if line.startswith("Seccomp:")
    }
    assert server.get().outcomes == {"a": "ok"}


def test_names_of_the_hosts_file_are_found(fanoutd, upstream):
    lines = pathlib.Path("/etc/hosts").read_text().splitlines()
    names = [line.split()[1:] for line in lines if line.startswith("127.0.0.1")]
    if not names:
        pytest.skip("no name for 127.0.0.1 in /etc/hosts")
    one = upstream(json_body())
    url = f"http://{names[0][-1]}:{one.port}/"
    server = serve(fanoutd, section("a", url, timeout="10s"), deadline="15s")

    assert server.get().outcomes == {"a": "ok"}


def test_names_of_a_server_are_found(fanoutd, upstream, dnsmasq):
    one = upstream(json_body())
    dnsmasq.set_hosts(users=["127.0.0.1"])
    server = serve(
        fanoutd,
        resolver(servers=[dnsmasq.address], failure_ttl="100ms"),
        section("users", f"http://users.test:{one.port}/", timeout="10s"),
        deadline="15s",
    )

    wait_until(lambda: server.get().outcomes == {"users": "ok"}, "the name is there")


@pytest.fixture
def tls_port(certificate):
    """Of a TLS server, one connection after the other, that wants to see the certificate too."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate[0])
    context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_all():
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as stream:
                    stream.recv(65536)
                    stream.sendall(answer_bytes(200, "{}", "application/json"))
            except OSError:
                pass

    thread = threading.Thread(target=answer_all, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(WAIT_SECONDS)


def test_certificates_are_read_when_they_are_needed(fanoutd, certificate, tls_port):
    cert, key = map(str, certificate)
    url = f"https://127.0.0.1:{tls_port}/"
    patient = {"timeout": "10s", "connect_timeout": "5s"}
    server = serve(
        fanoutd,
        section("own", url, ca=cert, cert=cert, key=key, **patient),
        section("usual", url, **patient),
        deadline="15s",
    )

    for _ in range(2):
        assert server.get("/fetch-multiple?upstreams=own").outcomes == {"own": "ok"}
    error = server.get("/fetch-multiple?upstreams=usual").json()["errors"][0]
    assert error["code"] == "tls_error", error
    assert "self" in error["message"], error


def test_a_drain_ends_well(fanoutd, upstream):
    server = serve(fanoutd, section("a", upstream(json_body())))
    assert server.get().outcomes == {"a": "ok"}

    assert server.stop() == 0
