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
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.at_once import Sender, send_all, signed
from harness.engine import Postgres
from harness.proxy import Proxy
from harness.raw import Connection
from harness.server import Server

CONNECTIONS = 64
CHANNELS = 64
BODY = {"Content": "." * 100, "Type": "STANDARD", "Persistence": "PERSISTENT"}


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


def measure(server: Server, ana: str, channels: list[str], seconds: float, count: int) -> float:
    """Sends a second, until the time is over or each connection has sent its share."""
    share = max(1, count // CONNECTIONS)
    senders = [
        Sender(server, signed(server, ana, channels[at % len(channels)], BODY, share))
        for at in range(CONNECTIONS)
    ]
    begun = time.monotonic()
    answered = send_all(senders, lambda: begun + seconds < time.monotonic())
    return answered / (time.monotonic() - begun)


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
