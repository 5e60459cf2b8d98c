"""One `carillon dev`, with what it prints."""

import queue
import signal
import subprocess
import threading
import time

from harness.server import binary, environment, free_ports, wait_until_ready

PRINT_TIMEOUT_S = 30


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
        self.opens: str | None = None
        threading.Thread(target=self.read, daemon=True).start()
        wait_until_ready(self.http_port, self.process)

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def link(self) -> str:
        """Where the console is opened signed in."""
        deadline = time.monotonic() + PRINT_TIMEOUT_S
        while self.opens is None:
            self.passes(self.lines.get(timeout=deadline - time.monotonic()))
        return self.opens

    def passes(self, line: str) -> str:
        """A line that is read on the way to another may be the link."""
        if "/_carillon/console/#code=" in line:
            self.opens = line.removeprefix("#").strip()
        return line.strip()

    def printed(self) -> tuple[list[str], str]:
        """The export lines, and the command to try."""
        exports, deadline = [], time.monotonic() + PRINT_TIMEOUT_S
        while True:
            line = self.passes(self.lines.get(timeout=deadline - time.monotonic()))
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
