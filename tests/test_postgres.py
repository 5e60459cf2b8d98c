"""PostgreSQL in earnest: over TLS, behind PgBouncer, and several servers of which one takes the other's place."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.engine import Postgres, psql, psql_value
from harness.postgres import At, Authority, PgBouncer, PostgresServer, locked, with_tls
from harness.raw import Connection, messages_of
from harness.server import Server, binary, environment
from harness.session import Session
from harness.world import World, token

# What docs/guide/postgresql.md promises.
ANSWERED_WITHIN_S = 10
BACK_WITHIN_S = 30
CHECKED_WITHIN_S = 30
ENDED_WITHIN_S = 30
CHANNELS = 8
SENDERS = 16
# A pooler with fewer connections than Carillon has.
POOL = 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer.start_new()
    yield server
    server.end()


def send(server: Server, channel: str, sender: str, content: str):
    body = {
        "Content": content,
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": token(),
    }
    with Connection(server) as made:
        made.http.timeout = ANSWERED_WITHIN_S
        return made.call("POST", messages_of(channel), body, bearer=sender)


# Poolers.


POOLERS = {
    # The first refuses what it does not know at the start of a connection, the second forgets it.
    "transaction": ("transaction", {"default_pool_size": POOL}, ""),
    "forgetful": ("transaction", {"default_pool_size": POOL, "ignore_startup_parameters": "options"}, ""),
    "session": ("session", {"default_pool_size": 20}, ""),
}
if (1, 21) <= PgBouncer.version():  # It keeps statements from here on.
    settings = {"default_pool_size": POOL, "max_prepared_statements": 200}
    POOLERS["prepared"] = ("transaction", settings, "prepared_statements=on")


@pytest.mark.parametrize("which", POOLERS)
def test_all_is_as_it_should_be_behind_pgbouncer(postgres, tmp_path, which):
    mode, settings, query = POOLERS[which]
    database = f"pooled_{which}"
    postgres.database(database)
    with PgBouncer(postgres, mode, **settings) as bouncer:
        server = Server(tmp_path, At(bouncer.url(database, query))).start()
        world = World(server)
        ana = world.user("ana")
        channels = [world.channel(ana) for _ in range(CHANNELS)]
        with ThreadPoolExecutor(SENDERS) as pool:
            sent = [(channel, f"{at}") for at in range(20) for channel in channels]
            answers = pool.map(lambda one: send(server, one[0], ana, one[1]).status, sent)
            assert set(answers) == {201}
            read = pool.map(lambda channel: sorted(world.contents(channel, ana), key=int), channels)
            assert list(read) == [[f"{at}" for at in range(20)]] * CHANNELS
        # What holds for a connection holds: who waits for a lock is told so, long before the server seems silent.
        with locked(postgres.url(database), "message"):
            refused = send(server, channels[0], ana, "late")
        assert (refused.status, refused.error) == (503, "ServiceUnavailableException")
        assert "too much to do" in refused.message
        server.stop()
        if mode == "transaction":
            assert connections(postgres, database) <= POOL
            # And it is left to others as it was.
            assert psql_value(bouncer.url(database), "SHOW enable_seqscan") == "on"


def connections(postgres: PostgresServer, database: str) -> int:
    return int(
        psql_value(
            postgres.url(), f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
        )
    )


def test_there_are_as_many_connections_as_lanes(postgres, tmp_path):
    url = postgres.database("lanes")
    file = tmp_path / "carillon.toml"
    file.write_text(f"[store]\naddress = '{url}'\nwrite_lanes = 2\nread_lanes = 3\n")
    server = Server(tmp_path, At(""), "--config", str(file)).start()
    World(server)
    # Two more are for jobs.
    assert connections(postgres, "lanes") == 2 + 3 + 2
    server.stop()


def test_a_node_whose_schema_others_have_outgrown_ends(postgres, tmp_path):
    url = postgres.database("outgrown")
    server = Server(tmp_path, At(url)).start()
    # A step that this binary need not know is none of its business; one that takes away what it uses is.
    psql(url, "INSERT INTO migration (version, applied_at, needs) VALUES (998, 0, 1)")
    assert check(tmp_path / "beside", url).returncode == 0
    psql(url, "INSERT INTO migration (version, applied_at, needs) VALUES (999, 0, 998)")
    process, server.process = server.process, None
    assert process.wait(ENDED_WITHIN_S) == 1
    assert "it needs version 998" in server.log_tail()


# TLS.

ROLES = """
CREATE ROLE keyed LOGIN SUPERUSER PASSWORD 'open sesame';
CREATE ROLE certified LOGIN SUPERUSER;
"""
# Nobody comes in without TLS, but who starts the server.
TLS_HBA = """
hostssl all certified 127.0.0.1/32 cert
hostssl all keyed 127.0.0.1/32 scram-sha-256
hostssl tls carillon 127.0.0.1/32 trust
hostnossl postgres carillon 127.0.0.1/32 trust
"""


class Encrypted:
    def __init__(self):
        self.authority = Authority("the right one")
        self.other = Authority("another one")
        certificate, key = self.authority.issue("localhost")
        files = {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": self.authority.certificate}
        self.server = PostgresServer.start_new(
            TLS_HBA, with_tls(), ssl="on", **{name: str(file) for name, file in files.items()}
        )
        psql(self.server.url(), ROLES)
        psql(self.server.url(), "CREATE DATABASE tls")


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    made = Encrypted()
    yield made
    made.server.end()


def check(tmp_path, url: str) -> subprocess.CompletedProcess:
    """Opens the store, as the server does, and ends."""
    tmp_path.mkdir(exist_ok=True)
    options = ["--data-dir", tmp_path / "data", "--http", "127.0.0.1:0", "--https", "off", "--store", url]
    return subprocess.run(
        [binary(), "check", *options],
        capture_output=True,
        text=True,
        timeout=CHECKED_WITHIN_S,
        env=environment(tmp_path),
    )


def checked(tmp_path, url: str) -> None:
    ended = check(tmp_path, url)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def refused(tmp_path, url: str, *words: str) -> None:
    ended = check(tmp_path, url)
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0, said
    assert "panicked" not in said and all(word in said for word in words), said


def test_each_sslmode_checks_what_it_says(encrypted, tmp_path):
    server = encrypted.server
    right, wrong = (f"sslrootcert={ca.certificate}" for ca in (encrypted.authority, encrypted.other))

    def at(query: str, host: str = "localhost") -> str:
        return server.url("tls", query, host)

    checked(tmp_path, at("sslmode=require"))
    checked(tmp_path, at(""))  # prefer
    checked(tmp_path, at(f"sslmode=verify-ca&{right}", "127.0.0.1"))
    checked(tmp_path, at(f"sslmode=verify-full&{right}"))
    refused(tmp_path, at(f"sslmode=verify-full&{right}", "127.0.0.1"), "certificate", "not valid for")
    refused(tmp_path, at(f"sslmode=verify-full&{wrong}"), "certificate", "UnknownIssuer")
    refused(tmp_path, at(f"sslmode=verify-ca&{wrong}"), "certificate", "UnknownIssuer")
    # Whoever names an authority wants it to be asked, as libpq says.
    refused(tmp_path, at(f"sslmode=require&{wrong}"), "certificate", "UnknownIssuer")
    refused(tmp_path, at("sslmode=disable"), "no encryption")
    # A server that has no TLS.
    refused(tmp_path, f"{Postgres().new_store()}?sslmode=require", "TLS")


def test_who_comes_by_password_or_certificate_is_let_in(encrypted, tmp_path):
    place = f"localhost:{encrypted.server.port}/tls?sslmode=verify-full"
    right = f"sslrootcert={encrypted.authority.certificate}"
    checked(tmp_path, f"postgres://keyed:open%20sesame@{place}&{right}&channel_binding=require")
    refused(tmp_path, f"postgres://keyed:guess@{place}&{right}", "password authentication failed")
    own, key = encrypted.authority.issue("certified")
    checked(tmp_path, f"postgres://certified@{place}&{right}&sslcert={own}&sslkey={key}")
    refused(tmp_path, f"postgres://certified@{place}&{right}", "certificate")


# Several servers.


class Pair:
    """Two servers, of which the second follows the first and has all that was acknowledged."""

    def __init__(self):
        self.first = PostgresServer.start_new(synchronous_standby_names="*")
        # Nothing is acknowledged before the second has it, so it must be there before anything is.
        self.second = self.first.standby()
        psql(self.first.url(), "CREATE DATABASE chat")

    @property
    def url(self) -> str:
        hosts = f"127.0.0.1:{self.first.port},127.0.0.1:{self.second.port}"
        return f"postgres://carillon@{hosts}/chat?target_session_attrs=read-write"

    def end(self) -> None:
        self.first.end()
        self.second.end()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.end()


class Load:
    """Senders who note what was acknowledged, and go on whatever happens, until they are told to end."""

    def __init__(self, server: Server, world: World):
        self.server = server
        self.ana = world.user("ana")
        self.channels = [world.channel(self.ana) for _ in range(CHANNELS)]
        self.acknowledged: list[tuple[str, str]] = []
        self.failed: set[int] = set()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number: int) -> None:
        channel = self.channels[number % CHANNELS]
        at = 0
        while not self.ending.is_set():
            at += 1
            content = f"{number}-{at}"
            status = send(self.server, channel, self.ana, content).status
            if status == 201:
                self.acknowledged.append((channel, content))
            else:
                self.failed.add(status)

    def go_on(self, more: int = 200) -> None:
        """Waits until so many more were acknowledged."""
        least, until = len(self.acknowledged) + more, time.monotonic() + BACK_WITHIN_S
        while len(self.acknowledged) < least:
            assert time.monotonic() < until, f"it did not go on: {self.server.log_tail()}"
            time.sleep(0.01)

    def end(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_another_server_takes_the_place_of_one_that_is_gone(pair, tmp_path, how):
    server = Server(tmp_path, At(pair.url)).start()
    world = World(server)
    bob = world.user("bob")
    quiet = world.channel(bob)
    load = Load(server, world)
    # Of a channel where nothing is in doubt: its sockets stay.
    with Session.established(server, bob) as session:
        load.go_on()
        if how == "killed":
            pair.first.kill()
        else:
            pair.first.freeze()
        pair.second.promote()
        load.go_on()
        if how == "frozen":
            pair.first.thaw()  # It takes writes again, and must have none.
            load.go_on()
        load.end()
        # Of all that was in the way, a client was told 503.
        assert load.failed <= {503}
        world.send(quiet, bob, "after")
        while session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] != "after":
            pass
    stored = {
        (channel, content) for channel in load.channels for content in world.contents(channel, load.ana)
    }
    assert set(load.acknowledged) <= stored
    log = server.log.read_text()
    assert log.count("the store cannot be reached") == log.count("the store is back") <= 1
    assert log.count("from now on") == 1
    server.stop()
