"""Three nodes, three servers of NATS and a PostgreSQL under load, to which everything happens that may happen to them; then
whether anybody was told wrong, or anything was lost. Not part of CI but for its short form (`test_faults.py`).

    CARILLON_BIN=… CARILLON_TEST_PSQL=… python load/faults.py [--rounds 20] [--seed 1] [--brief] [--only KIND] [--rolling 5]

Prints a table, and each violation; ends with 1 where there is one.
"""

import argparse
import base64
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.cluster import Node
from harness.engine import deadlocks
from harness.nats import Nats
from harness.postgres import PostgresServer
from harness.processor import Processor, targets
from harness.proxy import Proxy
from harness.random_sessions import Play
from harness.rolling import Rolling

NODES = 3
READY_WITHIN_S = 60
# Calls that are answered before the next fault: all goes on as before.
CALLS_BETWEEN = 20
CONFIGURATION = "[flows]\nwaiting_seconds = 20\n[server]\ndrain_seconds = 2\n"


class Stage:
    """All that there is, each node with its own ways to store and bus."""

    def __init__(self, folder: Path):
        self.postgres = PostgresServer.start_new()
        self.store = self.postgres.database("faults")
        self.nats = Nats(folder, 3, "--no_advertise")
        self.processor = Processor()
        config = folder / "carillon.toml"
        config.write_text(CONFIGURATION + targets(self.processor.url))
        key = base64.b64encode(os.urandom(32)).decode()
        self.stores, self.buses, self.nodes = [], [], []
        for number in range(NODES):
            self.stores.append([Proxy(self.store)])
            self.buses.append([Proxy(f"nats://127.0.0.1:{port}") for port in self.nats.ports])
            hosts = ",".join(proxy.url.removeprefix("nats://") for proxy in self.buses[-1])
            flags = ("--bus", f"nats://{hosts}", "--config", str(config))
            store = self.stores[-1][0].url
            self.nodes.append(Node(folder / str(number), store, *flags, CARILLON_MASTER_KEY=key))

    def __enter__(self) -> "Stage":
        self.nats.__enter__()
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_) -> None:
        for node in self.nodes:
            node.kill()
        self.nats.__exit__()
        self.postgres.end()


class Faults:
    """What happens to it. Each ends with all as it was; how long it takes is `brief` or as long as hurts."""

    def __init__(self, stage: Stage, dice: random.Random, brief: bool):
        self.stage, self.dice, self.brief = stage, dice, brief
        self.kinds: dict[str, Callable[[], None]] = {
            "kill -9 of a node": self.kill,
            "SIGSTOP of a node": self.stop,
            "NATS server killed": self.kill_nats,
            "NATS gone": self.end_nats,
            "PostgreSQL restarted": self.restart_postgres,
            "store cut": lambda: self.between(self.stage.stores, Proxy.refuse, 2, 6),
            "store silent": lambda: self.between(self.stage.stores, Proxy.go_silent, 3, 12),
            "store slow": lambda: self.between(self.stage.stores, slow, 2, 5),
            "bus cut": lambda: self.between(self.stage.buses, Proxy.refuse, 2, 6),
            "bus silent": lambda: self.between(self.stage.buses, Proxy.go_silent, 3, 12),
            "bus slow": lambda: self.between(self.stage.buses, slow, 2, 5),
        }

    def wait(self, brief_s: float, long_s: float) -> None:
        time.sleep(brief_s if self.brief else long_s)

    def kill(self) -> None:
        node = self.dice.choice(self.stage.nodes)
        node.kill()
        # At times until the others take it for dead.
        self.wait(1, self.dice.choice([0, 1, 7]))
        node.start()

    def stop(self) -> None:
        """For longer than a node may be silent, and than a lease lasts."""
        process = self.dice.choice(self.stage.nodes).process
        process.send_signal(signal.SIGSTOP)
        try:
            self.wait(6, 13)
        finally:
            process.send_signal(signal.SIGCONT)

    def kill_nats(self) -> None:
        number = self.dice.randrange(len(self.stage.nats.ports))
        self.stage.nats.kill(number)
        self.wait(1, 3)
        self.stage.nats.start(number)

    def end_nats(self) -> None:
        for number in range(len(self.stage.nats.ports)):
            self.stage.nats.kill(number)
        self.wait(4, 20)
        for number in range(len(self.stage.nats.ports)):
            self.stage.nats.start(number)

    def restart_postgres(self) -> None:
        if self.dice.random() < 0.5:
            self.stage.postgres.kill()
        else:
            self.stage.postgres.control("stop", "--mode", "fast")
        self.wait(0, self.dice.choice([0, 3]))
        self.stage.postgres.start()

    def between(
        self, ways: list[list[Proxy]], what: Callable[[Proxy], None], brief_s: float, long_s: float
    ) -> None:
        """Something happens to the network between one node and what it needs."""
        proxies = self.dice.choice(ways)
        for proxy in proxies:
            what(proxy)
        self.wait(brief_s, long_s)
        for proxy in proxies:
            proxy.come_back()


