"""What the binary is linked with is allowed: licences, sources, banned crates and two versions of one, by `deny.toml`.
Advisories are asked for over the network, which tests do not do: `cargo deny check advisories`."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 120


def test_licences_sources_and_versions_are_allowed():
    command = ["cargo-deny", "--offline", "--locked", "check", "licenses", "sources", "bans"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
