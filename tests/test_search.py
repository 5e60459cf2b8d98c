"""Searches in messages, through the door: signed, decided and answered as everything is, before and after the messages were
taken into the index."""

from datetime import timedelta

from harness.raw import Connection
from harness.world import World

PATH = "/_carillon/v1/messages/search"


def test_what_was_said_is_found(serve):
    server = serve('[search]\napp_instances = "all"\n', "--test-clock")
    world = World(server)
    ana, bob, eve = (world.user(name) for name in ("ana", "bob", "eve"))
    channel, sender = world.channel(ana, bob), ana.rpartition("/")[2]

    def search(bearer, query, **more):
        asked = {"AppInstanceArn": world.app_instance, "Query": query} | more
        with Connection(server) as connection:
            return connection.call("POST", PATH, asked, bearer=bearer)

    def found(bearer, query, **more):
        answer = search(bearer, query, **more)
        assert answer.status == 200, answer.body
        return [message["Content"] for message in answer.json["Messages"]]

    said = ("Mittagessen in der Straße?", "明日は東京都へ行きます")
    first, second = (world.send(channel, ana, content)["MessageId"] for content in said)
    for _ in range(2):
        assert found(bob, f"STRASSE -tea from:{sender}") == ["Mittagessen in der Straße?"]
        assert found(bob, "京都", ChannelArns=[channel]) == ["明日は東京都へ行きます"]
        assert found(eve, "strasse") == []
        # All are in the index from the second time on.
        for _ in range(2):
            server.advance(timedelta(hours=1))
    message = search(bob, "strasse").json["Messages"][0]
    (highlight,) = message["Highlights"]
    shown = message["Content"].encode()[highlight["Offset"] : highlight["Offset"] + highlight["Length"]]
    assert (message["ChannelArn"], message["MessageId"], shown.decode()) == (channel, first, "Straße")

    page = search(bob, f"from:{sender}", MaxResults=1, SortOrder="ASCENDING").json
    assert [one["MessageId"] for one in page["Messages"]] == [first]
    page = search(bob, f"from:{sender}", MaxResults=1, SortOrder="ASCENDING", NextToken=page["NextToken"]).json
    assert ([one["MessageId"] for one in page["Messages"]], page.get("NextToken")) == ([second], None)

    world.messaging.update_channel_message(
        ChannelArn=channel, MessageId=first, Content="Abendessen", ChimeBearer=ana
    )
    world.messaging.redact_channel_message(ChannelArn=channel, MessageId=second, ChimeBearer=ana)
    assert (found(bob, "abendessen"), found(bob, "strasse"), found(bob, "東京")) == (["Abendessen"], [], [])

    assert search(eve, "abendessen", ChannelArns=[channel]).error == "ForbiddenException"
    for query in ("-only", "?!", ""):
        assert search(bob, query).error == "BadRequestException"
    with Connection(server) as connection:
        unsigned = connection.http
        unsigned.request("POST", PATH, b"{}")
        assert unsigned.getresponse().status == 403


def test_a_search_is_off_until_it_is_switched_on(own_server):
    world = World(own_server)
    ana = world.user("ana")
    with Connection(own_server) as connection:
        asked = {"AppInstanceArn": world.app_instance, "Query": "lunch"}
        answer = connection.call("POST", PATH, asked, bearer=ana)
    assert answer.error == "BadRequestException"
    assert "search is off" in answer.message
