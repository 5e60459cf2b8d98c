"""Pushes one message to very many endpoints, and looks at what senders in other channels notice. Not part of CI.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/push_fan_out.py sqlite [endpoints]

The members and their devices are written straight into the store; a third each is for APNs, FCM and browsers, whose
services are one process of this machine, which takes its part of the processors. Compare the figures of one run with
each other: the machine is whatever it is.
"""

import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES, outsider, psql
from harness.filling import key_of
from harness.paced import Sends
from harness.push import APPLICATION, PushServices
from harness.raw import Connection, messages_of
from harness.server import Server

SENDERS = 4
# Of each sender.
SENDS_PER_SECOND = 100
BEFORE_S = 15
TIMEOUT_S = 1_800
IDENTITY = "key, app_instance, kind, id, name, created_at, updated_at, membership_count"
MEMBERSHIP = "channel, member, sub_channel, kind, invited_by, created_at, updated_at"
ENDPOINT = (
    "owner, key, device, kind, resource, device_token, allow_messages, status, created_at, updated_at"
)
KINDS = ("APNS", "GCM", "GCM")


def post(connection: Connection, target: str, body: dict[str, object], bearer: str | None = None):
    answer = connection.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body)


def prepare(server: Server) -> tuple[str, str, list[tuple[str, str]]]:
    """An app instance, a channel, and the channels of those who send meanwhile, each with its sender first."""
    with Connection(server) as connection:
        instance = post(connection, "/app-instances", {"Name": "Load"})["AppInstanceArn"]
        channels = []
        for number in range(1 + SENDERS):
            body = {"AppInstanceArn": instance, "AppInstanceUserId": f"sender-{number}", "Name": "Ana"}
            user = post(connection, "/app-instance-users", body)["AppInstanceUserArn"]
            channel = post(connection, "/channels", {"AppInstanceArn": instance, "Name": "Lobby"}, user)
            channels.append((user, channel["ChannelArn"]))
    return instance, channels[0], channels[1:]


def fill(server: Server, instance: str, channel: str, subscription: str, count: int) -> None:
    """Members of a channel with one device each."""
    if server.store is None:
        with outsider(server.data_dir / "carillon.db") as database:
            (place,) = database.execute(
                "SELECT key FROM channel WHERE id = ?", (channel.rpartition("/")[2],)
            ).fetchone()
            key = key_of(instance)
            users = [(os.urandom(16), at) for at in range(count)]
            many = database.executemany
            many(f"INSERT INTO identity ({IDENTITY}) VALUES (?, ?, 'user', ?, 'Bob', 0, 0, 1)", ((user, key, f"u{at}") for user, at in users))
            many(f"INSERT INTO membership ({MEMBERSHIP}) VALUES (?, ?, ?, 'DEFAULT', ?, 0, 0)", ((place, user, place, user) for user, _ in users))
            tokens = ((user, at, subscription if at % 3 == 2 else f"device-{at}") for user, at in users)
            many(
                f"INSERT INTO endpoint ({ENDPOINT}) VALUES (?, ?, ?, ?, ?, ?, 'ALL', 'ACTIVE', 0, 0)",
                ((user, os.urandom(16), os.urandom(32), KINDS[at % 3], APPLICATION, token) for user, at, token in tokens),
            )
        return
    key, ident = f"'\\x{key_of(instance).hex()}'::bytea", channel.rpartition("/")[2]
    series, user = f"generate_series(1, {count}) n", "decode(lpad(to_hex(n), 32, '0'), 'hex')"
    place = f"(SELECT key FROM channel WHERE id = '{ident}')"
    psql(server.store, f"INSERT INTO identity ({IDENTITY}) SELECT {user}, {key}, 'user', 'u' || n, 'Bob', 0, 0, 1 FROM {series}")
    psql(server.store, f"INSERT INTO membership ({MEMBERSHIP}) SELECT {place}, {user}, {place}, 'DEFAULT', {user}, 0, 0 FROM {series}")
    psql(
        server.store,
        f"INSERT INTO endpoint ({ENDPOINT}) SELECT {user}, {user}, sha256({user}),"
        f" CASE n % 3 WHEN 0 THEN 'APNS' ELSE 'GCM' END, '{APPLICATION}',"
        f" CASE n % 3 WHEN 2 THEN '{subscription}' ELSE 'device-' || n END, 'ALL', 'ACTIVE', 0, 0 FROM {series}",
    )
    psql(server.store, "VACUUM ANALYZE")


def taken(services: PushServices) -> int:
    counts = services.tell(counts=True)["counts"]
    return counts["apns"] + counts["fcm"] + counts["web_push"]


def main() -> None:
    engine = ENGINES[sys.argv[1]]()
    count = int((sys.argv[2:] + ["100000"])[0])
    with tempfile.TemporaryDirectory() as name, PushServices(Path(name), "--quiet") as services:
        folder = Path(name)
        (folder / "carillon.toml").write_text(services.configuration() + '[limits]\npreset = "off"\n')
        server = Server(folder, engine, "--config", str(folder / "carillon.toml")).start()
        instance, (sender, channel), channels = prepare(server)
        server.stop()
        fill(server, instance, channel, services.subscribe("browser"), count)
        server.start()
        sends = Sends(server, channels, SENDS_PER_SECOND)
        time.sleep(BEFORE_S)
        before = sends.end()
        sends, begun = Sends(server, channels, SENDS_PER_SECOND), time.monotonic()
        body = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}
        with Connection(server) as connection:
            notification = {"PushNotification": {"Title": "Lobby", "Body": "hello"}}
            post(connection, messages_of(channel), body | notification, sender)
        while (so_far := taken(services)) < count:
            assert time.monotonic() < begun + TIMEOUT_S, f"{so_far} of {count}"
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        during = sends.end()
        server.stop()
        for what, figures in (("before", before), ("during", during)):
            print(what, json.dumps({key: round(value, 2) for key, value in figures.items()}))
        print("endpoints", count, "seconds", round(seconds, 1), "a second", round(count / seconds))
        print("p99 during / before", round(during["p99_ms"] / before["p99_ms"], 2))


if __name__ == "__main__":
    main()
