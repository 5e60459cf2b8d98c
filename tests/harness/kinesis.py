"""A server that speaks Kinesis' interface, from the npm registry, as a consumer of streams uses it."""

import json
import subprocess
import time
from functools import cached_property
from pathlib import Path

import boto3
from botocore.config import Config

from harness.server import REGION, environment, free_ports
from harness.streams import STREAM

PROGRAM = Path(__file__).parent.parent / "node_modules" / "kinesalite" / "cli.js"
NAME = STREAM.rpartition("/")[2]
SHARDS = 2
START_TIMEOUT_S = 30
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret"}


class Kinesis:
    """In memory: what it was given ends with it, but for what `stop_listening` leaves alone."""

    def __init__(self, folder: Path):
        self.home = folder / "kinesis"
        self.home.mkdir(exist_ok=True)
        [self.port] = free_ports(1)
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Kinesis":
        options = ["--port", str(self.port), "--createStreamMs", "0", "--shardLimit", "10"]
        self.process = subprocess.Popen(
            ["node", str(PROGRAM), *options],
            env=environment(self.home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.client.create_stream(StreamName=NAME, ShardCount=SHARDS)
                break
            except Exception:
                assert time.monotonic() < deadline, f"Kinesis does not answer after {START_TIMEOUT_S} s"
                time.sleep(0.1)
        self.client.get_waiter("stream_exists").wait(
            StreamName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": START_TIMEOUT_S}
        )
        return self

    def __exit__(self, *_) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, url: str | None = None) -> dict[str, str]:
        """What a server is told to find it, here or behind something at another URL."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL_KINESIS": url or self.url}

    @cached_property
    def client(self):
        return boto3.Session().client(
            "kinesis",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def records(self) -> list[dict]:
        """All that it holds: those of a shard in their order, one shard after the other."""
        found = []
        for shard in self.client.list_shards(StreamName=NAME)["Shards"]:
            at = self.client.get_shard_iterator(
                StreamName=NAME, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while True:
                page = self.client.get_records(ShardIterator=at, Limit=10_000)
                for record in page["Records"]:
                    body = json.loads(record["Data"])
                    assert record["PartitionKey"] == body["Payload"]["ChannelArn"]
                    found.append(body)
                if not page["Records"]:
                    break
                at = page["NextShardIterator"]
        return found
