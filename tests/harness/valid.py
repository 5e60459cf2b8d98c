"""Valid requests of every operation, as bytes: made from the model of the two services, about what a world holds.

Beside the 81 operations: actions of IAM and STS by the Query protocol, the admission to sockets, a preflight.
"""

import hashlib
import json
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

from harness import sigv4
from harness.furnished import POLICY, TRUST
from harness.processor import FUNCTION
from harness.server import REGION, Credentials
from harness.world import World, token

API = Path(__file__).parent.parent.parent / "spec" / "api.json"
TEXTS = (
    "ab",
    "arn:aws:lambda:us-east-1:000000000000:function:moderate",
    "arn:aws:lex:us-east-1:000000000000:bot-alias/ABCDE12345/TSTALIASID",
    "arn:aws:mobiletargeting:us-east-1:000000000000:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "arn:aws:kinesis:us-east-1:000000000000:stream/chime-messaging-x",
    "en_US",
    "a" * 64,
)
ACTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("sts", {"Action": "GetCallerIdentity"}),
    ("sts", {"Action": "AssumeRole", "RoleArn": "arn:aws:iam::000000000000:role/r", "RoleSessionName": "s"}),
    ("sts", {"Action": "AssumeRoleWithWebIdentity", "RoleArn": "arn:aws:iam::000000000000:role/r"}
     | {"RoleSessionName": "s", "WebIdentityToken": "e30.e30.e30"}),
    ("iam", {"Action": "ListUsers", "MaxItems": "10", "PathPrefix": "/"}),
    ("iam", {"Action": "GetUser", "UserName": "nobody"}),
    ("iam", {"Action": "CreatePolicy", "PolicyName": "p", "PolicyDocument": POLICY}),
    ("iam", {"Action": "PutUserPolicy", "UserName": "nobody", "PolicyName": "p", "PolicyDocument": POLICY}),
    ("iam", {"Action": "UpdateAssumeRolePolicy", "RoleName": "nobody", "PolicyDocument": TRUST}),
    ("iam", {"Action": "TagUser", "UserName": "nobody", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v"}),
    ("iam", {"Action": "CreateOpenIDConnectProvider", "Url": "https://idp.example.com", "ClientIDList.member.1": "a"}),
)  # fmt: skip


@dataclass
class Request:
    """What is signed, and then sent."""

    name: str
    method: str
    path: str
    query: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    # A structure is JSON.
    body: Any = b""
    service: str = sigv4.SERVICE
    is_signed: bool = True

    @property
    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    @property
    def target(self) -> str:
        return self.path + ("?" + "&".join(self.query) if self.query else "")

    def sign(self, credentials: Credentials, host: str) -> list[tuple[str, str]]:
        """All headers, the signature among them; of two of one name the first is signed."""
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = [("host", host), ("x-amz-date", time), *self.headers]
        if not self.is_signed:
            return headers
        first = {name.lower(): value.strip() for name, value in reversed(headers)}
        names = ";".join(sorted(first))
        canonical = "\n".join(
            [
                self.method,
                quote_from_bytes(self.path.encode("latin-1", "replace"), safe="/~"),
                "&".join(sorted(pair if "=" in pair else pair + "=" for pair in self.query if pair)),
                "".join(f"{name}:{first[name]}\n" for name in sorted(first)),
                names,
                hashlib.sha256(self.payload).hexdigest(),
            ]
        )
        scope = f"{time[:8]}/{REGION}/{self.service}/aws4_request"
        signature = sigv4.sign(credentials, time, scope, canonical)
        credential = f"Credential={credentials.access_key_id}/{scope}"
        words = f"{sigv4.ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
        return [*headers, ("authorization", words)]


class Requests:
    """Makes them about a world of its own, which they may alter."""

    def __init__(self, world: World):
        ana, bob = world.user("ana"), world.user("bob")
        world.identity.create_app_instance_admin(AppInstanceAdminArn=ana, AppInstanceArn=world.app_instance)
        channel = world.channel(ana, bob)
        self.credentials, self.host = world.server.credentials, world.server.host
        self.known = {
            "AppInstanceArn": world.app_instance,
            "AppInstanceAdminArn": bob,
            "AppInstanceUserArn": bob,
            "ChannelArn": channel,
            "ChannelFlowArn": world.flow(FUNCTION),
            "ChannelModeratorArn": bob,
            "ChimeBearer": ana,
            "MemberArn": bob,
            "MemberArns": [bob],
            "MessageId": world.send(channel, ana)["MessageId"],
            "ResourceARN": bob,
        }
        self.operations = [
            (name, operation, service["shapes"])
            for service in json.loads(API.read_text()).values()
            for name, operation in service["operations"].items()
        ]

    def any(self, chosen: random.Random) -> Request:
        """Any request; nine in ten of them are of operations."""
        other = chosen.randrange(20)
        if other == 0:
            service, form = chosen.choice(ACTIONS)
            pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in form.items())
            kind = ("content-type", "application/x-www-form-urlencoded")
            return Request(form["Action"], "POST", "/", [], [kind], pairs.encode(), service)
        if other == 1:
            parameters = {"userArn": self.known["ChimeBearer"], "sessionId": token()}
            target = sigv4.connect_target(self.credentials, self.host, parameters)
            path, _, query = target.partition("?")
            upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
            key = [("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")]
            return Request("connect", "GET", path, query.split("&"), upgrade + key, is_signed=False)
        name, operation, shapes = chosen.choice(self.operations)
        return self.of(name, operation, shapes, chosen)

    def of(self, name: str, operation: dict[str, Any], shapes: dict[str, Any], chosen: random.Random) -> Request:
        path, _, query = operation["uri"].partition("?")
        request = Request(name, operation["method"], path, query.split("&") if query else [])
        body: dict[str, Any] = {}
        shape = shapes[operation["input"]]
        for member, kind in shape["members"].items():
            if member not in shape["required"] and member != "ChimeBearer" and chosen.random() < 0.6:
                continue
            value = self.value(member, shapes[kind["shape"]], shapes, chosen)
            wire, text = kind.get("wire", member), value if isinstance(value, str) else json.dumps(value)
            match kind.get("in"):
                case "uri":
                    request.path = request.path.replace(f"{{{wire}}}", quote(text, safe=""))
                case "querystring" | "query":
                    request.query.append(f"{wire}={quote(text, safe='')}")
                case "header":
                    request.headers.append((wire, text))
                case _:
                    body[wire] = value
        if body:
            request.body = body
            request.headers.append(("content-type", "application/json"))
        return request

    def value(self, name: str, shape: dict[str, Any], shapes: dict[str, Any], chosen: random.Random) -> Any:
        if name in self.known:
            return self.known[name]
        match shape["type"]:
            case "structure":
                members = shape["members"].items()
                wanted = [pair for pair in members if pair[0] in shape["required"] or chosen.random() < 0.7]
                return {
                    member: self.value(member, shapes[kind["shape"]], shapes, chosen) for member, kind in wanted
                }
            case "list":
                return [self.value(name, shapes[shape["member"]], shapes, chosen)] * max(1, shape.get("min", 1))
            case "map":
                return {"k": self.value(name, shapes[shape["value"]], shapes, chosen)}
            case "integer":
                return shape.get("min", 1)
            case "timestamp":
                return 1_768_478_400
            case "boolean":
                return True
        if "enum" in shape:
            return chosen.choice(shape["enum"])
        if name == "ClientRequestToken":
            return token()
        return text_of(shape)


def text_of(shape: dict[str, Any]) -> str:
    """A text that keeps to the pattern and the length, where one of ours does."""
    for text in (TEXTS[0] * max(1, shape.get("min", 0) // 2), *TEXTS):
        if re.fullmatch(shape.get("pattern", ".*"), text, re.DOTALL):
            return text
    return TEXTS[0]
