"""Push notifications by Pinpoint's SendMessages, each call held against the service's model, and its signature against
botocore's: what AWS itself calls, for whoever still has a push application there."""

import json

from harness import aws
from harness.aws import check_input, signature_fault
from harness.played import Answer, Played
from harness.processor import eventually
from harness.push import APPLICATION, UNMAPPED
from harness.server import Server
from harness.world import World, token

NOTIFICATION = {"Title": "Build room", "Body": "the build is green", "Type": "DEFAULT"}
ID, GONE_ID = (arn.rpartition("/")[2] for arn in (APPLICATION, UNMAPPED))


class Pinpoint(Played):
    """Takes messages for its application; what it says of an address is as it was told."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.outcomes: dict[str, tuple[str, int]] = {}

    def answer(self, method: str, path: str, headers, body: bytes) -> Answer:
        if fault := signature_fault("mobiletargeting", method, path, headers, body):
            self.faults.append(fault)
        id = path.removeprefix("/v1/apps/").removesuffix("/messages")
        if id == GONE_ID:
            self.note({"gone": True})
            return 404, {"x-amzn-errortype": "NotFoundException"}, b'{"Message":"Resource not found"}'
        given = {"ApplicationId": id, "MessageRequest": json.loads(body)}
        if fault := check_input("pinpoint", "SendMessages", given):
            self.faults.append(fault)
        if (method, id) != ("POST", ID):
            self.faults.append(f"{method} {path}")
        self.note(given["MessageRequest"])
        result = {}
        for address in given["MessageRequest"]["Addresses"]:
            status, code = self.outcomes.get(address, ("SUCCESSFUL", 200))
            result[address] = {"DeliveryStatus": status, "StatusCode": code, "StatusMessage": "said"}
        return 200, {}, json.dumps({"ApplicationId": ID, "RequestId": token(), "Result": result}).encode()


def sent_to(calls: list[dict], address: str) -> list[dict]:
    return [call for call in calls if address in call.get("Addresses", {})]


def test_devices_are_notified_by_pinpoint_and_the_dead_are_left_alone(engine, tmp_path):
    config = tmp_path / "carillon.toml"
    config.write_text("".join(f'[push."{arn}"]\npinpoint = true\n' for arn in (APPLICATION, UNMAPPED)))
    with Pinpoint() as pinpoint:
        server = Server(tmp_path, engine, "--config", str(config), **aws.environment(PINPOINT=pinpoint.url)).start()
        try:
            world = World(server)
            ana, *others = world.users("ana", "apple", "android", "dead", "orphan")

            def register(user: str, kind: str, arn: str = APPLICATION) -> str:
                return world.identity.register_app_instance_user_endpoint(
                    AppInstanceUserArn=user,
                    Type=kind,
                    ResourceArn=arn,
                    EndpointAttributes={"DeviceToken": user.rpartition("/")[2]},
                    ClientRequestToken=token(),
                )["EndpointId"]

            kinds = ("APNS_SANDBOX", "GCM", "GCM", "APNS")
            arns = (APPLICATION, APPLICATION, APPLICATION, UNMAPPED)
            endpoints = {
                user: register(user, kind, arn) for user, kind, arn in zip(others, kinds, arns, strict=True)
            }
            apple, android, dead, orphan = (user.rpartition("/")[2] for user in others)
            pinpoint.outcomes = {dead: ("PERMANENT_FAILURE", 410), android: ("THROTTLED", 429)}
            channel = world.channel(ana, *others)
            message = world.send(channel, ana, "green", PushNotification=NOTIFICATION)["MessageId"]
            pinpoint.wait_for(lambda calls: sent_to(calls, apple) and len(sent_to(calls, android)) > 1)
            pinpoint.outcomes.pop(android)
            [to_apple] = sent_to(pinpoint.calls, apple)
            assert to_apple["Addresses"] == {apple: {"ChannelType": "APNS_SANDBOX"}}
            content = to_apple["MessageConfiguration"]["APNSMessage"]
            assert (content["Title"], content["Body"]) == (NOTIFICATION["Title"], NOTIFICATION["Body"])
            assert content["Data"] == {"chime.message_id": message, "chime.channel_arn": channel}
            assert list(sent_to(pinpoint.calls, android)[0]["MessageConfiguration"]) == ["GCMMessage"]

            def state(user: str) -> dict:
                return world.identity.describe_app_instance_user_endpoint(
                    AppInstanceUserArn=user, EndpointId=endpoints[user]
                )["AppInstanceUserEndpoint"]["EndpointState"]

            eventually(lambda: state(others[2]), {"Status": "INACTIVE", "StatusReason": "INVALID_DEVICE_TOKEN"})
            eventually(lambda: state(others[3]), {"Status": "INACTIVE", "StatusReason": "INVALID_PINPOINT_ARN"})
            assert state(others[0]) == state(others[1]) == {"Status": "ACTIVE"}
            world.send(channel, ana, "and again", PushNotification=NOTIFICATION)
            pinpoint.wait_for(lambda calls: len(sent_to(calls, apple)) == 2)
            assert len(sent_to(pinpoint.calls, dead)) == 1
            assert sum("gone" in call for call in pinpoint.calls) == 1
        finally:
            server.stop()
