"""A backup beside a running server, and what becomes of it: whole, or a sentence that says why not."""

import io
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
import zstandard
from botocore.exceptions import ClientError

from harness import commands
from harness.engine import Sqlite
from harness.sends import Sends
from harness.server import Credentials, Server, binary, environment
from harness.world import World, pages

KEYS = {"root-credentials", "master-key", "tls/ca.pem", "tls/ca-key.pem", "tls/leaf.pem", "tls/leaf-key.pem"}
KILLS = 8


@pytest.fixture
def engine() -> Sqlite:
    """A backup is of a SQLite store."""
    return Sqlite()


def names_in(archive: Path) -> list[str]:
    return [member.name for member in members_of(archive)]


def members_of(archive: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(plain(archive))) as tar:
        return tar.getmembers()


def plain(archive: Path) -> bytes:
    """What is compressed, by another program than the one that wrote it."""
    return zstandard.ZstdDecompressor().stream_reader(archive.read_bytes()).read()


def backup(server: Server, file: Path, *flags: str, **variables: str) -> str:
    return commands.done(server.folder, "backup", str(file), "--data-dir", str(server.data_dir), *flags, **variables)


def restored(tmp_path: Path, file: Path, **variables: str) -> Server:
    """A server on what a backup held; it is not started."""
    folder = tmp_path / "restored"
    folder.mkdir()
    server = Server(folder, Sqlite(), **variables)
    commands.done(folder, "restore", str(file), "--data-dir", str(server.data_dir))
    return server


def filled(server: Server) -> tuple[World, str, str]:
    world = World(server)
    ana = world.user("ana")
    return world, ana, world.channel(ana)


def test_all_that_was_acknowledged_before_is_there_and_can_be_read(own_server, tmp_path):
    world, ana, _ = filled(own_server)
    channels = [world.channel(ana, Name=f"Lobby {number}") for number in range(8)]
    file = tmp_path / "backup.tar.zst"
    with Sends(world, ana, channels, threads=8) as sends:
        while sends.count < 200:
            time.sleep(0.01)
        before = {channel: list(contents) for channel, contents in sends.acknowledged.items()}
        words = backup(own_server, file, "--with-keys")
        assert sends.count > sum(map(len, before.values())), "nothing was sent meanwhile"
    assert "without keys" not in words
    own_server.kill()

    server = restored(tmp_path, file).start()
    try:
        assert server.credentials == own_server.credentials
        for channel, contents in before.items():
            found = [message["Content"] for message in messages(server, channel, ana)]
            assert set(contents) <= set(found) and found == sorted(found), channel
        # It is a server like any other.
        sent = server.messaging.send_channel_message(
            ChannelArn=channels[0], ChimeBearer=ana, Content="after", Type="STANDARD", Persistence="PERSISTENT",
            ClientRequestToken="after",
        )
        assert messages(server, channels[0], ana)[-1]["MessageId"] == sent["MessageId"]
    finally:
        server.stop()


def messages(server: Server, channel: str, reader: str) -> list[dict]:
    return pages(
        server.messaging.list_channel_messages, "ChannelMessages", ChannelArn=channel, ChimeBearer=reader,
        SortOrder="ASCENDING",
    )


