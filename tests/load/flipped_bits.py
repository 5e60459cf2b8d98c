"""Bits that are flipped in the files of a store, one at a time, and then everything that can be asked is asked: what is
answered must be right, or refused. Not part of CI but for its short form (`test_flipped_bits.py`).

    CARILLON_BIN=… python load/flipped_bits.py [--live 1000] [--starts 100] [--seed 1]

`--live` bits are flipped in the database file under a server that runs and reads it again. Before `--starts` starts a
bit is flipped in what a crash left, the log or the file. Prints a table, and each wrong answer; ends with 1 where there
is one.
"""

import argparse
import http.client
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import Sqlite
from harness.raw import Connection, messages_of
from harness.server import Server
from harness.world import World, token

CHANNELS = 8
MESSAGES = 40
# What a server says that does not serve what is asked.
REFUSALS = (500, 503)
PAGE_BYTES = 4_096
# Of what was acknowledged meanwhile, the latest.
OWED_ASKED = 8

Question = tuple[str, str]
Answer = tuple[int, object]


class Truth:
    """A store, all that can be asked of it, and the answers."""

    def __init__(self, server: Server, dice: random.Random):
        world = World(server)
        self.world, self.server, self.dice = world, server, dice
        ana, *others = world.users("ana", "bob", "eva", "kim", "lea")
        self.ana, self.zoe = ana, world.user("zoe")
        self.scratch = world.channel(self.zoe, Name="Scratch")
        self.questions: list[Question] = []
        # What was acknowledged since, by where it is asked for.
        self.owed: dict[str, str] = {}
        for number in range(CHANNELS):
            channel = world.channel(ana, *others, Name=f"Lobby {number}", Metadata="m" * 900)
            for at in range(MESSAGES):
                # Some are longer than a page.
                length = 3_500 if at % 8 == 0 else dice.randrange(20, 300)
                content = f"{number} {at} " + "x" * length
                sent = world.send(channel, dice.choice([ana, *others]), content, Metadata="y" * 900)
            place = quote(channel, safe="")
            self.ask(f"/channels/{place}", f"/channels/{place}/memberships?max-results=50")
            self.ask(f"{messages_of(channel)}?max-results=50", f"{messages_of(channel)}/{sent['MessageId']}")
            sent = world.send(channel, ana, f"{number} last")
            self.ask(f"{messages_of(channel)}/{sent['MessageId']}?scope=message-status")
        for user in (ana, *others):
            place = quote(user, safe="")
            self.ask(f"/app-instance-users/{place}")
        self.ask(f"/channels?scope=app-instance-user-memberships&app-instance-user-arn={quote(ana, safe='')}")
        self.answers = {question: self.answer(question) for question in self.questions}
        refused = {question: answer for question, answer in self.answers.items() if answer[0] != 200}
        assert not refused, str(refused)[:1_000]

    def ask(self, *targets: str) -> None:
        self.questions += [(target, self.ana) for target in targets]

    def answer(self, question: Question) -> Answer:
        target, bearer = question
        with Connection(self.server) as connection:
            answer = connection.call("GET", target, bearer=bearer)
        body = answer.json if answer.body else None
        return answer.status, body

    def read_anew(self) -> bool:
        """A commit has whoever reads let go of the pages that they know."""
        with Connection(self.server) as connection:
            content = f"again {self.dice.random()}"
            body = {"Content": content, "Type": "STANDARD", "Persistence": "PERSISTENT", "ClientRequestToken": token()}
            answer = connection.call("POST", messages_of(self.scratch), body, bearer=self.zoe)
        if answer.status == 201:
            self.owed[f"{messages_of(self.scratch)}/{answer.json['MessageId']}"] = content
        return answer.status == 201

    def judge(self, count: Counter, wrong: list[str], where: str) -> None:
        refused = not self.read_anew()
        for question in self.dice.sample(self.questions, len(self.questions)):
            status, body = self.answer(question)
            if status in REFUSALS:
                refused = True
                count["answers refused"] += 1
            elif (status, body) != self.answers[question]:
                wrong.append(f"{where}: {question[0]} is answered by {status} {json.dumps(body)[:300]}")
            else:
                count["answers that are right"] += 1
        for target in list(self.owed)[-OWED_ASKED:]:
            status, body = self.answer((target, self.zoe))
            if status in REFUSALS:
                refused = True
                count["answers refused"] += 1
            elif status != 200 or body["ChannelMessage"]["Content"] != self.owed[target]:
                wrong.append(f"{where}: {target}, which was acknowledged, is answered by {status}")
            else:
                count["answers that are right"] += 1
        count["flips that were noticed" if refused else "flips that were not met"] += 1


