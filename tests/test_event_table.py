"""Every event type that a socket can carry: what triggers it, and which frames each kind of person then gets.

One row, one trigger. Each row has a channel of its own, in which ana created and moderates, bob and dee belong, cy is a
hidden member, eve administers the app instance without belonging, and oz has nothing to do with it. All of them have a
session. In an elastic channel ana and eve are the same, bob and dee share a sub-channel, and cy is in another. A row
says for each of them which frames come, whole; whoever is not named must get none. To add an event type: rows, and its
name in TYPES, which the last test compares with what the rows brought.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from harness.engine import Engine
from harness.processor import Processor, callback, eventually, targets
from harness.server import ACCOUNT, REGION, Server
from harness.session import TIMESTAMP, Event, Session
from harness.world import World, pages, token

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
    "UPDATE_CHANNEL_MEMBERSHIP",
    "DELETE_CHANNEL_MEMBERSHIP",
    "RELOAD_REQUIRED",
}
BOT = "porter"
FORBIDDEN = 4003
ALIAS = f"arn:aws:lex:{REGION}:{ACCOUNT}:bot-alias/ABCDE12345/TSTALIASID"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/chime-messaging-test"
PUSH_APPLICATION = f"arn:aws:mobiletargeting:{REGION}:{ACCOUNT}:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
# A day after it was made, a thing is gone that expires after one.
EXPIRING = {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}
DAY = timedelta(days=1)
# Past this, nothing of the rows before is still to expire, and no processor is still waited for.
LONG = timedelta(days=10)
# How long a processor may take.
SILENCE = timedelta(hours=48, seconds=1)
CONFIGURATION = {
    "MaximumSubChannels": 2,
    "TargetMembershipsPerSubChannel": 2,
    "MinimumMembershipPercentage": 40,
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
    processor: Processor
    arns: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    channel: str = ""
    message: str = ""
    sender: str = "ana"
    flow: str = ""
    elastic: str = ""
    sub_channels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def set(cls, world: World, processor: Processor) -> "Stage":
        stage = cls(world, processor, gone={*PEOPLE, BOT})
        stage.complete()
        return stage

    def complete(self) -> None:
        """Has another in the place of everyone whom a row ended."""
        for name in self.gone:
            if name == BOT:
                arn = self.make_bot()
            else:
                arn = self.world.admin(name) if name == "eve" else self.world.user(name)
                self.own[name] = self.world.channel(arn)
                self.sessions[name] = Session.established(self.world.server, arn)
            self.arns[name], self.names[arn] = arn, name.capitalize()
        self.gone = set()

    def renew(self, *names: str) -> None:
        """Others in their place, who belong to no channel of another row."""
        for name in names:
            if name in self.sessions:
                self.sessions[name].close()
        self.gone |= {*names}
        self.complete()

    def begin(self, **options: Any) -> None:
        self.channel = self.world.channel(self.arns["ana"], self.arns["bob"], self.arns["dee"], **options)
        self.add("cy", kind="HIDDEN")
        self.frames()

    def make_elastic(self, **configuration: int) -> None:
        self.channel = self.elastic = self.world.channel(
            self.arns["ana"], ElasticChannelConfiguration=CONFIGURATION | configuration
        )
        self.sub_channels = {}

    def end_elastic(self) -> None:
        """An app instance may have one."""
        if self.elastic:
            self.world.messaging.delete_channel(ChannelArn=self.elastic, ChimeBearer=self.arns["ana"])
        self.elastic = ""

    def begin_elastic(self) -> None:
        """Two sub-channels: bob and dee in one, cy in the other. ana is moderator, and member of none."""
        self.end_elastic()
        self.make_elastic()
        for name in ("bob", "dee", "cy"):
            self.add(name)
        if self.sub_channels["bob"] != self.sub_channels["dee"]:
            # Where the second goes is the balancer's affair: let two who share a place be bob and dee.
            self.swap("dee", "cy")
        assert len(set(self.sub_channels.values())) == 2
        self.frames()

    def begin_full(self) -> None:
        """One of two sub-channels, full with bob, dee and cy, whom eve let in. ana joined it, too."""
        self.end_elastic()
        self.make_elastic(TargetMembershipsPerSubChannel=3)
        for name in ("bob", "dee", "cy"):
            self.add(name, by="eve")
        self.join("ana", "bob")
        self.frames()

    def leave_bob_alone(self) -> None:
        """In the sub-channel that was full, and has room for two now."""
        for name in ("ana", "cy", "dee"):
            self.remove(name, by="ana")

    def open_another(self) -> None:
        """oz finds all full: one more sub-channel comes into being, and cy follows oz there."""
        self.add("oz")
        eventually(self.sizes, [2, 3])
        [moved] = [name for name in ("bob", "dee", "cy") if self.place(name) == self.sub_channels["oz"]]
        # Who moves is the balancer's affair: let it be cy.
        self.swap(moved, "cy")
        self.sub_channels["cy"] = self.sub_channels["oz"]

    def dissolve(self) -> None:
        """oz leaves, and cy goes back to the others. ana had joined both sub-channels."""
        self.remove("oz", by="ana")
        eventually(self.sizes, [4])

    def swap(self, one: str, other: str) -> None:
        """Two take each other's name."""
        for table in (self.arns, self.own, self.sessions, self.sub_channels):
            table[one], table[other] = table[other], table[one]

    def sizes(self) -> list[int]:
        listed = self.world.messaging.list_sub_channels(
            ChannelArn=self.channel, ChimeBearer=self.arns["ana"]
        )
        return sorted(each["MembershipCount"] for each in listed["SubChannels"])

    def place(self, name: str) -> str:
        described = self.world.messaging.describe_channel_membership(
            ChannelArn=self.channel, MemberArn=self.arns[name], ChimeBearer=self.arns["ana"]
        )
        return described["ChannelMembership"]["SubChannelId"]

    def frames(self) -> dict[str, list[Event]]:
        """What came to each: everything before an event that is made to come last."""
        present = [name for name in PEOPLE if name not in self.gone]
        for name in present:
            self.world.send(self.own[name], self.arns[name], "last")
        return dict.fromkeys(PEOPLE, []) | {name: list(self.before_last(name)) for name in present}

    def before_last(self, name: str) -> Iterator[Event]:
        while True:
            event = self.sessions[name].next()
            if event.payload is not None and event.payload.get("ChannelArn") == self.own[name]:
                return
            yield event

    # What rows do.

    def add(self, name: str, by: str = "ana", kind: str = "DEFAULT", **options: Any) -> None:
        added = self.world.add(self.channel, self.arns[name], by=self.arns[by], kind=kind, **options)
        if "SubChannelId" in added:
            self.sub_channels[name] = added["SubChannelId"]

    def join(self, moderator: str, name: str) -> None:
        """Has a moderator join the sub-channel in which somebody is."""
        self.add(moderator, SubChannelId=self.sub_channels[name])

    def promote(self, name: str) -> None:
        self.on_channel("create_channel_moderator", ChannelModeratorArn=self.arns[name])

    def demote(self, name: str) -> None:
        self.world.messaging.delete_channel_moderator(
            ChannelArn=self.channel, ChannelModeratorArn=self.arns[name], ChimeBearer=self.arns["ana"]
        )

    def remove(self, name: str, by: str) -> None:
        self.world.remove(self.channel, self.arns[name], by=self.arns[by])

    def ban(self, name: str) -> None:
        self.on_channel("create_channel_ban", MemberArn=self.arns[name])

    def batch(self, *names: str, kind: str = "DEFAULT") -> None:
        arns = [self.arns[name] for name in names]
        self.world.messaging.batch_create_channel_membership(
            ChannelArn=self.channel, MemberArns=arns, Type=kind, ChimeBearer=self.arns["ana"]
        )

    def send(self, by: str = "ana", **options: Any) -> None:
        self.sender = by
        self.message = self.world.send(self.channel, self.arns[by], "Lunch?", **options)["MessageId"]

    def sent(self, **options: Any) -> None:
        """Sends, as a beginning."""
        self.send(**options)
        self.frames()

    def say(self, **options: Any) -> None:
        """bob sends in his sub-channel."""
        self.send("bob", **self.here, **options)

    def said(self, **options: Any) -> None:
        """The same, as a beginning."""
        self.say(**options)
        self.frames()

    @property
    def here(self) -> dict[str, str]:
        """What a request about a message says of bob's sub-channel, where the channel has any."""
        return {"SubChannelId": self.sub_channels["bob"]} if self.channel == self.elastic else {}

    def on_message(self, operation: str, by: str = "ana", **options: Any) -> None:
        getattr(self.world.messaging, operation)(
            ChannelArn=self.channel,
            MessageId=self.message,
            ChimeBearer=self.arns[by],
            **self.here,
            **options,
        )

    def on_channel(self, operation: str, by: str = "ana", **options: Any) -> None:
        call = getattr(self.world.messaging, operation)
        call(ChannelArn=self.channel, ChimeBearer=self.arns[by], **options)

    def make_bot(self) -> str:
        created = self.world.identity.create_app_instance_bot(
            AppInstanceArn=self.world.app_instance,
            Name=BOT.capitalize(),
            ClientRequestToken=token(),
            Configuration={"Lex": {"LexBotAliasArn": ALIAS, "LocaleId": "en_US"}},
        )
        return created["AppInstanceBotArn"]

    def end_bot(self) -> None:
        self.world.identity.delete_app_instance_bot(AppInstanceBotArn=self.arns[BOT])
        self.went(BOT)

    def end_user(self, name: str) -> None:
        self.world.identity.delete_app_instance_user(AppInstanceUserArn=self.arns[name])
        self.went(name)

    def went(self, name: str) -> None:
        """Somebody is no more: a session ends and is told of nothing, and a job takes them out of their channels."""
        if name in self.sessions:
            assert self.sessions[name].close_code() == FORBIDDEN
            self.sessions[name].close()
        self.gone.add(name)

        def belongs() -> bool:
            kinds = ["DEFAULT"] if self.channel == self.elastic else ["DEFAULT", "HIDDEN"]
            return self.arns[name] in [arn for kind in kinds for arn in self.members(kind)]

        eventually(belongs, False)

    def members(self, kind: str) -> list[str]:
        listed = pages(
            self.world.messaging.list_channel_memberships,
            "ChannelMemberships",
            ChannelArn=self.channel,
            Type=kind,
            ChimeBearer=self.arns["ana"],
        )
        return [each["Member"]["Arn"] for each in listed]

    def expire(self, name: str) -> None:
        """Somebody is to be gone after a day."""
        self.world.identity.put_app_instance_user_expiration_settings(
            AppInstanceUserArn=self.arns[name], ExpirationSettings=EXPIRING
        )

    def wait(self, time: timedelta) -> None:
        self.world.server.advance(time)

    def wait_long(self) -> None:
        """All that the rows before left to time happens, as a beginning."""
        self.wait(LONG)
        self.frames()

    def make_flow(self, fallback: str = "ABORT") -> None:
        self.flow = self.world.flow(fallback=fallback)

    def flow_on(self, fallback: str = "ABORT") -> None:
        """From here on messages wait for the processor, which takes every call and answers none by itself."""
        self.make_flow(fallback)
        self.on_channel("associate_channel_flow", ChannelFlowArn=self.flow)
        self.frames()

    def begin_flow(self) -> None:
        self.begin()
        self.flow_on()

    def begin_elastic_flow(self) -> None:
        self.begin_elastic()
        self.flow_on()

    def edit(self) -> None:
        self.on_message("update_channel_message", by=self.sender, Content="Dinner?")

    def edited(self, **options: Any) -> None:
        """Sends and edits, as a beginning: the edit waits."""
        if self.channel == self.elastic:
            self.say()
        else:
            self.send(**options)
        self.answer()
        self.edit()
        self.frames()

    def answer(self, *, deny: bool = False, **changes: Any) -> None:
        """Answers the last call about the message."""
        about = [self.processor.call_of(self.message)]
        about += [event for event in self.processor.events if event["ChannelMessage"]["MessageId"] == self.message]
        callback(self.world.messaging, about[-1], deny=deny, **self.here, **changes)

    def unanswered(self, act: Callable[["Stage"], None], due: str = "FAILED") -> None:
        """Does something that the processor refuses to take."""
        self.processor.status = 404
        try:
            act(self)
            eventually(lambda: self.status()["Value"], due)
        finally:
            self.processor.status = 202

    def silence(self) -> None:
        """The processor has been told, and says nothing for as long as it may."""
        self.processor.call_of(self.message)
        self.wait(SILENCE)
        eventually(lambda: self.status()["Value"], "FAILED")

    def status(self) -> dict[str, Any]:
        return self.world.status(self.channel, self.message, self.arns[self.sender], **self.here)

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
        return {"Arn": self.arns[name], "Name": self.names[self.arns[name]]}

    def message_frame(self, verb: str, kind: str = "STANDARD", **members: Any) -> Event:
        payload = {
            "ChannelArn": self.channel,
            "MessageId": self.message,
            "Content": "Lunch?",
            "Type": kind,
            "CreatedTimestamp": TIME,
            "LastUpdatedTimestamp": TIME,
            "Sender": self.person(self.sender),
            "Redacted": False,
            "Persistence": "PERSISTENT",
            "Status": {"Value": "SENT"},
        }
        payload |= self.here | members
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

    def membership_frame(
        self, verb: str, member: str, kind: str = "DEFAULT", by: str = "ana", **members: Any
    ) -> Event:
        payload = {
            "Member": self.person(member),
            "InvitedBy": self.person(by),
            "Type": kind,
            "ChannelArn": self.channel,
            "CreatedTimestamp": TIME,
            "LastUpdatedTimestamp": TIME,
        }
        return Event(f"{verb}_CHANNEL_MEMBERSHIP", "SYSTEM", payload | members)

    def place_frame(self, verb: str, member: str, where: str = "", by: str = "ana") -> Event:
        """About a member of the sub-channel in which they are, or somebody else is."""
        place = self.sub_channels[where or member]
        return self.membership_frame(verb, member, by=by, SubChannelId=place)

    def dissolved_frame(self, member: str, where: str) -> Event:
        event = self.place_frame("DELETE", member, where)
        event.reason = "subchannel_DELETED"
        return event

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
    """Who gets the frames that `frames` makes once `trigger` has happened, and what was there before.

    Those whom `others` names get what it says instead.
    """

    name: str
    trigger: Callable[[Stage], None]
    to: tuple[str, ...]
    frames: Callable[[Stage], list[Event]] = lambda _: []
    before: tuple[Callable[[Stage], None], ...] = (Stage.begin,)
    others: Callable[[Stage], dict[str, list[Event]]] = lambda _: {}


