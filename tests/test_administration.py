"""What administers an application: channels, flows, streams and tags."""

from harness.server import ACCOUNT, REGION
from harness.session import Session
from harness.world import World, pages, refused, token

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:moderate"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/chime-messaging-audit"


def processors(name: str = "Moderate") -> list[dict]:
    function = {"Lambda": {"ResourceArn": FUNCTION, "InvocationType": "ASYNC"}}
    return [{"Name": name, "Configuration": function, "ExecutionOrder": 1, "FallbackAction": "CONTINUE"}]


def create_flow(world: World, **options) -> str:
    return world.flow(**{"Name": "Moderation"} | options)


# Channels.


def test_a_channel_is_updated_and_its_members_are_told(world, server):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    with Session.established(server, bob) as session:
        updated = world.messaging.update_channel(
            ChannelArn=channel, Name="Attic", Mode="UNRESTRICTED", Metadata="m", ChimeBearer=ana
        )
        assert updated["ChannelArn"] == channel
        assert session.next_of("UPDATE_CHANNEL")["Name"] == "Attic"
    described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert (described["Name"], described["Mode"], described["Metadata"]) == ("Attic", "UNRESTRICTED", "m")
    world.messaging.update_channel(ChannelArn=channel, Name="Attic", Metadata="", ChimeBearer=ana)
    described = world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert "Metadata" not in described
    with refused("Forbidden"):
        world.messaging.update_channel(ChannelArn=channel, Name="Mine", ChimeBearer=bob)


def test_a_deleted_channel_is_gone_for_everyone(world, server):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob, Privacy="PUBLIC")
    message_id = world.send(channel, bob)["MessageId"]
    with refused("Forbidden"):
        world.messaging.delete_channel(ChannelArn=channel, ChimeBearer=bob)
    with Session.established(server, bob) as session:
        world.messaging.delete_channel(ChannelArn=channel, ChimeBearer=ana)
        assert session.next_of("DELETE_CHANNEL")["ChannelArn"] == channel
    for call in (world.messaging.describe_channel, world.messaging.list_channel_messages):
        with refused("Forbidden"):
            call(ChannelArn=channel, ChimeBearer=ana)
    with refused("Forbidden"):
        world.status(channel, message_id, bob)
    with refused("Forbidden"):
        world.messaging.delete_channel(ChannelArn=channel, ChimeBearer=ana)
    listed = world.messaging.list_channels(AppInstanceArn=world.app_instance, ChimeBearer=bob)
    assert listed["Channels"] == []


# Channel flows.


def test_a_flow_is_made_shown_changed_and_deleted(world):
    messaging = world.messaging
    flow = create_flow(world)
    shown = messaging.describe_channel_flow(ChannelFlowArn=flow)["ChannelFlow"]
    assert shown.pop("CreatedTimestamp") == shown.pop("LastUpdatedTimestamp")
    assert shown == {"ChannelFlowArn": flow, "Name": "Moderation", "Processors": processors()}
    updated = messaging.update_channel_flow(
        ChannelFlowArn=flow, Name="Censorship", Processors=processors("Strike")
    )
    assert updated["ChannelFlowArn"] == flow
    listed = messaging.list_channel_flows(AppInstanceArn=world.app_instance)["ChannelFlows"]
    assert listed == [{"ChannelFlowArn": flow, "Name": "Censorship", "Processors": processors("Strike")}]
    messaging.delete_channel_flow(ChannelFlowArn=flow)
    with refused("Forbidden"):
        messaging.describe_channel_flow(ChannelFlowArn=flow)
    with refused("BadRequest"):
        create_flow(world, Processors=[])
    same = token()
    assert create_flow(world, ClientRequestToken=same) == create_flow(world, ClientRequestToken=same)
    with refused("Conflict"):
        create_flow(world, ClientRequestToken=same, Name="Other")


