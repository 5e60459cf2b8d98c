"""The main job, by boto3: people, channels, messages, and what became of a message."""

from datetime import timedelta

import pytest

from harness.world import World, pages, refused, token

CONTROL_BYTES_MAX = 30
CONTENT_BYTES_MAX = 4096
UNKNOWN_MESSAGE = "0" * 64


# The way of one message.


def test_a_message_is_sent_listed_and_its_status_asked(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob, Name="Lunch")
    sent = world.send(channel, ana, "Lunch?", Metadata='{"mood":"hungry"}', ContentType="text/plain")
    assert sent["ChannelArn"] == channel
    assert sent["Status"] == {"Value": "SENT"}

    got = world.messaging.get_channel_message(
        ChannelArn=channel, MessageId=sent["MessageId"], ChimeBearer=bob
    )
    message = got["ChannelMessage"]
    assert message["CreatedTimestamp"] == message["LastUpdatedTimestamp"]
    del message["CreatedTimestamp"], message["LastUpdatedTimestamp"]
    assert message == {
        "ChannelArn": channel,
        "MessageId": sent["MessageId"],
        "Content": "Lunch?",
        "Metadata": '{"mood":"hungry"}',
        "ContentType": "text/plain",
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "Redacted": False,
        "Sender": {"Arn": ana, "Name": "Ana"},
        "Status": {"Value": "SENT"},
    }
    assert world.status(channel, sent["MessageId"], ana) == {"Value": "SENT"}


