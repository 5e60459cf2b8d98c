"""How many instructions the server spends on a send, a status and a list of 50, by callgrind: the same on every
machine, however noisy, to a percent or two. Not part of CI.

    python load/instructions.py BINARY [BINARY ...]

Needs valgrind. Each binary serves a fresh SQLite store; what it spends while nobody asks is taken off by time. With
several binaries, each figure is also said as a ratio to the first one's.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import server as harness
from harness.engine import ENGINES
from harness.raw import Connection, messages_of

WARM_UP = 100
CALLS = 150
ROUNDS = 5
IDLE_S = 5
START_TIMEOUT_S = 300


def post(door: Connection, target: str, body: dict, bearer: str | None = None) -> dict:
    answer = door.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer=bearer)
    assert answer.status < 300, (answer.status, answer.body)
    return json.loads(answer.body)


class Counted:
    """A server under callgrind."""

    def __init__(self, folder: Path, binary: str):
        self.dumps = folder / "dumps"
        self.dumps.mkdir()
        wrapper = folder / "counted"
        options = f"--tool=callgrind --callgrind-out-file={self.dumps}/out --combine-dumps=no"
        wrapper.write_text(f'#!/bin/sh\nexec valgrind {options} "{binary}" "$@" 2>{folder}/valgrind\n')
        wrapper.chmod(0o755)
        os.environ["CARILLON_BIN"] = str(wrapper)
        self.server = harness.Server(folder, ENGINES["sqlite"]())
        self.server.start()

    def instructions(self) -> int:
        """Those since the last time that this was asked."""
        before = set(self.dumps.iterdir())
        pid = str(self.server.process.pid)
        subprocess.run(["callgrind_control", "--dump", pid], check=True, capture_output=True)
        while not (new := set(self.dumps.iterdir()) - before):
            time.sleep(0.05)
        time.sleep(0.2)
        totals = [line for line in new.pop().read_text().splitlines() if line.startswith(("totals:", "summary:"))]
        return int(totals[-1].split()[1])


def measure(binary: str) -> dict[str, float]:
    """Instructions for each call."""
    with tempfile.TemporaryDirectory() as folder:
        counted = Counted(Path(folder), binary)
        try:
            with Connection(counted.server) as door:
                return measure_all(counted, door)
        finally:
            counted.server.kill()


def measure_all(counted: Counted, door: Connection) -> dict[str, float]:
    instance = post(door, "/app-instances", {"Name": "Load"})["AppInstanceArn"]
    user = {"AppInstanceArn": instance, "AppInstanceUserId": "ana", "Name": "Ana"}
    ana = post(door, "/app-instance-users", user)["AppInstanceUserArn"]
    channel = post(door, "/channels", {"AppInstanceArn": instance, "Name": "Lobby"}, ana)["ChannelArn"]
    messages = messages_of(channel)
    body = {"Content": "x" * 400, "Type": "STANDARD", "Persistence": "PERSISTENT"}
    send = lambda: post(door, messages, body, ana)["MessageId"]
    first = send()
    calls = {
        "send": send,
        "status": lambda: get(door, f"{messages}/{quote(first, safe='')}?scope=message-status", ana),
        "list of 50": lambda: get(door, f"{messages}?max-results=50", ana),
    }
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    counted.instructions()
    figures = {name: [] for name in calls}
    for _ in range(ROUNDS):
        time.sleep(IDLE_S)
        idle = counted.instructions() / IDLE_S
        for name, call in calls.items():
            begun = time.monotonic()
            for _ in range(CALLS):
                call()
            spent = time.monotonic() - begun
            figures[name].append((counted.instructions() - idle * spent) / CALLS)
    return {name: statistics.median(all_of) for name, all_of in figures.items()}


def get(door: Connection, target: str, bearer: str) -> None:
    answer = door.call("GET", target, bearer=bearer)
    assert answer.status == 200, (answer.status, answer.body)


def main() -> None:
    harness.START_TIMEOUT_S = START_TIMEOUT_S
    first = None
    for binary in sys.argv[1:]:
        figures = measure(binary)
        first = first or figures
        print(binary)
        for name, count in figures.items():
            print(f"  {name:<12}{count:>12,.0f}  {count / first[name]:.3f}", flush=True)


main()
