"""What AWS SDKs rely on that no other test looks at: each test names the client, and `docs/clients.md` names the test.

The real package where there is one; else the bytes, as the client's sources read and write them.
"""

import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from harness import sigv4
from harness.raw import Connection, messages_of
from harness.server import REGION, Credentials, Server, environment
from harness.world import World, token

TESTS = Path(__file__).parent
TIMEOUT_S = 60
ENDPOINT = "/endpoints/messaging-session"
NAMES_EVERYWHERE = {"x-amzn-RequestId", "Date", "Content-Type", "Content-Length"}


def exchange_bytes(server: Server, head: str, body: bytes = b"") -> tuple[int, list[tuple[str, str]], bytes]:
    """Sends what is given and reads the answer: its status, its headers in their letters and order, its body."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=TIMEOUT_S) as connection:
        connection.sendall(head.encode() + body)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            if status == 100:
                assert answer.readline() == b"\r\n"
                status = int(answer.readline().split()[1])
            headers = []
            while line := answer.readline().decode().rstrip("\r\n"):
                name, _, value = line.partition(": ")
                headers.append((name, value))
            length = int(dict(headers).get("Content-Length", "0"))
            return status, headers, answer.read(length)


def signed(
    server: Server,
    method: str,
    target: str,
    body: bytes = b"",
    credentials: Credentials | None = None,
    extra: dict[str, str] | None = None,
    host: str | None = None,
) -> str:
    """The head of a signed request."""
    headers = sigv4.headers_for(
        credentials or server.credentials, method, target, host or server.host, body, None, extra
    )
    if body:
        headers["content-length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines) + "\r\n\r\n"


def message_body() -> bytes:
    members = {"Content": "hi", "Type": "STANDARD", "Persistence": "PERSISTENT"}
    return json.dumps(members | {"ClientRequestToken": token()}).encode()


def node(server: Server, script: str, *arguments: str) -> dict:
    """Runs a script with the packages of npm; it prints one JSON value."""
    variables = environment(server.folder) | {
        "NODE_NO_WARNINGS": "1",
        "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": server.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.credentials.secret_access_key,
    }
    ended = subprocess.run(
        ["node", "-e", script, server.http_url, *arguments],
        cwd=TESTS,
        env=variables,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture
def ana(world) -> str:
    return world.user("ana")


@pytest.fixture
def channel(world, ana) -> str:
    """A channel of hers."""
    return world.channel(ana)


# The letters of headers: the AWS SDK for Android finds `x-amzn-ErrorType`, `x-amzn-RequestId` and `Date` only so.


def test_android_reads_the_type_of_an_error_by_its_letters(server):
    creds = "POST /_carillon/creds HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    upgrade = "GET /connect HTTP/1.1\r\nhost: x\r\n\r\n"
    too_large = f"POST /channels HTTP/1.1\r\nhost: {server.host}\r\ncontent-length: 2000000\r\n\r\n"
    for status, head, body in [
        (403, f"GET {ENDPOINT} HTTP/1.1\r\nhost: {server.host}\r\n\r\n", b""),
        (404, signed(server, "GET", "/nowhere"), b""),
        (400, signed(server, "GET", "/channels?max-results=0"), b""),
        (400, signed(server, "POST", "/app-instances", b"{"), b"{"),
        (426, upgrade, b""),
        (404, "GET /_carillon/nowhere HTTP/1.1\r\nhost: x\r\n\r\n", b""),
        (404, creds, b""),
    ]:
        found, headers, answer = exchange_bytes(server, head, body)
        names = {name for name, _ in headers}
        assert found == status, (head, answer)
        assert names >= NAMES_EVERYWHERE | {"x-amzn-ErrorType"}, (head, headers)
    found, headers, _ = exchange_bytes(server, too_large)
    assert found in (403, 413)
    assert {name for name, _ in headers} >= NAMES_EVERYWHERE | {"x-amzn-ErrorType"}


def test_every_answer_is_in_these_letters(server):
    _, headers, _ = exchange_bytes(server, signed(server, "GET", ENDPOINT))
    assert {name for name, _ in headers} >= NAMES_EVERYWHERE
    form = b"Action=GetCallerIdentity&Version=2011-06-15"
    _, headers, _ = exchange_bytes(server, signed(server, "POST", "/", form), form)
    assert {name for name, _ in headers} >= NAMES_EVERYWHERE
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    asked = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
    status, headers, _ = exchange_bytes(
        server, f"GET /connect HTTP/1.1\r\nHost: {server.host}\r\n{asked}\r\n\r\n"
    )
    assert status == 101
    assert {name for name, _ in headers} >= {"Upgrade", "Connection", "Sec-WebSocket-Accept", "Date"}
    # What is not HTTP is answered by the library, whose clock a client may need all the same.
    status, headers, _ = exchange_bytes(server, "GET\r\n\r\n")
    assert (status, [name for name, _ in headers if name.lower() == "date"]) == (400, ["Date"])


def test_a_wrong_clock_can_be_corrected_by_date(server):
    """Android, Java, Go, Ruby and .NET take the clock from `Date` of a refusal, in the form of RFC 822."""
    late = datetime.now(UTC) - timedelta(minutes=20)
    with Connection(server) as door:
        answer = door.call("GET", ENDPOINT, at=late)
    assert (answer.status, answer.error) == (403, "InvalidSignatureException")
    stamp = datetime.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - stamp) < timedelta(seconds=30)


# Empty tokens and empty queries.


def test_boto3_begins_a_walk_with_an_empty_token(world, channel, ana):
    world.send(channel, ana)
    listed = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=ana, NextToken="")
    assert len(listed["ChannelMessages"]) == 1
    users = world.identity.list_app_instance_users(AppInstanceArn=world.app_instance, NextToken="")
    assert [user["AppInstanceUserArn"] for user in users["AppInstanceUsers"]] == [ana]


EMPTY_TOKEN_V3 = """
const { ChimeSDKMessagingClient, ListChannelsCommand } = require("@aws-sdk/client-chime-sdk-messaging");
const [endpoint, AppInstanceArn, ChimeBearer] = process.argv.slice(1);
const client = new ChimeSDKMessagingClient({ endpoint });
client
  .send(new ListChannelsCommand({ AppInstanceArn, ChimeBearer, NextToken: "" }))
  .then(({ Channels }) => console.log(JSON.stringify(Channels.map((one) => one.Name))));
