"""Builders of what a test needs, through the public API alone."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from harness.processor import FUNCTION
from harness.server import Server


class World:
    """A fresh app instance of a server, so that tests that share the server do not see each other."""

    def __init__(self, server: Server):
        self.server = server
        self.messaging = server.messaging
        self.identity = server.identity
        created = self.identity.create_app_instance(Name="Test", ClientRequestToken=token())
        self.app_instance: str = created["AppInstanceArn"]

    def user(self, name: str) -> str:
        """A user whose id begins with the name and whose name is capitalized."""
        created = self.identity.create_app_instance_user(
            AppInstanceArn=self.app_instance,
            AppInstanceUserId=f"{name}-{uuid.uuid4().hex[:8]}",
            Name=name.capitalize(),
            ClientRequestToken=token(),
        )
        return created["AppInstanceUserArn"]

    def users(self, *names: str) -> list[str]:
        return [self.user(name) for name in names]

    def admin(self, name: str) -> str:
        user = self.user(name)
        self.identity.create_app_instance_admin(AppInstanceAdminArn=user, AppInstanceArn=self.app_instance)
        return user

    def channel(self, creator: str, *members: str, **options: Any) -> str:
        """A private, restricted channel unless the options say otherwise."""
        if members:
            options["MemberArns"] = list(members)
        created = self.messaging.create_channel(
            **{
                "AppInstanceArn": self.app_instance,
                "Name": "Lobby",
                "ClientRequestToken": token(),
                "ChimeBearer": creator,
            }
            | options
        )
        return created["ChannelArn"]

    def flow(
        self, function: str = FUNCTION, fallback: str = "CONTINUE", processor: str = "Moderate", **options: Any
    ) -> str:
        """A channel flow of one processor."""
        only = {
            "Name": processor,
            "Configuration": {"Lambda": {"ResourceArn": function, "InvocationType": "ASYNC"}},
            "ExecutionOrder": 1,
            "FallbackAction": fallback,
        }
        created = self.messaging.create_channel_flow(
            **{
                "AppInstanceArn": self.app_instance,
                "Name": "Flow",
                "Processors": [only],
                "ClientRequestToken": token(),
            }
            | options
        )
        return created["ChannelFlowArn"]

    def add(
        self, channel: str, member: str, by: str, kind: str = "DEFAULT", **options: Any
    ) -> dict[str, Any]:
        return self.messaging.create_channel_membership(
            ChannelArn=channel, MemberArn=member, Type=kind, ChimeBearer=by, **options
        )

    def remove(self, channel: str, member: str, by: str) -> None:
        self.messaging.delete_channel_membership(ChannelArn=channel, MemberArn=member, ChimeBearer=by)

    def send(self, channel: str, sender: str, content: str = "hello", **options: Any) -> dict[str, Any]:
        return self.messaging.send_channel_message(
            **{
                "ChannelArn": channel,
                "Content": content,
                "Type": "STANDARD",
                "Persistence": "PERSISTENT",
                "ClientRequestToken": token(),
                "ChimeBearer": sender,
            }
            | options
        )

    def messages(self, channel: str, reader: str, **options: Any) -> list[dict[str, Any]]:
        """All messages that the reader sees, newest first unless asked otherwise."""
        return pages(
            self.messaging.list_channel_messages,
            "ChannelMessages",
            ChannelArn=channel,
            ChimeBearer=reader,
            **options,
        )

    def contents(self, channel: str, reader: str, **options: Any) -> list[str]:
        """Their contents."""
        return [message["Content"] for message in self.messages(channel, reader, **options)]

    def status(self, channel: str, message_id: str, asker: str, **options: Any) -> dict[str, Any]:
        answer = self.messaging.get_channel_message_status(
            ChannelArn=channel, MessageId=message_id, ChimeBearer=asker, **options
        )
        return answer["Status"]


def token() -> str:
    return str(uuid.uuid4())


def pages(call, key: str, **arguments: Any) -> list[Any]:
    """Walks a list to its end by NextToken."""
    items: list[Any] = []
    while True:
        page = call(**arguments)
        size = len(page[key])
        assert size <= arguments.get("MaxResults", 50), f"a page of {size}"
        items += page[key]
        if "NextToken" not in page:
            return items
        arguments["NextToken"] = page["NextToken"]


@contextmanager
def refused(*names: str) -> Iterator[None]:
    """What is inside must be refused with one of these exceptions."""
    names = tuple(f"{name}Exception" for name in names)
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in names, f"{code}, not {' or '.join(names)}: {error.response['Error']['Message']}"
        return
    raise AssertionError(f"not refused, {' or '.join(names)} was due")