def test_a_flow_is_of_its_channels_until_they_let_it_go(world):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    flow, messaging = create_flow(world), world.messaging
    named = {"ChannelArn": channel, "ChannelFlowArn": flow}
    with refused("Forbidden"):
        messaging.associate_channel_flow(**named, ChimeBearer=bob)
    messaging.associate_channel_flow(**named, ChimeBearer=ana)
    described = messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert described["ChannelFlowArn"] == flow
    listed = pages(messaging.list_channels_associated_with_channel_flow, "Channels", ChannelFlowArn=flow)
    assert [item["ChannelArn"] for item in listed] == [channel]
    with refused("Conflict"):
        messaging.delete_channel_flow(ChannelFlowArn=flow)
    messaging.disassociate_channel_flow(**named, ChimeBearer=ana)
    described = messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob)["Channel"]
    assert "ChannelFlowArn" not in described
    listed = messaging.list_channels_associated_with_channel_flow(ChannelFlowArn=flow)
    assert listed["Channels"] == []
    messaging.delete_channel_flow(ChannelFlowArn=flow)


# Streams.


def test_streaming_is_configured_as_a_whole(world):
    get, put, delete = (
        world.messaging.get_messaging_streaming_configurations,
        world.messaging.put_messaging_streaming_configurations,
        world.messaging.delete_messaging_streaming_configurations,
    )
    named = {"AppInstanceArn": world.app_instance}
    assert get(**named)["StreamingConfigurations"] == []
    both = [
        {"DataType": "Channel", "ResourceArn": STREAM},
        {"DataType": "ChannelMessage", "ResourceArn": STREAM},
    ]

    def by_type(answer) -> list[dict]:
        return sorted(answer["StreamingConfigurations"], key=lambda entry: entry["DataType"])

    assert by_type(put(**named, StreamingConfigurations=both)) == both
    assert by_type(get(**named)) == both
    put(**named, StreamingConfigurations=both[:1])
    assert by_type(get(**named)) == both[:1]
    for wrong in ([both[0], both[0]], [both[0] | {"ResourceArn": STREAM.replace("chime-messaging-", "")}]):
        with refused("BadRequest"):
            put(**named, StreamingConfigurations=wrong)
    assert by_type(get(**named)) == both[:1]
    delete(**named)
    delete(**named)
    assert get(**named)["StreamingConfigurations"] == []
    with refused("NotFound"):
        get(AppInstanceArn=f"{world.app_instance[:-12]}{'0' * 12}")


# Tags.


def test_every_kind_of_thing_has_tags_in_both_interfaces(world):
    ana = world.user("ana")
    for arn in (world.app_instance, ana, world.channel(ana), create_flow(world)):
        for one, other in ((world.identity, world.messaging), (world.messaging, world.identity)):
            assert one.list_tags_for_resource(ResourceARN=arn)["Tags"] == []
            for colour in ("blue", "red"):
                tags = [{"Key": "team", "Value": colour}]
                one.tag_resource(ResourceARN=arn, Tags=tags)
                assert other.list_tags_for_resource(ResourceARN=arn)["Tags"] == tags
            one.untag_resource(ResourceARN=arn, TagKeys=["team", "absent"])
            assert other.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


def test_tags_are_bounded_and_go_with_what_they_are_of(world):
    ana = world.user("ana")
    tags = [{"Key": f"key{number}", "Value": "v"} for number in range(50)]
    channel = world.channel(ana, ChannelId="tagged", Tags=tags)
    listed = world.messaging.list_tags_for_resource(ResourceARN=channel)["Tags"]
    assert sorted(tag["Key"] for tag in listed) == sorted(tag["Key"] for tag in tags)
    with refused("ResourceLimitExceeded"):
        world.messaging.tag_resource(ResourceARN=channel, Tags=[{"Key": "one more", "Value": "v"}])
    for wrong in ([{"Key": "aws:x", "Value": "v"}], [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]):
        with refused("BadRequest"):
            world.messaging.tag_resource(ResourceARN=channel, Tags=wrong)
    world.messaging.delete_channel(ChannelArn=channel, ChimeBearer=ana)
    with refused("Forbidden"):
        world.messaging.list_tags_for_resource(ResourceARN=channel)
    again = world.channel(ana, ChannelId="tagged")
    assert world.messaging.list_tags_for_resource(ResourceARN=again)["Tags"] == []
