"""Commands of the binary that are no server."""

import subprocess
from pathlib import Path

from harness.server import binary, environment

TIMEOUT_S = 120


def begin(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    """Starts a command, whose home is this folder."""
    return subprocess.Popen(
        [binary(), *words],
        cwd=folder,
        env=environment(folder) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    process = begin(folder, *words, **variables)
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def done(folder: Path, *words: str, **variables: str) -> str:
    """Runs a command that is to end well; answers what it says."""
    ended = run(folder, *words, **variables)
    assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
    return ended.stdout


def refused(folder: Path, *words: str, **variables: str) -> str:
    """Runs a command that is to fail with one sentence; answers that, and the hint."""
    ended = run(folder, *words, **variables)
    assert ended.returncode == 1, (words, ended.returncode, ended.stdout, ended.stderr)
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "panicked" not in ended.stderr, ended.stderr
    return ended.stderr
