"""Hostile connections of each kind beside signed sends: what the senders and the memory notice. Not part of CI.

    python load/strangers.py --bin target/release/carillon [--connections 2000] [--rate 500] [--seconds 15]

Both sides run on this machine, so compare a line only with the quiet one of the same run. The hostile side has what
processor time the others leave (nice 19), because a stranger brings a machine of its own. The hostile connections come
from other loopback addresses than the senders: `--addresses 1` is one attacker, more are many. Whoever is closed comes
back after a second. A kind's line has the senders' p50 and p99 and their ratio to the quiet line, what failed of the
sends, and how far the server's resident memory rose above its idle. Before each kind stands "elsewhere": the same
attack on a second server of this machine, which says what of the ratio is the machine's, and not the server's.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import uuid
from multiprocessing import Event, Process
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.engine import ENGINES
from harness.server import Server
from harness.world import World

SENDERS = 16
COME_BACK_S = 1.0
BODY_BYTES = 1024 * 1024
PARAMETERS = 524_288 // 2


async def non_reader(reader, writer, port) -> None:
    """Asks and asks, and never reads."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n" * 50
    writer.transport.pause_reading()
    while True:
        writer.write(request)
        await writer.drain()
        await asyncio.sleep(0.05)


async def big_body(reader, writer, port) -> None:
    """Sends a body that nobody signed."""
    head = f"POST /channels HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    writer.write(head.encode())
    for _ in range(BODY_BYTES // 65_536):
        writer.write(b"x" * 65_536)
        await writer.drain()
    await reader.read(4096)


async def slow_head(reader, writer, port) -> None:
    """A byte a second."""
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ")
    while True:
        await writer.drain()
        await asyncio.sleep(1)
        writer.write(b"x")


async def huge_form(reader, writer, port) -> None:
    """A form of a great many parameters, that nobody signed."""
    form = b"a=b&" * (PARAMETERS // 2)
    head = f"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(form)}\r\n\r\n"
    writer.write(head.encode())
    for start in range(0, len(form), 65_536):
        writer.write(form[start : start + 65_536])
        await writer.drain()
    await reader.read(4096)


async def silent(reader, writer, port) -> None:
    """Says nothing."""
    await reader.read(1)


KINDS = {kind.__name__: kind for kind in (non_reader, big_body, slow_head, huge_form, silent)}


def attack(name: str, port: int, count: int, addresses: int, stop) -> None:
    """A process that keeps so many hostile connections."""
    os.nice(19)

    async def one(number: int) -> None:
        source = f"127.0.{1 + number % addresses // 250}.{2 + number % addresses % 250}"
        await asyncio.sleep(number / count * COME_BACK_S)
        while not stop.is_set():
            try:
                opening = asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                reader, writer = await asyncio.wait_for(opening, 5)
                try:
                    await KINDS[name](reader, writer, port)
                finally:
                    writer.transport.abort()
            except (OSError, TimeoutError):
                pass
            await asyncio.sleep(COME_BACK_S)

    async def everyone() -> None:
        tasks = [asyncio.create_task(one(number)) for number in range(count)]
        while not stop.is_set():
            await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()

    asyncio.run(everyone())


async def send_all(server: Server, channels: list[tuple[str, str]], rate: int, seconds: float):
    """Sends at a rate over a few connections; each send's time counts from when it was due."""
    host, credentials = server.host, server.credentials
    due: asyncio.Queue = asyncio.Queue()
    times, failed = [], 0

    async def sender(user: str, channel: str) -> None:
        nonlocal failed
        reader = writer = None
        target = f"/channels/{quote(channel, safe='')}/messages"
        while (at := await due.get()) is not None:
            body = {"Content": "x" * 100, "Type": "STANDARD", "Persistence": "PERSISTENT"}
            payload = json.dumps(body | {"ClientRequestToken": uuid.uuid4().hex}).encode()
            headers = sigv4.headers_for(
                credentials, "POST", target, host, payload, None, {"x-amz-chime-bearer": user}
            )
            lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            head = "\r\n".join([*lines, f"content-length: {len(payload)}", "", ""]).encode()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
                writer.write(head + payload)
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                length = next(
                    int(line.split(b":")[1])
                    for line in answer.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                failed += b" 201 " not in answer.split(b"\r\n")[0]
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                failed += 1
                writer = None
            times.append(time.perf_counter() - at)

    tasks = [asyncio.create_task(sender(*pair)) for pair in channels]
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        at = began + number / rate
        if 0 < (wait := at - time.perf_counter()):
            await asyncio.sleep(wait)
        due.put_nowait(at)
    for _ in tasks:
        due.put_nowait(None)
    await asyncio.gather(*tasks)
    return times, failed


def resident_mb(server: Server) -> float:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(server, channels, rate, seconds) -> tuple[float, float, int, float]:
    async def watched():
        most, done = resident_mb(server), asyncio.Event()

        async def watch():
            nonlocal most
            while not done.is_set():
                most = max(most, resident_mb(server))
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        times, failed = await send_all(server, channels, rate, seconds)
        done.set()
        await watching
        return times, failed, most

    times, failed, most = asyncio.run(watched())
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1000, cuts[98] * 1000, failed, most


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bin", default=os.environ.get("CARILLON_BIN"))
    options.add_argument("--connections", type=int, default=2_000)
    options.add_argument("--addresses", type=int, default=1)
    options.add_argument("--rate", type=int, default=500)
    options.add_argument("--seconds", type=float, default=15)
    options.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    given = options.parse_args()
    os.environ["CARILLON_BIN"] = os.path.abspath(given.bin)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), ENGINES["sqlite"](), "--limits-preset", "off").start()
        (second := Path(folder) / "elsewhere").mkdir()
        elsewhere = Server(second, ENGINES["sqlite"](), "--limits-preset", "off").start()
        try:
            world = World(server)
            users = [world.user(f"u{number}") for number in range(SENDERS)]
            channels = [(user, world.channel(user)) for user in users]
            measure(server, channels, given.rate, 3)
            idle = resident_mb(server)
            quiet = measure(server, channels, given.rate, given.seconds)
            form = "{:<12} {:>9} {:>9} {:>7} {:>7} {:>12}"
            print(form.format("kind", "p50 ms", "p99 ms", "ratio", "failed", "MB over idle"))

            def show(name, measured):
                p50, p99, failed, most = measured
                ratio = f"{p99 / quiet[1]:.2f}"
                print(form.format(name, f"{p50:.1f}", f"{p99:.1f}", ratio, failed, f"{most - idle:.0f}"), flush=True)

            show("quiet", quiet)
            attacks = [(kind, target) for kind in given.kinds for target in (elsewhere, server)]
            for name, target in attacks:
                stop = Event()
                hostile = Process(
                    target=attack, args=(name, target.http_port, given.connections, given.addresses, stop)
                )
                hostile.start()
                time.sleep(2 * COME_BACK_S)
                try:
                    measured = measure(server, channels, given.rate, given.seconds)
                    show("elsewhere" if target is elsewhere else name, measured)
                finally:
                    stop.set()
                    hostile.join(10)
                    if hostile.is_alive():
                        hostile.kill()
            show("quiet again", measure(server, channels, given.rate, given.seconds))
        finally:
            server.stop()
            elsewhere.stop()


if __name__ == "__main__":
    main()
