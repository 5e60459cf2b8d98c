"""Requests without an SDK between: for what an SDK would not send, and for many at once."""

import http.client
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from harness import shapes, sigv4
from harness.server import Credentials, Server

TIMEOUT_S = 30


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self) -> str:
        """The name on which SDKs act, once the whole error has the one shape of all errors."""
        name = self.headers["x-amzn-errortype"]
        assert name, (self.status, self.body)
        assert self.headers["x-amzn-requestid"], "no request id"
        shapes.check_error_body(name, self.body)
        return name

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return self.json["Message"]


class Connection:
    """One connection that is kept open; it signs as the given credentials."""

    def __init__(self, server: Server, credentials: Credentials | None = None):
        self.host = server.host
        self.credentials = credentials or server.credentials
        self.http = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=TIMEOUT_S)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.http.close()

    def call(
        self,
        method: str,
        target: str,
        body: Any = b"",
        *,
        bearer: str | None = None,
        at: datetime | None = None,
        host: str | None = None,
        sent_body: bytes | None = None,
    ) -> Answer:
        """Signs and sends; `sent_body` goes out in the place of what was signed."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        extra = {"content-type": "application/json"} if payload else {}
        if bearer is not None:
            extra["x-amz-chime-bearer"] = bearer
        headers = sigv4.headers_for(self.credentials, method, target, host or self.host, payload, at, extra)
        return self.send(method, target, payload if sent_body is None else sent_body, headers)

    def send(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        self.http.request(method, target, body or None, headers or {})
        response = self.http.getresponse()
        return Answer(response.status, response.headers, response.read())


def messages_of(channel: str) -> str:
    """The path of a channel's messages, as SDKs write it."""
    return f"/channels/{quote(channel, safe='')}/messages"
