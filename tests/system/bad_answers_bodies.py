"""Answers with odd bodies: too large, coded, not JSON, of an odd type."""

import gzip
import zlib

from bad_answers import (
    ANY,
    CHUNKED,
    HEAD,
    LAST,
    SHORT,
    TEXT,
    TWO,
    Case,
    answer,
    bad,
    chunk,
    coded,
    cut,
    good,
    sent,
    typed,
    whole,
)
from scripted_upstream import endless, raw, raw_then_silence

FOUR_KB = {"max_response": "4k"}


FULL = b'"' + b"x" * 4094 + b'"'


BOMB = gzip.compress(bytes(64 * 1024 * 1024), 9)


def too_large(name, data, **more):
    return sent(name, data, "response_too_large", settings=FOUR_KB, **more)


LIMITS = [
    good("just the limit, by length", whole(FULL), ANY, settings=FOUR_KB),
    good("just the limit, in chunks", CHUNKED + chunk(FULL) + LAST, ANY, settings=FOUR_KB),
    cut("just the limit, to the end", HEAD + b"\r\n" + FULL, "ok", settings=FOUR_KB),
    good("just the limit, unzipped", coded(b"gzip", gzip.compress(FULL)), ANY, settings=FOUR_KB),
    too_large("one more than the limit, by length", whole(FULL + b" ")),
    too_large("one more than the limit, in chunks", CHUNKED + chunk(FULL) + chunk(b" ") + LAST),
    Case(
        "one more than the limit, to the end",
        raw(HEAD + b"\r\n" + FULL + b" "),
        "response_too_large",
        settings=FOUR_KB,
    ),
    too_large("one more than the limit, unzipped", coded(b"gzip", gzip.compress(FULL + b" "))),
    too_large(
        "a failing status over the limit",
        answer(500, b"Content-Length: 4097\r\n\r\n") + FULL + b" ",
    ),
    too_large("64 MB of zeros, zipped", coded(b"gzip", BOMB)),
    too_large("64 MB of zeros, zipped twice", coded(b"gzip, gzip", gzip.compress(BOMB, 9))),
    too_large(
        "64 MB of zeros, zipped, in chunks",
        CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n" + chunk(BOMB) + LAST,
    ),
    Case(
        "a body for ever",
        endless(HEAD + b"\r\n", b" " * 1024),
        "response_too_large",
        settings=FOUR_KB,
    ),
    Case(
        "chunks for ever",
        endless(CHUNKED, chunk(b" " * 1024)),
        "response_too_large",
        settings=FOUR_KB,
    ),
    Case(
        "tiny chunks for ever",
        endless(CHUNKED, chunk(b" ") * 100),
        "response_too_large",
        settings=FOUR_KB,
    ),
    Case(
        "a chunk size for ever", endless(CHUNKED, b"0" * 1000), "protocol_error", settings=FOUR_KB
    ),
    Case(
        "a chunk extension for ever",
        endless(CHUNKED + b"2;", b"x" * 1000),
        "protocol_error|timeout",
        settings=SHORT,
    ),
    Case(
        "a trailer for ever",
        endless(CHUNKED + b"0\r\nX: ", b"y" * 1000),
        "protocol_error|timeout",
        settings=SHORT,
    ),
    Case(
        "2,000,000 trailers",
        raw_then_silence(CHUNKED + b"0\r\n" + b"X: y\r\n" * 2000000),
        "protocol_error",
        settings={"timeout": "2s"},
    ),
    Case(
        "100,000 folds in a trailer",
        raw_then_silence(CHUNKED + b"0\r\nX: y\r\n" + b" y\r\n" * 100000),
        "protocol_error",
        settings={"timeout": "2s"},
    ),
]


ZIPPED = gzip.compress(b'{"a":1}')


CONTENT_CODINGS = [
    good("gzip though nobody asked", coded(b"gzip", ZIPPED), {"a": 1}),
    good("x-gzip", coded(b"x-gzip", ZIPPED), {"a": 1}),
    good("deflate", coded(b"deflate", zlib.compress(b'{"a":1}')), {"a": 1}),
    good("identity", coded(b"identity", b'{"a":1}'), {"a": 1}),
    good("gzip twice", coded(b"gzip, gzip", gzip.compress(ZIPPED)), {"a": 1}),
    good("gzip and no body", coded(b"gzip", b""), None),
    good(
        "HEAD, and gzip announced",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n",
        None,
        method="HEAD",
    ),
    bad("gzip that is none", coded(b"gzip", b'{"a":1}')),
    bad("gzip with a broken head", coded(b"gzip", b"\x1f\x8b\x07" + ZIPPED[3:])),
    bad("gzip with a broken middle", coded(b"gzip", ZIPPED[:12] + b"\xff\xff\xff" + ZIPPED[15:])),
    bad("gzip with a wrong checksum", coded(b"gzip", ZIPPED[:-8] + b"\0\0\0\0" + ZIPPED[-4:])),
    bad(
        "gzip that stops half way",
        coded(b"gzip", ZIPPED[:-10]).replace(b"application/json", b"text/plain"),
    ),
    bad("gzip and something behind it", coded(b"gzip", ZIPPED + b"something")),
    bad("a coding that nobody knows", coded(b"nonsense", b"{}")),
    bad("gzip a hundred times", coded(b", ".join([b"gzip"] * 100), ZIPPED)),
]


def broken(name, data, **more):
    return sent(f"JSON: {name}", whole(data), "invalid_json", True, **more)


