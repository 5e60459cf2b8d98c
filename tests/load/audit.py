"""Tries to do something without a line in the audit log, and to push lines out of it. Not part of CI; `test_audit.py`
runs a short form of both.

    CARILLON_BIN=… python load/audit.py sqlite --seconds 60

First 200 writes whose client hangs up within three milliseconds: as many lines as writes that stand. Then unsigned
requests with 13 KB of text, as fast as one client can, while signed writes go on: none of the signed lines is lost,
though the files of the log have room for a fraction of what the strangers sent.
"""

import argparse
import json
import socket
import struct
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import sigv4
from harness.engine import ENGINES
from harness.raw import Connection
from harness.server import Server

HANG_UPS = 200
HANG_UP_S = 0.003
FILE_BYTES_MAX = 256 * 1024
FILES_MAX = 4
STRANGERS_TEXT = "x" * 6_000


def audited(folder: Path, engine, **settings: int) -> Server:
    """A server that keeps an audit log in its folder."""
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    configuration = folder / "carillon.toml"
    configuration.write_text(f"[audit]\nfile = '{folder / 'audit.log'}'\n{lines}")
    return Server(folder, engine, "--config", str(configuration))


def lines(folder: Path, *, of_strangers: bool = False) -> list[dict]:
    """The lines of a server that has stopped, of all files that are left."""
    name = "audit.log.unsigned" if of_strangers else "audit.log"
    numbered = [path for path in folder.glob(f"{name}*") if path.name[len(name) :].lstrip(".").isdigit()]
    numbered.sort(key=lambda path: -int(path.suffix[1:]))
    files = [*numbered, *(path for path in [folder / name] if path.exists())]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def create(door: Connection, instance: str, name: str) -> int:
    body = {"AppInstanceArn": instance, "AppInstanceUserId": name, "Name": name}
    return door.call("POST", "/app-instance-users", body | {"ClientRequestToken": str(uuid.uuid4())}).status


def new_instance(server: Server) -> str:
    return server.identity.create_app_instance(Name="Audit", ClientRequestToken=str(uuid.uuid4()))["AppInstanceArn"]


def hang_up(server: Server, instance: str, number: int) -> None:
    """Asks for a user and is gone, with a reset, before the answer can have come."""
    body = json.dumps(
        {
            "AppInstanceArn": instance,
            "AppInstanceUserId": f"gone-{number}",
            "Name": "gone",
            "ClientRequestToken": str(uuid.uuid4()),
        }
    ).encode()
    headers = sigv4.headers_for(server.credentials, "POST", "/app-instance-users", server.host, body)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST /app-instance-users HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", server.http_port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(request)
        time.sleep(HANG_UP_S * (number % 10) / 10)


def users_of(server: Server, instance: str) -> set[str]:
    found, more = set(), {}
    while True:
        page = server.identity.list_app_instance_users(AppInstanceArn=instance, MaxResults=50, **more)
        found |= {user["AppInstanceUserArn"] for user in page["AppInstanceUsers"]}
        if "NextToken" not in page:
            return found
        more = {"NextToken": page["NextToken"]}


def hang_ups(server: Server, count: int) -> tuple[set[str], set[str]]:
    """Writes whose client hangs up: those that stand, and those that have a line that says so. Stops the server."""
    instance = new_instance(server)
    for number in range(count):
        hang_up(server, instance, number)
    # A server that has stopped has done what it accepted, and has written all lines.
    server.stop()
    server.start()
    standing = users_of(server, instance)
    server.stop()
    told = [line for line in lines(server.folder) if line["action"] == "chime:CreateAppInstanceUser"]
    return standing, {line["resources"]["AppInstanceUserArn"] for line in told if line["result"] == "OK"}


def strangers(server: Server, until: float) -> int:
    """Unsigned requests as fast as one client can, on a new connection where the server ends one; answers how many were
    answered."""
    target = f"/channels/{quote('arn:aws:chime:' + STRANGERS_TEXT[:1_500], safe='')}?x={STRANGERS_TEXT}"
    head = f"DELETE {target} HTTP/1.1\r\nhost: {server.host}\r\nx-amz-chime-bearer: arn:{STRANGERS_TEXT}\r\n\r\n"
    count = 0
    while time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", server.http_port)) as client:
            answers = client.makefile("rb")
            try:
                while time.monotonic() < until:
                    client.sendall(head.encode())
                    length = 0
                    assert answers.readline().startswith(b"HTTP/1.1 403"), "the server ends the connection"
                    while (line := answers.readline()) != b"\r\n":
                        length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length") else length
                    answers.read(length)
                    count += 1
            except (OSError, AssertionError):
                continue
    return count


def flood(server: Server, seconds: float, writes_max: int) -> tuple[int, set[str], set[str]]:
    """Signed writes while strangers ask without a signature. Answers how many of those there were, which users were
    made, and which have a line. Stops the server."""
    instance, made = new_instance(server), set()
    until, count = time.monotonic() + seconds, [0]
    stranger = threading.Thread(target=lambda: count.__setitem__(0, strangers(server, until)))
    stranger.start()
    with Connection(server) as door:
        while time.monotonic() < until and len(made) < writes_max:
            name = f"u{len(made)}"
            assert create(door, instance, name) == 201
            made.add(f"{instance}/user/{name}")
            time.sleep(seconds / writes_max / 2)
    stranger.join()
    server.stop()
    told = {line["resources"].get("AppInstanceUserArn") for line in lines(server.folder)}
    return count[0], made, told & made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    engine = ENGINES[options.engine]()
    with tempfile.TemporaryDirectory() as folder:
        standing, told = hang_ups(audited(Path(folder), engine).start(), HANG_UPS)
        print(f"{HANG_UPS} clients hung up: {len(standing)} writes stand, {len(told)} have a line")
        assert standing == told, "writes without a line"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        server = audited(place, engine, file_bytes_max=FILE_BYTES_MAX, files_max=FILES_MAX).start()
        # So many that their lines have room in the files.
        count, made, told = flood(server, options.seconds, FILE_BYTES_MAX * (FILES_MAX - 2) // 1_024)
        unsigned = lines(place, of_strangers=True)
        print(f"{count} unsigned requests in {options.seconds:.0f} s have {len(unsigned)} lines")
        print(f"{len(made)} signed writes meanwhile, {len(told)} have a line")
        assert made == told


if __name__ == "__main__":
    main()
