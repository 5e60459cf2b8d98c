"""What time does, by the test clock: channels and people expire, messages are retained for so long and no longer."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from harness.server import Server
from harness.session import Session
from harness.world import World, pages, refused

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# Until what was hidden is destroyed.
GRACE = 30 * DAY


@pytest.fixture
def server(engine, tmp_path) -> Iterator[Server]:
    """One for each test: it moves the clock, and is started again."""
    server = Server(tmp_path, engine, "--test-clock").start()
    yield server
    server.stop()


def restart(server: Server) -> None:
    server.stop()
    server.start()


def expiring(days: int, criterion: str) -> dict[str, int | str]:
    return {"ExpirationDays": days, "ExpirationCriterion": criterion}


def is_there(world: World, channel: str, asker: str) -> bool:
    """Of the asker's own channel: what is gone is as forbidden as what never was, and is in no list."""
    listed = pages(
        world.messaging.list_channel_memberships_for_app_instance_user,
        "ChannelMemberships",
        ChimeBearer=asker,
    )
    is_listed = channel in [item["ChannelSummary"]["ChannelArn"] for item in listed]
    if is_listed:
        assert world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=asker)
    else:
        with refused("Forbidden"):
            world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=asker)
    return is_listed


def test_a_channel_expires_so_many_days_after_it_was_made(world, server):
    ana = world.user("ana")
    settings = expiring(2, "CREATED_TIMESTAMP")
    channel = world.channel(ana, ExpirationSettings=settings, ChannelId="expiring")
    other = world.channel(ana)
    assert described(world, channel, ana)["ExpirationSettings"] == settings
    server.advance(DAY)
    # What happens in it does not matter.
    world.send(channel, ana)
    server.advance(DAY - HOUR)
    assert is_there(world, channel, ana)
    restart(server)
    assert is_there(world, channel, ana)
    with Session.established(server, ana) as session:
        server.advance(2 * HOUR)
        assert session.next_of("DELETE_CHANNEL")["ChannelArn"] == channel
    assert not is_there(world, channel, ana)
    restart(server)
    assert not is_there(world, channel, ana)
    assert is_there(world, other, ana)
    # Its id is free again, and what is made of it has nothing of the old one.
    again = world.channel(ana, ChannelId="expiring")
    assert again == channel
    assert world.contents(again, ana) == []


def test_a_channel_expires_so_many_days_after_its_last_message(world, server):
    ana = world.user("ana")
    channel = world.channel(ana)
    world.messaging.put_channel_expiration_settings(
        ChannelArn=channel, ChimeBearer=ana, ExpirationSettings=expiring(2, "LAST_MESSAGE_TIMESTAMP")
    )
    server.advance(DAY)
    world.send(channel, ana)
    server.advance(2 * DAY - HOUR)
    assert is_there(world, channel, ana)
    restart(server)
    world.send(channel, ana)
    server.advance(2 * DAY - HOUR)
    assert is_there(world, channel, ana)
    restart(server)
    server.advance(2 * HOUR)
    assert not is_there(world, channel, ana)
    restart(server)
    assert not is_there(world, channel, ana)


def test_a_channel_whose_expiration_is_taken_back_stays(world, server):
    ana = world.user("ana")
    channel = world.channel(ana, ExpirationSettings=expiring(1, "CREATED_TIMESTAMP"))
    answer = world.messaging.put_channel_expiration_settings(ChannelArn=channel, ChimeBearer=ana)
    assert "ExpirationSettings" not in answer
    server.advance(3 * DAY)
    assert is_there(world, channel, ana)
    assert "ExpirationSettings" not in described(world, channel, ana)


def described(world: World, channel: str, asker: str):
    return world.messaging.describe_channel(ChannelArn=channel, ChimeBearer=asker)["Channel"]


def retain(world: World, days: int | None) -> dict:
    settings = {} if days is None else {"RetentionDays": days}
    return world.identity.put_app_instance_retention_settings(
        AppInstanceArn=world.app_instance,
        AppInstanceRetentionSettings={"ChannelRetentionSettings": settings},
    )


def test_retention_hides_at_once_and_removes_after_the_grace(world, server):
    ana = world.user("ana")
    channel = world.channel(ana)
    old = world.send(channel, ana, "old")["MessageId"]
    server.advance(10 * DAY)
    world.send(channel, ana, "new")
    put = retain(world, 5)
    assert put["AppInstanceRetentionSettings"] == {"ChannelRetentionSettings": {"RetentionDays": 5}}
    assert put["InitiateDeletionTimestamp"]

    def get_old():
        return world.messaging.get_channel_message(ChannelArn=channel, MessageId=old, ChimeBearer=ana)

    assert world.contents(channel, ana) == ["new"]
    with refused("NotFound"):
        get_old()
    with refused("Forbidden"):
        world.status(channel, old, ana)
    restart(server)
    assert world.contents(channel, ana) == ["new"]

    # Within the grace, a longer period shows it again.
    server.advance(DAY)
    retain(world, 60)
    assert world.contents(channel, ana) == ["new", "old"]
    assert get_old()["ChannelMessage"]["Content"] == "old"
    assert world.status(channel, old, ana) == {"Value": "SENT"}

    # After the grace it is gone for good.
    retain(world, 5)
    assert world.contents(channel, ana) == ["new"]
    restart(server)
    server.advance(GRACE + DAY)
    world.send(channel, ana, "newest")
    retain(world, None)
    assert world.contents(channel, ana) == ["newest"]
    with refused("NotFound"):
        get_old()
    restart(server)
    assert world.contents(channel, ana) == ["newest"]


def test_retention_is_kept_as_it_was_put(world, server):
    def got() -> dict:
        answer = world.identity.get_app_instance_retention_settings(AppInstanceArn=world.app_instance)
        answer.pop("ResponseMetadata")
        return answer

    assert got() == {"AppInstanceRetentionSettings": {}}
    put = retain(world, 7)
    restart(server)
    kept = got()
    assert kept["AppInstanceRetentionSettings"] == {"ChannelRetentionSettings": {"RetentionDays": 7}}
    assert kept["InitiateDeletionTimestamp"] == put["InitiateDeletionTimestamp"]
    for days in (0, 5476):
        with refused("BadRequest"):
            retain(world, days)


def test_a_person_expires_so_many_days_after_they_were_made(world, server):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    world.send(channel, bob, "from bob")
    settings = expiring(2, "CREATED_TIMESTAMP")
    put = world.identity.put_app_instance_user_expiration_settings(
        AppInstanceUserArn=bob, ExpirationSettings=settings
    )
    assert put["ExpirationSettings"] == settings

    def members() -> list[str]:
        listed = world.messaging.list_channel_memberships(ChannelArn=channel, ChimeBearer=ana)
        return sorted(item["Member"]["Arn"] for item in listed["ChannelMemberships"])

    server.advance(2 * DAY - HOUR)
    assert members() == sorted([ana, bob])
    restart(server)
    user = world.identity.describe_app_instance_user(AppInstanceUserArn=bob)["AppInstanceUser"]
    assert user["ExpirationSettings"] == settings
    with Session.established(server, ana) as session:
        server.advance(2 * HOUR)
        assert session.next_of("DELETE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == bob
    for _ in range(2):
        with refused("Forbidden"):
            world.identity.describe_app_instance_user(AppInstanceUserArn=bob)
        with refused("UnauthorizedClient"):
            world.contents(channel, bob)
        assert members() == [ana]
        assert world.contents(channel, ana) == ["from bob"]
        restart(server)