MEMBERS = ("ana", "bob", "cy", "dee")
SEEN = ("ana", "bob", "dee")
NOT_FOUND = {"Value": "FAILED", "Detail": "The processor Moderate could not be called: not found"}


def members_who_join_a_new_channel(stage: Stage) -> list[Event]:
    return [stage.membership_frame("CREATE", name) for name in SEEN]


def targeting(name: str) -> Callable[[Stage], dict[str, list[dict[str, str]]]]:
    """The target of a message, as it is sent and told."""
    return lambda stage: {"Target": [{"MemberArn": stage.arns[name]}]}


to_dee = targeting("dee")
# How an edit of the rows reads.
EDITED = {"Content": "Dinner?", "LastEditedTimestamp": TIME}
PENDING = {"Value": "PENDING"}
DENIED = {"Value": "DENIED"}
UNKEPT = {"Persistence": "NON_PERSISTENT"}
ATTRIBUTES = {"a": {"StringValues": ["b"]}}

MESSAGES = [
    Row("a message", Stage.send, MEMBERS, lambda s: [s.message_frame("CREATE")]),
    Row("a message of a member", lambda s: s.send("bob"), MEMBERS, lambda s: [s.message_frame("CREATE")]),
    Row("a message of a bot", lambda s: s.send(BOT), MEMBERS, lambda s: [s.message_frame("CREATE")],
        (Stage.begin, lambda s: s.add(BOT), Stage.frames)),
    Row("a message with all it can have",
        lambda s: s.send(
            Metadata="m",
            ContentType="text/plain",
            MessageAttributes=ATTRIBUTES,
            PushNotification={"Type": "DEFAULT", "Title": "t", "Body": "b"},
        ),
        MEMBERS,
        lambda s: [
            s.message_frame("CREATE", Metadata="m", ContentType="text/plain", MessageAttributes=ATTRIBUTES)
        ]),
    Row("a message that is not kept", lambda s: s.send(**UNKEPT), MEMBERS,
        lambda s: [s.message_frame("CREATE", **UNKEPT)]),
    Row("a CONTROL message", lambda s: s.send(Type="CONTROL", **UNKEPT), MEMBERS,
        lambda s: [s.message_frame("CREATE", "CONTROL", **UNKEPT)]),
    Row("a CONTROL message that is kept", lambda s: s.send(Type="CONTROL"), MEMBERS,
        lambda s: [s.message_frame("CREATE", "CONTROL")]),
    Row("a targeted message", lambda s: s.send(**to_dee(s)), ("ana", "dee"),
        lambda s: [s.message_frame("CREATE", **to_dee(s))]),
    Row("a targeted CONTROL message", lambda s: s.send(Type="CONTROL", **to_dee(s)), ("ana", "dee"),
        lambda s: [s.message_frame("CREATE", "CONTROL", **to_dee(s))]),
    Row("a message in a channel with an administrator who belongs", Stage.send, (*MEMBERS, "eve"),
        lambda s: [s.message_frame("CREATE")],
        (Stage.begin, lambda s: s.add("eve"), Stage.frames)),
    Row("an edit",
        lambda s: s.on_message("update_channel_message", Content="Dinner?", Metadata="m"),
        MEMBERS,
        lambda s: [s.message_frame("UPDATE", Metadata="m", **EDITED)],
        (Stage.begin, Stage.sent)),
    Row("an edit of a targeted message", Stage.edit, ("ana", "dee"),
        lambda s: [s.message_frame("UPDATE", **EDITED, **to_dee(s))],
        (Stage.begin, lambda s: s.sent(**to_dee(s)))),
    Row("an edit of a CONTROL message", lambda s: s.on_message("update_channel_message", Content="typing"),
        MEMBERS,
        lambda s: [s.message_frame("UPDATE", "CONTROL", Content="typing", LastEditedTimestamp=TIME)],
        (Stage.begin, lambda s: s.sent(Type="CONTROL"))),
    Row("a redaction", lambda s: s.on_message("redact_channel_message"), MEMBERS,
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin, lambda s: s.sent(Metadata="m"))),
    Row("a redaction of what was edited", lambda s: s.on_message("redact_channel_message"), MEMBERS,
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True, LastEditedTimestamp=TIME)],
        (Stage.begin, Stage.sent, Stage.edit, Stage.frames)),
    Row("a redaction of a targeted message", lambda s: s.on_message("redact_channel_message"), ("ana", "dee"),
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True, **to_dee(s))],
        (Stage.begin, lambda s: s.sent(**to_dee(s)))),
    Row("a redaction by a moderator", lambda s: s.on_message("redact_channel_message"), MEMBERS,
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin, lambda s: s.sent(by="bob"))),
    Row("a redaction by an administrator who does not belong",
        lambda s: s.on_message("redact_channel_message", by="eve"), MEMBERS,
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin, Stage.sent)),
    Row("a redaction of a CONTROL message", lambda s: s.on_message("redact_channel_message"), MEMBERS,
        lambda s: [s.message_frame("REDACT", "CONTROL", Content=None, Redacted=True)],
        (Stage.begin, lambda s: s.sent(Type="CONTROL"))),
    Row("a deletion", lambda s: s.on_message("delete_channel_message", by="eve"), MEMBERS,
        lambda s: [s.message_frame("DELETE", Content=None)],
        (Stage.begin, lambda s: s.sent(Metadata="m"))),
    Row("a deletion of a targeted message", lambda s: s.on_message("delete_channel_message", by="eve"),
        ("ana", "dee"),
        lambda s: [s.message_frame("DELETE", Content=None, **to_dee(s))],
        (Stage.begin, lambda s: s.sent(**to_dee(s)))),
    Row("a deletion of a CONTROL message", lambda s: s.on_message("delete_channel_message", by="eve"), MEMBERS,
        lambda s: [s.message_frame("DELETE", "CONTROL", Content=None)],
        (Stage.begin, lambda s: s.sent(Type="CONTROL"))),
]

