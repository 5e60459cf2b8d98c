"""Bad input: who is turned away at the door, and in what words."""

import http.client
import json
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from harness import sigv4
from harness.raw import Answer, Connection, messages_of
from harness.server import Credentials
from harness.world import refused, token

BODY_BYTES_MAX = 1024 * 1024
ENDPOINT = "/endpoints/messaging-session"
SDK_HEADERS = [
    "authorization",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "x-amz-user-agent",
    "x-amz-chime-bearer",
    "content-type",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
]


@pytest.fixture
def door(server):
    with Connection(server) as connection:
        yield connection


def message_body(**changes):
    body = {
        "Content": "hello",
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": token(),
    } | changes
    return {name: value for name, value in body.items() if value is not None}


# The signature.


def test_an_unsigned_request_is_turned_away(door):
    answer = door.send("GET", ENDPOINT)
    assert (answer.status, answer.error) == (403, "MissingAuthenticationTokenException")


def test_nothing_is_told_to_the_unsigned(door):
    """Neither which paths there are nor what is wrong with a body."""
    for method, path, body in [
        ("GET", "/nowhere", b""),
        ("POST", "/channels", b"{"),
        ("DELETE", "/channels/x", b""),
    ]:
        answer = door.send(method, path, body)
        assert (answer.status, answer.error) == (403, "MissingAuthenticationTokenException")


def test_an_unknown_key_is_turned_away(server):
    with Connection(server, Credentials("AKIAUNKNOWN000000000", "secret")) as door:
        answer = door.call("GET", ENDPOINT)
    assert (answer.status, answer.error) == (403, "UnrecognizedClientException")


def test_a_wrong_secret_is_turned_away(server):
    with Connection(server, Credentials(server.credentials.access_key_id, "wrong")) as door:
        answer = door.call("GET", ENDPOINT)
    assert (answer.status, answer.error) == (403, "InvalidSignatureException")
    assert server.credentials.secret_access_key not in answer.message


def test_a_tampered_request_is_turned_away(world, door):
    ana = world.user("ana")
    channel = world.channel(ana)
    changed = json.dumps(message_body(Content="tampered")).encode()
    answer = door.call("POST", messages_of(channel), message_body(), bearer=ana, sent_body=changed)
    assert (answer.status, answer.error) == (403, "InvalidSignatureException")
    headers = sigv4.headers_for(door.credentials, "GET", ENDPOINT, door.host)
    answer = door.send("GET", f"{ENDPOINT}?network-type=DUAL_STACK", headers=headers)
    assert (answer.status, answer.error) == (403, "InvalidSignatureException")
    assert world.contents(channel, ana) == []


