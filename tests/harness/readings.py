"""Every answer of every read operation, so that two servers can be held against each other."""

import json
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from harness.server import Server

READS = ("Describe", "Get", "List", "Search")
# They answer what is of a server, and not of what it holds.
OF_THE_SERVER = {"GetMessagingSessionEndpoint"}


class Readings:
    """What a server answers: everything about everything, asked by root, and by each user what only they may see."""

    # Of so many messages one is asked for by itself; all of them are in the lists.
    step = 1

    def __init__(self, server: Server):
        self.answers: dict[str, Any] = {}
        self.asked: set[str] = set()
        self.messaging = server.messaging
        self.identity = server.identity
        self.iam = server.client("iam")

    @classmethod
    def of(cls, server: Server, instances: list[str]) -> dict[str, Any]:
        readings = cls(server)
        readings.read_account()
        for instance in instances:
            readings.read_instance(instance)
        readings.check_coverage()
        return readings.answers

    @classmethod
    def of_instance(cls, server: Server, instance: str) -> dict[str, Any]:
        readings = cls(server)
        readings.read_instance(instance)
        return readings.answers

    def ask(self, client: Any, operation: str, **arguments: Any) -> dict[str, Any]:
        """The whole of an answer, all its pages, or the code of a refusal."""
        self.asked.add(operation)
        answer: dict[str, Any] = {}
        given = dict(arguments)
        while True:
            try:
                page = getattr(client, xform_name(operation))(**given)
            except ClientError as error:
                answer = {"refused": error.response["Error"]["Code"]}
                break
            page.pop("ResponseMetadata")
            following = page.pop("NextToken", None) or page.pop("Marker", None)
            page.pop("IsTruncated", None)
            for name, value in page.items():
                answer[name] = answer[name] + value if isinstance(answer.get(name), list) else value
            if following is None:
                break
            given["Marker" if client is self.iam else "NextToken"] = following
        self.answers[f"{operation} {json.dumps(arguments, sort_keys=True)}"] = answer
        return answer

    def check_coverage(self) -> None:
        models = (self.messaging.meta.service_model, self.identity.meta.service_model)
        reads = {name for model in models for name in model.operation_names if name.startswith(READS)}
        assert reads - OF_THE_SERVER <= self.asked, reads - OF_THE_SERVER - self.asked

    # The account.

    def read_account(self) -> None:
        self.ask(self.identity, "ListAppInstances")
        for policy in self.ask(self.iam, "ListPolicies", Scope="Local").get("Policies", []):
            arn = {"PolicyArn": policy["Arn"]}
            self.ask(self.iam, "GetPolicy", **arn)
            self.ask(self.iam, "ListPolicyTags", **arn)
            for version in self.ask(self.iam, "ListPolicyVersions", **arn).get("Versions", []):
                self.ask(self.iam, "GetPolicyVersion", **arn, VersionId=version["VersionId"])
        for user in self.ask(self.iam, "ListUsers").get("Users", []):
            name = {"UserName": user["UserName"]}
            for operation in ("GetUser", "ListAccessKeys", "ListAttachedUserPolicies", "ListUserTags"):
                self.ask(self.iam, operation, **name)
            for policy in self.ask(self.iam, "ListUserPolicies", **name).get("PolicyNames", []):
                self.ask(self.iam, "GetUserPolicy", **name, PolicyName=policy)
        for role in self.ask(self.iam, "ListRoles").get("Roles", []):
            name = {"RoleName": role["RoleName"]}
            for operation in ("GetRole", "ListAttachedRolePolicies", "ListRoleTags"):
                self.ask(self.iam, operation, **name)
            for policy in self.ask(self.iam, "ListRolePolicies", **name).get("PolicyNames", []):
                self.ask(self.iam, "GetRolePolicy", **name, PolicyName=policy)
        providers = self.ask(self.iam, "ListOpenIDConnectProviders").get("OpenIDConnectProviderList", [])
        for provider in providers:
            self.ask(self.iam, "GetOpenIDConnectProvider", OpenIDConnectProviderArn=provider["Arn"])

    # An app instance.

    def read_instance(self, instance: str) -> None:
        of = {"AppInstanceArn": instance}
        self.ask(self.identity, "DescribeAppInstance", **of)
        self.ask(self.identity, "GetAppInstanceRetentionSettings", **of)
        self.ask(self.messaging, "GetMessagingStreamingConfigurations", **of)
        self.tags(self.identity, instance)
        for admin in self.ask(self.identity, "ListAppInstanceAdmins", **of)["AppInstanceAdmins"]:
            self.ask(self.identity, "DescribeAppInstanceAdmin", AppInstanceAdminArn=admin["Admin"]["Arn"], **of)
        bots = self.ask(self.identity, "ListAppInstanceBots", **of)["AppInstanceBots"]
        for bot in bots:
            self.ask(self.identity, "DescribeAppInstanceBot", AppInstanceBotArn=bot["AppInstanceBotArn"])
            self.tags(self.identity, bot["AppInstanceBotArn"])
        users = [
            user["AppInstanceUserArn"]
            for user in self.ask(self.identity, "ListAppInstanceUsers", **of)["AppInstanceUsers"]
        ]
        for user in users:
            self.read_user(user)
        everybody = users + [bot["AppInstanceBotArn"] for bot in bots]
        channels = self.ask_channels(instance, everybody)
        for flow in self.ask(self.messaging, "ListChannelFlows", **of)["ChannelFlows"]:
            arn = {"ChannelFlowArn": flow["ChannelFlowArn"]}
            self.ask(self.messaging, "DescribeChannelFlow", **arn)
            self.ask(self.messaging, "ListChannelsAssociatedWithChannelFlow", **arn)
            self.tags(self.messaging, flow["ChannelFlowArn"])
        for channel in sorted(channels):
            self.read_channel(channel, everybody)

    def read_user(self, user: str) -> None:
        of = {"AppInstanceUserArn": user}
        self.ask(self.identity, "DescribeAppInstanceUser", **of)
        self.tags(self.identity, user)
        listed = self.ask(self.identity, "ListAppInstanceUserEndpoints", **of)
        for endpoint in listed["AppInstanceUserEndpoints"]:
            self.ask(
                self.identity, "DescribeAppInstanceUserEndpoint", EndpointId=endpoint["EndpointId"], **of
            )

    def ask_channels(self, instance: str, everybody: list[str]) -> set[str]:
        found: set[str] = set()
        for user in everybody:
            bearer = {"ChimeBearer": user}
            for privacy in ("PUBLIC", "PRIVATE"):
                listed = self.ask(
                    self.messaging, "ListChannels", AppInstanceArn=instance, Privacy=privacy, **bearer
                )
                found |= {channel["ChannelArn"] for channel in listed.get("Channels", [])}
            mine = self.ask(self.messaging, "ListChannelMembershipsForAppInstanceUser", **bearer)
            found |= {one["ChannelSummary"]["ChannelArn"] for one in mine.get("ChannelMemberships", [])}
            moderated = self.ask(self.messaging, "ListChannelsModeratedByAppInstanceUser", **bearer)
            found |= {one["ChannelSummary"]["ChannelArn"] for one in moderated.get("Channels", [])}
            field = {"Key": "MEMBERS", "Values": [user], "Operator": "INCLUDES"}
            self.ask(self.messaging, "SearchChannels", Fields=[field], **bearer)
        return found

    def read_channel(self, channel: str, everybody: list[str]) -> None:
        self.tags(self.messaging, channel)
        for user in everybody:
            at = {"ChannelArn": channel, "ChimeBearer": user}
            self.ask(self.messaging, "DescribeChannel", **at)
            self.ask(self.messaging, "ListChannelModerators", **at)
            self.ask(self.messaging, "DescribeChannelModerator", ChannelModeratorArn=user, **at)
            for one in self.ask(self.messaging, "ListChannelBans", **at).get("ChannelBans", []):
                self.ask(self.messaging, "DescribeChannelBan", MemberArn=one["Member"]["Arn"], **at)
            of_user = {"AppInstanceUserArn": user, **at}
            self.ask(self.messaging, "DescribeChannelMembershipForAppInstanceUser", **of_user)
            self.ask(self.messaging, "DescribeChannelModeratedByAppInstanceUser", **of_user)
            listed = self.ask(self.messaging, "ListSubChannels", **at).get("SubChannels", [])
            for place in [{}, *({"SubChannelId": one["SubChannelId"]} for one in listed)]:
                self.read_place(at | place, user)

    def read_place(self, at: dict[str, Any], user: str) -> None:
        for kind in ("DEFAULT", "HIDDEN"):
            self.ask(self.messaging, "ListChannelMemberships", Type=kind, **at)
        self.ask(self.messaging, "DescribeChannelMembership", MemberArn=user, **at)
        if "SubChannelId" not in at:
            self.ask(self.messaging, "GetChannelMembershipPreferences", MemberArn=user, **at)
        listed = self.ask(self.messaging, "ListChannelMessages", **at).get("ChannelMessages", [])
        for message in listed[:: self.step]:
            of = {"MessageId": message["MessageId"], **at}
            self.ask(self.messaging, "GetChannelMessage", **of)
            if message["Sender"]["Arn"] == user:
                self.ask(self.messaging, "GetChannelMessageStatus", **of)

    def tags(self, client: Any, resource: str) -> None:
        self.ask(client, "ListTagsForResource", ResourceARN=resource)


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What two servers answer differently, for people."""
    keys = sorted(one.keys() | other.keys())
    return [f"{key}\n  {one.get(key)}\n  {other.get(key)}" for key in keys if one.get(key) != other.get(key)]