# A channel with a flow: what it does with a message, its sender alone is told.
FLOWS = [
    Row("a message that waits in a flow", Stage.send, ("ana",),
        lambda s: [s.message_frame("PENDING_CREATE", Status=PENDING)], (Stage.begin_flow,)),
    Row("a targeted message that waits in a flow", lambda s: s.send(**to_dee(s)), ("ana",),
        lambda s: [s.message_frame("PENDING_CREATE", Status=PENDING, **to_dee(s))], (Stage.begin_flow,)),
    Row("a message that is not kept and waits in a flow", lambda s: s.send(**UNKEPT), ("ana",),
        lambda s: [s.message_frame("PENDING_CREATE", Status=PENDING, **UNKEPT)], (Stage.begin_flow,)),
    Row("a message that a flow releases", Stage.answer, MEMBERS, lambda s: [s.message_frame("CREATE")],
        (Stage.begin_flow, Stage.sent)),
    Row("a targeted message that a flow releases", Stage.answer, ("ana", "dee"),
        lambda s: [s.message_frame("CREATE", **to_dee(s))],
        (Stage.begin_flow, lambda s: s.sent(**to_dee(s)))),
    Row("a message that is not kept and a flow releases", Stage.answer, MEMBERS,
        lambda s: [s.message_frame("CREATE", **UNKEPT)],
        (Stage.begin_flow, lambda s: s.sent(**UNKEPT))),
    Row("a message that a flow releases changed", lambda s: s.answer(Content="L***h?", Metadata="m"), MEMBERS,
        lambda s: [s.message_frame("CREATE", Content="L***h?", Metadata="m")],
        (Stage.begin_flow, Stage.sent)),
    Row("a message that a flow denies", lambda s: s.answer(deny=True), ("ana",),
        lambda s: [s.message_frame("DENIED_CREATE", Status=DENIED)],
        (Stage.begin_flow, Stage.sent)),
    Row("a message that is not kept and a flow denies", lambda s: s.answer(deny=True), ("ana",),
        lambda s: [s.message_frame("DENIED_CREATE", Status=DENIED, **UNKEPT)],
        (Stage.begin_flow, lambda s: s.sent(**UNKEPT))),
    Row("a message that fails in a flow", lambda s: s.unanswered(Stage.send), ("ana",),
        lambda s: [
            s.message_frame("PENDING_CREATE", Status=PENDING),
            s.message_frame("FAILED_CREATE", Status=NOT_FOUND),
        ],
        (Stage.begin_flow,)),
    Row("a message that a flow lets through though its processor fails",
        lambda s: s.unanswered(Stage.send, "SENT"),
        ("bob", "cy", "dee"),
        lambda s: [s.message_frame("CREATE")],
        (Stage.begin, lambda s: s.flow_on("CONTINUE")),
        lambda s: {"ana": [s.message_frame("PENDING_CREATE", Status=PENDING), s.message_frame("CREATE")]}),
    Row("a CONTROL message, which no flow sees", lambda s: s.send(Type="CONTROL", **UNKEPT), MEMBERS,
        lambda s: [s.message_frame("CREATE", "CONTROL", **UNKEPT)], (Stage.begin_flow,)),
    Row("an edit that waits in a flow", Stage.edit, ("ana",),
        lambda s: [s.message_frame("PENDING_UPDATE", **EDITED, Status=PENDING)],
        (Stage.begin_flow, Stage.sent, Stage.answer, Stage.frames)),
    Row("an edit that a flow releases", Stage.answer, MEMBERS, lambda s: [s.message_frame("UPDATE", **EDITED)],
        (Stage.begin_flow, Stage.edited, Stage.called)),
    Row("an edit of a targeted message that a flow releases", Stage.answer, ("ana", "dee"),
        lambda s: [s.message_frame("UPDATE", **EDITED, **to_dee(s))],
        (Stage.begin_flow, lambda s: s.edited(**to_dee(s)), Stage.called)),
    Row("an edit that a flow denies", lambda s: s.answer(deny=True), ("ana",),
        lambda s: [s.message_frame("DENIED_UPDATE", **EDITED, Status=DENIED)],
        (Stage.begin_flow, Stage.edited, Stage.called)),
    Row("an edit that fails in a flow", lambda s: s.unanswered(Stage.edit), ("ana",),
        lambda s: [
            s.message_frame("PENDING_UPDATE", **EDITED, Status=PENDING),
            s.message_frame("FAILED_UPDATE", **EDITED, Status=NOT_FOUND),
        ],
        (Stage.begin_flow, Stage.sent, Stage.answer, Stage.frames)),
    Row("an edit of a CONTROL message, which no flow sees",
        lambda s: s.on_message("update_channel_message", Content="typing"), MEMBERS,
        lambda s: [s.message_frame("UPDATE", "CONTROL", Content="typing", LastEditedTimestamp=TIME)],
        (Stage.begin_flow, lambda s: s.sent(Type="CONTROL"))),
    Row("a redaction, which no flow sees", lambda s: s.on_message("redact_channel_message"), MEMBERS,
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin_flow, Stage.sent, Stage.answer, Stage.frames)),
    Row("a deletion, which no flow sees", lambda s: s.on_message("delete_channel_message", by="eve"), MEMBERS,
        lambda s: [s.message_frame("DELETE", Content=None)],
        (Stage.begin_flow, Stage.sent, Stage.answer, Stage.frames)),
]

