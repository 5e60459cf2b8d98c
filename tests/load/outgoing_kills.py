"""Kills a server at random moments while it hands over what leaves it. Not part of CI, but for a few of its runs.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/outgoing_kills.py [--runs 200] [--seed 1]

Each run has a seed of its own, from which come the engine, how long the server lives each time, and how many channels
there are. In each channel a bot repeats what is said, another has a program that refuses each question, and a member has
a telephone. Afterwards everything that was acknowledged must be in the stream, have been repeated, and have come to the
telephone, each in the order of its channel, and operators must have been told of each refusal. What was not acknowledged
may be there, too. A run that fails says its seed: `--runs 1 --seed …` is that run.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES, Engine
from harness.played import Played
from harness.push import APPLICATION, PushServices
from harness.sends import Sends, said_in
from harness.server import Server
from harness.streams import STREAM, file_sink, stream_to, whole_records_of
from harness.world import World, token

WAIT_S = 60
THREADS = 4
ECHO, REFUSING = (f"arn:aws:lex:us-east-1:000000000000:bot-alias/{name}/TSTALIASID" for name in ("ECHO000000", "REFUSING00"))


class Outside:
    """What the server hands things to, but for its stream: a file. It outlives the server, and serves many runs."""

    def __init__(self, folder: Path):
        self.services = PushServices(folder)
        self.refusing = Played(lambda *_: (400, {"x-amzn-errortype": "ValidationException"}, b"{}"))
        self.operator = Played(self.told)
        self.events: dict[str, set[str]] = {}

    def __enter__(self) -> "Outside":
        return self

    def __exit__(self, *_) -> None:
        for one in (self.services, self.refusing, self.operator):
            one.__exit__()

    def told(self, _method: str, _path: str, _headers, body: bytes):
        event = json.loads(body)
        assert event["detail-type"] == "Chime Messaging AppInstanceBot Lex Failure", event
        self.events.setdefault(event["detail"]["resourceArn"], set()).add(event["id"])
        return 204, {}, b""

    def configuration(self) -> str:
        return (
            f'[bots."{ECHO}"]\nkind = "echo"\n[bots."{REFUSING}"]\nkind = "http"\nurl = "{self.refusing.url}"\n'
            f'[events]\nto = "http"\nurl = "{self.operator.url}"\n{self.services.configuration()}'
        )

    def pushed(self) -> dict[str, list[str]]:
        """What came to the telephone of each channel, each once, in the order in which it came first."""
        said: dict[str, dict[str, None]] = {}
        for one in list(self.services.seen):
            if one["service"] == "fcm":
                data = one["payload"]["message"]["data"]
                channel = json.loads(data["pinpoint.jsonBody"])["chime.channel_arn"]
                said.setdefault(channel, {}).setdefault(data["pinpoint.notification.body"])
        return {channel: list(bodies) for channel, bodies in said.items()}


class Scene:
    """Somebody who speaks, somebody with a telephone, and two bots."""

    def __init__(self, world: World, channels: int):
        self.world = world
        self.ana, bob = world.users("ana", "bob")
        self.echo, self.refusing = (self.bot(alias) for alias in (ECHO, REFUSING))
        world.identity.register_app_instance_user_endpoint(
            AppInstanceUserArn=bob,
            Type="GCM",
            ResourceArn=APPLICATION,
            EndpointAttributes={"DeviceToken": token()},
            ClientRequestToken=token(),
        )
        stream_to(world, STREAM)
        self.channels = [world.channel(self.ana, bob, self.echo, self.refusing) for _ in range(channels)]

    def bot(self, alias: str) -> str:
        lex = {"LexBotAliasArn": alias, "LocaleId": "en_US", "InvokedBy": {"StandardMessages": "ALL", "TargetedMessages": "NONE"}}
        return self.world.identity.create_app_instance_bot(
            AppInstanceArn=self.world.app_instance, Configuration={"Lex": lex}, ClientRequestToken=token()
        )["AppInstanceBotArn"]

    def sends(self) -> Sends:
        notification = lambda number: {"PushNotification": {"Title": "Lobby", "Body": number, "Type": "DEFAULT"}}  # noqa: E731
        return Sends(self.world, self.ana, self.channels, THREADS, notification)

    def said_by(self, records: list[dict], sender: str) -> dict[str, list[str]]:
        return said_in([one for one in records if one["Payload"].get("Sender", {}).get("Arn") == sender])

    def wrong(self, sends: Sends, records: list[dict], outside: Outside) -> list[str]:
        """What did not come, or came in another order than it was said."""
        replies = self.said_by(records, self.echo)
        repeated = {
            channel: [json.loads(reply)["Messages"][0]["Content"] for reply in said] for channel, said in replies.items()
        }
        found = {"stream": self.said_by(records, self.ana), "bot": repeated, "push": outside.pushed()}
        wrong = [f"{name}: {one}" for name, said in found.items() for one in sends.missing(said)]
        events = len(outside.events.get(self.refusing, ()))
        return wrong + ([f"{events} events of {sends.count}"] if events < sends.count else [])


def run(seed: int, folder: Path, outside: Outside, engine: Engine | None = None) -> list[str]:
    """What is wrong at the end of one run."""
    chance = random.Random(seed)
    engine = engine or ENGINES[chance.choice(sorted(ENGINES))]()
    path, config = folder / "records", folder / "carillon.toml"
    config.write_text(file_sink(path) + outside.configuration())
    server = Server(folder, engine, "--config", str(config)).start()
    try:
        scene = Scene(World(server), chance.randint(1, 12))
        with scene.sends() as sends:
            for _ in range(chance.randint(1, 4)):
                time.sleep(chance.uniform(0, 0.8))
                server.kill()
                server.start()
            time.sleep(chance.uniform(0, 0.3))
        deadline = time.monotonic() + WAIT_S
        while wrong := scene.wrong(sends, whole_records_of(path), outside):
            if deadline < time.monotonic():
                return wrong
            time.sleep(0.1)
        print(f"seed {seed}: {engine.name}, {len(scene.channels)} channels, {sends.count} acknowledged", flush=True)
        return []
    finally:
        server.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as keys, Outside(Path(keys)) as outside:
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            with tempfile.TemporaryDirectory() as folder:
                if wrong := run(seed, Path(folder), outside):
                    failed += 1
                    print(f"seed {seed} FAILED:", *wrong[:20], sep="\n  ", flush=True)
    print(f"{arguments.runs} runs, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
