"""A store that goes silent, or away: what a client is told, and that all is well again by itself afterwards."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from harness.engine import Postgres, psql
from harness.proxy import Proxy
from harness.raw import Answer, Connection, messages_of
from harness.server import Server
from harness.session import Session
from harness.world import World, token

# What docs/guide/running.md promises: an answer comes within this.
ANSWERED_WITHIN_S = 10
BACK_WITHIN_S = 30
AT_ONCE = 40
HANDSHAKES = 4
# Either way; twice this is less than the server waits for one answer.
SLOW_S = 1
FAILED = 1011
TRY_LATER = 1013


@pytest.fixture
def proxied(tmp_path) -> Iterator[tuple[Server, Proxy]]:
    """A server whose PostgreSQL is behind a proxy. SQLite has nothing between that could be silent."""
    server = Server(tmp_path, Postgres())
    with Proxy(server.store) as proxy:
        server.store, behind = proxy.url, server.store
        server.start()
        yield server, proxy
        server.store = behind
        server.stop()


def connection(server: Server) -> Connection:
    """One that does not wait for longer than is promised."""
    made = Connection(server)
    made.http.timeout = ANSWERED_WITHIN_S
    return made


def send(server: Server, channel: str, sender: str, content: str) -> Answer:
    body = {
        "Content": content,
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": token(),
    }
    with connection(server) as made:
        return made.call("POST", messages_of(channel), body, bearer=sender)


def read(server: Server, channel: str, reader: str) -> Answer:
    with connection(server) as made:
        return made.call("GET", f"/channels/{quote(channel, safe='')}", bearer=reader)


def shake_hands(server: Server, user: str) -> int:
    """Upgrades are always accepted; who may not have the socket, or not now, learns it by its close."""
    session = Session(server, user)
    try:
        return session.close_code()
    finally:
        session.close()


def is_back(server: Server, channel: str, sender: str) -> bool:
    try:
        return send(server, channel, sender, "after").status == 201
    except TimeoutError:
        return False


def come_back(server: Server, channel: str, sender: str) -> None:
    until = time.monotonic() + BACK_WITHIN_S
    while not is_back(server, channel, sender):
        assert time.monotonic() < until, "it did not come back"


def contents_of(world: World, channel: str, reader: str) -> list[str]:
    """As a client that tries again: one connection of the server may find later than another that all is well."""
    until = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            return world.contents(channel, reader)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailableException", error
            assert time.monotonic() < until, "it did not come back"


def test_a_silent_store_is_answered_with_503_in_time_and_it_comes_back(proxied):
    server, proxy = proxied
    world = World(server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    world.send(channel, ana, "before")
    with Session.established(server, bob) as session:
        proxy.go_silent()
        asked = [
            *((send, (server, channel, ana, "lost")) for _ in range(AT_ONCE)),
            *((read, (server, channel, ana)) for _ in range(AT_ONCE)),
        ]
        with ThreadPoolExecutor(len(asked) + HANDSHAKES) as pool:
            hands = [pool.submit(shake_hands, server, bob) for _ in range(HANDSHAKES)]
            answers = list(pool.map(lambda one: one[0](*one[1]), asked))
            closes = {hand.result() for hand in hands}
        assert proxy.swallowed.is_set()
        assert {(answer.status, answer.error) for answer in answers} == {(503, "ServiceUnavailableException")}
        assert closes == {TRY_LATER}
        proxy.come_back()
        come_back(server, channel, ana)
        # The socket stayed, and hears of what was sent since.
        while session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] != "after":
            pass
    contents = contents_of(world, channel, ana)
    assert contents[-1] == "before" and set(contents) <= {"before", "lost", "after"}
    assert_said_once(server)


def test_a_call_of_several_transactions_has_one_time_for_all_of_them(proxied):
    server, proxy = proxied
    world = World(server)
    ana = world.user("ana")
    channel = world.channel(ana)
    flow = f"{world.app_instance}/channel-flow/00000000-0000-4000-8000-000000000001"
    # Every answer comes, and late: none of the transactions is too long by itself.
    proxy.slow_s = SLOW_S
    with connection(server) as made:
        path = f"/channels/{quote(channel, safe='')}/channel-flow"
        answer = made.call("PUT", path, {"ChannelFlowArn": flow}, bearer=ana)
    assert (answer.status, answer.error) == (503, "ServiceUnavailableException")
    proxy.come_back()
    come_back(server, channel, ana)


def assert_said_once(server: Server) -> None:
    """Each outage is a line when it begins and a line when it is over, however many were turned away."""
    log = server.log.read_text()
    assert log.count("the store cannot be reached") == log.count("the store is back") == 1, log
    assert all(" INFO " in line or "the store cannot" in line for line in log.splitlines()), log


def test_a_store_that_refuses_is_answered_with_503_and_it_comes_back(proxied):
    server, proxy = proxied
    world = World(server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    with Session.established(server, bob) as session:
        proxy.refuse()
        for _ in range(5):
            assert send(server, channel, ana, "lost").error == "ServiceUnavailableException"
            assert read(server, channel, ana).error == "ServiceUnavailableException"
        assert shake_hands(server, bob) == TRY_LATER
        proxy.come_back()
        come_back(server, channel, ana)
        while session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] != "after":
            pass
    assert set(contents_of(world, channel, ana)) == {"after"}
    assert_said_once(server)


def test_of_a_commit_that_may_stand_the_sender_is_told_503_and_no_socket_misses_it(proxied):
    server, proxy = proxied
    world = World(server)
    ana, bob, carol = world.users("ana", "bob", "carol")
    channel, quiet = world.channel(ana, bob), world.channel(carol)
    with Session.established(server, bob) as session, Session.established(server, carol) as other:
        proxy.leave_in_doubt(b"in doubt")
        answer = send(server, channel, ana, "in doubt")
        assert (answer.status, answer.error) == (503, "ServiceUnavailableException")
        # It was told of it, or knows that it may have missed something.
        assert session.close_code() == FAILED
        come_back(server, quiet, carol)
        while other.next_of("CREATE_CHANNEL_MESSAGE")["Content"] != "after":
            pass
    assert contents_of(world, channel, ana) == ["in doubt"]


def test_nothing_that_was_acknowledged_is_lost_when_the_store_goes_silent_amid_sends(proxied):
    server, proxy = proxied
    world = World(server)
    ana = world.user("ana")
    channels = [world.channel(ana) for _ in range(8)]
    acknowledged: list[tuple[str, str]] = []
    answered = threading.Event()

    def keep_sending(number: int) -> None:
        channel = channels[number % len(channels)]
        for at in range(10_000):
            content = f"{number}-{at}"
            if send(server, channel, ana, content).status != 201:
                return
            acknowledged.append((channel, content))
            if 200 < len(acknowledged):
                answered.set()

    with ThreadPoolExecutor(16) as pool:
        sending = [pool.submit(keep_sending, number) for number in range(16)]
        answered.wait()
        proxy.go_silent()
        for one in sending:
            one.result()  # Each was answered within what is promised, or this raises.
    proxy.come_back()
    come_back(server, channels[0], ana)
    stored = {(channel, content) for channel in channels for content in contents_of(world, channel, ana)}
    assert set(acknowledged) <= stored


def test_connections_that_are_cut_amid_calls_are_opened_anew(tmp_path):
    server = Server(tmp_path, Postgres()).start()
    world = World(server)
    ana = world.user("ana")
    channel = world.channel(ana)
    psql(
        server.store,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert send(server, channel, ana, "hello").status in (201, 503)
    come_back(server, channel, ana)
    server.stop()