def test_an_archive_is_a_tar_for_its_owner_that_says_what_it_holds(own_server, tmp_path):
    filled(own_server)
    (own_server.data_dir / "notes").write_text("ours")
    file = tmp_path / "backup.tar.zst"
    words = backup(own_server, file)
    assert "left out, because Carillon did not put it there: notes" in words
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names_in(file) == ["manifest.json", "carillon.db", "node"]
    with tarfile.open(fileobj=io.BytesIO(plain(file))) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
    assert manifest["carillon_backup"] == 1 and not manifest["with_keys"]
    assert [member["name"] for member in manifest["members"]] == names_in(file)[1:]
    assert all(stat.S_IMODE(member.mode) == 0o600 for member in members_of(file))
    # An older backup makes room, and nothing else does; nothing is left beside it.
    backup(own_server, file, "--with-keys")
    assert set(names_in(file)) == {"manifest.json", "carillon.db", "node"} | KEYS
    other = tmp_path / "letter"
    other.write_text("dear")
    said = commands.refused(tmp_path, "backup", str(other), "--data-dir", str(own_server.data_dir))
    assert "letter exists, and is no backup" in said and other.read_text() == "dear"
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_without_keys_it_needs_the_master_key_of_then(own_server, tmp_path):
    filled(own_server)
    iam = own_server.client("iam")
    iam.create_user(UserName="backend")
    made = iam.create_access_key(UserName="backend")["AccessKey"]
    file = tmp_path / "backup.tar.zst"
    assert "without keys" in backup(own_server, file)
    key = next(
        line for line in (own_server.data_dir / "master-key").read_text().splitlines() if not line.startswith("#")
    )
    own_server.stop()

    folder = tmp_path / "wrong"
    folder.mkdir()
    words = ("restore", str(file), "--data-dir", str(folder / "data"))
    said = commands.refused(folder, *words, CARILLON_MASTER_KEY="ab" * 32)
    assert "another master key than CARILLON_MASTER_KEY gives" in said
    assert [path.name for path in (folder / "data").iterdir()] == ["lock"]
    said = commands.done(folder, *words)
    assert "CARILLON_MASTER_KEY" in said
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["carillon.db", "lock", "node"]

    server = restored(tmp_path, file, CARILLON_MASTER_KEY=key).start()
    try:
        credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
        assert server.client("sts", credentials).get_caller_identity()["Arn"].endswith("user/backend")
        with pytest.raises(ClientError):
            server.client("sts", own_server.credentials).get_caller_identity()
    finally:
        server.stop()


def test_only_an_empty_folder_is_restored_into(own_server, tmp_path):
    file = tmp_path / "backup.tar.zst"
    backup(own_server, file, "--with-keys")
    for name in ("notes", "carillon.db", "node"):
        folder = tmp_path / f"with-{name}"
        folder.mkdir()
        (folder / name).write_text("mine")
        said = commands.refused(tmp_path, "restore", str(file), "--data-dir", str(folder))
        assert "is not empty" in said and name in said
        assert {path.name for path in folder.iterdir()} == {name, "lock"} and (folder / name).read_text() == "mine"
    said = commands.refused(tmp_path, "restore", str(file), "--data-dir", str(own_server.data_dir))
    assert "is in use" in said
    said = commands.refused(
        tmp_path, "restore", str(file), "--data-dir", str(tmp_path / "new"), "--store", "postgres://127.0.0.1/x"
    )
    assert "a backup holds a SQLite store" in said and not (tmp_path / "new").exists()


def test_a_store_that_lies_elsewhere_goes_elsewhere(own_server, tmp_path):
    file = tmp_path / "backup.tar.zst"
    backup(own_server, file)
    folder = tmp_path / "new"
    store = tmp_path / "disk" / "chat.db"
    store.parent.mkdir()
    words = ("restore", str(file), "--data-dir", str(folder), "--store", f"sqlite:{store}")
    commands.done(tmp_path, *words)
    assert store.exists() and not (folder / "carillon.db").exists()
    assert str(store) in commands.refused(
        tmp_path, "restore", str(file), "--data-dir", str(tmp_path / "other"), "--store", f"sqlite:{store}"
    )


