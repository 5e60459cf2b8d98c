"""The people of a channel: who moderates, who is banned, what each has read and wants to hear, and who is found."""

import json

import pytest

from harness.session import Session
from harness.world import World, pages, refused, token


def moderated(world: World, bearer: str, **arguments) -> list[str]:
    listed = pages(
        world.messaging.list_channels_moderated_by_app_instance_user,
        "Channels",
        ChimeBearer=bearer,
        **arguments,
    )
    return [item["ChannelSummary"]["ChannelArn"] for item in listed]


def test_a_moderator_is_made_shown_and_unmade(world):
    ana, bob, cy = world.users("ana", "bob", "cy")
    channel = world.channel(ana, bob, cy)
    messaging = world.messaging
    made = messaging.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob, ChimeBearer=ana)
    assert (made["ChannelArn"], made["ChannelModerator"]) == (channel, {"Arn": bob, "Name": "Bob"})
    with refused("Conflict"):
        messaging.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob, ChimeBearer=ana)
    shown = messaging.describe_channel_moderator(
        ChannelArn=channel, ChannelModeratorArn=bob, ChimeBearer=bob
    )["ChannelModerator"]
    assert shown.pop("CreatedTimestamp")
    assert shown == {
        "Moderator": {"Arn": bob, "Name": "Bob"},
        "ChannelArn": channel,
        "CreatedBy": {"Arn": ana, "Name": "Ana"},
    }
    with refused("NotFound"):
        messaging.describe_channel_moderator(ChannelArn=channel, ChannelModeratorArn=cy, ChimeBearer=bob)

    listed = messaging.list_channel_moderators(ChannelArn=channel, ChimeBearer=bob)["ChannelModerators"]
    assert sorted(item["Moderator"]["Arn"] for item in listed) == sorted([ana, bob])
    with refused("Forbidden"):
        messaging.list_channel_moderators(ChannelArn=channel, ChimeBearer=cy)
    assert moderated(world, bob) == [channel]
    assert moderated(world, cy) == []
    one = messaging.describe_channel_moderated_by_app_instance_user(
        ChannelArn=channel, AppInstanceUserArn=bob, ChimeBearer=bob
    )
    assert one["Channel"]["ChannelSummary"]["ChannelArn"] == channel

    # What a moderator may and a member may not.
    world.remove(channel, cy, by=bob)
    messaging.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob, ChimeBearer=ana)
    with refused("Forbidden"):
        world.add(channel, cy, by=bob)
    assert moderated(world, bob) == []
    messaging.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob, ChimeBearer=ana)


def test_an_administrator_asks_for_the_channels_of_another(world):
    ana, bob = world.users("ana", "bob")
    eve = world.admin("eve")
    channel = world.channel(ana)
    assert moderated(world, eve, AppInstanceUserArn=ana) == [channel]
    with refused("Forbidden"):
        moderated(world, bob, AppInstanceUserArn=ana)
    asked = {"ChannelArn": channel, "AppInstanceUserArn": ana}
    one = world.messaging.describe_channel_membership_for_app_instance_user(**asked, ChimeBearer=eve)
    assert one["ChannelMembership"]["ChannelSummary"]["ChannelArn"] == channel
    with refused("Forbidden"):
        world.messaging.describe_channel_membership_for_app_instance_user(**asked, ChimeBearer=bob)


def test_a_banned_member_is_out_and_stays_out_until_the_ban_is_lifted(world, server):
    ana, bob = world.users("ana", "bob")
    eve = world.admin("eve")
    channel = world.channel(ana, bob, Mode="UNRESTRICTED", Privacy="PUBLIC")
    messaging = world.messaging
    with Session.established(server, bob) as session:
        banned = messaging.create_channel_ban(ChannelArn=channel, MemberArn=bob, ChimeBearer=ana)
        assert (banned["ChannelArn"], banned["Member"]) == (channel, {"Arn": bob, "Name": "Bob"})
        assert session.next_of("DELETE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == bob
    with refused("Conflict"):
        messaging.create_channel_ban(ChannelArn=channel, MemberArn=bob, ChimeBearer=ana)
    with refused("Forbidden"):
        world.send(channel, bob)
    for by in (bob, ana, eve):
        with refused("Forbidden"):
            world.add(channel, bob, by=by)

    shown = messaging.describe_channel_ban(ChannelArn=channel, MemberArn=bob, ChimeBearer=ana)["ChannelBan"]
    assert shown.pop("CreatedTimestamp")
    assert shown == {
        "Member": {"Arn": bob, "Name": "Bob"},
        "ChannelArn": channel,
        "CreatedBy": {"Arn": ana, "Name": "Ana"},
    }
    listed = messaging.list_channel_bans(ChannelArn=channel, ChimeBearer=ana)["ChannelBans"]
    assert listed == [{"Member": {"Arn": bob, "Name": "Bob"}}]

    messaging.delete_channel_ban(ChannelArn=channel, MemberArn=bob, ChimeBearer=ana)
    with refused("NotFound"):
        messaging.describe_channel_ban(ChannelArn=channel, MemberArn=bob, ChimeBearer=ana)
    with refused("Forbidden"):
        world.send(channel, bob)
    world.add(channel, bob, by=bob)
    world.send(channel, bob)


def test_who_moderates_or_administers_cannot_be_banned(world):
    ana, bob = world.users("ana", "bob")
    eve = world.admin("eve")
    channel = world.channel(ana, bob, eve)
    world.messaging.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob, ChimeBearer=ana)
    for protected in (bob, eve):
        with refused("Forbidden"):
            world.messaging.create_channel_ban(ChannelArn=channel, MemberArn=protected, ChimeBearer=ana)
    with refused("Forbidden"):
        world.messaging.list_channel_bans(ChannelArn=channel, ChimeBearer=world.user("dora"))


