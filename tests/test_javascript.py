"""The real DefaultMessagingSession of amazon-chime-sdk-js, in Node, over TLS."""

import json
import queue
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.server import REGION, Server, environment
from harness.world import World

SCRIPT = Path(__file__).parent / "session.cjs"
TIMEOUT_S = 20
# Those that a user may have at the same time, but two.
STARTS = 8


class JavaScriptSession:
    """The script in its process, and the lines that it prints."""

    def __init__(self, server: Server, user: str, starts: int = 1):
        credentials = server.credentials
        variables = {
            "NODE_EXTRA_CA_CERTS": str(server.ca),
            "NODE_NO_WARNINGS": "1",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        }
        self.log = server.folder / "session.log"
        self.process = subprocess.Popen(
            ["node", str(SCRIPT), server.https_url, user, str(starts)],
            env=environment(server.folder) | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
        )
        self.lines: queue.Queue[dict] = queue.Queue()
        self.seen: list[dict] = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def until(self, what: str, **members) -> dict:
        """Reads on to the first line that says this."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {what} {members} in {self.seen}\n{self.log.read_text()}") from None
            self.seen.append(line)
            if line["what"] == what and members.items() <= line.items():
                return line

    def message(self) -> dict:
        return json.loads(self.until("message", type="CREATE_CHANNEL_MESSAGE")["payload"])

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=TIMEOUT_S)
        self.process.stdout.close()


@pytest.fixture
def session(own_server):
    sessions = []

    def start(user: str) -> JavaScriptSession:
        sessions.append(JavaScriptSession(own_server, user))
        return sessions[-1]

    yield start
    for session in sessions:
        session.stop()


def test_a_session_gets_a_message_of_boto3_and_reconnects_after_a_restart(own_server, session):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    javascript = session(bob)
    javascript.until("connecting", reconnecting=False)
    javascript.until("started")
    javascript.until("message", type="SESSION_ESTABLISHED", payload=None)

    sent = world.send(channel, ana, "Lunch?")
    assert javascript.message()["MessageId"] == sent["MessageId"]

    own_server.stop()
    own_server.start()
    javascript.until("connecting", reconnecting=True)
    javascript.until("started")
    sent = world.send(channel, ana, "Still lunch?")
    message = javascript.message()
    assert (message["MessageId"], message["Content"]) == (sent["MessageId"], "Still lunch?")
    assert not [line for line in javascript.seen if line["what"] in ("stopped", "gave up", "rejected")]


def test_a_session_reconnects_after_a_crash(own_server, session):
    world = World(own_server)
    ana = world.user("ana")
    channel = world.channel(ana)
    javascript = session(ana)
    javascript.until("started")
    own_server.kill()
    own_server.start()
    javascript.until("connecting", reconnecting=True)
    javascript.until("started")
    world.send(channel, ana, "back")
    assert javascript.message()["Content"] == "back"


def test_a_session_of_nobody_is_rejected_and_does_not_try_again(own_server, session):
    world = World(own_server)
    javascript = session(f"{world.app_instance}/user/nobody")
    assert javascript.until("rejected")["code"] == 4003
    assert [line["what"] for line in javascript.seen].count("connecting") == 1


def test_sessions_that_start_at_once_are_held_until_their_turn_and_all_start(engine, tmp_path):
    """One connection a second for each user: the library's promise of a start that is told to come back never settles."""
    server = Server(tmp_path, engine, "--limits-preset", "aws").start()
    try:
        ana, bob = World(server).users("ana", "bob")
        javascript = JavaScriptSession(server, ana, STARTS)
        try:
            for _ in range(STARTS):
                javascript.until("resolved")
            assert [line["what"] for line in javascript.seen].count("connecting") == STARTS
            assert not [line for line in javascript.seen if line["what"] in ("stopped", "gave up", "rejected")]
        finally:
            javascript.stop()
        other = JavaScriptSession(server, bob)
        other.until("resolved")
        other.stop()
    finally:
        server.stop()
