"""Sessions over `kill -9`: what each of them received is a run without gaps of what its channel holds.

Senders and sessions are at work while the server is killed, again and again. A session ends with the server; its
user's next one resumes on the server that comes after, and is shown what came between. In the end what each user's
sessions received is held against the list.
"""

import threading
import time
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed

from harness.server import Server
from harness.session import Session
from harness.world import World, pages
from test_durability import Sender, kill_amid

CHANNELS = 3
SENDERS = 12
LISTENERS = 6
ROUNDS = 3
ACKNOWLEDGED_PER_ROUND = 300
ROUND_TIMEOUT_S = 60
# More than can be under way at once.
REPEATED_MAX = 200


@dataclass
class Listener:
    """A user's sessions, one after the other, each resuming from the last event of the one before."""

    user: str
    session: Session | None = None
    last: str | None = None
    came: dict[str, list[str]] = field(default_factory=dict)

    def connect(self, server: Server) -> None:
        parameters = {"resume-from": self.last} if self.last else {}
        self.session = Session.established(server, self.user, parameters=parameters)

    def listen(self) -> None:
        try:
            while True:
                event = self.session.next(ROUND_TIMEOUT_S)
                assert event.kind == "CREATE_CHANNEL_MESSAGE", event
                came = self.came.setdefault(event.payload["ChannelArn"], [])
                # One that may have been told may be told again.
                if event.payload["MessageId"] not in came[-REPEATED_MAX:]:
                    came.append(event.payload["MessageId"])
        except ConnectionClosed:
            self.last = self.session.last
            self.session.close()


def ids(world: World, channel: str, reader: str) -> list[str]:
    listed = pages(
        world.messaging.list_channel_messages,
        "ChannelMessages",
        ChannelArn=channel,
        ChimeBearer=reader,
        SortOrder="ASCENDING",
    )
    return [message["MessageId"] for message in listed]


def test_what_a_session_received_has_no_gap(own_server):
    world = World(own_server)
    moderator, *users = world.users("moderator", *(f"user{number}" for number in range(LISTENERS)))
    channels = [world.channel(moderator, *users) for _ in range(CHANNELS)]
    listeners = [Listener(user) for user in users]
    for _ in range(ROUNDS):
        play_a_round(own_server, moderator, listeners, channels)
        own_server.start()

    # All that the last server had not told any more.
    listed = {channel: ids(world, channel, moderator) for channel in channels}
    for listener in listeners:
        listener.connect(own_server)
        thread = threading.Thread(target=listener.listen)
        thread.start()
        for channel in channels:
            await_all(listener, channel, listed[channel])
        listener.session.close()
        thread.join()

    for listener in listeners:
        assert listener.came == listed
    checked = sum(len(came) for listener in listeners for came in listener.came.values())
    assert checked > ROUNDS * LISTENERS, "the sessions received next to nothing"
    print(f"{LISTENERS * (ROUNDS + 1)} sessions × {checked} events checked")


def await_all(listener: Listener, channel: str, listed: list[str]) -> None:
    """What does not come is seen by whoever compares."""
    deadline = time.monotonic() + ROUND_TIMEOUT_S
    while len(listener.came.get(channel, [])) < len(listed) and time.monotonic() < deadline:
        time.sleep(0.05)


def play_a_round(server: Server, moderator: str, listeners: list[Listener], channels: list[str]) -> None:
    for listener in listeners:
        listener.connect(server)
    senders = [Sender(server, channels[number % CHANNELS], moderator) for number in range(SENDERS)]
    kill_amid(server, senders, ACKNOWLEDGED_PER_ROUND, *(listener.listen for listener in listeners))
    assert not [refusal for sender in senders for refusal in sender.refusals]
