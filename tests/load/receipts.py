"""Everybody in a channel reads it within a minute, and is told of who has read. What do senders notice? Not part of CI.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/receipts.py sqlite [members] [sockets]

The members are written straight into the store. Some of them listen: their sockets are read by one process of this
machine, which takes its part of the processors. Others send in channels of their own, so many messages a second, and one
in the channel itself. Their times are taken before, and while all members read. Compare the figures of one run with each
other: the machine is whatever it is.
"""

import asyncio
import base64
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.engine import ENGINES, outsider, psql
from harness.filling import key_of
from harness.raw import Connection, messages_of
from harness.server import Server

SENDERS = 4
READERS = 4
# Of each sender; and of the one who sends to all.
SENDS_PER_SECOND = 20
TO_ALL_PER_SECOND = 4
PHASE_S = 60
OPENED_AT_ONCE = 50
IDENTITY = "key, app_instance, kind, id, name, created_at, updated_at, membership_count"
MEMBERSHIP = "channel, member, sub_channel, kind, invited_by, created_at, updated_at"
MARKER = b"UPDATE_CHANNEL_READ_MARKER"


def post(connection: Connection, target: str, body: dict[str, object], bearer: str | None = None):
    answer = connection.call("POST", target, body, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body or b"{}")


def prepare(server: Server) -> tuple[str, tuple[str, str], list[tuple[str, str]]]:
    """An app instance, the channel whose members all read, and those of the other senders, each with its sender first."""
    with Connection(server) as connection:
        name = {"Name": "Load", "ClientRequestToken": str(uuid.uuid4())}
        instance = post(connection, "/app-instances", name)["AppInstanceArn"]
        channels = []
        for number in range(1 + SENDERS):
            at = {"AppInstanceArn": instance, "Name": "Ana", "ClientRequestToken": str(uuid.uuid4())}
            user = post(connection, "/app-instance-users", at | {"AppInstanceUserId": f"sender-{number}"})
            user = user["AppInstanceUserArn"]
            channels.append((user, post(connection, "/channels", at, user)["ChannelArn"]))
        tag = {"ResourceARN": channels[0][1], "Tags": [{"Key": "carillon:read-receipts", "Value": "on"}]}
        post(connection, "/tags?operation=tag-resource", tag)
    return instance, channels[0], channels[1:]


def fill(server: Server, instance: str, channel: str, count: int) -> None:
    """Members, whose ids are `u` and their number."""
    ident = channel.rpartition("/")[2]
    if server.store is None:
        with outsider(server.data_dir / "carillon.db") as database:
            (place,) = database.execute("SELECT key FROM channel WHERE id = ?", (ident,)).fetchone()
            users = [(os.urandom(16), at) for at in range(1, count + 1)]
            database.executemany(
                f"INSERT INTO identity ({IDENTITY}) VALUES (?, ?, 'user', ?, 'Bob', 0, 0, 1)",
                ((user, key_of(instance), f"u{at}") for user, at in users),
            )
            database.executemany(
                f"INSERT INTO membership ({MEMBERSHIP}) VALUES (?, ?, ?, 'DEFAULT', ?, 0, 0)",
                ((place, user, place, user) for user, _ in users),
            )
        return
    key = f"'\\x{key_of(instance).hex()}'::bytea"
    series, user = f"generate_series(1, {count}) n", "decode(lpad(to_hex(n), 32, '0'), 'hex')"
    place = f"(SELECT key FROM channel WHERE id = '{ident}')"
    psql(server.store, f"INSERT INTO identity ({IDENTITY}) SELECT {user}, {key}, 'user', 'u' || n, 'Bob', 0, 0, 1 FROM {series}")
    psql(server.store, f"INSERT INTO membership ({MEMBERSHIP}) SELECT {place}, {user}, {place}, 'DEFAULT', {user}, 0, 0 FROM {series}")
    psql(server.store, "VACUUM ANALYZE")


class Listeners:
    """Members who listen, in a process of their own: what comes is counted, and otherwise dropped."""

    def __init__(self, server: Server, users: list[str]):
        self.here, there = multiprocessing.Pipe()
        words = (there, server.credentials, server.host, server.http_port, users)
        self.process = multiprocessing.Process(target=listen, args=words, daemon=True)
        self.process.start()
        assert self.here.recv() == len(users)

    def counts(self) -> dict[str, int]:
        self.here.send("counts")
        return self.here.recv()


def listen(pipe, credentials, host: str, port: int, users: list[str]) -> None:
    asyncio.run(listen_all(pipe, credentials, host, port, users))


