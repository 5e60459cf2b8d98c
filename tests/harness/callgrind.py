"""A server under callgrind, and how many instructions it spends on something: the same on every machine, however noisy,
to a percent or two."""

import json
import shutil
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from harness.at_once import Sender, send_all, signed
from harness.engine import Engine
from harness.raw import Connection, messages_of
from harness.server import Server
from harness.session import Session

START_TIMEOUT_S = 300
LISTENERS = 200
AT_ONCE = 64

BODY: dict[str, object] = {"Content": "x" * 400, "Type": "STANDARD", "Persistence": "PERSISTENT"}

Calls = dict[str, Callable[[], int]]
"""Each does something as often as it answers."""


class CountedServer(Server):
    """A server under callgrind."""

    def __init__(self, folder: Path, binary: str, engine: Engine):
        super().__init__(folder, engine)
        self.binary, self.dumps = binary, folder / "dumps"
        self.dumps.mkdir()

    def program(self) -> list[str]:
        options = ["--tool=callgrind", f"--callgrind-out-file={self.dumps}/out", "--combine-dumps=no"]
        return ["valgrind", *options, self.binary]


class Counted:
    """What a server spends, but for what it spends while nobody asks, which is taken off by time."""

    def __init__(self, folder: Path, binary: str, engine: Engine):
        self.server = CountedServer(folder, binary, engine)
        self.dumps = self.server.dumps
        self.server.start(START_TIMEOUT_S)

    def instructions(self, keep: Path | None = None) -> int:
        """Those since the last time that this was asked."""
        before = set(self.dumps.iterdir())
        assert self.server.process is not None
        pid = str(self.server.process.pid)
        subprocess.run(["callgrind_control", "--dump", pid], check=True, capture_output=True)
        while not (new := set(self.dumps.iterdir()) - before):
            time.sleep(0.05)
        dump = new.pop()
        while not (totals := [line for line in lines(dump) if line.startswith("totals:")]):
            time.sleep(0.05)
        if keep:
            shutil.copy(dump, keep)
        dump.unlink()
        return int(totals[-1].split()[1])

    def measure(self, calls: Calls, rounds: int, idle_s: float, keep: Path | None = None) -> dict[str, float]:
        """Instructions of each, the median of some rounds after one that is not counted."""
        for call in calls.values():
            call()
        figures: dict[str, list[float]] = {name: [] for name in calls}
        self.instructions()
        for _ in range(rounds):
            time.sleep(idle_s)
            idle = self.instructions() / idle_s
            for name, call in calls.items():
                begun = time.monotonic()
                count = call()
                spent = time.monotonic() - begun
                kept = keep / name.replace(" ", "-").replace(",", "") if keep else None
                figures[name].append((self.instructions(kept) - idle * spent) / count)
        return {name: statistics.median(all_of) for name, all_of in figures.items()}


def lines(dump: Path) -> list[str]:
    return dump.read_text().splitlines()


def post(door: Connection, target: str, body: dict[str, object], bearer: str | None = None) -> dict:
    answer = door.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body)


def get(door: Connection, target: str, bearer: str) -> None:
    answer = door.call("GET", target, bearer=bearer)
    assert answer.status == 200, (answer.status, answer.body)


class Scene:
    """Somebody who sends, and those who listen."""

    def __init__(self, server: Server, door: Connection):
        self.server, self.door = server, door
        self.instance = post(door, "/app-instances", {"Name": "Load"})["AppInstanceArn"]
        self.ana = self.user("ana")
        self.lobby, self.stadium = self.channel(), self.channel()
        self.first = self.send()

    def user(self, name: str) -> str:
        body = {"AppInstanceArn": self.instance, "AppInstanceUserId": name, "Name": name.title()}
        return post(self.door, "/app-instance-users", body)["AppInstanceUserArn"]

    def channel(self) -> str:
        body = {"AppInstanceArn": self.instance, "Name": "Lobby"}
        return post(self.door, "/channels", body, self.ana)["ChannelArn"]

    def send(self) -> str:
        return post(self.door, messages_of(self.lobby), BODY, self.ana)["MessageId"]

    def status(self) -> None:
        target = f"{messages_of(self.lobby)}/{quote(self.first, safe='')}?scope=message-status"
        get(self.door, target, self.ana)

    def listed(self) -> None:
        get(self.door, f"{messages_of(self.lobby)}?max-results=50", self.ana)

    def calls(self, count: int) -> Calls:
        """A send, a status and a list, each as often, one after the other."""

        def repeated(call: Callable[[], object]) -> Callable[[], int]:
            return lambda: sum(1 for _ in range(count) if call() or True)

        return {
            "send": repeated(self.send),
            "status": repeated(self.status),
            "list of 50": repeated(self.listed),
        }

    def sent_at_once(self, count: int) -> int:
        """As many sends, of which so many wait at a time."""
        share = -(-count // AT_ONCE)
        requests = [signed(self.server, self.ana, self.lobby, BODY, share) for _ in range(AT_ONCE)]
        return send_all([Sender(self.server, each) for each in requests])

    def listeners(self) -> list[Session]:
        members = [self.user(f"listener-{number}") for number in range(LISTENERS)]
        target = f"/channels/{quote(self.stadium, safe='')}/memberships"
        for member in members:
            post(self.door, target, {"MemberArn": member, "Type": "DEFAULT"}, self.ana)
        return [Session.established(self.server, member) for member in members]

    def told(self, listeners: list[Session], count: int) -> int:
        """Sends to all who listen; answers how many frames arrived."""
        for _ in range(count):
            post(self.door, messages_of(self.stadium), BODY, self.ana)
            for listener in listeners:
                listener.socket.recv()
        return count * len(listeners)
