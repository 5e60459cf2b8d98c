"""Sends by many threads, each to channels of its own, that go on through kills: what was acknowledged is kept."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.world import World


class Sends:
    """Each channel gets numbers, one after the other; one that was not acknowledged is sent no more."""

    def __init__(
        self,
        world: World,
        sender: str,
        channels: list[str],
        threads: int,
        options: Callable[[str], dict[str, Any]] = lambda number: {},
    ):
        self.world = world
        self.options = options
        self.sender = sender
        self.acknowledged: dict[str, list[str]] = {channel: [] for channel in channels}
        self.numbers = dict.fromkeys(channels, 0)
        self.stopped = threading.Event()
        parts = [channels[at::threads] for at in range(threads)]
        self.threads = [threading.Thread(target=self.run, args=(part,)) for part in parts if part]

    def __enter__(self) -> "Sends":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def run(self, channels: list[str]) -> None:
        while not self.stopped.is_set():
            for channel in channels:
                number = f"{self.numbers[channel]:06}"
                self.numbers[channel] += 1
                try:
                    self.world.send(channel, self.sender, number, **self.options(number))
                except (BotoCoreError, ClientError):
                    self.stopped.wait(0.05)
                    continue
                self.acknowledged[channel].append(number)

    def missing(self, said: dict[str, list[str]]) -> list[str]:
        """What a stream lacks, or has in another order than it was said. One that was not acknowledged may be there."""
        wrong = []
        for channel, acknowledged in self.acknowledged.items():
            found = said.get(channel, [])
            wrong += [f"{channel}: {one} is missing" for one in sorted(set(acknowledged) - set(found))]
            if found != sorted(found):
                wrong.append(f"{channel}: out of order: {found}")
        return wrong


def said_in(records: list[dict]) -> dict[str, list[str]]:
    """What a stream says of each channel, each once, in the order in which it came first."""
    said: dict[str, dict[str, None]] = {}
    for record in records:
        if record["EventType"] == "CREATE_CHANNEL_MESSAGE":
            payload = record["Payload"]
            said.setdefault(payload["ChannelArn"], {}).setdefault(payload["Content"])
    return {channel: list(contents) for channel, contents in said.items()}
