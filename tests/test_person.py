"""One person's data: an export holds all of it, and after an erasure none of it is anywhere."""

import json
import random
import sqlite3
import stat
import time
import uuid
from pathlib import Path

import pytest

from harness import commands
from harness.engine import psql_value
from harness.processor import eventually
from harness.server import Server
from harness.world import World, token

KINESIS = "arn:aws:kinesis:us-east-1:000000000000:stream/chime-messaging-person"
# Nobody listens there, so what is to leave the server waits.
CONFIGURATION = f"""
[audit]
file = "{{audit}}"
[streams."{KINESIS}"]
kind = "http"
url = "http://127.0.0.1:9/records"
secret = "a secret of this stream, which is long enough"
"""
# Enough that an erasure takes a while.
MESSAGES = 300
# How often one is killed where no server runs, and how often together with the server that does it.
KILLS = 3
WAIT_TIMEOUT_S = 60
PUSH = "arn:aws:mobiletargeting:us-east-1:000000000000:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0"


class Person:
    """Somebody in whose every text a mark is planted."""

    def __init__(self, world: World, number: int = 0):
        self.world = world
        self.marks: list[str] = []
        self.id = f"mark{number}{uuid.uuid4().hex}"
        created = world.identity.create_app_instance_user(
            AppInstanceArn=world.app_instance,
            AppInstanceUserId=self.id,
            Name=self.mark("name"),
            Metadata=self.mark("metadata"),
            Tags=[{"Key": "tag", "Value": self.mark("tag")}],
            ClientRequestToken=self.mark("created"),
        )
        self.arn: str = created["AppInstanceUserArn"]
        world.identity.register_app_instance_user_endpoint(
            AppInstanceUserArn=self.arn,
            Name=self.mark("phone"),
            Type="APNS",
            ResourceArn=PUSH,
            EndpointAttributes={"DeviceToken": self.mark("device"), "VoipDeviceToken": self.mark("voip")},
            ClientRequestToken=self.mark("registered"),
        )

    def mark(self, what: str) -> str:
        self.marks.append(f"{what}{uuid.uuid4().hex}")
        return self.marks[-1]

    def say(self, channel: str, what: str, **options) -> str:
        sent = self.world.send(
            channel,
            self.arn,
            self.mark(what),
            Metadata=self.mark(f"{what}-metadata"),
            ContentType=self.mark("type"),
            MessageAttributes={"kind": {"StringValues": [self.mark(f"{what}-attribute")]}},
            PushNotification={"Title": self.mark(f"{what}-title"), "Body": self.mark(f"{what}-body")},
            ClientRequestToken=self.mark(f"{what}-token"),
            **options,
        )
        return sent["MessageId"]

    def live(self) -> tuple[str, str]:
        """Says something in all ways that there are; answers the channel, and who else is in it."""
        world = self.world
        bob = world.user("bob")
        channel = world.channel(bob, self.arn)
        world.send(channel, bob, "words of bob")
        sent = self.say(channel, "sent")
        world.messaging.update_channel_message(
            ChannelArn=channel, MessageId=sent, ChimeBearer=self.arn, Content=self.mark("edited")
        )
        self.say(channel, "whispered", Target=[{"MemberArn": bob}])
        self.say(channel, "passing", Persistence="NON_PERSISTENT")
        own = world.channel(self.arn, bob)
        world.messaging.associate_channel_flow(
            ChannelArn=own, ChannelFlowArn=world.flow(), ChimeBearer=self.arn
        )
        self.say(own, "waiting")
        world.send(channel, bob, "a whisper of bob", Target=[{"MemberArn": self.arn}])
        world.messaging.update_channel_read_marker(ChannelArn=channel, ChimeBearer=self.arn)
        rule = json.dumps({"kind": [self.mark("rule")]})
        world.messaging.put_channel_membership_preferences(
            ChannelArn=channel,
            MemberArn=self.arn,
            ChimeBearer=self.arn,
            Preferences={"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": rule}},
        )
        return channel, bob