"""
EMPTY_TOKEN_V2 = """
const AWS = require("aws-sdk");
const [endpoint, AppInstanceArn, ChimeBearer] = process.argv.slice(1);
const client = new AWS.ChimeSDKMessaging({ endpoint, region: process.env.AWS_REGION });
client
  .listChannels({ AppInstanceArn, ChimeBearer, NextToken: "" })
  .promise()
  .then(({ Channels }) => console.log(JSON.stringify(Channels.map((one) => one.Name))));
"""


@pytest.mark.parametrize("script", [EMPTY_TOKEN_V2, EMPTY_TOKEN_V3], ids=["v2", "v3"])
def test_the_sdks_for_javascript_begin_a_walk_with_an_empty_token(world, server, script, ana):
    world.channel(ana, Name="Lobby", Privacy="PUBLIC")
    assert node(server, script, world.app_instance, ana) == ["Lobby"]


def test_the_aws_cli_begins_a_walk_with_an_empty_token(world, server, ana):
    world.channel(ana, Name="Lobby", Privacy="PUBLIC")
    variables = environment(server.folder) | {
        "AWS_SHARED_CREDENTIALS_FILE": str(server.credentials_file),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": server.http_url,
    }
    words = ["chime-sdk-messaging", "list-channels", "--app-instance-arn", world.app_instance]
    words += ["--chime-bearer", ana, "--no-paginate", "--next-token", "", "--output", "json"]
    ended = subprocess.run(["aws", *words], env=variables, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
    assert [channel["Name"] for channel in json.loads(ended.stdout)["Channels"]] == ["Lobby"]


def test_java_net_and_go_send_every_optional_query_that_is_empty(world, server, channel, ana):
    world.send(channel, ana)
    names = ["sort-order", "not-before", "not-after", "max-results", "next-token", "sub-channel-id"]
    query = "&".join(f"{name}=" for name in names)
    with Connection(server) as door:
        answer = door.call("GET", f"{messages_of(channel)}?{query}", bearer=ana)
    assert answer.status == 200, answer.body
    assert len(answer.json["ChannelMessages"]) == 1


# Times in a query: each SDK has its own form.

BEFORE, AFTER = "2001-09-09T01:46:40", "2096-10-02T07:06:40"
TIMES = {
    "ios": ("1000000000.000000", "4000000000.000000"),
    "ios and php, whole seconds": ("1000000000", "4000000000"),
    "ruby, php, c++, botocore, javascript v2": (f"{BEFORE}Z", f"{AFTER}Z"),
    "android, .net, javascript v3": (f"{BEFORE}.000Z", f"{AFTER}.000Z"),
    "botocore with microseconds": (f"{BEFORE}.000001Z", f"{AFTER}.999999Z"),
    "java, go v2": (f"{BEFORE}.000000001Z", f"{AFTER}.999999999Z"),
    "with an offset": (f"{BEFORE}+00:00", f"{AFTER}+00:00"),
}


@pytest.mark.parametrize("form", TIMES)
def test_a_query_takes_a_time_in_every_form_that_an_sdk_writes(world, server, form, channel, ana):
    sent = world.send(channel, ana)["MessageId"]
    before, after = (quote(text, safe="") for text in TIMES[form])
    for query, expected in [
        (f"not-after={after}&not-before={before}", [sent]),
        (f"not-after={before}", []),
        (f"not-before={after}", []),
    ]:
        with Connection(server) as door:
            answer = door.call("GET", f"{messages_of(channel)}?{query}", bearer=ana)
        assert answer.status == 200, answer.body
        assert [message["MessageId"] for message in answer.json["ChannelMessages"]] == expected


# The interface before this one: the service `chime` of 2018.

FORMER = """
const AWS = require("aws-sdk");
const [endpoint, AppInstanceArn, ResourceArn] = process.argv.slice(1);
const region = process.env.AWS_REGION;
const former = new AWS.Chime({ endpoint, region });
const present = new AWS.ChimeSDKMessaging({ endpoint, region });
const AppInstanceStreamingConfigurations = [{ AppInstanceDataType: "ChannelMessage", ResourceArn }];
(async () => {
  await former.putAppInstanceStreamingConfigurations({ AppInstanceArn, AppInstanceStreamingConfigurations }).promise();
  const put = await present.getMessagingStreamingConfigurations({ AppInstanceArn }).promise();
  await former.deleteAppInstanceStreamingConfigurations({ AppInstanceArn }).promise();
  const deleted = await present.getMessagingStreamingConfigurations({ AppInstanceArn }).promise();
  console.log(JSON.stringify([put.StreamingConfigurations, deleted.StreamingConfigurations]));
})();
"""


def test_the_former_client_for_javascript_configures_streams(world, server):
    stream = f"arn:aws:kinesis:{REGION}:{world.app_instance.split(':')[4]}:stream/chime-messaging-all"
    put, deleted = node(server, FORMER, world.app_instance, stream)
    assert put == [{"DataType": "ChannelMessage", "ResourceArn": stream}]
    assert deleted == []


# Signing.


def test_java_and_go_send_the_hash_of_the_body(server, channel, ana):
    body = message_body()

    extra = {
        "x-amz-chime-bearer": ana,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "content-type": "application/json",
        "amz-sdk-invocation-id": "9b2b9f9e-0000-4000-8000-000000000000",
        "amz-sdk-request": "attempt=1; max=3",
    }
    status, _, answer = exchange_bytes(
        server, signed(server, "POST", messages_of(channel), body, extra=extra), body
    )
    assert status == 201, answer


def test_android_and_ios_name_other_media_types(server, channel, ana):
    """Android sends a form's media type on GET, and both `application/x-amz-json-1.0` with a body."""
    body = message_body()
    extra = {"x-amz-chime-bearer": ana, "content-type": "application/x-amz-json-1.0"}
    head = signed(server, "POST", messages_of(channel), body, extra=extra)
    assert exchange_bytes(server, head, body)[0] == 201
    extra["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
    assert exchange_bytes(server, signed(server, "GET", messages_of(channel), extra=extra))[0] == 200


def test_android_sends_an_empty_body_with_its_length(server, channel, ana):
    extra = {"x-amz-chime-bearer": ana, "content-length": "0", "content-type": "application/x-amz-json-1.0"}
    target = f"/channels/{quote(channel, safe='')}/readMarker"
    assert exchange_bytes(server, signed(server, "PUT", target, extra=extra))[0] == 200


def test_net_awaits_100_continue_before_it_sends_a_body(server, channel, ana):
    body = message_body()
    head = signed(server, "POST", messages_of(channel), body, extra={"x-amz-chime-bearer": ana})
    head = head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=TIMEOUT_S) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 100"), "the body is asked for"
            assert answer.readline() == b"\r\n"
            connection.sendall(body)
            assert answer.readline().startswith(b"HTTP/1.1 201")


