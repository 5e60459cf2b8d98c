"""What a server holds of memory, as the system counts it, file pages aside: within bounds that the tests' builds keep,
which are the least frugal. `docs/performance-memory.md` has the figures of those that are handed out."""

import socket
import ssl
from pathlib import Path

import pytest

from harness import sigv4
from harness.server import Server
from harness.world import World

SOCKETS = 600
# Those that come first: what a server allocates once is not a socket's.
FIRST = 100
# A plain one is a third of it in builds that are handed out, and one under TLS two thirds.
KIB_EACH_MAX = {False: 12, True: 20}
# A server that does nothing holds a quarter of it.
KIB_AT_START_MAX = 48 * 1024


@pytest.fixture
def frugal(serve) -> Server:
    return serve("[limits]\npreset = \"off\"\nconnections_per_user_max = 1000\n")


def test_a_server_that_does_nothing_holds_little(frugal):
    assert held_kib(frugal) < KIB_AT_START_MAX


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_socket_that_does_nothing_costs_little(frugal, tls):
    world = World(frugal)
    user = world.user("ana")
    opened = [open_socket(frugal, user, tls) for _ in range(FIRST)]
    before = held_kib(frugal)
    opened += [open_socket(frugal, user, tls) for _ in range(SOCKETS - FIRST)]
    each = (held_kib(frugal) - before) / (SOCKETS - FIRST)
    for one in opened:
        one.close()
    assert each < KIB_EACH_MAX[tls]


def held_kib(server: Server) -> int:
    """What the kernel counts as the server's own."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not say what a process holds")


def open_socket(server: Server, user: str, tls: bool) -> socket.socket:
    """A WebSocket, up to its first frame, without the threads of a client."""
    host = server.public_host if tls else server.host
    name = str(open_socket.__dict__.setdefault("next", 0))
    open_socket.next += 1
    target = sigv4.connect_target(server.credentials, host, {"sessionId": name, "userArn": user}, expires_s=60)
    opened = socket.create_connection(("127.0.0.1", server.https_port if tls else server.http_port), timeout=30)
    if tls:
        context = ssl.create_default_context(cafile=server.ca)
        opened = context.wrap_socket(opened, server_hostname=host.partition(":")[0])
    opened.sendall(
        f"GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: bWVtb3J5bWVtb3J5bWVtbw==\r\n\r\n".encode()
    )
    came = b""
    while b"SESSION_ESTABLISHED" not in came:
        part = opened.recv(4096)
        assert part, came
        came += part
    return opened
