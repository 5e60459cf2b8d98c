"""Push notifications: who gets them, what devices receive, and what becomes of those that push services do not take.

The services are small servers of this machine that speak the wires of Apple, Google and browsers' push services; what
browsers get is decrypted by http_ece of npm with the subscriber's key. Each test says how many notifications are due.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from urllib.parse import quote

import pytest
from harness.browser import MISSING
from harness.processor import Processor, callback, eventually, targets
from harness.push import APPLICATION, SCRIPT, TOPIC, UNMAPPED, PushServices
from harness.server import Server, binary, environment
from harness.world import World, refused, token
from test_flows import channel_with, flow

NOTIFICATION = {"Title": "Build room", "Body": "Ana: @Bob the build is green", "Type": "DEFAULT"}
DEAD = {"Status": "INACTIVE", "StatusReason": "INVALID_DEVICE_TOKEN"}
ALIVE = {"Status": "ACTIVE"}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with PushServices(tmp_path_factory.mktemp("services")) as services:
        yield services


@pytest.fixture(scope="module")
def serve(engine, tmp_path_factory):
    """Starts a server with a configuration of its own."""
    started = []

    def start(configuration: str, *flags: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        path = folder / "carillon.toml"
        path.write_text(configuration)
        started.append(Server(folder, engine, "--config", str(path), *flags))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def server(serve, services):
    return serve(services.configuration())


class Phones:
    """Users of an app instance, and their devices."""

    def __init__(self, world: World, services: PushServices):
        self.world = world
        self.services = services

    def register(self, user: str, kind: str, device: str, *, voip: str = "", **options) -> str:
        attributes = {"DeviceToken": device} | ({"VoipDeviceToken": voip} if voip else {})
        registered = self.world.identity.register_app_instance_user_endpoint(
            AppInstanceUserArn=user,
            Type=kind,
            EndpointAttributes=attributes,
            ClientRequestToken=token(),
            **({"ResourceArn": APPLICATION} | options),
        )
        return registered["EndpointId"]

    def state(self, user: str, endpoint: str) -> dict:
        found = self.world.identity.describe_app_instance_user_endpoint(
            AppInstanceUserArn=user, EndpointId=endpoint
        )
        return found["AppInstanceUserEndpoint"]["EndpointState"]

    def send(self, channel: str, sender: str, **options) -> str:
        options = {"PushNotification": NOTIFICATION} | options
        return self.world.send(channel, sender, "@Bob the build is green", **options)["MessageId"]

    def devices(self, channel: str, witness: str, message: str) -> list[str]:
        """The devices that were notified of a message, once that is over: pushes of a channel go out one message after
        the other, so whoever is notified of a later one knows."""
        later = self.send(channel, witness, Target=[{"MemberArn": witness}])
        self.services.wait(later, 1)
        return sorted(one["device"] for one in self.services.of(message))


@pytest.fixture
def phones(world, services):
    return Phones(world, services)


def unique(*names: str) -> list[str]:
    """Devices that no other test has."""
    return [f"{name}-{token()}" for name in names]


def prefer(world: World, channel: str, member: str, allow: str, rule: object = None) -> None:
    preferences = {"AllowNotifications": allow} | ({} if rule is None else {"FilterRule": json.dumps(rule)})
    world.messaging.put_channel_membership_preferences(
        ChannelArn=channel,
        MemberArn=member,
        ChimeBearer=member,
        Preferences={"PushNotifications": preferences},
    )


def attributes(**values: list[str]) -> dict:
    return {name: {"StringValues": of} for name, of in values.items()}


def get(url: str) -> tuple[int, dict, dict]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), json.loads(error.read())


def published_key(server: Server, arn: str = APPLICATION) -> tuple[int, dict, dict]:
    return get(f"{server.http_url}/_carillon/web-push-key?resource-arn={quote(arn, safe='')}")


# What devices receive.


def test_each_wire_carries_what_applications_read(server, world, phones, services):
    ana, bob, cy, dora = world.users("ana", "bob", "cy", "dora")
    channel = world.channel(ana, bob, cy, dora)
    apple, sandbox, android, browser = unique("apple", "sandbox", "android", "browser")
    phones.register(ana, "APNS", apple)
    phones.register(bob, "APNS_SANDBOX", sandbox)
    phones.register(cy, "GCM", android)
    phones.register(dora, "GCM", services.subscribe(browser))
    message = phones.send(channel, ana)
    sent = {one["device"]: one for one in services.wait(message, 4)}
    assert set(sent) == {apple, sandbox, android, browser}, "the sender is a member, too"

    ids = {"chime.message_id": message, "chime.channel_arn": channel}
    for device in (apple, sandbox):
        one = sent[device]
        alert = {"title": NOTIFICATION["Title"], "body": NOTIFICATION["Body"]}
        assert one["payload"] == {
            "aps": {"alert": alert, "sound": "default", "mutable-content": 1},
            "data": {
                "pinpoint": {"campaign": {"campaign_id": "_DIRECT"}, "jsonBody": ids},
                "jsonBody": ids,
            },
        }
        headers = one["headers"]
        kept = ("apns-topic", "apns-push-type", "apns-priority")
        assert [headers[name] for name in kept] == [TOPIC, "alert", "10"]
        assert int(headers["apns-expiration"]) - one["claims"]["iat"] >= 86_400
        assert (one["claims"]["alg"], one["claims"]["kid"], one["claims"]["iss"]) == ("ES256", "KEY", "TEAM")
        assert one["bytes"] <= 4_096

    android = sent[android]
    assert android["path"] == "/v1/projects/chat/messages:send"
    assert android["authorization"].startswith("Bearer ya29.")
    data = android["payload"]["message"]["data"]
    assert android["payload"] == {"message": {"token": android["device"], "android": {"priority": "HIGH"}, "data": data}}
    assert json.loads(data.pop("pinpoint.jsonBody")) == ids
    assert data == {
        "pinpoint.openApp": "true",
        "pinpoint.notification.title": NOTIFICATION["Title"],
        "pinpoint.notification.body": NOTIFICATION["Body"],
        "pinpoint.campaign.campaign_id": "_DIRECT",
        "pinpoint.notification.silentPush": "0",
    }

    browser = sent[browser]
    assert (browser.get("fault"), browser["signed"]) == (None, True)
    assert browser["payload"] == {
        "title": NOTIFICATION["Title"],
        "body": NOTIFICATION["Body"],
        "type": "DEFAULT",
        "data": ids,
    }
    assert browser["key"] == published_key(server)[2]["PublicKey"]
    assert (browser["claims"]["aud"], browser["claims"]["sub"]) == (services.urls["web_push"], "mailto:ops@example.com")
    assert (browser["headers"]["content-encoding"], browser["headers"]["ttl"]) == ("aes128gcm", "86400")
    assert browser["bytes"] <= 4_096


def test_one_connection_to_apple_and_one_token_of_google_serve_all(world, phones, services):
    ana = world.user("ana")
    channel = world.channel(ana)
    apple, android = unique("apple", "android")
    phones.register(ana, "APNS", apple)
    phones.register(ana, "GCM", android)
    sent = [one for _ in range(5) for one in services.wait(phones.send(channel, ana), 2)]
    of_apple = [one for one in sent if one["service"] == "apns"]
    assert len({one["connection"] for one in of_apple}) == len({one["token"] for one in of_apple}) == 1
    assert len({one["authorization"] for one in sent if one["service"] == "fcm"}) == 1
    assert len(sent) == 10


# Who is notified: spec/push.md 3.


def test_a_type_that_is_absent_is_an_alert_and_long_texts_are_refused(world, phones, services):
    ana = world.user("ana")
    channel = world.channel(ana)
    (apple,) = unique("apple")
    phones.register(ana, "APNS", apple)
    for wrong in ({"Title": "x" * 51, "Body": "x"}, {"Title": "x", "Body": "x" * 151}):
        with refused("BadRequest"):
            phones.send(channel, ana, PushNotification=wrong)
    longest = {"Title": "é" * 50, "Body": "\U0001f6ce" * 150}
    sent = services.wait(phones.send(channel, ana, PushNotification=longest), 1)
    assert sent[0]["headers"]["apns-push-type"] == "alert"
    assert sent[0]["payload"]["aps"]["alert"]["body"] == longest["Body"]


def test_members_are_notified_and_nobody_else(world, phones):
    ana, bob, ghost, moderator, outsider = world.users("ana", "bob", "ghost", "moderator", "outsider")
    admin = world.admin("admin")
    channel = world.channel(ana, bob)
    world.add(channel, ghost, ana, kind="HIDDEN")
    world.messaging.create_channel_moderator(
        ChannelArn=channel, ChannelModeratorArn=moderator, ChimeBearer=ana
    )
    everyone = (ana, bob, ghost, moderator, outsider, admin)
    devices = dict(zip(everyone, unique("ana", "bob", "ghost", "moderator", "outsider", "admin"), strict=True))
    for user, device in devices.items():
        phones.register(user, "GCM", device)
    due = sorted(devices[one] for one in (ana, bob, ghost))
    assert phones.devices(channel, ana, phones.send(channel, ana)) == due, "3"
    control = phones.send(channel, ana, Type="CONTROL", Persistence="NON_PERSISTENT", Content="typing")
    assert phones.devices(channel, ana, control) == due, "3"
    assert phones.devices(channel, ana, world.send(channel, ana)["MessageId"]) == [], "none without a notification"
    target = phones.send(channel, ana, Target=[{"MemberArn": bob}])
    assert phones.devices(channel, ana, target) == [devices[bob]], "1: the target"
    world.remove(channel, bob, ana)
    assert phones.devices(channel, ana, phones.send(channel, ana)) == sorted(devices[one] for one in (ana, ghost)), "2"


def test_an_endpoint_may_be_silent_and_a_user_may_have_several(world, phones):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    first, second, silent, witness = unique("first", "second", "silent", "witness")
    phones.register(bob, "APNS", first)
    phones.register(bob, "GCM", second)
    endpoint = phones.register(bob, "GCM", silent, AllowMessages="NONE")
    phones.register(ana, "GCM", witness)
    assert phones.devices(channel, ana, phones.send(channel, ana)) == sorted((first, second, witness)), "3"
    world.identity.update_app_instance_user_endpoint(
        AppInstanceUserArn=bob, EndpointId=endpoint, AllowMessages="ALL"
    )
    assert len(phones.devices(channel, ana, phones.send(channel, ana))) == 4


def test_a_call_goes_to_those_who_can_take_it(world, phones, services):
    ana, bob, cy, dora = world.users("ana", "bob", "cy", "dora")
    channel = world.channel(ana, bob, cy, dora)
    alerts, calls, voip, android, browser = unique("alerts", "calls", "voip", "android", "browser")
    phones.register(ana, "APNS", alerts)
    phones.register(bob, "APNS", calls, voip=voip)
    phones.register(cy, "GCM", android)
    phones.register(dora, "GCM", services.subscribe(browser))
    message = phones.send(channel, ana, PushNotification=NOTIFICATION | {"Type": "VOIP"})
    assert phones.devices(channel, cy, message) == sorted((voip, android, browser)), "3"
    sent = {one["service"]: one for one in services.of(message)}
    headers = sent["apns"]["headers"]
    kept = ("apns-topic", "apns-push-type", "apns-priority", "apns-expiration")
    assert [headers[name] for name in kept] == [f"{TOPIC}.voip", "voip", "10", "0"]
    assert sent["fcm"]["payload"]["message"]["android"] == {"priority": "HIGH"}
    assert (sent["web_push"]["headers"]["ttl"], sent["web_push"]["headers"]["urgency"]) == ("0", "high")
    assert sent["web_push"]["payload"]["type"] == "VOIP"


def test_in_an_elastic_channel_the_sub_channel_is_notified_whatever_was_preferred(world, phones):
    ana, *others = world.users("ana", "bob", "cy", "dora", "eve")
    elastic = {
        "MaximumSubChannels": 3,
        "TargetMembershipsPerSubChannel": 2,
        "MinimumMembershipPercentage": 40,
    }
    channel = world.channel(ana, ElasticChannelConfiguration=elastic)
    for other in others:
        world.add(channel, other, ana)
    places = world.messaging.list_sub_channels(ChannelArn=channel, ChimeBearer=ana)["SubChannels"]
    assert len(places) == 2
    place = places[0]["SubChannelId"]
    members = world.messaging.list_channel_memberships(ChannelArn=channel, SubChannelId=place, ChimeBearer=ana)
    devices = dict(zip((ana, *others), unique("ana", "bob", "cy", "dora", "eve"), strict=True))
    for user, device in devices.items():
        phones.register(user, "GCM", device)
    there = [one["Member"]["Arn"] for one in members["ChannelMemberships"]]
    due = {devices[one] for one in there}
    message = phones.send(channel, there[0], SubChannelId=place)
    assert 1 < len(due) < 5
    eventually(lambda: {one["device"] for one in phones.services.of(message)}, due)
    later = phones.send(channel, there[0], SubChannelId=place)
    phones.services.wait(later, len(due))
    assert len(phones.services.of(message)) == len(due), "the members of one sub-channel"


# Preferences and filters: spec/push.md 4 and 5.

BOB = {"mention": ["Bob"]}
NOT_ROOM = {"type": [{"anything-but": ["Room"]}]}
BOTH = NOT_ROOM | BOB
EITHER = {"$or": [BOB, NOT_ROOM]}
WORKED = [
    (BOB, attributes(mention=["Bob", "Alice"]), True),
    (BOB, attributes(mention=["Tom"]), False),
    (BOB, None, False),
    (BOB, attributes(mention=[]), False),
    (BOB, attributes(mention=["bob"]), False),
    (NOT_ROOM, attributes(type=["Conversation"]), True),
    (NOT_ROOM, attributes(type=["Room"]), False),
    (NOT_ROOM, attributes(type=["Room", "Conversation"]), False),
    (NOT_ROOM, None, True),
    (BOTH, attributes(mention=["Bob"], type=["Conversation"]), True),
    (BOTH, attributes(mention=["Bob"], type=["Room"]), False),
    (EITHER, attributes(mention=["Bob"]), True),
    (EITHER, attributes(type=["Conversation"]), True),
    (EITHER, attributes(type=["Room"]), False),
    ({"type": ["Room", {"anything-but": ["Hall"]}]}, attributes(type=["Room", "Hall"]), True),
    ({"$or": [{"a": ["1"]}, {"a": ["2"]}], "b": ["3"]}, attributes(a=["2"], b=["3"]), True),
    ({"$or": [{"a": ["1"]}, {"a": ["2"]}], "b": ["3"]}, attributes(a=["2"]), False),
]


def test_each_worked_case_of_the_filters(world, phones):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    witness, device = unique("witness", "bob")
    phones.register(ana, "GCM", witness)
    phones.register(bob, "APNS", device)
    for rule, given, due in WORKED:
        prefer(world, channel, bob, "FILTERED", rule)
        message = phones.send(channel, ana, **({"MessageAttributes": given} if given else {}))
        notified = phones.devices(channel, ana, message)
        assert notified == sorted([witness, device] if due else [witness]), (rule, given)
    prefer(world, channel, bob, "NONE")
    assert phones.devices(channel, ana, phones.send(channel, ana)) == [witness]
    prefer(world, channel, bob, "ALL", BOB)
    assert len(phones.devices(channel, ana, phones.send(channel, ana))) == 2, "a rule counts with FILTERED alone"
    prefer(world, channel, ana, "FILTERED", {"sender": [{"anything-but": [ana]}]})
    own = phones.send(channel, ana, MessageAttributes=attributes(sender=[ana]))
    eventually(lambda: [one["device"] for one in phones.services.of(own)], [device])


def test_rules_that_are_no_rules_are_refused(world):
    ana = world.user("ana")
    channel = world.channel(ana)
    long = {"k": ["v" * (2_048 - len('{"k": [""]}'))]}
    prefer(world, channel, ana, "FILTERED", long)
    prefer(world, channel, ana, "FILTERED", {"k": ["v"] * 19})
    for rule in (
        {"$or": [BOB] * 6},
        {"k": ["v"] * 20},
        {"k": [long["k"][0] + "v"]},
        {},
        {"k": []},
        {"k": [1]},
        {"$and": [BOB]},
    ):
        with refused("BadRequest"):
            prefer(world, channel, ana, "FILTERED", rule)
    with refused("BadRequest"):
        world.messaging.put_channel_membership_preferences(
            ChannelArn=channel,
            MemberArn=ana,
            ChimeBearer=ana,
            Preferences={"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": "{"}},
        )


# What push services do not take: spec/push.md 7.


def fcm_error(status: str, code: str | None = None, **detail) -> dict:
    details = ([{"errorCode": code}] if code else []) + ([detail] if detail else [])
    return {"error": {"status": status, "message": "", "details": details}}


ABOUT_TOKEN = {"fieldViolations": [{"field": "message.token"}]}
ABOUT_DATA = {"fieldViolations": [{"field": "message.data"}]}
FAILURES = [
    # kind, status, body, how often it is answered, the calls that are due, the state after them
    ("APNS", 410, {"reason": "Unregistered"}, None, 1, DEAD),
    ("APNS", 410, {"reason": "ExpiredToken"}, None, 1, DEAD),
    ("APNS", 400, {"reason": "BadDeviceToken"}, None, 1, DEAD),
    ("APNS", 400, {"reason": "DeviceTokenNotForTopic"}, None, 1, DEAD),
    ("APNS", 403, {"reason": "InvalidProviderToken"}, None, 1, ALIVE),
    ("APNS", 403, {"reason": "MissingProviderToken"}, None, 1, ALIVE),
    ("APNS", 403, {"reason": "ExpiredProviderToken"}, 1, 2, ALIVE),
    ("APNS", 413, {"reason": "PayloadTooLarge"}, None, 1, ALIVE),
    ("APNS", 429, {"reason": "TooManyRequests"}, 1, 2, ALIVE),
    ("APNS", 500, {"reason": "InternalServerError"}, 1, 2, ALIVE),
    ("APNS", 503, {"reason": "ServiceUnavailable"}, 1, 2, ALIVE),
    ("APNS", 500, "x" * 200_000, 1, 2, ALIVE),
    ("GCM", 404, fcm_error("NOT_FOUND", "UNREGISTERED"), None, 1, DEAD),
    ("GCM", 403, fcm_error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), None, 1, DEAD),
    ("GCM", 400, fcm_error("INVALID_ARGUMENT", "INVALID_ARGUMENT", **ABOUT_TOKEN), None, 1, DEAD),
    ("GCM", 400, fcm_error("INVALID_ARGUMENT", "INVALID_ARGUMENT", **ABOUT_DATA), None, 1, ALIVE),
    ("GCM", 401, fcm_error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), None, 1, ALIVE),
    ("GCM", 401, fcm_error("UNAUTHENTICATED"), None, 1, ALIVE),
    ("GCM", 429, fcm_error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), 1, 2, ALIVE),
    ("GCM", 500, fcm_error("INTERNAL", "INTERNAL"), 1, 2, ALIVE),
    ("GCM", 503, fcm_error("UNAVAILABLE", "UNAVAILABLE"), 1, 2, ALIVE),
    ("GCM", 503, "<html>not Google</html>", 1, 2, ALIVE),
    ("browser", 404, "", None, 1, DEAD),
    ("browser", 410, "", None, 1, DEAD),
    ("browser", 401, "", None, 1, ALIVE),
    ("browser", 413, "", None, 1, ALIVE),
    ("browser", 429, "", 1, 2, ALIVE),
    ("browser", 500, "", 1, 2, ALIVE),
    ("browser", 302, "", None, 1, ALIVE),
]


def test_each_failure_has_its_consequence(world, phones, services):
    ana = world.user("ana")
    channel = world.channel(ana)
    bob = world.user("bob")
    world.add(channel, bob, ana)
    (witness,) = unique("witness")
    phones.register(ana, "GCM", witness)
    for kind, status, body, times, calls, state in FAILURES:
        case = (kind, status, body if len(str(body)) < 200 else "much")
        (device,) = unique("device")
        browser = services.subscribe(device) if kind == "browser" else None
        endpoint = phones.register(bob, "GCM" if browser else kind, browser or device)
        services.answer(device, status, body, **({"times": times} if times else {}))
        message = phones.send(channel, ana)
        eventually(lambda: len(services.of(message)), calls + 1)  # noqa: B023
        eventually(lambda: phones.state(bob, endpoint), state)  # noqa: B023
        if status == 403 and times:
            assert len({one["token"] for one in services.of(message, "apns")}) == 2, "another token"
        services.answer(device)
        again = phones.send(channel, ana)
        notified = phones.devices(channel, ana, again)
        assert notified == sorted([witness] if state == DEAD else [witness, device]), case
        assert len(services.of(message)) == calls + 1, case
        world.identity.deregister_app_instance_user_endpoint(AppInstanceUserArn=bob, EndpointId=endpoint)
    print(f"{len(FAILURES)} kinds of failure, {sum(calls for *_, calls, _ in FAILURES)} calls")


def test_a_service_that_never_answers_holds_up_nobody_and_is_tried_again(world, phones, services):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    silent, other = unique("silent", "other")
    phones.register(ana, "GCM", services.subscribe(silent))
    phones.register(bob, "GCM", other)
    services.answer(silent, 0, times=1)
    message = phones.send(channel, ana)
    eventually(lambda: sorted(one["device"] for one in services.of(message)), sorted((other, silent, silent)))


def test_dead_devices_stay_where_the_operator_says_so(serve, services):
    server = serve(services.configuration(more="deactivate = false"))
    world = World(server)
    phones = Phones(world, services)
    ana = world.user("ana")
    channel = world.channel(ana)
    (device,) = unique("device")
    endpoint = phones.register(ana, "APNS", device)
    services.answer(device, 400, {"reason": "BadDeviceToken"})
    for _ in range(2):
        services.wait(phones.send(channel, ana), 1)
    assert phones.state(ana, endpoint) == ALIVE


def test_an_application_without_keys_fails_and_its_endpoints_stay(world, phones, services, server):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    witness, foreign = unique("witness", "foreign")
    phones.register(ana, "GCM", witness)
    endpoint = phones.register(bob, "GCM", foreign, ResourceArn=UNMAPPED)
    message = phones.send(channel, ana)
    assert phones.devices(channel, ana, message) == [witness]
    assert phones.state(bob, endpoint) == ALIVE
    eventually(lambda: message in server.log.read_text(), True)
    failure = next(line for line in server.log.read_text().splitlines() if message in line)
    assert "Chime Messaging Push Notification Failure" in failure
    assert UNMAPPED in failure and endpoint in failure and "Build room" not in failure


def test_what_users_say_leads_to_no_neighbours(world, phones, services):
    """A subscription names an address: one that is not public, and that the configuration does not name, is not
    called, and is no device."""
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    (witness,) = unique("witness")
    phones.register(ana, "GCM", witness)
    # A listener of this machine that would tell: that of Google.
    neighbour = services.urls["fcm"].removeprefix("http://")
    for endpoint in (
        f"http://{neighbour}/token",
        f"https://{neighbour}/token",
        f"http://localhost:{neighbour.rsplit(':')[-1]}/token",
        "https://[::1]/token",
        "https://169.254.169.254/latest/meta-data/",
        "file:///etc/hostname",
    ):
        subscription = json.loads(services.subscribe(token())) | {"endpoint": endpoint}
        registered = phones.register(bob, "GCM", json.dumps(subscription))
        assert phones.devices(channel, ana, phones.send(channel, ana)) == [witness], endpoint
        assert phones.state(bob, registered) == DEAD, endpoint
    asked = [one for one in services.seen if one["service"] == "oauth" and not one["grant"]]
    assert asked == []


# With channel flows.


def test_a_flow_decides_whether_and_with_what_words(serve, services):
    with Processor() as processor:
        server = serve(services.configuration() + targets(processor.url))
        world = World(server)
        phones = Phones(world, services)
        ana, bob = world.users("ana", "bob")
        channel = channel_with(world, flow(world), ana, bob)
        (device,) = unique("device")
        phones.register(bob, "GCM", device)

        passed = phones.send(channel, ana)
        event = processor.call_of(passed)
        assert event["ChannelMessage"]["PushNotification"]["Title"] == NOTIFICATION["Title"]
        assert services.of(passed) == [], "it is not sent yet"
        callback(server.messaging, event)
        assert services.wait(passed, 1)[0]["payload"]["message"]["data"]["pinpoint.notification.body"]

        denied = phones.send(channel, ana)
        callback(server.messaging, processor.call_of(denied), deny=True)
        replaced = phones.send(channel, ana)
        other = {"Title": "Other", "Body": "words"}
        callback(server.messaging, processor.call_of(replaced), PushNotification=other)
        data = services.wait(replaced, 1)[0]["payload"]["message"]["data"]
        assert (data["pinpoint.notification.title"], data["pinpoint.notification.body"]) == ("Other", "words")
        added = world.send(channel, ana)["MessageId"]
        callback(server.messaging, processor.call_of(added), PushNotification=other)
        services.wait(added, 1)
        assert services.of(denied) == []

        world.messaging.update_channel_message(
            ChannelArn=channel, MessageId=passed, Content="edited", ChimeBearer=ana
        )
        edit = processor.wait_for(lambda events: len(events) == 5 and events[4])
        callback(server.messaging, edit)
        eventually(lambda: world.contents(channel, bob)[-1], "edited")
        last = phones.send(channel, ana)
        callback(server.messaging, processor.call_of(last))
        services.wait(last, 1)
        assert len(services.of(passed)) == 1, "an edit notifies nobody"


# Across a crash.


def test_a_crash_loses_no_notification(serve, services):
    server = serve(services.configuration())
    world = World(server)
    phones = Phones(world, services)
    ana = world.user("ana")
    channel = world.channel(ana)
    (device,) = unique("device")
    phones.register(ana, "APNS", device)
    services.answer(device, 503, {"reason": "ServiceUnavailable"})
    messages = [phones.send(channel, ana) for _ in range(10)]
    server.kill()
    services.answer(device)
    server.start()

    def missing():
        mine = [one for one in services.seen if one["service"] == "apns" and one["status"] == 200]
        taken = {one["payload"]["data"]["jsonBody"]["chime.message_id"] for one in mine}
        return sorted(set(messages) - taken)

    eventually(missing, [])


# What operators and pages are told.


def test_a_page_asks_for_the_key_to_subscribe_with(server, serve, services):
    status, headers, body = published_key(server)
    assert (status, headers["Access-Control-Allow-Origin"], len(body["PublicKey"])) == (200, "*", 87)
    for arn in (UNMAPPED, "", "x"):
        status, headers, body = published_key(server, arn)
        assert (status, body["Code"]) == (404, "NotFound")
    before = published_key(server)[2]
    server.stop()
    server.start()
    assert published_key(server)[2] == before


def test_wrong_keys_are_named_by_check_and_by_the_start(tmp_path, services):
    good = services.configuration()
    files = services.keys()
    wrong = tmp_path / "wrong"
    wrong.write_text('{"client_email": "push@example.com"}')
    cases = [
        (good.replace(files["apns"], str(wrong)), "P-256"),
        (good.replace(files["apns"], "/nowhere/apns.p8"), "/nowhere/apns.p8"),
        (good.replace(files["fcm"], str(wrong)), "private_key"),
        (good.replace(TOPIC, ""), "topic is empty"),
        (good.replace("mailto:", ""), "subject"),
        (good.replace("mobiletargeting", "sns"), "push application"),
    ]
    path = tmp_path / "carillon.toml"
    for text, due in cases:
        path.write_text(text)
        for command in ("check", "serve"):
            options = ("--data-dir", str(tmp_path / "data"), "--http", "127.0.0.1:0", "--https", "off")
            run = subprocess.run(
                [binary(), command, *options, "--config", str(path)],
                env=environment(tmp_path),
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert run.returncode != 0 and due in run.stdout + run.stderr, (command, due, run.stdout, run.stderr)
    path.write_text(good)
    options = ("--data-dir", str(tmp_path / "data"), "--http", "127.0.0.1:0", "--https", "off")
    run = subprocess.run(
        [binary(), "check", *options, "--config", str(path)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0 and "the keys of 1 push application can be used" in run.stdout, run.stdout + run.stderr


# A browser.


def test_chromium_takes_the_key_and_shows_what_was_sent(server, world, phones, services, tmp_path):
    """As far as a machine without the internet allows. Chromium takes the published key, and another is an
    InvalidAccessError; to subscribe it then needs Google's push service, for which it waits, or says AbortError. What
    Carillon encrypted for a subscriber, decrypted with the subscriber's key, is handed to its service worker."""
    ana = world.user("ana")
    channel = world.channel(ana)
    (browser,) = unique("browser")
    phones.register(ana, "GCM", services.subscribe(browser))
    message = phones.send(channel, ana)
    payload = services.wait(message, 1)[0]["payload"]
    chromium = os.environ.get("CARILLON_TEST_CHROMIUM") or shutil.which("chromium")
    assert chromium, MISSING
    url = f"{server.http_url}/_carillon/web-push-key?resource-arn={quote(APPLICATION, safe='')}"
    run = subprocess.run(
        ["node", str(SCRIPT.parent / "browser.cjs"), chromium, url, json.dumps(payload)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    print("Chromium:", {name: said for name, said in seen.items() if name != "shown"})
    assert seen["wrong"] == "InvalidAccessError", seen
    assert "subscribed" in seen or seen["refused"] in ("AbortError", "TimeoutError"), seen
    ids = {"chime.message_id": message, "chime.channel_arn": channel}
    assert seen["shown"] == [{"title": NOTIFICATION["Title"], "body": NOTIFICATION["Body"], "data": ids}]
