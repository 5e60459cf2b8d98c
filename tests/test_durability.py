"""What was acknowledged survives `kill -9`, once."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.raw import Connection, messages_of
from harness.server import Server
from harness.world import World, token

SENDERS = 64
CHANNELS = 4
ROUNDS = 3
ACKNOWLEDGED_PER_ROUND = 600
ROUND_TIMEOUT_S = 60


@dataclass
class Sender:
    """Sends until the server is gone; what it knows then is what the server owes it."""

    server: Server
    channel: str
    user: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    last_acknowledged: dict | None = None
    unanswered: dict | None = None
    refusals: list[str] = field(default_factory=list)

    def send_until_the_end(self, tick) -> None:
        try:
            with Connection(self.server) as connection:
                while True:
                    token_now = token()
                    self.send(
                        connection, {"Content": f"content of {token_now}", "ClientRequestToken": token_now}
                    )
                    tick()
        except (OSError, http.client.HTTPException):
            # The kill; the last message stays unanswered.
            pass

    def repeat_the_last(self) -> None:
        """As an SDK retries; what was acknowledged before the kill must be recognized, too."""
        bodies = [body for body in (self.last_acknowledged, self.unanswered) if body is not None]
        with Connection(self.server) as connection:
            for body in bodies:
                self.send(connection, body)

    def send(self, connection: Connection, body: dict) -> None:
        self.unanswered = body
        whole = body | {"Type": "STANDARD", "Persistence": "PERSISTENT"}
        answer = connection.call("POST", messages_of(self.channel), whole, bearer=self.user)
        if answer.status == 201:
            self.acknowledged[answer.json["MessageId"]] = body["Content"]
            self.last_acknowledged = body
        else:
            self.refusals.append(f"{answer.status} {answer.body!r}")
        self.unanswered = None


def test_a_kill_loses_no_acknowledged_message_and_doubles_none(own_server):
    world = World(own_server)
    moderator = world.user("moderator")
    channels = [world.channel(moderator, Name=f"Lobby {number}") for number in range(CHANNELS)]
    senders = []
    for number in range(SENDERS):
        user, channel = world.user(f"sender{number}"), channels[number % CHANNELS]
        world.add(channel, user, by=moderator)
        senders.append(Sender(own_server, channel, user))

    for _ in range(ROUNDS):
        kill_amid(own_server, senders, ACKNOWLEDGED_PER_ROUND)
        unanswered = sum(sender.unanswered is not None for sender in senders)
        assert unanswered > 0, "the kill hit no request under way"
        own_server.start()
        for sender in senders:
            sender.repeat_the_last()

    assert not [refusal for sender in senders for refusal in sender.refusals]
    stored = [message for channel in channels for message in messages_in(world, channel, moderator)]
    promised = {message: content for sender in senders for message, content in sender.acknowledged.items()}
    assert len(promised) >= ROUNDS * ACKNOWLEDGED_PER_ROUND
    assert len(stored) == len({message["MessageId"] for message in stored}), "a MessageId is there twice"
    contents = {message["MessageId"]: message["Content"] for message in stored}
    assert not [message for message in promised.items() if message not in contents.items()], (
        "acknowledged and missing"
    )
    # Every message that was ever sent was acknowledged in the end, if only when it was repeated.
    assert contents == promised
    assert len(stored) == len(set(contents.values())), "there twice, under two ids"


def kill_amid(
    server: Server, senders: list[Sender], acknowledged: int, *beside: Callable[[], None]
) -> None:
    """Kills once so much was acknowledged, while every sender is still at it, and what runs beside them."""
    enough = threading.Semaphore(0)
    threads = [threading.Thread(target=work) for work in beside]
    threads += [
        threading.Thread(target=sender.send_until_the_end, args=(enough.release,)) for sender in senders
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(acknowledged):
            assert enough.acquire(timeout=ROUND_TIMEOUT_S), "the senders came to a halt"
    finally:
        server.kill()
        for thread in threads:
            thread.join()


def messages_in(world: World, channel: str, reader: str) -> list[dict]:
    messages = world.messages(channel, reader, SortOrder="ASCENDING")
    times = [message["CreatedTimestamp"] for message in messages]
    assert times == sorted(times)
    return messages