def slow(proxy: Proxy) -> None:
    proxy.slow_s = 0.2


def recover(stage: Stage, play: Play, kind: str) -> None:
    """Everything is as before: all nodes live and are ready, and calls are answered."""
    until = time.monotonic() + READY_WITHIN_S
    for number, node in enumerate(stage.nodes):
        if node.process.poll() is not None:
            play.violations.append(f"{kind}: node {number} ended with {node.process.returncode}")
            node.process = None
            node.start()
        while (said := node.ready())[0] != 200:
            if until < time.monotonic():
                play.violations.append(f"{kind}: node {number} is not ready after {READY_WITHIN_S} s: {said}")
                break
            time.sleep(0.1)
    play.wait_for(CALLS_BETWEEN)
    play.check()


def play(stage: Stage, asked: argparse.Namespace) -> tuple[dict[str, object], list[str]]:
    """Faults of all kinds in a random order, while users do what they do."""
    dice = random.Random(asked.seed)
    play = Play(
        stage.nodes,
        stage.store,
        stage.processor,
        seed=asked.seed,
        users=asked.users,
        writers=asked.writers,
        pause_s=asked.pause,
    )
    play.wait_for(CALLS_BETWEEN)
    time.sleep(asked.seconds)
    faults = Faults(stage, dice, asked.brief)
    kinds = [kind for kind in faults.kinds if asked.only in (None, kind)] * asked.rounds
    dice.shuffle(kinds)
    injected: Counter[str] = Counter()
    for kind in kinds:
        begun = time.monotonic()
        faults.kinds[kind]()
        injected[kind] += 1
        recover(stage, play, kind)
        took, found = time.monotonic() - begun, len(play.violations)
        print(f"{time.strftime('%T')} {kind}: {took:.1f} s, {found} violations", *play.violations[-1:], flush=True)
    play.end()
    if count := deadlocks(stage.store):
        play.violations.append(f"{count} deadlocks: {stage.postgres.said_of('deadlock detected')}")
    for number, node in enumerate(stage.nodes):
        if "panicked" in node.log.read_text(errors="replace"):
            play.violations.append(f"node {number} panicked")
    return {f"faults: {kind}": count for kind, count in injected.items()} | play.figures(), play.violations


def roll(stage: Stage, asked: argparse.Namespace) -> tuple[dict[str, object], list[str]]:
    """All nodes are stopped and started, one after the other."""
    if not asked.rolling:
        return {}, []
    rolling = Rolling(stage.nodes)
    for _ in range(asked.rolling):
        rolling.roll()
    figures = {"rolling: restarts of all nodes": asked.rolling} | rolling.end()
    return figures, rolling.failures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20, help="faults of each kind")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between two calls of a writer")
    parser.add_argument("--brief", action="store_true", help="each fault as short as it may be")
    parser.add_argument("--only", help="faults of this kind")
    parser.add_argument("--seconds", type=float, default=0, help="how long all goes well before")
    parser.add_argument("--rolling", type=int, default=0, help="how often all nodes are restarted in order afterwards")
    parser.add_argument("--keep", type=Path, help="a folder for what the nodes log")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="carillon-faults-"))
    with Stage(folder) as stage:
        figures, violations = play(stage, asked)
        rolled, failures = roll(stage, asked)
        figures, violations = figures | rolled, violations + failures
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    for violation in violations:
        print(violation)
    if asked.keep or violations:
        kept = asked.keep or folder
        if kept != folder:
            shutil.copytree(folder, kept, dirs_exist_ok=True)
        print(f"what they logged is in {kept}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    # Whoever still hangs in a call must not keep this from ending.
    sys.stdout.flush()
    os._exit(1 if violations else 0)


if __name__ == "__main__":
    main()
