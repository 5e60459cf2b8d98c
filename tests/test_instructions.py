"""What the hot paths cost, in instructions of the debug build: no time is measured, so a busy machine changes nothing.

A change that makes one of them dearer than the table allows fails here. Where that is meant, the table takes the new
figure, and the commit says why; where it became cheaper, the table takes that, so that it stays so.
"""

from harness.callgrind import Counted, Scene
from harness.engine import Sqlite
from harness.raw import Connection
from harness.server import binary

EXPECTED = {"send": 1_761_000, "status": 1_051_000, "list of 50": 9_926_000}
"""By Rust 1.95 and SQLite 3.54, of the binary that `cargo xtask test` builds: with what all members of the workspace
ask of libraries, which one built alone does not have."""
TOLERANCE = 0.15
"""Two runs of one binary differ by a twentieth on a busy machine: what the clock starts falls into one of them."""

CALLS = 25
ROUNDS = 3
IDLE_S = 1.0


def test_a_send_a_status_and_a_list_cost_no_more_than_they_did(tmp_path):
    counted = Counted(tmp_path, binary(), Sqlite())
    try:
        with Connection(counted.server) as door:
            scene = Scene(counted.server, door)
            for _ in range(2 * CALLS):
                scene.send()
            figures = counted.measure(scene.calls(CALLS), ROUNDS, IDLE_S)
    finally:
        counted.server.kill()
    dearer = {
        name: f"{figure:,.0f} instructions, {figure / EXPECTED[name]:.2f} of {EXPECTED[name]:,}"
        for name, figure in figures.items()
        if EXPECTED[name] * (1 + TOLERANCE) < figure
    }
    print(figures)
    assert not dearer, dearer
