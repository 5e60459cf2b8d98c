"""What becomes of a message after it was sent: it is changed, redacted, deleted."""

from harness.session import Session
from harness.world import World, refused


def named(channel: str, message_id: str, bearer: str) -> dict[str, str]:
    return {"ChannelArn": channel, "MessageId": message_id, "ChimeBearer": bearer}


def get(world: World, channel: str, message_id: str, bearer: str):
    return world.messaging.get_channel_message(**named(channel, message_id, bearer))["ChannelMessage"]


def test_a_sender_changes_what_was_said_and_everyone_sees_it(world, server):
    ana, bob = world.users("ana", "bob")
    eve = world.admin("eve")
    channel = world.channel(ana, bob, eve)
    message_id = world.send(channel, bob, "teh", Metadata="first", ContentType="text/plain")["MessageId"]
    update = world.messaging.update_channel_message
    with Session.established(server, ana) as session:
        updated = update(**named(channel, message_id, bob), Content="the")
        assert (updated["MessageId"], updated["Status"]) == (message_id, {"Value": "SENT"})
        event = session.next_of("UPDATE_CHANNEL_MESSAGE")
        assert (event["MessageId"], event["Content"]) == (message_id, "the")
        assert event["LastEditedTimestamp"]
    message = get(world, channel, message_id, ana)
    assert message["Content"] == "the"
    assert (message["Metadata"], message["ContentType"]) == ("first", "text/plain")
    assert message["CreatedTimestamp"] <= message["LastEditedTimestamp"]
    update(**named(channel, message_id, bob), Content="them", Metadata="second")
    assert get(world, channel, message_id, ana)["Metadata"] == "second"
    assert world.contents(channel, ana) == ["them"]
    for other in (ana, eve):
        with refused("Forbidden"):
            update(**named(channel, message_id, other), Content="mine")
    with refused("BadRequest"):
        update(**named(channel, message_id, bob), Content="x" * 4097)
    world.remove(channel, bob, by=ana)
    with refused("Forbidden"):
        update(**named(channel, message_id, bob), Content="from outside")


def test_a_redacted_message_is_a_shell(world, server):
    ana, bob, cy = world.users("ana", "bob", "cy")
    channel = world.channel(ana, bob, cy)
    attributes = {"mention": {"StringValues": ["Cy"]}}
    message_id = world.send(channel, bob, "secret", Metadata="also", MessageAttributes=attributes)["MessageId"]
    redact = world.messaging.redact_channel_message
    with refused("Forbidden"):
        redact(**named(channel, message_id, cy))
    with Session.established(server, cy) as session:
        assert redact(**named(channel, message_id, bob))["MessageId"] == message_id
        event = session.next_of("REDACT_CHANNEL_MESSAGE")
        assert event["MessageId"] == message_id
        assert "secret" not in str(event)
    message = get(world, channel, message_id, cy)
    assert message["Redacted"] is True
    assert message["Sender"] == {"Arn": bob, "Name": "Bob"}
    assert not message.keys() & {"Content", "Metadata", "MessageAttributes"}
    listed = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=cy)["ChannelMessages"]
    assert [(item["MessageId"], item["Redacted"]) for item in listed] == [(message_id, True)]
    with refused("Conflict"):
        redact(**named(channel, message_id, bob))
    with refused("Conflict"):
        world.messaging.update_channel_message(**named(channel, message_id, bob), Content="again")
    other = world.send(channel, cy, "rude")["MessageId"]
    redact(**named(channel, other, ana))
    assert get(world, channel, other, bob)["Redacted"] is True


def test_an_administrator_deletes_and_nobody_else(world, server):
    ana, bob = world.users("ana", "bob")
    eve = world.admin("eve")
    channel = world.channel(ana, bob)
    kept = world.send(channel, bob, "kept")["MessageId"]
    message_id = world.send(channel, bob, "gone")["MessageId"]
    psst = world.send(channel, bob, "psst", Target=[{"MemberArn": ana}])["MessageId"]
    delete = world.messaging.delete_channel_message
    for other in (ana, bob):
        with refused("Forbidden"):
            delete(**named(channel, message_id, other))
    with Session.established(server, bob) as session:
        delete(**named(channel, message_id, eve))
        assert session.next_of("DELETE_CHANNEL_MESSAGE")["MessageId"] == message_id
    delete(**named(channel, psst, eve))
    assert world.contents(channel, ana) == ["kept"]
    for gone in (message_id, psst):
        with refused("NotFound"):
            get(world, channel, gone, bob)
        with refused("Forbidden"):
            delete(**named(channel, gone, eve))
        with refused("Forbidden"):
            world.status(channel, gone, bob)
    assert world.status(channel, kept, bob) == {"Value": "SENT"}


def test_attributes_are_bounded_together(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    fits = {"a": {"StringValues": ["x" * 500]}, "b": {"StringValues": ["x" * 500]}}
    world.send(channel, ana, MessageAttributes=fits)
    with refused("BadRequest"):
        world.send(channel, ana, MessageAttributes=fits | {"c": {"StringValues": ["x" * 500]}})
    with refused("BadRequest"):
        world.send(channel, ana, MessageAttributes={"a": {"StringValues": ["x" * 513]}})
