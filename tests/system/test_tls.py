"""TLS to upstreams: whom it trusts, what it says when it does not, and what it keeps."""

import contextlib
import json
import ssl

import pytest

from certificates import Authorities
from fanoutd_process import free_port, resolver, section
from scripted_upstream import delayed, gated, json_body
from tls_upstream import SilentListener, TlsUpstream, server_context

PATIENT = {"timeout": "20s", "connect_timeout": "10s"}


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    return Authorities(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls(upstream):
    """tls(certificate or context, behaviour): a TLS server, checked at the end as any upstream."""

    def make(identity, behaviour=None, **settings):
        context = identity if isinstance(identity, ssl.SSLContext) else server_context(identity)
        upstream.made.append(TlsUpstream(context, behaviour, **settings))
        return upstream.made[-1]

    return make


@pytest.fixture
def ask(fanoutd, authorities):
    """ask(where, option=value…): the one result of the one upstream; by default our root is
    trusted."""

    def make(where, **settings):
        server = serve(fanoutd, authorities, where, **settings)
        return server.get().result("users")

    return make


def quoted(settings):
    return {
        name: f'"{value}"' if name in ("ca", "cert", "key") else value
        for name, value in settings.items()
    }


def serve(fanoutd, authorities, where, before="", **settings):
    settings = {"ca": authorities.root.alone, **PATIENT, **settings}
    settings = {name: value for name, value in settings.items() if value is not None}
    return fanoutd(before, section("users", where, **quoted(settings)), deadline="20s", workers=1)


def failure_of(result):
    assert result["error"]["code"] == "tls_error", result
    assert result["error"]["retryable"] is False
    return result["error"]["message"]


def closing_after(body="{}"):
    """Answers, and ends the connection, so that the next one needs a handshake."""

    def behave(exchange):
        exchange.answer(200, body, "application/json", [("Connection", "close")])
        with contextlib.suppress(OSError):  # the other side may close without a word
            exchange.sock.unwrap()  # a TLS 1.2 session that is cut off is not resumed
        exchange.close()

    return behave


# Whom it trusts


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_chain_to_the_trusted_root(ask, tls, authorities, version):
    context = server_context(authorities.server)
    context.maximum_version = version
    one = tls(context, json_body('{"a":1}'))

    assert ask(one)["body"] == {"a": 1}
    assert one.handshakes[0].version == version.name.replace("_", ".")


def test_the_name_of_the_url_is_asked_for_and_checked(fanoutd, tls, authorities, dns):
    dns.names["users.test"] = ["127.0.0.1"]
    one = tls(authorities.issue(also="DNS:users.test"))
    server = serve(fanoutd, authorities, f"https://users.test:{one.port}/",
                   before=resolver(servers=[dns.address]))  # fmt: skip

    assert server.get().outcomes == {"users": "ok"}
    assert one.handshakes[0].server_name == "users.test"
    assert one.requests[0].headers["Host"] == f"users.test:{one.port}"


def test_a_numeric_url_asks_for_no_name(ask, tls, authorities):
    one = tls(authorities.server)

    assert ask(one)["ok"]
    assert one.handshakes[0].server_name is None


@pytest.mark.parametrize(
    "also, days, words",
    [
        ("DNS:orders.test", (-2, 2), "for another host name"),
        ("IP:127.0.0.9", (-2, 2), "for another host name"),
        ("IP:127.0.0.1", (-2, -1), "has expired"),
        ("IP:127.0.0.1", (1, 2), "is not valid yet"),
    ],
)
def test_a_certificate_that_does_not_fit(ask, tls, authorities, also, days, words):
    one = tls(authorities.issue(also=also, days=days))

    message = failure_of(ask(one))

    assert message == f"127.0.0.1:{one.port}: the certificate {words}".replace(" for", " is for")
    assert one.requests == []


def test_a_self_signed_certificate(ask, tls, authorities):
    one = tls(authorities.issue_self_signed())
    assert failure_of(ask(one)).endswith(": the certificate is self-signed")


def test_a_self_signed_certificate_that_is_trusted_by_name(ask, tls, authorities):
    certificate = authorities.issue_self_signed()
    assert ask(tls(certificate), ca=certificate.alone)["ok"]


@pytest.mark.parametrize("trusted", ["system", "other"])
def test_an_unknown_issuer(ask, tls, authorities, trusted):
    one = tls(authorities.server)
    ca = None if trusted == "system" else authorities.other_root.alone

    assert failure_of(ask(one, ca=ca)).endswith(": the certificate's issuer is unknown")


def test_a_root_that_comes_along_is_no_better(ask, tls, authorities, tmp_path):
    chain = tmp_path / "chain.pem"
    chain.write_text(authorities.server.chain.read_text() + authorities.root.alone.read_text())
    one = tls(server_context(authorities.server, chain))

    message = failure_of(ask(one, ca=authorities.other_root.alone))

    assert ": the certificate's issuer is unknown" in message


def test_a_missing_intermediate(ask, tls, authorities):
    one = tls(server_context(authorities.server, authorities.server.alone))
    assert failure_of(ask(one)).endswith(": the certificate's issuer is unknown")


def test_a_certificate_that_is_not_for_servers(ask, tls, authorities):
    one = tls(authorities.issue(usage="clientAuth"))
    assert failure_of(ask(one)).endswith(": the certificate is not for a server")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_a_protocol_that_is_too_old(ask, tls, authorities):
    context = server_context(authorities.server)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1

    message = failure_of(ask(tls(context)))

    assert message.endswith(": the upstream offers nothing newer than TLS 1.1")


def test_a_server_that_speaks_no_tls(ask, nginx):
    web = nginx("")
    message = failure_of(ask(f"https://127.0.0.1:{web.port}/"))
    assert message.endswith(": the upstream does not speak TLS on this port")


def test_without_verification_anybody_will_do_and_the_log_says_so(fanoutd, tls, authorities):
    one = tls(authorities.issue(also="DNS:orders.test", days=(-2, -1)))
    server = fanoutd(section("users", one, tls_verify=False, **PATIENT), deadline="20s", workers=3)

    assert server.get().outcomes == {"users": "ok"}
    lines = [line for line in server.log if line.event == "tls_not_verified"]
    assert [(line.level, line.fields["upstream"]) for line in lines] == [("warn", "users")]


# Client certificates


def asking_for_a_certificate(authorities, version):
    context = server_context(authorities.server)
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authorities.root.alone)
    context.load_verify_locations(authorities.intermediate.alone)
    return context


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate(ask, tls, authorities, version):
    one = tls(asking_for_a_certificate(authorities, version))
    client = authorities.client

    assert ask(one, cert=client.chain, key=client.key)["ok"]
    assert one.handshakes[0].client["subject"] == ((("commonName", "client"),),)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_that_is_missing(ask, tls, authorities, version):
    one = tls(asking_for_a_certificate(authorities, version))

    message = failure_of(ask(one))

    assert "wants a client certificate" in message
    assert one.requests == []


