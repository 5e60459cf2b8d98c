"""The WebSocket, frame by frame: who gets which event, and how a socket ends.

That an event does *not* come is shown without waiting: something later is made to come, and nothing is before it.
"""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosed

from harness.raw import Connection
from harness.server import Credentials
from harness.session import Session
from harness.world import World, token

GOING_AWAY = 1012
FORBIDDEN = 4003
REPLACED = 4002
NOT_AUTHORIZED = 4401


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
