"""Every list, walked by boto3's paginators to its end: nothing missing, nothing twice, whatever is added meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import pytest
from botocore import xform_name

from harness.paginators import SERVICES, paginated, walk
from harness.server import ACCOUNT, REGION, Server
from harness.world import World, refused, token

ITEMS = 120
PAGE_SIZES = [1, 50]
# While a list is walked, an item is added to it after each of these pages.
ADDED_AFTER = {0, 1, 40, 80}
THREADS = 8
# What the published quotas are too narrow for.
LIMITS = """
[limits]
app_instances_max = 1000
admins_max = 1000
bots_max = 1000
endpoints_max = 1000
channel_flows_max = 1000
elastic_channels_max = 2
sub_channels_max = 1000
"""
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:moderate"
ALIAS = f"arn:aws:lex:{REGION}:{ACCOUNT}:bot-alias/ABCDE12345/TSTALIASID"
PUSH_APPLICATION = f"arn:aws:mobiletargeting:{REGION}:{ACCOUNT}:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0"


@dataclass
class Items:
    """What a list holds: how to ask for it, what names an item, and how one more comes in."""

    arguments: dict[str, Any]
    name: Callable[[dict[str, Any]], str]
    held: list[str]
    add: Callable[[int], Any]


class Scene:
    """The lists of one server; each is filled when it is first walked."""

    def __init__(self, server: Server):
        self.server = server
        self.world = World(server)
        self.ana = self.world.user("ana")
        self.eve = self.world.admin("eve")
        self.filled: dict[str, Items] = {}

    def items(self, operation: str) -> Items:
        assert operation in SETUPS, f"{operation} is paged, and nothing here says what it lists"
        if operation not in self.filled:
            self.filled[operation] = SETUPS[operation](self)
        return self.filled[operation]

    def client(self, operation: str):
        is_identity = operation in self.server.identity.meta.service_model.operation_names
        return self.server.identity if is_identity else self.server.messaging

    @cached_property
    def people(self) -> list[str]:
        return many(lambda number: self.world.user(f"user{number}"))

    @cached_property
    def channels(self) -> list[str]:
        return many(lambda number: self.public_channel())

    def public_channel(self) -> str:
        return self.world.channel(self.ana, Privacy="PUBLIC")

    def flow(self) -> str:
        return self.world.flow()


def many(make: Callable[[int], str], count: int = ITEMS) -> list[str]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(make, range(count)))


SETUPS: dict[str, Callable[[Scene], Items]] = {}


def lists(operation: str):
    def keep(setup: Callable[[Scene], Items]):
        SETUPS[operation] = setup
        return setup

    return keep


# Identity.


@lists("ListAppInstances")
def app_instances(scene: Scene) -> Items:
    def make(_number: int) -> str:
        created = scene.server.identity.create_app_instance(Name="Many", ClientRequestToken=token())
        return created["AppInstanceArn"]

    return Items({}, lambda item: item["AppInstanceArn"], many(make), make)


@lists("ListAppInstanceUsers")
def users(scene: Scene) -> Items:
    def make(number: int) -> str:
        return scene.world.user(f"late{number}")

    arguments = {"AppInstanceArn": scene.world.app_instance}
    return Items(arguments, lambda item: item["AppInstanceUserArn"], scene.people, make)


@lists("ListAppInstanceAdmins")
def admins(scene: Scene) -> Items:
    world = World(scene.server)
    arguments = {"AppInstanceArn": world.app_instance}

    def make(number: int) -> str:
        return world.admin(f"admin{number}")

    return Items(arguments, lambda item: item["Admin"]["Arn"], many(make), make)


@lists("ListAppInstanceBots")
def bots(scene: Scene) -> Items:
    def make(number: int) -> str:
        created = scene.server.identity.create_app_instance_bot(
            AppInstanceArn=scene.world.app_instance,
            Name=f"Bot {number}",
            ClientRequestToken=token(),
            Configuration={"Lex": {"LexBotAliasArn": ALIAS, "LocaleId": "en_US"}},
        )
        return created["AppInstanceBotArn"]

    arguments = {"AppInstanceArn": scene.world.app_instance}
    return Items(arguments, lambda item: item["AppInstanceBotArn"], many(make), make)


@lists("ListAppInstanceUserEndpoints")
def endpoints(scene: Scene) -> Items:
    def make(_number: int) -> str:
        registered = scene.server.identity.register_app_instance_user_endpoint(
            AppInstanceUserArn=scene.ana,
            Type="GCM",
            ResourceArn=PUSH_APPLICATION,
            # A device that registers again gives its earlier endpoint up.
            EndpointAttributes={"DeviceToken": token()},
            ClientRequestToken=token(),
        )
        return registered["EndpointId"]

    arguments = {"AppInstanceUserArn": scene.ana}
    return Items(arguments, lambda item: item["EndpointId"], many(make), make)


# Channels.


@lists("ListChannels")
def channels(scene: Scene) -> Items:
    arguments = {"AppInstanceArn": scene.world.app_instance, "ChimeBearer": scene.ana}
    return Items(arguments, by_channel, scene.channels, lambda _number: scene.public_channel())


@lists("ListChannelMembershipsForAppInstanceUser")
def memberships_of_a_user(scene: Scene) -> Items:
    def name(item: dict[str, Any]) -> str:
        return item["ChannelSummary"]["ChannelArn"]

    return Items({"ChimeBearer": scene.ana}, name, scene.channels, lambda _number: scene.public_channel())


@lists("ListChannelsModeratedByAppInstanceUser")
def moderated_by_a_user(scene: Scene) -> Items:
    def name(item: dict[str, Any]) -> str:
        return item["ChannelSummary"]["ChannelArn"]

    return Items({"ChimeBearer": scene.ana}, name, scene.channels, lambda _number: scene.public_channel())


@lists("SearchChannels")
def found(scene: Scene) -> Items:
    fields = [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [scene.ana]}]
    arguments = {"ChimeBearer": scene.ana, "Fields": fields}
    return Items(arguments, by_channel, scene.channels, lambda _number: scene.public_channel())


@lists("ListChannelFlows")
def flows(scene: Scene) -> Items:
    arguments = {"AppInstanceArn": scene.world.app_instance}
    held = many(lambda _number: scene.flow())
    return Items(arguments, lambda item: item["ChannelFlowArn"], held, lambda _number: scene.flow())


@lists("ListChannelsAssociatedWithChannelFlow")
def associated(scene: Scene) -> Items:
    flow = scene.flow()

    def make(_number: int) -> str:
        channel = scene.world.channel(scene.ana)
        scene.server.messaging.associate_channel_flow(
            ChannelArn=channel, ChannelFlowArn=flow, ChimeBearer=scene.ana
        )
        return channel

    return Items({"ChannelFlowArn": flow}, by_channel, many(make), make)


def by_channel(item: dict[str, Any]) -> str:
    return item["ChannelArn"]


# What a channel holds.


@lists("ListChannelMemberships")
def memberships(scene: Scene) -> Items:
    channel = scene.world.channel(scene.ana)
    join(scene, channel, scene.people)

    def add(number: int) -> None:
        scene.world.add(channel, scene.world.user(f"late{number}"), by=scene.ana)

    arguments = {"ChannelArn": channel, "ChimeBearer": scene.ana}
    return Items(arguments, lambda item: item["Member"]["Arn"], [scene.ana, *scene.people], add)


def join(scene: Scene, channel: str, people: list[str]) -> None:
    for first in range(0, len(people), 100):
        answer = scene.server.messaging.batch_create_channel_membership(
            ChannelArn=channel, MemberArns=people[first : first + 100], ChimeBearer=scene.ana
        )
        assert "Errors" not in answer, answer["Errors"]


@lists("ListChannelModerators")
def moderators(scene: Scene) -> Items:
    channel = scene.world.channel(scene.ana)

    def make(number: int) -> str:
        return moderate(scene.people[number])

    def moderate(person: str) -> str:
        scene.server.messaging.create_channel_moderator(
            ChannelArn=channel, ChannelModeratorArn=person, ChimeBearer=scene.ana
        )
        return person

    arguments = {"ChannelArn": channel, "ChimeBearer": scene.ana}
    held = [scene.ana, *many(make)]
    return Items(
        arguments,
        lambda item: item["Moderator"]["Arn"],
        held,
        lambda number: moderate(scene.world.user(f"late{number}")),
    )


@lists("ListChannelBans")
def bans(scene: Scene) -> Items:
    channel = scene.world.channel(scene.ana)

    def ban(person: str) -> str:
        scene.server.messaging.create_channel_ban(
            ChannelArn=channel, MemberArn=person, ChimeBearer=scene.ana
        )
        return person

    arguments = {"ChannelArn": channel, "ChimeBearer": scene.ana}
    held = many(lambda number: ban(scene.people[number]))
    return Items(
        arguments,
        lambda item: item["Member"]["Arn"],
        held,
        lambda number: ban(scene.world.user(f"late{number}")),
    )


@lists("ListChannelMessages")
def messages(scene: Scene) -> Items:
    channel = scene.world.channel(scene.ana)

    def make(_number: int) -> str:
        return scene.world.send(channel, scene.ana)["MessageId"]

    arguments = {"ChannelArn": channel, "ChimeBearer": scene.ana}
    return Items(arguments, lambda item: item["MessageId"], many(make), make)


@lists("ListSubChannels")
def sub_channels(scene: Scene) -> Items:
    configuration = {
        "MaximumSubChannels": 3 * ITEMS,
        "TargetMembershipsPerSubChannel": 2,
        "MinimumMembershipPercentage": 1,
    }
    channel = scene.world.channel(scene.ana, ElasticChannelConfiguration=configuration)
    # Two members each, so twice as many people as sub-channels.
    join(scene, channel, [*scene.people, *many(lambda number: scene.world.user(f"more{number}"))])

    def add(number: int) -> None:
        scene.world.add(channel, scene.world.user(f"late{number}"), by=scene.ana)

    arguments = {"ChannelArn": channel, "ChimeBearer": scene.ana}
    listed = scene.server.messaging.list_sub_channels(**arguments)
    held = [item["SubChannelId"] for item in listed["SubChannels"]]
    while "NextToken" in listed:
        listed = scene.server.messaging.list_sub_channels(**arguments, NextToken=listed["NextToken"])
        held += [item["SubChannelId"] for item in listed["SubChannels"]]
    assert len(held) >= ITEMS, len(held)
    return Items(arguments, lambda item: item["SubChannelId"], held, add)


# The walks.


@pytest.fixture(scope="module")
def server(engine, tmp_path_factory) -> Iterator[Server]:
    """With wider quotas."""
    folder = tmp_path_factory.mktemp("server")
    configuration = folder / "carillon.toml"
    configuration.write_text(LIMITS)
    server = Server(folder, engine, "--config", str(configuration)).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def scene(server) -> Scene:
    return Scene(server)


def all_paginated() -> list[str]:
    """The names by botocore's model; no server is asked."""
    keys = {"region_name": REGION, "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    clients = [boto3.Session().client(service, **keys) for service in SERVICES]
    return sorted(name for client in clients for name in paginated(client))


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("operation", all_paginated())
def test_a_walk_meets_everything_once_while_more_is_added(scene, operation, size):
    items, client = scene.items(operation), scene.client(operation)
    assert len(items.held) >= ITEMS
    seen = []
    for number, page in enumerate(walk(client, operation, size, items.arguments)):
        seen += [items.name(item) for item in page]
        if number in ADDED_AFTER:
            items.add(number)
    assert len(seen) == len(set(seen)), f"{operation}: {len(seen) - len(set(seen))} came twice"
    missing = set(items.held) - set(seen)
    assert not missing, f"{operation}: {len(missing)} of {len(items.held)} did not come"


@pytest.mark.parametrize("operation", all_paginated())
def test_a_token_is_good_for_its_own_list_and_caller_only(scene, operation):
    client = scene.client(operation)
    call, arguments = getattr(client, xform_name(operation)), scene.items(operation).arguments
    page = call(**arguments, MaxResults=1)
    good = page["NextToken"]
    assert call(**arguments, MaxResults=1, NextToken=good) != page
    middle = len(good) // 2
    flipped = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    for altered in (flipped, good[:-1], good[1:], "x"):
        with refused("BadRequest"):
            call(**arguments, NextToken=altered)
    names = all_paginated()
    other = names[(names.index(operation) + 1) % len(names)]
    foreign = getattr(scene.client(other), xform_name(other))
    with refused("BadRequest"):
        foreign(**scene.items(other).arguments, NextToken=good)
    if "ChimeBearer" in arguments:
        # Who may see all that the first caller sees.
        with refused("BadRequest"):
            call(**arguments | {"ChimeBearer": scene.eve}, NextToken=good)