def test_a_chunked_body_is_taken(server, channel, ana):
    """The SDK for Ruby streams bodies in chunks where it is told to, and proxies do it for others."""
    body = message_body()
    head = signed(server, "POST", messages_of(channel), body, extra={"x-amz-chime-bearer": ana})
    head = head.replace(f"content-length: {len(body)}", "transfer-encoding: chunked")
    middle = len(body) // 2
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:middle], body[middle:], b""))
    assert exchange_bytes(server, head, pieces)[0] == 201


def test_a_long_user_agent_is_taken(server):
    """Those of Java and of Amplify grow with every feature that is in use."""
    extra = {"user-agent": "aws-sdk-java/2.30 " + "md/feature#" * 700}
    assert exchange_bytes(server, signed(server, "GET", ENDPOINT, extra=extra))[0] == 200


def test_the_port_belongs_to_the_host_or_not(server):
    """Most clients sign the host with its port; behind a proxy it may come without."""
    for host in (server.host, "127.0.0.1", "messages.example.com"):
        assert exchange_bytes(server, signed(server, "GET", ENDPOINT, host=host))[0] == 200


# When to come back.


@pytest.fixture
def throttled(engine, tmp_path) -> Iterator[World]:
    configuration = tmp_path / "carillon.toml"
    configuration.write_text('[limits]\npreset = "aws"\n')
    server = Server(tmp_path, engine, "--config", str(configuration)).start()
    yield World(server)
    server.stop()


def test_a_throttled_call_says_when_to_come_back(throttled):
    server, ana = throttled.server, throttled.user("ana")
    target = messages_of(throttled.channel(ana))
    for _ in range(1000):
        head = signed(server, "GET", target, extra={"x-amz-chime-bearer": ana})
        status, headers, _ = exchange_bytes(server, head)
        if status == 429:
            break
    assert status == 429
    names = [name for name, _ in headers]
    # The SDK for JavaScript v3 takes whichever comes first, and the exact one is to be it.
    assert names.index("x-amz-retry-after") < names.index("Retry-After")
    wait_ms = int(dict(headers)["x-amz-retry-after"])
    assert 0 < wait_ms <= 1000
    assert dict(headers)["Retry-After"] == "1"
