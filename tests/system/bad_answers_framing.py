"""Answers whose end is hard to find, or never comes: silence, cuts, lengths, codings, chunks."""

import gzip

from bad_answers import (
    CHUNKED,
    HEAD,
    LAST,
    SHORT,
    TEXT,
    TWO,
    Case,
    bad,
    chunk,
    cut,
    good,
    sent,
    stopped,
    trickle,
)
from scripted_upstream import (
    closing,
    reset_after,
    resetting,
    silence,
)

SILENT = [
    Case("nothing is said", silence, "timeout", settings=SHORT),
    stopped("it stops in the version", b"HTT"),
    stopped("it stops in the status line", b"HTTP/1.1 200 O"),
    stopped("it stops between CR and LF", b"HTTP/1.1 200 OK\r"),
    stopped("it stops in a field name", HEAD + b"Conte"),
    stopped("it stops before the empty line", HEAD + TWO),
    stopped("it stops behind the head", HEAD + TWO + b"\r\n"),
    stopped("it stops in the body", HEAD + TWO + b"\r\n{"),
    stopped("it stops in a body that only a close ends", HEAD + b"\r\n{}"),
    stopped("it stops in a chunk size", CHUNKED + b"2"),
    stopped("it stops in a chunk", CHUNKED + b"2\r\n{"),
    stopped("it stops behind a chunk", CHUNKED + b"2\r\n{}\r\n"),
    stopped("it stops in the last chunk", CHUNKED + b"2\r\n{}\r\n0\r\n"),
    stopped("it stops in a trailer", CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n"),
    stopped("it stops behind 100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n"),
    Case(
        "a status line comes byte by byte",
        trickle(b"HTTP/1.1 200 ", b"K"),
        "timeout",
        settings=SHORT,
    ),
    Case("a field comes byte by byte", trickle(HEAD + b"X: ", b"y"), "timeout", settings=SHORT),
    Case("fields come one by one", trickle(HEAD, b"X: y\r\n"), "timeout", settings=SHORT),
    Case(
        "a body comes byte by byte",
        trickle(HEAD + b"Content-Length: 99999\r\n\r\n", b" "),
        "timeout",
        settings=SHORT,
    ),
    Case(
        "chunks of one byte come one by one",
        trickle(CHUNKED, b"1\r\n \r\n"),
        "timeout",
        settings=SHORT,
    ),
    Case(
        "a chunk extension comes byte by byte",
        trickle(CHUNKED + b"2;x=", b"y"),
        "timeout",
        settings=SHORT,
    ),
    Case(
        "100 Continue comes again and again",
        trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "timeout",
        settings=SHORT,
    ),
]


GONE = [
    Case("it closes at once", closing, "reset"),
    Case("it resets at once", resetting, "reset"),
    cut("it closes in the version", b"HTT", "reset|protocol_error"),
    cut("it closes in the status line", b"HTTP/1.1 20", "reset|protocol_error"),
    cut("it closes behind the status line", b"HTTP/1.1 200 OK\r\n", "reset"),
    cut("it closes in a field", HEAD + b"X: ", "reset"),
    cut("it closes before the empty line", HEAD + TWO, "reset"),
    cut("it closes behind a head that announces a body", HEAD + TWO + b"\r\n", "reset"),
    cut("it closes in the body", HEAD + TWO + b"\r\n{", "reset"),
    cut("it closes in a chunk size", CHUNKED + b"2", "reset"),
    cut("it closes in a chunk", CHUNKED + b"2\r\n{", "reset"),
    cut("it closes behind a chunk", CHUNKED + b"2\r\n{}\r\n", "reset"),
    cut("it closes in the last chunk", CHUNKED + b"2\r\n{}\r\n0", "reset"),
    cut("it closes before the last empty line", CHUNKED + b"2\r\n{}\r\n0\r\n", "ok|reset", {}),
    cut("it closes in a trailer", CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n", "ok|reset", {}),
    cut("it closes behind 100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n", "reset"),
    Case("it resets in the head", reset_after(HEAD + b"Conte"), "reset"),
    Case("it resets in the body", reset_after(HEAD + TWO + b"\r\n{"), "reset"),
    Case("it resets in a chunk", reset_after(CHUNKED + b"2\r\n{"), "reset"),
    Case("it resets a body that only a close ends", reset_after(HEAD + b"\r\n{}"), "reset"),
    cut("a body that only a close ends", HEAD + b"\r\n{}", "ok", {}),
    cut(
        "a body that only a close ends, of HTTP/1.0",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n{}",
        "ok",
        {},
    ),
    cut("no body, and a close", HEAD + b"\r\n", "ok", None),
    cut(
        "text cut by a close, which nobody can tell", TEXT + b"\r\nhalf a sent", "ok", "half a sent"
    ),
    cut("JSON cut by a close, which only its grammar tells", HEAD + b"\r\n[1,", "invalid_json"),
]




def length(value, codes="protocol_error", kept=False, **more):
    return sent(
        f"a Content-Length of {value[:30].decode('latin-1')!r}",
        HEAD + b"Content-Length:" + value + b"\r\n\r\n{}",
        codes,
        kept,
        **more,
    )


def endless_length(value, **more):
    """More than will ever come; then it closes."""
    return cut(
        f"a Content-Length of {value[:30].decode()} and a close",
        HEAD + b"Content-Length: " + value + b"\r\n\r\n{}",
        "reset|protocol_error|response_too_large",
        **more,
    )


LENGTHS = [
    length(b" 2", "ok", True, body={}),
    length(b"2", "ok", True, body={}),
    length(b"\t2 \t", "ok", True, body={}),
    length(b" 002", "ok", True, body={}),
    length(b" two"),
    length(b" -2"),
    length(b" +2"),
    length(b" 0x2"),
    length(b" 2.0"),
    length(b" 2e0"),
    length(b" 2 2"),
    length(b" 2;x"),
    length(b" 2x"),
    length(b' "2"'),
    length(b""),
    length(b" "),
    length(b" 2, 2", "ok|protocol_error", None, body={}),
    length(b" 2, 5"),
    length(b" 2,"),
    length(b" ,2"),
    endless_length(b"9223372036854775807"),
    endless_length(b"9223372036854775808"),
    endless_length(b"18446744073709551618"),
    endless_length(b"9" * 400),
    sent(
        "Content-Length twice, the same",
        HEAD + TWO + TWO + b"\r\n{}",
        "ok|protocol_error",
        None,
        {},
    ),
    bad("Content-Length twice, 2 and 5", HEAD + TWO + b"Content-Length: 5\r\n\r\n{}   "),
    bad("Content-Length twice, 5 and 2", HEAD + b"Content-Length: 5\r\n" + TWO + b"\r\n{}   "),
    bad("Content-Length twice, in two cases", HEAD + b"content-length: 0\r\n" + TWO + b"\r\n{}"),
    bad(
        "chunks with a Content-Length before",
        HEAD + TWO + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + LAST,
    ),
    bad("chunks with a Content-Length behind", CHUNKED[:-2] + TWO + b"\r\n2\r\n{}\r\n" + LAST),
    good("a length of none and JSON's type", HEAD + b"Content-Length: 0\r\n\r\n", None),
]




def coding(value, codes="protocol_error", kept=False, **more):
    return sent(
        f"a Transfer-Encoding of {value.decode('latin-1')!r}",
        HEAD + b"Transfer-Encoding:" + value + b"\r\n\r\n2\r\n{}\r\n" + LAST,
        codes,
        kept,
        body={},
        settings={"timeout": "1s"},
        **more,
    )


CODINGS = [
    coding(b" chunked", "ok", True),
    coding(b" CHUNKED", "ok", True),
    coding(b"\tchunked\t", "ok", True),
    coding(b" gzip"),
    coding(b" nonsense"),
    coding(b" xchunked"),
    coding(b" chunkedx"),
    coding(b' "chunked"'),
    coding(b" chunk"),
    coding(b""),
    coding(b" identity", "protocol_error|timeout"),
    coding(b" chunked, chunked"),
    coding(b" chunked, gzip"),
    coding(b" nonsense, chunked"),
    coding(b" \x0bchunked"),
    coding(b" chunked\x0b"),
    coding(b" \xa0chunked"),
    coding(b"\r\n chunked", "ok|protocol_error", None),
    bad(
        "Transfer-Encoding twice",
        CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + LAST,
    ),
    bad(
        "Transfer-Encoding twice, first identity",
        HEAD
        + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
        + LAST,
    ),
    sent(
        "chunks in HTTP/1.0",
        CHUNKED.replace(b"/1.1", b"/1.0") + b"2\r\n{}\r\n" + LAST,
        "ok|protocol_error",
        False,
        {},
    ),
    sent(
        "gzip and chunks, as Transfer-Encoding",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(gzip.compress(b"{}")) + LAST,
        "ok|protocol_error",
        None,
        {},
    ),
]


def size(line, codes="protocol_error", kept=False, **more):
    """The line before a chunk of two bytes."""
    return sent(
        f"a chunk line of {line[:24].decode('latin-1')!r}",
        CHUNKED + line + b"{}\r\n" + LAST,
        codes,
        kept,
        body={},
        **more,
    )


CHUNKS = [
    size(b"2\r\n", "ok", True),
    size(b"0002\r\n", "ok", True),
    size(b"2;a\r\n", "ok", True),
    size(b"2;a=b;c=d\r\n", "ok", True),
    size(b'2;a="b;\\"c"\r\n', "ok", True),
    size(b"2 ;a=b\r\n", "ok", True),
    size(b"2;" + b"x" * 3000 + b"\r\n", "ok|protocol_error", None),
    size(b"zz\r\n"),
    size(b"-2\r\n"),
    size(b"+2\r\n"),
    size(b"0x2\r\n"),
    size(b"2h\r\n"),
    size(b"2 2\r\n"),
    size(b"2_\r\n"),
    size(b"2.\r\n"),
    size(b" 2\r\n"),
    size(b"\r\n"),
    size(b";a=b\r\n"),
    size(b'"2"\r\n'),
    size(b"2\0\r\n"),
    size(b"2\r"),
    size(b"2\n", "ok|protocol_error", None),
    size(b"2\r\r\n"),
    size(b"10000000000000002\r\n"),
    size(b"00000000000000000000000000000000000000002\r\n", "ok|protocol_error", None),
    size(b"FFFFFFFFFFFFFFFF\r\n", "protocol_error|response_too_large"),
    size(b"8000000000000000\r\n", "protocol_error|response_too_large"),
    bad("a chunk longer than its size", CHUNKED + b"2\r\n{} \r\n" + LAST),
    bad("a chunk shorter than its size", CHUNKED + b"4\r\n{}\r\n" + LAST),
    bad("a chunk without CRLF behind it", CHUNKED + b"2\r\n{}" + LAST),
    sent("a chunk with LF behind it", CHUNKED + b"2\r\n{}\n" + LAST, "ok|protocol_error", None, {}),
    bad("a chunk with CR behind it", CHUNKED + b"2\r\n{}\r" + LAST),
    bad("a chunk with LF CR behind it", CHUNKED + b"2\r\n{}\n\r" + LAST),
    good("chunks in capital digits", CHUNKED + b"A\r\n[1,2,3,45]\r\n" + LAST, [1, 2, 3, 45]),
    good("a last chunk of many zeros", CHUNKED + b"2\r\n{}\r\n0000\r\n\r\n", {}),
    good("a last chunk with an extension", CHUNKED + b"2\r\n{}\r\n0;a=b\r\n\r\n", {}),
    good("a trailer", CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n", {}),
    sent(
        "a length in the trailer",
        CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n",
        "ok|protocol_error",
        None,
        {},
    ),
    sent(
        "a type in the trailer",
        CHUNKED + b"2\r\n{}\r\n0\r\nContent-Type: text/html\r\n\r\n",
        "ok|protocol_error",
        None,
    ),
    good("no chunk but the last", CHUNKED + LAST, None),
    good(
        "a chunk for each byte",
        CHUNKED + b"".join(chunk(b"%c" % c) for c in b"[1,2,3]") + LAST,
        [1, 2, 3],
    ),
]

FRAMING_CASES = [*SILENT, *GONE, *LENGTHS, *CODINGS, *CHUNKS]
