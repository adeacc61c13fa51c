"""What callers send that they should not, or rarely do, byte by byte, and what must come of it.

The status lines stand in the order of the answers; then the connection is closed, stays open for
more, or the last request is not whole. GOOD asks the upstream once; whatever else would, must not,
unless `reached` says so.
"""

from dataclasses import dataclass

CLOSED, OPEN, UNFINISHED = "closed", "open", "unfinished"

GOOD = b"GET /fetch-multiple HTTP/1.1\r\nHost: a\r\n\r\n"

GET = b"GET /fetch-multiple HTTP/1.1\r\nHost: a\r\n"

POST = b"POST /fetch-multiple HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

TE = b"Transfer-Encoding: chunked\r\n"

BODY = b'{"requests":[{"upstream":"a"}]}'

IN_CHUNKS = b"%x\r\n%s\r\n" % (len(BODY), BODY)

LENGTH = b"Content-Length: %d\r\n" % len(BODY)

LAST = b"0\r\n\r\n"

# A second request that only one of two readers sees.
HIDDEN = GOOD


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    statuses: tuple
    end: str
    reached: int | None = None  # requests at the upstream; None: one for each 200
    to_head: bool = False  # the first one asks with HEAD


def refused(name, data, status=400, **more):
    return Case(name, data, (status,), CLOSED, 0, **more)


def taken(name, data, *statuses, end=OPEN, **more):
    return Case(name, data, statuses or (200,), end, **more)


def unfinished(name, data, *statuses):
    return Case(name, data, statuses, UNFINISHED)


def line(data, status=400):
    """A request line, and all else as it should be."""
    return refused(f"the request line {shown(data)}", data + b"\r\nHost: a\r\n\r\n", status)


def field(data, status=400):
    return refused(f"the field {shown(data)}", GET + data + b"\r\n\r\n", status)


def host(value):
    return refused(
        f"the host {shown(value)}",
        b"GET /fetch-multiple HTTP/1.1\r\nHost:" + value + b"\r\n\r\n",
    )


def fine_host(value):
    return taken(
        f"the host {shown(value)}",
        b"GET /fetch-multiple HTTP/1.1\r\nHost:" + value + b"\r\n\r\n",
    )


def shown(data):
    return repr(data[:40].decode("latin-1"))