def stored(server: Server) -> str:
    """All that the store holds, with what PostgreSQL has sampled of it; of SQLite, the bytes of all files of the data
    folder."""
    if server.store is None:
        files = [path for path in server.data_dir.rglob("*") if path.is_file()]
        assert any(path.name == "carillon.db" for path in files)
        return "".join(path.read_bytes().decode("latin-1") for path in files)
    tables = psql_value(server.store, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
    assert "message" in tables
    every = " UNION ALL ".join(f"SELECT t::text FROM {table} t" for table in tables)
    samples = "SELECT most_common_vals::text || histogram_bounds::text FROM pg_stats WHERE schemaname = 'public'"
    everything = f"{every} UNION ALL SELECT COALESCE(sample, '') FROM ({samples}) AS s (sample)"
    return psql_value(server.store, f"SELECT string_agg(line, ' ') FROM ({everything}) AS lines (line)")


def left(server: Server, marks: list[str], *files: Path) -> list[str]:
    text = stored(server) + "".join(path.read_text() for path in files)
    # Bytes of a database are shown as digits.
    return [mark for mark in marks if mark in text or mark.encode().hex() in text]


def store_of(server: Server) -> list[str]:
    config = ["--config", str(server.folder / "carillon.toml")]
    return ["--data-dir", str(server.data_dir), *config, *(["--store", server.store] if server.store else [])]


def erase(server: Server, *words: str) -> dict:
    return json.loads(commands.done(server.folder, "erase", "--json", *words, *store_of(server)))


@pytest.fixture
def audited(serve, tmp_path) -> Server:
    return serve(CONFIGURATION.format(audit=tmp_path / "audit.log"))


def test_an_export_holds_all_that_is_theirs_and_an_erasure_leaves_none_of_it(audited, tmp_path):
    world = World(audited)
    world.messaging.put_messaging_streaming_configurations(
        AppInstanceArn=world.app_instance,
        StreamingConfigurations=[{"DataType": kind, "ResourceArn": KINESIS} for kind in ("Channel", "ChannelMessage")],
    )
    world.identity.create_app_instance_bot(
        AppInstanceArn=world.app_instance,
        Name="Belle",
        ClientRequestToken=token(),
        Configuration={
            "Lex": {
                "LexBotAliasArn": "arn:aws:lex:us-east-1:000000000000:bot-alias/ABCDE12345/TSTALIASID",
                "LocaleId": "en_US",
                "InvokedBy": {"StandardMessages": "ALL", "TargetedMessages": "NONE"},
            }
        },
    )
    person = Person(world)
    channel, bob = person.live()
    assert 20 <= len(person.marks)
    audit = [path for path in tmp_path.iterdir() if path.name.startswith("audit.log")]
    assert person.id in audit[0].read_text()

    file = tmp_path / "ana.json"
    commands.done(audited.folder, "export", str(file), "--user", person.arn, *store_of(audited))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    exported = file.read_text()
    # An export has what is there now, and the token by which they were made is of whoever made them.
    gone = {mark for mark in person.marks if mark.startswith(("passing", "type", "waiting", "sent", "created"))}
    assert [mark for mark in person.marks if mark not in exported and mark not in gone] == []
    read = json.loads(exported)
    assert [message["Content"] for message in read["Messages"] if message["Sender"]["Arn"] == bob] == ["a whisper of bob"]
    assert read["User"][0]["Id"] == person.id and read["AuditLog"] and "words of bob" not in exported

    before = left(audited, person.marks)
    assert set(person.marks) - set(before) <= gone, "what is nowhere before shows nothing afterwards"
    report = erase(audited, "--user", person.arn)

    audit = [path for path in tmp_path.iterdir() if path.name.startswith("audit.log")]
    assert left(audited, [*person.marks, person.id], *audit) == []
    [erased] = report["people"]
    # The one in the flow may have come through meanwhile.
    assert erased["erased"]["messages"] + erased["erased"]["unseen_messages"] == 3, report
    assert 0 < report["audit_lines"] and not erased["name_is_held"], report
    # The others go on, beside the shells.
    shown = world.messages(channel, bob)
    assert [message.get("Content") for message in shown] == ["a whisper of bob", None, None, "words of bob"]
    assert {message["Sender"]["Name"] for message in shown} == {"Bob", "Erased user"}
    world.send(channel, bob, "and on")
    audited.stop()
    assert left(audited, [*person.marks, person.id], *audit) == []
    audited.start()
    assert "and on" in [message.get("Content") for message in world.messages(channel, bob)]


def count(server: Server, of: str) -> int:
    """What a store counts, beside whoever works on it."""
    sql = f"SELECT COUNT(*) FROM {of}"
    if server.store:
        return int(psql_value(server.store, sql))
    path = server.data_dir / "carillon.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=WAIT_TIMEOUT_S) as database:
        return database.execute(sql).fetchone()[0]


def erase_again(server: Server, arn: str) -> None:
    """Gives the command once more; there may be nothing left to do for it."""
    again = commands.run(server.folder, "erase", "--user", arn, *store_of(server))
    assert again.returncode == 0 or "there is no user" in again.stderr, again.stderr


def senders(before: list[dict], now: list[dict], arn: str) -> set[str]:
    """What somebody is called now who was called so."""
    pairs = zip(before, now, strict=True)
    return {one["Sender"]["Arn"] for was, one in pairs if was["Sender"]["Arn"] == arn}


def test_an_erasure_that_is_killed_again_and_again_leaves_nothing_in_the_end(audited, tmp_path):
    seed = random.randrange(1 << 32)
    print("the seed is", seed)
    moments = random.Random(seed)
    world = World(audited)
    first, alone, beside, other = (Person(world, number) for number in range(4))
    channel, bob = first.live()
    for person in (alone, beside, other):
        person.live()
    world.add(channel, other.arn, bob)
    for person in (first, alone, beside):
        bulk = person.mark("bulk")
        if person is not first:
            world.add(channel, person.arn, bob)
        for number in range(MESSAGES):
            world.send(channel, person.arn, f"{bulk} {number}")
    other.say(channel, "between")
    before = world.messages(channel, bob)
    stays = [mark for mark in other.marks if not mark.startswith(("passing", "type", "waiting", "sent", "created"))]
    assert left(audited, stays) == stays

    # As long as it takes: what is killed is killed within that.
    audited.stop()
    began = time.monotonic()
    erase(audited, "--user", first.arn)
    whole = time.monotonic() - began
    for _ in range(KILLS):
        erasing = commands.begin(audited.folder, "erase", "--user", alone.arn, *store_of(audited))
        time.sleep(moments.uniform(0, whole))
        erasing.kill()
        erasing.communicate()
    for _ in range(KILLS):
        audited.start()
        erasing = commands.begin(audited.folder, "erase", "--user", beside.arn, *store_of(audited))
        eventually(lambda: count(audited, "erasure WHERE begun_at IS NOT NULL"), 3)
        time.sleep(moments.uniform(0, whole / 4))
        audited.kill()
        erasing.kill()
        erasing.communicate()
    audited.start()
    people = (first, alone, beside)
    for person in people:
        erase_again(audited, person.arn)

    audit = [path for path in tmp_path.iterdir() if path.name.startswith("audit.log")]
    gone = [mark for person in people for mark in (*person.marks, person.id)]
    assert left(audited, gone, *audit) == []
    assert left(audited, stays) == stays
    now = world.messages(channel, bob)
    # What others said is as it was, and each shell in its place.
    of = {person.arn: senders(before, now, person.arn) for person in people}
    assert len(set.union(*of.values())) == len(people)
    for was, one in zip(before, now, strict=True):
        if was["Sender"]["Arn"] in of:
            shell = (one["MessageId"], one["Sender"]["Name"], one.get("Content"), one["Redacted"])
            assert shell == (was["MessageId"], "Erased user", None, True)
        else:
            # Whom a whisper was for may be somebody who has another name by now.
            assert {**one, "Target": None} == {**was, "Target": None}
    audited.stop()
    assert left(audited, gone, *audit) == []


def test_free_room_that_a_command_was_killed_before_is_gone_through_by_the_next(audited, tmp_path):
    world = World(audited)
    person = Person(world)
    person.live()
    erasing = commands.begin(audited.folder, "erase", "--user", person.arn, *store_of(audited))
    # The server has done its part, and the command looks for that now and then.
    eventually(lambda: count(audited, "erasure WHERE ended_at IS NOT NULL"), 1)
    erasing.kill()
    erasing.communicate()
    audit = [path for path in tmp_path.iterdir() if path.name.startswith("audit.log")]
    erase_again(audited, person.arn)
    assert left(audited, [*person.marks, person.id], *audit) == []
    # Now there is nothing left to do, of which the command says so.
    assert "there is no user" in commands.refused(audited.folder, "erase", "--user", person.arn, *store_of(audited))


def test_what_they_said_is_kept_where_that_is_asked_for_and_no_server_runs(audited):
    world = World(audited)
    person = Person(world)
    channel, bob = person.live()
    held = world.channel(bob, person.arn)
    other = Person(world, 1)
    world.add(held, other.arn, bob)
    other.say(held, "held")
    world.messaging.tag_resource(ResourceARN=held, Tags=[{"Key": "carillon:hold", "Value": "case 7"}])
    audited.stop()
    [kept] = erase(audited, "--user", person.arn, "--keep-messages")["people"]
    [held_back] = erase(audited, "--user", other.arn)["people"]
    assert (kept["erased"]["messages"], kept["keeps_messages"]) == (0, True)
    assert held_back["held"] == [{"channel_arn": held, "messages": 1}] and held_back["name_is_held"]
    audited.start()
    shown = world.messages(channel, bob)
    assert [message["Sender"]["Name"] for message in shown] == ["Bob", "Erased user", "Erased user", "Bob"]
    assert shown[1]["Content"].startswith("whispered") and shown[2]["Content"].startswith("edited")
    assert [message["Content"][:4] for message in world.messages(held, bob)] == ["held"]
    gone = [mark for mark in person.marks if mark.startswith(("name", "metadata", "device", "voip", "phone", "rule"))]
    assert left(audited, gone) == []


def test_nobody_is_no_person(audited):
    world = World(audited)
    nobody = f"{world.app_instance}/user/nobody"
    for words in (["erase"], ["export", str(audited.folder / "nobody.json")]):
        assert "there is no user" in commands.refused(audited.folder, *words, "--user", nobody, *store_of(audited))
    assert not (audited.folder / "nobody.json").exists()
    assert erase(audited, "--free-room")["people"] == []
