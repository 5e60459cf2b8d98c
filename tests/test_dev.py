"""`carillon dev`: nothing configured, and what it prints works when pasted."""

import json
import queue
import signal
import subprocess
import threading
import time

import pytest

from harness.server import binary, environment, free_ports, wait_until_ready

PRINT_TIMEOUT_S = 30
# The region twice: boto3 and the AWS CLI of PyPI read only the second, most other SDKs only the first.
EXPORTED = {
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
}


class Dev:
    """A running `carillon dev` with its printed lines; started without a data folder, so in `./carillon-data`."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.http_port, https_port = free_ports(2)
        ports = ["--http", f"127.0.0.1:{self.http_port}", "--https", f"127.0.0.1:{https_port}"]
        self.process = subprocess.Popen(
            [binary(), *words, *ports],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("wb"),
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        wait_until_ready(self.http_port, self.process)

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def printed(self) -> tuple[list[str], str]:
        """The export lines, and the command to try."""
        exports, deadline = [], time.monotonic() + PRINT_TIMEOUT_S
        while True:
            line = self.lines.get(timeout=deadline - time.monotonic()).strip()
            if line.startswith("export "):
                exports.append(line)
            if line.startswith("aws chime-sdk-"):
                command = line
                while command.endswith("\\"):
                    command += "\n" + self.lines.get(timeout=PRINT_TIMEOUT_S)
                return exports, command

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        assert code == 0, (self.folder / "log").read_text()


def paste(folder, *lines: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.mark.parametrize("words", [("dev",), ()], ids=["dev", "no word at all"])
def test_what_dev_prints_works_when_pasted(folder, words):
    dev = Dev(folder, *words)
    try:
        exports, command = dev.printed()
        assert {line.removeprefix("export ").partition("=")[0] for line in exports} == EXPORTED
        ended = paste(folder, *exports, command)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)
    finally:
        dev.stop()


def test_dev_keeps_its_credentials_and_its_demo_over_a_restart(folder):
    printed = []
    for _ in range(2):
        dev = Dev(folder, "dev")
        try:
            exports, command = dev.printed()
            keys = [line for line in exports if "ACCESS_KEY" in line]
            printed.append((keys, command.replace(str(dev.http_port), "PORT")))
            instances = paste(folder, *exports, "aws chime-sdk-identity list-app-instances --output json")
            assert instances.returncode == 0, instances.stderr
            assert len(json.loads(instances.stdout)["AppInstances"]) == 1
        finally:
            dev.stop()
    assert printed[0] == printed[1]


def test_the_data_of_dev_is_beside_it(folder):
    dev = Dev(folder, "dev")
    try:
        dev.printed()
        assert (folder / "carillon-data" / "carillon.db").is_file()
        assert (folder / "carillon-data" / "tls" / "ca.pem").is_file()
    finally:
        dev.stop()
