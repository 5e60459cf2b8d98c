"""A server that is told to stop: who sends it nobody any more, and how its sockets go to others one after the other."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from harness.engine import Engine, Postgres
from harness.proxy import Proxy
from harness.server import Server
from harness.session import Session
from harness.world import World

RESTART = 1012
SOCKETS = 10
# So long that a test sees the first socket close, and the last one open; it is cut short then.
LONG_S = 60
SHORT_S = 2
WITHIN_S = 10


@pytest.fixture
def draining(engine: Engine, tmp_path) -> Iterator[Callable[[int], Server]]:
    """Starts a server that drains for so many seconds."""
    started: list[Server] = []

    def start(seconds: int) -> Server:
        configuration = tmp_path / "carillon.toml"
        configuration.write_text(f"[server]\ndrain_seconds = {seconds}\n")
        started.append(Server(tmp_path, engine, "--config", str(configuration)))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()


def readiness(server: Server) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(f"{server.http_url}/_carillon/health/ready", timeout=WITHIN_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def become(server: Server, expected: tuple[int, dict]) -> None:
    until = time.monotonic() + WITHIN_S
    while readiness(server) != expected:
        assert time.monotonic() < until, f"it is {readiness(server)}"


def unready(*reasons: str) -> tuple[int, dict]:
    return 503, {"status": "unready", "reasons": list(reasons)}


READY = (200, {"status": "ready"})


def is_open(session: Session) -> bool:
    """Whether no close has come; what else has come is read away."""
    try:
        while True:
            session.socket.recv(timeout=0)
    except TimeoutError:
        return True
    except ConnectionClosed as closed:
        assert closed.rcvd is not None and closed.rcvd.code == RESTART, closed
        return False


def test_sockets_go_one_after_the_other_while_calls_are_served(draining):
    server = draining(LONG_S)
    world = World(server)
    people = world.users(*(f"user-{number}" for number in range(SOCKETS)))
    channel = world.channel(*people)
    assert readiness(server) == READY
    sessions = [Session.established(server, who) for who in people]
    server.process.send_signal(signal.SIGTERM)
    become(server, unready("draining"))
    until = time.monotonic() + LONG_S
    while all(is_open(session) for session in sessions):
        assert time.monotonic() < until, "no socket was closed"
        time.sleep(0.05)
    left = [session for session in sessions if is_open(session)]
    assert len(left) == SOCKETS - 1, "they do not go all at once"
    # Calls are served, and whoever is still there hears of them.
    world.send(channel, people[0], "meanwhile")
    assert left[-1].next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "meanwhile"
    # Whoever comes is sent on.
    newcomer = Session(server, people[0])
    assert newcomer.close_code() == RESTART
    newcomer.close()
    # Who says so twice means it: the fixture waits for the end.
    server.stop()
    assert not any(is_open(session) for session in left)
    for session in sessions:
        session.close()


def test_a_server_that_has_drained_ends(draining):
    server = draining(SHORT_S)
    ana = World(server).user("ana")
    with Session.established(server, ana) as session:
        server.stop()
        assert session.close_code() == RESTART
    with Session.established(server.start(), ana):
        assert readiness(server) == READY


def test_a_server_whose_store_is_away_is_unready(tmp_path):
    server = Server(tmp_path, Postgres())
    with Proxy(server.store) as proxy:
        server.store, behind = proxy.url, server.store
        server.start()
        assert readiness(server) == READY
        proxy.refuse()
        become(server, unready("store"))
        proxy.come_back()
        become(server, READY)
        server.store = behind
        server.stop()
