"""Sends malformed requests, many at once, and reads what comes back as strictly as the answers to good ones."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field

from harness.malformed import Sent, malformed
from harness.server import Server
from harness.valid import Requests
from harness.world import World

AT_ONCE = 16
# Some requests delete what the others are about.
WORLD_LASTS = 200
# What is not framed as it should be may be waited for: after this the rest of it does not come.
GRACE_S = 0.2
# What the system takes in before anybody reads.
UNREAD_BYTES_MAX = 60_000
# A message that is whole is answered, however busy the machine is.
DEADLINE_S = 60
# What HTTP itself answers, where it could not read a request to the end of its head.
OF_HTTP = (400, 408, 413, 414, 431, 501, 505)


@dataclass
class Unruly:
    """What became of them."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        answers = ", ".join(f"{name} {count}" for name, count in sorted(self.answers.items()))
        return f"{sum(self.answers.values())} malformed requests: {answers}; {len(self.wrong)} wrong"


def send_all(server: Server, seed: int, count: int, first: int = 0) -> Unruly:
    """Sends so many of this seed; one after the other they stand in the list of what was wrong."""
    return asyncio.run(send(server, seed, range(first, first + count)))


async def send(server: Server, seed: int, numbers: range) -> Unruly:
    unruly, left, worlds = Unruly(), iter(numbers), {}

    def requests(number: int) -> Requests:
        """About a world that few before it have altered."""
        block = number // WORLD_LASTS
        if block not in worlds:
            worlds[block] = Requests(World(server))
        return worlds[block]

    async def worker() -> None:
        for number in left:
            sent = malformed(requests(number), seed, number)
            try:
                unruly.answers[await outcome(server.http_port, sent)] += 1
            except AssertionError as error:
                unruly.answers["wrong"] += 1
                unruly.wrong.append(f"seed {seed}, {sent.words}: {error}\n  {sent.bytes[:1500]!r}")

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    text = server.log.read_text(errors="replace")
    if "panicked" in text:
        at = text.index("panicked")
        unruly.wrong.append(f"the log tells of a panic: {text[max(0, at - 500) : at + 1500]}")
    if server.process is None or server.process.poll() is not None:
        unruly.wrong.append("the server has ended")
    return unruly


async def outcome(port: int, sent: Sent) -> str:
    """The status that was answered, or that the connection was closed; refuses whatever else may be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        try:
            writer.write(sent.bytes)
            await writer.drain()
        except ConnectionError:
            pass  # It was answered before it was read to its end.
        received = await receive(reader, writer, sent)
    finally:
        writer.transport.abort()
    answer = final(received, sent.method)
    if answer is None:
        # Who still sends when the door is closed may lose the answer on the way.
        is_long = UNREAD_BYTES_MAX < len(sent.bytes)
        assert not sent.is_whole or is_long, f"closed without an answer: {received[:500]!r}"
        return "closed"
    check(*answer, sent)
    return str(answer[0])


async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent) -> bytes:
    received, is_ended = b"", sent.is_whole
    while True:
        try:
            piece = await asyncio.wait_for(reader.read(65_536), DEADLINE_S if is_ended else GRACE_S)
        except ConnectionError:
            return received
        except TimeoutError:
            assert not is_ended, f"neither an answer nor an end: {received[:500]!r}"
            is_ended = True
            if writer.can_write_eof():
                writer.write_eof()
            continue
        received += piece
        if not piece or final(received, sent.method):
            return received


def final(received: bytes, method: str) -> tuple[int, dict[str, str], bytes] | None:
    """The first answer that is none of those that only announce another, once all of it is there."""
    while True:
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end:
            return None
        lines = head.decode("latin-1").split("\r\n")
        version, _, words = lines[0].partition(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0") and words[:3].isdigit(), f"no answer of HTTP: {head[:200]!r}"
        status = int(words[:3])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if status in (100, 102, 103):
            received = rest
            continue
        if status == 101 or method == "HEAD" or status in (204, 304):
            return status, headers, b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return (status, headers, rest) if rest.endswith(b"0\r\n\r\n") else None
        assert "content-length" in headers, f"an answer of no length: {head!r}"
        length = int(headers["content-length"])
        return (status, headers, rest[:length]) if length <= len(rest) else None


def check(status: int, headers: dict[str, str], body: bytes, sent: Sent) -> None:
    """Whether an answer is one of the protocol's own."""
    assert status < 500, f"status {status}: {body[:500]!r}"
    if status < 400:
        return
    if "x-amzn-requestid" not in headers:
        # The head was no request yet, so nothing of ours has seen it.
        assert status in OF_HTTP and body == b"", f"status {status} by nobody: {headers} {body[:300]!r}"
        assert not sent.is_whole or status in (400, 414, 431), f"status {status} of HTTP itself"
        return
    if sent.method == "HEAD":
        return
    if "xml" in headers.get("content-type", ""):
        assert all(part in body for part in (b"<ErrorResponse", b"<Code>", b"<Message>")), body[:300]
        return
    assert headers.get("x-amzn-errortype"), f"status {status} without a type: {headers} {body[:300]!r}"
    error = json.loads(body)
    assert error.keys() == {"Code", "Message"} and error["Code"] and error["Message"], error