@pytest.mark.parametrize(
    "authorization", ["", "Basic YTpi", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a, Signature=b"]
)
def test_a_malformed_authorization_is_turned_away(door, authorization):
    answer = door.send(
        "GET", ENDPOINT, headers={"authorization": authorization, "x-amz-date": "20260101T000000Z"}
    )
    assert answer.status in (401, 403)
    assert answer.error


def test_an_old_signature_is_turned_away_with_the_words_that_set_clocks(door):
    answer = door.call("GET", ENDPOINT, at=datetime.now(UTC) - timedelta(minutes=10))
    assert (answer.status, answer.error) == (403, "InvalidSignatureException")
    assert answer.message.startswith("Signature expired")
    answer = door.call("GET", ENDPOINT, at=datetime.now(UTC) + timedelta(minutes=10))
    assert (answer.status, answer.error) == (403, "InvalidSignatureException")
    assert answer.message.startswith("Signature not yet current")


def test_a_small_skew_is_allowed(door):
    for minutes in (-4, 4):
        assert door.call("GET", ENDPOINT, at=datetime.now(UTC) + timedelta(minutes=minutes)).status == 200


def test_the_host_that_the_client_signed_counts(door):
    for host in ("localhost", "messaging-chime.us-east-1.amazonaws.com"):
        assert door.call("GET", ENDPOINT, host=host).status == 200


def test_the_bearer_must_be_somebody(world, door):
    channel = world.channel(world.user("ana"))
    path = f"/channels/{quote(channel, safe='')}"
    for bearer in (None, "", "nobody", f"{world.app_instance}/user/nobody", channel):
        answer = door.call("GET", path, bearer=bearer)
        assert (answer.status, answer.error) == (401, "UnauthorizedClientException"), bearer


# The form of a request.


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"Type": "SHOUT"}, "Type"),
        ({"Persistence": "FOREVER"}, "Persistence"),
        ({"Content": None}, "Content"),
        ({"Content": 5}, "Content"),
        ({"Content": ""}, "Content"),
        ({"Content": "x" * 4097}, "Content"),
        ({"Metadata": "x" * 1025}, "Metadata"),
        ({"ContentType": "x" * 46}, "ContentType"),
        ({"ClientRequestToken": None}, "ClientRequestToken"),
        ({"ClientRequestToken": ""}, "ClientRequestToken"),
        ({"ClientRequestToken": "x" * 65}, "ClientRequestToken"),
        ({"SubChannelId": "no spaces"}, "SubChannelId"),
        ({"MessageAttributes": {"a": {"StringValues": "b"}}}, "MessageAttributes"),
        ({"Target": "bob"}, "Target"),
        ({"Target": [{"MemberArn": "bob"}]}, "MemberArn"),
    ],
)
def test_a_broken_member_is_named(world, door, changes, member):
    ana = world.user("ana")
    channel = world.channel(ana)
    answer = door.call("POST", messages_of(channel), message_body(**changes), bearer=ana)
    assert (answer.status, answer.error) == (400, "BadRequestException")
    assert member in answer.message
    assert world.contents(channel, ana) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff", b'{"Content":"a"', b'{"Content":"a"}}', b""])
def test_a_body_that_is_no_json_object_is_refused(world, door, body):
    ana = world.user("ana")
    answer = door.call("POST", messages_of(world.channel(ana)), body, bearer=ana)
    assert (answer.status, answer.error) == (400, "BadRequestException")


def test_members_that_nobody_knows_are_ignored(world, door):
    """A newer SDK may send them."""
    ana = world.user("ana")
    channel = world.channel(ana)
    answer = door.call("POST", messages_of(channel), message_body(Shoes="red"), bearer=ana)
    assert answer.status == 201
    assert world.contents(channel, ana) == ["hello"]


def test_malformed_arns_and_parameters_are_refused(world, door):
    ana = world.user("ana")
    messages = messages_of(world.channel(ana))
    for target, named in [
        ("/channels/lobby/messages", "channelArn"),
        (f"{messages}?max-results=many", "max-results"),
        (f"{messages}?max-results=51", "max-results"),
        (f"{messages}?sort-order=SIDEWAYS", "sort-order"),
        (f"{messages}?not-before=yesterday", "not-before"),
        (f"{messages}?next-token={'x' * 2049}", "next-token"),
    ]:
        answer = door.call("GET", target, bearer=ana)
        assert (answer.status, answer.error) == (400, "BadRequestException"), target
        assert named.replace("-", "").lower() in answer.message.replace("-", "").lower(), answer.message


def test_an_unknown_path_is_told_to_the_signed(door):
    for method, path in [
        ("GET", "/nowhere"),
        ("GET", "/"),
        ("PATCH", "/channels"),
        ("GET", "/channels/a/b/c/d"),
    ]:
        answer = door.call(method, path)
        assert answer.status == 404, (method, path)
        assert answer.error


def test_a_refusal_leaves_the_connection_usable(world, door):
    for _ in range(3):
        assert door.send("GET", ENDPOINT).status == 403
        assert door.call("GET", ENDPOINT).status == 200
        assert door.call("POST", "/channels", b"{").status in (400, 401)


# The size of a body.


