"""One `carillon serve`: its folder, its ports, its life."""

import configparser
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import boto3
from botocore.config import Config

from harness import shapes
from harness.engine import Engine

REGION = "us-east-1"
ACCOUNT = "000000000000"
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
ADVANCE_TIMEOUT_S = 60
LOG_TAIL_CHARACTERS = 4_000


@dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    @classmethod
    def of_file(cls, path: Path) -> "Credentials":
        profile = configparser.ConfigParser()
        profile.read_string(path.read_text())
        default = profile["default"]
        return cls(default["aws_access_key_id"], default["aws_secret_access_key"])


class Server:
    """Keeps its ports and its data over `stop` or `kill` and the next `start`."""

    def __init__(self, folder: Path, engine: Engine, *flags: str, **environment: str):
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "log"
        self.engine = engine
        self.store = engine.new_store()
        self.flags = flags
        self.environment = environment
        self.http_port, self.https_port = free_ports(2)
        self.process: subprocess.Popen | None = None

    # Life.

    def start(self, within_s: float = START_TIMEOUT_S) -> "Server":
        assert self.process is None, "is running"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program(), "serve", *self.options()],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment(self.folder) | self.environment,
            )
        try:
            wait_until_ready(self.http_port, self.process, within_s)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.log_tail()}") from None
        return self

    def program(self) -> list[str]:
        return [binary()]

    def stop(self) -> None:
        """As an operator does; a server that does not end well fails the test."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"still running {STOP_TIMEOUT_S} s after SIGTERM\n{self.log_tail()}"
            ) from None
        assert code == 0, f"exit code {code} after SIGTERM\n{self.log_tail()}"

    def kill(self) -> None:
        """As `kill -9` does."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def options(self) -> list[str]:
        return [
            *("--data-dir", str(self.data_dir)),
            *("--http", f"127.0.0.1:{self.http_port}"),
            *("--https", f"127.0.0.1:{self.https_port}"),
            *("--public-host", self.public_host),
            *(("--store", self.store) if self.store else ()),
            *self.flags,
        ]

    def advance(self, by: timedelta) -> None:
        """Moves the clock of a server that has one for tests; what became due is done when this returns."""
        body = json.dumps({"advance_seconds": by.total_seconds()}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.http_url}/_carillon/clock", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=ADVANCE_TIMEOUT_S) as answer:
            assert answer.status == 200

    # What it tells its clients.

    @property
    def public_host(self) -> str:
        return f"localhost:{self.https_port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def http_url(self) -> str:
        return f"http://{self.host}"

    @property
    def https_url(self) -> str:
        return f"https://{self.public_host}"

    @property
    def ca(self) -> Path:
        return self.data_dir / "tls" / "ca.pem"

    @property
    def credentials_file(self) -> Path:
        return self.data_dir / "root-credentials"

    @property
    def credentials(self) -> Credentials:
        return Credentials.of_file(self.credentials_file)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def measured(self) -> str:
        """What its metrics say."""
        with urllib.request.urlopen(f"{self.http_url}/_carillon/metrics", timeout=10) as answer:
            return answer.read().decode()

    # Clients.

    @cached_property
    def messaging(self):
        return self.client("chime-sdk-messaging")

    @cached_property
    def identity(self):
        return self.client("chime-sdk-identity")

    def client(self, service: str, credentials: Credentials | None = None, **options):
        """A boto3 client that tries once, sends also what its model forbids, and reads every answer strictly."""
        credentials = credentials or self.credentials
        config = Config(
            retries={"total_max_attempts": 1},
            parameter_validation=False,
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=64,
        )
        options = {"endpoint_url": self.http_url, "config": config} | options
        client = boto3.Session().client(
            service,
            region_name=REGION,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            **options,
        )
        if service not in ("iam", "sts"):
            client.meta.events.register("before-parse.*.*", shapes.check)
        return client


def binary() -> str:
    return os.environ["CARILLON_BIN"]


def environment(home: Path) -> dict[str, str]:
    """The caller's, without anything that would configure the server or a client."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CARILLON_"))}
    # The identity providers of the tests are on this machine.
    providers = {"CARILLON_ALLOW_PRIVATE_PROVIDERS": "true"}
    return ours | providers | {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}


def wait_until_ready(
    http_port: int, process: subprocess.Popen, within_s: float = START_TIMEOUT_S
) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode} before it was ready"
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{http_port}/_carillon/health/ready", timeout=5
            ) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise AssertionError(f"not ready after {within_s} s")


def free_ports(count: int) -> list[int]:
    """Found together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports
