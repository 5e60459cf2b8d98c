"""Sends a second in many channels and in one, with a PostgreSQL that is some way off. Not part of CI.

    CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/round_trips.py BINARY [BINARY …] [--delay-ms 0.5]

Each binary serves a store of its own through a proxy that lets what it says arrive later; requests are signed before.
The binaries take turns, so that the machine is the same for all, and each figure is also said as a ratio to the first
one's: compare nothing else. One thread reads and writes all connections, and looks no further into an answer than to
its end, so that the load takes little of the machine.
"""

import argparse
import json
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.engine import Postgres
from harness.proxy import Proxy
from harness.raw import Connection, messages_of
from harness.server import Server

CONNECTIONS = 64
CHANNELS = 64
BODY = {"Content": "." * 100, "Type": "STANDARD", "Persistence": "PERSISTENT"}

READ_BYTES = 64 * 1024
END_OF_HEAD = b"\r\n\r\n"


class FarPostgres(Postgres):
    """Databases that are reached through a proxy, where they are to be some way off."""

    def __init__(self, delay_s: float):
        self.delay_s = delay_s

    def new_store(self) -> str | None:
        store = super().new_store()
        assert store is not None
        return Proxy(store, self.delay_s).url if self.delay_s else store


def post(door: Connection, target: str, body: dict[str, object], bearer: str | None = None) -> dict[str, str]:
    answer = door.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body)


def prepare(server: Server) -> tuple[str, list[str]]:
    """Somebody, and their channels."""
    with Connection(server) as door:
        instance = post(door, "/app-instances", {"Name": "Far"})["AppInstanceArn"]
        user = {"AppInstanceArn": instance, "AppInstanceUserId": "ana", "Name": "Ana"}
        ana = post(door, "/app-instance-users", user)["AppInstanceUserArn"]
        channel = {"AppInstanceArn": instance, "Name": "Lobby"}
        return ana, [post(door, "/channels", channel, ana)["ChannelArn"] for _ in range(CHANNELS)]


def signed(server: Server, ana: str, channel: str, count: int) -> list[bytes]:
    requests = []
    target = messages_of(channel)
    for _ in range(count):
        payload = json.dumps(BODY | {"ClientRequestToken": str(uuid.uuid4())}).encode()
        extra = {"content-type": "application/json", "x-amz-chime-bearer": ana}
        headers = sigv4.headers_for(server.credentials, "POST", target, server.host, payload, None, extra)
        lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [f"content-length: {len(payload)}", "", ""]
        requests.append("\r\n".join(lines).encode() + payload)
    return requests


class Sender:
    """One connection, which sends the next when the one before was answered."""

    def __init__(self, server: Server, requests: list[bytes]):
        self.door = socket.create_connection(("127.0.0.1", server.http_port))
        self.door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = iter(requests)
        self.got = b""

    def send(self) -> bool:
        """Whether there was another."""
        request = next(self.left, None)
        if request is not None:
            self.door.sendall(request)
        return request is not None

    def read(self) -> bool:
        """Whether an answer is whole now."""
        self.got += self.door.recv(READ_BYTES)
        head, found, body = self.got.partition(END_OF_HEAD)
        if not found:
            return False
        assert head.startswith(b"HTTP/1.1 201 "), self.got
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.split(b"\r\n")[0]):
            return False
        self.got = b""
        return True


def measure(server: Server, ana: str, channels: list[str], seconds: float, count: int) -> float:
    """Sends a second, until the time is over or each connection has sent its share."""
    share = max(1, count // CONNECTIONS)
    senders = [
        Sender(server, signed(server, ana, channels[at % len(channels)], share)) for at in range(CONNECTIONS)
    ]
    answered, begun = 0, time.monotonic()
    with selectors.DefaultSelector() as ready:
        for sender in senders:
            ready.register(sender.door, selectors.EVENT_READ, sender)
            sender.send()
        while ready.get_map():
            for key, _ in ready.select():
                sender = key.data
                if not sender.read():
                    continue
                answered += 1
                if begun + seconds < time.monotonic() or not sender.send():
                    ready.unregister(sender.door)
    rate = answered / (time.monotonic() - begun)
    for sender in senders:
        sender.door.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", nargs="+")
    parser.add_argument("--delay-ms", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--requests", type=int, default=12_000)
    options = parser.parse_args()
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, binary in enumerate(options.binaries):
            os.environ["CARILLON_BIN"] = str(Path(binary).resolve())
            (Path(folder) / str(number)).mkdir()
            engine = FarPostgres(options.delay_ms / 1_000)
            server = Server(Path(folder) / str(number), engine, "--limits-preset", "off").start()
            running.append((binary, server, *prepare(server)))
        for _ in range(options.rounds):
            for binary, server, ana, channels in running:
                for name, where in (("many", channels), ("one", channels[:1])):
                    rate = measure(server, ana, where, options.seconds, options.requests)
                    found.setdefault((binary, name), []).append(rate)
                    print(binary, name, round(rate), flush=True)
        for _, server, *_ in running:
            server.kill()
    for name in ("many", "one"):
        first = statistics.median(found[options.binaries[0], name])
        for binary in options.binaries:
            median = statistics.median(found[binary, name])
            print(f"{name:5} {binary}: {median:.0f} a second, {median / first:.2f} of the first")


if __name__ == "__main__":
    main()
