"""An elastic channel from its creation to its deletion, as the public guide walks it, by boto3 and sockets."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.server import Server
from harness.session import Session
from harness.world import World, pages, refused
from test_limits import throttled

CONFIGURATION = {
    "MaximumSubChannels": 2,
    "TargetMembershipsPerSubChannel": 4,
    "MinimumMembershipPercentage": 40,
}
# A node that is killed amid a round keeps its job for a minute, and the next one looks again every half.
BALANCING_TIMEOUT_S = 20
# In the form of an id that there is, but of nothing.
UNKNOWN = "0" * 32
# The published rates, but for those that would be exhausted before.
LIMITS = """
[limits]
preset = "aws"
bearer_calls_per_second = 0
identity_calls_per_second = 0
user_changes_per_second = 0
channel_changes_per_second = 0
"""


def elastic(world: World, moderator: str, **options) -> str:
    return world.channel(moderator, ElasticChannelConfiguration=CONFIGURATION, **options)


def sub_channels(world: World, channel: str, moderator: str) -> dict[str, int]:
    listed = pages(
        world.messaging.list_sub_channels,
        "SubChannels",
        ChannelArn=channel,
        ChimeBearer=moderator,
        MaxResults=1,
    )
    return {one["SubChannelId"]: one["MembershipCount"] for one in listed}


def members_of(world: World, channel: str, moderator: str, sub_channel: str) -> set[str]:
    listed = pages(
        world.messaging.list_channel_memberships,
        "ChannelMemberships",
        ChannelArn=channel,
        ChimeBearer=moderator,
        SubChannelId=sub_channel,
        MaxResults=2,
    )
    return {one["Member"]["Arn"] for one in listed}


def place_of(world: World, channel: str, member: str) -> str:
    """Where a client learns its sub-channel from."""
    mine = pages(
        world.messaging.list_channel_memberships_for_app_instance_user,
        "ChannelMemberships",
        ChimeBearer=member,
    )
    [own] = [one for one in mine if one["ChannelSummary"]["ChannelArn"] == channel]
    return own["AppInstanceUserMembershipSummary"]["SubChannelId"]


def balanced(world: World, channel: str, moderator: str, sizes: list[int]) -> dict[str, int]:
    """Waits for the counts that balancing must lead to."""
    deadline = time.monotonic() + BALANCING_TIMEOUT_S
    while (found := sub_channels(world, channel, moderator)) is not None:
        if sorted(found.values()) == sizes:
            return found
        assert time.monotonic() < deadline, f"{found}, not {sizes}"
        time.sleep(0.05)
    raise AssertionError


def test_the_whole_guide(world):
    ana, *people = world.users("ana", *(f"u{number}" for number in range(9)))
    messaging = world.messaging

    # Create: the creator moderates, and is no member.
    channel = elastic(world, ana, Name="Keynote")
    described = messaging.describe_channel(ChannelArn=channel, ChimeBearer=ana)["Channel"]
    assert described["ElasticChannelConfiguration"] == CONFIGURATION
    assert described["Mode"] == "RESTRICTED"
    assert list(sub_channels(world, channel, ana).values()) == [0]

    # Join: four share a sub-channel; the service chooses it.
    first = world.add(channel, people[0], ana)["SubChannelId"]
    for person in people[1:4]:
        assert world.add(channel, person, ana)["SubChannelId"] == first
    with refused("Conflict"):
        world.add(channel, people[0], ana)
    with refused("BadRequest"):
        messaging.create_channel_membership(
            ChannelArn=channel, MemberArn=people[4], Type="DEFAULT", SubChannelId=first, ChimeBearer=ana
        )
    with refused("BadRequest"):
        world.add(channel, ana, ana)
    with refused("BadRequest"):
        world.add(channel, people[4], ana, kind="HIDDEN")

    # Send: with a SubChannelId, and not without.
    sent = world.send(channel, people[0], "first!", SubChannelId=first)
    assert sent["SubChannelId"] == first
    with refused("BadRequest"):
        world.send(channel, people[0], "nowhere")
    with refused("Forbidden"):
        world.send(channel, ana, "not joined", SubChannelId=first)
    status = messaging.get_channel_message_status(
        ChannelArn=channel, MessageId=sent["MessageId"], SubChannelId=first, ChimeBearer=people[0]
    )
    assert status["Status"] == {"Value": "SENT"}

    # Scale out: the fifth opens a second sub-channel, and one of the four follows; only that one is told.
    sessions = {person: Session.established(world.server, person) for person in people[:5]}
    try:
        second = world.add(channel, people[4], ana)["SubChannelId"]
        assert second != first
        assert balanced(world, channel, ana, [2, 3]).keys() == {first, second}
        [moved] = members_of(world, channel, ana, second) - {people[4]}
        messaging.create_channel_membership(
            ChannelArn=channel, MemberArn=ana, Type="DEFAULT", SubChannelId=second, ChimeBearer=ana
        )
        world.send(channel, ana, "to the second", SubChannelId=second)
        seen = {person: [] for person in sessions}
        for person in (moved, people[4]):
            while (event := sessions[person].next()).kind != "CREATE_CHANNEL_MESSAGE":
                seen[person].append(event)
        [told] = [event for event in seen[moved] if event.kind == "UPDATE_CHANNEL_MEMBERSHIP"]
        assert told.payload["SubChannelId"] == second
        assert told.payload["Member"]["Arn"] == moved
        assert told.payload["InvitedBy"]["Arn"] == ana
        kinds = Counter(event.kind for event in seen[people[4]])
        assert kinds == {"CREATE_CHANNEL_MEMBERSHIP": 2}, "for oneself and for ana, and no transfer"
        world.send(channel, next(iter(set(people[:4]) - {moved})), "to the first", SubChannelId=first)
        for person in set(people[:4]) - {moved}:
            assert sessions[person].next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "to the first"
    finally:
        for session in sessions.values():
            session.close()
    assert place_of(world, channel, moved) == second

    # Read: one's own, and whoever moderates, all.
    def contents(reader, place):
        return world.contents(channel, reader, SubChannelId=place)

    assert contents(moved, second) == ["to the second"]
    assert contents(ana, first) == ["to the first", "first!"]
    with refused("Forbidden"):
        contents(moved, first)

    # Moderate: a promoted member leaves, and chooses sub-channels from then on.
    messaging.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=people[4], ChimeBearer=ana)
    # One is left there, and the other sub-channel has room for it: which of them stays is known only then.
    [left] = balanced(world, channel, ana, [4])
    assert members_of(world, channel, ana, left) == set(people[:4])
    messaging.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=people[4], ChimeBearer=ana)
    messaging.create_channel_ban(ChannelArn=channel, MemberArn=people[5], ChimeBearer=ana)
    with refused("Forbidden"):
        world.add(channel, people[5], ana)

    # Delete.
    messaging.delete_channel(ChannelArn=channel, ChimeBearer=ana)
    with refused("Forbidden"):
        sub_channels(world, channel, ana)


def test_a_dissolved_sub_channel_tells_its_moderator_why(world):
    ana, *people = world.users("ana", *(f"u{number}" for number in range(5)))
    channel = elastic(world, ana)
    batch = world.messaging.batch_create_channel_membership(
        ChannelArn=channel, MemberArns=[*people, f"{world.app_instance}/user/nobody"], ChimeBearer=ana
    )
    assert {one["Arn"] for one in batch["BatchChannelMemberships"]["Members"]} == set(people)
    assert [error["ErrorCode"] for error in batch["Errors"]] == ["NotFound"]
    both = balanced(world, channel, ana, [2, 3])
    small = min(both, key=lambda place: both[place])
    world.messaging.create_channel_membership(
        ChannelArn=channel, MemberArn=ana, Type="DEFAULT", SubChannelId=small, ChimeBearer=ana
    )
    leaving = sorted(members_of(world, channel, ana, small) - {ana})[0]
    with Session.established(world.server, ana) as session:
        world.remove(channel, leaving, by=ana)
        own = session.next()
        assert (own.kind, own.reason) == ("DELETE_CHANNEL_MEMBERSHIP", None)
        told = session.next()
        assert (told.kind, told.reason) == ("DELETE_CHANNEL_MEMBERSHIP", "subchannel_DELETED")
        assert told.payload["Member"]["Arn"] == ana
        assert told.payload["SubChannelId"] == small
    balanced(world, channel, ana, [4])
    with refused("Forbidden"):
        world.contents(channel, ana, SubChannelId=small)


def test_a_full_channel_and_what_elastic_channels_do_not_have(world):
    ana, *people = world.users("ana", *(f"u{number}" for number in range(9)))
    channel = elastic(world, ana)
    messaging = world.messaging
    for person in people[:8]:
        world.add(channel, person, ana)
    with refused("ResourceLimitExceeded"):
        world.add(channel, people[8], ana)
    balanced(world, channel, ana, [4, 4])
    with refused("BadRequest"):
        messaging.update_channel_read_marker(ChannelArn=channel, ChimeBearer=people[0])
    with refused("BadRequest"):
        messaging.put_channel_membership_preferences(
            ChannelArn=channel,
            MemberArn=people[0],
            ChimeBearer=people[0],
            Preferences={"PushNotifications": {"AllowNotifications": "ALL"}},
        )
    with refused("BadRequest"):
        messaging.get_channel_membership_preferences(
            ChannelArn=channel, MemberArn=people[0], ChimeBearer=people[0]
        )
    with refused("Forbidden"):
        messaging.describe_channel_moderated_by_app_instance_user(
            ChannelArn=channel, AppInstanceUserArn=ana, ChimeBearer=ana
        )
    with refused("BadRequest"):
        messaging.list_sub_channels(ChannelArn=world.channel(ana), ChimeBearer=ana)
    with refused("Forbidden"):
        sub_channels(world, channel, people[0])


def test_balancing_goes_on_after_a_kill(own_server):
    world = World(own_server)
    ana, *people = world.users("ana", *(f"u{number}" for number in range(5)))
    channel = elastic(world, ana)
    for person in people:
        world.add(channel, person, ana)
    own_server.kill()
    own_server.start()
    balanced(world, channel, ana, [2, 3])


# One rule after the other.


@dataclass
class Stadium:
    """An elastic channel with two and three members in its two sub-channels, whom ana and eve let in.

    ana moderates it, eve administers the app instance, and neither joined. `here` is the sub-channel of three.
    """

    world: World
    ana: str
    eve: str
    channel: str
    here: str
    there: str
    of_here: list[str]
    of_there: list[str]

    @classmethod
    def of(cls, world: World, **options: Any) -> "Stadium":
        ana, *people = world.users("ana", *(f"u{number}" for number in range(5)))
        eve = world.admin("eve")
        channel = elastic(world, ana, **options)
        for person in people:
            world.add(channel, person, ana)
        sizes = balanced(world, channel, ana, [2, 3])
        there, here = sorted(sizes, key=lambda place: sizes[place])
        of_here, of_there = (sorted(members_of(world, channel, ana, place)) for place in (here, there))
        return cls(world, ana, eve, channel, here, there, of_here, of_there)

    def join(self, moderator: str, place: str, by: str | None = None) -> dict[str, Any]:
        return self.world.add(self.channel, moderator, by or self.ana, SubChannelId=place)

    def promote(self, person: str) -> None:
        self.world.messaging.create_channel_moderator(
            ChannelArn=self.channel, ChannelModeratorArn=person, ChimeBearer=self.ana
        )

    def demote(self, person: str) -> None:
        self.world.messaging.delete_channel_moderator(
            ChannelArn=self.channel, ChannelModeratorArn=person, ChimeBearer=self.ana
        )

    def leave(self, person: str, by: str | None = None, **options: str) -> None:
        self.world.messaging.delete_channel_membership(
            ChannelArn=self.channel, MemberArn=person, ChimeBearer=by or self.ana, **options
        )

    def membership(self, person: str, by: str | None = None, **options: str) -> dict[str, Any]:
        described = self.world.messaging.describe_channel_membership(
            ChannelArn=self.channel, MemberArn=person, ChimeBearer=by or self.ana, **options
        )
        return described["ChannelMembership"]

    def members(self, by: str, **options: str) -> list[str]:
        listed = pages(
            self.world.messaging.list_channel_memberships,
            "ChannelMemberships",
            ChannelArn=self.channel,
            ChimeBearer=by,
            MaxResults=2,
            **options,
        )
        return sorted(each["Member"]["Arn"] for each in listed)

    def send(self, sender: str, place: str, content: str = "Goal!", **options: Any) -> str:
        return self.world.send(self.channel, sender, content, SubChannelId=place, **options)["MessageId"]

    def contents(self, reader: str, place: str) -> list[str]:
        return self.world.contents(self.channel, reader, SubChannelId=place)

    def sizes(self) -> dict[str, int]:
        return sub_channels(self.world, self.channel, self.ana)


@pytest.fixture
def stadium(world) -> Stadium:
    return Stadium.of(world)


# Creation.


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"MaximumSubChannels": 1}, "BadRequest"),
        ({"TargetMembershipsPerSubChannel": 1}, "BadRequest"),
        ({"MinimumMembershipPercentage": 0}, "BadRequest"),
        ({"MinimumMembershipPercentage": 41}, "BadRequest"),
        ({"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 500_001}, "BadRequest"),
        ({"MaximumSubChannels": 101}, "ResourceLimitExceeded"),
        ({"TargetMembershipsPerSubChannel": 1_001}, "ResourceLimitExceeded"),
    ],
)
def test_a_configuration_that_cannot_be(world, changes, refusal):
    ana = world.user("ana")
    with refused(refusal):
        world.channel(ana, ElasticChannelConfiguration=CONFIGURATION | changes)
    assert elastic(world, ana), "what was refused left nothing behind"


@pytest.mark.parametrize("missing", CONFIGURATION)
def test_a_configuration_is_whole(world, missing):
    ana = world.user("ana")
    part = {name: value for name, value in CONFIGURATION.items() if name != missing}
    with refused("BadRequest"):
        world.channel(ana, ElasticChannelConfiguration=part)


def test_the_bounds_themselves_can_be(world):
    ana = world.user("ana")
    for most, target, percentage in [(2, 2, 1), (100, 1_000, 40)]:
        configuration = {
            "MaximumSubChannels": most,
            "TargetMembershipsPerSubChannel": target,
            "MinimumMembershipPercentage": percentage,
        }
        channel = world.channel(ana, ElasticChannelConfiguration=configuration)
        described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=ana)["Channel"]
        assert described["ElasticChannelConfiguration"] == configuration
        world.messaging.delete_channel(ChannelArn=channel, ChimeBearer=ana)


def test_an_elastic_channel_is_made_without_members_and_stays_restricted(world):
    ana, bob, cy = world.users("ana", "bob", "cy")
    eve = world.admin("eve")
    messaging = world.messaging
    with refused("BadRequest"):
        elastic(world, ana, Mode="UNRESTRICTED")
    with refused("BadRequest"):
        elastic(world, ana, MemberArns=[bob])
    channel = elastic(world, ana, Privacy="PUBLIC", ModeratorArns=[bob])
    described = messaging.describe_channel(ChannelArn=channel, ChimeBearer=cy)["Channel"]
    assert (described["Mode"], described["Privacy"]) == ("RESTRICTED", "PUBLIC")
    with refused("BadRequest"):
        messaging.update_channel(
            ChannelArn=channel, Name="Open", Mode="UNRESTRICTED", ChimeBearer=ana
        )
    # One empty sub-channel, which those who moderate and administer see.
    for asker in (ana, bob, eve):
        assert list(sub_channels(world, channel, asker).values()) == [0]
    for moderator in (ana, bob):
        mine = messaging.list_channel_memberships_for_app_instance_user(ChimeBearer=moderator)
        assert mine["ChannelMemberships"] == []
    # Whoever wants to may come, because it is public; who came may bring nobody.
    place = world.add(channel, cy, by=cy)["SubChannelId"]
    with refused("Forbidden"):
        world.add(channel, world.user("dee"), by=cy)
    assert place_of(world, channel, cy) == place


def test_an_app_instance_has_one(world):
    ana = world.user("ana")
    channel = elastic(world, ana)
    with refused("ResourceLimitExceeded"):
        elastic(world, ana)
    assert world.channel(ana), "of others, many"
    world.messaging.delete_channel(ChannelArn=channel, ChimeBearer=ana)
    assert elastic(world, ana) != channel


# Memberships.


def test_where_a_member_is_the_service_decides(stadium):
    member, newcomer = stadium.of_there[0], stadium.world.user("new")
    for place in (stadium.here, UNKNOWN):
        with refused("BadRequest"):
            stadium.world.add(stadium.channel, newcomer, stadium.ana, SubChannelId=place)
    with refused("BadRequest"):
        stadium.world.add(stadium.channel, newcomer, stadium.ana, kind="HIDDEN")
    added = stadium.world.add(stadium.channel, newcomer, stadium.eve)
    assert added["SubChannelId"] == stadium.here, "the fullest that is not full"
    with refused("Conflict"):
        stadium.world.add(stadium.channel, newcomer, stadium.ana)
    # It is described with and without its sub-channel.
    described = stadium.membership(newcomer)
    assert described["SubChannelId"] == stadium.here
    assert described["InvitedBy"]["Arn"] == stadium.eve
    assert stadium.membership(newcomer, SubChannelId=stadium.here) == described
    assert stadium.membership(newcomer, by=newcomer) == described
    with refused("NotFound"):
        stadium.membership(newcomer, SubChannelId=stadium.there)
    # And leaves without naming it.
    for place in (stadium.there, UNKNOWN):
        with refused("BadRequest"):
            stadium.leave(member, SubChannelId=place)
    with refused("Forbidden"):
        stadium.leave(newcomer, by=member)
    stadium.leave(newcomer, by=newcomer)
    assert stadium.members(stadium.ana) == sorted(stadium.of_here + stadium.of_there)


def test_a_moderator_chooses_sub_channels_and_counts_for_none(stadium):
    with refused("BadRequest"):
        stadium.world.add(stadium.channel, stadium.ana, stadium.ana)
    with refused("NotFound"):
        stadium.join(stadium.ana, UNKNOWN)
    with refused("BadRequest"):
        stadium.world.add(stadium.channel, stadium.ana, stadium.ana, kind="HIDDEN", SubChannelId=stadium.here)
    for place in (stadium.here, stadium.there):
        assert stadium.join(stadium.ana, place)["SubChannelId"] == place
        with refused("Conflict"):
            stadium.join(stadium.ana, place)
    assert stadium.sizes() == {stadium.here: 4, stadium.there: 3}
    with refused("BadRequest"):
        stadium.membership(stadium.ana)
    for place in (stadium.here, stadium.there):
        described = stadium.membership(stadium.ana, SubChannelId=place)
        assert (described["SubChannelId"], described["Member"]["Arn"]) == (place, stadium.ana)
    # There is still room for three more, and for no other.
    for number in range(3):
        stadium.world.add(stadium.channel, stadium.world.user(f"new{number}"), stadium.ana)
    assert stadium.sizes() == {stadium.here: 5, stadium.there: 5}
    with refused("ResourceLimitExceeded"):
        stadium.world.add(stadium.channel, stadium.world.user("late"), stadium.ana)
    # Out of one, then out of all.
    stadium.leave(stadium.ana, SubChannelId=stadium.here)
    with refused("Conflict", "NotFound"):
        stadium.leave(stadium.ana, SubChannelId=stadium.here)
    assert stadium.sizes() == {stadium.here: 4, stadium.there: 5}
    stadium.join(stadium.ana, stadium.here)
    stadium.leave(stadium.ana)
    assert stadium.sizes() == {stadium.here: 4, stadium.there: 4}
    with refused("NotFound"):
        stadium.membership(stadium.ana, SubChannelId=stadium.here)


def test_who_is_promoted_demoted_or_banned_has_to_join_again(stadium):
    world, bob = stadium.world, stadium.of_here[0]
    with Session.established(world.server, bob) as session:
        stadium.promote(bob)
        own = session.next_of("DELETE_CHANNEL_MEMBERSHIP")
        assert (own["Member"]["Arn"], own["SubChannelId"]) == (bob, stadium.here)
        assert stadium.sizes() == {stadium.here: 2, stadium.there: 2}
        with refused("Forbidden"):
            stadium.send(bob, stadium.here)
        for place in (stadium.here, stadium.there):
            stadium.join(bob, place, by=bob)
            assert session.next_of("CREATE_CHANNEL_MEMBERSHIP")["SubChannelId"] == place
            stadium.send(bob, place)
            assert session.next_of("CREATE_CHANNEL_MESSAGE")["SubChannelId"] == place
        stadium.demote(bob)
        own = [session.next_of("DELETE_CHANNEL_MEMBERSHIP")["SubChannelId"] for _ in range(2)]
        assert sorted(own) == sorted([stadium.here, stadium.there])
        assert stadium.sizes() == {stadium.here: 2, stadium.there: 2}
        with refused("Forbidden"):
            stadium.contents(bob, stadium.here)
        place = world.add(stadium.channel, bob, stadium.ana)["SubChannelId"]
        assert session.next_of("CREATE_CHANNEL_MEMBERSHIP")["SubChannelId"] == place
        world.messaging.create_channel_ban(
            ChannelArn=stadium.channel, MemberArn=bob, ChimeBearer=stadium.ana
        )
        assert session.next_of("DELETE_CHANNEL_MEMBERSHIP")["SubChannelId"] == place
    # It holds for the whole channel, and who moderates cannot get around it.
    assert stadium.sizes() == {stadium.here: 2, stadium.there: 2}
    assert bob not in stadium.members(stadium.ana)
    with refused("Forbidden"):
        world.add(stadium.channel, bob, stadium.ana)
    with refused("Forbidden"):
        stadium.promote(bob)


def test_a_batch_is_of_members_or_of_moderators(stadium):
    world = stadium.world
    new, moderator = world.user("new"), world.user("moderator")
    stadium.promote(moderator)

    def batch(*people: str, **options: str) -> tuple[dict[str, str | None], dict[str, str]]:
        answer = world.messaging.batch_create_channel_membership(
            ChannelArn=stadium.channel, MemberArns=[*people], ChimeBearer=stadium.ana, **options
        )
        memberships = answer["BatchChannelMemberships"]
        added = {each["Arn"]: memberships.get("SubChannelId") for each in memberships.get("Members", [])}
        return added, {each["MemberArn"]: each["ErrorCode"] for each in answer.get("Errors", [])}

    added, errors = batch(new, moderator)
    assert (added.keys(), errors) == ({new}, {moderator: "BadRequest"})
    added, errors = batch(moderator, world.user("other"), new, SubChannelId=stadium.there)
    assert added.keys() == {moderator}
    assert set(errors.values()) <= {"BadRequest", "Conflict"} and len(errors) == 2
    assert stadium.membership(moderator, SubChannelId=stadium.there)["Member"]["Arn"] == moderator
    with refused("BadRequest"):
        batch(world.user("hidden"), Type="HIDDEN")
    # Two more find room, and who comes after them does not.
    late = [world.user(f"late{number}") for number in range(4)]
    added, errors = batch(*late)
    assert (added.keys(), errors) == (
        {*late[:2]},
        {late[2]: "ResourceLimitExceeded", late[3]: "ResourceLimitExceeded"},
    )


# Balancing.


def test_the_last_sub_channel_stays_and_is_filled_again(world):
    ana, bob = world.users("ana", "bob")
    channel = elastic(world, ana)
    [only] = sub_channels(world, channel, ana)
    for _ in range(2):
        assert world.add(channel, bob, ana)["SubChannelId"] == only
        world.send(channel, bob, "Goal!", SubChannelId=only)
        world.remove(channel, bob, by=ana)
        assert sub_channels(world, channel, ana) == {only: 0}
    assert world.contents(channel, ana, SubChannelId=only) == ["Goal!", "Goal!"]


def test_a_moderator_is_never_moved(stadium):
    stadium.join(stadium.ana, stadium.here)
    balanced(stadium.world, stadium.channel, stadium.ana, [2, 4])
    for person in stadium.of_there[:1]:
        stadium.leave(person)
    # One was left there, and went where there was room.
    balanced(stadium.world, stadium.channel, stadium.ana, [5])
    assert stadium.membership(stadium.ana, SubChannelId=stadium.here)["Member"]["Arn"] == stadium.ana
    [moved] = stadium.of_there[1:]
    assert stadium.membership(moved)["SubChannelId"] == stadium.here
    assert stadium.membership(moved)["InvitedBy"]["Arn"] == stadium.ana


def test_a_dissolved_sub_channel_takes_its_messages_with_it(stadium):
    left, moved = stadium.of_there
    stadium.send(stadium.of_here[0], stadium.here, "kept")
    gone = stadium.send(moved, stadium.there, "gone")
    with Session.established(stadium.world.server, moved) as session:
        stadium.leave(left)
        balanced(stadium.world, stadium.channel, stadium.ana, [4])
        assert session.next_of("DELETE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == left
        told = session.next_of("UPDATE_CHANNEL_MEMBERSHIP")
        assert (told["Member"]["Arn"], told["SubChannelId"]) == (moved, stadium.here)
        stadium.send(stadium.of_here[0], stadium.here, "later")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "later"
    assert stadium.contents(moved, stadium.here) == ["later", "kept"]
    for reader in (moved, stadium.ana, stadium.eve):
        with refused("Forbidden"):
            stadium.contents(reader, stadium.there)
        with refused("NotFound"):
            stadium.world.messaging.get_channel_message(
                ChannelArn=stadium.channel, MessageId=gone, SubChannelId=stadium.here, ChimeBearer=reader
            )


def test_who_was_moved_while_away_is_told_when_they_resume(stadium):
    left, moved = stadium.of_there
    stadium.join(stadium.ana, stadium.there)
    sessions = {person: Session.established(stadium.world.server, person) for person in (moved, stadium.ana)}
    stadium.send(moved, stadium.there, "seen")
    for session in sessions.values():
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "seen"
        session.close()
    stadium.leave(left)
    balanced(stadium.world, stadium.channel, stadium.ana, [4])
    due = {
        moved: ("UPDATE_CHANNEL_MEMBERSHIP", None, stadium.here),
        stadium.ana: ("DELETE_CHANNEL_MEMBERSHIP", "subchannel_DELETED", stadium.there),
    }
    for person, last in due.items():
        parameters = {"resume-from": sessions[person].last}
        with Session.established(stadium.world.server, person, parameters=parameters) as session:
            own = session.next()
            assert (own.kind, own.payload["Member"]["Arn"]) == ("DELETE_CHANNEL_MEMBERSHIP", left)
            told = session.next()
            assert told.payload["Member"]["Arn"] == person
            assert (told.kind, told.reason, told.payload["SubChannelId"]) == last


# Messages.

BY_MESSAGE = {
    "update_channel_message": {"Content": "Offside!"},
    "get_channel_message": {},
    "get_channel_message_status": {},
    "redact_channel_message": {},
}


def about_messages(world: World, channel: str, message: str, who: str) -> dict[str, Callable[..., Any]]:
    """What someone does with a message and among messages; each takes the sub-channel."""

    def call(operation: str, **options: Any) -> Callable[..., Any]:
        method = getattr(world.messaging, operation)
        return lambda **place: method(ChannelArn=channel, ChimeBearer=who, **options, **place)

    calls = {name: call(name, MessageId=message, **options) for name, options in BY_MESSAGE.items()}
    calls["list_channel_messages"] = call("list_channel_messages")
    calls["send_channel_message"] = lambda **place: world.send(channel, who, "Goal!", **place)
    return calls


def test_whatever_is_done_with_messages_names_the_sub_channel(stadium):
    sender = stadium.of_here[0]
    message = stadium.send(sender, stadium.here)
    for name, call in about_messages(stadium.world, stadium.channel, message, sender).items():
        with refused("BadRequest"):
            call()
        for other in (stadium.there, UNKNOWN):
            with refused("Forbidden"):
                call(SubChannelId=other)
        answer = call(SubChannelId=stadium.here)
        if name in ("send_channel_message", "update_channel_message", "redact_channel_message"):
            assert answer["SubChannelId"] == stadium.here, name
    delete = {"ChannelArn": stadium.channel, "MessageId": message, "ChimeBearer": stadium.eve}
    with refused("BadRequest"):
        stadium.world.messaging.delete_channel_message(**delete)
    for other in (stadium.there, UNKNOWN):
        with refused("Forbidden"):
            stadium.world.messaging.delete_channel_message(**delete, SubChannelId=other)
    stadium.world.messaging.delete_channel_message(**delete, SubChannelId=stadium.here)
    assert stadium.contents(sender, stadium.here) == ["Goal!"]


def test_an_ordinary_channel_has_no_sub_channels(stadium):
    world, ana = stadium.world, stadium.ana
    channel = world.channel(ana)
    message = world.send(channel, ana)["MessageId"]
    calls = about_messages(world, channel, message, ana)
    membership = {"ChannelArn": channel, "MemberArn": ana, "ChimeBearer": ana}
    for operation in ("describe_channel_membership", "delete_channel_membership"):
        method = getattr(world.messaging, operation)
        calls[operation] = lambda method=method, **place: method(**membership, **place)
    calls["list_channel_memberships"] = lambda **place: world.messaging.list_channel_memberships(
        ChannelArn=channel, ChimeBearer=ana, **place
    )
    calls["create_channel_membership"] = lambda **place: world.add(channel, world.user("new"), ana, **place)
    calls["delete_channel_message"] = lambda **place: world.messaging.delete_channel_message(
        ChannelArn=channel, MessageId=message, ChimeBearer=world.admin("admin"), **place
    )
    for call in calls.values():
        for place in (stadium.here, UNKNOWN):
            with refused("BadRequest"):
                call(SubChannelId=place)
    assert world.contents(channel, ana) == ["hello"]


def test_who_moderates_or_administers_reads_and_redacts_anywhere_and_sends_where_they_joined(stadium):
    sender = stadium.of_here[0]
    stadium.send(stadium.of_there[0], stadium.there, "elsewhere")
    for reader in (stadium.ana, stadium.eve):
        message = stadium.send(sender, stadium.here)
        calls = about_messages(stadium.world, stadium.channel, message, reader)
        got = calls["get_channel_message"](SubChannelId=stadium.here)["ChannelMessage"]
        assert (got["Content"], got["SubChannelId"]) == ("Goal!", stadium.here)
        for name in ("get_channel_message", "list_channel_messages"):
            with refused("BadRequest"):
                calls[name]()
        listed = calls["list_channel_messages"](SubChannelId=stadium.here)
        assert listed["ChannelMessages"][0]["MessageId"] == message
        assert stadium.contents(reader, stadium.there) == ["elsewhere"]
        with refused("NotFound"):
            calls["get_channel_message"](SubChannelId=stadium.there)
        # One's own messages only, here as in other channels.
        for name in ("get_channel_message_status", "update_channel_message", "send_channel_message"):
            with refused("Forbidden"):
                calls[name](SubChannelId=stadium.here)
        with refused("Forbidden"):
            calls["redact_channel_message"](SubChannelId=stadium.there)
        calls["redact_channel_message"](SubChannelId=stadium.here)
        got = calls["get_channel_message"](SubChannelId=stadium.here)["ChannelMessage"]
        assert got["Redacted"] is True
    stadium.join(stadium.ana, stadium.there)
    stadium.send(stadium.ana, stadium.there)
    with refused("Forbidden"):
        stadium.send(stadium.ana, stadium.here)


def test_a_target_is_in_the_same_sub_channel(stadium):
    sender, near = stadium.of_here[:2]
    stadium.join(stadium.ana, stadium.here)
    for far in (stadium.of_there[0], stadium.eve, f"{stadium.world.app_instance}/user/nobody"):
        with refused("BadRequest"):
            stadium.send(sender, stadium.here, Target=[{"MemberArn": far}])
    for target in (near, stadium.ana):
        stadium.send(sender, stadium.here, "psst", Target=[{"MemberArn": target}])
    assert stadium.contents(sender, stadium.here) == ["psst"] * 2
    assert stadium.contents(near, stadium.here) == ["psst"]
    assert stadium.contents(stadium.of_here[2], stadium.here) == []


def test_what_was_written_before_a_transfer_is_out_of_reach_after_it(world):
    ana, *people = world.users("ana", *(f"u{number}" for number in range(5)))
    channel = elastic(world, ana)
    before: dict[str, str] = {}
    for person in people[:4]:
        first = world.add(channel, person, ana)["SubChannelId"]
        before[person] = world.send(channel, person, "before", SubChannelId=first)["MessageId"]
    second = world.add(channel, people[4], ana)["SubChannelId"]
    balanced(world, channel, ana, [2, 3])
    [moved] = members_of(world, channel, ana, second) - {people[4]}
    calls = about_messages(world, channel, before[moved], moved)
    for name, call in calls.items():
        with refused("Forbidden"):
            call(SubChannelId=first)
        if name not in ("send_channel_message", "list_channel_messages"):
            with refused("Forbidden", "NotFound"):
                call(SubChannelId=second)
    sent = calls["send_channel_message"](SubChannelId=second)
    assert sent["SubChannelId"] == second
    assert world.contents(channel, moved, SubChannelId=second) == ["Goal!"]
    assert world.contents(channel, ana, SubChannelId=first) == ["before"] * 4
    assert place_of(world, channel, moved) == second


# Lists.


def test_each_sees_the_members_of_their_own_sub_channel_and_who_moderates_all(stadium):
    everyone = sorted(stadium.of_here + stadium.of_there)
    for reader in (stadium.ana, stadium.eve):
        assert stadium.members(reader) == everyone
        assert stadium.members(reader, SubChannelId=stadium.here) == stadium.of_here
        assert stadium.members(reader, SubChannelId=stadium.there) == stadium.of_there
    member = stadium.of_there[0]
    assert stadium.members(member) == stadium.of_there
    assert stadium.members(member, SubChannelId=stadium.there) == stadium.of_there
    for other in (stadium.here, UNKNOWN):
        with refused("Forbidden"):
            stadium.members(member, SubChannelId=other)
    with refused("NotFound", "Forbidden"):
        stadium.membership(stadium.of_here[0], by=member)
    with refused("Forbidden"):
        stadium.members(stadium.world.user("outsider"))
    with refused("Forbidden"):
        sub_channels(stadium.world, stadium.channel, member)


def test_a_user_sees_each_of_their_places(stadium):
    messaging = stadium.world.messaging
    for place in (stadium.here, stadium.there):
        stadium.join(stadium.ana, place)

    def places(user: str, by: str) -> list[tuple[str, str]]:
        listed = pages(
            messaging.list_channel_memberships_for_app_instance_user,
            "ChannelMemberships",
            AppInstanceUserArn=user,
            ChimeBearer=by,
            MaxResults=1,
        )
        return sorted(
            (each["ChannelSummary"]["ChannelArn"], each["AppInstanceUserMembershipSummary"]["SubChannelId"])
            for each in listed
        )

    for asker in (stadium.ana, stadium.eve):
        both = [(stadium.channel, stadium.here), (stadium.channel, stadium.there)]
        assert places(stadium.ana, by=asker) == sorted(both)
    assert places(stadium.of_here[0], by=stadium.of_here[0]) == [(stadium.channel, stadium.here)]
    moderated = messaging.list_channels_moderated_by_app_instance_user(ChimeBearer=stadium.ana)
    assert [each["ChannelSummary"]["ChannelArn"] for each in moderated["Channels"]] == [stadium.channel]
    # A list gives no hint of what the channel is; its description does.
    [listed] = messaging.list_channels(
        AppInstanceArn=stadium.world.app_instance, Privacy="PRIVATE", ChimeBearer=stadium.eve
    )["Channels"]
    assert listed.keys() <= {"Name", "ChannelArn", "Mode", "Privacy", "Metadata", "LastMessageTimestamp"}
    # Clients take whoever sees how it is split for a moderator.
    for reader, expected in [
        (stadium.ana, CONFIGURATION),
        (stadium.eve, CONFIGURATION),
        (stadium.of_here[0], None),
    ]:
        described = messaging.describe_channel(ChannelArn=stadium.channel, ChimeBearer=reader)
        assert described["Channel"].get("ElasticChannelConfiguration") == expected


def test_a_search_finds_the_members_of_the_channel_whatever_their_sub_channel(stadium):
    one, other = stadium.of_here[0], stadium.of_there[0]

    def found(who: str, operator: str, *members: str) -> list[str]:
        answer = stadium.world.messaging.search_channels(
            Fields=[{"Key": "MEMBERS", "Operator": operator, "Values": [*members]}], ChimeBearer=who
        )
        return [each["ChannelArn"] for each in answer["Channels"]]

    assert found(one, "INCLUDES", one, other) == [stadium.channel]
    everyone = stadium.of_here + stadium.of_there
    assert found(one, "EQUALS", *everyone) == [stadium.channel]
    assert found(one, "EQUALS", *stadium.of_here) == []
    # A moderator in two sub-channels is one member.
    for place in (stadium.here, stadium.there):
        stadium.join(stadium.ana, place)
    assert found(one, "EQUALS", *everyone, stadium.ana) == [stadium.channel]
    assert found(stadium.ana, "INCLUDES", stadium.ana) == [stadium.channel]


# What a session begins with.


def test_a_prefetch_shows_the_own_sub_channel(stadium):
    member = stadium.of_here[0]
    stadium.send(stadium.of_there[0], stadium.there, "elsewhere")
    message = stadium.send(member, stadium.here)
    parameters = {"prefetch-on": "connect"}
    with Session.established(stadium.world.server, member, parameters=parameters) as session:
        details = session.next_of("CHANNEL_DETAILS")
        stadium.send(member, stadium.here, "live")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "live"
    assert details.keys() == {"Channel", "ChannelMessages", "ChannelMessagesHasMore", "ChannelMemberships"}
    assert details["Channel"].keys() == {"Name", "ChannelArn", "Mode", "Privacy", "LastMessageTimestamp"}
    assert details["Channel"]["ChannelArn"] == stadium.channel
    [shown] = details["ChannelMessages"]
    assert (shown["MessageId"], shown["Content"]) == (message, "Goal!")
    assert not {"ChannelArn", "Persistence", "SubChannelId"} & shown.keys()
    assert sorted(each["Member"]["Arn"] for each in details["ChannelMemberships"]) == stadium.of_here


def test_a_prefetch_shows_a_moderator_where_they_joined(stadium):
    parameters = {"prefetch-on": "connect"}
    world = stadium.world
    stadium.send(stadium.of_there[0], stadium.there, "elsewhere")
    ordinary = world.channel(stadium.ana)

    def shown(count: int) -> list[dict[str, Any]]:
        with Session.established(world.server, stadium.ana, parameters=parameters) as session:
            details = [session.next_of("CHANNEL_DETAILS") for _ in range(count)]
            world.send(ordinary, stadium.ana, "live")
            assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "live"
        return [each for each in details if each["Channel"]["ChannelArn"] == stadium.channel]

    assert shown(1) == [], "who moderates and did not join is shown nothing"
    stadium.join(stadium.ana, stadium.there)
    [details] = shown(2)
    assert [each["Content"] for each in details["ChannelMessages"]] == ["elsewhere"]
    members = sorted(each["Member"]["Arn"] for each in details["ChannelMemberships"])
    assert members == sorted([*stadium.of_there, stadium.ana])


# Rates.


@pytest.fixture(scope="module")
def limited(engine, tmp_path_factory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("limited")
    configuration = folder / "carillon.toml"
    configuration.write_text(LIMITS)
    server = Server(folder, engine, "--config", str(configuration)).start()
    yield World(server)
    server.stop()


def test_the_rates_are_those_of_an_elastic_channel_and_of_a_sub_channel(limited):
    world = limited
    stadium = Stadium.of(world)
    ordinary = world.channel(stadium.ana)
    words = throttled(stadium.sizes)
    assert words == "The rate sub_channel_lists_per_second is exhausted: 15 a second for a channel"

    def changes(channel: str) -> list[Callable[[], None]]:
        one = {"ChannelArn": channel, "ChimeBearer": stadium.ana}
        member, other = world.users("member", "other")
        messaging = world.messaging
        return [
            lambda: once(lambda: world.add(channel, member, stadium.ana)),
            lambda: once(lambda: world.remove(channel, other, stadium.ana)),
            lambda: once(lambda: messaging.create_channel_ban(MemberArn=other, **one)),
            lambda: messaging.delete_channel_ban(MemberArn=other, **one),
            lambda: once(lambda: messaging.create_channel_moderator(ChannelModeratorArn=other, **one)),
            lambda: messaging.delete_channel_moderator(ChannelModeratorArn=other, **one),
        ]

    for channel, rate in (
        (stadium.channel, "elastic_membership_changes_per_second is exhausted: 30"),
        (ordinary, "membership_changes_per_second is exhausted: 15"),
    ):
        for change in changes(channel):
            assert throttled(change) == f"The rate {rate} a second for a channel"

    sender, other = stadium.of_here[0], stadium.of_there[0]
    words = throttled(lambda: stadium.send(sender, stadium.here))
    assert words == "The rate messages_per_second is exhausted: 30 a second for a channel or sub-channel"
    stadium.send(other, stadium.there)
    world.send(ordinary, stadium.ana)


def once(call: Callable[[], Any]) -> None:
    """What was done already, or is barred, is counted all the same."""
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ConflictException", "ForbiddenException"):
            raise
