"""A mixed day under faults, for as long as is asked: people send, edit, read, mark and listen through a balancer, with
an SDK that retries by itself, while servers are killed, and what they need is taken away and comes back. What must stay
flat is sampled: memory, open files, threads, the log, the outbox, what is to leave the server. Not part of CI; `cargo
xtask soak` runs it.

    CARILLON_BIN=… CARILLON_TEST_PSQL=… python load/soak.py --minutes 30 --setting sqlite|postgres|cluster

Prints a table, and what is not as it should be; ends with 1 where anything is not.
"""

import argparse
import base64
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.balancer import Balancer
from harness.cluster import Node
from harness.engine import deadlocks, psql_value
from harness.nats import Nats
from harness.postgres import PostgresServer
from harness.server import REGION
from harness.session import returning
from harness.streams import file_sink, stream_to
from harness.world import World, token

CHANNELS = 6
LISTENERS = 6
# As the SDKs call it; with the pauses between them these are up to two minutes.
TRIES_MAX = 10
GOOD_OF = 100_000
READY_WITHIN_S = 60
CATCH_UP_WITHIN_S = 90
REOPEN_AFTER_S = 0.1
SAMPLES = 60
# What a median of the last third may be more than that of the second: of each as a part, and beyond that.
MORE = 1.15
# How long it takes, in minutes, until as much is thrown away as comes: events stay in the outbox for fifteen.
FLAT_AFTER = {"outbox, rows": 28}
BEYOND = {
    "memory, MiB": 48,
    "open files": 60,
    "threads": 16,
    "log, KiB": 512,
    "write-ahead log, MiB": 140,
    "outbox, rows": 500,
    "outgoing, rows": 500,
    "in flight, rows": 50,
}


class Stage:
    """What a setting has, and what may befall it."""

    def __init__(self, setting: str, folder: Path):
        self.setting, self.folder = setting, folder
        self.postgres = PostgresServer.start_new() if setting != "sqlite" else None
        self.nats = Nats(folder, 3, "--no_advertise") if setting == "cluster" else None
        store = self.postgres.database("soak") if self.postgres else f"sqlite:{folder / 'soak.db'}"
        self.store = store
        config = folder / "carillon.toml"
        config.write_text(file_sink(folder / "stream"))
        key = base64.b64encode(os.urandom(32)).decode()
        flags = ["--config", str(config), *(["--bus", self.nats.url] if self.nats else [])]
        count = 3 if self.nats else 1
        self.nodes = [Node(folder / str(at), store, *flags, CARILLON_MASTER_KEY=key) for at in range(count)]
        self.faults: dict[str, Callable[[random.Random], None]] = {"kill -9": self.kill, "stop and start": self.stop}
        if self.postgres:
            self.faults["PostgreSQL restarted"] = self.restart_postgres
        if self.nats:
            self.faults["NATS server killed"] = self.kill_nats

    def __enter__(self) -> "Stage":
        if self.nats:
            self.nats.__enter__()
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_) -> None:
        for node in self.nodes:
            node.kill()
        if self.nats:
            self.nats.__exit__()
        if self.postgres:
            self.postgres.end()

    def kill(self, dice: random.Random) -> None:
        node = dice.choice(self.nodes)
        node.kill()
        node.start()

    def stop(self, dice: random.Random) -> None:
        node = dice.choice(self.nodes)
        node.stop()
        node.start()

    def restart_postgres(self, dice: random.Random) -> None:
        if dice.random() < 0.5:
            self.postgres.kill()
        else:
            self.postgres.control("stop", "--mode", "fast")
        self.postgres.start()

    def kill_nats(self, dice: random.Random) -> None:
        number = dice.randrange(len(self.nats.ports))
        self.nats.kill(number)
        time.sleep(1)
        self.nats.start(number)

    def recover(self) -> list[str]:
        """Whoever ended is started again, and told of; all are ready."""
        wrong, until = [], time.monotonic() + READY_WITHIN_S
        for number, node in enumerate(self.nodes):
            if node.process is not None and node.process.poll() is not None:
                wrong.append(f"node {number} ended by itself with {node.process.returncode}")
                node.process = None
                node.start()
            while (said := self.ready(node)) != 200:
                if until < time.monotonic():
                    wrong.append(f"node {number} is not ready after {READY_WITHIN_S} s: {said}")
                    break
                time.sleep(0.1)
        return wrong

    @staticmethod
    def ready(node: Node) -> object:
        try:
            return node.ready()[0]
        except OSError as error:
            return error

    def rows(self, table: str) -> float:
        statement = f"SELECT COUNT(*) FROM {table}"
        if self.postgres:
            return float(psql_value(self.store, statement))
        database = sqlite3.connect(f"file:{self.folder / 'soak.db'}?mode=ro", uri=True, timeout=10)
        try:
            return float(database.execute(statement).fetchone()[0])
        finally:
            database.close()

    def sample(self) -> dict[str, float]:
        """Of several nodes the most; nothing while one of them is gone."""
        found: dict[str, float] = {}
        for node in self.nodes:
            process = Path(f"/proc/{node.process.pid}")
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            measured = {
                "memory, MiB": int(status["VmRSS"].split()[0]) / 1024,
                "open files": len(list((process / "fd").iterdir())),
                "threads": int(status["Threads"]),
                "log, KiB": node.log.stat().st_size / 1024,
            }
            found = {name: max(value, found.get(name, 0.0)) for name, value in measured.items()}
        if not self.postgres:
            found["write-ahead log, MiB"] = (self.folder / "soak.db-wal").stat().st_size / 2**20
        for name, table in (("outbox", "outbox"), ("outgoing", "outgoing"), ("in flight", "in_flight")):
            found[f"{name}, rows"] = self.rows(table)
        return found


