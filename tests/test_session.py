"""The WebSocket, frame by frame: who gets which event, and how a socket ends.

That an event does *not* come is shown without waiting: something later is made to come, and nothing is before it.
"""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosed

from harness.raw import Connection, messages_of
from harness.server import Credentials, Server
from harness.session import Event, Session
from harness.world import World, token

TRY_LATER = 1013
GOING_AWAY = 1012
POLICY = 1008
FORBIDDEN = 4003
REPLACED = 4002
NOT_AUTHORIZED = 4401

# What waits for a session, and what the kernel holds for a socket at most: 4 MB on its way out, and little on its way
# in, once the receiver says so.
QUEUE_LEN_MAX = 1024
KERNEL_BYTES_MAX = 8 * 1024 * 1024
RECEIVE_BUFFER_BYTES = 256 * 1024
# 4 KB of what takes seven bytes each in a frame.
LONG_CONTENT = "\x01" * 4096
LONG_FRAME_BYTES = 7 * len(LONG_CONTENT)
# Few enough to wait for whoever reads.
BURST = 256
SENDERS = 8
# What a client that was away is told of, at most.
RESUME_EVENTS_MAX = 1000
# Frames that a client may send in a second, where nothing else is set.
FRAMES_MAX = 50
# Far more parts of a message than anybody sends.
PARTS_MAX = 1 << 26
# For longer than any event is kept.
AWAY = timedelta(minutes=20)


@pytest.fixture
def established(server):
    """Opens sessions that close with the test."""
    opened = []

    def establish(user, **how):
        opened.append(Session.established(server, user, **how))
        return opened[-1]

    yield establish
    for session in opened:
        session.close()


# Who gets what.


def test_members_get_a_message_and_so_does_its_sender(world, established):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    sessions = [established(ana), established(bob, tls=True)]
    sent = world.send(channel, ana, "hi", Metadata="m", MessageAttributes={"a": {"StringValues": ["b"]}})
    for session in sessions:
        event = session.next()
        assert (event.kind, event.message_type) == ("CREATE_CHANNEL_MESSAGE", "STANDARD")
        assert event.payload["CreatedTimestamp"] == event.payload["LastUpdatedTimestamp"]
        rest = {name: value for name, value in event.payload.items() if not name.endswith("Timestamp")}
        assert rest == {
            "ChannelArn": channel,
            "MessageId": sent["MessageId"],
            "Content": "hi",
            "Metadata": "m",
            "Type": "STANDARD",
            "Sender": {"Arn": ana, "Name": "Ana"},
            "Redacted": False,
            "Persistence": "PERSISTENT",
            "Status": {"Value": "SENT"},
            "MessageAttributes": {"a": {"StringValues": ["b"]}},
        }


def test_outsiders_and_administrators_get_nothing(world, established):
    ana, bob = world.users("ana", "bob")
    admin = world.admin("eve")
    channel = world.channel(ana, Privacy="PUBLIC")
    later = world.channel(bob, admin)
    sessions = [established(bob), established(admin)]
    world.send(channel, ana, "not for you")
    world.send(later, bob, "for you")
    for session in sessions:
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "for you"


def test_all_sessions_of_a_user_get_the_message(world, established):
    ana = world.user("ana")
    channel = world.channel(ana)
    sessions = [established(ana) for _ in range(3)]
    world.send(channel, ana, "hi")
    assert [session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] for session in sessions] == ["hi"] * 3


def test_a_targeted_message_reaches_its_sender_and_its_target_only(world, established):
    ana, bob, cy = world.users("ana", "bob", "cy")
    channel = world.channel(ana, bob, cy)
    sessions = {user: established(user) for user in (ana, bob, cy)}
    world.send(channel, ana, "psst", Target=[{"MemberArn": bob}])
    world.send(channel, ana, "all")
    for user in (ana, bob):
        payload = sessions[user].next_of("CREATE_CHANNEL_MESSAGE")
        assert payload["Content"] == "psst"
        assert payload.get("Target", [{"MemberArn": bob}]) == [{"MemberArn": bob}]
    for session in sessions.values():
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "all"