def read_answer(connection: socket.socket) -> Answer:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def open_with(server, headers: dict[str, str], target: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.http_port), timeout=10)
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def test_a_body_over_the_limit_is_refused_before_it_is_sent(world, server):
    ana = world.user("ana")
    target = messages_of(world.channel(ana))
    body = b"x" * (BODY_BYTES_MAX + 1)
    headers = sigv4.headers_for(
        server.credentials, "POST", target, server.host, body, extra={"x-amz-chime-bearer": ana}
    )
    with open_with(server, headers | {"content-length": str(len(body))}, target) as connection:
        answer = read_answer(connection)
    assert answer.status == 413
    assert answer.error


def test_a_chunked_body_over_the_limit_is_refused_before_its_end(world, server):
    ana = world.user("ana")
    target = messages_of(world.channel(ana))
    body = b"x" * (BODY_BYTES_MAX + 1)
    headers = sigv4.headers_for(
        server.credentials, "POST", target, server.host, body, extra={"x-amz-chime-bearer": ana}
    )
    with open_with(server, headers | {"transfer-encoding": "chunked"}, target) as connection:
        for start in range(0, len(body), 65_536):
            chunk = body[start : start + 65_536]
            connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        # The last chunk, which would end the body, is never sent.
        answer = read_answer(connection)
    assert answer.status == 413
    assert answer.error


def test_a_chunked_body_is_taken(world, server):
    ana = world.user("ana")
    channel = world.channel(ana)
    target = messages_of(channel)
    body = json.dumps(message_body()).encode()
    headers = sigv4.headers_for(
        server.credentials, "POST", target, server.host, body, extra={"x-amz-chime-bearer": ana}
    )
    with open_with(server, headers | {"transfer-encoding": "chunked"}, target) as connection:
        connection.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        assert read_answer(connection).status == 201
    assert world.contents(channel, ana) == ["hello"]


# Browsers.


def test_a_preflight_needs_no_signature(door):
    headers = {
        "origin": "https://chat.example.test",
        "access-control-request-method": "POST",
        "access-control-request-headers": ",".join(SDK_HEADERS),
    }
    answer = door.send("OPTIONS", "/channels", headers=headers)
    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", headers["origin"])
    methods = {method.strip() for method in answer.headers["access-control-allow-methods"].split(",")}
    assert {"GET", "POST", "PUT", "DELETE"} <= methods
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert set(SDK_HEADERS) <= allowed


def test_a_page_may_read_answers_and_refusals(door):
    origin = {"origin": "https://chat.example.test"}
    signed = sigv4.headers_for(door.credentials, "GET", ENDPOINT, door.host)
    for answer in (
        door.send("GET", ENDPOINT, headers=signed | origin),
        door.send("GET", ENDPOINT, headers=origin),
        door.send(
            "GET",
            "/nowhere",
            headers=sigv4.headers_for(door.credentials, "GET", "/nowhere", door.host) | origin,
        ),
    ):
        assert answer.headers["access-control-allow-origin"] in ("*", origin["origin"])
        exposed = {
            name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")
        }
        assert {"x-amzn-errortype", "x-amzn-requestid", "date", "retry-after"} <= exposed
        assert answer.headers["date"]


def test_every_answer_has_a_request_id_of_its_own(door):
    ids = {door.call("GET", ENDPOINT).headers["x-amzn-requestid"] for _ in range(3)}
    ids |= {door.send("GET", ENDPOINT).headers["x-amzn-requestid"] for _ in range(3)}
    assert len(ids) == 6
    assert None not in ids


# What stays inside.


def test_the_secret_is_in_no_log(server, world):
    wrong = Credentials(server.credentials.access_key_id, "wrong")
    with refused("InvalidSignature"):
        server.client("chime-sdk-messaging", wrong).get_messaging_session_endpoint()
    world.user("ana")
    assert server.credentials.secret_access_key not in server.log.read_text()


def test_health_and_metrics_are_open(door):
    for path in ("/_carillon/health/live", "/_carillon/health/ready"):
        assert door.send("GET", path).status == 200
    assert door.send("POST", "/_carillon/clock", b"{}").status in (403, 404)