@dataclass
class Person:
    """One who calls through the balancer, by an SDK that knows nothing of what happens behind it."""

    day: "Day"
    number: int
    sent: list[tuple[str, str]] = field(default_factory=list)

    def work(self) -> None:
        day, dice = self.day, random.Random(f"{self.day.seed} {self.number}")
        client = boto3.Session().client(
            "chime-sdk-messaging",
            region_name=REGION,
            endpoint_url=day.balancer.http_url,
            aws_access_key_id=day.balancer.credentials.access_key_id,
            aws_secret_access_key=day.balancer.credentials.secret_access_key,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": TRIES_MAX}, connect_timeout=5, read_timeout=15
            ),
        )
        while not day.over.wait(dice.uniform(0, 2 * day.pause_s)):
            name, call = self.next(client, dice)
            try:
                answered = call()
            except (BotoCoreError, ClientError) as error:
                day.failures.append(f"{name}: {error}")
                continue
            with day.lock:
                day.good[name] += 1
                day.tries += 1 + answered["ResponseMetadata"]["RetryAttempts"]

    def next(self, client: Any, dice: random.Random) -> tuple[str, Callable[[], dict[str, Any]]]:
        channel = dice.choice(self.day.channels)
        who = {"ChimeBearer": self.day.owner}
        chance = dice.random()
        if chance < 0.5 or not self.sent:
            return "send", lambda: self.send(client, channel, who)
        channel, message = dice.choice(self.sent)
        place = {"ChannelArn": channel} | who
        one = place | {"MessageId": message}
        if chance < 0.62:
            return "status", lambda: client.get_channel_message_status(**one)
        if chance < 0.7:
            return "get", lambda: client.get_channel_message(**one)
        if chance < 0.8:
            return "list", lambda: client.list_channel_messages(**place)
        if chance < 0.86:
            return "edit", lambda: client.update_channel_message(**one, Content=f"edited {token()}")
        if chance < 0.93:
            return "mark", lambda: client.update_channel_read_marker(**place)
        if chance < 0.97:
            return "members", lambda: client.list_channel_memberships(**place)
        return "describe", lambda: client.describe_channel(**place)

    def send(self, client: Any, channel: str, who: dict[str, str]) -> dict[str, Any]:
        sent = client.send_channel_message(
            ChannelArn=channel,
            Content="hello " * 20,
            Type="STANDARD",
            Persistence="PERSISTENT",
            ClientRequestToken=token(),
            **who,
        )
        self.sent = [*self.sent[-200:], (channel, sent["MessageId"])]
        with self.day.lock:
            self.day.acknowledged.add(sent["MessageId"])
        return sent


class Day:
    """Those who call, and those who listen, from its beginning to `end`."""

    def __init__(self, stage: Stage, seed: int, people: int, pause_s: float):
        self.stage, self.seed, self.pause_s = stage, seed, pause_s
        self.over, self.all_came, self.lock = threading.Event(), threading.Event(), threading.Lock()
        self.good: Counter[str] = Counter()
        self.tries = self.sessions = 0
        self.failures: list[str] = []
        self.acknowledged: set[str] = set()
        world = World(stage.nodes[0])
        stream_to(world)
        self.owner, *users = world.users("owner", *(f"listener{number}" for number in range(LISTENERS)))
        self.channels = [world.channel(self.owner, *users) for _ in range(CHANNELS)]
        self.balancer = Balancer(stage.nodes)
        self.came: dict[str, set[str]] = {user: set() for user in users}
        works = [(self.listen, (user,)) for user in users]
        works += [(Person(self, number).work, ()) for number in range(people)]
        self.threads = [threading.Thread(target=work, args=of, daemon=True) for work, of in works]
        for thread in self.threads:
            thread.start()

    def listen(self, user: str) -> None:
        for event in returning(self.balancer, user, self.all_came, REOPEN_AFTER_S, self.opened):
            if event.kind == "RELOAD_REQUIRED":
                self.failures.append(f"{user} is told to reload")
            if event.kind == "CREATE_CHANNEL_MESSAGE":
                self.came[user].add(event.payload["MessageId"])

    def opened(self) -> None:
        self.sessions += 1

    def end(self) -> list[str]:
        self.over.set()
        for thread in self.threads[LISTENERS:]:
            thread.join()
        wrong, until = [], time.monotonic() + CATCH_UP_WITHIN_S
        while any(self.acknowledged - came for came in self.came.values()) and time.monotonic() < until:
            time.sleep(0.1)
        for user, came in self.came.items():
            if missing := self.acknowledged - came:
                wrong.append(f"{user} was not told of {len(missing)} of {len(self.acknowledged)}")
        self.all_came.set()
        for thread in self.threads:
            thread.join()
        self.balancer.__exit__()
        return wrong


