"""What operators are told: events in the envelope of EventBridge, on a bus, at a URL, or in the log."""

import hashlib
import hmac
import json
import re
from typing import Any

from harness import aws
from harness.aws import check_input, signature_fault
from harness.played import Answer, Played
from harness.processor import FUNCTION, SECRET, eventually
from harness.server import REGION
from harness.world import World, token

FLOWS = f"[flows]\ntries_max = 1\n[targets.\"{FUNCTION}\"]\nurl = 'http://127.0.0.1:9/'\n"
ACCOUNT = "000000000000"


class Bus(Played):
    """EventBridge: takes the entries of PutEvents, but those that it is told to refuse."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.refusals: list[str] = []
        self.status = 200

    def answer(self, method: str, path: str, headers, body: bytes) -> Answer:
        if fault := signature_fault("events", method, path, headers, body):
            self.faults.append(fault)
        if (headers["x-amz-target"], path) != ("AWSEvents.PutEvents", "/"):
            self.faults.append(f"{headers['x-amz-target']} {path}")
        if self.status != 200:
            self.note([])
            return self.status, {}, b""
        entries = json.loads(body)["Entries"]
        if fault := check_input("events", "PutEvents", {"Entries": entries}):
            self.faults.append(fault)
        answers = []
        for entry in entries:
            code = self.refusals.pop(0) if self.refusals else None
            answers.append({"ErrorCode": code, "ErrorMessage": "no"} if code else {"EventId": token()})
            if not code:
                self.note(entry)
        failed = sum("ErrorCode" in answer for answer in answers)
        return 200, {}, json.dumps({"FailedEntryCount": failed, "Entries": answers}).encode()


class Hook(Played):
    """Takes events that are posted, once it is there."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.status = 204

    def answer(self, method: str, path: str, headers, body: bytes) -> Answer:
        signed = headers["x-carillon-timestamp"].encode() + b"." + body
        due = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if (method, path, headers["x-carillon-signature"]) != ("POST", "/events", due):
            self.faults.append(f"{method} {path} {headers['x-carillon-signature']}")
        if self.status == 204:
            self.note(json.loads(body))
        return self.status, {}, b""


class Chat:
    """A channel whose processor cannot be reached, so that each message makes an event."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ana = world.user("ana")
        self.channel = world.channel(self.ana)
        flow = world.flow(fallback="ABORT")
        world.messaging.associate_channel_flow(
            ChannelArn=self.channel, ChannelFlowArn=flow, ChimeBearer=self.ana
        )

    def fail(self) -> str:
        message = self.world.send(self.channel, self.ana)["MessageId"]
        eventually(lambda: self.world.status(self.channel, message, self.ana)["Value"], "FAILED")
        return message

    def detail(self, message: str) -> dict[str, Any]:
        return {
            "eventType": "ProcessorInvocationFailure",
            "appInstanceArn": self.world.app_instance,
            "channelArn": self.channel,
            "messageId": message,
            "processorResourceArn": FUNCTION,
            "failureReason": "not reachable",
        }


def test_events_go_to_a_bus_and_what_it_cannot_take_goes_again(serve):
    with Bus() as bus:
        server = serve(FLOWS + "[events]\nto = 'eventbridge'\n", **aws.environment(EVENTBRIDGE=bus.url))
        chat = Chat(World(server))
        message = chat.fail()
        (entry,) = bus.taken(1)
        assert json.loads(entry["Detail"]) == chat.detail(message)
        assert (entry["DetailType"], entry["Source"]) == ("Chime ChannelFlow Processing Status", "carillon.chime")
        assert entry["EventBusName"] == "default"
        bus.refusals = ["ThrottlingException", "InternalFailure"]
        again = chat.fail()
        assert json.loads(bus.taken(2)[1]["Detail"]) == chat.detail(again)
        # Of what the bus will never take, the operator is told in the log, and the next goes on.
        bus.refusals = ["MalformedDetail"]
        chat.fail()
        eventually(lambda: "MalformedDetail" in server.log.read_text(), True)
        last = chat.fail()
        assert json.loads(bus.taken(3)[2]["Detail"]) == chat.detail(last)


def test_a_bus_may_be_another_and_events_of_an_outage_come_later_over_a_restart(serve):
    other = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/chat"
    with Bus() as bus:
        events = f"[events]\nto = 'eventbridge'\nbus = '{other}'\nsource = 'chat.example'\n"
        server = serve(FLOWS + events, **aws.environment(EVENTBRIDGE=bus.url))
        bus.status = 503
        chat = Chat(World(server))
        messages = [chat.fail() for _ in range(3)]
        bus.taken(1)
        server.kill()
        bus.calls.clear()
        bus.status = 200
        server.start()
        entries = bus.taken(3)
        assert {(entry["EventBusName"], entry["Source"]) for entry in entries} == {(other, "chat.example")}
        assert [json.loads(entry["Detail"])["messageId"] for entry in entries] == messages


def test_events_are_posted_in_the_standard_envelope_and_signed(serve):
    with Hook() as hook:
        hook.status = 500
        server = serve(FLOWS + f"[events]\nto = 'http'\nurl = '{hook.url}/events'\nsecret = '{SECRET}'\n")
        chat = Chat(World(server))
        message = chat.fail()
        hook.status = 204
        (event,) = hook.taken(1)
        assert event.pop("detail") == chat.detail(message)
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event.pop("id"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
        assert event == {
            "version": "0",
            "detail-type": "Chime ChannelFlow Processing Status",
            "source": "aws.chime",
            "account": ACCOUNT,
            "region": REGION,
            "resources": [],
        }
        eventually(lambda: 'carillon_outgoing_delivered_total{consumer="event"} 1' in server.measured(), True)


def test_without_a_word_they_are_in_the_log(serve):
    server = serve(FLOWS)
    chat = Chat(World(server))
    message = chat.fail()
    eventually(lambda: message in server.log.read_text(), True)
    assert "Chime ChannelFlow Processing Status" in server.log.read_text()
