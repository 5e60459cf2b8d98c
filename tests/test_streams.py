"""Streams, as their consumers see them."""

import base64
import json
import re
import socket

import pytest

from harness.kinesis import Kinesis
from harness.nats import Nats
from harness.processor import SECRET, Processor
from harness.proxy import Proxy
from harness.sends import Sends, said_in
from harness.server import Server
from harness.streams import (
    STREAM,
    contents,
    eventually,
    file_sink,
    in_order,
    kinds,
    records_of,
    stream_to,
)
from harness.world import World
from load import outgoing_kills


def test_every_event_is_a_record_and_nothing_else_is(serve, tmp_path):
    path = tmp_path / "records"
    world = World(serve(file_sink(path)))
    ana, bob, cy = world.users("ana", "bob", "cy")
    before = world.channel(ana)
    world.send(before, ana, "before")
    stream_to(world)

    channel = world.channel(ana, bob, ModeratorArns=[cy])
    at = {"ChannelArn": channel, "ChimeBearer": ana}
    world.messaging.update_channel(**at, Name="Hall", Mode="RESTRICTED")
    settings = {"ExpirationDays": 7, "ExpirationCriterion": "CREATED_TIMESTAMP"}
    world.messaging.put_channel_expiration_settings(**at, ExpirationSettings=settings)
    world.messaging.batch_create_channel_membership(**at, MemberArns=world.users("dora", "eve"))
    sent = world.send(channel, bob, "hello")["MessageId"]
    of = {"ChannelArn": channel, "MessageId": sent}
    world.messaging.update_channel_message(**of, Content="hallo", ChimeBearer=bob)
    world.messaging.redact_channel_message(**of, ChimeBearer=bob)
    world.messaging.delete_channel_message(**of, ChimeBearer=world.admin("root"))
    world.messaging.create_channel_ban(**at, MemberArn=bob)
    world.messaging.delete_channel_ban(**at, MemberArn=bob)
    world.messaging.delete_channel_ban(**at, MemberArn=bob)
    world.messaging.delete_channel_moderator(**at, ChannelModeratorArn=cy)
    world.messaging.create_channel_moderator(**at, ChannelModeratorArn=cy)
    world.messaging.delete_channel(**at)

    records = eventually(lambda: records_of(path), lambda records: "DELETE_CHANNEL" in kinds(records))
    assert kinds(records) == [
        "CREATE_CHANNEL",
        *["CREATE_CHANNEL_MEMBERSHIP"] * 2,
        *["CREATE_CHANNEL_MODERATOR"] * 2,
        "UPDATE_CHANNEL",
        "UPDATE_CHANNEL_EXPIRATION_SETTINGS",
        *["CREATE_CHANNEL_MEMBERSHIP"] * 2,
        "CREATE_CHANNEL_MESSAGE",
        "UPDATE_CHANNEL_MESSAGE",
        "REDACT_CHANNEL_MESSAGE",
        "DELETE_CHANNEL_MESSAGE",
        "CREATE_CHANNEL_BAN",
        "DELETE_CHANNEL_MEMBERSHIP",
        "DELETE_CHANNEL_BAN",
        "DELETE_CHANNEL_MODERATOR",
        "CREATE_CHANNEL_MODERATOR",
        "DELETE_CHANNEL",
    ]
    assert all(record.keys() == {"EventType", "Payload"} for record in records)
    assert {record["Payload"]["ChannelArn"] for record in records} == {channel}
    shown = {record["EventType"]: record["Payload"] for record in records}
    created_by = {"Arn": ana, "Name": "Ana"}
    assert shown["CREATE_CHANNEL"].items() >= {
        "Name": "Lobby",
        "Mode": "RESTRICTED",
        "Privacy": "PRIVATE",
        "CreatedBy": created_by,
    }.items()
    assert shown["UPDATE_CHANNEL_EXPIRATION_SETTINGS"]["ExpirationSettings"] == settings
    assert shown["CREATE_CHANNEL_BAN"].keys() == {"Member", "ChannelArn", "CreatedTimestamp", "CreatedBy"}
    assert shown["CREATE_CHANNEL_BAN"]["Member"] == {"Arn": bob, "Name": "Bob"}
    assert shown["CREATE_CHANNEL_BAN"]["CreatedBy"] == created_by
    assert shown["DELETE_CHANNEL_BAN"] == shown["CREATE_CHANNEL_BAN"]
    assert shown["DELETE_CHANNEL_MODERATOR"]["Moderator"] == {"Arn": cy, "Name": "Cy"}
    assert shown["CREATE_CHANNEL_MODERATOR"].keys() == {
        "Moderator",
        "ChannelArn",
        "CreatedTimestamp",
        "CreatedBy",
    }
    assert shown["CREATE_CHANNEL_MESSAGE"].items() >= {"Content": "hello", "Persistence": "PERSISTENT"}.items()
    assert shown["CREATE_CHANNEL_MESSAGE"]["CreatedTimestamp"].endswith("Z")
    assert "Content" not in shown["REDACT_CHANNEL_MESSAGE"] and shown["REDACT_CHANNEL_MESSAGE"]["Redacted"]


