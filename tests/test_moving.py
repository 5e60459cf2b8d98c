"""Moving in and out: what one store held, another one answers, whatever the engines, and however often it was cut off."""

import json
import resource
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import commands
from harness.engine import ENGINES, Engine, outsider, psql_value
from harness.furnished import Furnished, furnish, served
from harness.raw import Connection
from harness.readings import Readings, differences
from harness.server import Server, binary, environment
from harness.world import World, token

SETTLING_TIMEOUT_S = 60
COMMAND_TIMEOUT_S = 120
# The long form, load/moving.py, has more of them.
KILLS = 5
# How long each file of a store may become: its log cannot take the import.
ROOM_BYTES = 65_536


def command(
    server: Server,
    *arguments: str,
    code: int = 0,
    more: dict[str, str] | None = None,
    timeout: float = COMMAND_TIMEOUT_S,
    **options: Any,
) -> str:
    """Runs a command of the binary on the store of a server; answers what it tells people."""
    done = subprocess.run(
        [binary(), *arguments, *store_of(server)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(server.folder) | (more or {}),
        cwd=server.folder,
        timeout=timeout,
        check=False,
        **options,
    )
    told = done.stderr.decode()
    assert done.returncode == code, told
    return told


def store_of(server: Server) -> list[str]:
    store = ["--store", server.store] if server.store else []
    return ["--data-dir", str(server.data_dir), *store]


def begun(
    server: Server, *arguments: str, more: dict[str, str] | None = None, **options: Any
) -> subprocess.Popen:
    """The same, which goes on by itself."""
    return subprocess.Popen(
        [binary(), *arguments, *store_of(server)],
        stderr=subprocess.DEVNULL,
        env=environment(server.folder) | (more or {}),
        cwd=server.folder,
        **options,
    )


def looked_at(server: Server) -> dict[str, tuple[str, str]]:
    """What `check` and `doctor` say of imports, how bad it is first."""
    doors = ("--http", "127.0.0.1:0", "--https", "off")
    checked = commands.run(server.folder, "check", *doors, *store_of(server)).stdout.splitlines()
    [store] = [line.split(maxsplit=2) for line in checked if line.split()[1] == "store:"]
    examined = commands.run(server.folder, "doctor", "--json", *doors, *store_of(server)).stdout.splitlines()
    [found] = [one for one in map(json.loads, examined) if one["check"] == "import"]
    return {"check": (store[0], store[2]), "doctor": (found["severity"], found["finding"])}


def settled(server: Server, instances: list[str]) -> dict[str, Any]:
    """All that it answers, once its jobs have nothing more to do."""
    deadline = time.monotonic() + SETTLING_TIMEOUT_S
    before = Readings.of(server, instances)
    while (now := Readings.of(server, instances)) != before:
        assert time.monotonic() < deadline, differences(before, now)
        before = now
    return now


def same(before: dict[str, Any], now: dict[str, Any]) -> None:
    found = differences(before, now)
    assert not found, "\n".join(found[:5])


class Origin:
    """A server with something of everything, what it answers, and an export of it, made while it runs."""

    def __init__(self, server: Server, folder: Path):
        self.server = server
        self.furnished: Furnished = furnish(server)
        self.instances = self.furnished.instances
        self.answers = settled(server, self.instances)
        self.archive = folder / "all.jsonl.zst"
        command(server, "export", str(self.archive), "--with-keys")

    def answers_of(self, instance: str) -> dict[str, Any]:
        return Readings.of_instance(self.server, instance)


@pytest.fixture(scope="module")
def origin(engine, tmp_path_factory) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("origin")
    with served(engine, folder / "server") as server:
        yield Origin(server, folder)


@pytest.fixture
def other(engine) -> Engine:
    [other] = [made for made in ENGINES.values() if made.name != engine.name]
    return other()


@pytest.fixture
def empty(tmp_path) -> Any:
    """Makes servers that have not begun."""
    made: list[Server] = []

    def make(engine: Engine) -> Server:
        folder = tmp_path / f"empty-{len(made)}"
        folder.mkdir()
        made.append(Server(folder, engine))
        return made[-1]

    return make


@contextmanager
def running(there: Server, more: str = "", *flags: str) -> Iterator[Server]:
    """A server on a store that was imported, configured as the one that it was exported from, and this besides."""
    engine = ENGINES[there.engine.name]()
    engine.new_store = lambda: there.store  # type: ignore[method-assign]
    with served(engine, there.folder, *flags, more=more) as server:
        yield server


def test_every_answer_is_the_same_on_the_other_engine_and_back(origin, other, engine, empty):
    there = empty(other)
    assert "left as it is" not in command(there, "import", str(origin.archive))
    with running(there) as server:
        same(origin.answers, Readings.of(server, origin.instances))
        # The secrets went with it.
        client = server.client("chime-sdk-identity", origin.furnished.key)
        assert len(client.list_app_instances()["AppInstances"]) == len(origin.instances)
    # Back, by a pipe.
    back = empty(engine)
    exporting = begun(there, "export", "-", "--with-keys", stdout=subprocess.PIPE)
    command(back, "import", "-", stdin=exporting.stdout)
    assert exporting.wait() == 0
    with running(back) as server:
        same(origin.answers, Readings.of(server, origin.instances))
        # It goes on as it was: what is said now comes after all that was.
        at = {"ChannelArn": origin.furnished.lobbies[0], "ChimeBearer": origin.furnished.speakers[0]}
        said = {"Content": "after the move", "Type": "STANDARD", "Persistence": "PERSISTENT"}
        sent = server.messaging.send_channel_message(**at, **said, ClientRequestToken=token())
        newest = server.messaging.list_channel_messages(**at, MaxResults=1)["ChannelMessages"]
        assert newest[0]["MessageId"] == sent["MessageId"]


def test_an_export_is_private_and_holds_no_secret_unasked(origin, empty, other, tmp_path):
    assert stat.S_IMODE(origin.archive.stat().st_mode) == 0o600
    bare = tmp_path / "bare.jsonl.zst"
    assert "1 of iam_access_key, because secrets" in command(origin.server, "export", str(bare))
    there = empty(other)
    assert "1 of iam_access_key, because secrets" in command(there, "import", str(bare))
    with running(there) as server:
        assert server.client("iam").list_access_keys(UserName="Ana")["AccessKeyMetadata"] == []
        for instance in origin.instances:
            same(origin.answers_of(instance), Readings.of_instance(server, instance))


def test_what_is_there_stays_as_it_is(origin, engine, empty, tmp_path):
    first, second = origin.instances
    alone = tmp_path / "alone.jsonl.zst"
    command(origin.server, "export", str(alone), "--app-instance", second)
    there = empty(engine)
    command(there, "import", str(alone))
    with running(there) as server:
        assert [one["AppInstanceArn"] for one in server.identity.list_app_instances()["AppInstances"]] == [second]
        assert server.client("iam").list_users()["Users"] == []
        same(origin.answers_of(second), Readings.of_instance(server, second))
        server.identity.update_app_instance(AppInstanceArn=second, Name="Another", Metadata="")
        before = Readings.of_instance(server, second)
    for _ in range(2):
        told = command(there, "import", str(origin.archive))
        assert f"app_instance {second.rpartition('/')[2].replace('-', '')}, which is there already" in told
    with running(there) as server:
        same(before, Readings.of_instance(server, second))
        same(origin.answers_of(first), Readings.of_instance(server, first))


def test_an_import_that_is_killed_again_and_again_is_whole_in_the_end(origin, other, empty):
    start = time.monotonic()
    command(empty(other), "import", str(origin.archive))
    whole = time.monotonic() - start
    there = empty(other)
    for point in range(1, KILLS + 1):
        importing = begun(there, "import", str(origin.archive))
        time.sleep(whole * point / (KILLS + 1))
        importing.kill()
        importing.wait()
    told = command(there, "import", str(origin.archive))
    # One that was whole before the kill is there already, and is left as it is.
    assert "error" not in told
    with running(there) as server:
        same(origin.answers, Readings.of(server, origin.instances))


def test_half_an_archive_is_served_by_nobody(origin, engine, empty, tmp_path):
    there = empty(engine)
    broken = tmp_path / "broken.jsonl.zst"
    whole = origin.archive.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    # A file is looked at first, and nothing is changed.
    for content, word in ((whole[:-9], "is damaged"), (flipped, "is damaged"), (b"no archive", "not an export")):
        broken.write_bytes(content)
        assert word in command(there, "import", str(broken), code=1)
    with running(there) as server:
        assert server.identity.list_app_instances()["AppInstances"] == []
    # Of a pipe that cannot be known before.
    assert "is damaged" in command(there, "import", "-", input=whole[:-9], code=1)
    assert "was cut off" in command(there, "serve", "--http", "127.0.0.1:0", "--https", "off", code=1)
    said = looked_at(there)
    assert (said["check"][0], said["doctor"][0]) == ("FAILED", "serious"), said
    assert all("an import was cut off after" in words for _, words in said.values()), said
    command(there, "import", str(origin.archive))
    said = looked_at(there)
    assert (said["check"][0], said["doctor"]) == ("ok", ("ok", "none was cut off")), said
    with running(there) as server:
        same(origin.answers, Readings.of(server, origin.instances))


def test_a_store_that_is_served_is_left_alone(origin, engine, tmp_path):
    assert "in use" in command(origin.server, "import", str(origin.archive), code=1)
    if origin.server.store is not None:
        elsewhere = Server(tmp_path, engine)
        elsewhere.store = origin.server.store
        told = command(elsewhere, "import", str(origin.archive), code=1)
        assert "is served by another server" in told
    same(origin.answers, Readings.of(origin.server, origin.instances))


def test_the_wrong_key_and_another_account_are_named(origin, engine, empty, tmp_path):
    stranger = Server(tmp_path, engine)
    stranger.data_dir.mkdir()
    (stranger.data_dir / "master-key").write_text("0" * 64)
    stranger.store = origin.server.store or f"sqlite:{origin.server.data_dir / 'carillon.db'}"
    assert "the wrong master key" in command(stranger, "export", str(tmp_path / "out"), "--with-keys", code=1)
    assert not list(tmp_path.glob("out*"))
    told = command(empty(engine), "import", str(origin.archive), "--account-id", "111111111111", code=1)
    assert "this server is account 111111111111" in told


def test_a_full_disk_is_named_and_a_repetition_finishes(origin, empty):
    with Path("/dev/full").open("wb") as full:
        exporting = begun(origin.server, "export", "-", stdout=full)
        assert exporting.wait() == 1
    there = empty(ENGINES["sqlite"]())
    there.start().stop()
    told = command(
        there,
        *("import", str(origin.archive)),
        code=1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES)),
        restore_signals=False,
    )
    assert "error: the import into" in told
    command(there, "import", str(origin.archive))
    with running(there) as server:
        same(origin.answers, Readings.of(server, origin.instances))


