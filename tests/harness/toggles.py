"""A load whose writes want the same people in different orders: memberships of two users, toggled in many channels by
many threads, beside a bystander who sends."""

import json
import statistics
import threading
import time
import uuid
from urllib.parse import quote

from harness.engine import deadlocks
from harness.raw import Connection, messages_of
from harness.server import Server

CHANNELS, THREADS = 40, 16
HANG_S = 15
ALONE_S = 3
PAUSE_S = 0.005


class Toggles:
    def __init__(self, server: Server):
        self.server, self.stop = server, threading.Event()
        self.answers: dict[int, int] = {}
        self.hangs: list[str] = []
        self.lock = threading.Lock()
        with Connection(server) as connection:
            self.instance = post(connection, "/app-instances", {"Name": "Load"})["AppInstanceArn"]
            self.owner, self.bystander, *self.two = (
                self.user(connection, name) for name in ("owner", "bystander", "ana", "bob")
            )
            self.channels = [self.channel(connection, self.owner) for _ in range(CHANNELS)]
            self.quiet = self.channel(connection, self.bystander)

    def user(self, connection: Connection, name: str) -> str:
        body = {"AppInstanceArn": self.instance, "AppInstanceUserId": name, "Name": name}
        return post(connection, "/app-instance-users", body)["AppInstanceUserArn"]

    def channel(self, connection: Connection, owner: str) -> str:
        body = {"AppInstanceArn": self.instance, "Name": "Lobby"}
        return post(connection, "/channels", body, owner)["ChannelArn"]

    def toggle(self, number: int) -> None:
        """Adds and removes one of the two, in the order of the channels or against it."""
        channels = self.channels if number % 2 else self.channels[::-1]
        who, at = self.two[number // 2 % 2], number * 7
        connection = Connection(self.server)
        while not self.stop.is_set():
            path = f"/channels/{quote(channels[at % CHANNELS], safe='')}/memberships"
            at += 1
            try:
                for method, target, body in (
                    ("POST", path, {"MemberArn": who, "Type": "DEFAULT"}),
                    ("DELETE", f"{path}/{quote(who, safe='')}", b""),
                ):
                    answer = connection.call(method, target, body, bearer=self.owner)
                    with self.lock:
                        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
            except OSError as error:
                self.hangs.append(f"thread {number}: {error}")
                return

    def send(self, seconds: float) -> list[float]:
        """How long each of the bystander's sends took."""
        took, connection = [], Connection(self.server)
        connection.http.timeout = HANG_S
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.monotonic()
            body = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}
            try:
                post(connection, messages_of(self.quiet), body, self.bystander)
            except OSError as error:
                self.hangs.append(f"the bystander: {error}")
                break
            took.append(time.monotonic() - begun)
            time.sleep(PAUSE_S)
        return took

    def run(self, seconds: float) -> dict[str, object]:
        before = deadlocks(self.server.store)
        alone = self.send(ALONE_S)
        threads = [threading.Thread(target=self.toggle, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        beside = self.send(seconds)
        self.stop.set()
        for thread in threads:
            thread.join(HANG_S)
            if thread.is_alive():
                self.hangs.append(thread.name)
        time.sleep(1.5)  # PostgreSQL tells its statistics once a second.
        return {
            "deadlocks": deadlocks(self.server.store) - before,
            "hangs": len(self.hangs),
            "answers": self.answers,
            "bystander_sends": len(beside),
            "p99_ms": {"alone": p99_ms(alone), "beside": p99_ms(beside), "worst": max_ms(beside)},
        }


def post(connection: Connection, target: str, body: dict[str, object], bearer: str | None = None):
    answer = connection.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body)


def p99_ms(took: list[float]) -> float:
    return round(1_000 * statistics.quantiles(took, n=100)[98], 1) if len(took) > 1 else float("nan")


def max_ms(took: list[float]) -> float:
    return round(1_000 * max(took, default=float("nan")), 1)
