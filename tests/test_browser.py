"""Two people in one channel, each in a page of a real browser over TLS: one with AWS SDK v3, one with v2.

They sign in through the credential exchange, from another origin than the server's.

The screenshots of each step stay in `target/screenshots`.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from harness.browser import Browser
from harness.exchange import SECRET
from harness.server import free_ports
from harness.world import World

SCREENSHOTS = Path(__file__).parent.parent / "target" / "screenshots"


@pytest.fixture
def port():
    """Where the pages come from."""
    return free_ports(1)[0]


@pytest.fixture
def own_server(exchanging, port):
    """One that gives credentials to the pages, and whose clock can be moved."""
    return exchanging("--test-clock", mode="secret", secret=SECRET, origins=f"http://localhost:{port}")


@pytest.fixture
def browser(own_server, port):
    browser = Browser(own_server, port, SCREENSHOTS / own_server.engine.name)
    yield browser
    browser.stop()


def test_two_pages_chat_through_edits_members_and_a_restart_and_an_expiry(own_server, browser):
    world = World(own_server)
    ana, bob, cy = world.users("ana", "bob", "cy")
    channel = world.channel(ana, bob)
    world.send(channel, ana, "Welcome")
    pages = [browser.page("sdk3", ana, "Ana", channel), browser.page("sdk2", bob, "Bob", channel)]

    def all_show(*messages):
        for page in pages:
            page.shows_messages(*messages)

    def picture(step):
        for page in pages:
            page.screenshot(step)

    for page in pages:
        page.shows("status", "connected 1")
        page.shows("user", page.name)
        page.shows("exchanges", "1")
        page.shows("prefetched", "Lobby of Ana and Bob: Welcome")
        page.shows("name", "Lobby")
        page.shows_members("Ana", "Bob")
    all_show("Ana: Welcome")
    picture("1-signed-in")

    on_v3, on_v2 = pages
    on_v3.say("Lunch?")
    all_show("Ana: Welcome", "Ana: Lunch?")
    on_v2.say("Yes ☕")
    all_show("Ana: Welcome", "Ana: Lunch?", "Bob: Yes ☕")
    picture("2-sent")

    on_v3.edit(2, "Lunch at noon?")
    all_show("Ana: Welcome", "Ana: Lunch at noon? (edited)", "Bob: Yes ☕")
    on_v2.edit(3, "Yes, at noon")
    all_show("Ana: Welcome", "Ana: Lunch at noon? (edited)", "Bob: Yes, at noon (edited)")
    on_v3.redact(2)
    all_show("Ana: Welcome", "redacted", "Bob: Yes, at noon (edited)")
    on_v2.redact(3)
    all_show("Ana: Welcome", "redacted", "redacted")
    picture("3-edited-and-redacted")

    world.add(channel, cy, by=ana)
    for page in pages:
        page.shows_members("Ana", "Bob", "Cy")
    world.remove(channel, cy, by=ana)
    world.messaging.update_channel(ChannelArn=channel, Name="Canteen", ChimeBearer=ana)
    for page in pages:
        page.shows_members("Ana", "Bob")
        page.shows("name", "Canteen")
    picture("4-members-and-name")

    own_server.stop()
    own_server.start()
    for page in pages:
        page.shows("status", "connected 2")
        page.shows("prefetched", "Canteen of Ana and Bob: nothing")
    on_v2.say("Back")
    all_show("Ana: Welcome", "redacted", "redacted", "Bob: Back")
    on_v3.say("I, too")
    all_show("Ana: Welcome", "redacted", "redacted", "Bob: Back", "Ana: I, too")
    picture("5-after-a-restart")

    for page in pages:
        page.shows("exchanges", "1")
    own_server.advance(timedelta(hours=1, seconds=1))
    for page in pages:
        page.shows("status", "connected 3")
        page.shows("exchanges", "2")
        page.shows("prefetched", "Canteen of Ana and Bob: I, too")
    on_v3.say("Still here")
    all_show("Ana: Welcome", "redacted", "redacted", "Bob: Back", "Ana: I, too", "Ana: Still here")
    on_v2.edit(4, "Back again")
    all_show(
        "Ana: Welcome", "redacted", "redacted", "Bob: Back again (edited)", "Ana: I, too", "Ana: Still here"
    )
    picture("6-with-fresh-credentials")


def test_pages_show_who_has_read_and_what_is_unread(own_server, browser):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    tags = [{"Key": "carillon:read-receipts", "Value": "on"}]
    world.messaging.tag_resource(ResourceARN=channel, Tags=tags)
    world.send(channel, ana, "Welcome", MessageAttributes={"CHIME.mentions": {"StringValues": [bob]}})
    world.send(channel, ana, "Lunch?")
    of_ana = browser.page("sdk3", ana, "Ana", channel)
    of_bob = browser.page("sdk2", bob, "Bob", channel)
    of_ana.shows("unread", "0, 0 for me")
    of_bob.shows("unread", "2, 1 for me")
    of_ana.shows("readers", "")
    of_bob.mark_read()
    of_bob.shows("unread", "0, 0 for me")
    for page in (of_ana, of_bob):
        page.shows("readers", "Bob")
    of_ana.mark_read()
    for page in (of_ana, of_bob):
        page.shows("readers", "Ana and Bob")
        page.screenshot("receipts")
    # Who comes later asks.
    browser.page("sdk3", bob, "Bob again", channel).shows("readers", "Ana and Bob")


def test_an_error_has_its_name_in_a_page(own_server, browser):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    on_v3, on_v2 = (browser.page("sdk3", bob, "Bob3", channel), browser.page("sdk2", bob, "Bob2", channel))
    names = [page.error().split()[0] for page in (on_v3, on_v2)]
    assert names == ["ForbiddenException", "Forbidden"]


def test_a_page_of_an_origin_that_is_not_listed_cannot_sign_in(own_server, browser):
    world = World(own_server)
    ana = world.user("ana")
    page = browser.page("sdk3", ana, "Ana", world.channel(ana), host="127.0.0.1")
    assert page.error().split()[0] == "TypeError"
    page.shows("status", "signing in")