def test_what_is_damaged_is_refused_before_anything_is_written(own_server, tmp_path):
    file = tmp_path / "backup.tar.zst"
    backup(own_server, file, "--with-keys")
    whole = file.read_bytes()

    def flipped(at: int) -> bytes:
        return whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :]

    damages = {
        "empty": b"",
        "cut at its beginning": whole[:100],
        "cut in the middle": whole[: len(whole) // 2],
        "cut by a byte": whole[:-1],
        "followed by something": whole + b"x",
        "something else": b"anything " * 1_000,
        **{f"flipped at {part} %": flipped(len(whole) * part // 100) for part in (0, 5, 25, 50, 75, 99)},
    }
    for number, (what, damaged) in enumerate(damages.items()):
        file.write_bytes(damaged)
        folder = tmp_path / f"data-{number}"
        said = commands.refused(tmp_path, "restore", str(file), "--data-dir", str(folder))
        assert "is damaged, or no backup" in said, (what, said)
        assert not folder.exists(), what
    file.unlink()
    assert "cannot be read" in commands.refused(tmp_path, "restore", str(file), "--data-dir", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"carillon_backup": 99, "version": "7.0"}, "written by carillon 7.0, in a newer format"),
        ({"schema": 999, "schema_needs": 999}, "whose schema is newer: it needs version 999"),
        ({"members": [{"name": "../escaped", "bytes": 4, "sha256": ""}]}, "it holds ../escaped"),
        ({"members": []}, "it holds more than its manifest says"),
    ],
)
def test_what_this_binary_does_not_know_is_refused(own_server, tmp_path, change, words):
    file, forged = tmp_path / "backup.tar.zst", tmp_path / "forged.tar.zst"
    backup(own_server, file)
    with tarfile.open(fileobj=io.BytesIO(plain(file))) as tar, io.BytesIO() as made:
        with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as writing:
            for member in tar.getmembers():
                content = tar.extractfile(member).read()
                if member.name == "manifest.json":
                    content = json.dumps(json.loads(content) | change).encode()
                    member.size = len(content)
                writing.addfile(member, io.BytesIO(content))
        forged.write_bytes(zstandard.ZstdCompressor().compress(made.getvalue()))
    said = commands.refused(tmp_path, "restore", str(forged), "--data-dir", str(tmp_path / "new"))
    assert words in said and not (tmp_path / "new").exists(), said


def test_a_disk_that_is_full_leaves_nothing_half_done(own_server, tmp_path):
    world, ana, channel = filled(own_server)
    for _ in range(50):
        world.send(channel, ana, os.urandom(1_500).hex())
    file = tmp_path / "backup.tar.zst"

    def small_files() -> None:
        # A file may not grow past this, which is what a full disk looks like to whoever writes it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))

    said = limited(small_files, tmp_path, "backup", str(file), "--data-dir", str(own_server.data_dir))
    assert "File too large" in said or "disk" in said or "full" in said, said
    assert not list(tmp_path.glob("backup*"))
    backup(own_server, file)
    folder = tmp_path / "new"
    said = limited(small_files, tmp_path, "restore", str(file), "--data-dir", str(folder))
    assert "cannot be written" in said and "File too large" in said, said
    assert [path.name for path in folder.iterdir()] == ["lock"]
    commands.done(tmp_path, "restore", str(file), "--data-dir", str(folder))


def limited(limit, folder: Path, *words: str) -> str:
    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit()

    ended = subprocess.run(
        [binary(), *words], cwd=folder, env=environment(folder), preexec_fn=prepare, capture_output=True,
        text=True, timeout=commands.TIMEOUT_S,
    )
    assert ended.returncode == 1 and ended.stderr.count("error: ") == 1, ended.stderr
    return ended.stderr


