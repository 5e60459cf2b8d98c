"""The short form of `load/flipped_bits.py`."""

import subprocess
import sys
from pathlib import Path

BITS = Path(__file__).parent / "load" / "flipped_bits.py"
TIMEOUT_S = 300


def test_a_flipped_bit_is_never_served():
    flags = ("--live", "25", "--starts", "4")
    ended = subprocess.run(
        [sys.executable, BITS, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S
    )
    print(ended.stdout)
    assert ended.returncode == 0 and "| served wrong | 0 |" in ended.stdout
    assert "| flips that were noticed |" in ended.stdout
