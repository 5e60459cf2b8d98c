"""Every event type that a socket can carry: what triggers it, and which frames each kind of person then gets.

One row, one trigger. Each row has a channel of its own, in which ana created and moderates, bob and dee belong, cy is a
hidden member, eve administers the app instance without belonging, and oz has nothing to do with it. All of them have a
session. A row says for each of them which frames come, whole; whoever is not named must get none. To add an event
type: rows, and its name in TYPES, which the last test compares with what the rows brought.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.engine import Engine
from harness.processor import FUNCTION, Processor, callback, eventually, targets
from harness.server import Server
from harness.session import TIMESTAMP, Event, Session
from harness.world import World, token

PEOPLE = ("ana", "bob", "cy", "dee", "eve", "oz")
TYPES = {
    "SESSION_ESTABLISHED",
    "CHANNEL_DETAILS",
    "PENDING_CREATE_CHANNEL_MESSAGE",
    "PENDING_UPDATE_CHANNEL_MESSAGE",
    "FAILED_CREATE_CHANNEL_MESSAGE",
    "FAILED_UPDATE_CHANNEL_MESSAGE",
    "DENIED_CREATE_CHANNEL_MESSAGE",
    "DENIED_UPDATE_CHANNEL_MESSAGE",
    "CREATE_CHANNEL_MESSAGE",
    "UPDATE_CHANNEL_MESSAGE",
    "REDACT_CHANNEL_MESSAGE",
    "DELETE_CHANNEL_MESSAGE",
    "UPDATE_CHANNEL",
    "DELETE_CHANNEL",
    "CREATE_CHANNEL_MEMBERSHIP",
    "BATCH_CREATE_CHANNEL_MEMBERSHIP",
    "DELETE_CHANNEL_MEMBERSHIP",
}


class Time:
    """Equals every timestamp of the one form."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and TIMESTAMP.fullmatch(other) is not None

    def __repr__(self) -> str:
        return "TIME"


