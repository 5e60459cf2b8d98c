"""Three nodes, one PostgreSQL, real NATS: what is committed at one is told at all, whatever happens to node or bus."""

import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import ConnectionClosed

from harness import commands
from harness.cluster import Cluster, Node
from harness.engine import Sqlite, deadlocks, psql_value
from harness.kinesis import Kinesis
from harness.nats import Nats
from harness.sends import Sends, said_in
from harness.server import Server, binary, environment
from harness.session import Session
from harness.streams import STREAM, eventually, stream_to
from harness.world import World, pages, refused, token

# What a node that died left is told by others within ten seconds.
TELL_TIMEOUT_S = 15
SENDERS_PER_NODE = 2
LISTENERS_PER_NODE = 2
SEND_PAUSE_S = 0.02
CHANNELS = 2


@pytest.fixture
def nats(tmp_path) -> Iterator[Nats]:
    with Nats(tmp_path) as nats:
        yield nats


@pytest.fixture
def cluster(tmp_path, nats) -> Iterator[Cluster]:
    with Cluster(tmp_path, nats.url) as cluster:
        yield cluster


@dataclass
class Listener:
    """A session that keeps what it is told until it is told to end."""

    node: Node
    user: str
    came: dict[str, list[str]] = field(default_factory=dict)
    closed: int | None = None

    def __post_init__(self) -> None:
        self.session = Session.established(self.node, self.user)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self) -> None:
        try:
            while True:
                event = self.session.next(60)
                if event.kind == "CREATE_CHANNEL_MESSAGE":
                    self.came.setdefault(event.payload["ChannelArn"], []).append(event.payload["MessageId"])
        except ConnectionClosed as closed:
            self.closed = closed.rcvd.code if closed.rcvd else 1006
        except TimeoutError:
            pass


class Senders:
    """Send at all nodes, until they are told to end; what is refused or lost on the way may have been sent."""

    def __init__(self, cluster: Cluster, channels: list[str], user: str):
        self.over = threading.Event()
        self.acknowledged: dict[str, int] = dict.fromkeys(channels, 0)
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.send, args=(node, channels[number % len(channels)], user))
            for node in cluster.nodes
            for number in range(SENDERS_PER_NODE)
        ]
        for thread in self.threads:
            thread.start()

    def send(self, node: Node, channel: str, user: str) -> None:
        messaging = node.client("chime-sdk-messaging")
        while not self.over.is_set():
            try:
                messaging.send_channel_message(
                    ChannelArn=channel,
                    Content="hello",
                    Type="STANDARD",
                    Persistence="PERSISTENT",
                    ClientRequestToken=token(),
                    ChimeBearer=user,
                )
                with self.lock:
                    self.acknowledged[channel] += 1
                # What comes at once after two seconds without the bus fits into the queue of a session.
                self.over.wait(SEND_PAUSE_S)
            except (BotoCoreError, ClientError):
                time.sleep(0.1)

    def wait_for(self, count: int) -> None:
        """Until as many more are acknowledged."""
        goal = sum(self.acknowledged.values()) + count
        deadline = time.monotonic() + 60
        while sum(self.acknowledged.values()) < goal:
            assert time.monotonic() < deadline, "nothing is sent any more"
            time.sleep(0.02)

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