EXPIRATION = {"ExpirationSettings": {"ExpirationDays": 7, "ExpirationCriterion": "CREATED_TIMESTAMP"}}
CHANNELS = [
    Row("a new name", lambda s: s.on_channel("update_channel", Name="Canteen", Metadata="m"), MEMBERS,
        lambda s: [s.channel_frame("UPDATE", Name="Canteen", Metadata="m")]),
    Row("a new name after a message",
        lambda s: s.on_channel("update_channel", Name="Canteen", Mode="UNRESTRICTED"),
        MEMBERS,
        lambda s: [s.channel_frame("UPDATE", Name="Canteen", Mode="UNRESTRICTED", LastMessageTimestamp=TIME)],
        (Stage.begin, Stage.sent)),
    Row("a new name by an administrator who does not belong",
        lambda s: s.on_channel("update_channel", by="eve", Name="Canteen"), MEMBERS,
        lambda s: [s.channel_frame("UPDATE", Name="Canteen")]),
    Row("an expiration", lambda s: s.on_channel("put_channel_expiration_settings", **EXPIRATION), MEMBERS,
        lambda s: [s.channel_frame("UPDATE", **EXPIRATION)]),
    Row("no expiration any more", lambda s: s.on_channel("put_channel_expiration_settings"), MEMBERS,
        lambda s: [s.channel_frame("UPDATE")],
        (lambda s: s.begin(**EXPIRATION),)),
    Row("a flow", lambda s: s.on_channel("associate_channel_flow", ChannelFlowArn=s.flow), MEMBERS,
        lambda s: [s.channel_frame("UPDATE", ChannelFlowArn=s.flow)],
        (Stage.begin, Stage.make_flow)),
    Row("no flow any more",
        lambda s: s.on_channel("disassociate_channel_flow", ChannelFlowArn=s.flow),
        MEMBERS,
        lambda s: [s.channel_frame("UPDATE")],
        (Stage.begin_flow,)),
    Row("the end of a channel", lambda s: s.on_channel("delete_channel"), MEMBERS,
        lambda s: [s.channel_frame("DELETE")]),
    Row("the end of a channel by an administrator who does not belong",
        lambda s: s.on_channel("delete_channel", by="eve"), MEMBERS,
        lambda s: [s.channel_frame("DELETE", LastMessageTimestamp=TIME)],
        (Stage.begin, Stage.sent)),
]

