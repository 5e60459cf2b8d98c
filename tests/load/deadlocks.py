"""Toggles memberships of two users in many channels by many threads, beside a bystander who sends. Not part of CI.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/deadlocks.py [runs] [seconds]

Every run says how many deadlocks PostgreSQL counted, which calls had no answer in time (a hang), and how long the
bystander's sends took. Compare the figures of one run with each other: the machine is whatever it is.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import Postgres
from harness.server import Server
from harness.toggles import Toggles


def main() -> None:
    runs, seconds = int((sys.argv[1:] + ["3"])[0]), float((sys.argv[2:] + ["20"])[0])
    total = {"deadlocks": 0, "hangs": 0}
    for number in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder), Postgres()).start()
            try:
                found = Toggles(server).run(seconds)
            finally:
                server.kill()
        print(number, json.dumps(found), flush=True)
        for name in total:
            total[name] += found[name]
    print("in all", json.dumps({"runs": runs, **total}))
    sys.exit(any(total.values()))


if __name__ == "__main__":
    main()
