"""Channel flows with processors behind HTTP and Lambda, as an application sees them."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed

from harness import aws
from harness.processor import FUNCTION, Processor, callback, eventually, targets
from harness.server import Server
from harness.session import Session, event_of
from harness.world import World, pages, refused

UNREACHABLE = "http://127.0.0.1:9/"
PENDING_MESSAGES = 1_000
SENDERS = 16
# Five close a gate; some more show that it stays closed.
OUTAGE_CALLS = 9


def flow(world: World, function: str = FUNCTION, fallback: str = "ABORT") -> str:
    return world.flow(function, fallback)


def channel_with(world: World, flow_arn: str, moderator: str, *members: str) -> str:
    channel = world.channel(moderator, *members)
    world.messaging.associate_channel_flow(
        ChannelArn=channel, ChannelFlowArn=flow_arn, ChimeBearer=moderator
    )
    return channel


@pytest.fixture
def processor():
    with Processor() as processor:
        yield processor


def test_a_processor_masks_denies_and_tags(serve, processor):
    server = serve(targets(processor.url))
    world = World(server)
    ana, bob = world.users("ana", "bob")
    channel = channel_with(world, flow(world), ana, bob)

    def visible(reader):
        return world.contents(channel, reader)

    with Session.established(server, ana) as of_ana, Session.established(server, bob) as of_bob:
        sent = world.send(channel, bob, "darn it", MessageAttributes={"topic": {"StringValues": ["none"]}})
        masked = sent["MessageId"]
        assert sent["Status"] == {"Value": "PENDING"}
        assert of_bob.next_of("PENDING_CREATE_CHANNEL_MESSAGE")["Status"] == {"Value": "PENDING"}
        event = processor.call_of(masked)
        assert event["EventType"] == "CHANNEL_MESSAGE_EVENT"
        assert world.status(channel, masked, bob) == {"Value": "PENDING"}
        assert (visible(bob), visible(ana)) == (["darn it"], [])
        with refused("Forbidden"):
            world.status(channel, masked, ana)
        with refused("NotFound"):
            world.messaging.get_channel_message(ChannelArn=channel, MessageId=masked, ChimeBearer=ana)

        attributes = {"topic": {"StringValues": ["weather"]}}
        answer = callback(server.messaging, event, Content="**** it", MessageAttributes=attributes)
        assert (answer["ChannelArn"], answer["CallbackId"]) == (channel, event["CallbackId"])
        assert world.status(channel, masked, bob) == {"Value": "SENT"}
        for session in (of_ana, of_bob):
            created = session.next_of("CREATE_CHANNEL_MESSAGE")
            assert (created["MessageId"], created["Content"]) == (masked, "**** it")
            assert created["MessageAttributes"] == attributes
        assert visible(ana) == visible(bob) == ["**** it"]
        with refused("BadRequest"):
            callback(server.messaging, event, Content="again")

        denied = world.send(channel, bob, "spam")["MessageId"]
        of_bob.next_of("PENDING_CREATE_CHANNEL_MESSAGE")
        callback(server.messaging, processor.call_of(denied), deny=True)
        assert of_bob.next_of("DENIED_CREATE_CHANNEL_MESSAGE")["Status"] == {"Value": "DENIED"}
        with refused("Forbidden"):
            world.status(channel, denied, bob)
        assert visible(bob) == ["**** it"]

        world.messaging.update_channel_message(
            ChannelArn=channel, MessageId=masked, Content="fine", ChimeBearer=bob
        )
        of_bob.next_of("PENDING_UPDATE_CHANNEL_MESSAGE")
        assert world.status(channel, masked, bob) == {"Value": "PENDING"}
        assert (visible(bob), visible(ana)) == (["fine"], ["**** it"])
        edit = processor.wait_for(lambda events: len(events) == 3 and events[2])
        assert edit["ChannelMessage"]["LastEditedTimestamp"]
        callback(server.messaging, edit, deny=True)
        of_bob.next_of("DENIED_UPDATE_CHANNEL_MESSAGE")
        assert world.status(channel, masked, bob) == {"Value": "SENT"}
        assert visible(bob) == visible(ana) == ["**** it"]
        # Of all that was pending and denied, ana was told nothing: the next that she hears is this.
        world.send(channel, ana, "typing", Type="CONTROL", Persistence="NON_PERSISTENT")
        assert of_ana.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "typing"


def ask(world: World, processor: Processor) -> None:
    """One message through a flow."""
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)
    sent = world.send(channel, ana)["MessageId"]
    callback(world.messaging, processor.call_of(sent))
    assert world.status(channel, sent, ana) == {"Value": "SENT"}


def test_lambda_is_called_as_the_sdk_calls_it(serve, processor):
    ask(World(serve(**aws.environment(LAMBDA=processor.url))), processor)
    assert processor.tokens == [None]


def test_lambda_is_called_with_the_token_of_credentials_that_are_renewed(serve, processor):
    with aws.Issuer() as issuer:
        environment = {
            "AWS_ENDPOINT_URL_LAMBDA": processor.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": issuer.url,
        }
        world = World(serve(**environment))
        ask(world, processor)
        ask(world, processor)
    assert processor.tokens == ["token 1", "token 2"]


def test_lambda_is_where_a_profile_says(serve, processor, tmp_path):
    profile = tmp_path / "aws-config"
    profile.write_text(
        f"[default]\naws_access_key_id = {aws.ACCESS_KEY_ID}\naws_secret_access_key = {aws.SECRET_ACCESS_KEY}\n"
        f"services = own\n[services own]\nlambda =\n  endpoint_url = {processor.url}\n"
    )
    ask(World(serve(AWS_CONFIG_FILE=str(profile))), processor)


def test_lambda_is_not_called_without_credentials_and_the_fallback_decides_at_once(serve, processor):
    world = World(serve(AWS_ENDPOINT_URL_LAMBDA=processor.url))
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)
    sent = world.send(channel, ana)["MessageId"]
    eventually(lambda: world.status(channel, sent, ana)["Value"], "FAILED")
    detail = "The processor Moderate could not be called: not permitted"
    assert world.status(channel, sent, ana)["Detail"] == detail
    assert 'carillon_processor_calls_total{result="failed"} 1' in world.server.measured()
    assert processor.calls == 0


def test_a_processor_that_is_not_there_has_its_fallback_decide(serve):
    quick = "[flows]\ntries_max = 2\n"
    server = serve(quick + targets(UNREACHABLE))
    world = World(server)
    ana = world.user("ana")
    aborting = channel_with(world, flow(world), ana)
    continuing = channel_with(world, flow(world, fallback="CONTINUE"), ana)
    with Session.established(server, ana) as session:
        failed = world.send(aborting, ana)["MessageId"]
        session.next_of("PENDING_CREATE_CHANNEL_MESSAGE")
        told = session.next_of("FAILED_CREATE_CHANNEL_MESSAGE")["Status"]
        assert told == world.status(aborting, failed, ana)
        assert told == {
            "Value": "FAILED",
            "Detail": "The processor Moderate could not be called: not reachable",
        }
        world.send(continuing, ana, "let through")
        session.next_of("PENDING_CREATE_CHANNEL_MESSAGE")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == "let through"
    measured = server.measured()
    assert 'carillon_processor_calls_total{result="failed"} 4' in measured
    assert 'carillon_processor_gates{state="open"} 1' in measured
    # Operators are told whatever the fallback is.
    eventually(lambda: server.log.read_text().count("ProcessorInvocationFailure"), 2)


def test_after_an_outage_nobody_fails_unasked(serve, processor):
    server = serve(targets(processor.url))
    world = World(server)
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)
    processor.status = 503
    while processor.calls < OUTAGE_CALLS:
        world.send(channel, ana)
    assert 'carillon_processor_gates{state="closed"} 1' in server.measured()
    processor.decide = lambda event: callback(server.messaging, event)
    processor.status = 202
    after = [world.send(channel, ana)["MessageId"] for _ in range(15)]
    for sent in after:
        eventually(lambda sent=sent: world.status(channel, sent, ana)["Value"] != "PENDING", True)
        assert world.status(channel, sent, ana) == {"Value": "SENT"}


def test_what_is_never_asked_falls_back_when_its_time_is_over_and_says_so(serve):
    server = serve("[flows]\nwaiting_seconds = 1\n" + targets(UNREACHABLE))
    world = World(server)
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)
    sent = [world.send(channel, ana)["MessageId"] for _ in range(40)]
    details = []
    for message in sent:
        eventually(lambda message=message: world.status(channel, message, ana)["Value"], "FAILED")
        details.append(world.status(channel, message, ana)["Detail"])
    asked = "The processor Moderate could not be called: not reachable"
    unasked = "The processor Moderate was not asked within 1 s, because it keeps failing: not reachable"
    assert set(details) == {asked, unasked}
    not_made = int(re.search(r'calls_total\{result="not_made"\} (\d+)', server.measured())[1])
    assert details.count(unasked) <= not_made
    eventually(lambda: server.log.read_text().count("ProcessorInvocationFailure"), len(sent))


def test_another_flow_replaces_the_one_of_a_channel_for_messages_from_then_on(serve, processor):
    function = "arn:aws:lambda:us-east-1:000000000000:function:no-addresses"
    built_in = f"[processors.\"{function}\"]\nkind = 'regex'\npatterns = ['email']\naction = 'mask'\n"
    server = serve(targets(processor.url) + built_in)
    world = World(server)
    ana, bob = world.users("ana", "bob")
    first, second = flow(world), flow(world, function)
    channel = channel_with(world, first, ana, bob)
    before = world.send(channel, bob, "ana@example.com")["MessageId"]
    event = processor.call_of(before)
    with Session.established(server, bob) as session:
        world.messaging.associate_channel_flow(
            ChannelArn=channel, ChannelFlowArn=second, ChimeBearer=ana
        )
        assert session.next_of("UPDATE_CHANNEL")["ChannelFlowArn"] == second
    world.messaging.delete_channel_flow(ChannelFlowArn=first)
    with refused("Conflict"):
        world.messaging.delete_channel_flow(ChannelFlowArn=second)
    world.send(channel, bob, "bob@example.com")
    assert world.contents(channel, ana) == ["***************"]
    assert world.status(channel, before, bob) == {"Value": "PENDING"}
    callback(server.messaging, event)
    assert world.status(channel, before, bob) == {"Value": "SENT"}
    assert sorted(world.contents(channel, ana)) == ["***************", "ana@example.com"]


def test_silence_fails_a_message_after_48_hours_also_over_a_restart(serve, processor):
    server = serve(targets(processor.url), "--test-clock")
    world = World(server)
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)
    sent = world.send(channel, ana)["MessageId"]
    event = processor.call_of(sent)
    # Not by a kill: a call that was made and not noted would be made again, and the 48 hours begin anew.
    server.stop()
    server.start()
    assert world.status(channel, sent, ana) == {"Value": "PENDING"}
    server.advance(timedelta(hours=48, seconds=1))
    eventually(lambda: world.status(channel, sent, ana)["Value"], "FAILED")
    assert "48 hours" in world.status(channel, sent, ana)["Detail"]
    with refused("Forbidden"):
        callback(server.messaging, event)


def test_of_callbacks_at_once_one_decides(serve, processor):
    server = serve(targets(processor.url))
    world = World(server)
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)

    def answer(event, start, content):
        start.wait()
        try:
            callback(server.messaging, event, Content=content)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return content

    with Session.established(server, ana) as session, ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            sent = world.send(channel, ana)["MessageId"]
            event, start = processor.call_of(sent), threading.Barrier(4)
            answers = list(pool.map(lambda content: answer(event, start, content), "abcd"))
            decided = [answer for answer in answers if not answer.endswith("Exception")]
            assert len(decided) == 1, answers
            assert set(answers) - set(decided) <= {"ConflictException", "BadRequestException"}, answers
            session.next_of("PENDING_CREATE_CHANNEL_MESSAGE")
            assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == decided[0]


def test_built_in_processors_need_nothing_outside(serve):
    function = "arn:aws:lambda:us-east-1:000000000000:function:no-addresses"
    configuration = f"[processors.\"{function}\"]\nkind = 'regex'\npatterns = ['email']\naction = 'mask'\n"
    server = serve(configuration)
    world = World(server)
    ana = world.user("ana")
    channel = channel_with(world, flow(world, function), ana)
    sent = world.send(channel, ana, "write to ana@example.com")
    assert sent["Status"] == {"Value": "PENDING"}
    assert world.status(channel, sent["MessageId"], ana) == {"Value": "SENT"}
    assert world.contents(channel, ana) == ["write to ***************"]


def test_a_kill_amid_pending_messages_loses_none_and_doubles_none(serve, processor):
    server = serve(targets(processor.url))
    world = World(server)
    ana, bob = world.users("ana", "bob")
    channel = channel_with(world, flow(world), ana, bob)
    heard: list[str] = []
    listener = listen(server, bob, heard)
    with ThreadPoolExecutor(SENDERS) as pool:
        sends = pool.map(lambda _: world.send(channel, ana)["MessageId"], range(PENDING_MESSAGES))
        sent = set(sends)
    assert len(sent) == PENDING_MESSAGES
    # Some are called back before the kill, so that it comes amid the work.
    first = processor.wait_for(lambda events: 100 <= len(events) and list(events[:100]))
    for event in first[:50]:
        callback(server.messaging, event)
    with ThreadPoolExecutor(8) as pool:
        racing = [pool.submit(call_back_or_not, server, event) for event in first[50:]]
        server.kill()
    listener.join()
    before_the_kill = set(heard)
    server.start()
    listener = listen(server, bob, heard)

    answered: set[str] = set()
    while True:
        called = processor.wait_for(
            lambda events: sent <= {event["ChannelMessage"]["MessageId"] for event in events} and list(events)
        )
        rest = [event for event in called if event["ChannelMessage"]["MessageId"] not in answered]
        if not rest:
            break
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda event: call_back_or_not(server, event), rest))
        answered |= {event["ChannelMessage"]["MessageId"] for event in rest}
    assert all(race.done() for race in racing)

    messages = pages(
        world.messaging.list_channel_messages, "ChannelMessages", ChannelArn=channel, ChimeBearer=ana
    )
    assert {message["MessageId"] for message in messages} == sent
    assert {message["Status"]["Value"] for message in messages} == {"SENT"}
    calls = [event["ChannelMessage"]["MessageId"] for event in processor.events]
    assert set(calls) == sent, "each was called at least once"
    world.send(channel, ana, "the end", Type="CONTROL")
    listener.join()
    assert len(heard) == len(set(heard)), "a message was delivered twice"
    released_before = len(before_the_kill)
    assert 50 <= released_before < PENDING_MESSAGES and len(set(heard)) >= PENDING_MESSAGES - 100


def listen(server: Server, user: str, heard: list[str]) -> threading.Thread:
    """Notes the ids of the messages that a member is told of, until a CONTROL message or the end."""
    session = Session.established(server, user)

    def run():
        try:
            while True:
                event = event_of(session.socket.recv(timeout=60))
                if event.message_type == "CONTROL":
                    break
                if event.kind == "CREATE_CHANNEL_MESSAGE":
                    heard.append(event.payload["MessageId"])
        except ConnectionClosed:
            pass
        session.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def call_back_or_not(server: Server, event) -> None:
    """As a processor that repeats itself, and whose server may be gone."""
    try:
        callback(server.messaging, event)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("BadRequestException", "ConflictException"), error
    except Exception:  # noqa: BLE001 The server was killed; what matters is asked after its return.
        pass