MEMBERSHIPS = [
    Row("a channel with its first members",
        lambda s: setattr(s, "channel", s.world.channel(s.arns["ana"], s.arns["bob"], s.arns["dee"])),
        SEEN, members_who_join_a_new_channel, ()),
    Row("a channel with moderators who are no members",
        lambda s: setattr(
            s,
            "channel",
            s.world.channel(s.arns["ana"], s.arns["bob"], s.arns["dee"], ModeratorArns=[s.arns["oz"]]),
        ),
        SEEN, members_who_join_a_new_channel, ()),
    Row("a new member", lambda s: s.add("oz"), (*SEEN, "oz"), lambda s: [s.membership_frame("CREATE", "oz")]),
    Row("a new member whom an administrator adds who does not belong", lambda s: s.add("oz", by="eve"),
        (*SEEN, "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", by="eve")]),
    Row("a new member who comes by themselves", lambda s: s.add("oz", by="oz"), (*SEEN, "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", by="oz")],
        (lambda s: s.begin(Mode="UNRESTRICTED", Privacy="PUBLIC"),)),
    Row("a new member who is a bot", lambda s: s.add(BOT), SEEN, lambda s: [s.membership_frame("CREATE", BOT)]),
    Row("a new hidden member", lambda s: s.add("oz", kind="HIDDEN"), ("ana", "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", "HIDDEN")]),
    Row("a new hidden member, beside an administrator who belongs", lambda s: s.add("oz", kind="HIDDEN"),
        ("ana", "eve", "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", "HIDDEN")],
        (Stage.begin, lambda s: s.add("eve", kind="HIDDEN"), Stage.frames)),
    Row("a new hidden member, beside another moderator", lambda s: s.add("oz", kind="HIDDEN"),
        ("ana", "bob", "oz"),
        lambda s: [s.membership_frame("CREATE", "oz", "HIDDEN")],
        (Stage.begin, lambda s: s.promote("bob"))),
    Row("several new members", lambda s: s.batch("eve", "oz"), (*SEEN, "eve", "oz"),
        lambda s: [s.batch_frame("eve", "oz")]),
    Row("several new hidden members", lambda s: s.batch("eve", "oz", kind="HIDDEN"), ("ana", "eve", "oz"),
        lambda s: [s.batch_frame("eve", "oz", kind="HIDDEN")]),
    Row("of several, those who could be added", lambda s: s.batch("bob", "oz"), (*SEEN, "oz"),
        lambda s: [s.batch_frame("oz")]),
    Row("of several, none who could be added", lambda s: s.batch("bob", "dee"), ()),
    Row("a removal", lambda s: s.remove("bob", by="ana"), SEEN, lambda s: [s.membership_frame("DELETE", "bob")]),
    Row("a removal by an administrator who does not belong", lambda s: s.remove("bob", by="eve"), SEEN,
        lambda s: [s.membership_frame("DELETE", "bob")]),
    Row("a leave", lambda s: s.remove("bob", by="bob"), SEEN, lambda s: [s.membership_frame("DELETE", "bob")]),
    Row("a leave of a moderator", lambda s: s.remove("ana", by="ana"), SEEN,
        lambda s: [s.membership_frame("DELETE", "ana")]),
    Row("a removal of a hidden member", lambda s: s.remove("cy", by="ana"), ("ana", "cy"),
        lambda s: [s.membership_frame("DELETE", "cy", "HIDDEN")]),
    Row("a leave of a hidden member", lambda s: s.remove("cy", by="cy"), ("ana", "cy"),
        lambda s: [s.membership_frame("DELETE", "cy", "HIDDEN")]),
    Row("a ban of a member", lambda s: s.ban("bob"), SEEN, lambda s: [s.membership_frame("DELETE", "bob")]),
    Row("a ban of a hidden member", lambda s: s.ban("cy"), ("ana", "cy"),
        lambda s: [s.membership_frame("DELETE", "cy", "HIDDEN")]),
    Row("the end of a user", lambda s: s.end_user("dee"), ("ana", "bob"),
        lambda s: [s.membership_frame("DELETE", "dee")],
        (lambda s: s.renew("dee"), Stage.begin)),
    Row("the end of a user who is a hidden member", lambda s: s.end_user("cy"), ("ana",),
        lambda s: [s.membership_frame("DELETE", "cy", "HIDDEN")],
        (lambda s: s.renew("cy"), Stage.begin)),
    Row("the end of a bot", Stage.end_bot, SEEN, lambda s: [s.membership_frame("DELETE", BOT)],
        (lambda s: s.renew(BOT), Stage.begin, lambda s: s.add(BOT), Stage.frames)),
]

