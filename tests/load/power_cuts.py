"""Power cuts on a disk that loses what was not flushed, and that writes sectors in whatever order: a server on SQLite under
sends is killed, its folder becomes what such a disk would have kept, and it starts again on that. Then everything that
was acknowledged must be there: messages and their edits, statuses, tokens, markers. Not part of CI but for its short
form (`test_power_cuts.py`).

    CARILLON_BIN=… python load/power_cuts.py [--cuts 200] [--seed 1] [--life 25] [--lies]

With `--lies` no flush of sends counts: then it must find that acknowledged messages are lost, or it would find nothing at all.
Prints a table, and each violation; ends with 1 where there is one. Needs `rustc`.
"""

import argparse
import http.client
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import Sqlite
from harness.lying_disk import LyingDisk, build
from harness.raw import Connection, messages_of
from harness.server import Server
from harness.world import World, token

SENDERS = 16
CHANNELS = 4
# How many are acknowledged before the power is cut, at least and at most.
ACKNOWLEDGED = (30, 400)
WITHIN_S = 60
# Of those that were acknowledged, how many are repeated, and asked for their status.
REPEATED = 12
# In one of so many rounds the power is cut while the server starts, too.
CUT_AT_START = 4


@dataclass
class Sender:
    """Sends, edits and reads until the server is gone; what it knows then is what the server owes it."""

    server: Server
    channel: str
    user: str
    dice: random.Random
    # By message: what it is to say, and what it may say because nobody knows whether an edit was made.
    contents: dict[str, set[str]] = field(default_factory=dict)
    # By token.
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    # A moment before the last marker that was acknowledged.
    marked: datetime | None = None
    count: Counter = field(default_factory=Counter)

    def work(self, tick) -> None:
        try:
            with Connection(self.server) as connection:
                while True:
                    tick(self.step(connection))
        except (OSError, http.client.HTTPException):
            pass

    def step(self, connection: Connection) -> bool:
        chance = self.dice.random()
        if chance < 0.1:
            return self.mark(connection)
        if chance < 0.25 and self.contents:
            return self.edit(connection)
        return self.send(connection, token())

    def send(self, connection: Connection, once: str, content: str | None = None) -> bool:
        content = content or f"content of {once} " + "x" * self.dice.randrange(600)
        body = {"Content": content, "ClientRequestToken": once, "Type": "STANDARD", "Persistence": "PERSISTENT"}
        answer = connection.call("POST", messages_of(self.channel), body, bearer=self.user)
        if answer.status != 201:
            self.count[f"refused: {answer.status}"] += 1
            return False
        self.contents[answer.json["MessageId"]] = {content}
        self.tokens[once] = (answer.json["MessageId"], content)
        return True

    def edit(self, connection: Connection) -> bool:
        message = self.dice.choice(list(self.contents))
        content = f"edited {token()}"
        before = self.contents[message]
        self.contents[message] = before | {content}
        target = f"{messages_of(self.channel)}/{message}"
        answer = connection.call("PUT", target, {"Content": content}, bearer=self.user)
        if answer.status != 200:
            self.count[f"refused: {answer.status}"] += 1
            return False
        self.contents[message] = {content}
        return True

    def mark(self, connection: Connection) -> bool:
        before = datetime.now(UTC)
        target = f"/channels/{quote(self.channel, safe='')}/readMarker"
        if connection.call("PUT", target, bearer=self.user).status != 200:
            self.count["refused: marker"] += 1
            return False
        self.marked = before
        return True