def test_a_hidden_member_is_seen_by_moderators_alone(world):
    ana, bob, ghost = world.users("ana", "bob", "ghost")
    channel = world.channel(ana, bob)
    world.add(channel, ghost, by=ana, kind="HIDDEN")

    def members(asker: str, **arguments) -> list[str]:
        listed = world.messaging.list_channel_memberships(
            ChannelArn=channel, ChimeBearer=asker, **arguments
        )
        return sorted(item["Member"]["Arn"] for item in listed["ChannelMemberships"])

    assert members(bob) == sorted([ana, bob])
    assert members(ana, Type="HIDDEN") == [ghost]
    with refused("Forbidden"):
        members(bob, Type="HIDDEN")
    with refused("Forbidden"):
        world.send(channel, ghost)
    world.send(channel, ana, "seen")
    assert world.contents(channel, ghost) == ["seen"]


def test_a_batch_tells_of_each_who_could_not_be_added(world):
    ana, bob, cy, dora = world.users("ana", "bob", "cy", "dora")
    channel = world.channel(ana, bob)
    world.messaging.create_channel_ban(ChannelArn=channel, MemberArn=dora, ChimeBearer=ana)
    nobody = f"{world.app_instance}/user/nobody"
    answer = world.messaging.batch_create_channel_membership(
        ChannelArn=channel, MemberArns=[bob, cy, dora, nobody], ChimeBearer=ana
    )
    added = answer["BatchChannelMemberships"]
    assert added["Members"] == [{"Arn": cy, "Name": "Cy"}]
    assert added["InvitedBy"] == {"Arn": ana, "Name": "Ana"}
    errors = {error["MemberArn"]: error["ErrorCode"] for error in answer["Errors"]}
    assert errors == {bob: "Conflict", dora: "Forbidden", nobody: "NotFound"}


# What each wants.


def test_preferences_are_kept_for_their_member_and_go_with_the_membership(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    own = {"ChannelArn": channel, "MemberArn": bob, "ChimeBearer": bob}
    get, put = (
        world.messaging.get_channel_membership_preferences,
        world.messaging.put_channel_membership_preferences,
    )
    first = get(**own)
    assert (first["ChannelArn"], first["Member"]) == (channel, {"Arn": bob, "Name": "Bob"})
    assert "Preferences" not in first
    rule = json.dumps({"mention": ["bob"], "$or": [{"kind": ["call"]}, {"kind": [{"anything-but": ["x"]}]}]})
    wanted = {"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": rule}}
    assert put(**own, Preferences=wanted)["Preferences"] == wanted
    assert get(**own)["Preferences"] == wanted
    with refused("Forbidden"):
        get(ChannelArn=channel, MemberArn=bob, ChimeBearer=ana)
    world.remove(channel, bob, by=ana)
    with refused("Forbidden"):
        get(**own)
    world.add(channel, bob, by=ana)
    assert "Preferences" not in get(**own)


@pytest.mark.parametrize(
    "rule",
    ["", "no JSON", "[]", '{"mention":"bob"}', '{"mention":[]}', '{"mention":[{"prefix":"b"}]}'],
)
def test_a_filter_rule_that_means_nothing_is_refused(world, rule):
    ana = world.user("ana")
    channel = world.channel(ana)
    with refused("BadRequest"):
        world.messaging.put_channel_membership_preferences(
            ChannelArn=channel,
            MemberArn=ana,
            ChimeBearer=ana,
            Preferences={"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": rule}},
        )


