"""Starts a server on a store with very many channels, and on an empty one: how long until a first message is sent, and
how long a sender waits at worst while the jobs make their first round. Not part of CI.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/many_channels.py sqlite 1000000 [rounds]

The channels are written straight into the store, because making them is not what is measured. Compare the figures of one
run with each other: the machine is whatever it is.
"""

import json
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES
from harness.filling import destroy_from_now, fill
from harness.raw import Connection, messages_of
from harness.server import Server

INSTANCES = 20
SENDS_FOR_S = 12


def post(connection: Connection, target: str, body: dict[str, object], bearer: str | None = None):
    answer = connection.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body)


def prepare(server: Server) -> tuple[list[str], str, str]:
    """App instances, somebody in the first, and their channel."""
    with Connection(server) as connection:
        make = lambda: post(connection, "/app-instances", {"Name": "Load"})["AppInstanceArn"]
        instances = [make() for _ in range(INSTANCES)]
        body = {"AppInstanceArn": instances[0], "AppInstanceUserId": "ana", "Name": "Ana"}
        ana = post(connection, "/app-instance-users", body)["AppInstanceUserArn"]
        body = {"AppInstanceArn": instances[0], "Name": "Lobby"}
        return instances, ana, post(connection, "/channels", body, ana)["ChannelArn"]


def keep_messages(server: Server, instance: str, days: int) -> None:
    """Every tenth app instance has a retention, so that the job has something to look at."""
    settings = {"AppInstanceRetentionSettings": {"ChannelRetentionSettings": {"RetentionDays": days}}}
    with Connection(server) as connection:
        target = f"/app-instances/{quote(instance, safe='')}/retention-settings"
        assert connection.call("PUT", target, settings).status == 200


def measure(server: Server, channel: str, ana: str) -> dict[str, float]:
    """From the start of the process on."""
    begun = time.monotonic()
    server.start()
    body = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}
    sent = []
    with Connection(server) as connection:
        while not sent or time.monotonic() < sent[0] + SENDS_FOR_S:
            post(connection, messages_of(channel), body, ana)
            sent.append(time.monotonic())
    server.stop()
    gaps = [after - before for before, after in zip(sent, sent[1:], strict=False)]
    return {"first_send_s": sent[0] - begun, "longest_gap_s": max(gaps), "sends": len(sent)}


def main() -> None:
    engine = ENGINES[sys.argv[1]]()
    count, rounds = int(sys.argv[2]), int((sys.argv[3:] + ["3"])[0])
    found: dict[str, list[dict[str, float]]] = {"empty": [], "full": []}
    with tempfile.TemporaryDirectory() as folder:
        servers = {}
        for name in found:
            (Path(folder) / name).mkdir()
            server = Server(Path(folder) / name, engine).start()
            instances, ana, channel = prepare(server)
            for instance in instances[::10]:
                keep_messages(server, instance, 30)
            server.stop()
            destroy_from_now(server)
            if name == "full":
                fill(server, instances, count)
            servers[name] = (server, channel, ana)
        for _ in range(rounds):
            for name, what in servers.items():
                found[name].append(measure(*what))
                print(name, json.dumps({key: round(value, 4) for key, value in found[name][-1].items()}), flush=True)
    for key in ("first_send_s", "longest_gap_s"):
        empty, full = (statistics.median(one[key] for one in found[name]) for name in ("empty", "full"))
        print(key, "empty", round(empty, 4), "full", round(full, 4), "ratio", round(full / empty, 2))


if __name__ == "__main__":
    main()