def test_a_repeated_send_is_one_event(world, established):
    ana = world.user("ana")
    channel = world.channel(ana)
    session = established(ana)
    same = token()
    for _ in range(2):
        world.send(channel, ana, "once", ClientRequestToken=same)
    world.send(channel, ana, "later")
    assert [session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] for _ in range(2)] == ["once", "later"]


def test_messages_that_are_not_stored_are_delivered(world, established):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    session = established(bob)
    world.send(channel, ana, "Typing", Type="CONTROL", Persistence="NON_PERSISTENT")
    event = session.next()
    assert (event.kind, event.message_type) == ("CREATE_CHANNEL_MESSAGE", "CONTROL")
    assert (event.payload["Type"], event.payload["Persistence"]) == ("CONTROL", "NON_PERSISTENT")
    assert event.payload["LastUpdatedTimestamp"]


def test_the_first_members_get_their_memberships(world, established):
    ana, bob = world.users("ana", "bob")
    sessions = [established(ana), established(bob)]
    channel = world.channel(ana, bob)
    for session in sessions:
        seen = [session.next_of("CREATE_CHANNEL_MEMBERSHIP") for _ in range(2)]
        assert {payload["Member"]["Arn"] for payload in seen} == {ana, bob}
        assert {payload["ChannelArn"] for payload in seen} == {channel}


def test_a_new_member_and_the_old_ones_get_the_membership(world, established):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    sessions = [established(ana), established(bob)]
    world.add(channel, bob, by=ana)
    for session in sessions:
        event = session.next()
        assert (event.kind, event.message_type) == ("CREATE_CHANNEL_MEMBERSHIP", "SYSTEM")
        rest = {name: value for name, value in event.payload.items() if not name.endswith("Timestamp")}
        assert rest == {
            "ChannelArn": channel,
            "Member": {"Arn": bob, "Name": "Bob"},
            "InvitedBy": {"Arn": ana, "Name": "Ana"},
            "Type": "DEFAULT",
        }
    world.send(channel, ana, "welcome")
    for session in sessions:
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "welcome"


def test_a_removed_member_gets_the_removal_and_nothing_more(world, established):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    other = world.channel(ana, bob)
    sessions = [established(ana), established(bob)]
    world.remove(channel, bob, by=ana)
    for session in sessions:
        assert session.next_of("DELETE_CHANNEL_MEMBERSHIP")["Member"] == {"Arn": bob, "Name": "Bob"}
    world.send(channel, ana, "among us")
    world.send(other, ana, "to both")
    assert sessions[0].next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "among us"
    assert sessions[0].next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "to both"
    assert sessions[1].next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "to both"


def test_a_hidden_membership_is_told_to_moderators_and_to_the_hidden(world, established):
    ana, bob, cy = world.users("ana", "bob", "cy")
    channel = world.channel(ana, bob)
    sessions = {user: established(user) for user in (ana, bob, cy)}
    world.add(channel, cy, by=ana, kind="HIDDEN")
    world.send(channel, ana, "later")
    for user in (ana, cy):
        assert sessions[user].next_of("CREATE_CHANNEL_MEMBERSHIP")["Type"] == "HIDDEN"
    for session in sessions.values():
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "later"


