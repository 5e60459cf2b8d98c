"""`carillon doctor`: each fault that is planted is found by name, and nothing where there is none."""

import http.server
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from harness import commands
from harness.cluster import Cluster
from harness.engine import Sqlite, outsider, psql
from harness.nats import Nats
from harness.processor import FUNCTION, Processor, targets
from harness.server import ACCOUNT, REGION, Server, binary, environment, free_ports
from harness.world import World, token

Finding = dict[str, str]
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/chime-messaging-all"
PUSH = f"arn:aws:mobiletargeting:{REGION}:{ACCOUNT}:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
ALIAS = f"arn:aws:lex:{REGION}:{ACCOUNT}:bot-alias/ABCDE12345/TSTALIASID"


def doctor(
    server: Server,
    *flags: str,
    before: Callable[[], None] | None = None,
    public_host: str | None = None,
    **variables: str,
) -> list[Finding]:
    """What it finds; its exit code says whether anything is serious."""
    options = [public_host if public_host and one == server.public_host else one for one in server.options()]
    ended = subprocess.run(
        [binary(), "doctor", "--json", *options, *flags],
        cwd=server.folder,
        env=environment(server.folder) | server.environment | variables,
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=commands.TIMEOUT_S,
    )
    assert ended.stderr == "", ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert all(list(one) == ["check", "severity", "finding", "remedy"] for one in found)
    assert all((one["remedy"] == "") == (one["severity"] == "ok") for one in found)
    assert ended.returncode == any(one["severity"] == "serious" for one in found), ended.stdout
    return found


def faults(found: list[Finding]) -> dict[str, str]:
    """The checks that found something, each with how bad it is. How fast the disk is, is nobody's promise here."""
    return {
        one["check"]: one["severity"]
        for one in found
        if one["severity"] != "ok" and not ("a flush in" in one["finding"])
    }


def words(found: list[Finding], check: str) -> str:
    return " ".join(one["finding"] for one in found if one["check"] == check)


def test_nothing_is_found_on_a_healthy_server_and_where_none_was_started(server, tmp_path):
    world = World(server)
    ana = world.user("ana")
    world.send(world.channel(ana), ana)
    found = doctor(server)
    assert faults(found) == {}, found
    assert "leads here" in words(found, "public-host") and "opens sockets" in words(found, "websockets")
    assert "arrive" in words(found, "bodies") and "ready" in words(found, "ready")
    (tmp_path / "new").mkdir()
    new = Server(tmp_path / "new", Sqlite())
    assert faults(doctor(new)) == {}
    assert not new.data_dir.exists(), "it changes nothing"


def test_nothing_is_found_on_what_was_stopped(own_server):
    own_server.stop()
    assert faults(doctor(own_server)) == {}


def test_nothing_is_found_on_the_nodes_of_a_healthy_cluster(tmp_path):
    with Nats(tmp_path) as nats, Cluster(tmp_path, nats.url, count=2) as cluster:
        for node in cluster.nodes:
            assert faults(doctor(node)) == {}
        # One that is not given what the others are.
        node.environment = {}
        found = doctor(node)
        assert faults(found)["keys"] == "serious" and "share their root key" in words(found, "keys")


def test_people_read_a_line_for_each_with_its_remedy(own_server):
    own_server.stop()
    own_server.credentials_file.chmod(0o644)
    ended = commands.run(own_server.folder, "doctor", *own_server.options())
    assert ended.returncode == 1
    line = next(line for line in ended.stdout.splitlines() if line.startswith("SERIOUS"))
    assert "root-credentials: others on this machine may read" in line and "chmod 600" in line


# Faults of files.


def test_what_others_may_read_is_found(own_server):
    own_server.stop()
    own_server.data_dir.chmod(0o755)
    own_server.credentials_file.chmod(0o640)
    (own_server.data_dir / "master-key").chmod(0o604)
    assert faults(doctor(own_server)) == {
        "data-folder": "warning",
        "root-credentials": "serious",
        "master-key": "serious",
    }