# An elastic channel: what concerns a sub-channel, its members alone are told.
ELASTIC = [
    Row("an elastic channel that is made", Stage.make_elastic, (), before=(Stage.end_elastic, Stage.frames)),
    Row("a message in an elastic channel", Stage.say, ("bob", "dee"), lambda s: [s.message_frame("CREATE")],
        (Stage.begin_elastic,)),
    Row("a message of a moderator who joined", lambda s: s.send("ana", **s.here), ("ana", "bob", "dee"),
        lambda s: [s.message_frame("CREATE")],
        (Stage.begin_elastic, lambda s: s.join("ana", "bob"), Stage.frames)),
    Row("a targeted message in an elastic channel", lambda s: s.say(**to_dee(s)), ("bob", "dee"),
        lambda s: [s.message_frame("CREATE", **to_dee(s))],
        (Stage.begin_elastic, lambda s: s.join("ana", "bob"), Stage.frames)),
    Row("a CONTROL message in an elastic channel", lambda s: s.say(Type="CONTROL", **UNKEPT), ("bob", "dee"),
        lambda s: [s.message_frame("CREATE", "CONTROL", **UNKEPT)],
        (Stage.begin_elastic,)),
    Row("an edit in an elastic channel", Stage.edit, ("bob", "dee"),
        lambda s: [s.message_frame("UPDATE", **EDITED)],
        (Stage.begin_elastic, Stage.said)),
    Row("a redaction in an elastic channel", lambda s: s.on_message("redact_channel_message", by="bob"),
        ("bob", "dee"),
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin_elastic, Stage.said)),
    Row("a redaction by a moderator who did not join", lambda s: s.on_message("redact_channel_message"),
        ("bob", "dee"),
        lambda s: [s.message_frame("REDACT", Content=None, Redacted=True)],
        (Stage.begin_elastic, Stage.said)),
    Row("a deletion in an elastic channel", lambda s: s.on_message("delete_channel_message", by="eve"),
        ("bob", "dee"),
        lambda s: [s.message_frame("DELETE", Content=None)],
        (Stage.begin_elastic, Stage.said)),
    Row("a message that waits in the flow of an elastic channel", Stage.say, ("bob",),
        lambda s: [s.message_frame("PENDING_CREATE", Status=PENDING)],
        (Stage.begin_elastic_flow,)),
    Row("a message that the flow of an elastic channel releases", Stage.answer, ("bob", "dee"),
        lambda s: [s.message_frame("CREATE")],
        (Stage.begin_elastic_flow, Stage.said)),
    Row("a message that the flow of an elastic channel denies", lambda s: s.answer(deny=True), ("bob",),
        lambda s: [s.message_frame("DENIED_CREATE", Status=DENIED)],
        (Stage.begin_elastic_flow, Stage.said)),
    Row("a message that fails in the flow of an elastic channel", lambda s: s.unanswered(Stage.say), ("bob",),
        lambda s: [
            s.message_frame("PENDING_CREATE", Status=PENDING),
            s.message_frame("FAILED_CREATE", Status=NOT_FOUND),
        ],
        (Stage.begin_elastic_flow,)),
    Row("an edit that waits in the flow of an elastic channel", Stage.edit, ("bob",),
        lambda s: [s.message_frame("PENDING_UPDATE", **EDITED, Status=PENDING)],
        (Stage.begin_elastic_flow, Stage.said, Stage.answer, Stage.frames)),
    Row("an edit that the flow of an elastic channel releases", Stage.answer, ("bob", "dee"),
        lambda s: [s.message_frame("UPDATE", **EDITED)],
        (Stage.begin_elastic_flow, Stage.edited, Stage.called)),
    Row("an edit that the flow of an elastic channel denies", lambda s: s.answer(deny=True), ("bob",),
        lambda s: [s.message_frame("DENIED_UPDATE", **EDITED, Status=DENIED)],
        (Stage.begin_elastic_flow, Stage.edited, Stage.called)),
    Row("an edit that fails in the flow of an elastic channel", lambda s: s.unanswered(Stage.edit), ("bob",),
        lambda s: [
            s.message_frame("PENDING_UPDATE", **EDITED, Status=PENDING),
            s.message_frame("FAILED_UPDATE", **EDITED, Status=NOT_FOUND),
        ],
        (Stage.begin_elastic_flow, Stage.said, Stage.answer, Stage.frames)),
    Row("a new name of an elastic channel", lambda s: s.on_channel("update_channel", Name="Stadium"),
        ("bob", "dee", "cy"),
        lambda s: [s.channel_frame("UPDATE", Name="Stadium")],
        (Stage.begin_elastic,)),
    Row("a new name, to a moderator who joined every sub-channel",
        lambda s: s.on_channel("update_channel", Name="Stadium"),
        ("bob", "dee", "cy"),
        lambda s: [s.channel_frame("UPDATE", Name="Stadium")],
        (Stage.begin_elastic, lambda s: s.join("ana", "bob"), lambda s: s.join("ana", "cy"), Stage.frames),
        # Only who moderates is told how the channel is split.
        lambda s: {
            "ana": [s.channel_frame("UPDATE", Name="Stadium", ElasticChannelConfiguration=CONFIGURATION)]
        }),
    Row("a flow of an elastic channel",
        lambda s: s.on_channel("associate_channel_flow", ChannelFlowArn=s.flow),
        ("bob", "dee", "cy"),
        lambda s: [s.channel_frame("UPDATE", ChannelFlowArn=s.flow)],
        (Stage.begin_elastic, Stage.make_flow)),
    Row("an expiration of an elastic channel",
        lambda s: s.on_channel("put_channel_expiration_settings", **EXPIRATION),
        ("bob", "dee", "cy"),
        lambda s: [s.channel_frame("UPDATE", **EXPIRATION)],
        (Stage.begin_elastic,)),
    Row("the end of an elastic channel", Stage.end_elastic, ("bob", "dee", "cy"),
        lambda s: [s.channel_frame("DELETE")],
        (Stage.begin_elastic,)),
    Row("a new member where there is room", lambda s: s.add("oz"), ("cy", "oz"),
        lambda s: [s.place_frame("CREATE", "oz")],
        (Stage.begin_elastic,)),
    # One event for each, as if they came one after the other: oz was not there yet when dee came.
    Row("several new members of an elastic channel", lambda s: s.batch("dee", "oz"), ("bob", "dee"),
        lambda s: [s.place_frame("CREATE", name, "bob") for name in ("dee", "oz")],
        (Stage.begin_full, Stage.leave_bob_alone, Stage.frames),
        lambda s: {"oz": [s.place_frame("CREATE", "oz", "bob")]}),
    Row("a moderator who joins a sub-channel", lambda s: s.join("ana", "bob"), ("ana", "bob", "dee"),
        lambda s: [s.place_frame("CREATE", "ana", "bob")],
        (Stage.begin_elastic,)),
    Row("a moderator who leaves every sub-channel", lambda s: s.remove("ana", by="ana"), ("ana",),
        lambda s: [s.place_frame("DELETE", "ana", where) for where in ("bob", "cy")],
        (Stage.begin_elastic, lambda s: s.join("ana", "bob"), lambda s: s.join("ana", "cy"), Stage.frames),
        lambda s: {name: [s.place_frame("DELETE", "ana", name)] for name in ("bob", "dee", "cy")}),
    Row("a moderator who leaves one sub-channel",
        lambda s: s.world.messaging.delete_channel_membership(
            ChannelArn=s.channel, MemberArn=s.arns["ana"], ChimeBearer=s.arns["ana"], **s.here
        ),
        ("ana", "bob", "dee"),
        lambda s: [s.place_frame("DELETE", "ana", "bob")],
        (Stage.begin_elastic, lambda s: s.join("ana", "bob"), lambda s: s.join("ana", "cy"), Stage.frames)),
    Row("a removal from an elastic channel", lambda s: s.remove("bob", by="ana"), ("bob", "dee"),
        lambda s: [s.place_frame("DELETE", "bob")],
        (Stage.begin_elastic,)),
    Row("a leave of an elastic channel", lambda s: s.remove("bob", by="bob"), ("bob", "dee"),
        lambda s: [s.place_frame("DELETE", "bob")],
        (Stage.begin_elastic,)),
    Row("a ban from an elastic channel", lambda s: s.ban("bob"), ("bob", "dee"),
        lambda s: [s.place_frame("DELETE", "bob")],
        (Stage.begin_elastic,)),
    Row("a member who becomes a moderator", lambda s: s.promote("bob"), ("bob", "dee"),
        lambda s: [s.place_frame("DELETE", "bob")],
        (Stage.begin_elastic,)),
    Row("a moderator no more", lambda s: s.demote("oz"), ("oz", "bob", "dee"),
        lambda s: [s.place_frame("DELETE", "oz", "bob")],
        (Stage.begin_elastic, lambda s: s.promote("oz"), lambda s: s.join("oz", "bob"), Stage.frames)),
    Row("the end of a user in an elastic channel", lambda s: s.end_user("bob"), ("dee",),
        lambda s: [s.place_frame("DELETE", "bob")],
        (lambda s: s.renew("bob"), Stage.begin_elastic)),
    # Nobody else is told that somebody moved: those who stayed get nothing at all.
    Row("a new member where all was full", Stage.open_another, ("oz",),
        lambda s: [s.place_frame("CREATE", "oz")],
        (Stage.begin_full,),
        lambda s: {"cy": [s.place_frame("UPDATE", "cy", by="eve")]}),
    Row("a sub-channel that is dissolved", Stage.dissolve, ("oz",),
        lambda s: [s.place_frame("DELETE", "oz")],
        (Stage.begin_full, Stage.open_another, lambda s: s.join("ana", "oz"), Stage.frames),
        lambda s: {
            "ana": [s.place_frame("DELETE", "oz"), s.dissolved_frame("ana", "oz")],
            "cy": [s.place_frame("DELETE", "oz"), s.place_frame("UPDATE", "cy", "bob", by="eve")],
        }),
]