def fine(name, data, body=ANY, **more):
    return good(f"JSON: {name}", whole(data), body, **more)


DOCUMENTS = [
    fine("a number alone", b"1", 1),
    fine("space around it", b" \t\r\n[ ] \n", []),
    fine("a great number", b"9007199254740993", 9007199254740993),
    fine("a number beyond any double", b"[1e400]"),
    fine("the same key twice", b'{"a":1,"a":2}'),
    fine("an escaped NUL", b'"\\u0000"', "\0"),
    fine("a character beyond 16 bits, escaped", b'"\\ud83d\\ude00"', "\U0001f600"),
    fine("a noncharacter", b'"\xef\xbf\xbf"', "\uffff"),
    fine("a DEL", b'"\x7f"', "\x7f"),
    fine("as deep as allowed", b"[" * 64 + b"]" * 64),
    broken("one deeper than allowed", b"[" * 65 + b"]" * 65),
    broken("a hundred thousand deep, unclosed", b"[" * 100000),
    broken("a hundred thousand objects deep", b'{"a":' * 100000),
    broken("nothing but space", b" \r\n\t "),
    broken("a byte order mark", b"\xef\xbb\xbf{}"),
    broken("UTF-16", '{"a":1}'.encode("utf-16-le")),
    broken("NaN", b"[NaN]"),
    broken("Infinity", b"[-Infinity]"),
    broken("two documents", b"{}{}"),
    broken("a NUL behind it", b"{}\0"),
    broken("a comma behind the last", b"[1,]"),
    broken("a comma before the first", b"[,1]"),
    broken("a key without quotes", b"{a:1}"),
    broken("single quotes", b"['a']"),
    broken("a comment", b"[1] // one"),
    broken("a leading zero", b"[01]"),
    broken("a plus", b"[+1]"),
    broken("no digit behind the point", b"[1.]"),
    broken("no digit before the point", b"[.5]"),
    broken("no digit in the exponent", b"[1e]"),
    broken("a hexadecimal number", b"[0x10]"),
    broken("True", b"[True]"),
    broken("cut in a word", b"[tru"),
    broken("cut in a string", b'["abc'),
    broken("cut in an escape", b'["\\u12'),
    broken("cut in a character", b'["\xe2\x82'),
    broken("cut behind a key", b'{"a"'),
    broken("closed by the other bracket", b"[1}"),
    broken("a tab in a string", b'["a\tb"]'),
    broken("a line end in a string", b'["a\nb"]'),
    broken("an unknown escape", b'["\\x41"]'),
    broken("half a surrogate pair, escaped", b'["\\ud800"]'),
    broken("a surrogate pair in the wrong order", b'["\\ude00\\ud83d"]'),
    broken("Latin-1", b'["\xe9"]'),
    broken("an overlong slash", b'["\xc0\xaf"]'),
    broken("an overlong NUL", b'["\xc0\x80"]'),
    broken("a surrogate in UTF-8", b'["\xed\xa0\x80"]'),
    broken("a character beyond the last", b'["\xf4\x90\x80\x80"]'),
    broken("a continuation byte alone", b'["\x80"]'),
]


TYPES = [
    good("the type in capitals", typed(b" APPLICATION/JSON", b"[1]"), [1]),
    good("a type with a charset", typed(b" application/json ; charset=utf-8", b"[1]"), [1]),
    good("a type of a vendor", typed(b" application/vnd.x.y+json", b"[1]"), [1]),
    good("no space before the type", typed(b"application/json", b"[1]"), [1]),
    good("a type that is empty", typed(b"", b"[1]"), [1]),
    good("a type of a semicolon", typed(b" ;", b"[1]"), [1]),
    good("a type of spaces", typed(b"    ", b"[1]"), [1]),
    good("a type without a slash", typed(b" json", b"[1]"), ANY),
    good("a type in quotes", typed(b' "application/json"', b"[1]"), ANY),
    good("a backslash and a quote in the type", typed(b' text/plain; x="\\"a"', b"a"), "a"),
    good("a tab in the type", typed(b" text/plain;\tx=y", b"a"), "a"),
    good("a control byte in the type", typed(b" text/plain; x=\x01\x1f\x7f", b"a"), "a"),
    good("a byte that is no UTF-8 in the type", typed(b" text/plain; x=\xff\xe9", b"a"), "a"),
    sent("a CR in the type", typed(b" text/plain\rx", b"a"), "ok|protocol_error", None),
    good("a type of 50 KB", typed(b" text/plain; x=" + b"y" * 50000, b"a"), "a"),
    good("two types", HEAD + b"Content-Type: text/html\r\n" + TWO + b"\r\n{}", ANY),
    good("a list of types", typed(b" application/json, text/html", b"[1]"), ANY),
    good("no type, and JSON", b"HTTP/1.1 200 OK\r\n" + TWO + b"\r\n{}", {}),
    good("no type, and text", b"HTTP/1.1 200 OK\r\n" + TWO + b"\r\nhi", "hi"),
    good("no type, and bytes", b"HTTP/1.1 200 OK\r\n" + TWO + b"\r\n\xff\xfe", "//4="),
    good("text that is no UTF-8", TEXT + TWO + b"\r\na\xff", "a\ufffd"),
    good("text with a NUL", TEXT + TWO + b"\r\na\0", "a\0"),
    good("text of half a character", TEXT + TWO + b"\r\n\xe2\x82", ANY),
]

BODIES_CASES = [*LIMITS, *CONTENT_CODINGS, *DOCUMENTS, *TYPES]