def test_keys_in_two_places_are_found(own_server):
    own_server.stop()
    root = {"CARILLON_ROOT_ACCESS_KEY_ID": "AKIDOTHER", "CARILLON_ROOT_SECRET_ACCESS_KEY": "other"}
    found = doctor(own_server, **root, CARILLON_MASTER_KEY="ab" * 32)
    assert faults(found) == {"keys": "warning"}
    assert "two root keys" in words(found, "keys") and "master key" in words(found, "keys")


def test_a_master_key_that_is_lost_is_found(own_server):
    iam = own_server.client("iam")
    iam.create_user(UserName="backend")
    iam.create_access_key(UserName="backend")
    iam.put_user_policy(UserName="backend", PolicyName="all", PolicyDocument=policy("chime:*", "*"))
    own_server.stop()
    key = own_server.data_dir / "master-key"
    key.rename(own_server.data_dir / "elsewhere")
    assert faults(doctor(own_server)) == {"sealed": "serious"}
    found = doctor(own_server, CARILLON_MASTER_KEY="ab" * 32)
    assert faults(found) == {"sealed": "serious"} and "opens 1 of the access keys" in words(found, "sealed")


def test_an_audit_log_that_cannot_be_written_is_found(serve, tmp_path):
    log = tmp_path / "logs" / "audit.log"
    log.parent.mkdir()
    server = serve(f"[audit]\nfile = '{log}'")
    assert faults(doctor(server)) == {}
    server.stop()
    log.unlink()
    log.mkdir()
    assert faults(doctor(server)) == {"audit-log": "serious"}


def test_a_restore_that_was_not_finished_is_found(own_server):
    own_server.stop()
    (own_server.data_dir / "restoring").mkdir()
    (own_server.data_dir / "restoring" / "into").write_text(str(own_server.data_dir / "carillon.db"))
    assert faults(doctor(own_server))["data-folder"] == "serious"


# Faults of the machine.


def test_few_open_files_are_found(own_server):
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    assert faults(doctor(own_server, before=limit)) == {"open-files": "serious"}


def test_a_disk_that_takes_nothing_is_found(own_server):
    own_server.stop()

    def limit() -> None:
        # No file may grow past this, which is what a full disk looks like to whoever writes.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    found = doctor(own_server, before=limit)
    assert faults(found)["disk"] == "serious" and "cannot be written" in words(found, "disk")


def test_a_clock_that_was_ahead_is_found(engine, tmp_path):
    server = Server(tmp_path, engine, "--test-clock").start()
    try:
        server.advance(timedelta(days=2))
        world = World(server)
        ana = world.user("ana")
        world.send(world.channel(ana), ana)
        assert faults(doctor(server)) == {"test-clock": "warning"}
    finally:
        server.stop()
    server.flags = ()
    found = doctor(server)
    assert faults(found) == {"clock": "warning"} and "later time" in words(found, "clock")


# Faults of the store.


def test_a_schema_of_a_later_version_is_found(own_server):
    own_server.stop()
    own_server.engine.pretend_newer_schema(own_server.data_dir, own_server.store, 999)
    assert faults(doctor(own_server)) == {"schema": "serious"}


def test_a_store_that_is_none_or_away_is_found(engine, tmp_path):
    server = Server(tmp_path, engine)
    if isinstance(engine, Sqlite):
        server.data_dir.mkdir(mode=0o700)
        (server.data_dir / "carillon.db").write_text("no store, but long enough to be read as one")
        assert faults(doctor(server)) == {"store": "serious"}
    else:
        server.store = f"postgres://me:hush@127.0.0.1:{free_ports(1)[0]}/chat"
        found = doctor(server)
        assert faults(found) == {"store": "serious"} and "hush" not in str(found)


def test_a_log_that_grows_is_found(tmp_path):
    server = Server(tmp_path, Sqlite()).start()
    server.stop()
    log = server.data_dir / "carillon.db-wal"
    log.touch(0o600)
    # It takes no room: nothing is in it.
    os.truncate(log, 2 * 2**30)
    assert faults(doctor(server)) == {"log": "warning"}