def test_a_read_marker_moves_forward_for_its_owner_alone(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)

    def marker(of: str):
        one = world.messaging.describe_channel_membership_for_app_instance_user(
            ChannelArn=channel, AppInstanceUserArn=of, ChimeBearer=of
        )["ChannelMembership"]
        return one["AppInstanceUserMembershipSummary"].get("ReadMarkerTimestamp")

    assert marker(bob) is None
    world.send(channel, ana)
    update = world.messaging.update_channel_read_marker
    assert update(ChannelArn=channel, ChimeBearer=bob)["ChannelArn"] == channel
    first = marker(bob)
    last = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert last["LastMessageTimestamp"] <= first
    update(ChannelArn=channel, ChimeBearer=bob)
    assert first <= marker(bob)
    assert marker(ana) is None
    with refused("Forbidden"):
        update(ChannelArn=channel, ChimeBearer=world.user("dora"))


def test_channels_are_found_by_who_is_in_them(world):
    ana, bob, cy = world.users("ana", "bob", "cy")
    both, three = world.channel(ana, bob), world.channel(ana, bob, cy)
    world.channel(ana)

    def found(bearer: str, operator: str, *values: str) -> list[str]:
        channels = pages(
            world.messaging.search_channels,
            "Channels",
            ChimeBearer=bearer,
            Fields=[{"Key": "MEMBERS", "Operator": operator, "Values": list(values)}],
        )
        return sorted(channel["ChannelArn"] for channel in channels)

    assert found(ana, "INCLUDES", ana, bob) == sorted([both, three])
    assert found(ana, "EQUALS", ana, bob) == [both]
    assert found(cy, "INCLUDES", bob) == [three]
    assert found(ana, "INCLUDES", cy, world.user("dora")) == []
    with refused("BadRequest"):
        found(ana, "INCLUDES", "not an arn")


def test_names_are_shown_as_they_are_now(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    world.send(channel, bob)
    world.identity.update_app_instance_user(AppInstanceUserArn=bob, Name="Robert", Metadata='{"a":1}')
    user = world.identity.describe_app_instance_user(AppInstanceUserArn=bob)["AppInstanceUser"]
    assert (user["Name"], user["Metadata"]) == ("Robert", '{"a":1}')
    listed = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=ana)["ChannelMessages"]
    assert listed[0]["Sender"] == {"Arn": bob, "Name": "Robert"}
    world.identity.update_app_instance_user(AppInstanceUserArn=bob, Name="Bob", Metadata="")
    user = world.identity.describe_app_instance_user(AppInstanceUserArn=bob)["AppInstanceUser"]
    assert "Metadata" not in user


def test_an_administrator_is_shown_listed_and_unmade(world):
    identity = world.identity
    eve, named = world.admin("eve"), {"AppInstanceArn": world.app_instance}
    shown = identity.describe_app_instance_admin(AppInstanceAdminArn=eve, **named)["AppInstanceAdmin"]
    assert shown.pop("CreatedTimestamp")
    assert shown == {"Admin": {"Arn": eve, "Name": "Eve"}, "AppInstanceArn": world.app_instance}
    listed = identity.list_app_instance_admins(**named)
    assert listed["AppInstanceAdmins"] == [{"Admin": {"Arn": eve, "Name": "Eve"}}]
    identity.delete_app_instance_admin(AppInstanceAdminArn=eve, **named)
    assert identity.list_app_instance_admins(**named)["AppInstanceAdmins"] == []
    with refused("Forbidden"):
        identity.describe_app_instance_admin(AppInstanceAdminArn=eve, **named)
    with refused("Conflict"):
        identity.delete_app_instance_admin(AppInstanceAdminArn=eve, **named)


def test_an_app_instance_is_renamed_and_a_token_makes_one(world):
    updated = world.identity.update_app_instance(
        AppInstanceArn=world.app_instance, Name="Other", Metadata='{"b":2}'
    )
    assert updated["AppInstanceArn"] == world.app_instance
    instance = world.identity.describe_app_instance(AppInstanceArn=world.app_instance)["AppInstance"]
    assert (instance["Name"], instance["Metadata"]) == ("Other", '{"b":2}')
    assert instance["CreatedTimestamp"] <= instance["LastUpdatedTimestamp"]
    same = token()
    made = [
        world.identity.create_app_instance(Name="Twin", ClientRequestToken=same)["AppInstanceArn"]
        for _ in range(2)
    ]
    assert made[0] == made[1]
