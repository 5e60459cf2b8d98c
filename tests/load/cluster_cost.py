"""CPU time of nodes, PostgreSQL and NATS for each message, at one, two and three nodes with the same sockets in all. Not
part of CI.

    CARILLON_BIN=… CARILLON_TEST_PSQL=… python load/cluster_cost.py [--rounds 3] [--seconds 10] [--rate 60] [--members 100]

Senders are spread over all nodes, and so are the sockets of each channel. The sizes take turns, so that the machine is the
same for all: compare the ratios of one run only.
"""

import argparse
import base64
import http.client
import json
import os
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.cluster import Node
from harness.nats import Nats
from harness.postgres import PostgresServer
from harness.raw import messages_of
from harness.world import World

# By name: how many nodes, and whether they have a bus.
SIZES = {"one, no bus": (1, False), "one": (1, True), "two": (2, True), "three": (3, True)}
CHANNELS = 12
SENDERS = 24
BATCH_LEN_MAX = 100
WARM_UP_S = 3
BODY = {"Content": "." * 100, "Type": "STANDARD", "Persistence": "PERSISTENT"}


class Stage:
    """So many nodes, and everybody who listens there."""

    def __init__(self, folder: Path, postgres: PostgresServer, count: int, has_bus: bool, members: int):
        folder.mkdir()
        self.postgres, self.members = postgres, members
        store = postgres.database(f"cost_{uuid.uuid4().hex}")
        self.nats = Nats(folder) if has_bus else None
        flags = ("--bus", self.nats.url) if self.nats else ()
        key = base64.b64encode(os.urandom(32)).decode()
        self.nodes = [Node(folder / str(at), store, *flags, CARILLON_MASTER_KEY=key) for at in range(count)]

    def __enter__(self) -> "Stage":
        if self.nats:
            self.nats.__enter__()
        for node in self.nodes:
            node.start()
        world = World(self.nodes[0])
        self.owner, *users = world.users("owner", *(f"user{number}" for number in range(self.members)))
        self.channels = [world.channel(self.owner) for _ in range(CHANNELS)]
        for channel in self.channels:
            for at in range(0, len(users), BATCH_LEN_MAX):
                batch = {"MemberArns": users[at : at + BATCH_LEN_MAX], "ChimeBearer": self.owner}
                made = world.messaging.batch_create_channel_membership(ChannelArn=channel, **batch)
                assert not made.get("Errors"), made["Errors"]
        self.readers, self.came = selectors.DefaultSelector(), 0
        for number, user in enumerate(users):
            reader = opened(self.nodes[number % len(self.nodes)], user)
            self.readers.register(reader, selectors.EVENT_READ)
        self.over = threading.Event()
        self.reading = threading.Thread(target=self.read)
        self.reading.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.reading.join()
        for node in self.nodes:
            node.stop()
        if self.nats:
            self.nats.__exit__()

    def read(self) -> None:
        while not self.over.is_set():
            for key, _ in self.readers.select(0.1):
                self.came += key.fileobj.recv(1 << 18).count(b"CREATE_CHANNEL_MESSAGE")

    def send(self, number: int, until: float, every_s: float, done: list[int]) -> None:
        node, target = self.nodes[number % len(self.nodes)], messages_of(self.channels[number % CHANNELS])
        door, count, due = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=60), 0, time.monotonic()
        extra = {"content-type": "application/json", "x-amz-chime-bearer": self.owner}
        while due < until:
            time.sleep(max(0, due - time.monotonic()))
            due += every_s
            body = json.dumps(BODY | {"ClientRequestToken": str(uuid.uuid4())}).encode()
            headers = sigv4.headers_for(node.credentials, "POST", target, node.host, body, None, extra)
            door.request("POST", target, body, headers)
            answer = door.getresponse()
            answer.read()
            assert answer.status == 201, answer.status
            count += 1
        done.append(count)
        door.close()

    def load(self, seconds: float, rate: float) -> int:
        done: list[int] = []
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self.send, args=(number, until, SENDERS / rate, done)) for number in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == SENDERS, "a sender failed"
        return sum(done)

    def spent_s(self) -> dict[str, float]:
        """CPU time so far."""
        postmaster = int((self.postgres.data / "postmaster.pid").read_text().split()[0])
        of_nats = [process.pid for process in self.nats.processes] if self.nats else []
        groups = {"nodes": [node.process.pid for node in self.nodes], "PostgreSQL": tree(postmaster), "NATS": of_nats}
        return {name: sum(map(cpu_s, processes)) for name, processes in groups.items()}

    def measure(self, seconds: float, rate: float) -> dict[str, float]:
        """Microseconds for each message, without what is spent where nothing is sent."""
        self.load(WARM_UP_S, rate)
        at_rest = self.spent_s()
        time.sleep(seconds)
        before, came, begun = self.spent_s(), self.came, time.monotonic()
        sent = self.load(seconds, rate)
        after, took = self.spent_s(), (time.monotonic() - begun) / seconds
        time.sleep(1)
        assert self.came - came >= sent * self.members, f"{self.came - came} of {sent} × {self.members} came"
        idle = {name: (before[name] - at_rest[name]) * took for name in after}
        spent = {name: 1e6 * (after[name] - before[name] - idle[name]) / sent for name in after}
        return spent | {"at rest, µs/s": 1e6 * idle["nodes"] / seconds, "rate": sent / seconds}


def opened(node: Node, user: str) -> socket.socket:
    """The socket of a user, upgraded; what comes by it is not looked at closely."""
    target = sigv4.connect_target(node.credentials, node.host, {"sessionId": str(uuid.uuid4()), "userArn": user}, None)
    made = socket.create_connection(("127.0.0.1", node.http_port))
    lines = [
        f"GET {target} HTTP/1.1",
        f"host: {node.host}",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}",
    ]
    made.sendall("\r\n".join([*lines, "", ""]).encode())
    received = b""
    while b"SESSION_ESTABLISHED" not in received:
        more = made.recv(65_536)
        assert more, received
        received += more
    return made


def tree(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *map(int, children)]


def cpu_s(process: int) -> float:
    """User and system time of its threads, finer than in its `stat`. None of them ends meanwhile."""
    spent_ns = [file.read_text().split()[0] for file in Path(f"/proc/{process}/task").glob("*/schedstat")]
    return sum(map(int, spent_ns)) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=60, help="messages a second in all")
    parser.add_argument("--members", type=int, default=100, help="sockets in all, each of which is told of every message")
    asked = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIZES}
    postgres = PostgresServer.start_new()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(asked.rounds):
                for name, (count, has_bus) in SIZES.items():
                    with Stage(Path(folder) / f"{turn}-{name}", postgres, count, has_bus, asked.members) as stage:
                        found[name].append(stage.measure(asked.seconds, asked.rate))
                    print(name, {key: round(value) for key, value in found[name][-1].items()}, flush=True)
    finally:
        postgres.end()
    print("| nodes | µs of nodes | PostgreSQL | NATS | nodes, to one without a bus | to one |")
    print("|---|---|---|---|---|---|")
    of = {name: {key: statistics.median(one[key] for one in rows) for key in rows[0]} for name, rows in found.items()}
    for name, spent in of.items():
        ratios = (spent["nodes"] / of[base]["nodes"] for base in ("one, no bus", "one"))
        times = (f"{spent[key]:.0f}" for key in ("nodes", "PostgreSQL", "NATS"))
        print("| " + " | ".join([name, *times, *(f"{ratio:.2f}" for ratio in ratios)]) + " |")


if __name__ == "__main__":
    main()
