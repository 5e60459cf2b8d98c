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
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.engine import ENGINES, outsider, psql
from harness.filling import key_of
from harness.paced import Sends
from harness.raw import Connection
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
PING = 9
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


class Frames:
    """The frames of one socket, of which only pings are looked at: whoever does not answer is closed."""

    def __init__(self):
        self.left, self.skipped = b"", 0

    def pings(self, data: bytes) -> Iterator[bytes]:
        data = self.left + data
        at, self.skipped = self.skipped, 0
        while at + 2 <= len(data):
            length, head = data[at + 1], {126: 4, 127: 10}.get(data[at + 1], 2)
            if len(data) < at + head:
                break
            if 2 < head:
                length = int.from_bytes(data[at + 2 : at + head])
            end = at + head + length
            if data[at] & 0xF == PING:
                if len(data) < end:
                    break
                yield data[at + head : end]
            at = end
        # Of a frame that is not whole, its end is left out.
        self.left, self.skipped = data[at:], max(0, at - len(data))


def listen(pipe, credentials, host: str, port: int, users: list[str]) -> None:
    asyncio.run(listen_all(pipe, credentials, host, port, users))


async def listen_all(pipe, credentials, host: str, port: int, users: list[str]) -> None:
    counts = {"bytes": 0, "marker_frames": 0, "pings": 0, "closed": 0}
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
            _, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2))
            assert b"SESSION_ESTABLISHED" in await reader.readexactly(length)
            opened.append(writer)
        frames = Frames()
        while data := await reader.read(1 << 16):
            counts["bytes"] += len(data)
            counts["marker_frames"] += data.count(MARKER)
            for payload in frames.pings(data):
                # Masked by zeros: its letters stay as they are.
                writer.write(bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
                counts["pings"] += 1
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
        print("frames of read markers a socket", round(frames / max(sockets, 1), 2), "pings", counts["pings"], "closed", counts["closed"])
        assert counts["closed"] == 0, "not all listened to the end"
        print("\n".join(measured))
        for whose in before:
            ratio = during[whose]["p99_ms"] / before[whose]["p99_ms"]
            print("p99 of sends,", whose + ":", "during / before", round(ratio, 2))


if __name__ == "__main__":
    main()