# From a service.

UNTOLD = ("ListAppInstanceUserEndpoints", "DescribeAppInstanceUserEndpoint")


def asked_of(source: Server, instance: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command that brings an app instance from there, and its environment."""
    credentials = {
        "AWS_ACCESS_KEY_ID": source.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": source.credentials.secret_access_key,
    }
    asked = ("import", "--from-service", "--app-instance-arn", instance, "--endpoint-url", source.http_url)
    return asked, credentials


def from_service(there: Server, source: Server, instance: str, *flags: str, **options: Any) -> str:
    asked, credentials = asked_of(source, instance)
    return command(there, *asked, *flags, more=credentials, **options)


@contextmanager
def at_its_rates(source: Server) -> Iterator[None]:
    """For a while it has the rates of the original."""
    source.stop()
    plain, source.flags = source.flags, (*source.flags, "--limits-preset", "aws")
    source.start()
    yield
    source.stop()
    source.flags = plain
    source.start()


def is_being_brought(there: Server) -> bool:
    """Whether the first of an app instance is in the store, and that there is more."""
    sql = "SELECT COUNT(*) FROM setting WHERE value = 'under way' AND EXISTS (SELECT 1 FROM identity)"
    try:
        if there.store:
            return psql_value(there.store, sql) == "1"
        path = there.data_dir / "carillon.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1) as database:
            return database.execute(sql).fetchone() == (1,)
    except (sqlite3.OperationalError, subprocess.CalledProcessError):
        # Its tables are still made.
        return False


def told_by_the_api(answers: dict[str, Any]) -> dict[str, Any]:
    """What can be brought: not the order of lists that have none, which each server has by keys of its own."""
    told = {key: dict(value) for key, value in answers.items() if not key.startswith(UNTOLD)}
    for answer in told.values():
        for name, value in answer.items():
            if isinstance(value, list) and name != "ChannelMessages":
                answer[name] = sorted(value, key=str)
    return told


def test_an_application_is_brought_from_a_service_at_its_rates(engine, other, tmp_path, empty):
    with served(engine, tmp_path / "source") as source:
        furnished = furnish(source, pending=False)
        instance = furnished.instances[0]
        world = furnished.worlds[0]
        settled(source, furnished.instances)
        there = empty(other)

        def throttled(told: str) -> str:
            assert not [line for line in told.splitlines() if line.startswith("not brought")], told
            return told

        with at_its_rates(source):
            # Two at once come too early for each other, and wait.
            asked, credentials = asked_of(source, instance)
            other_one = begun(empty(engine), *asked, "--dry-run", more=credentials)
            assert "membership: " in throttled(from_service(there, source, instance, "--dry-run"))
            assert other_one.wait() == 0
            assert not (there.data_dir / "carillon.db").exists()
            told = throttled(from_service(there, source, instance))
            assert "the user with most calls: " in told and "the rate used most: " in told

        def compare() -> None:
            before = told_by_the_api(Readings.of_instance(source, instance))
            with running(there) as server:
                same(before, told_by_the_api(Readings.of_instance(server, instance)))

        compare()
        # What happened there since comes, too, and nothing twice.
        at = {"ChannelArn": furnished.lobbies[0]}
        speaker = furnished.speakers[0]
        said = source.messaging.list_channel_messages(**at, ChimeBearer=speaker)["ChannelMessages"]
        own = [one["MessageId"] for one in said if one["Sender"]["Arn"] == speaker and not one["Redacted"]]
        source.messaging.update_channel_message(**at, MessageId=own[0], Content="late", ChimeBearer=speaker)
        source.messaging.redact_channel_message(**at, MessageId=own[1], ChimeBearer=speaker)
        world.send(at["ChannelArn"], speaker, "new")
        members = source.messaging.list_channel_memberships(**at, ChimeBearer=speaker)["ChannelMemberships"]
        leaving = next(one["Member"]["Arn"] for one in members if "/user/bob" in one["Member"]["Arn"])
        world.remove(at["ChannelArn"], leaving, by=speaker)
        told = throttled(from_service(there, source, instance))
        assert ", 3 new or other ones" in next(line for line in told.splitlines() if line.startswith("message"))
        compare()
        told = from_service(there, source, instance)
        assert all(", 0 new or other ones" in line for line in told.splitlines() if " new or other" in line), told
        # Neither is an app instance taken over that did not come from there.
        own_one = empty(engine)
        with running(own_one):
            pass
        archive = tmp_path / "archive"
        command(source, "export", str(archive))
        command(own_one, "import", str(archive))
        assert "did not come from the service" in from_service(own_one, source, instance, code=1)


def test_an_import_from_a_service_that_was_killed_is_known_and_its_repetition_is_whole(engine, tmp_path, empty):
    with served(engine, tmp_path / "source") as source:
        furnished = furnish(source, pending=False)
        instance = furnished.instances[0]
        settled(source, furnished.instances)
        there = empty(engine)
        with at_its_rates(source):
            asked, credentials = asked_of(source, instance)
            importing = begun(there, *asked, more=credentials)
            deadline = time.monotonic() + COMMAND_TIMEOUT_S
            while not is_being_brought(there):
                assert importing.poll() is None and time.monotonic() < deadline
            importing.kill()
            importing.wait()
        said = looked_at(there)
        assert (said["check"][0], said["doctor"][0]) == ("FAILED", "warning"), said
        uuid = instance.rpartition("/")[2]
        assert all(f"app instance {uuid} from a service was cut off" in words for _, words in said.values()), said
        # It keeps nobody from serving what else is there.
        with running(there):
            pass
        from_service(there, source, instance)
        said = looked_at(there)
        assert (said["check"][0], said["doctor"]) == ("ok", ("ok", "none was cut off")), said
        before = told_by_the_api(Readings.of_instance(source, instance))
        with running(there) as server:
            same(before, told_by_the_api(Readings.of_instance(server, instance)))


SEARCHED = '[search]\napp_instances = "all"\n'
SEARCH_PATH = "/_carillon/v1/messages/search"


def runs_of(there: Server) -> int:
    """How many rows the index has, of a store that nobody serves."""
    sql = "SELECT COUNT(*) FROM search_run"
    if there.store:
        return int(psql_value(there.store, sql))
    with outsider(there.data_dir / "carillon.db") as database:
        return database.execute(sql).fetchone()[0]


def test_what_was_brought_is_searched_as_it_is(engine, tmp_path, empty):
    with served(engine, tmp_path / "source") as source:
        world = World(source)
        ana, bob = world.users("ana", "bob")
        world.admin("root")
        channel = world.channel(ana, bob)
        first, second, third = (
            world.send(channel, ana, f"alpha {word}")["MessageId"] for word in ("one", "two", "three")
        )
        there = empty(engine)

        def taken_in(server: Server) -> None:
            # Announced, made, and walked through.
            for _ in range(4):
                server.advance(timedelta(hours=1))

        def found(server: Server, query: str) -> list[str]:
            with Connection(server) as connection:
                asked = {"AppInstanceArn": world.app_instance, "Query": query}
                answer = connection.call("POST", SEARCH_PATH, asked, bearer=bob)
            assert answer.status == 200, answer.body
            return [message["Content"] for message in answer.json["Messages"]]

        from_service(there, source, world.app_instance)
        with running(there, SEARCHED, "--test-clock") as server:
            for _ in range(2):
                assert found(server, "alpha") == ["alpha three", "alpha two", "alpha one"]
                taken_in(server)
        assert runs_of(there) > 0, "nothing was taken into the index"

        at = {"ChannelArn": channel, "ChimeBearer": ana}
        source.messaging.update_channel_message(**at, MessageId=first, Content="omega one")
        source.messaging.redact_channel_message(**at, MessageId=second)
        source.messaging.update_channel_message(**at, MessageId=third, Content="alpha drei")
        world.send(channel, ana, "alpha four")
        from_service(there, source, world.app_instance)
        with running(there, SEARCHED, "--test-clock") as server:
            # By messages first, and then by the index that was made of them anew.
            for _ in range(2):
                assert found(server, "alpha") == ["alpha four", "alpha drei"]
                assert found(server, "omega") == ["omega one"]
                assert found(server, "drei") == ["alpha drei"]
                assert found(server, "one -alpha") == ["omega one"]
                assert (found(server, "two"), found(server, "three")) == ([], [])
                taken_in(server)