LINES = [
    line(b"get /fetch-multiple HTTP/1.1", 501),
    line(b"GeT /fetch-multiple HTTP/1.1", 501),
    line(b"BREW /fetch-multiple HTTP/1.1", 501),
    line(b"A" * 5000 + b" /fetch-multiple HTTP/1.1", 501),
    line(b"G\xc9T /fetch-multiple HTTP/1.1"),
    line(b"G\0T /fetch-multiple HTTP/1.1"),
    line(b"GET\t/fetch-multiple HTTP/1.1"),
    line(b" GET /fetch-multiple HTTP/1.1"),
    line(b"\tGET /fetch-multiple HTTP/1.1"),
    line(b"GET  /fetch-multiple HTTP/1.1"),
    line(b"GET /fetch-multiple  HTTP/1.1"),
    line(b"GET /fetch-multiple HTTP/1.1 "),
    line(b"GET /fetch-multiple\tHTTP/1.1"),
    line(b"GET /fetch-multiple x HTTP/1.1"),
    line(b"GET /fetch-multiple HTTP/1.1 HTTP/1.1"),
    line(b"GET\x0b/fetch-multiple HTTP/1.1"),
    line(b"GET /fetch-multiple"),
    line(b"GET /fetch-multiple "),
    line(b"GET HTTP/1.1"),
    line(b"GET"),
    line(b"/fetch-multiple HTTP/1.1"),
    line(b"GET /fetch-multiple http/1.1"),
    line(b"GET /fetch-multiple Http/1.1"),
    line(b"GET /fetch-multiple HTTP/1"),
    line(b"GET /fetch-multiple HTTP/1."),
    line(b"GET /fetch-multiple HTTP/1.10"),
    line(b"GET /fetch-multiple HTTP/01.1"),
    line(b"GET /fetch-multiple HTTP/+1.1"),
    line(b"GET /fetch-multiple HTTP/1,1"),
    line(b"GET /fetch-multiple HTTP /1.1"),
    line(b"GET /fetch-multiple HTTP/ 1.1"),
    line(b"GET /fetch-multiple HTTPS/1.1"),
    line(b"GET /fetch-multiple XTTP/1.1"),
    line(b"GET /fetch-multiple HTTP/1.2", 505),
    line(b"GET /fetch-multiple HTTP/1.9", 505),
    line(b"GET /fetch-multiple HTTP/0.9", 505),
    line(b"GET /fetch-multiple HTTP/2.0", 505),
    line(b"GET /fetch-multiple HTTP/3.0", 505),
    line(b"GET /fetch-multiple HTTP/9.9", 505),
    line(b"GET http://a/fetch-multiple HTTP/1.1"),
    line(b"GET HTTP://b/fetch-multiple HTTP/1.1"),
    line(b"GET a/fetch-multiple HTTP/1.1"),
    line(b"GET a:80 HTTP/1.1"),
    line(b"GET //b/fetch-multiple HTTP/1.1"),
    line(b"GET /fetch-multiple#here HTTP/1.1"),
    line(b"GET ?shape=map HTTP/1.1"),
    line(b"GET * HTTP/1.1"),
    line(b"GET \\fetch-multiple HTTP/1.1"),
    line(b"GET /fetch-multiple?a=\xff HTTP/1.1"),
    line(b"GET /fetch-multiple?a=\x7f HTTP/1.1"),
    line(b"GET /fetch-multiple?a=\x01 HTTP/1.1"),
    line(b"GET /fetch-multiple?a=\0 HTTP/1.1"),
    line(b"GET /fetch-multiple?a=% HTTP/1.1"),
    line(b"GET /fetch-multiple?a=%4 HTTP/1.1"),
    line(b"GET /fetch-multiple?a=%zz HTTP/1.1"),
    line(b"GET /fetch-multiple?a=%u0041 HTTP/1.1"),
    line(b"GET /fetch-multiple%00 HTTP/1.1"),
    line(b"GET /" + b"a" * 8192 + b" HTTP/1.1", 414),
    line(b"CONNECT a:80 HTTP/1.1", 501),
    line(b"CONNECT /fetch-multiple HTTP/1.1", 501),
    refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505),
    refused("HTTP/0.9", b"GET /fetch-multiple\r\n"),
    refused("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    refused("a greeting of SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    refused("a PROXY line", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + GOOD, 501),
    refused("a request line that ends in LF", b"GET /fetch-multiple HTTP/1.1\nHost: a\r\n\r\n"),
    refused("a request line that ends in CR", b"GET /fetch-multiple HTTP/1.1\rHost: a\r\n\r\n"),
    refused(
        "a request line that ends in CR CR LF", b"GET /fetch-multiple HTTP/1.1\r\r\nHost: a\r\n\r\n"
    ),
    refused("nothing but LF", b"\n\n\n"),
    refused("nothing but NUL", b"\0\0\0\0"),
    refused("empty lines for ever", b"\r\n" * 5000),
    refused("a status line", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    taken("the longest target", b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    taken("an empty line before it", b"\r\n" + GOOD),
    taken("empty lines between two", GOOD + b"\r\n\r\n" + GOOD, 200, 200),
    taken("a path that is nowhere", b"GET /%2e%2e/%2Fetc HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    taken("OPTIONS of everything", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    taken("DELETE where there is none", b"DELETE /fetch-multiple HTTP/1.1\r\nHost: a\r\n\r\n", 405),
]

HOSTS = [
    refused("no host", b"GET /fetch-multiple HTTP/1.1\r\n\r\n"),
    refused("a host twice, the same", GET + b"Host: a\r\n\r\n"),
    refused("a host twice, in two cases", GET + b"hOST: b\r\n\r\n"),
    host(b" a b"),
    host(b" a, b"),
    host(b" a/b"),
    host(b" a?b"),
    host(b" a#b"),
    host(b" user@a"),
    host(b" http://a"),
    host(b" a:80:80"),
    host(b" a:b"),
    host(b" a:-1"),
    host(b" a:65536"),
    host(b" [::1"),
    host(b" ::1"),
    host(b" [::g]"),
    host(b" [::1]a"),
    host(b" a\\b"),
    host(b" a\x01"),
    host(b" \xff"),
    host(b" a%zz"),
    host(b" a%00"),
    refused("a host too long", b"GET / HTTP/1.1\r\nHost: " + b"a" * 300 + b"\r\n\r\n", 431),
    fine_host(b""),
    fine_host(b"a"),
    fine_host(b" a:"),
    fine_host(b"\ta.b:80\t"),
    fine_host(b" [::1]:80"),
    fine_host(b" 127.0.0.1:65535"),
    fine_host(b" a_b-c~d"),
]

FIELDS = [
    field(b"X : y"),
    field(b"X\t: y"),
    field(b" X: y"),
    field(b"X"),
    field(b": y"),
    field(b"X Y: z"),
    field(b"X(: y"),
    field(b"X\xff: y"),
    field(b"X\0: y"),
    field(b'"X": y'),
    field(b"X: a\0b"),
    field(b"X: a\x01b"),
    field(b"X: a\x0bb"),
    field(b"X: a\x0cb"),
    field(b"X: a\x7fb"),
    field(b"X: a\x1b[2J"),
    field(b"X: a\rb"),
    field(b"X: a\r\rb"),
    field(b"X: a\r\n b"),
    field(b"X: a\r\n\tb"),
    field(b"X:\r\n b"),
    field(b"X: a\nY: b"),
    field(b"X: a\n b"),
    field(b"X: y\r\r"),
    field(b"Expect: 200-ok", 417),
    field(b"Expect: 100-continue, x", 417),
    field(b"Expect: ", 417),
    field(b"X: " + b"y" * 33000, 431),
    field(b"X" * 33000 + b": y", 431),
    field(b"\r\n".join(b"X-%d: y" % n for n in range(100)), 431),
    refused("a folded first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused("a head that ends in LF", GET + b"\n"),
    refused("a head that ends in CR", GET + b"\r\r"),
    refused("a head all of LF", GOOD.replace(b"\r\n", b"\n")),
    taken("a tab before a value", GET + b"X:\ty\r\n\r\n"),
    taken("no value", GET + b"X:\r\nY: \r\n\r\n"),
    taken("high bytes in a value", GET + b"X: \xff\xc3\xa9\r\n\r\n"),
    taken("odd names", GET + b"!#$%&'*+-.^_`|~1: y\r\n\r\n"),
    taken(
        "names in odd cases",
        b"GET /fetch-multiple HTTP/1.1\r\nhOsT: a\r\ncOnNeCtIoN: kEeP-aLiVe\r\n\r\n",
    ),
    taken("a hundred fields", GET + b"X: y\r\n" * 99 + b"\r\n"),
    taken("30 KB of a field", GET + b"X: " + b"y" * 30000 + b"\r\n\r\n"),
    taken(
        "a name with underscores is another name",
        GET + b"Transfer_Encoding: chunked\r\nContent_Length: 9\r\n\r\n",
    ),
    unfinished("a request line without an end", b"GET /fetch-multiple"),
    unfinished("a head without an end", GET),
    unfinished("a good one, and half of another", GOOD + GET, 200),
]

OLD = b"GET /fetch-multiple HTTP/1.0\r\n"

CLOSE = b"Connection: close\r\n"

CONNECTIONS = [
    taken("HTTP/1.0", OLD + b"\r\n", end=CLOSED),
    taken("HTTP/1.0 with a host", OLD + b"Host: a\r\n\r\n", end=CLOSED),
    taken("HTTP/1.0 with keep-alive", OLD + b"Connection: keep-alive\r\n\r\n"),
    taken("HTTP/1.0 with an expectation", OLD + b"Expect: 100-continue\r\n\r\n", end=CLOSED),
    taken("HTTP/1.0 and bytes behind it", OLD + b"\r\n" + HIDDEN, end=CLOSED),
    taken(
        "HTTP/1.0 with a length",
        b"POST /fetch-multiple HTTP/1.0\r\nContent-Type: application/json\r\n"
        + LENGTH
        + b"\r\n"
        + BODY,
        end=CLOSED,
    ),
    refused("HTTP/1.0 with two hosts", OLD + b"Host: a\r\nHost: a\r\n\r\n"),
    taken("close", GET + CLOSE + b"\r\n", end=CLOSED),
    taken("CLOSE in a list", GET + b"Connection: x, CLOSE\r\n\r\n", end=CLOSED),
    taken(
        "close in a second field", GET + b"Connection: keep-alive\r\n" + CLOSE + b"\r\n", end=CLOSED
    ),
    taken("close and a request behind it", GET + CLOSE + b"\r\n" + HIDDEN, end=CLOSED),
    taken("close and nonsense behind it", GET + CLOSE + b"\r\n\0\0nonsense\n\n", end=CLOSED),
    taken(
        "close and a body, and a request behind it",
        POST + CLOSE + LENGTH + b"\r\n" + BODY + HIDDEN,
        end=CLOSED,
    ),
    taken("an upgrade that nobody offers", GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    taken("HEAD", b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n", reached=0, to_head=True),
    taken(
        "HEAD, and the next request",
        b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n" + GOOD,
        200,
        200,
        reached=1,
        to_head=True,
    ),
    taken("three at once", GOOD * 3, 200, 200, 200),
    taken(
        "good, unknown, good",
        GOOD + b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" + GOOD,
        200,
        404,
        200,
    ),
    taken(
        "good, senseless, good", GOOD + POST + b"Content-Length: 2\r\n\r\n[]" + GOOD, 200, 400, 200
    ),
    Case("good, good, bad", GOOD * 2 + b"nonsense\r\n\r\n", (200, 200, 400), CLOSED),
    Case("good, bad, good", GOOD + b"GET / HTTP/1.1\r\n\r\n" + GOOD, (200, 400), CLOSED),
    Case(
        "good, and two lengths",
        GOOD + POST + LENGTH + LENGTH + b"\r\n" + BODY + GOOD,
        (200, 400),
        CLOSED,
    ),
    Case("good, and a bad chunk", GOOD + CHUNKED + b"zz\r\n" + GOOD, (200, 400), CLOSED),
    Case(
        "good, and too large", GOOD + POST + b"Content-Length: 99999999\r\n\r\n", (200, 413), CLOSED
    ),
    Case("good, and HTTP/2", GOOD + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (200, 505), CLOSED),
    Case(
        "chunks, good, and a bare LF",
        CHUNKED + IN_CHUNKS + LAST + GOOD + GET + b"\n",
        (200, 200, 400),
        CLOSED,
    ),
    Case(
        "unknown, and nonsense", b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n\0", (404, 400), CLOSED
    ),
    Case(
        "good, and two hosts in HTTP/1.0",
        GOOD + OLD + b"Host: a\r\nHost: b\r\n\r\n",
        (200, 400),
        CLOSED,
    ),
]

CASES = [*LINES, *HOSTS, *FIELDS, *CONNECTIONS]
