"""Requests that something is wrong with: a valid one, altered once to three times from a seed.

What is altered before the signature reaches everything behind it; what is altered after it is the affair of the door.
`Sent.is_whole` says that the message is framed as it should be, so that an answer must come; of any other the server
may wait for the rest.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.valid import Request, Requests

BIG = 300_000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, -(2**63) - 1, 1.5, 1e300, "", " ", "\u0000", "\ud800",
    "é\u202e😀", "x" * 10_000, "../..", "arn:aws:chime:::", "${jndi:x}", "'; --", [], [[]], {}, {"": None},
    [None], ["x"] * 200,
)  # fmt: skip
JSONS = (
    b"", b" ", b"{", b"}", b"[", b"nul", b"NaN", b"Infinity", b"-", b"1e999", b'"', b'"\\u12"',
    b'"\\ud800"', b"\xef\xbb\xbf{}", b"\xff\xfe{}", b"{} {}", b"{}x", b'{"a":1,}', b"{'a':1}",
    b'{"a":1 "b":2}', b"[" * 5_000, b'{"a":' * 5_000, b"[" * 500 + b"]" * 500, b"/**/{}", b"\x00",
    b'{"Name":"a","Name":"b"}', b'{"a":' + b"9" * 5_000 + b"}", b'"' + b"x" * BIG,
)  # fmt: skip
SEGMENTS = (
    "", ".", "..", "%", "%2", "%zz", "%00", "%ff", "%c0%af", "%2e%2e", "%2F", "%252F", "a b", "é",
    "x" * 5_000, "arn:", "*", "?", "arn%3Aaws%3Achime%3Aus-east-1%3A000000000000%3Aapp-instance%2F",
    "{channelArn}", "\\", ";a=b", "~", "+",
)  # fmt: skip
QUERIES = (
    "", "=", "&", "a", "=a", "a=%", "a=%zz", "a=%ff", "a=%00", "a==", "a=b=c", "max-results=-1",
    "max-results=1e3", "max-results=99999999999999999999", "max-results=", "max-results=%31",
    "next-token=x", "next-token=" + "A" * 3_000, "next-token=AAAA", "sort-order=sideways",
    "not-before=yesterday", "not-after=-1e400", "operation=none", "operation=batch-create", "scope",
    "type=", "é=é", "X-Amz-Signature=00", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Expires=-1",
    "X-Amz-Expires=99999999999999999999", "X-Amz-Date=x", "X-Amz-Credential=a/b/c", "X-Amz-SignedHeaders=",
    "X-Amz-Security-Token=e30", "x" * 10_000 + "=",
)  # fmt: skip
METHODS = (
    "get", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PURGE", "M-SEARCH", "X" * 300, "POST", "PUT",
    "DELETE", "GET",
)  # fmt: skip
HEADERS = (
    ("x-amz-chime-bearer", ""), ("x-amz-chime-bearer", "x"),
    ("x-amz-chime-bearer", "arn:aws:chime:us-east-1:000000000000:x"), ("x-amz-chime-bearer", "x" * 9_000),
    ("x-amz-chime-bearer", "é"), ("content-type", ""), ("content-type", "text/html"),
    ("content-type", "application/json; charset=utf-16"),
    ("content-type", "multipart/form-data; boundary="), ("content-encoding", "gzip"),
    ("content-encoding", "aws-chunked"), ("accept", "\x01"), ("accept-encoding", "x" * 5_000),
    ("expect", "100-continue"), ("expect", "nothing"), ("upgrade", "websocket"), ("upgrade", "h2c"),
    ("connection", "upgrade"), ("connection", "close, x"), ("range", "bytes=0-"), ("if-none-match", "*"),
    ("origin", "null"), ("origin", "://"), ("access-control-request-method", "x y"),
    ("x-forwarded-for", "1.2.3.4, x"), ("forwarded", "for=_"), ("cookie", "a=" * 2_000),
    ("x-amz-date", "20260101T000000Z"), ("x-amz-date", "x"), ("x-amz-date", "99999999T999999Z"),
    ("date", "x"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), ("x-amz-content-sha256", "x"),
    ("x-amz-security-token", "x"), ("x-amz-security-token", "A" * 8_000), ("x-amz-target", "AWSChime.X"),
    ("x-amz-user-agent", "\t"), ("sec-websocket-key", "x"), ("sec-websocket-version", "0"),
    ("traceparent", "00-0-0-0"), ("traceparent", "é"), ("host", "x"), ("host", ""), ("te", "trailers"),
)  # fmt: skip
AUTHORIZATIONS = (
    "", "x", "Basic YTpi", "Bearer", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ",
    "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
    "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Signature=1,Signature=2", "AWS4-HMAC-SHA256 " + "Credential=a," * 500,
    "AWS4-ECDSA-P256-SHA256 Credential=a/20260101/chime/aws4_request, SignedHeaders=host, Signature=x",
)  # fmt: skip
LENGTHS = (
    "-1", "+1", "x", "", "0x10", "1, 1", "1, 2", "99999999999999999999", "18446744073709551615", "1e3",
    " 5 ",
)  # fmt: skip
CHUNKS = (
    b"0\r\n\r\n", b"zz\r\n", b"-1\r\nx\r\n", b"ffffffffffffffff\r\nx", b"10000000000000000\r\nx", b"1\r\nx",
    b"1\r\nxx\r\n0\r\n\r\n", b"1;a=b\r\nx\r\n0\r\n\r\n", b"1;" + b"a" * 20_000 + b"\r\nx\r\n0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n", b"0\r\n" + b"x: y\r\n" * 2_000 + b"\r\n", b"1\nx\n0\n\n", b"\r\n", b"",
)  # fmt: skip
STARTS = (
    b"", b"\r\n", b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"\r\n\r\n\x00\r\nQUIT\n",
    b"GET\r\n\r\n", b" GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n",
    b"GET /\r\n\r\n", b"GET http://[::1/ HTTP/1.1\r\n\r\n", b"GET * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 70_000, b"x" * 100_000,
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3_000,
)  # fmt: skip


@dataclass
class Sent:
    """What goes over the wire, and what it was made of."""

    bytes: bytes
    is_whole: bool
    method: str
    words: str


# Before the signature.


def alter_body(request: Request, chosen: random.Random) -> None:
    if not isinstance(request.body, dict) or chosen.random() < 0.1:
        return replace_body(request, chosen)
    body = json.loads(json.dumps(request.body))
    inside = [body]
    while inside[-1] and isinstance(inside[-1], dict | list) and chosen.random() < 0.7:
        keys = list(inside[-1]) if isinstance(inside[-1], dict) else range(len(inside[-1]))
        child = inside[-1][chosen.choice(list(keys))]
        if not isinstance(child, dict | list):
            break
        inside.append(child)
    place = inside[-1]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    key = chosen.choice(keys) if keys else None
    match chosen.randrange(5):
        case 0 if key is not None:
            del place[key]
        case 1 if isinstance(place, dict):
            place[chosen.choice(("", "x" * 3_000, "\u0000", "ChannelArn", "__proto__"))] = chosen.choice(VALUES)
        case 2 if key is not None:
            for _ in range(chosen.choice((1, 20, 200))):
                place[key] = [place[key]]
        case _ if key is not None:
            place[key] = chosen.choice(VALUES)
    request.body = body


def replace_body(request: Request, chosen: random.Random) -> None:
    whole = request.payload
    at = chosen.randrange(len(whole) + 1)
    match chosen.randrange(5):
        case 0:
            request.body = chosen.choice(JSONS)
        case 1:
            request.body = whole[:at]
        case 2:
            request.body = whole[:at] + chosen.randbytes(chosen.choice((1, 2, 40))) + whole[at:]
        case 3:
            request.body = whole[:at] + chosen.choice(JSONS) + whole[at:]
        case _ if whole:
            changed = bytearray(whole)
            changed[at % len(whole)] ^= 1 << chosen.randrange(8)
            request.body = bytes(changed)


def alter_path(request: Request, chosen: random.Random) -> None:
    segments = request.path.split("/")
    at = chosen.randrange(len(segments))
    match chosen.randrange(4):
        case 0:
            segments[at] = chosen.choice(SEGMENTS)
        case 1:
            segments.insert(at, chosen.choice(SEGMENTS))
        case 2:
            del segments[at]
        case _:
            segments[at] = segments[at][: chosen.randrange(len(segments[at]) + 1)] + chosen.choice(SEGMENTS)
    request.path = "/".join(segments) or "/"


def alter_query(request: Request, chosen: random.Random) -> None:
    if request.query and chosen.random() < 0.5:
        at = chosen.randrange(len(request.query))
        name = request.query[at].partition("=")[0]
        value = chosen.choice(VALUES)
        text = value if isinstance(value, str) else json.dumps(value)
        request.query[at] = f"{name}={quote(text.encode('utf-8', 'replace'), safe='')}"
    else:
        request.query.insert(chosen.randrange(len(request.query) + 1), chosen.choice(QUERIES))
    if chosen.random() < 0.05:
        request.query.extend(["a=b"] * 3_000)


def alter_headers(request: Request, chosen: random.Random) -> None:
    name, value = chosen.choice(HEADERS)
    if chosen.random() < 0.7:
        request.headers = [pair for pair in request.headers if pair[0].lower() != name]
    request.headers.append((name, value))
    if chosen.random() < 0.05:
        request.headers.extend((f"x-{number}", "y") for number in range(chosen.choice((50, 99, 200))))


def alter_method(request: Request, chosen: random.Random) -> None:
    request.method = chosen.choice(METHODS)


def alter_service(request: Request, chosen: random.Random) -> None:
    """Of the body too: so JSON meets the Query protocol, and a form the operations."""
    request.service = chosen.choice(("chime", "sts", "iam", "s3", "", "x/y"))
    if chosen.random() < 0.3:
        request.path, request.method = "/", "POST"


def leave_unsigned(request: Request, chosen: random.Random) -> None:
    request.is_signed = False


BEFORE: tuple[tuple[Callable[[Request, random.Random], None], int], ...] = (
    (alter_body, 8),
    (alter_path, 4),
    (alter_query, 4),
    (alter_headers, 4),
    (alter_method, 1),
    (alter_service, 1),
    (leave_unsigned, 1),
)


# After it.


def malformed(requests: Requests, seed: int, number: int) -> Sent:
    """The request of this number; the same of one seed, but for ids, tokens and times."""
    chosen = random.Random(f"{seed}-{number}")
    request = requests.any(chosen)
    kinds, weights = zip(*BEFORE, strict=True)
    altered = chosen.choices(kinds, weights, k=chosen.choice((1, 1, 2, 3)))
    is_framed = chosen.random() < 0.75
    if is_framed or chosen.random() < 0.5:
        for alter in altered:
            alter(request, chosen)
    headers = request.sign(requests.credentials, requests.host)
    if chosen.random() < 0.06:
        headers = [pair for pair in headers if pair[0] != "authorization"]
        headers.append(("authorization", chosen.choice(AUTHORIZATIONS)))
    words = f"{number}: {request.name} {request.method} {[alter.__name__ for alter in altered]}"
    if is_framed:
        body = request.payload
        if not any(name == "content-length" for name, _ in headers):
            headers.append(("content-length", str(len(body))))
        return Sent(head_of(request, headers) + body, True, request.method, words)
    return Sent(misframed(request, headers, chosen), False, request.method, f"{words}, misframed")


def head_of(request: Request, headers: list[tuple[str, str]], line_end: str = "\r\n") -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return line_end.join([*lines, "", ""]).encode("utf-8", "replace")


def misframed(request: Request, headers: list[tuple[str, str]], chosen: random.Random) -> bytes:
    body = request.payload
    length = ("content-length", str(len(body)))
    match chosen.randrange(9):
        case 0:
            return head_of(request, [*headers, ("content-length", chosen.choice(LENGTHS))]) + body
        case 1:
            other = ("content-length", str(max(0, len(body) + chosen.choice((-5, -1, 1, 1_000, 2_000_000)))))
            return head_of(request, [*headers, other] + [length] * chosen.randrange(2)) + body
        case 2:
            coding = chosen.choice(("chunked", "gzip", "chunked, gzip", "chunked, chunked", "identity", "", "CHUNKED", "x"))
            both = [length] * chosen.randrange(2)
            return head_of(request, [*headers, ("transfer-encoding", coding), *both]) + chosen.choice(CHUNKS)
        case 3:
            return head_of(request, [*headers, length], chosen.choice(("\n", "\r", "\r\r\n", "\n\r"))) + body
        case 4:
            odd = chosen.choice(("", " x", "x y", "x\x00", "é", "x" * 70_000, "(", "\tx", "x:"))
            return head_of(request, [(odd, "y"), *headers, length]) + body
        case 5:
            odd = chosen.choice(("\x00", "a\rb", "a\nb", "a\n b", "\x7f", "x" * 70_000, "\x01" * 50))
            return head_of(request, [*headers, ("x-odd", odd), length]) + body
        case 6:
            return chosen.choice(STARTS) + (head_of(request, [*headers, length]) + body) * chosen.randrange(2)
        case 7:
            whole = bytearray(head_of(request, [*headers, length]) + body)
            for _ in range(chosen.choice((1, 2, 10))):
                whole[chosen.randrange(len(whole))] = chosen.randrange(256)
            return bytes(whole)
        case _:
            whole = head_of(request, [*headers, length]) + body
            return whole[: chosen.randrange(len(whole))] if chosen.randrange(2) else whole * 2
