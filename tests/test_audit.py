"""The audit log: what it says, and what neither it nor any other log ever says."""

import json
import re
import subprocess
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from harness.raw import Connection
from harness.server import Credentials, Server, binary, environment
from harness.session import Session
from harness.world import World, refused, token
from load import audit

CONTENT, METADATA, NAME = "content-7f3a9c", "metadata-7f3a9c", "Name-7f3a9c"
FIELDS = {
    "time",
    "request_id",
    "source_address",
    "access_key_id",
    "principal",
    "bearer",
    "action",
    "resources",
    "left_out",
    "result",
    "status",
}


@pytest.fixture
def audited(engine, tmp_path):
    """A server that keeps an audit log, and says everything that it ever logs."""
    configuration = tmp_path / "carillon.toml"
    configuration.write_text(f"[audit]\nfile = '{tmp_path / 'audit.log'}'\n")
    server = Server(tmp_path, engine, "--config", str(configuration), "--test-clock", "--log", "trace")
    yield server.start()
    server.stop()


def records(server: Server) -> list[dict]:
    """All records so far, of what was signed and of what was not: a server that has stopped has written them all."""
    server.stop()
    told = [*audit.lines(server.folder), *audit.lines(server.folder, of_strangers=True)]
    server.start()
    return sorted(told, key=lambda record: record["time"])


def test_writes_and_refusals_are_recorded(audited):
    world = World(audited)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    sent = world.send(channel, ana, CONTENT)
    world.contents(channel, ana)
    with refused("Forbidden"):
        world.send(channel, bob, CONTENT)
    with refused("Forbidden"):
        audited.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)
    wrong = Credentials("AKIAWRONGKEY0000", "wrong")
    with pytest.raises(ClientError):
        audited.client("chime-sdk-messaging", wrong).delete_channel(ChannelArn=channel, ChimeBearer=ana)

    told = records(audited)
    assert all(set(record) == FIELDS for record in told)
    assert all(record["source_address"] == "127.0.0.1" for record in told)
    key, root = audited.credentials.access_key_id, "arn:aws:iam::000000000000:root"
    ours = [r for r in told if channel in r["resources"].values()]
    fields = ["action", "result", "status", "bearer", "access_key_id", "principal"]
    assert [tuple(record[field] for field in fields) for record in ours] == [
        ("chime:CreateChannel", "OK", 201, ana, key, root),
        ("chime:SendChannelMessage", "OK", 201, ana, key, root),
        ("chime:SendChannelMessage", "Forbidden", 403, bob, key, root),
        ("chime:DescribeChannel", "Forbidden", 403, bob, key, root),
        ("chime:DeleteChannel", "UnrecognizedClientException", 403, ana, wrong.access_key_id, None),
    ]
    assert ours[1]["resources"]["MessageId"] == sent["MessageId"]
    assert ours[1]["request_id"] == sent["ResponseMetadata"]["RequestId"]


def test_sockets_are_recorded(audited):
    world = World(audited)
    ana, nobody = world.user("ana"), f"{world.app_instance}/user/nobody"
    with Session.established(audited, ana):
        pass
    with Session(audited, nobody):
        pass
    told = [record for record in records(audited) if record["action"] == "chime:Connect"]
    assert [(r["bearer"], r["result"] == "OK", r["status"]) for r in told] == [
        (ana, True, 101),
        (nobody, False, 4003),
    ]


def test_access_control_is_recorded(audited):
    """Who is not root stands there by name, and the secret of a new key nowhere."""
    iam = audited.client("iam")
    iam.create_user(UserName="worker")
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    iam.list_users()
    worker = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    with refused("AccessDenied"):
        audited.client("chime-sdk-identity", worker).list_app_instances()
    with pytest.raises(ClientError):
        audited.client("iam", worker).list_users()
    session = audited.client("sts", worker).get_session_token()["Credentials"]

    told = records(audited)
    root, user = "arn:aws:iam::000000000000:root", "arn:aws:iam::000000000000:user/worker"
    assert [(r["action"], r["result"], r["principal"], r["resources"].get("UserName")) for r in told] == [
        ("iam:CreateUser", "OK", root, "worker"),
        ("iam:CreateAccessKey", "OK", root, "worker"),
        ("chime:ListAppInstances", "AccessDeniedException", user, None),
        ("iam:ListUsers", "AccessDenied", user, None),
        ("sts:GetSessionToken", "OK", user, None),
    ]
    everything = audited.log.read_text(errors="replace") + json.dumps(told)
    for secret in [key["SecretAccessKey"], session["SecretAccessKey"], session["SessionToken"]]:
        assert secret not in everything


