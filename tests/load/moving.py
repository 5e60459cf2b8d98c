"""Moves a large store, and kills the import at many points. Not part of CI, which has the short form, test_moving.py.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/moving.py
        [--messages 10000] [--kills 20] [--engines sqlite postgres] [--what archive service]

From each engine to the other, whole and killed, and each time every answer of every read operation must be the same.
Then one app instance is brought `--from-service` at the original's rates, which says how many calls a second it made of
those allowed; that is compared with the source without rates, and once more after an import that was killed again and
again.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES
from harness.furnished import furnish, served
from harness.readings import Readings, differences
from harness.server import Server
from test_moving import asked_of, at_its_rates, begun, command, from_service, running, told_by_the_api

# Every so many messages is asked for by itself; all of them are in the lists.
STEP = 100
# A slow machine, and the rates, may take so long for the largest.
TIMEOUT_S = 3600


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--engines", nargs="+", choices=sorted(ENGINES), default=["sqlite", "postgres"])
    parser.add_argument("--what", nargs="+", choices=["archive", "service"], default=["archive", "service"])
    arguments = parser.parse_args()
    Readings.step = STEP
    for name in arguments.engines:
        [other] = [other for other in ENGINES if other != name]
        with tempfile.TemporaryDirectory() as folder, served(ENGINES[name](), Path(folder) / "source") as source:
            start = time.monotonic()
            furnished = furnish(source, arguments.messages // 2, pending=False)
            say(f"{name}: furnished in {time.monotonic() - start:.1f} s")
            move = Move(Path(folder), source, other, furnished.instances)
            if "archive" in arguments.what:
                move.by_an_archive(arguments.kills)
            if "service" in arguments.what:
                move.from_a_service(arguments.kills)


class Move:
    """From a source to another engine."""

    def __init__(self, folder: Path, source: Server, other: str, instances: list[str]):
        self.folder = folder
        self.source = source
        self.other = other
        self.instances = instances
        self.way = f"{source.engine.name} to {other}"

    def empty(self, name: str) -> Server:
        (self.folder / name).mkdir()
        return Server(self.folder / name, ENGINES[self.other]())

    def by_an_archive(self, kills: int) -> None:
        answers = Readings.of(self.source, self.instances)
        archive = str(self.folder / "archive")
        made = timed(lambda: command(self.source, "export", archive, "--with-keys", timeout=TIMEOUT_S))
        there = self.empty("whole")
        whole = timed(lambda: command(there, "import", archive, timeout=TIMEOUT_S))
        say(f"{self.way}: exported in {made:.2f} s, imported in {whole:.2f} s")

        def compare() -> int:
            with running(there) as server:
                return equal(answers, Readings.of(server, self.instances))

        say(f"{self.way}: whole, {compare()} answers are the same")
        there = self.empty("killed")
        killed = self.kill(there, ("import", archive), {}, whole, kills)
        command(there, "import", archive, timeout=TIMEOUT_S)
        say(f"{self.way}: killed {killed} times, {compare()} answers are the same")

    def from_a_service(self, kills: int) -> None:
        instance = self.instances[0]
        there, killed_there = self.empty("served"), self.empty("served-and-killed")
        with at_its_rates(self.source):
            start = time.monotonic()
            told = from_service(there, self.source, instance, timeout=TIMEOUT_S)
            whole = time.monotonic() - start
            for line in told.splitlines()[-3:]:
                say(f"{self.way}, from the service: {line}")
            asked, credentials = asked_of(self.source, instance)
            killed = self.kill(killed_there, asked, credentials, whole, kills)
            from_service(killed_there, self.source, instance, timeout=TIMEOUT_S)
        before = told_by_the_api(Readings.of_instance(self.source, instance))

        def compare(there: Server) -> int:
            with running(there) as server:
                return equal(before, told_by_the_api(Readings.of_instance(server, instance)))

        say(f"{self.way}, from the service: {compare(there)} answers are the same")
        say(f"{self.way}, from the service, killed {killed} times: {compare(killed_there)} answers are the same")

    @staticmethod
    def kill(there: Server, asked: tuple[str, ...], more: dict[str, str], whole: float, kills: int) -> int:
        """Kills an import at so many points of its way; answers how often it was under way still."""
        killed = 0
        for point in range(1, kills + 1):
            importing = begun(there, *asked, more=more)
            time.sleep(whole * point / (kills + 1))
            killed += importing.poll() is None
            importing.kill()
            importing.wait()
        return killed


def equal(before: dict[str, Any], now: dict[str, Any]) -> int:
    found = differences(before, now)
    assert not found, "\n".join(found[:3])
    return len(before)


def say(line: str) -> None:
    print(line, flush=True)


def timed(what) -> float:
    start = time.monotonic()
    what()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
