"""Malformed requests against a server of its own, as many as one likes: none may bring a panic, a 5xx or a hang.

    python load/malformed.py --bin target/debug/carillon [--count 10000] [--seed 1] [--first 0] [--engine sqlite]

The same seed makes the same requests, but for ids, tokens and times; what went wrong is told with its number, and
`--first NUMBER --count 1` sends it alone.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES
from harness.server import Server
from harness.unruly import send_all


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bin", default=os.environ.get("CARILLON_BIN"))
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--engine", choices=list(ENGINES), default="sqlite")
    given = options.parse_args()
    os.environ["CARILLON_BIN"] = os.path.abspath(given.bin)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), ENGINES[given.engine](), "--limits-preset", "off").start()
        try:
            began = time.perf_counter()
            unruly = send_all(server, given.seed, given.count, given.first)
            print(f"{given.engine}: {unruly}, {time.perf_counter() - began:.0f} s", flush=True)
            for wrong in unruly.wrong[:50]:
                print(wrong)
        finally:
            server.stop()
    return 1 if unruly.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