class Id:
    """Equals every id: 64 digits of a message, 32 of a sub-channel."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", other) is not None

    def __repr__(self) -> str:
        return "ID"


TIME, ID = Time(), Id()


@dataclass
class Stage:
    """The people, their sessions, and the channel of a row."""

    world: World
    arns: dict[str, str]
    own: dict[str, str]
    sessions: dict[str, Session]
    processor: Processor
    channel: str = ""
    message: str = ""
    flow: str = ""
    elastic: str = ""
    sub_channels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def set(cls, world: World, processor: Processor) -> "Stage":
        arns = {name: world.admin(name) if name == "eve" else world.user(name) for name in PEOPLE}
        own = {name: world.channel(arn) for name, arn in arns.items()}
        sessions = {name: Session.established(world.server, arn) for name, arn in arns.items()}
        return cls(world, arns, own, sessions, processor)

    def begin(self, **options: Any) -> None:
        self.channel = self.world.channel(self.arns["ana"], self.arns["bob"], self.arns["dee"], **options)
        self.add("cy", kind="HIDDEN")
        self.frames()

    def begin_elastic(self) -> None:
        """Two sub-channels: bob and dee in one, cy in the other. ana is moderator, and member of none."""
        if self.elastic:
            # An app instance may have one.
            self.world.messaging.delete_channel(ChannelArn=self.elastic, ChimeBearer=self.arns["ana"])
        self.channel = self.elastic = self.world.channel(
            self.arns["ana"],
            ElasticChannelConfiguration={
                "MaximumSubChannels": 2,
                "TargetMembershipsPerSubChannel": 2,
                "MinimumMembershipPercentage": 40,
            },
        )
        names = ["bob", "dee", "cy"]
        self.sub_channels = {name: self.add(name)["SubChannelId"] for name in names}
        if self.sub_channels["bob"] != self.sub_channels["dee"]:
            # Where the second goes is the balancer's affair: let two who share a place be bob and dee.
            self.arns["dee"], self.arns["cy"] = self.arns["cy"], self.arns["dee"]
            for table in (self.own, self.sessions, self.sub_channels):
                table["dee"], table["cy"] = table["cy"], table["dee"]
        assert len(set(self.sub_channels.values())) == 2
        self.frames()

    def frames(self) -> dict[str, list[Event]]:
        """What came to each: everything before an event that is made to come last."""
        for name, arn in self.arns.items():
            self.world.send(self.own[name], arn, "last")
        return {name: list(self.before_last(name)) for name in self.arns}

    def before_last(self, name: str) -> Iterator[Event]:
        while True:
            event = self.sessions[name].next()
            if event.payload is not None and event.payload.get("ChannelArn") == self.own[name]:
                return
            yield event

    # What rows do.

    def add(self, name: str, by: str = "ana", kind: str = "DEFAULT") -> dict:
        return self.world.add(self.channel, self.arns[name], by=self.arns[by], kind=kind)

    def remove(self, name: str, by: str) -> None:
        self.world.remove(self.channel, self.arns[name], by=self.arns[by])

    def batch(self, *names: str, kind: str = "DEFAULT") -> None:
        arns = [self.arns[name] for name in names]
        self.world.messaging.batch_create_channel_membership(
            ChannelArn=self.channel, MemberArns=arns, Type=kind, ChimeBearer=self.arns["ana"]
        )

    def send(self, **options: Any) -> None:
        sender = self.arns["ana"]
        self.message = self.world.send(self.channel, sender, "Lunch?", **options)["MessageId"]

    def sent(self, **options: Any) -> None:
        """Sends, as a beginning."""
        self.send(**options)
        self.frames()

    def on_message(self, operation: str, by: str = "ana", **options: Any) -> None:
        getattr(self.world.messaging, operation)(
            ChannelArn=self.channel, MessageId=self.message, ChimeBearer=self.arns[by], **options
        )

    def on_channel(self, operation: str, by: str = "ana", **options: Any) -> None:
        call = getattr(self.world.messaging, operation)
        call(ChannelArn=self.channel, ChimeBearer=self.arns[by], **options)

    def make_flow(self) -> None:
        created = self.world.messaging.create_channel_flow(
            AppInstanceArn=self.world.app_instance,
            Name="Moderation",
            ClientRequestToken=token(),
            Processors=[
                {
                    "Name": "Moderate",
                    "ExecutionOrder": 1,
                    "FallbackAction": "ABORT",
                    "Configuration": {
                        "Lambda": {"ResourceArn": FUNCTION, "InvocationType": "ASYNC"}
                    },
                }
            ],
        )
        self.flow = created["ChannelFlowArn"]

    def begin_flow(self) -> None:
        """A channel whose messages wait for the processor, which takes every call and answers none by itself."""
        self.begin()
        self.make_flow()
        self.on_channel("associate_channel_flow", ChannelFlowArn=self.flow)
        self.frames()

    def edit(self) -> None:
        self.on_message("update_channel_message", Content="Dinner?")

    def edited(self) -> None:
        """Sends and edits, as a beginning: the edit waits."""
        self.sent()
        self.answer()
        self.edit()
        self.frames()

    def answer(self, *, deny: bool = False) -> None:
        """Answers the last call about the message."""
        about = [self.processor.call_of(self.message)]
        about += [event for event in self.processor.events if event["ChannelMessage"]["MessageId"] == self.message]
        callback(self.world.messaging, about[-1], deny=deny)

    def unanswered(self, act: Callable[["Stage"], None]) -> None:
        """Does something that the processor refuses to take."""
        self.processor.status = 404
        try:
            act(self)
            eventually(lambda: self.world.status(self.channel, self.message, self.arns["ana"])["Value"], "FAILED")
        finally:
            self.processor.status = 202

    def called(self) -> None:
        """Waits until the processor has been told of the edit: it tells when the message was edited."""
        self.processor.wait_for(
            lambda events: any(
                event["ChannelMessage"]["MessageId"] == self.message
                and "LastEditedTimestamp" in event["ChannelMessage"]
                for event in events
            )
        )

    # What frames say.

    def person(self, name: str) -> dict:
        described = self.world.identity.describe_app_instance_user(AppInstanceUserArn=self.arns[name])
        return {"Arn": self.arns[name], "Name": described["AppInstanceUser"]["Name"]}

    def message_frame(self, verb: str, kind: str = "STANDARD", **members: Any) -> Event:
        payload = {
            "ChannelArn": self.channel,
            "MessageId": self.message,
            "Content": "Lunch?",
            "Type": kind,
            "CreatedTimestamp": TIME,
            "LastUpdatedTimestamp": TIME,
            "Sender": self.person("ana"),
            "Redacted": False,
            "Persistence": "PERSISTENT",
            "Status": {"Value": "SENT"},
        }
        payload |= members
        present = {name: value for name, value in payload.items() if value is not None}
        return Event(f"{verb}_CHANNEL_MESSAGE", kind, present)

    def channel_frame(self, verb: str, **members: Any) -> Event:
        payload = {
            "Name": "Lobby",
            "ChannelArn": self.channel,
            "Mode": "RESTRICTED",
            "Privacy": "PRIVATE",
            "CreatedBy": self.person("ana"),
            "CreatedTimestamp": TIME,
            "LastUpdatedTimestamp": TIME,
        }
        return Event(f"{verb}_CHANNEL", "SYSTEM", payload | members)

    def membership_frame(self, verb: str, member: str, kind: str = "DEFAULT", **members: Any) -> Event:
        payload = {
            "Member": self.person(member),
            "InvitedBy": self.person("ana"),
            "Type": kind,
            "ChannelArn": self.channel,
            "CreatedTimestamp": TIME,
            "LastUpdatedTimestamp": TIME,
        }
        return Event(f"{verb}_CHANNEL_MEMBERSHIP", "SYSTEM", payload | members)

    def batch_frame(self, *members: str, kind: str = "DEFAULT") -> Event:
        payload = {
            "InvitedBy": self.person("ana"),
            "Type": kind,
            "ChannelArn": self.channel,
            "Members": [self.person(member) for member in members],
        }
        return Event("BATCH_CREATE_CHANNEL_MEMBERSHIP", "SYSTEM", payload)


@dataclass
class Row:
    """Who gets the frames that `frames` makes once `trigger` has happened, and what was there before."""

    name: str
    trigger: Callable[[Stage], None]
    to: tuple[str, ...]
    frames: Callable[[Stage], list[Event]] = lambda _: []
    before: tuple[Callable[[Stage], None], ...] = (Stage.begin,)


MEMBERS = ("ana", "bob", "cy", "dee")
SEEN = ("ana", "bob", "dee")
NOT_FOUND = {"Value": "FAILED", "Detail": "The processor Moderate could not be called: not found"}


def members_who_join_a_new_channel(stage: Stage) -> list[Event]:
    return [stage.membership_frame("CREATE", name) for name in SEEN]


ROWS = [
    # Messages.
    Row("a message", Stage.send, MEMBERS, lambda s: [s.message_frame("CREATE")]),
    Row(
        "a message with all it can have",
        lambda s: s.send(
            Metadata="m",
            ContentType="text/plain",
            MessageAttributes={"a": {"StringValues": ["b"]}},
            PushNotification={"Type": "DEFAULT", "Title": "t", "Body": "b"},
        ),
        MEMBERS,
        lambda s: [
            s.message_frame(
                "CREATE",
                Metadata="m",
                ContentType="text/plain",
                MessageAttributes={"a": {"StringValues": ["b"]}},
            )
        ],
    ),
    Row(
        "a message that is not kept",
        lambda s: s.send(Persistence="NON_PERSISTENT"),
        MEMBERS,
        lambda s: [s.message_frame("CREATE", Persistence="NON_PERSISTENT")],
    ),
    Row(
        "a CONTROL message",
        lambda s: s.send(Type="CONTROL", Persistence="NON_PERSISTENT"),
        MEMBERS,
        lambda s: [s.message_frame("CREATE", "CONTROL", Persistence="NON_PERSISTENT")],
    ),
    Row(
        "a targeted message",
        lambda s: s.send(Target=[{"MemberArn": s.arns["dee"]}]),
        ("ana", "dee"),
        lambda s: [s.message_frame("CREATE", Target=[{"MemberArn": s.arns["dee"]}])],
    ),
    Row(
        "an edit",
        lambda s: s.on_message("update_channel_message", Content="Dinner?", Metadata="m"),
        MEMBERS,
        lambda s: [
            s.message_frame("UPDATE", Content="Dinner?", Metadata="m", LastEditedTimestamp=TIME)
        ],
        (Stage.begin, Stage.sent),
    ),
    Row(
        "an edit of a targeted message",
        lambda s: s.on_message("update_channel_message", Content="Dinner?"),
        ("ana", "dee"),
        lambda s: [
            s.message_frame(
                "UPDATE",
                Content="Dinner?",
                LastEditedTimestamp=TIME,
                Target=[{"MemberArn": s.arns["dee"]}],
            )
        ],
        (Stage.begin, lambda s: s.sent(Target=[{"MemberArn": s.arns["dee"]}])),
    ),
    Row(
        "a redaction",
        lambda s: s.on_message("redact_channel_message"),
        MEMBERS,
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin, lambda s: s.sent(Metadata="m")),
    ),
    Row(
        "a redaction of a targeted message",
        lambda s: s.on_message("redact_channel_message"),
        ("ana", "dee"),
        lambda s: [
            s.message_frame(
                "REDACT", Content=None, Redacted=True, Target=[{"MemberArn": s.arns["dee"]}]
            )
        ],
        (Stage.begin, lambda s: s.sent(Target=[{"MemberArn": s.arns["dee"]}])),
    ),
    Row(
        "a deletion",
        lambda s: s.on_message("delete_channel_message", by="eve"),
        MEMBERS,
        lambda s: [s.message_frame("DELETE", Content=None)],
        (Stage.begin, Stage.sent),
    ),
    Row(
        "a message in an elastic channel",
        lambda s: s.on_channel(
            "send_channel_message",
            by="bob",
            Content="Goal!",
            Type="STANDARD",
            Persistence="PERSISTENT",
            ClientRequestToken=token(),
            SubChannelId=s.sub_channels["bob"],
        ),
        ("bob", "dee"),
        lambda s: [
            s.message_frame(
                "CREATE",
                MessageId=ID,
                Content="Goal!",
                Sender=s.person("bob"),
                SubChannelId=s.sub_channels["bob"],
            )
        ],
        (Stage.begin_elastic,),
    ),
    # A channel with a flow: what it does with a message, its sender alone is told.
    Row(
        "a message that waits in a flow",
        Stage.send,
        ("ana",),
        lambda s: [s.message_frame("PENDING_CREATE", Status={"Value": "PENDING"})],
        (Stage.begin_flow,),
    ),
    Row(
        "a message that a flow releases",
        Stage.answer,
        MEMBERS,
        lambda s: [s.message_frame("CREATE")],
        (Stage.begin_flow, Stage.sent),
    ),
    Row(
        "a message that a flow denies",
        lambda s: s.answer(deny=True),
        ("ana",),
        lambda s: [s.message_frame("DENIED_CREATE", Status={"Value": "DENIED"})],
        (Stage.begin_flow, Stage.sent),
    ),
    Row(
        "a message that fails in a flow",
        lambda s: s.unanswered(Stage.send),
        ("ana",),
        lambda s: [
            s.message_frame("PENDING_CREATE", Status={"Value": "PENDING"}),
            s.message_frame("FAILED_CREATE", Status=NOT_FOUND),
        ],
        (Stage.begin_flow,),
    ),
    Row(
        "an edit that waits in a flow",
        Stage.edit,
        ("ana",),
        lambda s: [
            s.message_frame(
                "PENDING_UPDATE", Content="Dinner?", LastEditedTimestamp=TIME, Status={"Value": "PENDING"}
            )
        ],
        (Stage.begin_flow, Stage.sent, Stage.answer, Stage.frames),
    ),
    Row(
        "an edit that a flow releases",
        Stage.answer,
        MEMBERS,
        lambda s: [s.message_frame("UPDATE", Content="Dinner?", LastEditedTimestamp=TIME)],
        (Stage.begin_flow, Stage.edited, Stage.called),
    ),
    Row(
        "an edit that a flow denies",
        lambda s: s.answer(deny=True),
        ("ana",),
        lambda s: [
            s.message_frame(
                "DENIED_UPDATE", Content="Dinner?", LastEditedTimestamp=TIME, Status={"Value": "DENIED"}
            )
        ],
        (Stage.begin_flow, Stage.edited, Stage.called),
    ),
    Row(
        "an edit that fails in a flow",
        lambda s: s.unanswered(Stage.edit),
        ("ana",),
        lambda s: [
            s.message_frame(
                "PENDING_UPDATE", Content="Dinner?", LastEditedTimestamp=TIME, Status={"Value": "PENDING"}
            ),
            s.message_frame("FAILED_UPDATE", Content="Dinner?", LastEditedTimestamp=TIME, Status=NOT_FOUND),
        ],
        (Stage.begin_flow, Stage.sent, Stage.answer, Stage.frames),
    ),
    # The channel.
    Row(
        "a new name",
        lambda s: s.on_channel("update_channel", Name="Canteen", Metadata="m"),
        MEMBERS,
        lambda s: [s.channel_frame("UPDATE", Name="Canteen", Metadata="m")],
    ),
    Row(
        "a new name after a message",
        lambda s: s.on_channel("update_channel", Name="Canteen", Mode="UNRESTRICTED"),
        MEMBERS,
        lambda s: [
            s.channel_frame("UPDATE", Name="Canteen", Mode="UNRESTRICTED", LastMessageTimestamp=TIME)
        ],
        (Stage.begin, Stage.sent),
    ),
    Row(
        "a new name of an elastic channel",
        lambda s: s.on_channel("update_channel", Name="Stadium"),
        ("bob", "dee", "cy"),
        lambda s: [
            s.channel_frame(
                "UPDATE",
                Name="Stadium",
                ElasticChannelConfiguration={
                    "MaximumSubChannels": 2,
                    "TargetMembershipsPerSubChannel": 2,
                    "MinimumMembershipPercentage": 40,
                },
            )
        ],
        (Stage.begin_elastic,),
    ),
    Row(
        "an expiration",
        lambda s: s.on_channel(
            "put_channel_expiration_settings",
            ExpirationSettings={"ExpirationDays": 7, "ExpirationCriterion": "CREATED_TIMESTAMP"},
        ),
        MEMBERS,
        lambda s: [
            s.channel_frame(
                "UPDATE",
                ExpirationSettings={"ExpirationDays": 7, "ExpirationCriterion": "CREATED_TIMESTAMP"},
            )
        ],
    ),
    Row(
        "a flow",
        lambda s: s.on_channel("associate_channel_flow", ChannelFlowArn=s.flow),
        MEMBERS,
        lambda s: [s.channel_frame("UPDATE", ChannelFlowArn=s.flow)],
        (Stage.begin, Stage.make_flow),
    ),
    Row(
        "no flow any more",
        lambda s: s.world.messaging.disassociate_channel_flow(
            ChannelArn=s.channel, ChannelFlowArn=s.flow, ChimeBearer=s.arns["ana"]
        ),
        MEMBERS,
        lambda s: [s.channel_frame("UPDATE")],
        (
            Stage.begin,
            Stage.make_flow,
            lambda s: s.on_channel("associate_channel_flow", ChannelFlowArn=s.flow),
            Stage.frames,
        ),
    ),
    Row(
        "the end of a channel",
        lambda s: s.on_channel("delete_channel"),
        MEMBERS,
        lambda s: [s.channel_frame("DELETE")],
    ),
    # Memberships.
    Row(
        "a channel with its first members",
        lambda s: setattr(
            s, "channel", s.world.channel(s.arns["ana"], s.arns["bob"], s.arns["dee"])
        ),
        SEEN,
        members_who_join_a_new_channel,
        (),
    ),
    Row(
        "a new member",
        lambda s: s.add("oz"),
        (*SEEN, "oz"),
        lambda s: [s.membership_frame("CREATE", "oz")],
    ),
    Row(
        "a new hidden member",
        lambda s: s.add("oz", kind="HIDDEN"),
        ("ana", "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", "HIDDEN")],
    ),
    Row(
        "a new hidden member, beside an administrator who belongs",
        lambda s: s.add("oz", kind="HIDDEN"),
        ("ana", "eve", "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", "HIDDEN")],
        (Stage.begin, lambda s: s.add("eve", kind="HIDDEN"), Stage.frames),
    ),
    Row(
        "several new members",
        lambda s: s.batch("eve", "oz"),
        (*SEEN, "eve", "oz"),
        lambda s: [s.batch_frame("eve", "oz")],
    ),
    Row(
        "several new hidden members",
        lambda s: s.batch("eve", "oz", kind="HIDDEN"),
        ("ana", "eve", "oz"),
        lambda s: [s.batch_frame("eve", "oz", kind="HIDDEN")],
    ),
    Row(
        "of several, those who could be added",
        lambda s: s.batch("bob", "oz"),
        (*SEEN, "oz"),
        lambda s: [s.batch_frame("oz")],
    ),
    Row(
        "a removal",
        lambda s: s.remove("bob", by="ana"),
        SEEN,
        lambda s: [s.membership_frame("DELETE", "bob")],
    ),
    Row(
        "a leave",
        lambda s: s.remove("bob", by="bob"),
        SEEN,
        lambda s: [s.membership_frame("DELETE", "bob")],
    ),
    Row(
        "a removal of a hidden member",
        lambda s: s.remove("cy", by="ana"),
        ("ana", "cy"),
        lambda s: [s.membership_frame("DELETE", "cy", "HIDDEN")],
    ),
    Row(
        "a ban of a member",
        lambda s: s.on_channel("create_channel_ban", MemberArn=s.arns["bob"]),
        SEEN,
        lambda s: [s.membership_frame("DELETE", "bob")],
    ),
    # What is not told.
    Row(
        "a ban of who does not belong",
        lambda s: s.on_channel("create_channel_ban", MemberArn=s.arns["oz"]),
        (),
    ),
    Row("a moderator", lambda s: s.on_channel("create_channel_moderator", ChannelModeratorArn=s.arns["bob"]), ()),
    Row("a read marker", lambda s: s.on_channel("update_channel_read_marker"), ()),
    Row(
        "preferences",
        lambda s: s.on_channel(
            "put_channel_membership_preferences",
            MemberArn=s.arns["ana"],
            Preferences={"PushNotifications": {"AllowNotifications": "NONE"}},
        ),
        (),
    ),
    Row(
        "tags",
        lambda s: s.world.messaging.tag_resource(
            ResourceARN=s.channel, Tags=[{"Key": "a", "Value": "b"}]
        ),
        (),
    ),
    Row("a flow that no channel has", Stage.make_flow, ()),
]


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """The types that rows brought."""
    return set()


@pytest.fixture(scope="module")
def processor() -> Iterator[Processor]:
    with Processor() as processor:
        yield processor


@pytest.fixture(scope="module")
def server(engine: Engine, processor: Processor, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    configuration = folder / "carillon.toml"
    configuration.write_text(targets(processor.url))
    server = Server(folder, engine, "--config", str(configuration)).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stage(server, processor) -> Iterator[Stage]:
    stage = Stage.set(World(server), processor)
    yield stage
    for session in stage.sessions.values():
        session.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "_"))
def test_a_row(stage, row, seen):
    for step in row.before:
        step(stage)
    row.trigger(stage)
    came = stage.frames()
    due = row.frames(stage)
    for name in PEOPLE:
        got = came[name]
        if len(due) > 1:
            got = sorted(got, key=lambda event: due.index(event) if event in due else -1)
        assert got == (due if name in row.to else []), name
    seen.update(event.kind for event in due)


def test_a_session_that_begins(stage, seen):
    stage.begin()
    stage.send()
    stage.frames()
    with Session(stage.world.server, stage.arns["bob"], parameters={"prefetch-on": "connect"}) as session:
        assert session.next() == Event("SESSION_ESTABLISHED", "SYSTEM", None)
        listed = stage.world.messaging.list_channel_memberships_for_app_instance_user(
            ChimeBearer=stage.arns["bob"]
        )
        shown = [session.next() for _ in listed["ChannelMemberships"]]
    assert {event.kind for event in shown} == {"CHANNEL_DETAILS"}
    [details] = [event for event in shown if event.payload["Channel"]["ChannelArn"] == stage.channel]
    memberships = details.payload.pop("ChannelMemberships")
    assert sorted(each["Member"]["Name"] for each in memberships) == ["Ana", "Bob", "Dee"]
    message = stage.message_frame("CREATE", ChannelArn=None, Persistence=None).payload
    assert details == Event(
        "CHANNEL_DETAILS",
        "SYSTEM",
        {
            "Channel": {
                "Name": "Lobby",
                "ChannelArn": stage.channel,
                "Mode": "RESTRICTED",
                "Privacy": "PRIVATE",
                "LastMessageTimestamp": TIME,
            },
            "ChannelMessages": [message],
            "ChannelMessagesHasMore": False,
        },
    )
    seen.update({"SESSION_ESTABLISHED", "CHANNEL_DETAILS"})


def test_the_table_has_every_type(seen):
    assert seen == TYPES
