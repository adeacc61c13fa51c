"""Requests whose end two readers may see at different places (RFC 9112, 6 and 7)."""

from bad_requests import (
    BODY,
    CHUNKED,
    CLOSED,
    GET,
    GOOD,
    HIDDEN,
    IN_CHUNKS,
    LAST,
    LENGTH,
    POST,
    TE,
    Case,
    refused,
    shown,
    taken,
    unfinished,
)


def length(value, status=400):
    return refused(
        f"a Content-Length of {shown(value)}",
        POST + b"Content-Length:" + value + b"\r\n\r\n" + BODY,
        status,
    )


def coding(value, status=400):
    """With a length too, so that one who overlooks it takes the chunks for a request."""
    return refused(
        f"the field {shown(value)} and a length",
        POST + b"Content-Length: 4\r\n" + value + b"\r\n\r\n" + IN_CHUNKS + LAST + HIDDEN,
        status,
    )


def coding_alone(value, status):
    return refused(
        f"the field {shown(value)} alone",
        POST + value + b"\r\n\r\n" + IN_CHUNKS + LAST + HIDDEN,
        status,
    )


def size(value, status=400):
    return refused(
        f"a chunk line of {shown(value)}", CHUNKED + value + BODY + b"\r\n" + LAST + HIDDEN, status
    )


LENGTHS = [
    length(b" +31"),
    length(b" -31"),
    length(b" -0"),
    length(b" 0x1f"),
    length(b" 31.0"),
    length(b" 3e1"),
    length(b" 3 1"),
    length(b" 31 31"),
    length(b" 31, 31"),
    length(b" 31,"),
    length(b" ,31"),
    length(b" 31;"),
    length(b' "31"'),
    length(b" 3_1"),
    length(b" 31\0"),
    length(b" 31\x0b"),
    length(b" \xb3\xb1"),
    length(b" thirty-one"),
    length(b""),
    length(b" "),
    length(b" 1048577", 413),
    length(b" 18446744073709551647", 413),
    length(b" 4294967327", 413),
    length(b" " + b"9" * 200, 413),
    refused("a length twice, the same", POST + LENGTH + LENGTH + b"\r\n" + BODY),
    refused("a length twice, 31 and 0", POST + LENGTH + b"Content-Length: 0\r\n\r\n" + BODY),
    refused("a length twice, 0 and 31", POST + b"content-length: 0\r\n" + LENGTH + b"\r\n" + BODY),
    refused("a length with a space before the colon", POST + b"Content-Length : 31\r\n\r\n" + BODY),
    refused("a folded length", POST + b"Content-Length:\r\n 31\r\n\r\n" + BODY),
    refused("a length in a fold", POST + b"X: y\r\n Content-Length: 31\r\n\r\n" + BODY),
    refused(
        "a length of HEAD",
        b"HEAD /fetch-multiple HTTP/1.1\r\nHost: a\r\nContent-Length: 42\r\n\r\n" + HIDDEN,
    ),
    taken("zeros before a length", POST + b"Content-Length: 00031\r\n\r\n" + BODY),
    taken("a tab before a length", POST + b"Content-Length:\t31\r\n\r\n" + BODY),
    taken(
        "a body of GET is not the next request",
        GET + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        200,
        reached=1,
    ),
    taken(
        "a body of GET, and the next request",
        GET + b"Content-Length: 5\r\n\r\nhello" + GOOD,
        200,
        200,
    ),
    taken(
        "a body of DELETE is not the next request",
        b"DELETE /fetch-multiple HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN)
        + HIDDEN,
        405,
    ),
    taken("a length of none", POST + b"Content-Length: 0\r\n\r\n", 400),
    taken("neither length nor chunks", POST + b"\r\n" + GOOD, 400, 200),
    Case(
        "a body longer than its length",
        POST + LENGTH + b"\r\n" + BODY + b"}} x",
        (200, 400),
        CLOSED,
    ),
    unfinished("a body shorter than its length", POST + b"Content-Length: 99\r\n\r\n" + BODY),
    unfinished("a length and no body", POST + LENGTH + b"\r\n"),
]


