"""Users who join, leave, send, edit, vanish and come back at random, at whichever node; then what each session received is
held against what was committed, and what was acknowledged against the lists.

For each session and channel, what came must be a run without gaps, in order, of the events that were for its user, with
every one from after it was told that it is established up to its end. One that was open to the last must have come to the
last one. One that resumed must have gone on where the one before it ended.
"""

import http.client
import json
import random
import subprocess
import threading
import time
import traceback
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import ConnectionClosed, WebSocketException

from harness.engine import psql_value
from harness.processor import Processor, callback
from harness.raw import Answer, Connection, messages_of
from harness.server import Server
from harness.session import Session
from harness.world import World, pages, token

CHANNELS = 5
# A call is answered within ten seconds or not at all; then it is made again elsewhere.
CALL_TIMEOUT_S = 11
# How long all may take, once nothing is sent any more, to come to the end.
END_TIMEOUT_S = 90
# How long nothing comes any more to a session that is at the end.
SILENT_S = 1
RETRY_EVERY_S = 0.2
# How much of a CallbackId names the message.
RUN_LENGTH = 32
# Of those who do not stay, how long most do.
STAYS_S = 5
# What a call ends with whose node is gone, or does not answer.
GONE = (OSError, http.client.HTTPException)

# Of one event: its number in its channel, and what it says.
Frame = tuple[int, int]


