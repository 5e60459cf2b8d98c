"""Messages of 64 KiB, where settings allow them: through every path that a message takes."""

import json
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from harness import commands, shapes
from harness.engine import ENGINES
from harness.kinesis import Kinesis
from harness.processor import Processor, callback, eventually, targets
from harness.programs import ALIAS, API_KEY, Model
from harness.push import PushServices
from harness.server import Server
from harness.session import Session
from harness.streams import STREAM, file_sink, records_of, stream_to
from harness.streams import eventually as eventually_found
from harness.world import World, refused, token
from test_bots import bot, invoked_by, replied
from test_bots import words as answered
from test_push import NOTIFICATION, Phones

BYTES = 65_536
LIMITS = f"[limits]\ncontent_bytes_max = {BYTES}\nmetadata_bytes_max = {BYTES}\n"
# As JSON each of these characters is six bytes, and in the frame of a socket seven.
CONTROLS = "\x01" * BYTES


def words(letter: str) -> str:
    """A text of 64 KiB, of characters of two bytes."""
    return letter * (BYTES // 2)


@pytest.fixture
def processor():
    with Processor() as processor:
        yield processor


@pytest.fixture
def model():
    with Model() as model:
        yield model


@pytest.fixture
def services(tmp_path):
    folder = tmp_path / "services"
    folder.mkdir()
    with PushServices(folder) as services:
        yield services


def lenient(server: Server) -> Server:
    """Its answers are not held against the lengths that are published."""
    server.messaging.meta.events.unregister("before-parse.*.*", shapes.check)
    return server


def test_they_pass_every_way_that_messages_take(serve, tmp_path, processor, model, services):
    records = tmp_path / "records"
    chat = f"[bots.\"{ALIAS}\"]\nkind = 'chat'\nurl = '{model.url}/v1'\nmodel = 'm'\napi_key_env = 'MODEL_KEY'\n"
    configuration = LIMITS + file_sink(records) + services.configuration() + targets(processor.url) + chat
    server = lenient(serve(configuration, MODEL_KEY=API_KEY))
    world = World(server)
    stream_to(world)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    Phones(world, services).register(bob, "APNS", "device-of-bob")
    first, second, third = words("é"), words("ü"), words("ö")

    with Session.established(server, bob) as session:
        # Sent, told, pushed, read.
        sent = world.send(channel, ana, first, Metadata=CONTROLS, PushNotification=NOTIFICATION)["MessageId"]
        told = session.next_of("CREATE_CHANNEL_MESSAGE")
        assert (told["Content"], told["Metadata"]) == (first, CONTROLS)
        [pushed] = services.wait(sent, 1)
        assert "é" not in json.dumps(pushed, ensure_ascii=False), "a push says what it was given, and no more"
        at = {"ChannelArn": channel, "MessageId": sent}
        got = world.messaging.get_channel_message(**at, ChimeBearer=bob)["ChannelMessage"]
        assert (got["Content"], got["Metadata"]) == (first, CONTROLS)
        # Edited; what is longer is refused in the words of any limit.
        world.messaging.update_channel_message(**at, ChimeBearer=ana, Content=second)
        assert session.next_of("UPDATE_CHANNEL_MESSAGE")["Content"] == second
        for too_long in ({"Content": second + "x"}, {"Content": "x", "Metadata": CONTROLS + "x"}):
            with refused("BadRequest"):
                world.messaging.update_channel_message(**at, ChimeBearer=ana, **too_long)
        # Whatever stands in it.
        world.send(channel, ana, CONTROLS, Metadata=CONTROLS)
        told = session.next_of("CREATE_CHANNEL_MESSAGE")
        assert (told["Content"], told["Metadata"]) == (CONTROLS, CONTROLS)

    # Through a flow, whose processor says as much.
    flowing = world.channel(ana, bob)
    world.messaging.associate_channel_flow(
        ChannelArn=flowing, ChannelFlowArn=world.flow(), ChimeBearer=ana
    )
    processor.decide = lambda event: callback(world.messaging, event, Content=third, Metadata=third)
    passed = world.send(flowing, ana, first)["MessageId"]
    assert processor.call_of(passed)["ChannelMessage"]["Content"] == first
    eventually(lambda: [message["Content"] for message in world.messages(flowing, bob)], [third])

    # To a bot, whose own words are cut as ever.
    asking = world.channel(ana, bot(world, **invoked_by("ALL")))
    world.send(asking, ana, first)
    [said_by_bot] = answered(replied(world, asking, ana, 1)[0])
    assert said_by_bot.startswith("1 turns, and ééé") and len(said_by_bot.encode()) <= 4_096
    assert model.calls[-1]["messages"][-1]["content"] == first

    # Into a stream.
    found = eventually_found(lambda: records_of(records), lambda found: any(is_passed(one, passed) for one in found))
    said = {one["Payload"]["MessageId"]: one["Payload"].get("Content") for one in found if "MessageId" in one["Payload"]}
    assert (said[sent], said[passed]) == (second, third)

    # Many of them: a page ends where it is full, and the next goes on.
    for _ in range(40):
        world.send(channel, ana, first)
    page = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=bob)
    assert 1 <= len(page["ChannelMessages"]) <= 16 and "NextToken" in page
    assert world.contents(channel, bob) == [first] * 40 + [CONTROLS, second]
    with Session.established(server, bob, parameters={"prefetch-on": "connect"}) as session:
        details = [session.next_of("CHANNEL_DETAILS") for _ in range(2)]
        [shown] = [one for one in details if one["Channel"]["ChannelArn"] == channel]
        assert shown["ChannelMessages"][0]["Content"] == first and shown["ChannelMessagesHasMore"]

    # Out, and into the other engine.
    moved_to_the_other_engine(server, tmp_path, world, channel, bob)


