"""Sends on many connections at once, from one thread that takes little of the machine: requests are signed before, and
of an answer only its end is looked for."""

import json
import selectors
import socket
import uuid
from collections.abc import Callable, Iterable

from harness import sigv4
from harness.raw import messages_of
from harness.server import Server

READ_BYTES = 64 * 1024
END_OF_HEAD = b"\r\n\r\n"


def signed(server: Server, sender: str, channel: str, body: dict[str, object], count: int) -> list[bytes]:
    """Sends of a message, each with a token of its own."""
    requests = []
    target = messages_of(channel)
    for _ in range(count):
        payload = json.dumps(body | {"ClientRequestToken": str(uuid.uuid4())}).encode()
        extra = {"content-type": "application/json", "x-amz-chime-bearer": sender}
        headers = sigv4.headers_for(server.credentials, "POST", target, server.host, payload, None, extra)
        lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [f"content-length: {len(payload)}", "", ""]
        requests.append("\r\n".join(lines).encode() + payload)
    return requests


class Sender:
    """One connection, which sends the next when the one before was answered."""

    def __init__(self, server: Server, requests: Iterable[bytes]):
        self.door = socket.create_connection(("127.0.0.1", server.http_port))
        self.door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = iter(requests)
        self.got = b""

    def send(self) -> bool:
        """Whether there was another."""
        request = next(self.left, None)
        if request is not None:
            self.door.sendall(request)
        return request is not None

    def read(self) -> bool:
        """Whether an answer is whole now."""
        self.got += self.door.recv(READ_BYTES)
        head, found, body = self.got.partition(END_OF_HEAD)
        if not found:
            return False
        assert head.startswith(b"HTTP/1.1 201 "), self.got
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.split(b"\r\n")[0]):
            return False
        self.got = b""
        return True


def send_all(senders: list[Sender], is_over: Callable[[], bool] = lambda: False) -> int:
    """Has all of them send until none has anything left, or it is over; answers how many were answered."""
    answered = 0
    with selectors.DefaultSelector() as ready:
        for sender in senders:
            ready.register(sender.door, selectors.EVENT_READ, sender)
            sender.send()
        while ready.get_map():
            for key, _ in ready.select():
                sender = key.data
                if not sender.read():
                    continue
                answered += 1
                if is_over() or not sender.send():
                    ready.unregister(sender.door)
    for sender in senders:
        sender.door.close()
    return answered
