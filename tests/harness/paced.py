"""People who send at a pace, and how long each of their messages took: what the scripts in `load` measure by."""

import json
import statistics
import threading
import time
import uuid

from harness.raw import Connection, messages_of
from harness.server import Server


class Sends:
    """People who send, so many messages a second each, in channels of their own."""

    def __init__(self, server: Server, channels: list[tuple[str, str]], per_second: float):
        self.times: list[float] = []
        self.over = threading.Event()
        self.threads = [
            threading.Thread(target=self.send, args=(server, 1 / per_second, *one)) for one in channels
        ]
        for thread in self.threads:
            thread.start()

    def send(self, server: Server, every_s: float, user: str, channel: str) -> None:
        body = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}
        due = time.monotonic()
        with Connection(server) as connection:
            while not self.over.is_set():
                # From when it was due: who is late because the one before it was, is late.
                named = json.dumps(body | {"ClientRequestToken": str(uuid.uuid4())}).encode()
                answer = connection.call("POST", messages_of(channel), named, bearer=user)
                assert answer.status == 201, (answer.status, answer.body)
                self.times.append(time.monotonic() - due)
                due = max(due + every_s, time.monotonic() - 1)
                time.sleep(max(0, due - time.monotonic()))

    def end(self) -> dict[str, float]:
        self.over.set()
        for thread in self.threads:
            thread.join()
        cuts = statistics.quantiles(self.times, n=100)
        return {"sends": len(self.times), "p50_ms": cuts[49] * 1_000, "p99_ms": cuts[98] * 1_000}