def is_passed(record: dict, message: str) -> bool:
    return record["Payload"].get("MessageId") == message


def moved_to_the_other_engine(server: Server, folder: Path, world: World, channel: str, reader: str) -> None:
    archive = folder / "all.jsonl.zst"
    store = ["--store", server.store] if server.store else []
    commands.done(folder, "export", str(archive), "--data-dir", str(server.data_dir), *store)
    before = world.messages(channel, reader)
    [engine] = [made for made in ENGINES.values() if made.name != server.engine.name]
    (folder / "other").mkdir()
    other = Server(folder / "other", engine())
    store = ["--store", other.store] if other.store else []
    commands.done(folder, "import", str(archive), "--data-dir", str(other.data_dir), *store)
    lenient(other.start())
    try:
        # Whatever its settings are: they are for what is said anew.
        assert World.messages(Reader(other), channel, reader) == before
        with refused("BadRequest"):
            Reader(other).send(channel, reader, "x" * 4_097)
    finally:
        other.stop()


class Reader(World):
    """Speaks to a server that has its app instances already."""

    def __init__(self, server: Server):
        self.messaging = server.messaging


def test_kinesis_takes_the_longest(serve, tmp_path):
    with Kinesis(tmp_path) as kinesis:
        world = World(serve(LIMITS, **kinesis.environment()))
        stream_to(world, STREAM, "ChannelMessage")
        ana = world.user("ana")
        channel = world.channel(ana)
        sent = [world.send(channel, ana, CONTROLS, Metadata=CONTROLS)["MessageId"] for _ in range(9)]
        found = eventually_found(kinesis.records, lambda found: 9 <= len(found))
        assert [one["Payload"]["MessageId"] for one in found] == sent
        assert {one["Payload"]["Content"] for one in found} == {CONTROLS}


def test_sdks_send_them_and_the_published_limit_stays_without_a_setting(serve):
    server = serve(LIMITS)
    world = World(server)
    ana = world.user("ana")
    channel = world.channel(ana)
    # As applications make it: with the checks of parameters that botocore makes by itself.
    credentials = server.credentials
    unmodified = boto3.Session().client(
        "chime-sdk-messaging",
        region_name="us-east-1",
        endpoint_url=server.http_url,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
    )
    message = {
        "ChannelArn": channel,
        "ChimeBearer": ana,
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "Content": words("é"),
        "Metadata": words("ü"),
    }
    unmodified.send_channel_message(**message, ClientRequestToken=token())
    [shown] = unmodified.list_channel_messages(ChannelArn=channel, ChimeBearer=ana)["ChannelMessages"]
    assert (shown["Content"], shown["Metadata"]) == (words("é"), words("ü"))
    for metadata, length in (("content_bytes_max", 4_095), ("metadata_bytes_max", 65_537)):
        said = commands.run(server.folder, "check", *limited(server, metadata, length))
        assert said.returncode != 0 and f"limits.{metadata} is {length}" in said.stdout + said.stderr


def limited(server: Server, key: str, value: int) -> list[str]:
    path = server.folder / "wrong.toml"
    path.write_text(f"[limits]\n{key} = {value}\n")
    return ["--config", str(path), "--data-dir", str(server.folder / "elsewhere")]
