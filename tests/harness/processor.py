"""A processor of channel flows: a small HTTP server that speaks both wires, Lambda's Invoke and the plain one."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from harness.aws import signature_fault

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:moderate"
INVOKE = "/2015-03-31/functions/"
SECRET = "between the two of us"
WAIT_TIMEOUT_S = 60


class Processor:
    """Takes calls, notes them, and hands each to `decide`, which calls back or does not."""

    def __init__(self, decide: Callable[[dict[str, Any]], None] = lambda event: None):
        self.decide = decide
        self.events: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.tokens: list[str | None] = []
        self.status = 202
        self.calls = 0
        self.changed = threading.Condition()
        processor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                processor.check(self.path, self.headers, body)
                status = processor.status
                processor.calls += 1
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                if status < 300:
                    processor.take(json.loads(body))

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self) -> "Processor":
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()
        assert not self.faults, self.faults

    def check(self, path: str, headers, body: bytes) -> None:
        """What is wrong with a call is told at the end, not to the caller."""
        if path.startswith(INVOKE):
            function = unquote(path.removeprefix(INVOKE).split("/invocations")[0])
            if (function, headers["x-amz-invocation-type"]) != (FUNCTION, "Event"):
                self.faults.append(f"{path} {headers['x-amz-invocation-type']}")
            fault = signature_fault("lambda", "POST", path, headers, body, headers["x-amz-security-token"])
            self.tokens.append(headers["x-amz-security-token"])
            if fault:
                self.faults.append(fault)
            return
        signed = headers["x-carillon-timestamp"].encode() + b"." + body
        due = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if headers["x-carillon-signature"] != due:
            self.faults.append("the signature is wrong")

    def take(self, event: dict[str, Any]) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()
        self.decide(event)

    def wait_for(self, condition: Callable[[list[dict[str, Any]]], Any]) -> Any:
        """What the condition makes of the calls so far, once it makes something."""
        with self.changed:
            found = self.changed.wait_for(lambda: condition(self.events), WAIT_TIMEOUT_S)
        assert found, f"{len(self.events)} calls, and not what was waited for"
        return found

    def call_of(self, message_id: str) -> dict[str, Any]:
        """The call about this message."""
        return self.wait_for(
            lambda events: next(
                (event for event in events if event["ChannelMessage"]["MessageId"] == message_id), None
            )
        )


def targets(url: str) -> str:
    """The configuration that leads to a processor."""
    return f'[targets."{FUNCTION}"]\nurl = "{url}"\nsecret = "{SECRET}"\n'


def callback(messaging, event: dict[str, Any], *, deny: bool = False, **changes: Any) -> dict[str, Any]:
    """Answers a call, as a processor's code does."""
    message = event["ChannelMessage"]
    return messaging.channel_flow_callback(
        CallbackId=event["CallbackId"],
        ChannelArn=message["ChannelArn"],
        DeleteResource=deny,
        ChannelMessage={"MessageId": message["MessageId"]} | changes,
    )


def eventually(what: Callable[[], Any], due: Any) -> None:
    """Asks until the answer is what is due."""
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while (answer := what()) != due:
        assert time.monotonic() < deadline, f"{answer}, not {due}"
        time.sleep(0.02)