# What time does. The clock is far ahead then, so these come last.
TIMES = [
    Row("the end of a channel that expires", lambda s: s.wait(DAY), MEMBERS,
        lambda s: [s.channel_frame("DELETE", ExpirationSettings=EXPIRING)],
        (Stage.wait_long, lambda s: s.begin(ExpirationSettings=EXPIRING))),
    Row("the end of a user who expires", lambda s: (s.wait(DAY), s.went("dee")), ("ana", "bob"),
        lambda s: [s.membership_frame("DELETE", "dee")],
        (Stage.wait_long, lambda s: s.renew("dee"), Stage.begin, lambda s: s.expire("dee"))),
    Row("a message about which a processor is silent", Stage.silence, ("ana",),
        lambda s: [s.message_frame("FAILED_CREATE", Status=s.status())],
        (Stage.wait_long, Stage.begin_flow, Stage.sent)),
    Row("an edit about which a processor is silent", Stage.silence, ("ana",),
        lambda s: [s.message_frame("FAILED_UPDATE", **EDITED, Status=s.status())],
        (Stage.wait_long, Stage.begin_flow, Stage.edited, Stage.called)),
]

# What no session is told.
UNTOLD: dict[str, Callable[[Stage], Any]] = {
    "a ban of who does not belong": lambda s: s.ban("oz"),
    "the end of a ban": lambda s: (
        s.ban("oz"),
        s.world.messaging.delete_channel_ban(
            ChannelArn=s.channel, MemberArn=s.arns["oz"], ChimeBearer=s.arns["ana"]
        ),
    ),
    "a moderator": lambda s: s.promote("bob"),
    "a moderator and a member still": lambda s: (s.promote("bob"), s.demote("bob")),
    "a read marker": lambda s: s.on_channel("update_channel_read_marker"),
    "preferences": lambda s: s.on_channel(
        "put_channel_membership_preferences",
        MemberArn=s.arns["ana"],
        Preferences={"PushNotifications": {"AllowNotifications": "NONE"}},
    ),
    "tags": lambda s: s.world.messaging.tag_resource(
        ResourceARN=s.channel, Tags=[{"Key": "a", "Value": "b"}]
    ),
    "a flow that no channel has": Stage.make_flow,
    "a flow that changes and ends": lambda s: (
        s.make_flow(),
        s.world.messaging.update_channel_flow(
            ChannelFlowArn=s.flow,
            Name="Other",
            Processors=s.world.messaging.describe_channel_flow(ChannelFlowArn=s.flow)["ChannelFlow"]["Processors"],
        ),
        s.world.messaging.delete_channel_flow(ChannelFlowArn=s.flow),
    ),
    "another name of the app instance": lambda s: s.world.identity.update_app_instance(
        AppInstanceArn=s.world.app_instance, Name="Other", Metadata="m"
    ),
    "a person who is changed": lambda s: s.world.identity.update_app_instance_user(
        AppInstanceUserArn=s.arns["bob"], Name="Bob", Metadata="m"
    ),
    "a person who is made": lambda s: s.world.user("kim"),
    "an administrator": lambda s: s.world.admin("kim"),
    "a bot": Stage.make_bot,
    "a device": lambda s: s.world.identity.register_app_instance_user_endpoint(
        AppInstanceUserArn=s.arns["bob"],
        Type="APNS_SANDBOX",
        ResourceArn=PUSH_APPLICATION,
        EndpointAttributes={"DeviceToken": "9a0b"},
        ClientRequestToken=token(),
    ),
    "a stream": lambda s: s.world.messaging.put_messaging_streaming_configurations(
        AppInstanceArn=s.world.app_instance,
        StreamingConfigurations=[{"DataType": "Channel", "ResourceArn": STREAM}],
    ),
    "retention": lambda s: s.world.identity.put_app_instance_retention_settings(
        AppInstanceArn=s.world.app_instance,
        AppInstanceRetentionSettings={"ChannelRetentionSettings": {"RetentionDays": 100}},
    ),
}

