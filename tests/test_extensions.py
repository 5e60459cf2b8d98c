"""What the original lacks, by clients that are made from its description."""

import json
import urllib.request
from pathlib import Path

import pytest

from harness import extensions, shapes
from harness.session import Session
from harness.world import World, refused

DESCRIBED = Path(__file__).parent.parent / "spec" / "extensions.json"
RECEIPTS = "carillon:read-receipts"


def share(world: World, resource: str, value: str = "on") -> None:
    world.messaging.tag_resource(ResourceARN=resource, Tags=[{"Key": RECEIPTS, "Value": value}])


def read(world: World, channel: str, who: str) -> None:
    world.messaging.update_channel_read_marker(ChannelArn=channel, ChimeBearer=who)


def markers(client, channel: str, who: str, size: int = 50) -> dict[str, bool]:
    """Whether each of those who are listed has read."""
    paginator = client.get_paginator("list_channel_read_markers")
    pages = paginator.paginate(ChannelArn=channel, ChimeBearer=who, PaginationConfig={"PageSize": size})
    listed = [marker for page in pages for marker in page["Members"]]
    return {marker["Member"]["Arn"]: "ReadMarkerTimestamp" in marker for marker in listed}


def unread(client, who: str) -> dict[str, tuple[int, int]]:
    listed = client.list_unread_counts(AppInstanceUserArn=who, ChimeBearer=who)["UnreadCounts"]
    return {one["ChannelArn"]: (one["UnreadCount"], one["UnreadMentionCount"]) for one in listed}


def test_members_learn_who_has_read_by_an_event_and_by_a_list(server, world):
    client = extensions.client(server)
    ana, bob, ghost = world.users("ana", "bob", "ghost")
    channel = world.channel(ana, bob)
    world.add(channel, ghost, by=ana, kind="HIDDEN")
    with refused("BadRequest"):
        client.list_channel_read_markers(ChannelArn=channel, ChimeBearer=ana)
    with refused("Forbidden"):
        client.list_channel_read_markers(ChannelArn=channel, ChimeBearer=ghost)
    share(world, world.app_instance)
    assert markers(client, channel, ana, size=1) == {ana: False, bob: False}
    with (
        Session.established(server, ana) as of_ana,
        Session.established(server, bob) as of_bob,
        Session.established(server, ghost) as of_ghost,
    ):
        read(world, channel, ghost)
        read(world, channel, bob)
        for session in (of_ana, of_bob):
            event = session.next()
            assert (event.kind, event.message_type) == ("UPDATE_CHANNEL_READ_MARKER", "SYSTEM"), event
            assert event.payload["ChannelArn"] == channel
            assert [marker["Member"]["Name"] for marker in event.payload["Members"]] == ["Bob"]
        world.send(channel, ana)
        assert of_ghost.next().kind == "CREATE_CHANNEL_MESSAGE"
    assert markers(client, channel, ana) == {ana: False, bob: True}
    share(world, channel, "off")
    with refused("BadRequest"):
        client.list_channel_read_markers(ChannelArn=channel, ChimeBearer=ana)


def test_one_counts_what_one_has_not_read(server, world):
    client = extensions.client(server)
    ana, bob = world.users("ana", "bob")
    first, second = (world.channel(ana, bob) for _ in range(2))
    world.send(first, ana)
    mention = {"CHIME.mentions": {"StringValues": [bob]}}
    world.send(second, ana, MessageAttributes=mention)
    world.send(second, ana)
    listed = client.list_unread_counts(AppInstanceUserArn=bob, ChimeBearer=bob, MaxResults=1)
    assert listed["UnreadCounts"][0]["ChannelArn"] == second
    assert listed["NextToken"] and listed["UnreadCounts"][0]["LastMessageTimestamp"]
    assert unread(client, bob) == {second: (2, 1), first: (1, 0)}
    assert unread(client, ana) == {second: (0, 0), first: (0, 0)}
    read(world, second, bob)
    assert unread(client, bob) == {second: (0, 0), first: (1, 0)}
    with refused("Forbidden"):
        client.list_unread_counts(AppInstanceUserArn=bob, ChimeBearer=ana)


def test_the_description_is_served_and_needs_no_signature(server):
    with urllib.request.urlopen(f"{server.http_url}/_carillon/v1/openapi.json", timeout=10) as answer:
        document = json.load(answer)
    described = json.loads(DESCRIBED.read_text())["carillon-extensions"]["operations"]
    named = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert named == set(described)
    assert extensions.client(server).meta.service_model.operation_names == list(described)


@pytest.fixture(scope="module", autouse=True)
def every_answer_was_read():
    yield
    assert shapes.READ["ListUnreadCounts", True] and shapes.READ["ListChannelReadMarkers", True]
