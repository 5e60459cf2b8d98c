"""Nodes of one cluster: one store, one bus, one root access key, a data folder each."""

import base64
import os
import urllib.error
import urllib.request
from functools import cached_property
from pathlib import Path

from harness.engine import Postgres
from harness.server import Credentials, Server

ROOT = Credentials("AKIACLUSTERTEST00000", "cluster-test-secret-of-forty-characters-")


class Node(Server):
    """One of them, before it is started."""

    def __init__(self, folder: Path, store: str, *flags: str, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        shared = {
            "CARILLON_ROOT_ACCESS_KEY_ID": ROOT.access_key_id,
            "CARILLON_ROOT_SECRET_ACCESS_KEY": ROOT.secret_access_key,
        }
        super().__init__(folder, Given(store), *flags, **(shared | environment))

    @property
    def credentials(self) -> Credentials:
        return ROOT

    def ready(self) -> tuple[int, str]:
        """What it answers a balancer."""
        try:
            with urllib.request.urlopen(f"{self.http_url}/_carillon/health/ready", timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Given:
    """An engine with a store that is there."""

    name = "postgres"

    def __init__(self, store: str):
        self.store = store

    def new_store(self) -> str:
        return self.store


class Cluster:
    """Its nodes start together and end together; a test may end one, and start it again."""

    def __init__(self, folder: Path, bus: str, count: int = 3):
        self.folder = folder
        self.bus = bus
        self.master_key = base64.b64encode(os.urandom(32)).decode()
        self.nodes = [self.node(number) for number in range(count)]

    @cached_property
    def store(self) -> str:
        store = Postgres().new_store()
        assert store is not None
        return store

    def node(self, number: int, *flags: str, **environment: str) -> Node:
        environment = {"CARILLON_MASTER_KEY": self.master_key} | environment
        return Node(self.folder / str(number), self.store, "--bus", self.bus, *flags, **environment)

    def __enter__(self) -> "Cluster":
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_) -> None:
        for node in self.nodes:
            node.stop()