class Flip:
    """One bit of a file."""

    def __init__(self, path: Path, bit: int):
        self.path, self.bit = path, bit
        self.start = bit // 8 // PAGE_BYTES * PAGE_BYTES

    def do(self) -> None:
        self.before = self.page()
        self.after = bytearray(self.before)
        self.after[self.bit // 8 - self.start] ^= 1 << self.bit % 8
        self.put(self.after)

    def undo(self) -> None:
        """Unless somebody has written that page meanwhile."""
        if self.page() == bytes(self.after):
            self.put(self.before)

    def page(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(PAGE_BYTES)

    def put(self, page: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.start)
            file.write(page)


class Halted:
    """A server that does nothing meanwhile."""

    def __init__(self, server: Server):
        self.process = server.process

    def __enter__(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        # It has stopped once the system says so.
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGCONT)


def live(truth: Truth, flips: int, count: Counter, wrong: list[str]) -> None:
    """Under a server that runs."""
    server, store = truth.server, truth.server.data_dir / "carillon.db"
    for number in range(flips):
        bit = truth.dice.randrange(store.stat().st_size * 8)
        with Halted(server):
            flip = Flip(store, bit)
            flip.do()
        truth.judge(count, wrong, f"bit {bit} of the file")
        with Halted(server):
            flip.undo()
        if server.process.poll() is not None:
            count["servers that ended"] += 1
            server.kill()
            server.start()
        if number % 100 == 99:
            print(f"{time.strftime('%T')} {dict(count)}, {len(wrong)} wrong", flush=True)


def starts(truth: Truth, flips: int, count: Counter, wrong: list[str]) -> None:
    """In what a crash left: the log, every other time, or the file."""
    server, left = truth.server, truth.server.folder / "left"
    server.kill()
    server.start()
    # Long enough to be worth a flip, and acknowledged.
    while (server.data_dir / "carillon.db-wal").stat().st_size < 40 * PAGE_BYTES:
        assert truth.read_anew()
    server.kill()
    shutil.copytree(server.data_dir, left)
    owed = dict(truth.owed)
    for number in range(flips):
        shutil.rmtree(server.data_dir)
        shutil.copytree(left, server.data_dir)
        truth.owed = dict(owed)
        path = server.data_dir / ("carillon.db-wal" if number % 2 == 0 else "carillon.db")
        bit = truth.dice.randrange(path.stat().st_size * 8)
        Flip(path, bit).do()
        try:
            server.start()
        except AssertionError:
            # It says so, and serves nothing.
            count["flips that kept it from starting"] += 1
            if "damaged" not in server.log_tail():
                wrong.append(f"bit {bit} of {path.name}: it does not say why it does not start: {server.log_tail()}")
            server.kill()
            continue
        truth.judge(count, wrong, f"bit {bit} of {path.name} before a start")
        server.kill()
        if number % 10 == 9:
            print(f"{time.strftime('%T')} {dict(count)}, {len(wrong)} wrong", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--live", type=int, default=1_000)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    count, wrong = Counter(), []
    with tempfile.TemporaryDirectory(prefix="carillon-flips-") as name:
        server = Server(Path(name), Sqlite()).start()
        try:
            truth = Truth(server, random.Random(asked.seed))
            # All of it is in the file, and read from there.
            server.stop()
            server.start()
            live(truth, asked.live, count, wrong)
            if asked.starts:
                starts(truth, asked.starts, count, wrong)
        except (OSError, http.client.HTTPException) as error:
            wrong.append(f"it does not answer: {error!r}\n{server.log_tail()}")
        finally:
            server.kill()
    print(f"| flips | {asked.live + asked.starts} |")
    for what, number in sorted(count.items()):
        print(f"| {what} | {number} |")
    print(f"| served wrong | {len(wrong)} |")
    for one in wrong[:20]:
        print(one)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