class Play:
    """Channels, senders at every node, and listeners at every node."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.world = World(cluster.nodes[0])
        names = [f"user{number}" for number in range(len(cluster.nodes) * LISTENERS_PER_NODE)]
        self.moderator, *users = self.world.users("moderator", *names)
        self.channels = [self.world.channel(self.moderator, *users) for _ in range(CHANNELS)]
        nodes = [node for node in cluster.nodes for _ in range(LISTENERS_PER_NODE)]
        self.listeners = [Listener(node, user) for node, user in zip(nodes, users, strict=True)]
        self.senders = Senders(cluster, self.channels, self.moderator)

    def end(self, *, may_be_closed: tuple[Node, ...] = ()) -> None:
        """All that was sent came to every session, once, in the order of the list, until it was closed if it may be."""
        self.senders.end()
        reader = next(node for node in self.cluster.nodes if node.process is not None)
        for channel in self.channels:
            listed = pages(
                reader.messaging.list_channel_messages,
                "ChannelMessages",
                ChannelArn=channel,
                ChimeBearer=self.moderator,
                SortOrder="ASCENDING",
            )
            ids = [message["MessageId"] for message in listed]
            assert self.senders.acknowledged[channel] <= len(ids), "an acknowledged message is lost"
            for listener in self.listeners:
                came = listener.came.setdefault(channel, [])
                deadline = time.monotonic() + TELL_TIMEOUT_S
                while len(came) < len(ids) and not listener.closed and time.monotonic() < deadline:
                    time.sleep(0.02)
                assert came == ids[: len(came)], "a gap, or out of order"
                if listener.node in may_be_closed and listener.closed:
                    continue
                assert listener.closed is None, f"closed with {listener.closed}"
                assert len(came) == len(ids), f"{len(came)} of {len(ids)} came"
        self.codes = {listener.closed for listener in self.listeners}
        for listener in self.listeners:
            listener.session.close()
        assert deadlocks(self.cluster.store) == 0


def test_what_is_committed_at_one_node_is_told_at_all(cluster):
    play = Play(cluster)
    play.senders.wait_for(300)
    play.end()
    # The bus brought it, and lost nothing.
    assert [metric(node, "carillon_bus_dropped_total") for node in cluster.nodes] == [0, 0, 0]
    assert all(0 < metric(node, "carillon_bus_events_total") for node in cluster.nodes)


def metric(node: Node, name: str) -> float:
    with urllib.request.urlopen(f"{node.http_url}/_carillon/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_who_joins_at_one_node_is_told_at_another_and_who_leaves_is_not(cluster):
    one, two, three = cluster.nodes
    world = World(one)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana)
    at_three = World.__new__(World)
    at_three.messaging = three.messaging
    with Session.established(two, bob) as session:
        world.add(lobby, bob, ana)
        assert session.next_of("CREATE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == bob
        sent = [at_three.send(lobby, ana, str(number))["MessageId"] for number in range(5)]
        assert [session.next_of("CREATE_CHANNEL_MESSAGE")["MessageId"] for _ in sent] == sent
        world.remove(lobby, bob, ana)
        assert session.next_of("DELETE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == bob
        at_three.send(lobby, ana, "without bob")
        world.add(lobby, bob, ana)
        session.next_of("CREATE_CHANNEL_MEMBERSHIP")


def test_a_node_that_is_killed_loses_nobody_elsewhere_anything(cluster):
    play = Play(cluster)
    for _ in range(3):
        play.senders.wait_for(60)
        cluster.nodes[2].kill()
        play.senders.wait_for(60)
        cluster.nodes[2].start()
    play.end(may_be_closed=(cluster.nodes[2],))


def test_a_node_that_was_stopped_goes_on_where_it_was(cluster):
    play = Play(cluster)
    play.senders.wait_for(60)
    process = cluster.nodes[1].process
    process.send_signal(signal.SIGSTOP)
    try:
        play.senders.wait_for(60)
        # Longer than a node may be silent before it counts as dead.
        time.sleep(7)
    finally:
        process.send_signal(signal.SIGCONT)
    play.senders.wait_for(60)
    # A commit that was under way may be in doubt: then its sessions are closed with 1011. All that it missed comes to
    # it at once: those whose queue has no room for it are closed with 1013.
    play.end(may_be_closed=(cluster.nodes[1],))
    assert play.codes <= {None, 1011, 1013}


def test_without_the_bus_all_is_told_a_little_later(cluster, nats):
    play = Play(cluster)
    for _ in range(2):
        play.senders.wait_for(60)
        nats.kill()
        play.senders.wait_for(60)
        deadline = time.monotonic() + 10
        while cluster.nodes[0].ready() != (503, '{"reasons":["bus"],"status":"unready"}'):
            assert time.monotonic() < deadline, cluster.nodes[0].ready()
            time.sleep(0.1)
        nats.start()
        while cluster.nodes[0].ready()[0] != 200:
            assert time.monotonic() < deadline + 10, cluster.nodes[0].ready()
            time.sleep(0.1)
    play.senders.wait_for(60)
    # In the end there is none, and nothing comes by it that would show what is missing.
    nats.kill()
    play.senders.wait_for(30)
    play.end()


def test_one_server_of_the_bus_may_die(tmp_path):
    with Nats(tmp_path, 3) as nats, Cluster(tmp_path, nats.url) as cluster:
        play = Play(cluster)
        for number in range(3):
            play.senders.wait_for(60)
            nats.kill(number)
            play.senders.wait_for(60)
            nats.start(number)
        play.end()


def test_who_was_away_resumes_at_another_node(cluster):
    one, two, three = cluster.nodes
    world = World(one)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana, bob)
    with Session.established(two, bob) as session:
        seen = world.send(lobby, ana)["MessageId"]
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["MessageId"] == seen
        last = session.last
    missed = [world.send(lobby, ana, str(number))["MessageId"] for number in range(3)]
    with Session.established(three, bob, parameters={"resume-from": last}) as session:
        came = [session.next_of("CREATE_CHANNEL_MESSAGE")["MessageId"] for _ in missed]
        assert came == missed
        live = world.send(lobby, ana)["MessageId"]
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["MessageId"] == live


def test_one_session_of_a_name_and_ten_of_a_user_over_all_nodes(cluster):
    one, two, three = cluster.nodes
    ana = World(one).user("ana")
    name = {"sessionId": "phone"}
    first = Session.established(one, ana, parameters=name)
    second = Session.established(two, ana, parameters=name)
    assert first.close_code() == 4002
    more = [Session.established(node, ana) for _ in range(3) for node in (one, two, three)]
    # Ten are open now. One more ends the oldest.
    newest = Session.established(three, ana)
    assert second.close_code() == 4002
    for session in [first, second, *more, newest]:
        session.close()


def test_a_user_who_is_deleted_at_one_node_has_no_sessions_at_another(cluster):
    world = World(cluster.nodes[0])
    ana = world.user("ana")
    session = Session.established(cluster.nodes[1], ana)
    world.identity.delete_app_instance_user(AppInstanceUserArn=ana)
    assert session.close_code() == 4003
    session.close()


def refusal(server: Server) -> str:
    """What a server says that does not start."""
    process = subprocess.run(
        [binary(), "serve", *server.options()],
        cwd=server.folder,
        env=environment(server.folder) | server.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode != 0
    return process.stderr + process.stdout


def test_what_is_not_of_the_cluster_does_not_start(cluster, tmp_path):
    other_root = cluster.node(7, CARILLON_ROOT_SECRET_ACCESS_KEY="another-secret-of-forty-characters-------")
    assert "the root access key is not that of the other nodes" in refusal(other_root)
    other_key = cluster.node(8, CARILLON_MASTER_KEY="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    assert "the master key is not that of the other nodes" in refusal(other_key)
    without_bus = Node(tmp_path / "9", cluster.store, CARILLON_MASTER_KEY=cluster.master_key)
    assert "is served by another server" in refusal(without_bus)
    in_a_file = Server(tmp_path / "10", Sqlite(), "--bus", cluster.bus)
    in_a_file.folder.mkdir()
    assert "the store is a file" in refusal(in_a_file)


def test_a_bus_that_is_not_there_is_named(tmp_path):
    cluster = Cluster(tmp_path, "nats://me:secret@127.0.0.1:1", count=1)
    said = refusal(cluster.nodes[0])
    assert "the bus nats://127.0.0.1:1 cannot be used" in said
    assert "secret" not in said


def test_a_bus_that_takes_too_little_is_refused(tmp_path):
    config = tmp_path / "nats.conf"
    config.write_text("max_payload: 65536\n")
    with Nats(tmp_path, 1, "--config", str(config)) as nats:
        assert "max_payload" in refusal(Cluster(tmp_path, nats.url, count=1).nodes[0])


def test_nodes_end_and_come_back_one_after_the_other(cluster):
    play = Play(cluster)
    for node in cluster.nodes:
        play.senders.wait_for(30)
        node.stop()
        node.start()
    play.end(may_be_closed=tuple(cluster.nodes))
    assert psql_value(cluster.store, "SELECT COUNT(DISTINCT node) FROM beat") != "0"


def test_what_leaves_a_node_that_is_killed_is_handed_over_by_the_others(tmp_path, nats):
    cluster = Cluster(tmp_path, nats.url)
    with Kinesis(tmp_path) as kinesis:
        cluster.nodes = [cluster.node(number, **kinesis.environment()) for number in range(3)]
        with cluster:
            world = World(cluster.nodes[0])
            [ana] = world.users("ana")
            stream_to(world, STREAM, "ChannelMessage")
            # A node learns within two seconds what was configured at another.
            told = world.channel(ana)
            for number, node in enumerate(cluster.nodes):
                eventually(
                    lambda node=node, number=number: [World(node).send(told, ana, f"{number}"), kinesis.records()][1],
                    lambda records, number=number: f"{number}" in said_in(records).get(told, []),
                )
            sends = [Sends(World(node), ana, [world.channel(ana) for _ in range(6)], 2) for node in cluster.nodes]
            for one in sends:
                one.__enter__()
            eventually(lambda: [one.count for one in sends], lambda counts: 30 <= min(counts))
            cluster.nodes[0].kill()
            least = 30 + max(one.count for one in sends[1:])
            eventually(lambda: [one.count for one in sends[1:]], lambda counts: least <= min(counts))
            for one in sends:
                one.stop()
            eventually(
                lambda: [wrong for one in sends for wrong in one.missing(said_in(kinesis.records()))],
                lambda wrong: not wrong,
            )


def test_who_has_read_is_told_on_every_node(cluster):
    one, other = cluster.nodes[:2]
    world = World(one)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    tags = [{"Key": "carillon:read-receipts", "Value": "on"}]
    world.messaging.tag_resource(ResourceARN=channel, Tags=tags)
    with Session.established(other, ana) as session:
        # Nodes that have just met tell each other of events, which are stored; of this once they know each other.
        for _ in range(20):
            world.messaging.update_channel_read_marker(ChannelArn=channel, ChimeBearer=bob)
            try:
                event = session.next(timeout_s=2)
                break
            except TimeoutError:
                continue
        assert event.kind == "UPDATE_CHANNEL_READ_MARKER", event
        assert [marker["Member"]["Arn"] for marker in event.payload["Members"]] == [bob]


def first_of(session: Session, kind: str) -> dict:
    """The payload of the first event of this kind that is still to come."""
    while (event := session.next()).kind != kind:
        pass
    return event.payload


def closed(session: Session) -> int:
    """The code of the close, whatever is told before it."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            session.next()
    return caught.value.rcvd.code


