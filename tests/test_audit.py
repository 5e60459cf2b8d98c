"""The audit log: what it says, and what neither it nor any other log ever says."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from harness.raw import Connection
from harness.server import Credentials, Server
from harness.session import Session
from harness.world import World, refused, token

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
    """All records so far: a server that has stopped has written them all."""
    server.stop()
    lines = (server.folder / "audit.log").read_text().splitlines()
    server.start()
    return [json.loads(line) for line in lines]


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