def test_an_elastic_channel_is_streamed_with_its_sub_channels(serve, tmp_path):
    path = tmp_path / "records"
    world = World(serve(file_sink(path)))
    ana, *others = world.users("ana", "b", "c", "d", "e")
    stream_to(world, STREAM, "Channel")
    elastic = {
        "MaximumSubChannels": 3,
        "TargetMembershipsPerSubChannel": 2,
        "MinimumMembershipPercentage": 40,
    }
    channel = world.channel(ana, ElasticChannelConfiguration=elastic)
    for other in others:
        world.add(channel, other, ana)
    for other in others[1:]:
        world.remove(channel, other, ana)
    records = eventually(lambda: records_of(path), lambda records: "DELETE_SUB_CHANNEL" in kinds(records))
    assert kinds(records)[:4] == [
        "CREATE_CHANNEL",
        "CREATE_SUB_CHANNEL",
        "CREATE_CHANNEL_MODERATOR",
        "CREATE_CHANNEL_MEMBERSHIP",
    ]
    assert kinds(records).count("CREATE_SUB_CHANNEL") == 2
    assert records[0]["Payload"]["ElasticChannelConfiguration"] == elastic
    assert records[1]["Payload"].keys() == {"ChannelArn", "SubChannelId"}
    assert records[3]["Payload"]["SubChannelId"] == records[1]["Payload"]["SubChannelId"]
    assert "UPDATE_CHANNEL_MEMBERSHIP" not in kinds(records)


def test_a_type_left_out_and_a_stream_taken_away_are_streamed_no_more(serve, tmp_path):
    path = tmp_path / "records"
    world = World(serve(file_sink(path)))
    [ana] = world.users("ana")
    stream_to(world, STREAM, "ChannelMessage")
    channel = world.channel(ana)
    world.send(channel, ana, "one")
    eventually(lambda: contents(records_of(path)), lambda said: said == ["one"])
    world.messaging.delete_messaging_streaming_configurations(AppInstanceArn=world.app_instance)
    world.send(channel, ana, "two")
    stream_to(world, STREAM, "ChannelMessage")
    world.send(channel, ana, "three")
    assert eventually(lambda: contents(records_of(path)), lambda said: "three" in said) == ["one", "three"]


def test_control_and_what_is_not_kept_may_be_left_out(serve, tmp_path):
    path = tmp_path / "records"
    streaming = "[streaming]\nskip_control = true\nskip_non_persistent = true\n"
    world = World(serve(file_sink(path) + streaming))
    [ana] = world.users("ana")
    stream_to(world, STREAM, "ChannelMessage")
    channel = world.channel(ana)
    world.send(channel, ana, "presence", Type="CONTROL")
    world.send(channel, ana, "typing", Persistence="NON_PERSISTENT")
    world.send(channel, ana, "hello")
    assert eventually(lambda: contents(records_of(path)), bool) == ["hello"]


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_before_a_kill_arrives_in_its_order(seed, engine, tmp_path):
    with outgoing_kills.Outside(tmp_path) as outside:
        assert not outgoing_kills.run(seed, tmp_path, outside, engine)


def test_what_cannot_be_used_is_named(engine, tmp_path):
    for written, words in [
        (file_sink(tmp_path), "cannot be written"),
        (file_sink(tmp_path / "records", "arn:aws:kinesis:us-east-1:1:stream/x"), "is not the ARN of a stream"),
        (f'[streams."{STREAM}"]\nkind = "http"\nurl = "ftp://x"\n', "neither http nor https"),
        (f'[streams."{STREAM}"]\nkind = "pigeon"\n', "pigeon"),
        ("[streaming]\nretry_seconds = 0\n", "streaming.retry_seconds"),
    ]:
        path = tmp_path / "carillon.toml"
        path.write_text(written)
        with pytest.raises(AssertionError) as failed:
            Server(tmp_path, engine, "--config", str(path)).start()
        assert words in str(failed.value), written


@pytest.fixture
def kinesis(tmp_path):
    with Kinesis(tmp_path) as kinesis:
        yield kinesis


def test_a_stream_that_is_not_mapped_is_in_kinesis(serve, kinesis):
    world = World(serve("", **kinesis.environment()))
    [ana] = world.users("ana")
    stream_to(world)
    channel = world.channel(ana)
    for number in range(30):
        world.send(channel, ana, f"{number:02}")
    found = eventually(kinesis.records, lambda found: 33 <= len(found))
    assert kinds(found)[:3] == ["CREATE_CHANNEL", "CREATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MODERATOR"]
    assert in_order(found, channel) == [f"{number:02}" for number in range(30)]


def test_kinesis_away_under_load_misses_nothing(serve, kinesis):
    with Proxy(kinesis.url) as proxy:
        server = serve("", **kinesis.environment(proxy.url))
        world = World(server)
        [ana] = world.users("ana")
        stream_to(world, STREAM, "ChannelMessage")
        channels = [world.channel(ana) for _ in range(4)]
        with Sends(world, ana, channels, 2) as sends:
            until(lambda: 20 <= sends.count)
            proxy.refuse()
            before = sends.count
            until(lambda: before + 100 <= sends.count)
            server.kill()
            server.start()
            before = sends.count
            until(lambda: before + 20 <= sends.count)
            proxy.come_back()
        eventually(lambda: sends.missing(said_in(kinesis.records())), lambda wrong: not wrong)


