"""Sends at a steady rate to a server on SQLite, with nothing beside them and with a backup beside them, turn by turn: how
long the answers took (must show 5: the 99th percentile, as a ratio), and how long the log grew. Not part of CI.

    CARILLON_BIN=… python load/backup.py [rate] [seconds] [gibibytes] [tool …]

Tools: `carillon` (CARILLON_BACKUP_BIN, or the server's binary), `sqlite-steps` (SQLite's own backup in steps that hold
nothing between them), `sqlite-held` (in one transaction), `vacuum` (VACUUM INTO), `reader` (a transaction that reads one
state for a minute, and copies nothing). Each tool's rounds stand between two
without one. Compare the figures of one run with each other: the machine is whatever it is.
"""

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.engine import Sqlite, outsider
from harness.raw import messages_of
from harness.server import Server, binary
from harness.world import World

THREADS = 24
CHANNELS = 24
FILL_BYTES = 3_000


class Load:
    """An open loop: requests are due at fixed times, and what is late counts from when it was due."""

    def __init__(self, server: Server, channels: list[str], sender: str, rate: float):
        self.server, self.channels, self.sender, self.rate = server, channels, sender, rate

    def run(self, seconds: float) -> list[float]:
        """The times of the answers, in milliseconds."""
        count = int(self.rate * seconds)
        requests = [self.request(number) for number in range(count)]
        begun = time.monotonic() + 0.2
        took: list[float] = []
        following = iter(range(count))
        lock = threading.Lock()

        def work() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
            while True:
                with lock:
                    number = next(following, None)
                if number is None:
                    return
                due = begun + number / self.rate
                time.sleep(max(0.0, due - time.monotonic()))
                target, body, headers = requests[number]
                connection.request("POST", target, body, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 201, answer.status
                took.append((time.monotonic() - due) * 1_000)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return took

    def request(self, number: int) -> tuple[str, bytes, dict[str, str]]:
        target = messages_of(self.channels[number % len(self.channels)])
        body = {"Content": "x" * 200, "Type": "STANDARD", "Persistence": "PERSISTENT"}
        payload = json.dumps(body | {"ClientRequestToken": str(uuid.uuid4())}).encode()
        extra = {"content-type": "application/json", "x-amz-chime-bearer": self.sender}
        now = datetime.now(UTC)
        return target, payload, sigv4.headers_for(
            self.server.credentials, "POST", target, self.server.host, payload, now, extra
        )


def fill(database: Path, gibibytes: float) -> None:
    """Bytes that a copy must carry, in a table of their own: making messages is not what is measured."""
    rows = int(gibibytes * 2**30 / FILL_BYTES)
    with outsider(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS filling (bytes BLOB)")
        connection.executemany(
            "INSERT INTO filling VALUES (?)", ((random.randbytes(FILL_BYTES // 2) * 2,) for _ in range(rows))
        )


def copy(tool: str, server: Server, folder: Path) -> None:
    database, into = server.data_dir / "carillon.db", folder / "copy"
    into.unlink(missing_ok=True)
    if tool == "carillon":
        program = os.environ.get("CARILLON_BACKUP_BIN", binary())
        subprocess.run(
            [program, "backup", str(into), "--data-dir", str(server.data_dir)], check=True, capture_output=True
        )
        return
    script = {
        "sqlite-steps": "s.backup(t, pages=256, sleep=0.002)",
        "sqlite-held": "s.execute('BEGIN'); s.execute('SELECT count(*) FROM sqlite_schema').fetchone();"
        " s.backup(t, pages=256, sleep=0.002)",
        "reader": "s.execute('BEGIN'); s.execute('SELECT count(*) FROM sqlite_schema').fetchone(); t.close();"
        " time.sleep(60)",
        "vacuum": "s.execute('VACUUM INTO ?', (sys.argv[2],))",
    }[tool]
    connect = "s = sqlite3.connect(sys.argv[1], isolation_level=None)"
    if tool != "vacuum":
        connect += "; t = sqlite3.connect(sys.argv[2])"
    code = f"import sqlite3, sys, time; {connect}; {script}"
    subprocess.run([sys.executable, "-c", code, str(database), str(into)], check=True, timeout=120)


def percentile(took: list[float], part: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * part))]


def shown(took: list[float]) -> dict[str, float]:
    found = {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "most": max(took)}
    return {key: round(value, 2) for key, value in found.items()}


def beside(load: Load, seconds: float, tool: str, folder: Path) -> tuple[list[float], dict[str, float]]:
    """Sends while the tool copies, again and again until the time is over."""
    server, stopped = load.server, threading.Event()
    copies: list[float] = []
    failed: list[str] = []

    def work() -> None:
        while not stopped.is_set():
            begun = time.monotonic()
            try:
                copy(tool, server, folder)
            except subprocess.SubprocessError as error:
                failed.append(str(error))
                return
            copies.append(round(time.monotonic() - begun, 2))

    copying = threading.Thread(target=work)
    copying.start()
    took = load.run(seconds)
    log = (server.data_dir / "carillon.db-wal").stat().st_size
    stopped.set()
    copying.join()
    return took, {"copies_s": copies, "log_mib": round(log / 2**20), "failed": failed}


def main() -> None:
    rate, seconds, gibibytes = (float(word) for word in (sys.argv[1:4] + ["1000", "20", "0.5"][len(sys.argv[1:4]) :]))
    tools = sys.argv[4:] or ["carillon"]
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name), Sqlite()).start()
        world = World(server)
        ana = world.user("ana")
        channels = [world.channel(ana, Name=f"Lobby {number}") for number in range(CHANNELS)]
        server.stop()
        fill(server.data_dir / "carillon.db", gibibytes)
        server.start()
        load = Load(server, channels, ana, rate)
        load.run(3)
        for tool in tools:
            alone = [load.run(seconds)]
            during, copied = beside(load, seconds, tool, Path(name))
            alone.append(load.run(seconds))
            before = statistics.median(percentile(took, 0.99) for took in alone)
            print(tool, "alone", json.dumps([shown(took) for took in alone]), flush=True)
            print(tool, "during", json.dumps(shown(during) | copied), flush=True)
            print(tool, "ratio of p99", round(percentile(during, 0.99) / before, 2), flush=True)
        server.stop()


if __name__ == "__main__":
    main()