def test_a_client_certificate_of_another_issuer(ask, tls, authorities):
    one = tls(asking_for_a_certificate(authorities, ssl.TLSVersion.TLSv1_2))
    client = authorities.issue("client", usage="clientAuth", issuer=authorities.other_root)

    message = failure_of(ask(one, cert=client.chain, key=client.key))

    assert message.endswith("does not know the client certificate's issuer")


def test_a_key_that_belongs_to_another_certificate(ask, tls, authorities):
    one = tls(asking_for_a_certificate(authorities, ssl.TLSVersion.TLSv1_3))

    message = failure_of(ask(one, cert=authorities.client.chain, key=authorities.server.key))

    assert message.endswith(": the client certificate or its key can't be used")


def test_a_file_that_goes_away_is_not_named_to_callers(fanoutd, tls, authorities, tmp_path):
    ca = tmp_path / "gone.pem"
    ca.write_text(authorities.root.alone.read_text())
    server = serve(fanoutd, authorities, tls(authorities.server), ca=ca)
    ca.unlink()

    message = failure_of(server.get().result("users"))

    assert message.endswith(": the trusted certificates can't be read")


# What it keeps


def test_a_connection_is_kept(fanoutd, tls, authorities):
    one = tls(authorities.server)
    server = serve(fanoutd, authorities, one)

    for _ in range(10):
        assert server.get().outcomes == {"users": "ok"}
    assert one.connections == 1 and len(one.handshakes) == 1 and len(one.requests) == 10


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed(fanoutd, tls, authorities, version):
    context = server_context(authorities.server)
    context.maximum_version = version
    one = tls(context, closing_after())
    server = serve(fanoutd, authorities, one)

    for _ in range(10):
        assert server.get().outcomes == {"users": "ok"}
    assert [one.is_resumed for one in one.handshakes] == [False] + [True] * 9


