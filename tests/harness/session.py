"""One WebSocket, opened as the SDKs open theirs, each frame read strictly."""

import json
import re
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import Close
from websockets.sync.client import connect

from harness import sigv4
from harness.server import Credentials, Server

TIMEOUT_S = 10
# How often somebody to whom nothing comes looks whether it is over.
NOTHING_FOR_S = 0.5
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass
class Event:
    kind: str
    message_type: str
    payload: dict[str, Any] | None
    reason: str | None = None
    id: str | None = field(default=None, compare=False)


class Session:
    """Closed at the end of a `with`; `established` has read the first frame. `last` is the id of the last event."""

    def __init__(
        self,
        server: Server,
        user: str | None,
        *,
        tls: bool = False,
        credentials: Credentials | None = None,
        at: datetime | None = None,
        tamper: bool = False,
        parameters: dict[str, str] | None = None,
    ):
        host = server.public_host if tls else server.host
        parameters = {"sessionId": str(uuid.uuid4())} | (parameters or {})
        parameters |= {"userArn": user} if user is not None else {}
        target = sigv4.connect_target(credentials or server.credentials, host, parameters, at)
        if tamper:
            target = target[:-1] + ("1" if target.endswith("0") else "0")
        context = ssl.create_default_context(cafile=server.ca) if tls else None
        if context:
            # This client reads and writes in two threads, which Python's TLS does not allow before 3.13: what TLS 1.3
            # sends after its handshake then swallows the request, once in some hundred times. Others speak 1.3.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        scheme = "wss" if tls else "ws"
        url = f"{scheme}://{host}{target}"
        self.opened = connect(url, ssl=context, open_timeout=TIMEOUT_S, close_timeout=TIMEOUT_S, proxy=None)
        self.socket = self.opened.__enter__()
        self.last: str | None = None

    @classmethod
    def established(cls, server: Server, user: str, **how) -> "Session":
        session = cls(server, user, **how)
        first = session.next()
        assert first == Event("SESSION_ESTABLISHED", "SYSTEM", None), first
        return session

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)

    def next(self, timeout_s: float = TIMEOUT_S) -> Event:
        event = event_of(self.socket.recv(timeout=timeout_s))
        self.last = event.id or self.last
        return event

    def next_of(self, kind: str) -> dict[str, Any]:
        """The payload of the next event, which must be of this kind."""
        event = self.next()
        assert event.kind == kind, event
        assert event.payload is not None, event
        return event.payload

    def close_code(self) -> int:
        """Reads to the close; the frames before it must be none."""
        return self.close_frame().code

    def close_frame(self) -> Close:
        """The code and the reason of the close, before which there must be no frame."""
        try:
            frame = self.socket.recv(timeout=TIMEOUT_S)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the connection was lost without a close frame"
            return closed.rcvd
        raise AssertionError(f"a frame where a close was due: {frame!r}")


def returning(
    server: Server, user: str, until: threading.Event, reopen_after_s: float, opened: Callable[[], None]
) -> Iterator[Event]:
    """What comes to somebody who opens one session after the other, each from where the one before it ended."""
    last, name = None, str(uuid.uuid4())
    while not until.is_set():
        parameters = {"sessionId": name} | ({"resume-from": last} if last else {})
        try:
            session = Session.established(server, user, parameters=parameters)
        except (OSError, WebSocketException, AssertionError):
            time.sleep(reopen_after_s)
            continue
        opened()
        try:
            while not until.is_set():
                try:
                    event = session.next(NOTHING_FOR_S)
                except TimeoutError:
                    continue
                yield event
        except ConnectionClosed:
            pass
        last = session.last or last
        session.close()


def event_of(frame: str | bytes) -> Event:
    assert isinstance(frame, str), "a binary frame"
    envelope = json.loads(frame)
    assert envelope.keys() - {"Payload"} == {"Headers"}, envelope
    headers = envelope["Headers"]
    assert headers.keys() - {"x-amz-chime-event-reason", "x-carillon-event-id"} == {
        "x-amz-chime-event-type",
        "x-amz-chime-message-type",
    }, headers
    # All but what is read rather than told.
    is_event = headers["x-amz-chime-event-type"] not in ("CHANNEL_DETAILS", "UPDATE_CHANNEL_READ_MARKER")
    assert ("x-carillon-event-id" in headers) == is_event, headers
    assert all(isinstance(value, str) for value in headers.values()), headers
    payload = None
    if "Payload" in envelope:
        assert isinstance(envelope["Payload"], str), envelope
        payload = json.loads(envelope["Payload"])
        check_payload(payload, headers["x-amz-chime-event-type"])
    reason = headers.get("x-amz-chime-event-reason")
    return Event(
        headers["x-amz-chime-event-type"],
        headers["x-amz-chime-message-type"],
        payload,
        reason,
        headers.get("x-carillon-event-id"),
    )


def check_payload(value: Any, where: str) -> None:
    """No null anywhere, and every timestamp in the one form that phones parse."""
    assert value is not None, f"{where} is null"
    if isinstance(value, dict):
        for name, member in value.items():
            check_payload(member, f"{where}.{name}")
            if name.endswith("Timestamp"):
                assert TIMESTAMP.fullmatch(member), f"{where}.{name} is {member!r}"
    if isinstance(value, list):
        for place, item in enumerate(value):
            check_payload(item, f"{where}[{place}]")
