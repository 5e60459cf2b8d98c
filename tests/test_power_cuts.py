"""The short form of `load/power_cuts.py`, and that it would find a server that does not flush."""

import subprocess
import sys
from pathlib import Path

CUTS = Path(__file__).parent / "load" / "power_cuts.py"
TIMEOUT_S = 300


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, CUTS, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S
    )
    print(ended.stdout)
    return ended


def test_a_power_cut_loses_nothing_that_was_acknowledged():
    ended = run("--cuts", "3")
    assert ended.returncode == 0 and "| acknowledged and lost | 0 |" in ended.stdout


def test_a_disk_that_lies_about_every_flush_is_found_out():
    ended = run("--cuts", "1", "--lies")
    assert ended.returncode == 1 and "acknowledged and lost: " in ended.stdout
