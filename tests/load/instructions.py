"""How many instructions the server spends on a send, a status, a list of 50 and a delivery. Not part of CI, which holds
a few of them for the debug build (`test_instructions.py`).

    python load/instructions.py BINARY [BINARY ...] [--engine postgres] [--keep FOLDER]

Needs valgrind. Each binary serves a fresh store. With several binaries, each figure is also said as a ratio to the first
one's. What is kept is for `callgrind_annotate`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.callgrind import AT_ONCE, Counted, Scene
from harness.engine import ENGINES
from harness.raw import Connection

CALLS = 150
ROUNDS = 3
IDLE_S = 3
TOLD = 20


def measure(binary: str, engine: str, keep: Path | None) -> Iterator[tuple[str, float]]:
    """Instructions for each call."""
    with tempfile.TemporaryDirectory() as folder:
        counted = Counted(Path(folder), binary, ENGINES[engine]())
        try:
            with Connection(counted.server) as door:
                scene = Scene(counted.server, door)
                calls = scene.calls(CALLS) | {f"send, {AT_ONCE} at once": lambda: scene.sent_at_once(2 * CALLS)}
                yield from counted.measure(calls, ROUNDS, IDLE_S, keep).items()
                listeners = scene.listeners()
                told = {"delivery": lambda: scene.told(listeners, TOLD)}
                yield from counted.measure(told, ROUNDS, IDLE_S, keep).items()
        finally:
            counted.server.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", nargs="+")
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    first: dict[str, float] = {}
    for binary in options.binaries:
        print(binary)
        for name, count in measure(binary, options.engine, options.keep):
            first.setdefault(name, count)
            print(f"  {name:<20}{count:>12,.0f}  {count / first[name]:.3f}", flush=True)


main()