def soak(stage: Stage, asked: argparse.Namespace) -> tuple[dict[str, object], list[str]]:
    dice = random.Random(asked.seed)
    seconds = asked.minutes * 60
    day = Day(stage, asked.seed, asked.people, asked.pause)
    begun, wrong, injected = time.monotonic(), [], Counter()
    samples: list[dict[str, float]] = []
    every = min(seconds / (2 * len(stage.faults) + 1), asked.fault_every)
    fault_at, sample_at = begun + every, begun
    kinds: list[str] = []
    while (now := time.monotonic()) < begun + seconds:
        if fault_at <= now:
            kinds = kinds or dice.sample(list(stage.faults), len(stage.faults))
            kind = kinds.pop()
            stage.faults[kind](dice)
            wrong += stage.recover()
            injected[kind] += 1
            fault_at = time.monotonic() + every
            print(f"{time.strftime('%T')} {kind}; {day.good.total()} calls, {len(day.failures)} failed", flush=True)
        elif sample_at <= now:
            samples.append(stage.sample())
            sample_at = now + seconds / SAMPLES
        time.sleep(0.05)
    wrong += day.end()
    for number, node in enumerate(stage.nodes):
        if "panicked" in node.log.read_text(errors="replace"):
            wrong.append(f"node {number} panicked")
    if stage.postgres and (count := deadlocks(stage.store)):
        wrong.append(f"{count} deadlocks")
    calls = day.good.total() + len(day.failures)
    if len(day.failures) * GOOD_OF > calls:
        wrong.append(f"{len(day.failures)} of {calls} calls failed: {day.failures[:5]}")
    figures: dict[str, object] = {
        "calls": calls,
        "tries": day.tries,
        "failed after the SDK's retries": len(day.failures),
        "good, %": round(100 * day.good.total() / max(1, calls), 5),
        "sends acknowledged": len(day.acknowledged),
        "told to every listener": min(len(came & day.acknowledged) for came in day.came.values()),
        "sessions": day.sessions,
    }
    figures |= {f"fault: {kind}": count for kind, count in injected.items()}
    thirds, found = flat(samples, asked)
    return figures | thirds, wrong + found


def flat(samples: list[dict[str, float]], asked: argparse.Namespace) -> tuple[dict[str, object], list[str]]:
    """The median of each third of the time, and what grew from the second to the last."""
    third = max(1, len(samples) // 3)
    figures, wrong = {}, []
    for name in samples[0]:
        first, second, last = (
            statistics.median(sample[name] for sample in part)
            for part in (samples[:third], samples[third : 2 * third] or samples, samples[-third:])
        )
        figures[f"{name}: by thirds"] = f"{first:.0f} {second:.0f} {last:.0f}"
        is_judged = FLAT_AFTER.get(name, asked.judge_after) <= asked.minutes
        if is_judged and second * MORE + BEYOND[name] < last:
            wrong.append(f"{name} grows: {figures[f'{name}: by thirds']}")
    return figures, wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--setting", choices=["sqlite", "postgres", "cluster"], default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two calls of a person")
    parser.add_argument("--fault-every", type=float, default=45, help="seconds between two faults, at most")
    parser.add_argument("--judge-after", type=float, default=10, help="minutes from which on what grows is a fault")
    asked = parser.parse_args()
    print(f"{asked.setting}, seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="carillon-soak-"))
    with Stage(asked.setting, folder) as stage:
        figures, wrong = soak(stage, asked)
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    print(f"| wrong | {len(wrong)} |")
    for one in wrong:
        print(one)
    if wrong:
        print(f"what they logged is in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    # Whoever still hangs in a call must not keep this from ending.
    sys.stdout.flush()
    os._exit(bool(wrong))


if __name__ == "__main__":
    main()