class Ingest(Processor):
    """What a URL is given, and under which partition keys."""

    def __init__(self):
        self.keys: list[str] = []
        super().__init__()

    def check(self, path: str, headers, body: bytes) -> None:
        super().check(path, headers, body)
        self.keys.append(headers["x-carillon-partition-key"])


def test_a_url_is_given_each_record_signed_and_with_its_channel(serve):
    with Ingest() as ingest:
        sink = f'[streams."{STREAM}"]\nkind = "http"\nurl = "{ingest.url}/chime"\nsecret = "{SECRET}"\n'
        world = World(serve(sink))
        [ana] = world.users("ana")
        stream_to(world, STREAM, "ChannelMessage")
        channel = world.channel(ana)
        ingest.status = 503
        for number in range(5):
            world.send(channel, ana, str(number))
        until(lambda: 2 <= ingest.calls)
        ingest.status = 200
        eventually(lambda: ingest.events, lambda taken: 5 <= len(taken))
        assert contents(ingest.events) == list("01234")
        assert set(ingest.keys) == {channel}
        assert not ingest.faults


def test_a_subject_that_jetstream_keeps_is_given_the_records(serve, tmp_path):
    with Nats(tmp_path, 1, "--jetstream", "--store_dir", str(tmp_path / "jetstream")) as nats:
        sink = f'[streams."{STREAM}"]\nkind = "nats"\nurl = "{nats.url}"\nsubject = "chime.all"\n'
        with pytest.raises(AssertionError, match="keeps the subject chime.all"):
            serve(sink)
        stream = JetStream(nats)
        stream.make("chime", "chime.>")
        server = serve(sink)
        world = World(server)
        [ana] = world.users("ana")
        stream_to(world, STREAM, "ChannelMessage")
        channel = world.channel(ana)
        world.send(channel, ana, "one")
        eventually(stream.contents, lambda said: said == ["one"])
        nats.kill()
        world.send(channel, ana, "two")
        world.send(channel, ana, "three")
        nats.start()
        said = eventually(stream.contents, lambda said: "three" in said)
        assert list(dict.fromkeys(said)) == ["one", "two", "three"]


def test_what_is_given_up_is_counted(serve, tmp_path):
    sink = f'[streams."{STREAM}"]\nkind = "http"\nurl = "http://127.0.0.1:9/"\n'
    server = serve(sink + "[streaming]\nretry_seconds = 1\n")
    world = World(server)
    [ana] = world.users("ana")
    stream_to(world, STREAM, "ChannelMessage")
    channel = world.channel(ana)
    for number in range(3):
        world.send(channel, ana, str(number))

    def failed() -> list[str]:
        return [line for line in server.measured().splitlines() if "outgoing_failed_total" in line]

    eventually(failed, lambda lines: 'carillon_outgoing_failed_total{consumer="stream"} 3' in lines)
    # Operators are told of all of them, once or more often.
    told = re.compile(r'"records":(\d+)')
    eventually(lambda: told.findall(server.log.read_text()), lambda counts: sum(map(int, counts)) == 3)


def until(is_so) -> None:
    eventually(lambda: [is_so()], lambda found: found == [True])


class JetStream:
    """What it keeps, asked by its own interface over the wire."""

    def __init__(self, nats: Nats):
        self.nats = nats

    def ask(self, subject: str, payload: dict) -> dict:
        body = json.dumps(payload).encode()
        with socket.create_connection(("127.0.0.1", self.nats.ports[0]), timeout=10) as connection:
            stream = connection.makefile("rb")
            stream.readline()
            connection.sendall(b"CONNECT {\"verbose\":false}\r\nSUB reply 1\r\n")
            connection.sendall(f"PUB {subject} reply {len(body)}\r\n".encode() + body + b"\r\n")
            while not (line := stream.readline()).startswith(b"MSG"):
                assert line, "NATS hung up"
            return json.loads(stream.read(int(line.split()[-1])))

    def make(self, name: str, subject: str) -> None:
        config = {"name": name, "subjects": [subject], "retention": "limits", "storage": "file"}
        config |= {"max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "num_replicas": 1}
        answer = self.ask(f"$JS.API.STREAM.CREATE.{name}", config)
        assert "error" not in answer, answer
        self.name = name

    def contents(self) -> list[str]:
        said = []
        while True:
            answer = self.ask(f"$JS.API.STREAM.MSG.GET.{self.name}", {"seq": len(said) + 1})
            if "error" in answer:
                return said
            message = answer["message"]
            record = json.loads(base64.b64decode(message["data"]))
            headers = base64.b64decode(message["hdrs"]).decode()
            assert f"x-carillon-partition-key: {record['Payload']['ChannelArn']}" in headers
            said.append(record["Payload"]["Content"])
