"""Fixtures of the system tests: the real binary, scripted and real upstreams.

FANOUTD=/path names another binary (one built with sanitizers, say);
FANOUTD_SLOWNESS=5 makes every bound on waiting five times longer.
"""

import os

import pytest

pytest.register_assert_rewrite("http_wire", "scripted_upstream", "fanoutd_process", "real_servers")

import fanoutd_process
import real_servers
from dns_server import DnsServer
from scripted_upstream import Blackhole, Gate, RefusingPort, Upstream


def pytest_sessionstart(session):
    if not os.access(fanoutd_process.BINARY, os.X_OK):
        pytest.exit(f"no binary at {fanoutd_process.BINARY}: run make first", returncode=3)


@pytest.fixture
def upstream(gate):
    """upstream(behaviour): a scripted server on a port of its own."""
    made = []

    def make(behaviour=None, **settings):
        made.append(Upstream(behaviour, **settings))
        return made[-1]

    make.made = made
    yield make
    for one in made:
        one.close()
    assert [one.failure for one in made if one.failure] == []


@pytest.fixture
def gate():
    """gate(): holds upstreams back until it is opened."""
    made = []

    def make():
        made.append(Gate())
        return made[-1]

    yield make
    for one in made:
        os.close(one.fd)


@pytest.fixture
def blackhole():
    hole = Blackhole()
    yield hole
    hole.close()


@pytest.fixture
def refusing_port():
    port = RefusingPort()
    yield port
    port.close()


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.close()


@pytest.fixture
def config_file(tmp_path):
    """config_file(parts…, option=value…): writes a configuration, returns its path."""

    def write(*parts, name="upstreams.conf", **top):
        settings = {"listen": '"127.0.0.1:0"', "workers": 3, **top}
        path = tmp_path / name
        path.write_text(fanoutd_process.options(settings) + "\n" + "".join(parts))
        return path

    return write


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test is reported with what the binary logged."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for number, server in enumerate(getattr(item, "started_fanoutd", [])):
            text = "\n".join(line.text for line in server.log)
            report.sections.append((f"log of fanoutd {number}", text))


@pytest.fixture
def fanoutd(request, upstream, gate, dns, config_file):
    """fanoutd(parts…, option=value…): the binary, serving a configuration."""
    made = request.node.started_fanoutd = []

    def make(*parts, environment=None, file=None, **top):
        name = f"upstreams-{len(made)}.conf"
        path = file or config_file(*parts, name=name, **top)
        made.append(fanoutd_process.Fanoutd(path, environment))
        made[-1].wait_until_ready()
        return made[-1]

    yield make
    try:
        for one in made:
            one.check_end(upstream.made)
    finally:
        for one in made:
            one.kill()


@pytest.fixture(scope="session")
def httpbin():
    server = real_servers.start_httpbin()
    yield server
    server.stop()


@pytest.fixture
def nginx(tmp_path):
    """nginx(text of a server section): serves it, returns its URL."""
    made = []

    def make(server_text):
        made.append(real_servers.start_nginx(tmp_path / f"nginx-{len(made)}", server_text))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def dnsmasq(tmp_path):
    server = real_servers.Dnsmasq(tmp_path)
    yield server
    server.stop()