def test_events_come_whole_and_in_the_order_of_the_channel(world, established):
    members = world.users("ana", "bob", "cy", "dee")
    channel = world.channel(members[0], *members[1:])
    sessions = [established(member) for member in members]
    each = 25

    def send(member):
        for number in range(each):
            world.send(channel, member, f"{member} {number}")

    threads = [threading.Thread(target=send, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    orders = []
    for session in sessions:
        events = [session.next_of("CREATE_CHANNEL_MESSAGE") for _ in range(each * len(members))]
        times = [event["CreatedTimestamp"] for event in events]
        assert times == sorted(times)
        orders.append([event["MessageId"] for event in events])
    assert len(set(orders[0])) == each * len(members)
    assert all(order == orders[0] for order in orders)
    assert set(world.contents(channel, members[0])) == {
        f"{member} {n}" for member in members for n in range(each)
    }


# Who gets in.


def test_a_bad_signature_is_told_by_the_close_code(world, server):
    ana = world.user("ana")
    with Session(server, ana, tamper=True) as session:
        assert session.close_code() == NOT_AUTHORIZED
    unknown = Credentials("AKIAUNKNOWN000000000", "secret")
    with Session(server, ana, credentials=unknown) as session:
        assert session.close_code() == NOT_AUTHORIZED
    with Session(server, ana, at=datetime.now(UTC) - timedelta(hours=1)) as session:
        assert session.close_code() == NOT_AUTHORIZED


def test_a_device_whose_clock_is_wrong_connects_or_learns_why_not(world, server):
    """A URL of ten seconds, by a clock that is as wrong as REST allows; a clock that is more so is named."""
    ana = world.user("ana")
    for minutes in (-4.5, -2, 2, 4.5):
        with Session.established(server, ana, at=datetime.now(UTC) + timedelta(minutes=minutes)):
            pass
    for minutes in (-10, 10):
        with Session(server, ana, at=datetime.now(UTC) + timedelta(minutes=minutes)) as session:
            closed = session.close_frame()
        assert (closed.code, "clock" in closed.reason) == (NOT_AUTHORIZED, True), closed
    with Session(server, ana, tamper=True) as session:
        assert "clock" not in session.close_frame().reason


def test_a_user_who_is_nobody_is_told_by_the_close_code(world, server):
    channel = world.channel(world.user("ana"))
    for user in (None, "", "ana", channel, f"{world.app_instance}/user/nobody"):
        with Session(server, user) as session:
            assert session.close_code() == FORBIDDEN, user


def test_the_same_client_replaces_itself(world, established):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    same = {"sessionId": "phone"}
    older, other = established(ana, parameters=same), established(bob, parameters=same)
    newer = established(ana, parameters=same)
    assert older.close_code() == REPLACED
    world.send(channel, ana, "hi")
    for session in (newer, other):
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "hi"


def test_the_eleventh_session_ends_the_oldest(world, established):
    ana = world.user("ana")
    channel = world.channel(ana)
    oldest, *others = [established(ana) for _ in range(11)]
    assert oldest.close_code() == REPLACED
    world.send(channel, ana, "hi")
    assert [session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] for session in others] == ["hi"] * 10


def test_a_request_that_is_no_upgrade_is_told_so(server):
    with Connection(server) as connection:
        assert connection.send("GET", "/connect").status == 426


def test_what_a_client_says_is_ignored_and_its_ping_answered(world, established):
    ana = world.user("ana")
    channel = world.channel(ana)
    session = established(ana)
    session.socket.send("hello?")
    session.socket.send(b"\x00\x01")
    assert session.socket.ping().wait(10)
    world.send(channel, ana, "still here")
    assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "still here"


def test_a_session_that_closes_is_let_go(world, server):
    ana = world.user("ana")
    channel = world.channel(ana)
    for number in range(3):
        with Session.established(server, ana) as session:
            world.send(channel, ana, str(number))
            assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == str(number)
        assert session.socket.close_code in (1000, 1005)


def test_a_server_that_stops_says_so_and_a_new_one_takes_over(own_server):
    world = World(own_server)
    ana = world.user("ana")
    channel = world.channel(ana)
    with (
        Session.established(own_server, ana) as plain,
        Session.established(own_server, ana, tls=True) as secured,
    ):
        own_server.stop()
        for session in (plain, secured):
            with pytest.raises(ConnectionClosed) as closed:
                session.socket.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == GOING_AWAY
    own_server.start()
    with Session.established(own_server, ana) as session:
        world.send(channel, ana, "again")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "again"


# Who reads too slowly.


class Senders:
    """Many connections that send at once: an SDK would take too long."""

    def __init__(self, server: Server, channel: str, sender: str):
        self.path, self.sender = messages_of(channel), sender
        self.connections = [Connection(server) for _ in range(SENDERS)]
        self.pool = ThreadPoolExecutor(SENDERS)

    def __enter__(self) -> "Senders":
        return self

    def __exit__(self, *_) -> None:
        self.pool.shutdown()
        for connection in self.connections:
            connection.http.close()

    def send(self, count: int, content: str) -> set[str]:
        """Answers the ids, once all are sent."""
        counts = [len(range(number, count, SENDERS)) for number in range(SENDERS)]
        return set().union(*self.pool.map(self.send_over, self.connections, counts, [content] * SENDERS))

    def send_over(self, connection: Connection, count: int, content: str) -> set[str]:
        body = {"Content": content, "Type": "STANDARD", "Persistence": "NON_PERSISTENT"}
        sent = set()
        for _ in range(count):
            whole = body | {"ClientRequestToken": token()}
            answer = connection.call("POST", self.path, whole, bearer=self.sender)
            assert answer.status == 201, answer.body
            sent.add(answer.json["MessageId"])
        return sent


def test_who_reads_too_slowly_finds_a_run_without_gaps_and_then_the_reason(world, established):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    stalled, other = established(bob), established(ana)
    stalled.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    due = QUEUE_LEN_MAX + KERNEL_BYTES_MAX // LONG_FRAME_BYTES
    sent: set[str] = set()
    came: list[str] = []
    with Senders(world.server, channel, ana) as senders:
        while len(sent) <= due:
            sent |= senders.send(BURST, LONG_CONTENT)
            # The other one reads, so it is not what is overrun.
            came += [other.next_of("CREATE_CHANNEL_MESSAGE")["MessageId"] for _ in range(BURST)]
    assert set(came) == sent and len(came) == len(sent), "the other one got everything"
    read: list[str] = []
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            read.append(stalled.next_of("CREATE_CHANNEL_MESSAGE")["MessageId"])
    assert closed.value.rcvd is not None, "the connection was lost without a close frame"
    assert closed.value.rcvd.code == TRY_LATER
    assert 0 < len(read) < len(came)
    assert read == came[: len(read)]
    # What it missed is not lost.
    with Session.established(world.server, bob) as again:
        world.send(channel, ana, "later")
        assert again.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "later"


# Who comes back.


@pytest.fixture
def timed_server(engine, tmp_path) -> Iterator[Server]:
    """One with a clock that can be moved."""
    server = Server(tmp_path, engine, "--test-clock").start()
    yield server
    server.stop()


def from_last(session: Session, **parameters: str) -> dict[str, str]:
    """The parameters of a session that goes on where another ended."""
    assert session.last is not None
    return {"resume-from": session.last} | parameters


def until(session: Session, content: str) -> list[Event]:
    """What comes before the message that says this, and no other does."""
    came: list[Event] = []
    while True:
        event = session.next()
        if event.kind == "CREATE_CHANNEL_MESSAGE" and event.payload.get("Content") == content:
            return came
        came.append(event)


def about(channel: str, events: list[Event]) -> list[tuple[str, str | None]]:
    """Of the events of a channel, what each is and what it says."""
    of_channel = [event for event in events if event.payload["ChannelArn"] == channel]
    return [(event.kind, event.payload.get("Content")) for event in of_channel]


def missed(world: World, user: str, channel: str, sender: str, **parameters: str) -> list[Event]:
    """What a session is shown that resumes, up to a message that is sent to it then."""
    with Session.established(world.server, user, parameters=parameters) as session:
        live = token()
        world.send(channel, sender, live)
        return until(session, live)


def test_a_session_that_resumes_is_told_what_it_missed(world):
    ana, bob, cy = world.users("ana", "bob", "cy")
    lobby, left, joined = world.channel(ana, bob, cy), world.channel(ana, bob), world.channel(ana)
    with Session.established(world.server, bob) as session:
        seen = world.send(lobby, ana, "seen")["MessageId"]
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "seen"
    world.send(lobby, ana, "missed")
    world.send(lobby, ana, "for cy", Target=[{"MemberArn": cy}])
    world.send(lobby, ana, "typing", Type="CONTROL", Persistence="NON_PERSISTENT")
    world.messaging.update_channel_message(
        ChannelArn=lobby, MessageId=seen, Content="edited", ChimeBearer=ana
    )
    world.send(joined, ana, "before bob")
    world.add(joined, bob, by=ana)
    world.send(joined, ana, "with bob")
    world.send(left, ana, "still with bob")
    world.remove(left, bob, by=ana)
    world.send(left, ana, "without bob")
    with Session.established(world.server, bob, parameters=from_last(session)) as again:
        world.send(lobby, ana, "live")
        came = until(again, "live")
        world.send(left, ana, "not for bob")
        world.send(joined, ana, "for bob")
        assert again.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "for bob"
    assert about(lobby, came) == [
        ("CREATE_CHANNEL_MESSAGE", "missed"),
        ("CREATE_CHANNEL_MESSAGE", "typing"),
        ("UPDATE_CHANNEL_MESSAGE", "edited"),
    ]
    assert about(joined, came) == [
        ("CREATE_CHANNEL_MEMBERSHIP", None),
        ("CREATE_CHANNEL_MESSAGE", "with bob"),
    ]
    # Of other channels than that of the event, what came with it may come again.
    assert about(left, came)[-2:] == [
        ("CREATE_CHANNEL_MESSAGE", "still with bob"),
        ("DELETE_CHANNEL_MEMBERSHIP", None),
    ]
    assert {event.payload["ChannelArn"] for event in came} == {lobby, left, joined}
    # And so from there on.
    events = missed(world, bob, lobby, ana, **from_last(again))
    assert about(lobby, events) == about(left, events) == []


def test_a_session_resumes_from_its_beginning_and_where_nothing_was_missed(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    with Session.established(world.server, bob) as session:
        pass
    sent: list[str] = []
    for content in ("one", "two", "three"):
        events = missed(world, bob, channel, ana, **from_last(session))
        told = [content for _, content in about(channel, events)]
        assert [content for content in told if content in sent] == sent
        world.send(channel, ana, content)
        sent.append(content)


def test_a_session_that_comes_back_again_and_again_misses_nothing(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    count, at_once = 200, 7
    came: list[str] = []
    session = Session.established(world.server, bob)

    def send() -> None:
        for number in range(count):
            world.send(channel, ana, str(number))

    sender = threading.Thread(target=send)
    sender.start()
    while len(came) < count:
        for _ in range(min(at_once, count - len(came))):
            came.append(session.next_of("CREATE_CHANNEL_MESSAGE")["Content"])
        session.close()
        session = Session.established(world.server, bob, parameters=from_last(session))
    session.close()
    sender.join()
    assert came == [str(number) for number in range(count)]


def test_what_was_erased_meanwhile_is_not_shown_to_who_resumes(world):
    ana, bob = world.users("ana", "bob")
    admin = world.admin("eve")
    channel = world.channel(ana, bob)
    with Session.established(world.server, bob) as session:
        world.send(channel, ana, "seen")
        session.next_of("CREATE_CHANNEL_MESSAGE")
    redacted, deleted = (world.send(channel, ana, "secret", Metadata="secret")["MessageId"] for _ in range(2))
    world.messaging.redact_channel_message(ChannelArn=channel, MessageId=redacted, ChimeBearer=ana)
    world.messaging.delete_channel_message(ChannelArn=channel, MessageId=deleted, ChimeBearer=admin)
    came = missed(world, bob, channel, ana, **from_last(session))
    assert [(event.kind, event.payload["MessageId"]) for event in came] == [
        ("CREATE_CHANNEL_MESSAGE", redacted),
        ("CREATE_CHANNEL_MESSAGE", deleted),
        ("REDACT_CHANNEL_MESSAGE", redacted),
        ("DELETE_CHANNEL_MESSAGE", deleted),
    ]
    assert all("secret" not in event.payload.values() for event in came)


def test_a_channel_that_ended_meanwhile_is_told_of_or_makes_a_reload(world):
    ana, bob = world.users("ana", "bob")
    lobby, ended = world.channel(ana, bob), world.channel(ana, bob)
    with Session.established(world.server, bob) as session:
        world.send(ended, ana, "seen")
        session.next_of("CREATE_CHANNEL_MESSAGE")
    world.send(ended, ana, "last words")
    world.messaging.delete_channel(ChannelArn=ended, ChimeBearer=ana)
    came = missed(world, bob, lobby, ana, **from_last(session))
    # A job destroys it soon, with all that could be told of it.
    if [event.kind for event in came] != ["RELOAD_REQUIRED"]:
        assert about(ended, came) == [("CREATE_CHANNEL_MESSAGE", "last words"), ("DELETE_CHANNEL", None)]


def test_who_is_no_more_does_not_resume(world):
    ana, bob = world.users("ana", "bob")
    world.channel(ana, bob)
    with Session.established(world.server, bob) as session:
        pass
    world.identity.delete_app_instance_user(AppInstanceUserArn=bob)
    with Session(world.server, bob, parameters=from_last(session)) as again:
        assert again.close_code() == FORBIDDEN


@pytest.mark.parametrize("wrong", ["", "yesterday", "1.2", "-1", "1..2", "0", '"}', "\n\u2028", "9" * 400])
def test_an_id_that_was_never_given_makes_a_reload(world, wrong):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    world.send(channel, ana, "before")
    with Session.established(world.server, bob, parameters={"resume-from": wrong}) as session:
        assert session.next() == Event("RELOAD_REQUIRED", "SYSTEM", None)
        reloaded = from_last(session)
        world.send(channel, ana, "live")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "live"
    came = missed(world, bob, channel, ana, **reloaded)
    assert about(channel, came)[-1:] == [("CREATE_CHANNEL_MESSAGE", "live")]


def test_who_was_away_for_too_long_reloads_and_resumes_from_there(timed_server):
    world = World(timed_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    with Session.established(timed_server, bob) as session:
        world.send(channel, ana, "seen")
        session.next_of("CREATE_CHANNEL_MESSAGE")
    world.send(channel, ana, "missed")
    timed_server.advance(AWAY)
    world.send(channel, ana, "late")
    with Session.established(timed_server, bob, parameters=from_last(session)) as away:
        assert away.next() == Event("RELOAD_REQUIRED", "SYSTEM", None)
    assert away.last not in (None, session.last)
    world.send(channel, ana, "after")
    came = missed(world, bob, channel, ana, **from_last(away))
    # What came with it may come again, and nothing of what was before.
    assert [content for _, content in about(channel, came)][-1:] == ["after"]
    assert {content for _, content in about(channel, came)} <= {"late", "after"}


def test_who_missed_too_much_reloads(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    with Session.established(world.server, bob) as session:
        world.send(channel, ana, "seen")
        session.next_of("CREATE_CHANNEL_MESSAGE")
    with Senders(world.server, channel, ana) as senders:
        # The live one may be sent before what was missed is read, and is one of it then.
        senders.send(RESUME_EVENTS_MAX - 1, "missed")
        with Session.established(world.server, bob, parameters=from_last(session)) as again:
            world.send(channel, ana, "live")
            assert len(until(again, "live")) == RESUME_EVENTS_MAX - 1
    world.send(channel, ana, "one too many")
    came = missed(world, bob, channel, ana, **from_last(session))
    assert [event.kind for event in came] == ["RELOAD_REQUIRED"]


def test_only_who_reloads_gets_the_prefetch_that_it_asked_for(world):
    ana, bob = world.users("ana", "bob")
    channels = [world.channel(ana, bob) for _ in range(2)]
    prefetch = {"prefetch-on": "connect"}
    with Session.established(world.server, bob) as session:
        world.send(channels[0], ana, "seen")
        session.next_of("CREATE_CHANNEL_MESSAGE")
    world.send(channels[0], ana, "missed")
    came = missed(world, bob, channels[0], ana, **from_last(session, **prefetch))
    assert about(channels[0], came) == [("CREATE_CHANNEL_MESSAGE", "missed")]
    assert "CHANNEL_DETAILS" not in {event.kind for event in came}
    wrong = {"resume-from": "yesterday"} | prefetch
    with Session.established(world.server, bob, parameters=wrong) as session:
        assert session.next().kind == "RELOAD_REQUIRED"
        details = [session.next_of("CHANNEL_DETAILS") for _ in channels]
        assert {each["Channel"]["ChannelArn"] for each in details} == set(channels)
        world.send(channels[1], ana, "live")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "live"


def test_a_session_resumes_on_the_server_that_comes_after(own_server):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel, left = world.channel(ana, bob), world.channel(ana, bob)
    with Session.established(own_server, bob) as session:
        world.send(channel, ana, "seen")
        session.next_of("CREATE_CHANNEL_MESSAGE")
        away = from_last(session)
        world.send(channel, ana, "told, perhaps")
        own_server.stop()
    own_server.start()
    world.send(channel, ana, "missed")
    world.remove(left, bob, by=ana)
    for tls in (False, True):
        with Session.established(own_server, bob, parameters=away, tls=tls) as again:
            live = token()
            world.send(channel, ana, live)
            came = until(again, live)
        contents = [content for _, content in about(channel, came)]
        assert contents[:2] == ["told, perhaps", "missed"]
        assert about(left, came)[-1:] == [("DELETE_CHANNEL_MEMBERSHIP", None)]


def test_a_clock_that_was_wrong_is_not_followed_by_the_server_that_comes_after(timed_server):
    world = World(timed_server)
    ana, bob = world.users("ana", "bob")
    ahead, other = world.channel(ana, bob), world.channel(ana, bob)
    timed_server.advance(AWAY)
    with Session.established(timed_server, bob) as session:
        world.send(ahead, ana, "seen")
        later = session.next_of("CREATE_CHANNEL_MESSAGE")["CreatedTimestamp"]
    timed_server.stop()
    timed_server.flags = ()
    timed_server.start()
    # What the session was told last is still to come.
    with Session.established(timed_server, bob, parameters=from_last(session)) as again:
        assert again.next().kind == "RELOAD_REQUIRED"
        # Within its channel time does not run backwards, and no other is carried along.
        world.send(ahead, ana, "after it")
        assert again.next_of("CREATE_CHANNEL_MESSAGE")["CreatedTimestamp"] >= later
        world.send(other, ana, "now")
        assert again.next_of("CREATE_CHANNEL_MESSAGE")["CreatedTimestamp"] < later


# What a client may send.


@pytest.mark.parametrize("frame", ["ping", "text", "pong"])
def test_a_client_that_sends_frames_without_end_is_closed(world, server, established, frame):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    other, flood = established(bob), established(ana)
    send = {"ping": flood.socket.ping, "text": lambda: flood.socket.send("hello"), "pong": flood.socket.pong}[frame]
    before = closes(server, POLICY)
    # Sent within one second of the server's or of two, of which one then has more than half.
    with pytest.raises(ConnectionClosed) as closed:
        for _ in range(200 * FRAMES_MAX):
            send()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == POLICY
    assert closes(server, POLICY) == before + 1
    world.send(channel, ana, "hi")
    assert other.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "hi"


def test_a_client_that_sends_parts_of_a_message_without_end_is_closed(world, server, established):
    ana = world.user("ana")
    flood = established(ana)
    begin, go_on = (bytes([opcode, 0x80, 0, 0, 0, 0]) for opcode in (1, 0))
    before = closes(server, POLICY)
    connection = flood.socket.socket
    connection.sendall(begin)
    with pytest.raises(OSError):
        for _ in range(PARTS_MAX // 1024):
            connection.sendall(go_on * 1024)
    assert closes(server, POLICY) == before + 1


def closes(server: Server, code: int) -> int:
    """How many sockets the server says that it closed with this code."""
    lines = server.measured().splitlines()
    start = f'carillon_socket_closes_total{{code="{code}"}} '
    return sum(int(line.removeprefix(start)) for line in lines if line.startswith(start))