class Life:
    """One store, from the first start on, through many cuts."""

    def __init__(self, folder: Path, library: Path, dice: random.Random, lies: bool):
        self.dice = dice
        self.server = Server(folder, Sqlite())
        self.server.data_dir.mkdir(0o700, parents=True)
        self.disk = LyingDisk(self.server.data_dir, folder / "noted", library)
        self.server.environment = self.disk.environment
        self.violations: list[str] = []
        self.count: Counter = Counter()
        self.disk.begin()
        self.server.start()
        self.world = World(self.server)
        self.moderator = self.world.user("moderator")
        self.channels = [self.world.channel(self.moderator, Name=f"Lobby {at}") for at in range(CHANNELS)]
        self.senders = []
        for number in range(SENDERS):
            user, channel = self.world.user(f"sender{number}"), self.channels[number % CHANNELS]
            self.world.add(channel, user, by=self.moderator)
            self.senders.append(Sender(self.server, channel, user, random.Random(dice.random())))
        self.since = datetime.now(UTC) - timedelta(minutes=1)
        if lies:
            self.server.stop()
            self.disk.lie()
            self.disk.begin()
            self.server.start()

    def round(self) -> None:
        """Sends, a cut, another start, and a look at what is there."""
        begun = datetime.now(UTC) - timedelta(seconds=1)
        self.load()
        self.cut()
        if self.dice.randrange(CUT_AT_START) == 0:
            self.cut_at_start()
        self.disk.begin()
        try:
            self.server.start()
            self.check(self.since)
        except Exception:
            self.violations.append(f"it does not serve what was left: {traceback.format_exc()}")
            raise
        self.since = begun

    def load(self) -> None:
        acknowledged = threading.Semaphore(0)

        def tick(is_good: bool) -> None:
            if is_good:
                acknowledged.release()

        threads = [threading.Thread(target=sender.work, args=(tick,)) for sender in self.senders]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self.dice.randint(*ACKNOWLEDGED)):
                assert acknowledged.acquire(timeout=WITHIN_S), "the senders came to a halt"
            time.sleep(self.dice.random() / 50)
        finally:
            self.server.kill()
            for thread in threads:
                thread.join()

    def cut(self) -> None:
        self.disk.cut(self.dice)
        self.count["power cuts"] += 1

    def cut_at_start(self) -> None:
        self.disk.begin()
        starting = threading.Timer(self.dice.random(), lambda: self.server.process and self.server.process.kill())
        starting.start()
        try:
            self.server.start()
        except AssertionError:
            pass
        starting.join()
        self.server.kill()
        self.cut()
        self.count["of them during a start"] += 1

    def check(self, since: datetime | None) -> None:
        """Everything that was acknowledged is there, and says what it said."""
        bounds = {"NotBefore": since} if since else {}
        for channel in self.channels:
            listed = self.world.messages(channel, self.moderator, SortOrder="ASCENDING", **bounds)
            there = {message["MessageId"]: message["Content"] for message in listed}
            if len(there) != len(listed):
                self.violations.append(f"{channel}: a message is there twice")
            for sender in self.senders:
                if sender.channel == channel:
                    self.check_sender(sender, there, is_whole=since is None)
        for sender in self.senders:
            self.check_more(sender)

    def check_sender(self, sender: Sender, there: dict[str, str], is_whole: bool) -> None:
        recent = list(sender.contents)[-len(there) - 1 :] if not is_whole else list(sender.contents)
        for message in recent:
            if message not in there:
                # Those from before what was asked for.
                if is_whole or not self.is_there(sender, message):
                    self.violations.append(f"acknowledged and lost: {message}")
                    self.count["acknowledged and lost"] += 1
            elif there[message] not in sender.contents[message]:
                self.violations.append(f"{message} says {there[message]!r}, not {sender.contents[message]}")
            else:
                sender.contents[message] = {there[message]}
                self.count["messages looked at"] += 1

    def is_there(self, sender: Sender, message: str) -> bool:
        with Connection(self.server) as connection:
            target = f"{messages_of(sender.channel)}/{message}"
            answer = connection.call("GET", target, bearer=sender.user)
            return answer.status == 200 and answer.json["ChannelMessage"]["Content"] in sender.contents[message]

    def check_more(self, sender: Sender) -> None:
        """Tokens, statuses and markers."""
        with Connection(self.server) as connection:
            for once in list(sender.tokens)[-REPEATED:]:
                message, content = sender.tokens[once]
                target = messages_of(sender.channel)
                body = {"Content": content, "ClientRequestToken": once, "Type": "STANDARD", "Persistence": "PERSISTENT"}
                answer = connection.call("POST", target, body, bearer=sender.user)
                if answer.status != 201 or answer.json["MessageId"] != message:
                    self.violations.append(f"the token of {message} leads to {answer.status} {answer.body!r}")
                status = connection.call("GET", f"{target}/{message}?scope=message-status", bearer=sender.user)
                if status.status != 200 or status.json["Status"]["Value"] != "SENT":
                    self.violations.append(f"the status of {message}: {status.status} {status.body!r}")
                self.count["tokens and statuses asked"] += 1
        if sender.marked:
            shown = self.world.messaging.describe_channel_membership_for_app_instance_user(
                ChannelArn=sender.channel, AppInstanceUserArn=sender.user, ChimeBearer=sender.user
            )["ChannelMembership"]["AppInstanceUserMembershipSummary"]
            marker = shown.get("ReadMarkerTimestamp")
            if marker is None or marker < sender.marked - timedelta(milliseconds=1):
                self.violations.append(f"the marker of {sender.user} is {marker}, and was {sender.marked}")
            self.count["markers asked"] += 1

    def end(self) -> Counter:
        self.check(None)
        self.server.stop()
        with sqlite3.connect(self.server.data_dir / "carillon.db") as database:
            if (found := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                self.violations.append(f"the file is not whole: {found}")
        database.close()
        for sender in self.senders:
            self.count["acknowledged"] += len(sender.tokens)
            self.count.update(sender.count)
        self.count["bytes that were not flushed"] += self.disk.lost_bytes
        return self.count


def live(folder: Path, library: Path, asked: argparse.Namespace, cuts: int, dice: random.Random) -> tuple[Counter, list]:
    life = Life(folder, library, dice, asked.lies)
    try:
        for number in range(cuts):
            life.round()
            if asked.lies and life.violations:
                break
            if number % 10 == 9:
                print(f"{time.strftime('%T')} {dict(life.count)}, {len(life.violations)} violations", flush=True)
        if not asked.lies:
            life.end()
    except Exception:
        if not life.violations:
            raise
    finally:
        life.server.kill()
    return life.count, life.violations


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--life", type=int, default=25, help="cuts of one store")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--lies", action="store_true", help="no flush of sends counts")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    dice, folder = random.Random(asked.seed), Path(tempfile.mkdtemp(prefix="carillon-cuts-"))
    count, violations = Counter(), []
    library = build(folder)
    for number, first in enumerate(range(0, asked.cuts, asked.life)):
        life = folder / str(number)
        life.mkdir()
        counted, found = live(life, library, asked, min(asked.life, asked.cuts - first), dice)
        count.update(counted)
        violations += found
        if found:
            break
        shutil.rmtree(life)
    print(f"| acknowledged and lost | {count.pop('acknowledged and lost', 0)} |")
    for name, value in sorted(count.items()):
        print(f"| {name} | {value} |")
    print(f"| violations | {len(violations)} |")
    for violation in violations[:20]:
        print(violation)
    if violations:
        print(f"what is left is in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(violations))


if __name__ == "__main__":
    main()
