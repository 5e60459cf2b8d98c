"""All nodes are stopped and started, one after the other, while clients that know nothing of it call and listen through a
balancer: boto3 as it is by default, and sessions that resume."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from harness.balancer import Balancer
from harness.cluster import Node
from harness.server import REGION
from harness.session import returning
from harness.world import World, token

CLIENTS = 6
LISTENERS = 6
PAUSE_S = 0.1
COME_WITHIN_S = 30
REOPEN_AFTER_S = 0.05


class Rolling:
    """Clients and listeners, from its beginning to `end`."""

    def __init__(self, nodes: Sequence[Node]):
        self.nodes = nodes
        self.balancer = Balancer(nodes)
        self.over, self.all_came = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.sent: set[str] = set()
        self.failures: list[str] = []
        self.calls = self.tries = self.sessions = 0
        self.longest_gap_s = 0.0
        world = World(nodes[0])
        self.owner, *users = world.users("owner", *(f"listener{number}" for number in range(LISTENERS)))
        self.channel = world.channel(self.owner, *users)
        self.came: dict[str, set[str]] = {user: set() for user in users}
        works = [(self.listen, user) for user in users] + [(self.call, None)] * CLIENTS
        self.threads = [threading.Thread(target=work, args=(of,), daemon=True) for work, of in works]
        for thread in self.threads:
            thread.start()

    def call(self, _) -> None:
        client = boto3.Session().client(
            "chime-sdk-messaging",
            region_name=REGION,
            endpoint_url=self.balancer.http_url,
            aws_access_key_id=self.balancer.credentials.access_key_id,
            aws_secret_access_key=self.balancer.credentials.secret_access_key,
        )
        while not self.over.wait(PAUSE_S):
            try:
                sent = client.send_channel_message(
                    ChannelArn=self.channel,
                    Content="hello",
                    Type="STANDARD",
                    Persistence="PERSISTENT",
                    ClientRequestToken=token(),
                    ChimeBearer=self.owner,
                )
            except (BotoCoreError, ClientError) as error:
                self.failures.append(f"a call failed: {error}")
                continue
            with self.lock:
                self.calls += 1
                self.tries += 1 + sent["ResponseMetadata"]["RetryAttempts"]
                self.sent.add(sent["MessageId"])

    def listen(self, user: str) -> None:
        came_at = time.monotonic()
        for event in returning(self.balancer, user, self.all_came, REOPEN_AFTER_S, self.opened):
            if event.kind == "RELOAD_REQUIRED":
                self.failures.append("a session is told to reload")
            if event.kind != "CREATE_CHANNEL_MESSAGE":
                continue
            self.came[user].add(event.payload["MessageId"])
            if not self.over.is_set():
                self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - came_at)
                came_at = time.monotonic()

    def opened(self) -> None:
        with self.lock:
            self.sessions += 1

    def roll(self) -> None:
        for node in self.nodes:
            node.stop()
            node.start()

    def end(self) -> dict[str, Any]:
        self.over.set()
        until = time.monotonic() + COME_WITHIN_S
        while any(came != self.sent for came in self.came.values()) and time.monotonic() < until:
            time.sleep(0.1)
        for user, came in self.came.items():
            if came != self.sent:
                self.failures.append(f"{user} was told {len(came)} of {len(self.sent)}")
        self.all_came.set()
        for thread in self.threads:
            thread.join()
        self.balancer.__exit__()
        return {
            "rolling: calls": self.calls,
            "rolling: tries": self.tries,
            "rolling: sessions": self.sessions,
            "rolling: events checked": sum(map(len, self.came.values())),
            "rolling: longest gap of a session, s": round(self.longest_gap_s, 2),
            "rolling: failures": len(self.failures),
        }
