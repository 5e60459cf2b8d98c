"""Bots: programs of Lex, of its kind, and models of language answer in channels."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness import aws
from harness.processor import eventually
from harness.programs import ALIAS, API_KEY, OTHER_ALIAS, Lex, Model, said
from harness.session import Session
from harness.world import World, token

REPLY = "application/amz-chime-lex-msgs"
QUESTIONS = 5


@pytest.fixture
def lex() -> Iterator[Lex]:
    with Lex() as lex:
        yield lex


@pytest.fixture
def room(serve, lex) -> World:
    """A server whose bots are at Lex."""
    return World(serve(**aws.environment(LEX_RUNTIME_V2=lex.url)))


def bot(world: World, alias: str = ALIAS, **lex: Any) -> str:
    """A bot with this program, by default one that answers as its server does by default."""
    created = world.identity.create_app_instance_bot(
        AppInstanceArn=world.app_instance,
        Name="Concierge",
        Configuration={"Lex": {"LexBotAliasArn": alias, "LocaleId": "en_US"} | lex},
        ClientRequestToken=token(),
    )
    return created["AppInstanceBotArn"]


def invoked_by(standard: str, targeted: str = "ALL") -> dict[str, Any]:
    return {"InvokedBy": {"StandardMessages": standard, "TargetedMessages": targeted}}


def mention(arn: str) -> dict[str, Any]:
    return {"MessageAttributes": {"CHIME.mentions": {"StringValues": [arn]}}}


def replies(world: World, channel: str, reader: str) -> list[dict[str, Any]]:
    """The replies of bots that somebody sees, the oldest first."""
    messages = world.messages(channel, reader, SortOrder="ASCENDING")
    return [message for message in messages if message.get("ContentType") == REPLY]


def words(message: dict[str, Any]) -> list[str]:
    return [one["Content"] for one in json.loads(message["Content"])["Messages"]]


def replied(world: World, channel: str, reader: str, count: int) -> list[dict[str, Any]]:
    """The same, once there are so many."""
    eventually(lambda: len(replies(world, channel, reader)), count)
    return replies(world, channel, reader)


def attribute(message: dict[str, Any], name: str) -> str:
    (value,) = message["MessageAttributes"][f"CHIME.LEX.sessionState.{name}"]["StringValues"]
    return value


def test_alone_with_one_it_answers_all_and_among_more_what_mentions_it(room, lex):
    ana, bob, ghost, concierge = *room.users("ana", "bob", "ghost"), bot(room)
    channel = room.channel(ana, concierge)
    room.add(channel, ghost, ana, "HIDDEN")
    first = room.send(channel, ana, "Book a room")["MessageId"]
    (reply,) = replied(room, channel, ana, 1)
    assert (reply["Sender"]["Arn"], words(reply)) == (concierge, ["You said Book a room"])
    assert attribute(reply, "originatingRequestId") == first
    assert (attribute(reply, "intent.name"), attribute(reply, "intent.state")) == ("BookRoom", "InProgress")
    room.add(channel, bob, ana)
    room.send(channel, ana, "Is it nice there, Bob?")
    room.send(channel, bob, "And a table?", **mention(concierge))
    replied(room, channel, ana, 2)
    asked = lex.calls
    assert [call["text"] for call in asked] == ["Book a room", "And a table?"]
    assert asked[0]["requestAttributes"] == {"CHIME.channel.arn": channel, "CHIME.sender.arn": ana}
    assert asked[0]["sessionState"] == {"originatingRequestId": first}
    assert asked[0]["sessionId"] == asked[1]["sessionId"] == attribute(reply, "sessionId")


def test_a_question_in_private_has_an_answer_in_private(room, lex):
    ana, bob, concierge = *room.users("ana", "bob"), bot(room)
    channel = room.channel(ana, bob, concierge)
    sent = room.send(channel, ana, "What do I owe?", Target=[{"MemberArn": concierge}])["MessageId"]
    (reply,) = replied(room, channel, ana, 1)
    assert reply["Target"] == [{"MemberArn": ana}]
    assert attribute(reply, "originatingRequestId") == sent
    room.send(channel, bob, "And I?", Target=[{"MemberArn": concierge}])
    (other,) = replied(room, channel, bob, 1)
    assert words(other) == ["You said And I?"]
    assert len(replies(room, channel, ana)) == 1
    assert attribute(reply, "sessionId") != attribute(other, "sessionId")


def test_a_control_message_asks_nobody(room, lex):
    ana, concierge = room.user("ana"), bot(room)
    channel = room.channel(ana, concierge)
    room.send(channel, ana, "typing", Type="CONTROL", Persistence="NON_PERSISTENT", **mention(concierge))
    room.send(channel, ana, "Hello")
    replied(room, channel, ana, 1)
    assert [call["text"] for call in lex.calls] == ["Hello"]


def test_a_bot_that_joins_is_begun_once_at_its_welcome_intent(room, lex):
    lex.welcome = said("Good day.", "How may I help?")
    ana, concierge = room.user("ana"), bot(room, WelcomeIntent="Welcome")
    channel = room.channel(ana)
    room.add(channel, concierge, ana)
    (reply,) = replied(room, channel, ana, 1)
    assert words(reply) == ["Good day.", "How may I help?"]
    assert "Target" not in reply
    assert "CHIME.LEX.sessionState.originatingRequestId" not in reply["MessageAttributes"]
    assert attribute(reply, "intent.name") == "Welcome"
    own = room.channel(concierge, ana)
    replied(room, own, ana, 1)
    assert [call["requestAttributes"] for call in lex.calls] == [
        {"CHIME.channel.arn": channel},
        {"CHIME.channel.arn": own},
    ]
    assert all(call["sessionState"]["intent"]["name"] == "Welcome" for call in lex.calls)


def failures(world: World) -> int:
    return world.server.log.read_text().count("Chime Messaging AppInstanceBot Lex Failure")


def test_what_lex_refuses_is_an_error_of_the_bot_and_an_event_for_the_operator(room, lex):
    ana, concierge = room.user("ana"), bot(room)
    channel = room.channel(ana, concierge)
    with Session.established(room.server, ana) as session:

        def told() -> dict[str, Any]:
            while True:
                message = session.next_of("CREATE_CHANNEL_MESSAGE")
                if message["Sender"]["Arn"] == concierge:
                    return message

        room.send(channel, ana, "x" * 1025)
        error = told()
        assert (error["Content"], error["Type"]) == ('{"Code":400}', "CONTROL")
        assert error["ContentType"] == "application/amz-chime-lex-error"
        assert error["Persistence"] == "NON_PERSISTENT"
        lex.refusals = [429]
        room.send(channel, ana, "Hello")
        assert told()["Content"] == '{"Code":429}'
        lex.refusals = [500]
        room.send(channel, ana, "Hello again")
        assert words(told()) == ["You said Hello again"]
        lex.refusals = [503, 503]
        room.send(channel, ana, "Are you there?")
        assert told()["Content"] == '{"Code":503}'
    # What may pass is tried twice, all else once.
    assert len(lex.calls) == 1 + 1 + 2 + 2
    eventually(lambda: failures(room), 3)
    for count in ("failed_total{consumer=\"bot\"} 3", "delivered_total{consumer=\"bot\"} 1"):
        eventually(lambda count=count: f"carillon_outgoing_{count}" in room.server.measured(), True)


def test_without_credentials_the_asker_and_the_operator_are_told(serve, lex):
    room = World(serve(AWS_ENDPOINT_URL_LEX_RUNTIME_V2=lex.url))
    ana, concierge = room.user("ana"), bot(room)
    channel = room.channel(ana, concierge)
    with Session.established(room.server, ana) as session:
        room.send(channel, ana, "Hello")
        session.next_of("CREATE_CHANNEL_MESSAGE")
        assert session.next_of("CREATE_CHANNEL_MESSAGE")["Content"] == '{"Code":403}'
    eventually(lambda: failures(room), 1)
    assert not lex.calls


def test_two_bots_that_answer_all_do_not_talk_without_end(room, lex):
    ana = room.user("ana")
    pair = [bot(room, alias, **invoked_by("ALL")) for alias in (ALIAS, OTHER_ALIAS)]
    channel = room.channel(ana, *pair)
    room.send(channel, ana, "Hello")
    assert {reply["Sender"]["Arn"] for reply in replied(room, channel, ana, 2)} == set(pair)
    room.send(channel, ana, "Goodbye")
    replied(room, channel, ana, 4)
    assert sorted(call["text"] for call in lex.calls) == ["Goodbye", "Goodbye", "Hello", "Hello"]


def test_answers_keep_the_order_and_a_slow_bot_holds_up_nobody(room, lex):
    released = threading.Event()
    ana, concierge = room.user("ana"), bot(room)
    slow, quick = room.channel(ana, concierge), room.channel(ana, concierge)

    def reply(call: dict[str, Any]) -> list[dict[str, Any]]:
        if call["requestAttributes"]["CHIME.channel.arn"] == slow:
            assert released.wait(60)
        return said(call["text"])

    lex.reply = reply
    asked = [room.send(slow, ana, str(number))["MessageId"] for number in range(QUESTIONS)]
    lex.taken(1)
    room.send(quick, ana, "Hello")
    replied(room, quick, ana, 1)
    assert not replies(room, slow, ana)
    released.set()
    answers = replied(room, slow, ana, QUESTIONS)
    assert [attribute(answer, "originatingRequestId") for answer in answers] == asked


def test_a_server_that_is_killed_while_a_bot_thinks_replies_once(room, lex):
    released = threading.Event()
    ana, concierge = room.user("ana"), bot(room)
    channel = room.channel(ana, concierge)

    def reply(call: dict[str, Any]) -> list[dict[str, Any]]:
        released.wait(60)
        return said(call["text"])

    lex.reply = reply
    room.send(channel, ana, "Hello")
    lex.taken(1)
    room.server.kill()
    room.server.start()
    lex.taken(2)
    released.set()
    replied(room, channel, ana, 1)
    room.send(channel, ana, "Again")
    assert [words(one) for one in replied(room, channel, ana, 2)] == [["Hello"], ["Again"]]


def test_a_program_may_be_behind_a_url_and_an_echo_needs_none(serve):
    with Lex(is_signed=False) as lex:
        configuration = (
            f"[bots.\"{ALIAS}\"]\nkind = 'http'\nurl = '{lex.url}'\n[bots.\"{OTHER_ALIAS}\"]\nkind = 'echo'\n"
        )
        room = World(serve(configuration))
        ana = room.user("ana")
        there, here = bot(room), bot(room, OTHER_ALIAS)
        for arn, answer in ((there, "You said Hello"), (here, "Hello")):
            channel = room.channel(ana, arn)
            room.send(channel, ana, "Hello")
            assert words(replied(room, channel, ana, 1)[0]) == [answer]


def test_a_model_of_language_sees_the_conversation_and_speaks_when_it_is_meant(serve):
    with Model() as model:
        configuration = (
            f"[bots.\"{ALIAS}\"]\nkind = 'chat'\nurl = '{model.url}/v1'\nmodel = 'small'\n"
            "api_key_env = 'MODEL_KEY'\ninstructions = 'Be brief.'\nhistory_messages = 3\n"
        )
        room = World(serve(configuration, MODEL_KEY=API_KEY))
        ana, bob, concierge = *room.users("ana", "bob"), bot(room, **invoked_by("ALL"))
        channel = room.channel(ana, concierge)
        room.send(channel, ana, "One")
        assert words(replied(room, channel, ana, 1)[0]) == ["2 turns, and One"]
        room.send(channel, ana, "Two")
        replied(room, channel, ana, 2)
        room.add(channel, bob, ana)
        room.send(channel, bob, "Three")
        room.send(channel, bob, "Four", **mention(concierge))
        replied(room, channel, ana, 3)
        roles = [(turn["role"], turn["content"]) for turn in model.calls[-1]["messages"]]
        assert roles == [
            ("system", "Be brief."),
            ("user", "Ana: Two"),
            ("assistant", "4 turns, and Two"),
            ("user", "Bob: Three"),
            ("user", "Bob: Four"),
        ]
        assert [call["model"] for call in model.calls] == ["small"] * 3
