"""NATS servers of a test, on ports that they keep over `stop` and the next `start`."""

import socket
import subprocess
import time
from pathlib import Path

from harness.server import free_ports

START_TIMEOUT_S = 10


class Nats:
    """One server, or several that are one cluster."""

    def __init__(self, folder: Path, count: int = 1, *flags: str):
        self.folder = folder
        self.flags = flags
        ports = free_ports(2 * count)
        self.ports, self.routes = ports[:count], ports[count:]
        self.processes: list[subprocess.Popen | None] = [None] * count

    def __enter__(self) -> "Nats":
        for number in range(len(self.ports)):
            self.start(number)
        return self

    def __exit__(self, *_) -> None:
        for number in range(len(self.ports)):
            self.kill(number)

    @property
    def url(self) -> str:
        return "nats://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, number: int = 0) -> None:
        assert self.processes[number] is None, "is running"
        options = ["--addr", "127.0.0.1", "--port", str(self.ports[number])]
        if 1 < len(self.ports):
            routes = ",".join(f"nats://127.0.0.1:{port}" for port in self.routes)
            options += ["--cluster_name", "test", "--routes", routes]
            options += ["--cluster", f"nats://127.0.0.1:{self.routes[number]}"]
        with (self.folder / f"nats-{number}.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                ["nats-server", *options, *self.flags], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.ports[number]), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"NATS does not listen after {START_TIMEOUT_S} s")

    def kill(self, number: int = 0) -> None:
        process, self.processes[number] = self.processes[number], None
        if process is not None:
            process.kill()
            process.wait()
