"""A backlog of records while their sink is away, and what it costs. Not part of CI.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/backlog.py [--engine sqlite] [--records 1000000]

It says how long sends take without a backlog and beside it, how much memory the server has, and how many records a
second go into the sink (a file) when it is back. Compare figures of one run with each other: the machine is whatever it
is. The records are written straight into the store, because a million sends would take long.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES, outsider, psql
from harness.server import Server
from harness.streams import STREAM, file_sink, stream_to
from harness.world import World

CHANNELS = 1_000
SENDERS = 4
MEASURE_S = 10
SHARDS = 16
BODY = (
    '{{"EventType":"CREATE_CHANNEL_MESSAGE","Payload":{{"ChannelArn":"{channel}","MessageId":"{id}","Content":"{text}",'
    '"Type":"STANDARD","CreatedTimestamp":"2026-01-15T12:00:03.070Z","Redacted":false,"Persistence":"PERSISTENT"}}}}'
)


def fill(server: Server, instance: str, count: int) -> None:
    keys = [uuid.uuid4() for _ in range(CHANNELS)]
    now = int(time.time() * 1_000)

    def body(key: uuid.UUID, number: int) -> str:
        return BODY.format(channel=f"{instance}/channel/{key}", id=f"{number:064x}", text="x" * 300)

    if server.store is None:
        rows = (
            (key.bytes[0] % SHARDS, f"stream {STREAM}", key.bytes, number, 0, now, body(key, number))
            for key in keys
            for number in range(count // CHANNELS)
        )
        with outsider(server.data_dir / "carillon.db") as database:
            database.executemany("INSERT INTO outgoing VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return
    for key in keys:
        text = body(key, 0).replace("'", "''")
        psql(
            server.store,
            f"INSERT INTO outgoing SELECT {key.bytes[0] % SHARDS}, 'stream {STREAM}', '\\x{key.hex}'::bytea, n, 0, {now},"
            f" '{text}' FROM generate_series(0, {count // CHANNELS - 1}) n",
        )


def sends(world: World, sender: str, channels: list[str]) -> dict[str, float]:
    """How many a second, and how long the slowest hundredth took at least."""
    times: list[float] = []
    until = time.monotonic() + MEASURE_S

    def run(channel: str) -> None:
        while time.monotonic() < until:
            begun = time.monotonic()
            world.send(channel, sender)
            times.append(time.monotonic() - begun)

    threads = [threading.Thread(target=run, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    return {"per_s": len(times) / MEASURE_S, "p99_ms": 1_000 * times[len(times) * 99 // 100]}


def memory_mib(server: Server) -> dict[str, int]:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return {
        name: int(line.split()[1]) // 1024
        for line in status.splitlines()
        for name in ("VmRSS", "VmHWM")
        if line.startswith(f"{name}:")
    }


def waiting(server: Server) -> int:
    with urllib.request.urlopen(f"{server.http_url}/_carillon/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith('carillon_outgoing_waiting{consumer="stream"}'):
                return int(line.split()[-1])
    raise AssertionError("nothing says how much waits")


def lines_of(path: Path) -> int:
    return int(subprocess.run(["wc", "-l", path], capture_output=True, check=True).stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=sorted(ENGINES), default="sqlite")
    parser.add_argument("--records", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sink, config = folder / "sink", folder / "carillon.toml"
        sink.mkdir()
        config.write_text(file_sink(sink / "records"))
        server = Server(folder, ENGINES[arguments.engine](), "--config", str(config)).start()
        try:
            world = World(server)
            [ana] = world.users("ana")
            channels = [world.channel(ana) for _ in range(SENDERS)]
            found: dict = {"engine": arguments.engine, "memory_at_first": memory_mib(server)}
            found["without_streams"] = sends(world, ana, channels)
            stream_to(world, STREAM)
            found["without_backlog"] = sends(world, ana, channels)
            sink.rename(folder / "gone")
            fill(server, world.app_instance, arguments.records)
            found["beside_backlog"] = sends(world, ana, channels)
            found["memory_beside"] = memory_mib(server)
            deadline = time.monotonic() + 120
            while waiting(server) < arguments.records and time.monotonic() < deadline:
                time.sleep(1)
            found["waiting"] = waiting(server)
            sink.mkdir()
            begun = time.monotonic()
            while not (sink / "records").exists() or lines_of(sink / "records") < arguments.records:
                time.sleep(0.25)
            took = time.monotonic() - begun
            found |= {"records_per_s": round(arguments.records / took), "memory_after": memory_mib(server)}
            found["p99_ratio"] = found["beside_backlog"]["p99_ms"] / found["without_backlog"]["p99_ms"]
            print(json.dumps(found, indent=1), flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