def test_no_secret_and_no_content_is_in_any_log(audited):
    world = World(audited)
    ana = audited.identity.create_app_instance_user(
        AppInstanceArn=world.app_instance,
        AppInstanceUserId="ana",
        Name=NAME,
        Metadata=METADATA,
        ClientRequestToken=token(),
    )["AppInstanceUserArn"]
    bob = world.user("bob")
    channel = world.channel(ana, Name=NAME, Metadata=METADATA)
    errors = []
    sent = world.send(channel, ana, CONTENT, Metadata=METADATA)
    for attempt in [
        lambda: world.send(channel, bob, CONTENT, Metadata=METADATA),
        lambda: world.send(channel, ana, CONTENT, Metadata=METADATA, Type="NONE"),
        lambda: audited.messaging.update_channel(ChannelArn=channel, Name=NAME * 60, ChimeBearer=ana),
        lambda: world.send(channel, ana, CONTENT, ClientRequestToken=""),
    ]:
        with pytest.raises(ClientError) as error:
            attempt()
        errors.append(json.dumps(error.value.response))
    audited.messaging.update_channel_message(
        ChannelArn=channel, MessageId=sent["MessageId"], Content=CONTENT, Metadata=METADATA, ChimeBearer=ana
    )
    world.contents(channel, ana)
    with Connection(audited) as door:
        errors.append(str(door.send("POST", "/channels", json.dumps({"Name": NAME}).encode())))

    audited.stop()
    told = {path.name: path.read_text(errors="replace") for path in [audited.log, audited.folder / "audit.log"]}
    audited.start()
    told["errors"] = "\n".join(errors)
    assert "chime:UpdateChannelMessage" in told["audit.log"]
    for where, text in told.items():
        for secret in [CONTENT, METADATA, NAME, audited.credentials.secret_access_key]:
            assert secret not in text, f"{secret} is in {where}"
        assert not re.search("Signature=[0-9a-f]{64}", text), f"a signature is in {where}"


def test_what_the_clock_ends_is_recorded(audited):
    world = World(audited)
    ana = world.user("ana")
    channel = world.channel(
        ana, ExpirationSettings={"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}
    )
    with Connection(audited) as door:
        step = json.dumps({"advance_seconds": 2 * 86_400}).encode()
        answer = door.send("POST", "/_carillon/clock", step, {"content-type": "application/json"})
    assert answer.status == 200
    told = [record for record in records(audited) if record["action"] == "ExpireChannel"]
    assert [record["resources"] for record in told] == [{"ChannelArn": channel}]


def test_the_log_makes_room(engine, tmp_path):
    configuration = tmp_path / "carillon.toml"
    configuration.write_text(
        f"[audit]\nfile = '{tmp_path / 'audit.log'}'\nfile_bytes_max = 2000\nfiles_max = 3\n"
    )
    server = Server(tmp_path, engine, "--config", str(configuration)).start()
    try:
        world = World(server)
        for number in range(20):
            world.user(f"u{number}")
    finally:
        server.stop()
    files = sorted(path.name for path in tmp_path.glob("audit.log*"))
    assert files == ["audit.log", "audit.log.1", "audit.log.2"]
    for name in files:
        text = (tmp_path / name).read_text()
        assert len(text) <= 2_000
        for line in text.splitlines():
            json.loads(line)


def test_a_client_that_hangs_up_leaves_a_line_for_what_it_did(engine, tmp_path):
    standing, told = audit.hang_ups(audit.audited(tmp_path, engine).start(), 60)
    assert standing == told
    assert standing, "some requests came to be done"


def test_strangers_push_nothing_out(engine, tmp_path):
    """Without a signature one gets a few short lines a second, in a file of their own, and a count."""
    server = audit.audited(tmp_path, engine, file_bytes_max=32_768, files_max=2, unsigned_lines_per_second=3).start()
    count, made, told = audit.flood(server, 3, 30)
    assert made == told
    unsigned = audit.lines(tmp_path, of_strangers=True)
    sampled = [line for line in unsigned if line["result"] != "LinesLeftOut"]
    left_out = sum(line["left_out"] for line in unsigned)
    # One may have been on its way when the client ended.
    assert count <= len(sampled) + left_out <= count * 1.1 + 10
    assert 30 < count
    assert 3 <= len(sampled) <= 20
    assert all(len(json.dumps(line)) < 2_048 for line in unsigned)
    assert not [line for line in audit.lines(tmp_path) if line["principal"] is None]


def test_what_nobody_signed_is_measured(audited):
    with Connection(audited) as door:
        before = unsigned_requests(door)
        for _ in range(5):
            assert door.send("DELETE", "/channels/x").status == 403
        assert unsigned_requests(door) == before + 5


def unsigned_requests(door: Connection) -> int:
    text = door.send("GET", "/_carillon/metrics").body.decode()
    return int(re.search(r"^carillon_unsigned_requests_total (\d+)$", text, re.M)[1])


def test_what_is_done_at_the_console_is_recorded_beside_the_server(audited):
    """Also by who does not say where the log is: the server has left word in its folder."""
    store = ["--store", audited.store] if audited.store else []
    command = [binary(), "iam", "--data-dir", str(audited.data_dir), *store]
    file = audited.folder / "access.toml"
    file.write_text("[users.applied]\n")
    for asked in (["create-user", "ana"], ["list-users"], ["apply", file]):
        where = {"cwd": audited.folder, "env": environment(audited.folder)}
        subprocess.run([*command, *asked], check=True, capture_output=True, **where)
    told = [(r["action"], r["result"], r["resources"]["UserName"], r["source_address"]) for r in records(audited)]
    assert told == [("iam:CreateUser", "OK", "ana", None), ("iam:CreateUser", "OK", "applied", None)]


def test_nobody_writes_a_line_of_their_own_into_a_log(audited):
    forged = "A\n2026-01-15T12:00:00Z  INFO carillon: forged\r\u2028x"
    with pytest.raises(ClientError):
        audited.client("iam").get_user(UserName=forged)
    with Connection(audited) as door:
        assert door.call("GET", f"/channels/{quote(forged, safe='')}").status in (400, 401, 403)
    audited.stop()
    text = audited.log.read_text(errors="replace")
    audited.start()
    assert "forged" in text
    assert not [line for line in re.split("[\n\r\u2028]", text) if line.startswith(("2026-01-15T12", "x"))]