def test_a_page_that_is_not_as_it_was_written_is_found(tmp_path):
    server = Server(tmp_path, Sqlite()).start()
    server.stop()
    assert words(doctor(server), "pages") == "all are as they were written"
    store = server.data_dir / "carillon.db"
    with store.open("r+b") as file:
        file.seek(-2_000, os.SEEK_END)
        [byte] = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))
    found = doctor(server)
    number = store.stat().st_size // 4_096
    assert faults(found)["pages"] == "serious" and words(found, "pages").endswith(f"not served: {number}")


def statement(server: Server, sql: str) -> None:
    if server.store:
        psql(server.store, sql)
        return
    with outsider(server.data_dir / "carillon.db") as database:
        database.execute(sql)


def test_a_silent_node_is_found(own_server):
    own_server.stop()
    body = "X'0102030405060708090a0b0c0d0e0f10'" if own_server.store is None else "'\\x0102030405060708090a0b0c0d0e0f10'"
    statement(own_server, f"INSERT INTO beat (node, number, floor, body) VALUES ({body}, 7, 1768478400000, '')")
    found = faults(doctor(own_server))
    # One server on a file has no others.
    assert found == ({"nodes": "warning"} if own_server.store else {})


def test_what_waits_for_long_is_found(serve):
    server = serve(f"[streams.'{STREAM}']\nkind = 'http'\nurl = 'http://127.0.0.1:{free_ports(1)[0]}'")
    world = World(server)
    streamed(server, world)
    ana = world.user("ana")
    world.send(world.channel(ana), ana)
    found = doctor(server)
    assert faults(found) == {"streams": "serious"} and "they wait" in words(found, "streams")
    server.kill()
    statement(server, "UPDATE outgoing SET at = at - 7200000")
    assert faults(doctor(server)) == {"streams": "serious", "backlog": "serious"}


def streamed(server: Server, world: World) -> None:
    server.messaging.put_messaging_streaming_configurations(
        AppInstanceArn=world.app_instance,
        StreamingConfigurations=[{"DataType": "ChannelMessage", "ResourceArn": STREAM}],
    )


# Faults of the doors.