def test_who_is_erased_beside_one_node_is_forgotten_by_another(cluster):
    here, there = cluster.nodes[:2]
    world, elsewhere = World(here), World(there)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(bob, ana)
    own, others = Session.established(there, ana), Session.established(there, bob)
    # The other node has seen her: as who sends, who reads, and who is shown.
    sent = elsewhere.send(channel, ana, "words of ana")["MessageId"]
    assert [one["Sender"]["Arn"] for one in elsewhere.messages(channel, ana)] == [ana]
    assert first_of(others, "CREATE_CHANNEL_MESSAGE")["MessageId"] == sent

    store = ("--data-dir", str(here.data_dir), "--store", cluster.store)
    commands.done(here.folder, "erase", "--user", ana, *store, **here.environment)
    assert closed(own) == 4003
    redacted = first_of(others, "REDACT_CHANNEL_MESSAGE")
    assert (redacted["MessageId"], redacted.get("Content")) == (sent, None)
    for node in cluster.nodes:
        [shell] = World(node).messages(channel, bob)
        assert (shell["MessageId"], shell.get("Content"), shell["Sender"]["Name"]) == (sent, None, "Erased user")
        for call in ("list_channel_messages", "list_channel_memberships"):
            with refused("UnauthorizedClient"):
                getattr(node.messaging, call)(ChannelArn=channel, ChimeBearer=ana)
        assert Session(node, ana).close_code() == 4003
    # Who is given the id by one node is nobody in the channel to another.
    name = ana.rpartition("/")[2]
    again = world.identity.create_app_instance_user(
        AppInstanceArn=world.app_instance, AppInstanceUserId=name, Name="Another", ClientRequestToken=token()
    )["AppInstanceUserArn"]
    assert again == ana
    with refused("Forbidden"):
        elsewhere.messages(channel, again)
    for session in (own, others):
        session.close()