def test_killed_at_any_moment_a_repetition_finishes_it(own_server, tmp_path):
    world, ana, channel = filled(own_server)
    for _ in range(300):
        world.send(channel, ana, os.urandom(1_900).hex())
    file, folder = tmp_path / "backup.tar.zst", tmp_path / "new"
    words = ("backup", str(file), "--data-dir", str(own_server.data_dir), "--with-keys")
    took = lasting(tmp_path, *words)
    whole = file.read_bytes()
    for number in range(KILLS):
        kill_after(took * (number + 1) / (KILLS + 1), tmp_path, *words)
        # The older one stays until the new one is whole.
        assert names_in(file)[1:3] == ["carillon.db", "node"]
    commands.done(tmp_path, *words)
    assert not list(tmp_path.glob("*.part")) and len(file.read_bytes()) > len(whole) // 2
    own_server.stop()

    words = ("restore", str(file), "--data-dir", str(folder))
    took = lasting(tmp_path, *words)
    shutil.rmtree(folder)
    for number in range(KILLS):
        kill_after(took * (number + 1) / (KILLS + 1), tmp_path, *words)
        if (folder / "restoring" / "into").exists():
            said = commands.refused(tmp_path, "iam", "--data-dir", str(folder), "list-users")
            assert "was not finished" in said
        elif (folder / "carillon.db").exists():
            shutil.rmtree(folder)
    if not (folder / "carillon.db").exists() or (folder / "restoring" / "into").exists():
        commands.done(tmp_path, *words)
    assert sorted(path.name for path in folder.iterdir() if path.name != "restoring") == [
        *("carillon.db", "lock", "master-key", "node", "root-credentials", "tls"),
    ]


def test_a_restore_that_was_killed_at_its_end_is_done_again(own_server, tmp_path):
    """The state that a kill between the last steps leaves, made by hand: some of it in its place, some not."""
    file, folder = tmp_path / "backup.tar.zst", tmp_path / "new"
    backup(own_server, file, "--with-keys")
    commands.done(tmp_path, "restore", str(file), "--data-dir", str(folder))
    (folder / "restoring").mkdir()
    (folder / "restoring" / "into").write_text(str(folder / "carillon.db"))
    (folder / "node").rename(folder / "restoring" / "node")
    for command in (["check"], ["serve", "--http", "127.0.0.1:0", "--https", "off"]):
        ended = commands.run(tmp_path, *command, "--data-dir", str(folder))
        assert ended.returncode == 1 and "was not finished" in ended.stdout + ended.stderr
    # What is not of a restore is not taken away.
    (folder / "notes").write_text("mine")
    assert "notes" in commands.refused(tmp_path, "restore", str(file), "--data-dir", str(folder))
    (folder / "notes").unlink()
    commands.done(tmp_path, "restore", str(file), "--data-dir", str(folder))
    assert (folder / "node").exists() and not (folder / "restoring").exists()
    # Without its mark it is finished: killed then, nothing is to be done again, and what stands there is kept.
    (folder / "restoring").mkdir()
    assert "carillon.db" in commands.refused(tmp_path, "restore", str(file), "--data-dir", str(folder))
    commands.done(tmp_path, "iam", "--data-dir", str(folder), "list-users")
    # Killed before the mark, it has done nothing.
    early = tmp_path / "early"
    (early / "restoring").mkdir(parents=True)
    commands.done(tmp_path, "restore", str(file), "--data-dir", str(early))
    assert (early / "node").exists() and not (early / "restoring").exists()


def lasting(folder: Path, *words: str) -> float:
    begun = time.monotonic()
    commands.done(folder, *words)
    return time.monotonic() - begun


def kill_after(seconds: float, folder: Path, *words: str) -> None:
    process = commands.begin(folder, *words)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()


def test_on_postgresql_it_says_what_to_use(tmp_path):
    said = commands.refused(
        tmp_path, "backup", str(tmp_path / "file"), "--store", "postgres://me:hush@127.0.0.1:1/chat"
    )
    assert "pg_dump" in said and "pg_basebackup" in said and "carillon export" in said and "hush" not in said
    assert not (tmp_path / "file").exists()


def test_a_store_that_is_not_there_is_named(tmp_path):
    said = commands.refused(tmp_path, "backup", str(tmp_path / "file"), "--data-dir", str(tmp_path / "none"))
    assert "there is no store" in said and list(tmp_path.iterdir()) == []
