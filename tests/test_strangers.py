"""Strangers: what they can take from everybody else, which is little; and whom the server takes them for."""

import http.client
import json
import os
import resource
import socket
import ssl
import stat
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from harness import sigv4
from harness.engine import ENGINES
from harness.raw import Connection
from harness.server import Server, binary, free_ports
from harness.session import Session
from harness.world import World, token
from test_dev import Dev
from test_front_door import read_answer

ENDPOINT = "/endpoints/messaging-session"
ELSEWHERE = "127.0.0.2"
DEADLINE_S = 20
STRANGERS = 300
OPEN_FILES = 256


@pytest.fixture
def door(tmp_path):
    """Starts a server with this `carillon.toml`; nothing here depends on the engine."""
    started = []

    def start(text: str = "", *flags: str) -> Server:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        config = folder / "carillon.toml"
        config.write_text(text)
        started.append(Server(folder, ENGINES["sqlite"](), "--config", str(config), *flags))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()


def connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.http_port), DEADLINE_S, (source, 0))


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed, waiting for it a little."""
    connection.settimeout(0.1)
    try:
        return connection.recv(65_536) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if condition():
            return
    raise AssertionError(f"{what}: not within {DEADLINE_S} s")


def metrics(server: Server) -> dict[str, float]:
    lines = [line for line in server.measured().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def status_of(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> int:
    request = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


# How many, and how long.


@pytest.fixture
def few_files(door, tmp_path, monkeypatch):
    """Starts a server that may open few files."""
    wrapper = tmp_path / "few-files"
    wrapper.write_text(f'#!/bin/sh\nulimit -n {OPEN_FILES}\nexec {binary()} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setenv("CARILLON_BIN", str(wrapper))
    return door


def test_few_open_files_lock_nobody_out(few_files):
    """Of the files that a system gives, health and whoever has signed keep a share."""
    server = few_files()
    world = World(server)
    silent = []
    try:
        for _ in range(STRANGERS):
            silent.append(connect(server, ELSEWHERE))
        assert status_of(f"{server.http_url}/_carillon/health/ready") == 200
        with Connection(server) as signed:
            assert signed.call("GET", ENDPOINT).status == 200
        world.user("ana")
        told = metrics(server)
        assert told["carillon_connections_refused_total"] > 0
        strangers = told['carillon_connections_max{of="strangers"}']
        assert told['carillon_connections{standing="stranger"}'] <= strangers < OPEN_FILES
    finally:
        for connection in silent:
            connection.close()


def test_more_at_once_than_there_are_open_files_lock_nobody_out(few_files):
    """Who has come and not begun holds a file, too: all of them begin once there is none, and so come to an end."""
    server = few_files()
    several = [socket.socket() for _ in range(STRANGERS)]
    try:
        for at, one in enumerate(several):
            one.setblocking(False)
            one.bind((f"127.0.1.{at % 200 + 1}", 0))
            one.connect_ex((server.host.split(":")[0], server.http_port))
        assert status_of(f"{server.http_url}/_carillon/health/ready") == 200
    finally:
        for one in several:
            one.close()


def test_strangers_of_one_address_have_their_number_and_others_theirs(door):
    server = door("[server]\nstrangers_max = 16\nstrangers_per_address_max = 4")
    many = [connect(server, ELSEWHERE) for _ in range(60)]
    wait_for(lambda: metrics(server)["carillon_connections_refused_total"] > 0, "nobody was refused")
    assert metrics(server)['carillon_connections{standing="stranger"}'] <= 4 + 1
    other = connect(server, "127.0.0.3")
    other.sendall(b"GET /_carillon/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert other.recv(4096).startswith(b"HTTP/1.1 200")
    assert not is_closed(other), "who is within the number may stay"
    for connection in [*many, other]:
        connection.close()


def test_the_limit_of_open_files_is_raised(door):
    server = door()
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_who_does_not_read_the_answers_is_given_up(door):
    server = door("[server]\nwrite_timeout_seconds = 1")
    headers = sigv4.headers_for(server.credentials, "GET", ENDPOINT, server.host)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([f"GET {ENDPOINT} HTTP/1.1", *lines, "", ""]).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.http_port))
        connection.settimeout(DEADLINE_S)
        with pytest.raises(ConnectionError):
            while True:
                connection.sendall(request * 1000)
    assert metrics(server)['carillon_overdue_total{what="write"}'] >= 1


def test_unsigned_requests_without_end_end_the_connection(door):
    server = door()
    with connect(server) as connection:
        request = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"
        connection.sendall(request * 1_000)
        answers = b""
        try:
            while piece := connection.recv(65_536):
                answers += piece
        except ConnectionError:
            pass
        assert 1 <= answers.count(b"HTTP/1.1 403") <= 20
    with Connection(server) as signed:
        for _ in range(300):
            assert signed.call("GET", ENDPOINT).status == 200
        # The connection is the first still.
        assert metrics(server)['carillon_connections{standing="known"}'] >= 1


def test_a_head_that_trickles_is_given_up(door):
    server = door("[server]\nhead_timeout_seconds = 1")
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")

        def trickled() -> bool:
            if is_closed(connection):
                return True
            try:
                connection.sendall(b"x")
            except ConnectionError:
                return True
            return False

        wait_for(trickled, "the head was waited for")
    assert metrics(server)['carillon_overdue_total{what="head"}'] >= 1


def test_a_connection_without_requests_is_given_up(door):
    server = door("[server]\nidle_timeout_seconds = 1")
    with connect(server) as connection:
        connection.sendall(b"GET /_carillon/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        wait_for(lambda: is_closed(connection), "the connection was kept")
    assert metrics(server)['carillon_overdue_total{what="idle"}'] >= 1


def test_a_socket_outlives_the_time_outs_of_requests(door):
    """It has rules of its own: nothing is sent on it for longer than a request may take."""
    server = door("[server]\nhead_timeout_seconds = 1\nidle_timeout_seconds = 1\nwrite_timeout_seconds = 1")
    world = World(server)
    ana = world.user("ana")
    with Session.established(server, ana) as session, connect(server) as idle:
        idle.sendall(b"GET /_carillon/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        wait_for(lambda: is_closed(idle), "the connection was kept")
        channel = world.channel(ana)
        world.send(channel, ana, "still here")
        session.next_of("CREATE_CHANNEL_MEMBERSHIP")
        session.next_of("CREATE_CHANNEL_MESSAGE")


# Bodies and heads.


@pytest.mark.parametrize("path", ["/", "/channels"])
def test_the_body_of_a_stranger_is_not_waited_for(door, path):
    server = door()
    with connect(server) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n".encode()
        )
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status in (403, 413)


def test_a_key_that_nobody_has_is_told_before_the_body(door):
    server = door()
    headers = sigv4.headers_for(server.credentials, "POST", "/channels", server.host, b"x")
    headers["authorization"] = headers["authorization"].replace("Credential=", "Credential=X")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    with connect(server) as connection:
        head = "\r\n".join(["POST /channels HTTP/1.1", *lines, "content-length: 900000", "", ""])
        connection.sendall(head.encode())
        answer = read_answer(connection)
        assert (answer.status, answer.error) == (403, "UnrecognizedClientException")


def test_a_head_has_64_kib_at_most(door):
    server = door()
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        try:
            for _ in range(12):
                connection.sendall(b"x: " + b"x" * 8000 + b"\r\n")
            connection.sendall(b"\r\n")
        except ConnectionError:
            return
        assert connection.recv(4096).startswith(b"HTTP/1.1 431")


def test_json_has_so_many_members_and_is_so_deep(door):
    server = door()
    world = World(server)
    ana = world.user("ana")
    channel = world.channel(ana)
    target = f"/channels/{quote(channel, safe='')}/messages"
    body = {"Content": "x", "Type": "STANDARD", "Persistence": "PERSISTENT", "ClientRequestToken": token()}
    deep = json.dumps(body)[:-1].encode() + b',"x":' + b"[" * 100 + b"]" * 100 + b"}"
    many = body | {f"x{number}": 0 for number in range(5_000)}
    with Connection(server) as signed:
        for too_much, named in [(deep, "deep"), (many, "members")]:
            answer = signed.call("POST", target, too_much, bearer=ana)
            assert (answer.status, answer.error) == (400, "BadRequestException")
            assert named in answer.message


# Whom the server takes them for.


def sources(server: Server) -> list[str]:
    lines = (server.folder / "audit.log").read_text().splitlines()
    return [json.loads(line)["source_address"] for line in lines]


def create(server: Server, connection: http.client.HTTPConnection, extra: dict[str, str], host: str) -> None:
    body = json.dumps({"Name": "x", "ClientRequestToken": token()}).encode()
    headers = sigv4.headers_for(server.credentials, "POST", "/app-instances", host, body)
    connection.request("POST", "/app-instances", body, headers | extra)
    assert connection.getresponse().status == 201


@pytest.mark.parametrize(
    ("trusted", "source"), [("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1")]
)
def test_a_trusted_proxy_says_where_a_client_is(door, trusted, source):
    server = door(f"[server]\ntrusted_proxies = ['{trusted}']\n[audit]\nfile = 'audit.log'")
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    create(server, connection, {"x-forwarded-for": "198.51.100.1, 203.0.113.9, 127.0.0.8"}, server.host)
    wait_for(lambda: sources(server) == [source], f"the address is not {source}")
    connection.close()


def test_the_proxy_protocol_says_where_a_client_is(door):
    server = door(
        "[server]\ntrusted_proxies = ['127.0.0.1']\nproxy_protocol = 'https'\n[audit]\nfile = 'audit.log'"
    )
    context = ssl.create_default_context(cafile=server.ca)
    plain = socket.create_connection(("127.0.0.1", server.https_port), 10)
    plain.sendall(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n")
    connection = http.client.HTTPSConnection("localhost", server.https_port, timeout=10)
    connection.sock = context.wrap_socket(plain, server_hostname="localhost")
    create(server, connection, {}, server.public_host)
    wait_for(lambda: sources(server) == ["203.0.113.7"], "the address is another")
    connection.close()
    # Nobody else may say so, and who does not say it is not heard.
    for source, first in [(ELSEWHERE, b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"), ("127.0.0.1", b"\x16\x03")]:
        with socket.create_connection(("127.0.0.1", server.https_port), 10, (source, 0)) as other:
            other.sendall(first)
            wait_for(lambda: is_closed(other), "it was heard")


# What is for this machine alone.


def test_dev_gives_credentials_to_pages_of_this_machine_alone(tmp_path):
    dev = Dev(tmp_path, "dev")
    try:
        dev.printed()
        url = f"http://127.0.0.1:{dev.http_port}/_carillon/creds"
        for headers in [{}, {"origin": "http://localhost:3000"}, {"origin": "https://127.0.0.1:8443"}]:
            assert status_of(url, headers, b"") == 200, headers
        for headers in [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"host": "evil.example"},
            {"host": f"evil.example:{dev.http_port}", "origin": f"http://evil.example:{dev.http_port}"},
        ]:
            assert status_of(url, headers, b"") == 403, headers
    finally:
        dev.process.terminate()
        dev.process.wait(10)


def test_the_clock_wants_json(door):
    server = door("", "--test-clock")
    url, body = f"{server.http_url}/_carillon/clock", b'{"advance_seconds": 1}'
    assert status_of(url, {"content-type": "application/json; charset=utf-8"}, body) == 200
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""]:
        assert status_of(url, {"content-type": kind}, body) == 415


def test_metrics_are_for_this_machine_unless_they_have_a_listener_or_a_token(door):
    server = door()
    url = f"{server.http_url}/_carillon/metrics"
    assert status_of(url) == 200
    for headers in [{"host": "chat.example.com"}, {"x-forwarded-for": "127.0.0.1"}]:
        assert status_of(url, headers) == 403, headers
    (port,) = free_ports(1)
    apart = door(f"[metrics]\nlisten = '127.0.0.1:{port}'\ntoken = 'open sesame'")
    assert status_of(f"{apart.http_url}/_carillon/metrics") == 404
    assert status_of(f"http://127.0.0.1:{port}/metrics") == 401
    assert status_of(f"http://127.0.0.1:{port}/metrics", {"authorization": "Bearer open sesam"}) == 401
    borne = {"authorization": "Bearer open sesame"}
    assert status_of(f"http://127.0.0.1:{port}/metrics", borne) == 200
    assert status_of(f"http://127.0.0.1:{port}/channels", borne) == 404
    token_only = door("[metrics]\ntoken = 'open sesame'")
    url = f"{token_only.http_url}/_carillon/metrics"
    assert status_of(url) == 401
    assert status_of(url, borne | {"host": "chat.example.com"}) == 200


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_has_one_host(door, hosts):
    server = door()
    with connect(server) as connection:
        lines = ["GET /_carillon/health/live HTTP/1.1", *(f"host: {host}" for host in hosts), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = read_answer(connection)
        assert (answer.status, answer.error) == (400, "BadRequestException")


def test_the_store_is_for_its_owner_also_in_a_folder_that_was_there(tmp_path):
    server = Server(tmp_path, ENGINES["sqlite"]())
    server.data_dir.mkdir(mode=0o755)
    old = server.data_dir / "carillon.db"
    old.touch(mode=0o644)
    server.start()
    try:
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store_files(server.data_dir)}
        assert modes and set(modes.values()) == {0o600}, modes
        assert "may look into the data folder" in server.log_tail()
        assert stat.S_IMODE(os.stat(server.ca).st_mode) == 0o644, "others are to trust it"
    finally:
        server.stop()


def store_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("carillon.db*"))
