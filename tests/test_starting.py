"""Bad starts end at once, with one clear sentence; good ones can be checked beforehand."""

import signal
import socket
import subprocess

import pytest

from harness.engine import Postgres, Sqlite
from harness.server import Credentials, Server, binary, environment, free_ports
from harness.world import World

ENDS_WITHIN_S = 20
NEWER_SCHEMA = 1_000_000


def start_and_end(folder, *words: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs to the end, which must come by itself."""
    return subprocess.run(
        [binary(), *words],
        cwd=folder,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
    )


def listeners() -> list[str]:
    http, https = free_ports(2)
    return ["--http", f"127.0.0.1:{http}", "--https", f"127.0.0.1:{https}"]


def refusal(ended: subprocess.CompletedProcess) -> str:
    """The one sentence of a start that failed."""
    assert ended.returncode not in (0, 101), (ended.returncode, ended.stderr)
    assert "panicked" not in ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, ended.stderr
    return errors[0]


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flags in (
            ["--http", f"127.0.0.1:{port}", "--https", "off"],
            ["--https", f"127.0.0.1:{port}", "--http", "off"],
        ):
            assert str(port) in refusal(start_and_end(tmp_path, "serve", *flags))


def test_a_data_folder_that_is_a_file_is_named(tmp_path):
    file = tmp_path / "occupied"
    file.write_text("not a folder")
    assert "occupied" in refusal(start_and_end(tmp_path, "serve", "--data-dir", str(file), *listeners()))


@pytest.mark.parametrize(
    "store", ["postgres://127.0.0.1:1/x", "mysql://127.0.0.1/x", "sqlite:/no/such/folder/a.db"]
)
def test_a_store_that_cannot_be_reached_is_named(tmp_path, store):
    error = refusal(start_and_end(tmp_path, "serve", "--store", store, *listeners()))
    assert any(part in error for part in ("127.0.0.1", "mysql", "/no/such/folder"))


def test_an_unknown_flag_is_named(tmp_path):
    assert "--colour" in refusal(start_and_end(tmp_path, "serve", "--colour", "red"))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--http", "everywhere"),
        ("--region", "Nowhere Land"),
        ("--account-id", "12"),
        ("--bus", "pigeon://x"),
        ("--config", "missing.toml"),
        ("--tls-cert", "missing.pem"),
    ],
)
def test_a_bad_value_is_named(tmp_path, flag, value):
    ended = start_and_end(tmp_path, "serve", flag, value)
    assert refusal(ended)
    assert value in ended.stderr or flag in ended.stderr


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 'red'", "colour"),
        ("[limits]\nno_such_limit = 1", "no_such_limit"),
        ("http = ", "carillon.toml"),
    ],
)
def test_a_bad_line_of_the_configuration_is_named(tmp_path, text, named):
    (tmp_path / "carillon.toml").write_text(text)
    ended = start_and_end(tmp_path, "serve", "--config", "carillon.toml", *listeners())
    assert refusal(ended)
    assert named in ended.stderr


def test_check_prints_a_line_for_each_thing_and_ends_well(tmp_path):
    ended = start_and_end(tmp_path, "check", *listeners())
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) >= 2


def test_check_tells_what_is_broken(tmp_path):
    ended = start_and_end(tmp_path, "check", "--store", "postgres://127.0.0.1:1/x", *listeners())
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stdout + ended.stderr


def test_check_reaches_the_store_of_a_server(own_server):
    own_server.stop()
    ended = start_and_end(own_server.folder, "check", *own_server.options())
    assert ended.returncode == 0, ended.stderr


def test_a_schema_newer_than_the_binary_is_refused(own_server):
    own_server.stop()
    own_server.engine.pretend_newer_schema(own_server.data_dir, own_server.store, NEWER_SCHEMA)
    error = refusal(start_and_end(own_server.folder, "serve", *own_server.options()))
    assert "newer" in error or str(NEWER_SCHEMA) in error


def test_everything_is_there_after_a_restart(own_server):
    world = World(own_server)
    ana = world.user("ana")
    channel = world.channel(ana)
    message_id = world.send(channel, ana, "before")["MessageId"]
    credentials, ca = own_server.credentials, own_server.ca.read_bytes()
    own_server.stop()
    own_server.start()
    assert (own_server.credentials, own_server.ca.read_bytes()) == (credentials, ca)
    assert world.contents(channel, ana) == ["before"]
    assert world.status(channel, message_id, ana) == {"Value": "SENT"}


def test_a_page_token_survives_a_restart(own_server):
    world = World(own_server)
    ana = world.user("ana")
    channel = world.channel(ana)
    for content in ("one", "two"):
        world.send(channel, ana, content)
    page = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=ana, MaxResults=1)
    own_server.stop()
    own_server.start()
    rest = world.contents(channel, ana, NextToken=page["NextToken"], MaxResults=1)
    assert rest == ["one"]


def test_root_credentials_may_come_from_the_environment(tmp_path, monkeypatch):
    given = {"CARILLON_ROOT_ACCESS_KEY_ID": "AKIDGIVEN", "CARILLON_ROOT_SECRET_ACCESS_KEY": "given-secret"}
    server = Server(tmp_path, Sqlite())
    monkeypatch.setattr("harness.server.environment", lambda home: environment(home) | given)
    server.start()
    try:
        client = server.client("chime-sdk-messaging", Credentials("AKIDGIVEN", "given-secret"))
        assert client.get_messaging_session_endpoint()["Endpoint"]
    finally:
        server.stop()


def second_on_the_store_of(server: Server, folder) -> Server:
    """Another server with a folder and ports of its own."""
    folder.mkdir()
    second = Server(folder, server.engine)
    second.store = server.store or f"sqlite:{server.data_dir / 'carillon.db'}"
    return second


def test_a_second_server_on_a_store_is_refused_while_the_first_lives(own_server, tmp_path):
    second = second_on_the_store_of(own_server, tmp_path / "second")
    error = refusal(start_and_end(second.folder, "serve", *second.options()))
    assert "is served by another server" in error
    World(own_server).user("ana")  # The first one did not notice.


def test_a_second_server_takes_over_from_one_that_died_or_stopped(own_server, tmp_path):
    own_server.kill()
    second = second_on_the_store_of(own_server, tmp_path / "second").start()
    second.stop()
    third = second_on_the_store_of(own_server, tmp_path / "third").start()
    third.stop()


def test_a_server_that_was_replaced_while_it_was_stopped_ends(tmp_path):
    """On PostgreSQL, which ends what a stopped process has begun; SQLite waits for whoever stopped within a write."""
    server = Server(tmp_path, Postgres()).start()
    first, server.process = server.process, None
    first.send_signal(signal.SIGSTOP)
    try:
        second = second_on_the_store_of(server, tmp_path / "second").start()
        first.send_signal(signal.SIGCONT)
        assert first.wait(ENDS_WITHIN_S) not in (0, 101)
        assert "is served by another server by now" in server.log_tail()
        World(second).user("ana")
        second.stop()
    finally:
        first.kill()
        first.wait()
