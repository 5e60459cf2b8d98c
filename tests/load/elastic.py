"""Fills an elastic channel through the API, lets half of it leave, and says what that cost. Not part of CI.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/elastic.py sqlite 1000000

The users are written straight into the store, because making them is not what is measured; memberships, messages and
lists go through the API of the binary. The server needs a quota of 10,000 memberships of a sub-channel. Compare the
figures of one run with each other: the machine is whatever it is.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES, outsider, psql
from harness.raw import Connection, messages_of
from harness.server import Server

BATCH = 100
TARGET_MAX = 10_000
PROBES = 60
SENDS_EVERY_S = 0.02
LEAVERS = 4


class Load:
    def __init__(self, server: Server, members: int):
        self.server, self.members = server, members
        self.connection = Connection(server)
        self.results: dict[str, object] = {}
        instance = self.post("/app-instances", {"Name": "Load", "ClientRequestToken": token()})
        self.instance = instance["AppInstanceArn"]
        self.moderator = self.user("moderator")

    def call(self, method, target, body=b"", bearer=None, connection=None):
        answer = (connection or self.connection).call(method, target, body, bearer=bearer)
        assert answer.status < 300, (answer.status, answer.body)
        return json.loads(answer.body) if answer.body else {}

    def post(self, target, body, bearer=None, connection=None):
        return self.call("POST", target, body, bearer, connection)

    def user(self, name: str) -> str:
        body = {"AppInstanceArn": self.instance, "AppInstanceUserId": name, "Name": name}
        return self.post("/app-instance-users", body | {"ClientRequestToken": token()})["AppInstanceUserArn"]

    def arn(self, number: int) -> str:
        return f"{self.instance}/user/m{number:07}"

    def make_users(self) -> None:
        """Copies of the moderator's row, each with a key and an id of its own."""
        key = bytes.fromhex(self.instance.rpartition("/")[2].replace("-", ""))
        columns = "key, app_instance, kind, id, name, created_at, updated_at, membership_count"
        if self.server.store is None:
            with outsider(self.server.data_dir / "carillon.db") as database:
                database.execute("PRAGMA cache_size = -500000")
                rows = ((os.urandom(16), key, f"m{number:07}") for number in range(self.members + 2 * PROBES))
                insert = f"INSERT INTO identity ({columns}) VALUES (?, ?, 'user', ?, 'Member', 0, 0, 0)"
                database.executemany(insert, rows)
            return
        values = (
            f"SELECT uuid_send(gen_random_uuid()), '\\x{key.hex()}'::bytea, 'user',"
            f" 'm' || lpad(n::text, 7, '0'), 'Member', 0, 0, 0"
            f" FROM generate_series(0, {self.members + 2 * PROBES - 1}) n"
        )
        options = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]
        for statement in (f"INSERT INTO identity ({columns}) {values}", "ANALYZE identity"):
            command = [os.environ["CARILLON_TEST_PSQL"], *options, "--command", statement, self.server.store]
            subprocess.run(command, check=True, timeout=600)

    def create(self, elastic: dict | None) -> str:
        body = {"AppInstanceArn": self.instance, "Name": "Load", "ClientRequestToken": token()}
        if elastic:
            body["ElasticChannelConfiguration"] = elastic
        return self.post("/channels", body, self.moderator)["ChannelArn"]

    def timed(self, name: str, calls) -> None:
        times = []
        for call in calls:
            begun = time.perf_counter()
            call()
            times.append((time.perf_counter() - begun) * 1000)
        self.results[name] = f"median {statistics.median(times):.2f} ms, p90 {at(times, 0.9):.2f} ms"
        print(f"{name}: {self.results[name]}", flush=True)

    def join_one_by_one(self, name: str, first: int) -> None:
        path = memberships_of(self.channel)
        self.timed(
            name,
            [
                lambda n=number: self.post(path, {"MemberArn": self.arn(n), "Type": "DEFAULT"}, self.moderator)
                for number in range(first, first + PROBES)
            ],
        )

    def join_all(self, first: int, last: int) -> None:
        path = memberships_of(self.channel) + "?operation=batch-create"
        begun = time.monotonic()
        for number in range(first, last, BATCH):
            arns = [self.arn(n) for n in range(number, min(number + BATCH, last))]
            answer = self.post(path, {"MemberArns": arns}, self.moderator)
            assert not answer.get("Errors"), answer["Errors"][:2]
            if number % 100_000 < BATCH:
                print(f"  {number} after {time.monotonic() - begun:.0f} s", flush=True)

    def lists(self, when: str) -> None:
        channel = quote(self.channel, safe="")
        get = lambda target: (lambda: self.call("GET", target, bearer=self.moderator))
        self.timed(f"ListSubChannels {when}", [get(f"/channels/{channel}/subchannels")] * 20)
        self.timed(f"ListChannelMemberships {when}", [get(f"/channels/{channel}/memberships")] * 20)
        one = self.sub_channels()[-1]["SubChannelId"]
        target = f"/channels/{channel}/memberships?sub-channel-id={one}"
        self.timed(f"ListChannelMemberships of a sub-channel {when}", [get(target)] * 20)

    def sub_channels(self, connection=None) -> list[dict]:
        found, after = [], ""
        while True:
            target = f"/channels/{quote(self.channel, safe='')}/subchannels?max-results=50{after}"
            page = self.call("GET", target, bearer=self.moderator, connection=connection)
            found += page["SubChannels"]
            if "NextToken" not in page:
                return found
            after = f"&next-token={quote(page['NextToken'], safe='')}"

    def settled(self) -> float:
        """Waits until nothing moves any more; answers for how long."""
        begun, last, since = time.monotonic(), None, time.monotonic()
        while time.monotonic() - since < 3:
            if (now := self.sub_channels()) != last:
                last, since = now, time.monotonic()
            time.sleep(0.2)
        return time.monotonic() - begun - 3

    def scale_in(self, leaving: range) -> None:
        """Half of them leave while messages are sent, here and elsewhere."""
        here, there = Sender(self, self.channel), Sender(self, self.create(None))
        here.start_before()
        there.start_before()
        time.sleep(15)
        for sender in (here, there):
            sender.phase = "while members leave and move"
        begun = time.monotonic()
        # In processes of their own: in this one they would keep the senders waiting.
        children = [fork(lambda n=n: self.leave(leaving[n::LEAVERS])) for n in range(LEAVERS)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * LEAVERS
        self.results["the leaving, one call each"] = f"{len(leaving) / (time.monotonic() - begun):.0f}/s"
        self.connection = Connection(self.server)
        self.results["moving after the last left"] = f"{self.settled():.1f} s"
        for name, sender in (("this channel", here), ("another channel", there)):
            sender.stop()
            self.results[f"sends in {name}"] = sender.report()
        self.results["sub-channels left"] = len(self.sub_channels())

    def leave(self, numbers) -> None:
        with Connection(self.server) as connection:
            for number in numbers:
                member = quote(self.arn(number), safe="")
                target = f"{memberships_of(self.channel)}/{member}"
                self.call("DELETE", target, bearer=self.moderator, connection=connection)

    def size(self) -> None:
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        for name in ("VmRSS", "VmHWM"):
            kib = int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])
            self.results[f"memory of the server, {name}"] = f"{kib / 1024:.0f} MiB"
        if self.server.store is None:
            files = self.server.data_dir.glob("carillon.db*")
            self.results["disk"] = f"{sum(file.stat().st_size for file in files) / 2**20:.0f} MiB"
        else:
            command = [os.environ["CARILLON_TEST_PSQL"], "-XAtc", "SELECT pg_database_size(current_database())"]
            size = subprocess.run([*command, self.server.store], check=True, capture_output=True, text=True)
            self.results["disk"] = f"{int(size.stdout) / 2**20:.0f} MiB"

    def run(self) -> None:
        begun = time.monotonic()
        self.make_users()
        self.connection = Connection(self.server)  # The first was idle for too long.
        print(f"users made in {time.monotonic() - begun:.0f} s, straight into the store", flush=True)
        target = max(4, min(TARGET_MAX, self.members // 100))
        elastic = {
            "MaximumSubChannels": self.members // target,
            "TargetMembershipsPerSubChannel": target,
            "MinimumMembershipPercentage": 40,
        }
        self.channel = self.create(elastic)
        few = min(1_000, self.members // 10)
        begun = time.monotonic()
        self.join_all(0, few)
        self.join_one_by_one(f"one join at {few}", few)
        self.lists(f"at {few}")
        self.join_all(few + PROBES, self.members - few)
        self.results["joined"] = f"{self.members} in {(time.monotonic() - begun) / 60:.1f} min"
        print(self.results["joined"], flush=True)
        self.results["moving after the last join"] = f"{self.settled():.1f} s"
        self.size()
        self.join_one_by_one(f"one join at {self.members - few}", self.members - few)
        self.lists(f"at {self.members - few}")
        self.settled()  # A list of several pages is no snapshot: while members move, one may be counted twice or not.
        total = sum(one["MembershipCount"] for one in self.sub_channels())
        assert total == self.members - few + PROBES, total
        fraction = float(os.environ.get("LEAVING", "0.5"))
        self.scale_in(range(0, int(self.members * fraction)))


class Sender:
    """Sends a message every while, and notes how long each took."""

    def __init__(self, load: Load, channel: str):
        self.load, self.channel, self.phase = load, channel, "before"
        self.times: dict[str, list[float]] = {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.send)

    def start_before(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def send(self) -> None:
        load, body = self.load, {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}
        sender = load.moderator
        with Connection(load.server) as connection:
            if self.channel == load.channel:
                # A member who stays, and is found again after a move.
                sender = load.arn(load.members + PROBES)
                load.post(
                    memberships_of(self.channel),
                    {"MemberArn": sender, "Type": "DEFAULT"},
                    load.moderator,
                    connection,
                )
                body["SubChannelId"] = self.place(connection, sender)
            while not self.stopped.wait(SENDS_EVERY_S):
                begun = time.perf_counter()
                answer = connection.call(
                    "POST", messages_of(self.channel), body | {"ClientRequestToken": token()}, bearer=sender
                )
                if answer.status == 403:
                    body["SubChannelId"] = self.place(connection, sender)
                    continue
                assert answer.status == 201, answer.body
                self.times.setdefault(self.phase, []).append((time.perf_counter() - begun) * 1000)

    def place(self, connection, sender: str) -> str:
        found = self.load.call("GET", "/channels?scope=app-instance-user-memberships", b"", sender, connection)
        [one] = found["ChannelMemberships"]
        return one["AppInstanceUserMembershipSummary"]["SubChannelId"]

    def report(self) -> str:
        before, during = self.times["before"], self.times["while members leave and move"]
        parts = []
        for name, share in (("median", 0.5), ("p99", 0.99), ("max", 1.0)):
            one, other = at(before, share), at(during, share)
            parts.append(f"{name} {one:.1f} → {other:.1f} ms, ratio {other / one:.2f}")
        return f"{'; '.join(parts)} ({len(before)} and {len(during)} sends)"


def fork(work) -> int:
    if (child := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def at(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def memberships_of(channel: str) -> str:
    return f"/channels/{quote(channel, safe='')}/memberships"


def token() -> str:
    return str(uuid.uuid4())


def main() -> None:
    engine, members = ENGINES[sys.argv[1]](), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "carillon.toml"
        config.write_text(f"[limits]\npreset = \"off\"\nsub_channel_memberships_max = {TARGET_MAX}\n")
        server = Server(Path(folder), engine, "--config", str(config)).start()
        try:
            load = Load(server, members)
            load.run()
            print(json.dumps(load.results, indent=1, ensure_ascii=False))
        finally:
            server.stop()
            if server.store is not None:
                _, _, database = server.store.rpartition("/")
                psql(os.environ["CARILLON_TEST_POSTGRES"], f"DROP DATABASE {database} WITH (FORCE)")


if __name__ == "__main__":
    main()