ROWS = [
    *(MESSAGES + FLOWS + CHANNELS + MEMBERSHIPS + ELASTIC),
    *(Row(name, trigger, ()) for name, trigger in UNTOLD.items()),
    *TIMES,
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
    server = Server(folder, engine, "--test-clock", "--config", str(configuration)).start()
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
    stage.complete()
    for step in row.before:
        step(stage)
    row.trigger(stage)
    came = stage.frames()
    frames = row.frames(stage)
    others = row.others(stage)
    for name in PEOPLE:
        due = others.get(name, frames if name in row.to else [])
        got = came[name]
        if len(due) > 1:
            got = sorted(got, key=lambda event: due.index(event) if event in due else -1)
        assert got == due, name
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
    shown = sorted(each["Member"]["Arn"] for each in memberships)
    assert shown == sorted(stage.arns[name] for name in SEEN)
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


def test_a_session_that_has_to_reload(stage, seen):
    parameters = {"resume-from": "what no server said"}
    with Session(stage.world.server, stage.arns["bob"], parameters=parameters) as session:
        came = [session.next() for _ in range(2)]
    assert came == [Event("SESSION_ESTABLISHED", "SYSTEM", None), Event("RELOAD_REQUIRED", "SYSTEM", None)]
    seen.add("RELOAD_REQUIRED")


def test_the_table_has_every_type(seen):
    assert seen == TYPES
