"""Sessions over `kill -9`: what each of them received is a run without gaps of what its channel holds.

Senders and sessions are at work while the server is killed, again and again. A session ends with the server; its
user's next one begins on the server that comes after. In the end each session's messages are held against the list.
"""

import threading
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed

from harness.server import Server
from harness.session import Session
from harness.world import World, pages
from test_durability import Sender

CHANNELS = 3
SENDERS = 12
LISTENERS = 6
ROUNDS = 3
ACKNOWLEDGED_PER_ROUND = 300
ROUND_TIMEOUT_S = 60


@dataclass
class Listener:
    """One session. It notes what the channels held when it began, and what came until it ended."""

    session: Session
    held: dict[str, int]
    came: dict[str, list[str]] = field(default_factory=dict)

    def listen(self) -> None:
        try:
            while True:
                event = self.session.next(ROUND_TIMEOUT_S)
                assert event.kind == "CREATE_CHANNEL_MESSAGE", event
                self.came.setdefault(event.payload["ChannelArn"], []).append(event.payload["MessageId"])
        except ConnectionClosed:
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
    listeners: list[Listener] = []
    for _ in range(ROUNDS):
        listeners += play_a_round(own_server, world, moderator, users, channels)
        own_server.start()

    checked = 0
    for channel in channels:
        listed = ids(world, channel, moderator)
        place = {message: number for number, message in enumerate(listed)}
        for listener in listeners:
            came = [place[message] for message in listener.came.get(channel, [])]
            if came:
                # Nobody sent before all were listening, so the first is the one after what was held.
                assert came == list(range(listener.held[channel], came[-1] + 1))
            checked += len(came)
    assert checked > ROUNDS * LISTENERS, "the sessions received next to nothing"
    print(f"{len(listeners)} sessions × {checked} events checked")


def play_a_round(
    server: Server, world: World, moderator: str, users: list[str], channels: list[str]
) -> list[Listener]:
    held = {channel: len(ids(world, channel, moderator)) for channel in channels}
    listeners = [Listener(Session.established(server, user), held) for user in users]
    enough = threading.Semaphore(0)
    senders = [Sender(server, channels[number % CHANNELS], moderator) for number in range(SENDERS)]
    threads = [threading.Thread(target=listener.listen) for listener in listeners]
    threads += [
        threading.Thread(target=sender.send_until_the_end, args=(enough.release,)) for sender in senders
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(ACKNOWLEDGED_PER_ROUND):
            assert enough.acquire(timeout=ROUND_TIMEOUT_S), "the senders came to a halt"
    finally:
        server.kill()
        for thread in threads:
            thread.join()
    assert not [refusal for sender in senders for refusal in sender.refusals]
    return listeners
