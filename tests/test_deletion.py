"""Bots and endpoints through boto3, and the end of users, bots and app instances: at once, and in the background."""

import time
from datetime import timedelta

import pytest
from websockets.exceptions import ConnectionClosed

from harness.server import ACCOUNT, REGION, Server
from harness.session import Session, event_of
from harness.world import World, pages, refused, token

FORBIDDEN = 4003
DAY = timedelta(days=1)
ALIAS = f"arn:aws:lex:{REGION}:{ACCOUNT}:bot-alias/ABCDE12345/TSTALIASID"
PUSH_APPLICATION = f"arn:aws:mobiletargeting:{REGION}:{ACCOUNT}:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
JOB_TIMEOUT_S = 60


@pytest.fixture
def timed_server(engine, tmp_path):
    """One with a clock that can be moved."""
    server = Server(tmp_path, engine, "--test-clock").start()
    yield server
    server.stop()


def until(holds) -> None:
    """Waits for what a job does."""
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, "the job did not do it in time"
        time.sleep(0.02)


def close_code(session: Session, but: set[str]) -> int:
    """Reads to the close; only events of these kinds may come before it."""
    try:
        while True:
            event = event_of(session.socket.recv(timeout=10))
            assert event.kind in but, event
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code


def bot(world: World, name: str, **options) -> str:
    created = world.identity.create_app_instance_bot(
        AppInstanceArn=world.app_instance,
        Name=name,
        ClientRequestToken=token(),
        Configuration={"Lex": {"LexBotAliasArn": ALIAS, "LocaleId": "en_US"}},
        **options,
    )
    return created["AppInstanceBotArn"]


def test_a_bot_from_its_creation_to_its_end(world):
    lex = {
        "LexBotAliasArn": ALIAS,
        "LocaleId": "en_US",
        "WelcomeIntent": "Welcome",
        "InvokedBy": {"StandardMessages": "AUTO", "TargetedMessages": "ALL"},
    }
    arn = bot(world, "Concierge", Metadata="m", Tags=[{"Key": "k", "Value": "v"}])
    described = world.identity.describe_app_instance_bot(AppInstanceBotArn=arn)["AppInstanceBot"]
    assert described["Configuration"] == {"Lex": {"LexBotAliasArn": ALIAS, "LocaleId": "en_US"}}
    assert (described["Name"], described["Metadata"]) == ("Concierge", "m")
    world.identity.update_app_instance_bot(
        AppInstanceBotArn=arn, Name="Porter", Metadata="", Configuration={"Lex": lex}
    )
    described = world.identity.describe_app_instance_bot(AppInstanceBotArn=arn)["AppInstanceBot"]
    assert described["Configuration"] == {"Lex": lex}
    assert (described["Name"], "Metadata" in described) == ("Porter", False)
    assert world.messaging.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    others = [bot(world, f"Bot {number}") for number in range(3)]
    listed = pages(
        world.identity.list_app_instance_bots,
        "AppInstanceBots",
        AppInstanceArn=world.app_instance,
        MaxResults=2,
    )
    assert {entry["AppInstanceBotArn"] for entry in listed} == {arn, *others}
    ana = world.user("ana")
    channel = world.channel(ana, arn)
    world.send(channel, arn, "How may I help?")
    world.identity.delete_app_instance_bot(AppInstanceBotArn=arn)
    with refused("NotFound"):
        world.identity.describe_app_instance_bot(AppInstanceBotArn=arn)
    with refused("UnauthorizedClient"):
        world.send(channel, arn, "Hello?")
    assert world.contents(channel, ana) == ["How may I help?"]


def test_a_device_from_its_registration_to_its_end(world):
    ana, bob = world.users("ana", "bob")

    def register(user: str, **options) -> str:
        registered = world.identity.register_app_instance_user_endpoint(
            AppInstanceUserArn=user,
            Type="APNS_SANDBOX",
            ResourceArn=PUSH_APPLICATION,
            EndpointAttributes={"DeviceToken": "9a0b", "VoipDeviceToken": "9a0c"},
            ClientRequestToken=token(),
            **options,
        )
        assert registered["AppInstanceUserArn"] == user
        return registered["EndpointId"]

    def describe(user: str, endpoint: str) -> dict:
        described = world.identity.describe_app_instance_user_endpoint(
            AppInstanceUserArn=user, EndpointId=endpoint
        )
        return described["AppInstanceUserEndpoint"]

    phone = register(ana, Name="Ana's phone")
    shown = describe(ana, phone)
    assert shown.pop("CreatedTimestamp") == shown.pop("LastUpdatedTimestamp")
    assert shown == {
        "AppInstanceUserArn": ana,
        "EndpointId": phone,
        "Name": "Ana's phone",
        "Type": "APNS_SANDBOX",
        "ResourceArn": PUSH_APPLICATION,
        "EndpointAttributes": {"DeviceToken": "9a0b", "VoipDeviceToken": "9a0c"},
        "AllowMessages": "ALL",
        "EndpointState": {"Status": "ACTIVE"},
    }
    world.identity.update_app_instance_user_endpoint(
        AppInstanceUserArn=ana, EndpointId=phone, AllowMessages="NONE"
    )
    register(bob)
    (listed,) = pages(
        world.identity.list_app_instance_user_endpoints, "AppInstanceUserEndpoints", AppInstanceUserArn=ana
    )
    assert listed == {
        "AppInstanceUserArn": ana,
        "EndpointId": phone,
        "Name": "Ana's phone",
        "Type": "APNS_SANDBOX",
        "AllowMessages": "NONE",
        "EndpointState": {"Status": "INACTIVE", "StatusReason": "INVALID_DEVICE_TOKEN"},
    }
    world.identity.deregister_app_instance_user_endpoint(AppInstanceUserArn=ana, EndpointId=phone)
    with refused("Forbidden"):
        describe(ana, phone)


