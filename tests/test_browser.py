"""Two people in one channel, each in a page of a real browser over TLS: one with AWS SDK v3, one with v2.

The screenshots of each step stay in `target/screenshots`.
"""

from pathlib import Path

import pytest

from harness.browser import Browser
from harness.world import World

SCREENSHOTS = Path(__file__).parent.parent / "target" / "screenshots"


@pytest.fixture
def browser(own_server):
    browser = Browser(own_server, SCREENSHOTS / own_server.engine.name)
    yield browser
    browser.stop()


def test_two_pages_chat_through_edits_members_and_a_restart(own_server, browser):
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


def test_an_error_has_its_name_in_a_page(own_server, browser):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    on_v3, on_v2 = (browser.page("sdk3", bob, "Bob3", channel), browser.page("sdk2", bob, "Bob2", channel))
    names = [page.error().split()[0] for page in (on_v3, on_v2)]
    assert names == ["ForbiddenException", "Forbidden"]
