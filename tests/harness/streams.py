"""Streams: what an application configures, and what consumers read."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from harness.server import ACCOUNT, REGION
from harness.world import World

WAIT_S = 30
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/chime-messaging-all"
TYPES = ("Channel", "ChannelMessage")


def stream_to(world: World, stream: str = STREAM, *types: str) -> None:
    configurations = [{"DataType": kind, "ResourceArn": stream} for kind in types or TYPES]
    world.messaging.put_messaging_streaming_configurations(
        AppInstanceArn=world.app_instance, StreamingConfigurations=configurations
    )


def file_sink(path: Path, stream: str = STREAM) -> str:
    return f'[streams."{stream}"]\nkind = "file"\npath = "{path}"\n'


def records_of(path: Path) -> list[dict]:
    """Whole lines are records; the last may be on its way."""
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def whole_records_of(path: Path) -> list[dict]:
    """The same of a file whose writer was killed: a line that was cut off is no record, and comes again whole."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def eventually(read: Callable[[], list], is_there: Callable[[list], bool]) -> list:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if is_there(found := read()):
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {WAIT_S} s: {read()}")


def kinds(records: list[dict]) -> list[str]:
    return [record["EventType"] for record in records]


def contents(records: list[dict]) -> list[str]:
    return [record["Payload"].get("Content") for record in records]


def in_order(records: list[dict], channel: str) -> list[str]:
    """What was said in a channel, each once: a record that comes again must say the same, and be no news."""
    said: dict[str, None] = {}
    for record in records:
        if record["EventType"] == "CREATE_CHANNEL_MESSAGE" and record["Payload"]["ChannelArn"] == channel:
            said.setdefault(record["Payload"]["Content"])
    return list(said)