def certificate(folder: Path, name: str, days: int) -> tuple[str, ...]:
    """The flags of one that is made for a name."""
    cert, key = folder / f"{name}-{days}.pem", folder / f"{name}-{days}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-subj", "/CN=test", "-addext", f"subjectAltName=DNS:{name}", "-days", str(days)]
        + ["-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    return "--tls-cert", str(cert), "--tls-key", str(key)


def test_faults_of_certificates_are_found(tmp_path):
    server = Server(tmp_path, Sqlite())
    assert faults(doctor(server, *certificate(tmp_path, "localhost", 90))) == {}
    assert faults(doctor(server, *certificate(tmp_path, "localhost", 20))) == {"certificate": "warning"}
    assert faults(doctor(server, *certificate(tmp_path, "localhost", 2))) == {"certificate": "serious"}
    found = doctor(server, *certificate(tmp_path, "elsewhere.example", 90))
    assert faults(found) == {"certificate": "serious"} and "is not for localhost" in words(found, "certificate")
    one, other = certificate(tmp_path, "localhost", 90), certificate(tmp_path, "localhost", 91)
    assert faults(doctor(server, *one[:2], *other[2:])) == {"certificate": "serious"}
    Path(one[3]).chmod(0o644)
    assert faults(doctor(server, *one)) == {"keys": "serious"}


def test_a_port_that_somebody_has_is_found(tmp_path):
    server = Server(tmp_path, Sqlite())
    with socket.create_server(("127.0.0.1", server.http_port)):
        assert faults(doctor(server)) == {"ports": "serious"}


def test_a_server_that_hangs_is_found(own_server):
    os.kill(own_server.process.pid, signal.SIGSTOP)
    try:
        found = faults(doctor(own_server))
        assert found["ready"] == "serious" and found["public-host"] == "serious"
    finally:
        os.kill(own_server.process.pid, signal.SIGCONT)


class Proxy(http.server.BaseHTTPRequestHandler):
    """What proxies do to a server behind them; it keeps nothing of the connection."""

    protocol_version = "HTTP/1.1"
    to = 0
    body_bytes_max = 2**30
    host: str | None = None
    upgrades = True

    def relay(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        self.close_connection = True
        if length > self.body_bytes_max:
            self.send_error(413)
            return
        with socket.create_connection(("127.0.0.1", self.to), timeout=30) as behind:
            hop = () if self.upgrades else ("upgrade", "connection")
            lines = [f"{self.command} {self.path} HTTP/1.1"]
            for name, value in self.headers.items():
                value = self.host if self.host and name.lower() == "host" else value
                lines += [] if name.lower() in hop else [f"{name}: {value}"]
            if not self.upgrades or "upgrade" not in self.headers:
                lines.append("connection: close")
            behind.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            while part := behind.recv(65_536):
                try:
                    self.wfile.write(part)
                except OSError:
                    return

    do_GET = do_POST = relay

    def log_message(self, *_) -> None:
        pass


@contextmanager
def proxy(folder: Path, to: int, **behaviour) -> Iterator[str]:
    """Its host and port; it speaks TLS."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (Proxy,), {"to": to, **behaviour}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    flags = certificate(folder, "localhost", 90)
    context.load_cert_chain(flags[1], flags[3])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def through(server: Server, host: str) -> dict[str, str]:
    return faults(doctor(server, public_host=host))


def test_what_proxies_do_is_found(own_server, tmp_path):
    port = own_server.http_port
    with proxy(tmp_path, port) as host:
        assert through(own_server, host) == {}
    with proxy(tmp_path, port, upgrades=False) as host:
        assert through(own_server, host) == {"websockets": "serious"}
    with proxy(tmp_path, port, body_bytes_max=65_536) as host:
        assert through(own_server, host) == {"bodies": "serious"}
    with proxy(tmp_path, port, host="backend.internal") as host:
        assert through(own_server, host)["public-host"] == "serious"
    other = tmp_path / "other"
    other.mkdir()
    another = Server(other, Sqlite()).start()
    try:
        assert through(own_server, another.public_host)["public-host"] == "serious"
    finally:
        another.stop()
    nobody = f"localhost:{free_ports(1)[0]}"
    assert through(own_server, nobody)["public-host"] == "serious"


def test_doors_that_stand_open_are_found(tmp_path):
    server = Server(tmp_path, Sqlite())
    variables = {"CARILLON_EXCHANGE_MODE": "anonymous"}
    path = tmp_path / "carillon.toml"
    path.write_text(f"http = '0.0.0.0:{free_ports(1)[0]}'\n[metrics]\nlisten = '0.0.0.0:{free_ports(1)[0]}'")
    words_ = ["doctor", "--json", "--data-dir", str(server.data_dir), "--config", str(path)]
    https = ["--https", f"127.0.0.1:{server.https_port}"]
    ended = commands.run(tmp_path, *words_, *https, **variables)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert faults(found) == {"exchange": "warning", "plain-http": "warning", "metrics": "warning"}, found
    assert "every origin" in words(found, "exchange") and "everybody" in words(found, "exchange")


# Faults of access.


def policy(action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def test_policies_that_allow_nothing_are_found(own_server):
    iam = own_server.client("iam")
    for name, document in {
        "good": policy("chime:SendChannelMessage", "*"),
        "typo": policy("chime:SendMessage", "*"),
        "elsewhere": policy("chime:*", "arn:aws:chime:eu-west-1:999999999999:app-instance/*"),
    }.items():
        iam.create_user(UserName=name)
        iam.create_access_key(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=f"of-{name}", PolicyDocument=document)
    found = doctor(own_server)
    assert faults(found) == {"policies": "warning"}
    said = words(found, "policies")
    assert "chime:SendMessage" in said and "eu-west-1" in said and "of-good" not in said
    iam.create_user(UserName="idle")
    iam.create_access_key(UserName="idle")
    found = doctor(own_server)
    assert faults(found) == {"policies": "warning", "users": "warning"} and "idle" in words(found, "users")


# Faults outside.


def test_a_bus_that_is_away_is_found(tmp_path):
    server = Server(tmp_path, Sqlite())
    server.store = "postgres://127.0.0.1:1/none"
    found = faults(doctor(server, "--bus", f"nats://127.0.0.1:{free_ports(1)[0]}"))
    assert found["bus"] == "serious" and found["keys"] == "serious"


def test_processors_that_cannot_be_reached_are_found(serve):
    server = serve(f"[targets.'{FUNCTION}']\nurl = 'http://127.0.0.1:{free_ports(1)[0]}/call'")
    world = World(server)
    world.flow()
    found = doctor(server)
    assert faults(found) == {"flows": "serious"} and FUNCTION in words(found, "flows")


def test_processors_that_are_left_alone_are_found(serve):
    with Processor() as processor:
        server = serve(targets(processor.url))
        world = World(server)
        ana = world.user("ana")
        channel = world.channel(ana)
        arn = world.flow()
        server.messaging.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=arn, ChimeBearer=ana)
        processor.status = 503
        while 'carillon_processor_gates{state="closed"} 1' not in server.measured():
            world.send(channel, ana)
        found = doctor(server)
        assert faults(found) == {"gates": "warning"} and "left alone" in words(found, "gates")


def test_a_processor_at_lambda_without_credentials_is_found(own_server):
    World(own_server).flow()
    found = doctor(own_server)
    assert faults(found) == {"flows": "warning"} and "at Lambda" in words(found, "flows")
    given = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert faults(doctor(own_server, **given)) == {}


def test_devices_of_an_application_that_is_not_mapped_are_found(own_server):
    world = World(own_server)
    own_server.identity.register_app_instance_user_endpoint(
        AppInstanceUserArn=world.user("ana"),
        Type="APNS",
        ResourceArn=PUSH,
        EndpointAttributes={"DeviceToken": uuid.uuid4().hex},
        ClientRequestToken=token(),
    )
    found = doctor(own_server)
    assert faults(found) == {"push": "warning"} and f"1 devices are registered for {PUSH}" in words(found, "push")


def test_streams_and_bots_that_nobody_serves_are_found(own_server):
    world = World(own_server)
    streamed(own_server, world)
    bot(own_server, world)
    assert faults(doctor(own_server)) == {"streams": "warning", "bots": "warning"}


def test_a_bot_that_is_away_is_found(serve):
    server = serve(f"[bots.'{ALIAS}']\nkind = 'http'\nurl = 'http://127.0.0.1:{free_ports(1)[0]}'")
    bot(server, World(server))
    found = doctor(server)
    assert faults(found) == {"bots": "serious"} and ALIAS in words(found, "bots")


def bot(server: Server, world: World) -> None:
    server.identity.create_app_instance_bot(
        AppInstanceArn=world.app_instance,
        ClientRequestToken=token(),
        Configuration={"Lex": {"LexBotAliasArn": ALIAS, "LocaleId": "en_US"}},
    )


def test_a_key_of_push_that_is_not_there_is_found(tmp_path):
    server = Server(tmp_path, Sqlite())
    path = tmp_path / "carillon.toml"
    apns = f"{{ team_id = 'T', key_id = 'K', key_file = '{tmp_path / 'apns.p8'}', topic = 'com.example' }}"
    path.write_text(f"[push.'{PUSH}']\napns = {apns}")
    found = doctor(server, "--config", str(path))
    assert faults(found) == {"push": "serious"} and "apns.p8 cannot be read" in words(found, "push")


def test_a_sink_of_events_that_is_away_is_found(tmp_path):
    server = Server(tmp_path, Sqlite())
    path = tmp_path / "carillon.toml"
    path.write_text(f"[events]\nto = 'http'\nurl = 'http://127.0.0.1:{free_ports(1)[0]}'")
    assert faults(doctor(server, "--config", str(path))) == {"events": "serious"}