def test_fetches_at_once_resume_the_session_of_an_earlier_one(fanoutd, tls, authorities, gate):
    door = gate()
    context = server_context(authorities.server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a ticket of TLS 1.3 is for one use
    one = tls(context, gated(door, closing_after()))
    server = serve(fanoutd, authorities, one)
    door.let_through()
    assert server.get().outcomes == {"users": "ok"}

    callers = [server.start_get() for _ in range(5)]
    one.wait_for_in_flight(5)
    door.open()

    for caller in callers:
        assert caller.read_answer().outcomes == {"users": "ok"}
    assert [one.is_resumed for one in one.handshakes] == [False] + [True] * 5


def test_a_large_body(ask, tls, authorities):
    rows = json.dumps([{"n": n, "text": "x" * 100} for n in range(50000)])
    assert ask(tls(authorities.server, json_body(rows)))["body"] == json.loads(rows)


def test_nginx_over_tls(fanoutd, nginx, authorities):
    port = free_port()
    nginx(
        f"listen 127.0.0.1:{port} ssl; ssl_certificate {authorities.server.chain};"
        f"ssl_certificate_key {authorities.server.key}; ssl_protocols TLSv1.3;"
        "location / { default_type application/json;"
        ' return 200 \'{"c":$connection,"protocol":"$ssl_protocol"}\'; }'
    )
    server = serve(fanoutd, authorities, f"https://127.0.0.1:{port}/")
    bodies = [server.get().result("users")["body"] for _ in range(20)]

    assert {body["protocol"] for body in bodies} == {"TLSv1.3"}
    assert len({body["c"] for body in bodies}) == 1


HTTP2_ROWS = [
    pytest.param("location / { return 200 '[\"$server_protocol\"]'; }", 200, ["HTTP/2.0"], id="200"),
    pytest.param("location / { return 503 '[\"$http_accept\"]'; }", 503, ["*/*"], id="503 and a field"),
    pytest.param("location / { return 204; }", 204, None, id="204"),
]


@pytest.mark.parametrize("location, status, body", HTTP2_ROWS)
def test_http2_goes_by_libcurl(fanoutd, nginx, authorities, location, status, body):
    port = free_port()
    nginx(
        f"listen 127.0.0.1:{port} ssl http2; ssl_certificate {authorities.server.chain};"
        f"ssl_certificate_key {authorities.server.key}; default_type application/json; {location}"
    )
    server = serve(fanoutd, authorities, f"https://127.0.0.1:{port}/", http2=True)
    for _ in range(3):
        result = server.get().result("users")
        assert (result["status"], result["body"]) == (status, body)
    assert server.upstream("users")["transport"] == "curl"


def test_an_upstream_without_http2_is_asked_by_http_1_1(fanoutd, authorities, tls):
    one = tls(authorities.server)
    server = serve(fanoutd, authorities, one, http2=True)
    assert server.get().outcomes == {"users": "ok"}
    assert one.requests[0].version == "HTTP/1.1"


def test_many_http2_fetches_at_once(fanoutd, nginx, authorities):
    port = free_port()
    nginx(
        f"listen 127.0.0.1:{port} ssl http2; ssl_certificate {authorities.server.chain};"
        f"ssl_certificate_key {authorities.server.key}; default_type application/json;"
        "location / { return 200 '[\"$server_protocol\"]'; }"
    )
    server = serve(fanoutd, authorities, f"https://127.0.0.1:{port}/", http2=True, max_in_flight=200)
    requests = [{"id": str(n), "upstream": "users"} for n in range(100)]
    for _ in range(2):
        results = server.post({"requests": requests}).results
        assert {tuple(result["body"]) for result in results} == {("HTTP/2.0",)}


# Handshakes that do not end


@pytest.fixture
def silent():
    listener = SilentListener()
    yield listener
    listener.close()


def test_connect_timeout_covers_the_handshake(ask, silent):
    result = ask(silent, connect_timeout="150ms")

    assert result["error"]["code"] == "connect_timeout", result
    assert result["elapsed_ms"] >= 150


@pytest.mark.parametrize("transport", ["auto", "curl"])
def test_connect_timeout_ends_with_the_handshake(fanoutd, authorities, tls, transport):
    """On a new connection and on a kept one."""
    one = tls(authorities.server, delayed(0.6))
    settings = {"connect_timeout": "500ms", "transport": transport}
    server = serve(fanoutd, authorities, one, **settings)

    assert [server.get().outcomes for _ in range(2)] == [{"users": "ok"}] * 2
    assert one.connections == 1


def test_a_caller_who_leaves_ends_the_handshake(fanoutd, authorities, silent):
    server = serve(fanoutd, authorities, silent)
    caller = server.start_get()
    sock = silent.accept()
    assert sock.recv(1), "the handshake began"

    caller.close()

    while sock.recv(65536):
        pass
    sock.close()
    server.wait_for_state(in_flight=0, queued=0)


def test_a_server_that_closes_in_the_handshake(fanoutd, authorities, silent):
    server = serve(fanoutd, authorities, silent)
    caller = server.start_get()
    sock = silent.accept()
    assert sock.recv(65536)
    sock.close()

    message = failure_of(caller.read_answer().result("users"))

    assert message.endswith(": the connection was closed during the TLS handshake")


def test_a_failed_handshake_is_not_tried_at_the_next_address(fanoutd, tls, authorities, dns):
    bad = tls(authorities.issue(also="DNS:orders.test"))
    good = tls(authorities.server, host="127.0.0.2", port=bad.port)
    dns.names["users.test"] = ["127.0.0.1", "127.0.0.2"]
    server = serve(fanoutd, authorities, f"https://users.test:{bad.port}/",
                   before=resolver(servers=[dns.address]))  # fmt: skip

    outcomes = [server.get().outcomes["users"] for _ in range(8)]

    assert outcomes.count("tls_error") == bad.connections > 0
    assert outcomes.count("ok") == len(good.requests) > 0
    assert len(outcomes) == bad.connections + len(good.requests)
