"""An elastic channel from its creation to its deletion, as the public guide walks it, by boto3 and sockets."""

import time
from collections import Counter

from harness.session import Session
from harness.world import World, pages, refused

CONFIGURATION = {
    "MaximumSubChannels": 2,
    "TargetMembershipsPerSubChannel": 4,
    "MinimumMembershipPercentage": 40,
}
BALANCING_TIMEOUT_S = 20


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
    assert people[4] not in members_of(world, channel, ana, second)
    messaging.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=people[4], ChimeBearer=ana)
    balanced(world, channel, ana, [4])  # One was left there, and the other sub-channel had room for it.
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