@dataclass
class Record:
    """What one session saw, channel by channel."""

    user: str
    # The number of the last event of each channel, once it knew that it was established.
    established: dict[str, int]
    # Whether it resumed from where the user's session before it ended, and was not told to reload.
    resumed: bool
    came: dict[str, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    # Whether it was open when all was over.
    open: bool = False
    # For whoever looks for the reason of a violation: at which node, and when.
    where: str = ""


class Outbox:
    """What was committed, read from the store beside the nodes, again and again: it is trimmed meanwhile."""

    def __init__(self, store: str):
        self.store = store
        self.events: dict[str, list[tuple[int, dict, list, int]]] = defaultdict(list)

    def numbers(self) -> dict[str, int]:
        """Of each channel the number of its last event."""
        return self.ask("SELECT COALESCE(json_object_agg(encode(key, 'hex'), sequence), '{}') FROM channel")

    def read_on(self) -> None:
        for channel in self.numbers():
            events = self.events[channel]
            rows = self.ask(
                "SELECT COALESCE(json_agg(json_build_array(sequence, audience::json,"
                " COALESCE(change, '[]')::json, kind, payload) ORDER BY sequence), '[]') FROM outbox"
                rf" WHERE channel = '\x{channel}' AND {events[-1][0] if events else 0} < sequence"
            )
            for number, audience, changes, kind, payload in rows:
                events.append((number, audience, changes, hash((kind, payload))))

    def ask(self, statement: str) -> Any:
        """Whatever the store has to say, once it can."""
        while True:
            try:
                return json.loads(psql_value(self.store, statement))
            except subprocess.SubprocessError:
                time.sleep(RETRY_EVERY_S)

    def due(self, channel: str) -> dict[str, list[Frame]]:
        """Of each user what they are to be told of a channel, as its memberships come and go."""
        seats: dict[tuple[str, str], bool] = {}
        due: dict[str, list[Frame]] = defaultdict(list)
        for number, audience, changes, said in self.events[channel]:
            # Whoever leaves is told as one who is named, and whoever joins is told of what follows.
            for left in (change["Left"] for change in changes if "Left" in change):
                seats.pop((left["sub_channel"], left["member"]), None)
            told = {
                user
                for (place, user), hidden in seats.items()
                if place in audience["sub_channels"] and not (hidden and audience["but_hidden"])
            }
            for user in told | set(audience["users"]):
                due[user].append((number, said))
            for joined in (change["Joined"] for change in changes if "Joined" in change):
                seats[joined["sub_channel"], joined["member"]] = joined["hidden"]
        return due


# What a callback is told that is not needed any more.
OVER = ("no longer pending", "was faster", "no such callback is awaited")


class Play:
    """The users with their sessions, and the writers, from its beginning to `end`; `violations` says what was found."""

    def __init__(
        self,
        nodes: Sequence[Server],
        store: str,
        processor: Processor,
        *,
        seed: int,
        users: int,
        writers: int,
        pause_s: float,
    ):
        self.nodes, self.processor, self.seed, self.pause_s = nodes, processor, seed, pause_s
        self.outbox = Outbox(store)
        self.quiet, self.over = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.records: list[Record] = []
        self.violations: list[str] = []
        self.answers: Counter[int] = Counter()
        self.closes: Counter[int] = Counter()
        # By request token: in which channel, and under which id it was acknowledged.
        self.acknowledged: dict[str, tuple[str, str]] = {}
        self.due: dict[str, dict[str, list[Frame]]] = {}
        self.set_up(users)
        self.listeners = self.threads(self.listen, users)
        self.writers = self.threads(self.write, writers)

    def threads(self, work, count: int) -> list[threading.Thread]:
        """A fault of the play itself counts, too."""

        def guarded(number: int) -> None:
            try:
                work(number)
            except Exception:
                self.violations.append(f"the play failed: {traceback.format_exc()}")

        threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def set_up(self, users: int) -> None:
        self.world = world = World(self.nodes[0])
        self.owner, *self.users = world.users("owner", *(f"user{number}" for number in range(users)))
        rows = self.outbox.ask("SELECT json_object_agg(id, encode(key, 'hex')) FROM identity")
        self.keys = [rows[user.rpartition("/")[2]] for user in self.users]
        self.channels = [
            world.channel(self.owner, *self.users[number::2], Mode="UNRESTRICTED") for number in range(CHANNELS)
        ]
        # In the first one each message is pending until a processor has said so.
        self.decided: defaultdict[str, list[str]] = defaultdict(list)
        self.processor.decide = self.decide
        world.messaging.associate_channel_flow(
            ChannelArn=self.channels[0], ChannelFlowArn=world.flow(), ChimeBearer=self.owner
        )

    def decide(self, event: dict[str, Any]) -> None:
        """A processor has two days to call back, and does so until it is answered."""
        said = self.decided[event["CallbackId"][:RUN_LENGTH]]
        said.append("called")
        while not self.over.is_set():
            try:
                callback(random.choice(self.nodes).messaging, event)
                said.append("taken")
            except (BotoCoreError, ClientError) as error:
                said.append(str(error))
                answer = getattr(error, "response", None) or {}
                status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
                if 500 <= status or status == 429:
                    time.sleep(RETRY_EVERY_S)
                    continue
                # That another callback was faster, or that one was taken whose answer was lost; and where a node stood still,
                # that the call was made again meanwhile, with a CallbackId of its own. What is pending for ever is found at the end.
                if not any(words in str(error) for words in OVER):
                    self.violations.append(f"a callback was refused: {error}")
            # Nobody sees what else ends a processor's thread, and its message would be pending for ever.
            except Exception as error:
                said.append(repr(error))
                self.violations.append(f"a callback failed: {error!r}")
                time.sleep(RETRY_EVERY_S)
                continue
            return

    # Those who change things.

    def write(self, number: int) -> None:
        dice = random.Random(f"{self.seed} writer {number}")
        caller = Caller(self, dice)
        sent: list[tuple[str, str, str, str]] = []
        while not self.quiet.wait(dice.uniform(0, 2 * self.pause_s)):
            channel, who, whom = dice.choice(self.channels), dice.choice(self.users), dice.choice(self.users)
            members = f"/channels/{quote(channel, safe='')}/memberships"
            match dice.randrange(12):
                case 0 | 1 | 2:
                    kind = "HIDDEN" if dice.random() < 0.2 else "DEFAULT"
                    caller.call("POST", members, {"MemberArn": whom, "Type": kind}, self.owner)
                case 3:
                    caller.call("DELETE", f"{members}/{quote(whom, safe='')}", b"", self.owner)
                case 4 if sent:
                    channel, who, message, said = dice.choice(sent)
                    edited = {"Content": f"{said} edited"}
                    caller.call("PUT", f"{messages_of(channel)}/{quote(message, safe='')}", edited, who)
                case chosen:
                    target = [{"MemberArn": whom}] if chosen == 5 and channel != self.channels[0] else None
                    if message := self.send(caller, channel, who, target):
                        sent.append((channel, who, *message))

    def send(self, caller: "Caller", channel: str, who: str, target: list | None = None) -> tuple[str, str] | None:
        """The id under which a message was acknowledged, and what it says."""
        said = token()
        body = {"Content": said, "ClientRequestToken": said, "Type": "STANDARD", "Persistence": "PERSISTENT"}
        if target:
            body |= {"Target": target, "Persistence": "NON_PERSISTENT"}
        answer = caller.call("POST", messages_of(channel), body, who)
        if answer is None or answer.status != 201:
            return None
        message = answer.json["MessageId"]
        if target:
            return None
        with self.lock:
            self.acknowledged[said] = (channel, message)
        return message, said

    def wait_for(self, count: int, within_s: float = END_TIMEOUT_S) -> None:
        """Until as many more calls have been answered."""
        goal, until = self.answers.total() + count, time.monotonic() + within_s
        while self.answers.total() < goal:
            if until < time.monotonic():
                self.violations.append(f"no {count} calls were answered within {within_s} s")
                return
            time.sleep(0.05)

    # Those who listen.

    def listen(self, number: int) -> None:
        """One session of a user after the other, each at any node."""
        dice = random.Random(f"{self.seed} listener {number}")
        name, last = token(), None
        while not self.over.is_set():
            resumes = last is not None and dice.random() < 0.6
            parameters = {"sessionId": name} | ({"resume-from": last} if resumes else {})
            try:
                node = dice.choice(self.nodes)
                session = Session.established(node, self.users[number], parameters=parameters)
            except (OSError, WebSocketException, AssertionError):
                time.sleep(RETRY_EVERY_S)
                continue
            record = Record(self.keys[number], self.outbox.numbers(), resumes)
            record.where = f"{time.strftime('%T')} {node.folder.name} {'resumed from ' + last if resumes else ''}"
            if dice.random() < 0.05:
                # It stalls: what comes meanwhile waits for it, or closes it.
                time.sleep(dice.expovariate(1 / STAYS_S))
            stays = dice.random() < 0.3
            self.read(session, record, None if stays else time.monotonic() + dice.expovariate(1 / STAYS_S))
            last = session.last
            # Half of them vanish without a word: the next one has the same name, and replaces what is left.
            if dice.random() < 0.5:
                session.socket.socket.close()
            else:
                session.close()

    def read(self, session: Session, record: Record, leaves_at: float | None) -> None:
        self.records.append(record)
        silent_since, until = time.monotonic(), None
        while leaves_at is None or time.monotonic() < leaves_at or self.over.is_set():
            if self.over.is_set():
                until = until or time.monotonic() + END_TIMEOUT_S
                is_silent = SILENT_S < time.monotonic() - silent_since
                if until < time.monotonic() or (is_silent and self.is_at_the_end(record)):
                    record.open = True
                    return
            try:
                frame = json.loads(session.socket.recv(timeout=RETRY_EVERY_S))
            except TimeoutError:
                continue
            except ConnectionClosed as closed:
                self.closes[closed.rcvd.code if closed.rcvd else 1006] += 1
                return
            silent_since = time.monotonic()
            kind, session.last = frame["Headers"]["x-amz-chime-event-type"], frame["Headers"]["x-carillon-event-id"]
            if kind == "RELOAD_REQUIRED":
                # What it was shown before, it was shown; from here on it is as one that did not resume.
                record = Record(record.user, record.established, resumed=False, where=f"{record.where} and reloaded")
                self.records.append(record)
                continue
            _, channel, number = session.last.split(".")
            record.came[channel].append((int(number), hash((kind, frame["Payload"]))))

    def is_at_the_end(self, record: Record) -> bool:
        return all(
            last <= max(record.established[channel], record.came[channel][-1][0] if record.came[channel] else 0)
            for channel, last in self.lasts(record.user)
        )

    def lasts(self, user: str) -> list[tuple[str, int]]:
        return [(channel, due[user][-1][0]) for channel, due in self.due.items() if due.get(user)]

    # The end.

    def end(self) -> None:
        """Lets a last message come to everyone who belongs, and checks all there is."""
        self.quiet.set()
        for thread in self.writers:
            thread.join()
        caller = Caller(self, random.Random(self.seed))
        for channel in self.channels:
            if not self.send(caller, channel, self.owner):
                self.violations.append("the last message is not taken")
        self.settle()
        self.outbox.read_on()
        self.due = {channel: dict(self.outbox.due(channel)) for channel in list(self.outbox.events)}
        self.over.set()
        for thread in self.listeners:
            thread.join()
        self.check_lists()
        self.check()

    def settle(self) -> None:
        """No message is pending for ever; only its sender sees one that is, so the store is asked."""
        until = time.monotonic() + END_TIMEOUT_S
        while pending := self.outbox.ask("SELECT count(*) FROM in_flight WHERE status = 'PENDING'"):
            if until < time.monotonic():
                columns = "encode(run, 'hex'), phase, attempts, function, due_at, tried_since, encode(lease, 'hex')"
                rows = f"SELECT json_agg(concat_ws(' ', {columns})) FROM in_flight WHERE status = 'PENDING'"
                which = [(row, self.decided[row.split()[0]]) for row in self.outbox.ask(rows) or []]
                return self.violations.append(f"{pending} messages are pending for ever: {which}")
            time.sleep(1)

    def listed(self, node: Server, channel: str) -> list[dict[str, Any]]:
        return pages(
            node.messaging.list_channel_messages,
            "ChannelMessages",
            ChannelArn=channel,
            ChimeBearer=self.owner,
            SortOrder="ASCENDING",
        )

    def check_lists(self) -> None:
        """Whatever was acknowledged is listed once, under its id; and at all nodes alike."""
        for channel in self.channels:
            lists = [self.listed(node, channel) for node in self.nodes]
            if any(messages != lists[0] for messages in lists):
                self.violations.append("nodes list a channel differently")
            ids = defaultdict(list)
            for message in lists[0]:
                ids[message["Content"].split()[0]].append(message["MessageId"])
            for said, there in ids.items():
                if 1 < len(there):
                    self.violations.append(f"{said} is there {len(there)} times")
            for said, (where, message) in self.acknowledged.items():
                if where == channel and ids.get(said) != [message]:
                    self.violations.append(f"{said} was acknowledged as {message}, and is {ids.get(said)}")

    def check(self) -> None:
        """Holds what the sessions received so far against what is known to be committed."""
        self.outbox.read_on()
        found = []
        for channel, events in list(self.outbox.events.items()):
            last, due = events[-1][0] if events else 0, self.outbox.due(channel)
            for user in self.keys:
                records = [record for record in list(self.records) if record.user == user]
                found += self.check_sessions(records, channel, due.get(user, []), last)
        self.violations += [one for one in found if one not in self.violations]

    def check_sessions(self, records: list[Record], channel: str, due: list[Frame], last: int) -> Iterator[str]:
        """Holds what the sessions of a user, one after the other, received of one channel against what was due."""
        numbers = [number for number, _ in due]
        reached = 0
        for record in records:
            # While it goes on, some of it is newer than what is known.
            came = [frame for frame in record.came.get(channel, []) if frame[0] <= last or self.over.is_set()]
            if not record.resumed:
                # The first that had to come. What was committed just before the session began may come, too: it is
                # told after the commit.
                reached = bisect_right(numbers, record.established.get(channel, 0))
            start = bisect_left(numbers, came[0][0]) if came else reached
            if reached < start:
                yield f"{record.where}: it begins in {channel} with {came[0][0]}, not {numbers[reached]}"
            for place, frame in enumerate(came):
                if [frame] != due[start + place : start + place + 1]:
                    before = [number for number, _ in came[max(0, place - 3) : place]]
                    yield f"{record.where}: in {channel} after {before} came {frame[0]}, which is not the next"
                    break
            reached = max(reached, start + len(came))
            if record.open and reached != len(due):
                yield f"{record.where}: it was open, and did not come to the end of {channel}"

    def figures(self) -> dict[str, Any]:
        return {
            "sessions": len(self.records),
            "resumed": sum(record.resumed for record in self.records),
            "open to the end": sum(record.open for record in self.records),
            "events checked": sum(len(came) for record in self.records for came in record.came.values()),
            "events committed": sum(map(len, self.outbox.events.values())),
            "operations checked": self.answers.total(),
            "sends acknowledged": len(self.acknowledged),
            "answers": dict(sorted(self.answers.items())),
            "closes": dict(sorted(self.closes.items())),
            "violations": len(self.violations),
        }


class Caller:
    """Makes each call again, with the same token, until it is answered, at whichever node."""

    def __init__(self, play: Play, dice: random.Random):
        self.play, self.dice = play, dice
        self.connections: dict[int, Connection] = {}

    def call(self, method: str, target: str, body: Any, bearer: str) -> Answer | None:
        until = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < until:
            number = self.dice.randrange(len(self.play.nodes))
            try:
                if number not in self.connections:
                    self.connections[number] = Connection(self.play.nodes[number])
                    self.connections[number].http.timeout = CALL_TIMEOUT_S
                answer = self.connections[number].call(method, target, body, bearer=bearer)
            except GONE:
                if held := self.connections.pop(number, None):
                    held.http.close()
                time.sleep(RETRY_EVERY_S)
                continue
            with self.play.lock:
                self.play.answers[answer.status] += 1
            if answer.status == 500:
                self.play.violations.append(f"{method} {target}: {answer.body!r}")
            if answer.status not in (429, 503):
                return answer
            time.sleep(RETRY_EVERY_S)
        self.play.violations.append(f"{method} {target} was never answered")
        return None
