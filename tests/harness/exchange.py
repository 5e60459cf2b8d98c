"""Credential exchange, as an application and its clients see it: tokens, the one request, and who signs in."""

import hmac
import http.client
import json
import time
from dataclasses import dataclass

from harness.provider import encode
from harness.raw import Answer
from harness.server import Credentials, Server
from harness.session import Session

CREDS = "/_carillon/creds"
TIMEOUT_S = 30
SECRET = "a secret that only the tests and the application know"


# Tokens.


def part(value: dict) -> str:
    return encode(json.dumps(value).encode())


def claims_of(user: str, **changes) -> dict:
    claims = {"sub": user, "name": user.capitalize(), "exp": int(time.time()) + 600}
    return {name: value for name, value in (claims | changes).items() if value is not None}


def token_of(user: str, secret: str = SECRET, **changes) -> str:
    """What an application signs with the shared secret."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims_of(user, **changes))}"
    return f"{signed}.{encode(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


# Asking.


def ask(server: Server, token: str | None, method: str = "POST", **headers: str) -> Answer:
    """As a browser or a phone asks: no body, nothing signed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=TIMEOUT_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    connection.request(method, CREDS, None, named)
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.close()
    return answer


@dataclass
class Signed:
    """Somebody who has exchanged a token."""

    server: Server
    arn: str
    user_id: str
    name: str
    credentials: Credentials

    @classmethod
    def up(cls, server: Server, token: str | None) -> "Signed":
        answer = ask(server, token)
        assert answer.status == 200, answer.body
        body = json.loads(answer.body)
        assert body.keys() == {"ChimeAppInstanceUserArn", "ChimeUserId", "ChimeDisplayName", "ChimeCredentials"}
        given = body["ChimeCredentials"]
        assert given.keys() == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
        assert given["AccessKeyId"].startswith("ASIA")
        credentials = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        arn, user_id, name = (
            body[key] for key in ("ChimeAppInstanceUserArn", "ChimeUserId", "ChimeDisplayName")
        )
        assert arn.endswith(f"/user/{user_id}")
        return cls(server, arn, user_id, name, credentials)

    def client(self, service: str):
        return self.server.client(service, self.credentials)

    @property
    def messaging(self):
        return self.client("chime-sdk-messaging")

    def socket(self, user: str | None = None) -> Session:
        return Session(self.server, user or self.arn, credentials=self.credentials)