def test_a_deleted_user_is_closed_out_and_the_others_are_told(world, server):
    ana, bob = world.users("ana", "bob")
    channels = [world.channel(bob, ana) for _ in range(3)]
    with (
        Session.established(server, ana) as first,
        Session.established(server, ana, tls=True) as second,
        Session.established(server, bob) as other,
    ):
        world.identity.delete_app_instance_user(AppInstanceUserArn=ana)
        for session in (first, second):
            assert close_code(session, but={"DELETE_CHANNEL_MEMBERSHIP"}) == FORBIDDEN
        left = [other.next_of("DELETE_CHANNEL_MEMBERSHIP") for _ in channels]
        assert {payload["ChannelArn"] for payload in left} == set(channels)
        assert {payload["Member"]["Arn"] for payload in left} == {ana}
        with Session(server, ana) as late:
            assert late.close_code() == FORBIDDEN
        world.send(channels[0], bob, "alone")
        assert other.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "alone"


def test_a_deleted_app_instance_is_gone_and_another_is_not(world, server):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    neighbour = World(server)
    cy = neighbour.user("cy")
    elsewhere = neighbour.channel(cy)
    with (
        Session.established(server, ana) as one,
        Session.established(server, bob) as two,
        Session.established(server, cy) as other,
    ):
        world.identity.delete_app_instance(AppInstanceArn=world.app_instance)
        with refused("UnauthorizedClient"):
            world.send(channel, ana, "still here?")
        with refused("Forbidden"):
            world.identity.describe_app_instance(AppInstanceArn=world.app_instance)
        for session in (one, two):
            assert close_code(session, but=set()) == FORBIDDEN
        neighbour.send(elsewhere, cy, "unharmed")
        assert other.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "unharmed"
    instances = pages(server.identity.list_app_instances, "AppInstances")
    arns = {instance["AppInstanceArn"] for instance in instances}
    assert (world.app_instance in arns, neighbour.app_instance in arns) == (False, True)


def test_a_user_leaves_every_channel_though_the_server_is_killed_meanwhile(own_server):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channels = [world.channel(bob, ana) for _ in range(60)]
    world.identity.delete_app_instance_user(AppInstanceUserArn=ana)
    own_server.kill()
    own_server.start()
    with refused("Forbidden"):
        world.identity.describe_app_instance_user(AppInstanceUserArn=ana)

    def members(channel: str) -> set[str]:
        listed = world.messaging.list_channel_memberships(ChannelArn=channel, ChimeBearer=bob)
        return {entry["Member"]["Arn"] for entry in listed["ChannelMemberships"]}

    for channel in channels:
        until(lambda channel=channel: members(channel) == {bob})


def test_a_user_expires_also_after_a_restart(timed_server):
    world = World(timed_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(bob, ana)
    world.identity.put_app_instance_user_expiration_settings(
        AppInstanceUserArn=ana,
        ExpirationSettings={"ExpirationDays": 2, "ExpirationCriterion": "CREATED_TIMESTAMP"},
    )
    timed_server.advance(DAY)
    world.send(channel, ana, "a day left")
    timed_server.stop()
    timed_server.start()
    with Session.established(timed_server, ana) as session:
        timed_server.advance(DAY)
        assert close_code(session, but={"DELETE_CHANNEL_MEMBERSHIP"}) == FORBIDDEN
    with refused("Forbidden"):
        world.identity.describe_app_instance_user(AppInstanceUserArn=ana)
    listed = world.messaging.list_channel_memberships(ChannelArn=channel, ChimeBearer=bob)
    assert [entry["Member"]["Arn"] for entry in listed["ChannelMemberships"]] == [bob]
    assert world.contents(channel, bob) == ["a day left"]