async def listen_all(pipe, credentials, host: str, port: int, users: list[str]) -> None:
    counts = {"bytes": 0, "marker_frames": 0, "closed": 0}
    gate, opened, tasks = asyncio.Semaphore(OPENED_AT_ONCE), [], []

    async def follow(user: str) -> None:
        async with gate:
            parameters = {"sessionId": str(uuid.uuid4()), "userArn": user}
            target = sigv4.connect_target(credentials, host, parameters)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            key = base64.b64encode(os.urandom(16)).decode()
            head = [f"GET {target} HTTP/1.1", f"host: {host}", "connection: Upgrade", "upgrade: websocket"]
            head += ["sec-websocket-version: 13", f"sec-websocket-key: {key}", "", ""]
            writer.write("\r\n".join(head).encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101"), answer
            await reader.readuntil(b"SESSION_ESTABLISHED")
            opened.append(writer)
        while data := await reader.read(1 << 16):
            counts["bytes"] += len(data)
            counts["marker_frames"] += data.count(MARKER)
        counts["closed"] += 1

    tasks = [asyncio.create_task(follow(user)) for user in users]
    while len(opened) < len(users):
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done() and task.exception():
                raise task.exception()
    pipe.send(len(opened))
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv):
        pipe.send(counts)


class Sends:
    """People who send, so many messages a second each, in channels of their own."""

    def __init__(self, server: Server, channels: list[tuple[str, str]], per_second: float):
        self.times: list[float] = []
        self.over = threading.Event()
        self.threads = [
            threading.Thread(target=self.send, args=(server, 1 / per_second, *one)) for one in channels
        ]
        for thread in self.threads:
            thread.start()

    def send(self, server: Server, every_s: float, user: str, channel: str) -> None:
        body = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}
        due = time.monotonic()
        with Connection(server) as connection:
            while not self.over.is_set():
                # From when it was due: who is late because the one before it was, is late.
                post(connection, messages_of(channel), body | {"ClientRequestToken": str(uuid.uuid4())}, user)
                self.times.append(time.monotonic() - due)
                due = max(due + every_s, time.monotonic() - 1)
                time.sleep(max(0, due - time.monotonic()))

    def end(self) -> dict[str, float]:
        self.over.set()
        for thread in self.threads:
            thread.join()
        cuts = statistics.quantiles(self.times, n=100)
        return {"sends": len(self.times), "p50_ms": cuts[49] * 1_000, "p99_ms": cuts[98] * 1_000}


def read_all(server: Server, channel: str, users: list[str], within_s: float) -> float:
    """Each of them moves their read marker once, evenly over that time; answers how long it took."""
    begun = time.monotonic()

    def read(part: int) -> None:
        with Connection(server) as connection:
            for at in range(part, len(users), READERS):
                time.sleep(max(0, begun + at * within_s / len(users) - time.monotonic()))
                target = f"/channels/{quote(channel, safe='')}/readMarker"
                answer = connection.call("PUT", target, b"{}", bearer=users[at])
                assert answer.status == 200, (answer.status, answer.body)

    threads = [threading.Thread(target=read, args=(part,)) for part in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


def phase(server: Server, channels, hall, work) -> dict[str, dict[str, float]]:
    others, to_all = Sends(server, channels, SENDS_PER_SECOND), Sends(server, [hall], TO_ALL_PER_SECOND)
    work()
    return {"others": others.end(), "to all": to_all.end()}


def main() -> None:
    engine = ENGINES[sys.argv[1]]()
    count, sockets = (int(word) for word in (sys.argv[2:] + ["10000", "1000"][len(sys.argv) - 2 :])[:2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "carillon.toml").write_text('[limits]\npreset = "off"\n')
        server = Server(folder, engine, "--config", str(folder / "carillon.toml")).start()
        instance, hall, channels = prepare(server)
        server.stop()
        fill(server, instance, hall[1], count)
        server.start()
        users = [f"{instance}/user/u{at}" for at in range(1, count + 1)]
        listeners = Listeners(server, users[:sockets])
        before = phase(server, channels, hall, lambda: time.sleep(PHASE_S))
        quiet = listeners.counts()
        took: list[float] = []
        during = phase(server, channels, hall, lambda: took.append(read_all(server, hall[1], users, PHASE_S)))
        counts = listeners.counts()
        measured = [line for line in server.measured().splitlines() if line.startswith("carillon_read_markers")]
        server.stop()
        for what, figures in (("before", before), ("during", during)):
            for whose, times in figures.items():
                rounded = {key: round(value, 2) for key, value in times.items()}
                print(what, whose, json.dumps(rounded))
        print("members", count, "sockets", sockets, "all had read after seconds", round(took[0], 1))
        frames = counts["marker_frames"] - quiet["marker_frames"]
        print("frames of read markers a socket", round(frames / max(sockets, 1), 2), "closed", counts["closed"])
        print("\n".join(measured))
        for whose in before:
            ratio = during[whose]["p99_ms"] / before[whose]["p99_ms"]
            print("p99 of sends,", whose + ":", "during / before", round(ratio, 2))


if __name__ == "__main__":
    main()