def test_messages_are_listed_newest_first_unless_asked_otherwise(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    contents = [f"message {number}" for number in range(7)]
    for content in contents:
        world.send(channel, ana, content)
    assert world.contents(channel, bob) == contents[::-1]
    assert world.contents(channel, bob, SortOrder="DESCENDING") == contents[::-1]
    assert world.contents(channel, bob, SortOrder="ASCENDING") == contents
    assert world.contents(channel, bob, SortOrder="ASCENDING", MaxResults=3) == contents
    assert world.contents(channel, bob, MaxResults=1) == contents[::-1]


def test_messages_are_listed_between_two_times_inclusive(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    for number in range(5):
        world.send(channel, ana, str(number))
    listed = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=ana, SortOrder="ASCENDING")
    times = [message["CreatedTimestamp"] for message in listed["ChannelMessages"]]
    between = [content for content, time in zip("01234", times, strict=True) if times[1] <= time <= times[3]]
    # The wire carries the two times to the second only: boto3 cuts what is finer.
    low, high = times[1].replace(microsecond=0), times[3].replace(microsecond=0) + timedelta(seconds=1)
    assert set(between) <= set(world.contents(channel, ana, NotBefore=low, NotAfter=high))
    assert world.contents(channel, ana, NotBefore=high + timedelta(hours=1)) == []
    assert world.contents(channel, ana, NotAfter=low - timedelta(hours=1)) == []
    with refused("BadRequest"):
        world.contents(channel, ana, NotBefore=high, NotAfter=low - timedelta(hours=1))


def test_every_list_is_walked_in_pages_of_one(world):
    people = world.users("ana", "bob", "cy")
    ana = people[0]
    channels = [
        world.channel(ana, *people[1:], Privacy="PUBLIC", Name=f"Lobby {number}") for number in range(3)
    ]
    messaging, identity = world.messaging, world.identity
    named = {"AppInstanceArn": world.app_instance, "MaxResults": 1}

    def arns(items, *path):
        for step in path:
            items = [item[step] for item in items]
        return sorted(items)

    users = pages(identity.list_app_instance_users, "AppInstanceUsers", **named)
    assert arns(users, "AppInstanceUserArn") == sorted(people)
    listed = pages(messaging.list_channels, "Channels", ChimeBearer=ana, **named)
    assert arns(listed, "ChannelArn") == sorted(channels)
    members = pages(
        messaging.list_channel_memberships,
        "ChannelMemberships",
        ChannelArn=channels[0],
        ChimeBearer=ana,
        MaxResults=1,
    )
    assert arns(members, "Member", "Arn") == sorted(people)
    mine = pages(
        messaging.list_channel_memberships_for_app_instance_user,
        "ChannelMemberships",
        ChimeBearer=ana,
        MaxResults=1,
    )
    assert arns(mine, "ChannelSummary", "ChannelArn") == sorted(channels)
    instances = pages(identity.list_app_instances, "AppInstances", MaxResults=1)
    assert world.app_instance in arns(instances, "AppInstanceArn")


def test_a_page_token_is_good_for_its_own_list_only(world):
    ana = world.user("ana")
    first, second = world.channel(ana), world.channel(ana)
    for channel in (first, second):
        world.send(channel, ana, "one")
        world.send(channel, ana, "two")
    page = world.messaging.list_channel_messages(ChannelArn=first, ChimeBearer=ana, MaxResults=1)
    good = page["NextToken"]
    for bad in (good[:-2], good + "A", "x", "A" + good[1:] if good[0] != "A" else "B" + good[1:]):
        with refused("BadRequest"):
            world.messaging.list_channel_messages(
                ChannelArn=first, ChimeBearer=ana, MaxResults=1, NextToken=bad
            )
    with refused("BadRequest"):
        world.messaging.list_channel_messages(
            ChannelArn=second, ChimeBearer=ana, MaxResults=1, NextToken=good
        )
    with refused("BadRequest"):
        world.messaging.list_channel_messages(
            ChannelArn=first, ChimeBearer=ana, MaxResults=1, NextToken=good, SortOrder="ASCENDING"
        )


# The status of a message.


def test_only_the_sender_may_ask_for_the_status(world):
    ana, bob = world.users("ana", "bob")
    admin = world.admin("eve")
    channel = world.channel(ana, bob, admin)
    message_id = world.send(channel, bob)["MessageId"]
    assert world.status(channel, message_id, bob) == {"Value": "SENT"}
    for other in (ana, admin):
        with refused("Forbidden"):
            world.status(channel, message_id, other)
    with refused("Forbidden"):
        world.status(channel, UNKNOWN_MESSAGE, bob)
    with refused("BadRequest"):
        world.status(channel, "not an id!", bob)
    with refused("Forbidden"):
        world.status(f"{world.app_instance}/channel/nowhere", message_id, bob)
    with refused("UnauthorizedClient"):
        world.status(channel, message_id, f"{world.app_instance}/user/nobody")


def test_a_sender_who_left_still_gets_the_status(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    message_id = world.send(channel, bob)["MessageId"]
    world.remove(channel, bob, by=ana)
    assert world.status(channel, message_id, bob) == {"Value": "SENT"}
    with refused("Forbidden"):
        world.messaging.get_channel_message(ChannelArn=channel, MessageId=message_id, ChimeBearer=bob)


def test_sub_channels_are_refused_where_a_channel_has_none(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    message_id = world.send(channel, ana)["MessageId"]
    with refused("BadRequest"):
        world.messaging.get_channel_message_status(
            ChannelArn=channel, MessageId=message_id, SubChannelId="one", ChimeBearer=ana
        )


# Kinds of messages.


def test_a_message_that_is_not_persistent_is_never_stored(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    sent = world.send(channel, ana, Persistence="NON_PERSISTENT")
    assert sent["Status"] == {"Value": "SENT"}
    assert world.contents(channel, ana) == []
    with refused("NotFound"):
        world.messaging.get_channel_message(ChannelArn=channel, MessageId=sent["MessageId"], ChimeBearer=ana)
    with refused("Forbidden"):
        world.status(channel, sent["MessageId"], ana)
    described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=ana)
    assert "LastMessageTimestamp" not in described["Channel"]


def test_a_control_message_is_short_and_has_no_metadata(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    sent = world.send(channel, ana, "x" * CONTROL_BYTES_MAX, Type="CONTROL")
    assert world.status(channel, sent["MessageId"], ana) == {"Value": "SENT"}
    assert world.contents(channel, ana) == ["x" * CONTROL_BYTES_MAX]
    with refused("BadRequest"):
        world.send(channel, ana, "x" * (CONTROL_BYTES_MAX + 1), Type="CONTROL")
    with refused("BadRequest"):
        world.send(channel, ana, "x", Type="CONTROL", Metadata="y")


def test_content_has_a_first_and_a_last_length(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    longest = "x" * CONTENT_BYTES_MAX
    world.send(channel, ana, longest)
    assert world.contents(channel, ana) == [longest]
    for content in ("", longest + "x"):
        with refused("BadRequest"):
            world.send(channel, ana, content)


def test_text_comes_back_as_it_went(world):
    ana = world.user("ana")
    channel = world.channel(ana, Name="Büro 🛎", Metadata=' {"a": 1} ')
    content = "".join(map(chr, range(32))) + ' ¡Hola! \u2028 日本 🛎 \\ " </script> '
    # The model's pattern for metadata, unlike that for content, admits no line breaks.
    metadata = '{"mood": "¡olé! 日本 🛎"} '
    world.send(channel, ana, content, Metadata=metadata)
    message = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=ana)["ChannelMessages"][0]
    assert message["Content"] == content
    assert message["Metadata"] == metadata
    described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=ana)["Channel"]
    assert described["Name"] == "Büro 🛎"
    assert described["Metadata"] == ' {"a": 1} '


def test_message_attributes_come_back(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    attributes = {"mention": {"StringValues": ["Bob", "Cy"]}, "colour": {"StringValues": ["red"]}}
    message_id = world.send(channel, ana, MessageAttributes=attributes)["MessageId"]
    got = world.messaging.get_channel_message(ChannelArn=channel, MessageId=message_id, ChimeBearer=ana)
    assert got["ChannelMessage"]["MessageAttributes"] == attributes


def test_a_targeted_message_is_seen_by_its_sender_and_its_target_only(world):
    ana, bob, cy = world.users("ana", "bob", "cy")
    dee = world.admin("dee")
    channel = world.channel(ana, bob, cy, dee)
    message_id = world.send(channel, ana, "psst", Target=[{"MemberArn": bob}])["MessageId"]
    for seer in (ana, bob):
        assert world.contents(channel, seer) == ["psst"]
        got = world.messaging.get_channel_message(ChannelArn=channel, MessageId=message_id, ChimeBearer=seer)
        assert got["ChannelMessage"]["Target"] == [{"MemberArn": bob}]
    for other in (cy, dee):
        assert world.contents(channel, other) == []
        with refused("Forbidden", "NotFound"):
            world.messaging.get_channel_message(ChannelArn=channel, MessageId=message_id, ChimeBearer=other)
        described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=other)
        assert "LastMessageTimestamp" not in described["Channel"]
    outsider = world.user("eli")
    with refused("BadRequest"):
        world.send(channel, ana, "psst", Target=[{"MemberArn": outsider}])
    with refused("BadRequest"):
        world.send(channel, ana, "psst", Target=[{"MemberArn": bob}, {"MemberArn": cy}])


# Repetition.


def test_a_repeated_send_has_one_effect(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    same = token()
    first = world.send(channel, ana, "once", ClientRequestToken=same)
    again = world.send(channel, ana, "once", ClientRequestToken=same)
    assert again["MessageId"] == first["MessageId"]
    assert world.contents(channel, ana) == ["once"]
    with refused("Conflict"):
        world.send(channel, ana, "twice", ClientRequestToken=same)
    assert world.contents(channel, ana) == ["once"]


def test_a_token_belongs_to_its_sender(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    same = token()
    world.send(channel, ana, "from ana", ClientRequestToken=same)
    world.send(channel, bob, "from bob", ClientRequestToken=same)
    assert sorted(world.contents(channel, ana)) == ["from ana", "from bob"]


def test_a_refused_send_does_not_use_its_token_up(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    same = token()
    with refused("Forbidden"):
        world.send(channel, bob, ClientRequestToken=same)
    world.add(channel, bob, by=ana)
    world.send(channel, bob, ClientRequestToken=same)
    assert world.contents(channel, ana) == ["hello"]


def test_a_repeated_creation_has_one_effect(world):
    ana = world.user("ana")
    same = token()
    first = world.channel(ana, ClientRequestToken=same)
    assert world.channel(ana, ClientRequestToken=same) == first
    with refused("Conflict"):
        world.channel(ana, ClientRequestToken=same, Name="Other")
    listed = pages(
        world.messaging.list_channel_memberships_for_app_instance_user, "ChannelMemberships", ChimeBearer=ana
    )
    assert len(listed) == 1

    create = world.identity.create_app_instance
    instance = create(Name="Twin", ClientRequestToken=same)["AppInstanceArn"]
    assert create(Name="Twin", ClientRequestToken=same)["AppInstanceArn"] == instance
    with refused("Conflict"):
        create(Name="Other", ClientRequestToken=same)


def test_signing_in_twice_makes_one_user(world):
    def sign_in(name):
        created = world.identity.create_app_instance_user(
            AppInstanceArn=world.app_instance, AppInstanceUserId="ana", Name=name, ClientRequestToken=token()
        )
        return created["AppInstanceUserArn"]

    ana = sign_in("Ana")
    assert ana == f"{world.app_instance}/user/ana"
    assert sign_in("Ana") == ana
    with refused("Conflict"):
        sign_in("Anna")


# Who may what.


def test_a_private_channel_is_closed_to_outsiders(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, Privacy="PRIVATE")
    message_id = world.send(channel, ana)["MessageId"]
    messaging = world.messaging
    for call, arguments in [
        (messaging.describe_channel, {}),
        (messaging.list_channel_messages, {}),
        (messaging.list_channel_memberships, {}),
        (messaging.get_channel_message, {"MessageId": message_id}),
        (messaging.get_channel_message, {"MessageId": UNKNOWN_MESSAGE}),
        (messaging.get_channel_message_status, {"MessageId": message_id}),
        (messaging.create_channel_membership, {"MemberArn": bob, "Type": "DEFAULT"}),
    ]:
        with refused("Forbidden"):
            call(ChannelArn=channel, ChimeBearer=bob, **arguments)
    with refused("Forbidden"):
        world.send(channel, bob)
    assert messaging.list_channels(AppInstanceArn=world.app_instance, ChimeBearer=bob)["Channels"] == []


def test_a_public_channel_is_read_by_anyone_and_written_by_members(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, Privacy="PUBLIC")
    message_id = world.send(channel, ana, "to all")["MessageId"]
    assert world.contents(channel, bob) == ["to all"]
    world.messaging.get_channel_message(ChannelArn=channel, MessageId=message_id, ChimeBearer=bob)
    world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)
    with refused("NotFound"):
        world.messaging.get_channel_message(ChannelArn=channel, MessageId=UNKNOWN_MESSAGE, ChimeBearer=bob)
    with refused("Forbidden"):
        world.send(channel, bob)
    # The channel is RESTRICTED, which keeps members from adding others; oneself one may add to any public one.
    world.add(channel, bob, by=bob)
    with refused("Forbidden"):
        world.add(channel, world.user("cy"), by=bob)
    world.send(channel, bob)


def test_a_hidden_member_reads_and_does_not_send(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    world.add(channel, bob, by=ana, kind="HIDDEN")
    world.send(channel, ana, "seen")
    assert world.contents(channel, bob) == ["seen"]
    with refused("Forbidden"):
        world.send(channel, bob)
    memberships = world.messaging.list_channel_memberships
    shown = memberships(ChannelArn=channel, ChimeBearer=ana)["ChannelMemberships"]
    assert [member["Member"]["Arn"] for member in shown] == [ana]
    hidden = memberships(ChannelArn=channel, ChimeBearer=ana, Type="HIDDEN")["ChannelMemberships"]
    assert [member["Member"]["Arn"] for member in hidden] == [bob]
    with refused("Forbidden"):
        memberships(ChannelArn=channel, ChimeBearer=bob, Type="HIDDEN")


def test_members_add_others_while_the_channel_is_unrestricted(world):
    ana, bob, cy = world.users("ana", "bob", "cy")
    restricted = world.channel(ana, bob, Mode="RESTRICTED")
    with refused("Forbidden"):
        world.add(restricted, cy, by=bob)
    unrestricted = world.channel(ana, bob, Mode="UNRESTRICTED")
    added = world.add(unrestricted, cy, by=bob)
    assert added["Member"] == {"Arn": cy, "Name": "Cy"}
    eve = world.user("eve")
    with refused("Forbidden"):
        world.add(unrestricted, eve, by=eve)
    with refused("Forbidden"):
        world.add(unrestricted, eve, by=bob, kind="HIDDEN")
    world.add(world.channel(ana, Mode="UNRESTRICTED", Privacy="PUBLIC"), eve, by=eve)


def test_a_membership_is_made_once_and_ended_once(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    world.add(channel, bob, by=ana)
    with refused("Conflict"):
        world.add(channel, bob, by=ana)
    with refused("NotFound"):
        world.add(channel, f"{world.app_instance}/user/nobody", by=ana)
    with refused("Forbidden"):
        world.remove(channel, ana, by=bob)
    world.remove(channel, bob, by=bob)
    with refused("Conflict"):
        world.remove(channel, bob, by=ana)
    with refused("Forbidden"):
        world.send(channel, bob)


def test_memberships_of_another_are_for_administrators(world):
    ana, bob = world.users("ana", "bob")
    admin = world.admin("eve")
    channel = world.channel(ana)

    def channels_of(user, asker):
        listed = world.messaging.list_channel_memberships_for_app_instance_user(
            AppInstanceUserArn=user, ChimeBearer=asker
        )
        return [membership["ChannelSummary"]["ChannelArn"] for membership in listed["ChannelMemberships"]]

    assert channels_of(ana, ana) == [channel]
    assert channels_of(ana, admin) == [channel]
    with refused("Forbidden"):
        channels_of(ana, bob)


def test_private_channels_are_listed_for_administrators(world):
    ana = world.user("ana")
    admin = world.admin("eve")
    private, public = world.channel(ana), world.channel(ana, Privacy="PUBLIC")

    def listed(asker, **filters):
        answer = world.messaging.list_channels(
            AppInstanceArn=world.app_instance, ChimeBearer=asker, **filters
        )
        return [channel["ChannelArn"] for channel in answer["Channels"]]

    assert listed(ana) == [public]
    assert listed(ana, Privacy="PUBLIC") == [public]
    assert listed(admin, Privacy="PRIVATE") == [private]
    with refused("Forbidden"):
        listed(ana, Privacy="PRIVATE")


def test_an_administrator_is_made_once(world):
    admin = world.admin("eve")
    with refused("Conflict"):
        world.identity.create_app_instance_admin(AppInstanceAdminArn=admin, AppInstanceArn=world.app_instance)
    with refused("Forbidden"):
        world.identity.create_app_instance_admin(
            AppInstanceAdminArn=f"{world.app_instance}/user/nobody", AppInstanceArn=world.app_instance
        )
    # The role is not a membership.
    channel = world.channel(world.user("ana"))
    assert world.contents(channel, admin) == []
    with refused("Forbidden"):
        world.send(channel, admin)


def test_app_instances_know_nothing_of_each_other(world, server):
    ana = world.user("ana")
    channel = world.channel(ana, Privacy="PUBLIC")
    stranger = World(server).user("stranger")
    with refused("Forbidden"):
        world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=stranger)
    with refused("Forbidden"):
        world.messaging.list_channels(AppInstanceArn=world.app_instance, ChimeBearer=stranger)
    with refused("Forbidden", "NotFound", "BadRequest"):
        world.add(channel, stranger, by=ana)


# Descriptions.


def test_a_channel_is_described_whole(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob, ChannelId="lobby", Name="Lobby", Mode="UNRESTRICTED", Privacy="PUBLIC")
    assert channel == f"{world.app_instance}/channel/lobby"
    described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert described.pop("CreatedTimestamp") == described.pop("LastUpdatedTimestamp")
    assert described == {
        "Name": "Lobby",
        "ChannelArn": channel,
        "Mode": "UNRESTRICTED",
        "Privacy": "PUBLIC",
        "CreatedBy": {"Arn": ana, "Name": "Ana"},
    }
    message_id = world.send(channel, bob)["MessageId"]
    got = world.messaging.get_channel_message(ChannelArn=channel, MessageId=message_id, ChimeBearer=ana)
    described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert described["LastMessageTimestamp"] == got["ChannelMessage"]["CreatedTimestamp"]
    with refused("Conflict"):
        world.channel(ana, ChannelId="lobby")


def test_a_channel_with_one_bad_member_is_not_made(world):
    ana, bob = world.users("ana", "bob")
    with refused("Forbidden"):
        world.channel(ana, bob, f"{world.app_instance}/user/nobody")
    listed = world.messaging.list_channel_memberships_for_app_instance_user(ChimeBearer=ana)
    assert listed["ChannelMemberships"] == []


def test_people_and_their_instance_are_described(world):
    identity = world.identity
    instance = identity.describe_app_instance(AppInstanceArn=world.app_instance)["AppInstance"]
    assert instance["AppInstanceArn"] == world.app_instance
    assert instance["Name"] == "Test"
    assert "Metadata" not in instance
    ana = world.user("ana")
    user = identity.describe_app_instance_user(AppInstanceUserArn=ana)["AppInstanceUser"]
    assert (user["AppInstanceUserArn"], user["Name"]) == (ana, "Ana")
    with refused("Forbidden"):
        identity.describe_app_instance_user(AppInstanceUserArn=f"{world.app_instance}/user/nobody")
    with refused("Forbidden"):
        identity.describe_app_instance(AppInstanceArn=world.app_instance[:-12] + "0" * 12)


def test_the_session_endpoint_is_a_bare_host(world, server):
    answer = world.messaging.get_messaging_session_endpoint()
    assert answer["Endpoint"] == {"Url": server.public_host}
    answer = world.messaging.get_messaging_session_endpoint(NetworkType="DUAL_STACK")
    assert answer["Endpoint"] == {"Url": server.public_host}


@pytest.mark.parametrize("count", [0, 51])
def test_a_page_has_one_to_fifty_items(world, count):
    ana = world.user("ana")
    with refused("BadRequest"):
        world.messaging.list_channels(AppInstanceArn=world.app_instance, ChimeBearer=ana, MaxResults=count)
