"""Finds out which functions of a built binary run when a server starts, idles, and does what it mostly does, so that
the linker puts them beside each other. `cargo xtask dist` does so where `valgrind` is installed.

    python3 deploy/order.py BINARY FILE

The system maps a program in pieces of 64 KiB, each of which counts as memory of the process once one instruction of it
ran. What runs is a tenth of the code, and lies in nearly all pieces of it, unless somebody puts it together.

Nothing but Python, `valgrind`, and `nm` of binutils.
"""

import bisect
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from urllib.parse import quote, urlencode

KEY, SECRET = "AKIAORDERORDERORDER0", "order" * 8
REGION = "us-east-1"
START_TIMEOUT_S = 300
SOCKET_TIMEOUT_S = 60
SENDS = 20
# Long enough for what the clock starts.
IDLE_S = 20


class Server:
    """A server under callgrind."""

    def __init__(self, binary: str, folder: Path):
        self.counts = folder / "counts"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        words = ["valgrind", "--tool=callgrind", "--dump-instr=yes", f"--callgrind-out-file={self.counts}", binary]
        words += ["serve", "--data-dir", str(folder / "data"), "--http", self.host, "--https", "127.0.0.1:0"]
        root = {"CARILLON_ROOT_ACCESS_KEY_ID": KEY, "CARILLON_ROOT_SECRET_ACCESS_KEY": SECRET}
        self.process = subprocess.Popen([*words, "--log", "error"], env=os.environ | root)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            assert self.process.poll() is None and time.monotonic() < deadline, "the server does not start"
            time.sleep(0.5)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}/_carillon/health/ready", timeout=10):
                return True
        except OSError:
            return False

    def call(self, method: str, target: str, body: dict | None = None, bearer: str | None = None) -> dict:
        sent = b"" if body is None else json.dumps(body).encode()
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self.host, "x-amz-date": at} | ({"x-amz-chime-bearer": bearer} if bearer else {})
        path, _, query = target.partition("?")
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = [method, quote(path, safe="/~"), query, lines, names, hashlib.sha256(sent).hexdigest()]
        scope, signature = signed(at, "\n".join(canonical))
        words = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
        url = f"http://{self.host}{target}"
        request = urllib.request.Request(url, sent or None, headers | {"authorization": words}, method=method)
        with urllib.request.urlopen(request, timeout=SOCKET_TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"{}")

    def listen(self, user: str) -> socket.socket:
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{KEY}/{at[:8]}/{REGION}/chime/aws4_request",
            "X-Amz-Date": at,
            "X-Amz-Expires": "60",
            "X-Amz-SignedHeaders": "host",
            "sessionId": str(uuid.uuid4()),
            "userArn": user,
        }
        words = urlencode(sorted(query.items()), quote_via=quote, safe="")
        host_line, nothing = f"host:{self.host}\n", hashlib.sha256(b"").hexdigest()
        _, signature = signed(at, "\n".join(["GET", "/connect", words, host_line, "host", nothing]))
        name, port = self.host.split(":")
        opened = socket.create_connection((name, int(port)), timeout=SOCKET_TIMEOUT_S)
        opened.sendall(
            f"GET /connect?{words}&X-Amz-Signature={signature} HTTP/1.1\r\nhost: {self.host}\r\n"
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: b3JkZXJvcmRlcm9yZGVyIQ==\r\n\r\n".encode()
        )
        came = b""
        while b"SESSION_ESTABLISHED" not in came:
            part = opened.recv(4096)
            assert part, came
            came += part
        return opened

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(START_TIMEOUT_S) == 0, "the server did not end well"


def signed(at: str, canonical: str) -> tuple[str, str]:
    scope = f"{at[:8]}/{REGION}/chime/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + SECRET.encode()
    for word in [at[:8], REGION, "chime", "aws4_request"]:
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return f"{KEY}/{scope}", hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def use(server: Server) -> None:
    """What a server mostly does."""

    def post(target: str, body: dict, bearer: str | None = None) -> dict:
        return server.call("POST", target, body | {"ClientRequestToken": str(uuid.uuid4())}, bearer)

    instance = post("/app-instances", {"Name": "Order"})["AppInstanceArn"]
    ana, bob = (
        post("/app-instance-users", {"AppInstanceArn": instance, "AppInstanceUserId": name, "Name": name})[
            "AppInstanceUserArn"
        ]
        for name in ("ana", "bob")
    )
    made = post("/channels", {"AppInstanceArn": instance, "Name": "Lobby", "MemberArns": [bob]}, ana)
    messages = f"/channels/{quote(made['ChannelArn'], safe='')}/messages"
    listening = [server.listen(ana), server.listen(bob)]
    body = {"Content": "x" * 400, "Type": "STANDARD", "Persistence": "PERSISTENT"}
    for _ in range(SENDS):
        sent = post(messages, body, ana)["MessageId"]
    server.call("GET", f"{messages}/{sent}?scope=message-status", bearer=ana)
    server.call("GET", f"{messages}?max-results=50", bearer=bob)
    time.sleep(IDLE_S)
    for opened in listening:
        opened.close()
    urllib.request.urlopen(f"http://{server.host}/_carillon/metrics", timeout=SOCKET_TIMEOUT_S).close()


def ran(counts: Path, binary: str) -> set[int]:
    """The addresses of the instructions that ran, as they stand in the binary."""
    objects: dict[str, str] = {}
    addresses, here, address = set(), False, 0
    with counts.open() as lines:
        for line in lines:
            if named := re.match(r"(c?)ob=\((\d+)\)(?: (.*))?", line):
                called, number, name = named.groups()
                if name:
                    objects[number] = name
                if not called:
                    here = os.path.realpath(objects.get(number, "")) == os.path.realpath(binary)
            elif at := re.match(r"(0x[0-9a-f]+|[+-]\d+|\*) ", line):
                word = at[1]
                address = int(word, 16) if word.startswith("0x") else address + int(word.replace("*", "0"))
                if here:
                    addresses.add(address)
    return addresses


def main() -> None:
    binary, file = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, Path(folder))
        try:
            use(server)
            server.stop()
        finally:
            server.process.kill()
        addresses = ran(server.counts, binary)
    listed = subprocess.run(["nm", "-S", "--defined-only", binary], check=True, capture_output=True, text=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    functions = sorted((int(row[0], 16), int(row[1], 16), row[3]) for row in rows if len(row) == 4 and row[2] in "tTwW")
    starts = [start for start, _, _ in functions]
    run = {bisect.bisect_right(starts, address) - 1 for address in addresses}
    run = sorted(place for place in run if 0 <= place)
    Path(file).write_text("".join(f"{functions[place][2]}\n" for place in run))
    size = sum(functions[place][1] for place in run)
    print(f"{len(run)} of {len(functions)} functions run, {size >> 10} KiB")


main()
