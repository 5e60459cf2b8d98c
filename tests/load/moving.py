"""Moves a large store, and kills the import at many points. Not part of CI, which has the short form, test_moving.py.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/moving.py [--messages 10000] [--kills 20]

From each engine to the other, whole and killed, and each time every answer must be the same. Then one app instance is
brought `--from-service` at the original's rates, which says how many calls a second it made of those allowed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES
from harness.furnished import furnish, served
from harness.readings import Readings, differences
from harness.server import Server
from test_moving import begun, command, from_service, running, told_by_the_api

# Every so many messages is asked for by itself; all of them are in the lists.
STEP = 100


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    Readings.step = STEP
    for name, other in (("sqlite", "postgres"), ("postgres", "sqlite")):
        with tempfile.TemporaryDirectory() as folder:
            move(Path(folder), name, other, arguments)


def move(folder: Path, name: str, other: str, arguments: argparse.Namespace) -> None:
    with served(ENGINES[name](), folder / "source") as source:
        furnished = furnish(source, arguments.messages // 2, pending=False)
        answers = Readings.of(source, furnished.instances)
        archive = folder / "archive"
        print(name, "export", timed(lambda: command(source, "export", str(archive), "--with-keys")), flush=True)
        there = empty(folder, other, "whole")
        whole = timed(lambda: command(there, "import", str(archive)))
        print(other, "import", whole, flush=True)
        equal(answers, there, furnished.instances)
        there = empty(folder, other, "killed")
        for point in range(1, arguments.kills + 1):
            importing = begun(there, "import", str(archive))
            time.sleep(whole * point / (arguments.kills + 1))
            importing.kill()
            importing.wait()
        command(there, "import", str(archive))
        equal(answers, there, furnished.instances)
        print(other, "killed", arguments.kills, "times: the same", flush=True)
        if name == "sqlite":
            source.stop()
            source.flags = (*source.flags, "--limits-preset", "aws")
            source.start()
            there = empty(folder, other, "served")
            instance = furnished.instances[0]
            told = from_service(there, source, instance)
            print(told.splitlines()[-1], flush=True)
            before = {key: value for key, value in answers.items() if instance in key}
            with running(there) as server:
                now = Readings.of_instance(server, instance)
            now = {key: now[key] for key in before if key in now}
            found = differences(told_by_the_api(before), told_by_the_api(now))
            assert not found, found[:3]
            print("from the service: the same", flush=True)


def empty(folder: Path, engine: str, name: str) -> Server:
    (folder / name).mkdir()
    return Server(folder / name, ENGINES[engine]())


def equal(answers: dict, there: Server, instances: list[str]) -> None:
    with running(there) as server:
        found = differences(answers, Readings.of(server, instances))
    assert not found, found[:3]


def timed(what) -> float:
    start = time.monotonic()
    what()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