CODINGS = [
    coding(b"Transfer-Encoding: chunked"),
    coding(b"transfer-encoding:chunked"),
    coding(b"Transfer-Encoding: CHUNKED"),
    coding(b"Transfer-Encoding:\tchunked"),
    coding(b"Transfer-Encoding : chunked"),
    coding(b"Transfer-Encoding\t: chunked"),
    coding(b" Transfer-Encoding: chunked"),
    coding(b"Transfer-Encoding: xchunked"),
    coding(b"Transfer-Encoding: chunkedx"),
    coding(b"Transfer-Encoding: x chunked"),
    coding(b"Transfer-Encoding: chunked x"),
    coding(b"Transfer-Encoding: \x0bchunked"),
    coding(b"Transfer-Encoding: chunked\x0c"),
    coding(b"Transfer-Encoding: chunked\0"),
    coding(b"Transfer-Encoding: \xffchunked"),
    coding(b"Transfer-Encoding:\r\n chunked"),
    coding(b"Transfer-Encoding: x\r\n chunked"),
    coding(b"Transfer-Encoding\r\n: chunked"),
    coding(b"X: y\rTransfer-Encoding: chunked"),
    coding(b"X: y\nTransfer-Encoding: chunked"),
    coding(b"X: y\r\n\rTransfer-Encoding: chunked"),
    coding(b'Transfer-Encoding: "chunked"'),
    coding(b"Transfer-Encoding: 'chunked'"),
    coding(b"Transfer-Encoding: chunked, identity"),
    coding(b"Transfer-Encoding: identity, chunked"),
    coding(b"Transfer-Encoding: identity"),
    coding(b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
    coding(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
    coding(b"Transfer-Encoding:"),
    coding(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked"),
    coding_alone(b"Transfer-Encoding: chunked, chunked", 400),
    coding_alone(b"Transfer-Encoding: chunked, gzip", 400),
    coding_alone(b"Transfer-Encoding: chunked;q=1", 400),
    coding_alone(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
    coding_alone(b"Transfer-Encoding:", 400),
    coding_alone(b"Transfer-Encoding: ,chunked", 400),
    coding_alone(b"Transfer-Encoding: gzip, chunked", 501),
    coding_alone(b"Transfer-Encoding: gzip", 501),
    coding_alone(b"Transfer-Encoding: identity", 501),
    coding_alone(b"Transfer-Encoding: xchunked", 501),
    refused(
        "chunks before a length",
        POST + TE + b"Content-Length: 4\r\n\r\n" + IN_CHUNKS + LAST + HIDDEN,
    ),
    refused(
        "chunks and a length of none", POST + TE + b"Content-Length: 0\r\n\r\n" + IN_CHUNKS + LAST
    ),
    refused("chunks in HTTP/1.0", CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + IN_CHUNKS + LAST),
    refused("chunks of HEAD", b"HEAD / HTTP/1.1\r\nHost: a\r\n" + TE + b"\r\n" + LAST),
    refused("chunks of TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n" + TE + b"\r\n" + LAST),
    taken(
        "chunks of GET, and the next request",
        GET + TE + b"\r\n5\r\nhello\r\n" + LAST + GOOD,
        200,
        200,
    ),
    taken(
        "chunks in capital letters", POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + IN_CHUNKS + LAST
    ),
    taken("a tab before chunks", POST + b"Transfer-Encoding:\tchunked\r\n\r\n" + IN_CHUNKS + LAST),
]


CHUNKS = [
    taken("one chunk", CHUNKED + IN_CHUNKS + LAST),
    taken("a chunk for each byte", CHUNKED + b"".join(b"1\r\n%c\r\n" % c for c in BODY) + LAST),
    taken("a size in capital digits", CHUNKED + b"1F\r\n" + BODY + b"\r\n" + LAST),
    taken("zeros before a size", CHUNKED + b"0001f\r\n" + BODY + b"\r\n000\r\n\r\n"),
    taken("a chunk extension", CHUNKED + b"1f;a=b\r\n" + BODY + b"\r\n" + LAST),
    taken(
        "chunk extensions of all kinds",
        CHUNKED + b'1f ; a ; b = "c;\\"d" ;e=f\r\n' + BODY + b"\r\n0;x\r\n\r\n",
    ),
    taken("a trailer", CHUNKED + IN_CHUNKS + b"0\r\nX-Sum: 1\r\n\r\n"),
    taken(
        "a trailer, and the next request",
        CHUNKED + IN_CHUNKS + b"0\r\nX-Sum: 1\r\n\r\n" + GOOD,
        200,
        200,
    ),
    taken("no chunk but the last", CHUNKED + LAST, 400),
    size(b"0x1f\r\n"),
    size(b"+1f\r\n"),
    size(b"-1f\r\n"),
    size(b" 1f\r\n"),
    size(b"\t1f\r\n"),
    size(b"1_f\r\n"),
    size(b"1 f\r\n"),
    size(b"1f \r\n"),
    size(b"1g\r\n"),
    size(b"\r\n"),
    size(b";a=b\r\n"),
    size(b"1f;\r\n"),
    size(b"1f;a=\r\n"),
    size(b'1f;a="b\r\n'),
    size(b"1f;a=b\0\r\n"),
    size(b"1f;a\nb\r\n"),
    size(b"1f\n"),
    size(b"1f\r"),
    size(b"1f\r\r\n"),
    size(b"1f\0\r\n"),
    size(b"1f;" + b"a" * 1000 + b"\r\n"),
    size(b"0" * 17 + b"1f\r\n"),
    size(b"1000000000000001f\r\n"),
    size(b"ffffffffffffffff\r\n", 413),
    size(b"8000000000000000\r\n", 413),
    size(b"100000001f\r\n", 413),
    size(b"100001\r\n", 413),
    refused("a chunk shorter than its size", CHUNKED + b"20\r\n" + BODY + b"\r\n" + LAST + HIDDEN),
    refused("a chunk longer than its size", CHUNKED + b"1e\r\n" + BODY + b"\r\n" + LAST + HIDDEN),
    refused("a chunk without CRLF behind it", CHUNKED + b"1f\r\n" + BODY + LAST + HIDDEN),
    refused("a chunk with LF behind it", CHUNKED + b"1f\r\n" + BODY + b"\n" + LAST + HIDDEN),
    refused("a chunk with XX behind it", CHUNKED + b"1f\r\n" + BODY + b"XX" + LAST + HIDDEN),
    refused("a last chunk that ends in LF", CHUNKED + IN_CHUNKS + b"0\n\n"),
    refused("a last chunk with text behind it", CHUNKED + IN_CHUNKS + b"0\r\n" + GOOD),
    refused("a trailer that frames", CHUNKED + IN_CHUNKS + b"0\r\nContent-Length: 9\r\n\r\n"),
    refused("a trailer that frames in chunks", CHUNKED + IN_CHUNKS + b"0\r\n" + TE + b"\r\n"),
    refused("a trailer that routes", CHUNKED + IN_CHUNKS + b"0\r\nHost: b\r\n\r\n"),
    refused("a folded trailer", CHUNKED + IN_CHUNKS + b"0\r\nX: y\r\n z\r\n\r\n"),
    refused("a trailer without a colon", CHUNKED + IN_CHUNKS + b"0\r\nX\r\n\r\n"),
    refused("a trailer with a NUL", CHUNKED + IN_CHUNKS + b"0\r\nX: \0\r\n\r\n"),
    refused(
        "a trailer too long", CHUNKED + IN_CHUNKS + b"0\r\nX: " + b"y" * 5000 + b"\r\n\r\n", 431
    ),
    refused("too many trailers", CHUNKED + IN_CHUNKS + b"0\r\n" + b"X: y\r\n" * 17 + b"\r\n", 431),
    refused("more extensions than data", CHUNKED + (b"1;" + b"a" * 390 + b"\r\n \r\n") * 99, 400),
    refused(
        "chunks over the limit together",
        CHUNKED + (b"80000\r\n" + b" " * 0x80000 + b"\r\n") * 2 + b"1\r\n \r\n",
        413,
    ),
    unfinished("no last chunk", CHUNKED + IN_CHUNKS),
    unfinished("no empty line behind the last chunk", CHUNKED + IN_CHUNKS + b"0\r\n"),
    unfinished("a chunk that stops", CHUNKED + b"1f\r\n" + BODY[:9]),
    unfinished("a size that stops", CHUNKED + b"1"),
]

FRAMING_CASES = [*LENGTHS, *CODINGS, *CHUNKS]
