"""App instances with something of every kind in them, made through the public API alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness import aws
from harness.engine import Engine
from harness.processor import targets
from harness.programs import ALIAS
from harness.server import Credentials, Server
from harness.world import World, token

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/chime-messaging-moved"
PUSH = "arn:aws:mobiletargeting:us-east-1:000000000000:apps/0123456789abcdef0123456789abcdef"
UNREACHABLE = "http://127.0.0.1:9/"
PROVIDER = "https://idp.example.com"
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "chime:*", "Resource": "*"}}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"},
    }
)


@dataclass
class Furnished:
    server: Server
    worlds: list[World] = field(default_factory=list)
    # Of a user of IAM, who may do everything.
    key: Credentials | None = None
    # Of each app instance a channel, and who moderates it.
    lobbies: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)

    @property
    def instances(self) -> list[str]:
        return [world.app_instance for world in self.worlds]


def configuration() -> str:
    """Of a server whose processor is away, so that a message stays PENDING, and whose stream is, too."""
    return targets(UNREACHABLE)


@contextmanager
def served(
    engine: Engine, folder, *flags: str, more: str = "", **environment: str
) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "carillon.toml"
    path.write_text(configuration() + more)
    away = aws.environment(KINESIS=UNREACHABLE, LEX_RUNTIME_V2=UNREACHABLE)
    server = Server(folder, engine, "--config", str(path), *flags, **away, **environment).start()
    try:
        yield server
    finally:
        server.stop()


def furnish(server: Server, messages: int = 12, *, pending: bool = True) -> Furnished:
    """Two app instances and an account; each has so many messages and some more, one of which waits for its flow."""
    furnished = Furnished(server)
    furnished.key = account(server)
    for _ in range(2):
        instance(furnished, messages, pending)
    return furnished


def account(server: Server) -> Credentials:
    iam = server.client("iam")
    iam.create_user(UserName="Ana", Path="/staff/", Tags=[{"Key": "team", "Value": "chat"}])
    iam.put_user_policy(UserName="Ana", PolicyName="inline", PolicyDocument=POLICY)
    managed = iam.create_policy(PolicyName="Managed", PolicyDocument=POLICY, Description="of a test")
    arn = managed["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=POLICY.replace("chime:*", "chime:List*"))
    iam.attach_user_policy(UserName="Ana", PolicyArn=arn)
    iam.create_role(RoleName="Visitor", AssumeRolePolicyDocument=TRUST, MaxSessionDuration=7200)
    iam.attach_role_policy(RoleName="Visitor", PolicyArn=arn)
    iam.put_role_policy(RoleName="Visitor", PolicyName="own", PolicyDocument=POLICY)
    iam.create_open_id_connect_provider(Url=PROVIDER, ClientIDList=["app"], ThumbprintList=["0" * 40])
    made = iam.create_access_key(UserName="Ana")["AccessKey"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])


def instance(furnished: Furnished, messages: int, pending: bool) -> None:
    world = World(furnished.server)
    furnished.worlds.append(world)
    identity, messaging = world.identity, world.messaging
    ana, bob, cy = world.users("ana", "bob", "cy")
    admin = world.admin("root")
    tag(identity, world.app_instance, "plan", "gold")
    tag(identity, ana, "colour", "réd \u001a")
    identity.put_app_instance_retention_settings(
        AppInstanceArn=world.app_instance,
        AppInstanceRetentionSettings={"ChannelRetentionSettings": {"RetentionDays": 5000}},
    )
    identity.update_app_instance_user(AppInstanceUserArn=bob, Name="Bob B.", Metadata='{"\u0000": 1}')
    identity.put_app_instance_user_expiration_settings(
        AppInstanceUserArn=cy,
        ExpirationSettings={"ExpirationDays": 5000, "ExpirationCriterion": "CREATED_TIMESTAMP"},
    )
    identity.register_app_instance_user_endpoint(
        AppInstanceUserArn=ana,
        Type="APNS",
        ResourceArn=PUSH,
        EndpointAttributes={"DeviceToken": token().replace("-", "")},
        ClientRequestToken=token(),
    )
    bot = identity.create_app_instance_bot(
        AppInstanceArn=world.app_instance,
        Name="Concierge",
        Configuration={"Lex": {"LexBotAliasArn": ALIAS, "LocaleId": "en_US", "RespondsTo": "STANDARD_MESSAGES"}},
        ClientRequestToken=token(),
    )["AppInstanceBotArn"]
    messaging.put_messaging_streaming_configurations(
        AppInstanceArn=world.app_instance,
        StreamingConfigurations=[{"DataType": "ChannelMessage", "ResourceArn": STREAM}],
    )
    furnished.lobbies.append(lobby(world, (ana, bob, cy, admin, bot), messages))
    furnished.speakers.append(ana)
    flowing(world, ana, bob, pending)
    elastic(world, ana, [bob, cy, *world.users("dora", "eve", "fay", "gus", "hal")])
    gone(world, ana)


def lobby(world: World, people: tuple[str, ...], messages: int) -> str:
    """A channel in which everything happens that may happen in one."""
    ana, bob, cy, admin, bot = people
    messaging = world.messaging
    channel = world.channel(ana, bob, cy, Metadata="of the channel", ModeratorArns=[admin], MemberArns=[bob, cy, bot])
    at = {"ChannelArn": channel}
    tag(messaging, channel, "floor", "1")
    settings = {"ExpirationDays": 5000, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP"}
    messaging.put_channel_expiration_settings(**at, ExpirationSettings=settings, ChimeBearer=ana)
    said = [
        world.send(
            channel,
            [ana, bob, cy][number % 3],
            f"message {number} \u0000 é",
            MessageAttributes={"topic": {"StringValues": [f"t{number}"]}},
            Metadata=f"of message {number}",
            ContentType="text/plain",
        )["MessageId"]
        for number in range(messages)
    ]
    sender = dict(zip(said, (ana, bob, cy) * messages, strict=False))
    for message in said[::5]:
        messaging.update_channel_message(
            **at, MessageId=message, Content="edited", Metadata="too", ChimeBearer=sender[message]
        )
    for message in said[1::5]:
        messaging.redact_channel_message(**at, MessageId=message, ChimeBearer=sender[message])
    for message in said[2::7]:
        messaging.delete_channel_message(**at, MessageId=message, ChimeBearer=admin)
    world.send(channel, ana, "for Bob alone", Target=[{"MemberArn": bob}])
    world.send(channel, bob, "", Type="CONTROL", Content="typing", Persistence="NON_PERSISTENT")
    push = {"Title": "Room", "Body": "Hello", "Type": "DEFAULT"}
    world.send(channel, bob, "with a push", PushNotification=push)
    messaging.put_channel_membership_preferences(
        **at,
        MemberArn=bob,
        ChimeBearer=bob,
        Preferences={"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": '{"topic": ["t1"]}'}},
    )
    messaging.update_channel_read_marker(**at, ChimeBearer=bob)
    other = world.user("zoe")
    messaging.create_channel_ban(**at, MemberArn=other, ChimeBearer=ana)
    world.add(channel, admin, by=ana, kind="HIDDEN")
    plaza = world.channel(ana, bob, Name="Public", Privacy="PUBLIC", Mode="UNRESTRICTED", ChannelId="plaza")
    # The last one is for Bob: for others, who joined or not, there is an earlier last one.
    world.send(plaza, bob, "for all")
    world.send(plaza, ana, "last, and for Bob alone", Target=[{"MemberArn": bob}])
    return channel


def flowing(world: World, ana: str, bob: str, pending: bool) -> None:
    """A channel with a flow, and a message that waits in it."""
    flow = world.flow()
    tag(world.messaging, flow, "kind", "moderation")
    channel = world.channel(ana, bob)
    world.send(channel, bob, "before the flow")
    world.messaging.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow, ChimeBearer=ana)
    if pending:
        assert world.send(channel, bob, "waits")["Status"] == {"Value": "PENDING"}


def elastic(world: World, moderator: str, members: list[str]) -> None:
    """An elastic channel with several sub-channels."""
    configuration = {
        "MaximumSubChannels": 4,
        "TargetMembershipsPerSubChannel": 2,
        "MinimumMembershipPercentage": 40,
    }
    channel = world.channel(moderator, ElasticChannelConfiguration=configuration)
    for member in members:
        place = world.add(channel, member, by=moderator)["SubChannelId"]
        world.send(channel, member, f"from {member}", SubChannelId=place)


def gone(world: World, ana: str) -> None:
    """Somebody who said something and left for good, and a channel that is no more."""
    late = world.user("late")
    channel = world.channel(ana, late)
    world.send(channel, late, "last words")
    world.identity.delete_app_instance_user(AppInstanceUserArn=late)
    world.messaging.delete_channel(ChannelArn=world.channel(ana), ChimeBearer=ana)


def tag(client: Any, resource: str, key: str, value: str) -> None:
    client.tag_resource(ResourceARN=resource, Tags=[{"Key": key, "Value": value}])
