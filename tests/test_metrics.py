"""What is measured: every metric moves when that happens which it measures, and no other stands in the answer.

A test that is a cause names its metrics by `@moves(…)`: they must differ between before it and after, or where it
yields, while what it did lasts. What nothing but a fault of the program moves is named in `UNMOVED`, with the test of
the program that makes one.
"""

import functools
import json
import os
import re
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from harness import aws, sigv4
from harness.acme import Authority
from harness.cluster import Cluster
from harness.engine import Postgres, outsider, psql
from harness.exchange import SECRET, ask, token_of
from harness.metrics import eventually, scrape, value
from harness.nats import Nats
from harness.processor import Processor, targets
from harness.programs import Lex
from harness.proxy import Proxy
from harness.push import PushServices
from harness.raw import Connection
from harness.server import Server, binary
from harness.session import Session
from harness.streams import STREAM, file_sink, stream_to
from harness.world import World, refused, token
from test_acme import configuration, is_trusted
from test_bots import bot, invoked_by
from test_flows import channel_with, flow
from test_push import Phones
from test_store_clock import keep_time

ROOT = Path(__file__).parent.parent
# What only a fault of the program or of the disk moves: where a test of the program makes one.
UNMOVED = {
    "carillon_store_damaged_pages": ("disk/src/vfs/tests.rs", "a_bit_that_was_flipped_in_the_file_is_never_served"),
    "carillon_task_panics": ("server/src/supervised.rs", "a_task_outlives_a_panic_of_its_round"),
    "carillon_teller_panics": (
        "delivery/src/hub.rs",
        "a_teller_that_panics_closes_the_sessions_concerned_and_goes_on",
    ),
}
# What not every server has: a PostgreSQL, a certificate by ACME.
OF_SOME = {
    "carillon_store_clock_offset_seconds",
    "carillon_certificate_orders",
    "carillon_certificate_not_after_seconds",
}
CAUSES: dict[str, str] = {}
AT_ONCE = 24
# Nothing listens on the port of "discard".
NOBODY = "http://127.0.0.1:9/"


def moves(*names: str) -> Callable:
    """Of a cause, which is given a server as its first fixture: these metrics must move."""

    def declare(cause: Callable) -> Callable:
        CAUSES.update(dict.fromkeys(names, cause.__name__))

        @functools.wraps(cause)
        def test(*arguments, **fixtures) -> None:
            where = (arguments or list(fixtures.values()))[0]
            before = {name: family.samples for name, family in scrape(where).items()}
            lasting = cause(*arguments, **fixtures)
            if lasting is not None:
                next(lasting)

            def have_moved() -> bool:
                after = scrape(where)
                return all(after[name].samples != before.get(name) for name in names)

            eventually(have_moved, f"{', '.join(names)} should move")
            if lasting is not None:
                assert next(lasting, None) is None

        return test

    return declare


@pytest.fixture
def clocked(engine, tmp_path) -> Iterator[Server]:
    """A server whose clock tests move."""
    server = Server(tmp_path, engine, "--test-clock").start()
    yield server
    server.stop()


def count(server: Server, operation: str, code: str) -> float:
    return value(server, f'carillon_request_seconds_count{{operation="{operation}",code="{code}"}}')


@moves("carillon_read_markers")
def test_read_markers_that_are_told_are_measured(server):
    world = World(server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    tags = [{"Key": "carillon:read-receipts", "Value": "on"}]
    world.messaging.tag_resource(ResourceARN=channel, Tags=tags)
    with Session.established(server, ana) as session:
        world.messaging.update_channel_read_marker(ChannelArn=channel, ChimeBearer=bob)
        session.next_of("UPDATE_CHANNEL_READ_MARKER")


# Requests.


@moves("carillon_request_seconds", "carillon_unsigned_requests")
def test_requests_are_measured_by_operation_and_code(server):
    world = World(server)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana)
    iam, sts = server.client("iam"), server.client("sts")

    def once(operation: str, code: str, ask_for: Callable[[], object]) -> None:
        before = count(server, operation, code)
        try:
            ask_for()
        except ClientError:
            pass
        assert count(server, operation, code) == before + 1, (operation, code)

    once("SendChannelMessage", "OK", lambda: world.send(lobby, ana))
    once("SendChannelMessage", "Forbidden", lambda: world.send(lobby, bob))
    once("SendChannelMessage", "BadRequest", lambda: world.send(lobby, ana, Persistence="SOMETIMES"))
    once("CreateUser", "OK", lambda: iam.create_user(UserName=token()))
    once("GetUser", "NoSuchEntity", lambda: iam.get_user(UserName=token()))
    once("GetCallerIdentity", "OK", lambda: sts.get_caller_identity())
    with Connection(server) as door:
        unsigned = "MissingAuthenticationTokenException"
        once("none", unsigned, lambda: door.send("GET", "/channels/x"))
        once("none", "UnknownOperationException", lambda: door.call("GET", "/nothing/there"))
        once("own", "UnknownOperationException", lambda: door.send("GET", "/_carillon/nothing"))
    once("Connect", "OK", lambda: Session.established(server, ana).close())
    once("Connect", "Forbidden", lambda: Session(server, f"{ana}-nobody").close_code())


def test_an_exchange_is_measured_by_its_code(exchanging):
    server = exchanging(mode="secret", secret=SECRET)
    World(server)
    assert ask(server, token_of("ana")).status == 200
    assert ask(server, "a.b.c").status == 401
    assert (count(server, "ExchangeCredentials", "OK"), count(server, "ExchangeCredentials", "NotAuthorized")) == (1, 1)


# Sockets and events.


@moves("carillon_events_told", "carillon_commit_to_socket_seconds", "carillon_sockets", "carillon_socket_closes")
def test_sockets_and_what_they_are_told(server):
    world = World(server)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana, bob)
    before = value(server, "carillon_commit_to_socket_seconds_count")
    client = {"sessionId": token()}
    first = Session.established(server, bob, parameters=client)
    world.send(lobby, ana)
    first.next_of("CREATE_CHANNEL_MESSAGE")
    eventually(
        lambda: value(server, "carillon_commit_to_socket_seconds_count") > before, "the way to the socket is measured"
    )
    # The same client again: the first is closed.
    with Session.established(server, bob, parameters=client):
        assert first.close_code() == 4002
        yield


# The store.


@moves(
    "carillon_store_transaction_seconds",
    "carillon_store_batch_transactions",
    "carillon_store_commit_seconds",
    "carillon_store_batches_undone",
)
def test_transactions_batches_and_commits(server):
    world = World(server)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana, bob)
    undone = value(server, "carillon_store_batches_undone_total")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: world.send(lobby, ana), range(200)))

    def conflict(_: int) -> None:
        """Refuses after it wrote: it takes its whole batch with it."""
        with refused("Conflict"):
            world.add(lobby, bob, ana)

    eventually(
        lambda: list(map(conflict, range(5))) and value(server, "carillon_store_batches_undone_total") > undone,
        "a batch is undone",
    )
    assert value(server, 'carillon_store_batch_transactions_bucket{le="1.0"}') < value(
        server, "carillon_store_batch_transactions_count"
    ), "no two transactions shared a commit"


@moves("carillon_store_waiting", "carillon_store_refused")
def test_a_store_that_is_held_up_lets_transactions_wait_and_refuses_late_ones(own_server):
    world = World(own_server)
    ana = world.user("ana")
    lobby = world.channel(ana)
    release = hold(own_server)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sends = [pool.submit(world.send, lobby, ana) for _ in range(AT_ONCE)]
            reason = "late" if own_server.store is None else "locked"
            of_writes = f'carillon_store_refused_total{{kind="write",reason="{reason}"}}'
            waiting = 'carillon_store_waiting{kind="write"}'
            eventually(lambda: value(own_server, waiting) > 0, "transactions wait")
            eventually(lambda: value(own_server, of_writes) > 0, "who waits for too long is refused")
            assert {refusal(send.exception()) for send in sends} >= {"ServiceUnavailableException"}
            # Those wait as long as the store is held up.
            again = [pool.submit(world.send, lobby, ana) for _ in range(AT_ONCE)]
            eventually(lambda: value(own_server, waiting) > 0, "transactions wait")
            yield
            release()
            assert all(refusal(send.exception()) in (None, "ServiceUnavailableException") for send in again)
    finally:
        release()


def refusal(error: BaseException | None) -> str | None:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else error and repr(error)


def hold(server: Server) -> Callable[[], None]:
    """Keeps everybody from writing, until it is told to let them."""
    if server.store is None:
        database = sqlite3.connect(server.data_dir / "carillon.db", isolation_level=None, check_same_thread=False)
        database.execute("BEGIN IMMEDIATE")
        return database.close
    words = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", server.store]
    holder = subprocess.Popen(
        [os.environ["CARILLON_TEST_PSQL"], *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder.stdin.write("BEGIN; LOCK TABLE channel IN ACCESS EXCLUSIVE MODE;\n\\echo held\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "held\n"

    def release() -> None:
        holder.stdin.close()
        holder.wait()

    return release


@pytest.fixture
def proxied(tmp_path) -> Iterator[Server]:
    """A server whose PostgreSQL is behind a proxy. SQLite has nothing between that could be away."""
    server = Server(tmp_path, Postgres())
    with Proxy(server.store) as proxy:
        server.store, behind = proxy.url, server.store
        server.proxy = proxy
        yield server.start()
        server.store = behind
        server.stop()


@moves("carillon_store_reachable", "carillon_store_round_trips")
def test_a_store_that_is_away(proxied):
    proxied.proxy.refuse()
    with pytest.raises(ClientError):
        World(proxied)
    eventually(lambda: value(proxied, "carillon_store_reachable") == 0, "the store is away")
    yield
    proxied.proxy.come_back()
    eventually(lambda: value(proxied, "carillon_store_reachable") == 1, "the store is back")


@pytest.fixture
def locking(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path, Postgres())
    yield server.start()
    server.stop()


@moves("carillon_store_deadlocks")
def test_deadlocks(locking):
    world = World(locking)
    fall = """
        CREATE FUNCTION fall() RETURNS trigger LANGUAGE plpgsql
          AS $$ BEGIN RAISE EXCEPTION 'as of a deadlock' USING ERRCODE = 'deadlock_detected'; END $$;
        CREATE TRIGGER fall BEFORE INSERT ON identity FOR EACH ROW EXECUTE FUNCTION fall()"""
    psql(locking.store, fall)
    with pytest.raises(ClientError):
        world.user("ana")


@pytest.fixture
def dated(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path, Postgres())
    keep_time(server.store, "0")
    yield server.start()
    server.stop()


@moves("carillon_store_clock_offset_seconds")
def test_a_clock_that_goes_wrong(dated):
    keep_time(dated.store, "1 hour")
    eventually(lambda: value(dated, "carillon_store_clock_offset_seconds") > 3_000, "the offset is measured")


# What leaves the server.


@pytest.fixture
def processor() -> Iterator[Processor]:
    with Processor() as processor:
        yield processor


@pytest.fixture
def flowing(serve, processor) -> Server:
    return serve(targets(processor.url) + "[flows]\nwaiting_seconds = 2\n")


@moves("carillon_processor_calls", "carillon_processor_call_seconds", "carillon_processor_gates")
def test_processors(flowing, processor):
    world = World(flowing)
    ana = world.user("ana")
    channel = channel_with(world, flow(world), ana)
    processor.call_of(world.send(channel, ana)["MessageId"])

    def calls(result: str) -> float:
        return value(flowing, f'carillon_processor_calls_total{{result="{result}"}}')

    eventually(lambda: calls("taken") == 1, "a call was taken")
    processor.status = 500
    eventually(
        lambda: world.send(channel, ana) and calls("failed") and calls("not_made"), "calls fail, and are not made"
    )
    eventually(lambda: value(flowing, 'carillon_processor_gates{state="closed"}') == 1, "the gate closes")


@pytest.fixture
def silent(serve) -> Iterator[Server]:
    """A server whose processor takes calls, and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        yield serve(targets(f"http://127.0.0.1:{nobody.getsockname()[1]}/"))


@moves("carillon_processor_calls_under_way")
def test_calls_of_processors_that_are_under_way(silent):
    world = World(silent)
    ana = world.user("ana")
    world.send(channel_with(world, flow(world), ana), ana)
    eventually(lambda: value(silent, "carillon_processor_calls_under_way") == 1, "a call is under way")


@pytest.fixture
def streaming(serve, tmp_path) -> Server:
    return serve(file_sink(tmp_path / "records"))


@moves("carillon_outgoing_tried", "carillon_outgoing_delivered", "carillon_outgoing_call_seconds")
def test_streams_that_take_records(streaming, tmp_path):
    world = World(streaming)
    ana = world.user("ana")
    stream_to(world)
    world.send(world.channel(ana), ana)
    eventually(
        lambda: value(streaming, 'carillon_outgoing_delivered_total{consumer="stream"}') >= 2, "records are taken"
    )


@pytest.fixture
def stuck(serve) -> Server:
    return serve(f'[streams."{STREAM}"]\nkind = "http"\nurl = "{NOBODY}"\n', "--test-clock")


@moves("carillon_outgoing_waiting", "carillon_outgoing_oldest_seconds", "carillon_outgoing_gates")
def test_streams_that_take_none(stuck):
    world = World(stuck)
    ana = world.user("ana")
    stream_to(world)
    for _ in range(8):
        world.send(world.channel(ana), ana)
    for metric in ("waiting", "oldest_seconds"):
        name = f'carillon_outgoing_{metric}{{consumer="stream"}}'
        eventually(lambda name=name: value(stuck, name) > 0, f"{metric} is measured")
    eventually(lambda: value(stuck, 'carillon_outgoing_gates{state="closed"}') == 1, "the gate closes")


@pytest.fixture
def impatient(serve) -> Server:
    return serve(f'[streams."{STREAM}"]\nkind = "http"\nurl = "{NOBODY}"\n', "--test-clock")


@moves("carillon_outgoing_failed")
def test_records_that_are_given_up(impatient):
    world = World(impatient)
    ana = world.user("ana")
    stream_to(world)
    world.send(world.channel(ana), ana)
    impatient.advance(timedelta(days=8))
    eventually(
        lambda: value(impatient, 'carillon_outgoing_failed_total{consumer="stream"}') > 0, "records are given up"
    )


@pytest.fixture(scope="module")
def services(tmp_path_factory) -> Iterator[PushServices]:
    with PushServices(tmp_path_factory.mktemp("services")) as services:
        yield services


@pytest.fixture
def pushing(serve, services) -> Server:
    return serve(services.configuration())


@moves("carillon_push_notifications")
def test_push(pushing, services):
    world = World(pushing)
    phones = Phones(world, services)
    ana, bob = world.users("ana", "bob")
    phones.register(bob, "APNS", token())
    phones.send(world.channel(ana, bob), ana)
    name = 'carillon_push_notifications_total{service="apns",result="taken"}'
    eventually(lambda: value(pushing, name) == 1, "a notification was taken")
    eventually(lambda: value(pushing, 'carillon_outgoing_delivered_total{consumer="push"}') == 1, "the row is done")


def test_bots_and_events_are_consumers_of_their_own(serve):
    with Lex() as lex, socket.create_server(("127.0.0.1", 0)):
        server = serve(**aws.environment(LEX_RUNTIME_V2=lex.url))
        world = World(server)
        ana = world.user("ana")
        one = bot(world, **invoked_by("ALL"))
        world.send(world.channel(ana, one), ana)
        delivered = 'carillon_outgoing_delivered_total{consumer="bot"}'
        eventually(lambda: value(server, delivered) == 1, "the bot was asked")
        assert scrape(server)["carillon_outgoing_tried"].labels["consumer"] == {"bot", "event", "push", "stream"}


# Jobs.


@moves("carillon_job_seconds", "carillon_job_failures")
def test_jobs(clocked):
    world = World(clocked)
    ana = world.user("ana")
    settings = {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}
    world.messaging.put_channel_expiration_settings(
        ChannelArn=world.channel(ana), ChimeBearer=ana, ExpirationSettings=settings
    )
    spoil = "UPDATE channel SET expiration_criterion = 'SPOILT' WHERE expiration_days IS NOT NULL"
    if clocked.store is None:
        with outsider(clocked.data_dir / "carillon.db") as database:
            database.execute(spoil)
    else:
        psql(clocked.store, spoil)
    clocked.advance(timedelta(days=2))
    assert value(clocked, 'carillon_job_failures_total{name="expire channels"}') >= 1


@pytest.fixture
def searched(serve) -> Server:
    return serve('[search]\napp_instances = "all"\n', "--test-clock")


@moves("carillon_search_messages_indexed", "carillon_search_channels", "carillon_search_channels_walked")
def test_search_index(searched):
    world = World(searched)
    ana = world.user("ana")
    world.send(world.channel(ana), ana, "to be taken in")
    for _ in range(3):
        searched.advance(timedelta(hours=1))
    assert value(searched, "carillon_search_messages_indexed_total") >= 1
    assert value(searched, "carillon_search_channels_walked") >= 1


# Limits, and the door.


@pytest.fixture
def limited(serve) -> Server:
    return serve("[limits]\nmessages_per_second = 2\nbots_max = 1\n")


@moves("carillon_limits_hit")
def test_limits(limited):
    world = World(limited)
    ana = world.user("ana")
    lobby = world.channel(ana)
    with refused("ThrottledClient"):
        for _ in range(200):
            world.send(lobby, ana)
    bot(world)
    with refused("ResourceLimitExceeded"):
        bot(world)
    assert value(limited, 'carillon_limits_hit_total{kind="rate",limit="messages_per_second"}') == 1
    assert value(limited, 'carillon_limits_hit_total{kind="quota",limit="bots of an app instance"}') == 1


@pytest.fixture
def narrow(serve) -> Server:
    return serve("[server]\nhead_timeout_seconds = 1\nstrangers_per_address_max = 4\nbodies_bytes_max = 8388608\n")


@moves(
    "carillon_connections",
    "carillon_connections_refused",
    "carillon_overdue",
    "carillon_bodies_bytes",
    "carillon_bodies_refused",
)
def test_the_door(narrow):
    many = [socket.create_connection(("127.0.0.1", narrow.http_port), 10, ("127.0.0.2", 0)) for _ in range(40)]
    eventually(lambda: value(narrow, "carillon_connections_refused_total") > 0, "some are refused")
    eventually(lambda: value(narrow, 'carillon_overdue_total{what="head"}') > 0, "some say nothing in time")
    for connection in many:
        connection.close()
    halves = [half_sent(narrow, 900_000) for _ in range(12)]
    eventually(lambda: value(narrow, "carillon_bodies_refused_total") > 0, "there is no room for a body")
    eventually(lambda: value(narrow, "carillon_bodies_bytes") > 0, "bodies take room")
    yield
    for half in halves:
        half.close()


def half_sent(server: Server, length: int) -> socket.socket:
    """A signed request of which half the body has come."""
    body = json.dumps({"Name": "x" * length}).encode()
    headers = sigv4.headers_for(server.credentials, "POST", "/channels", server.host, body)
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
    head = "\r\n".join(["POST /channels HTTP/1.1", *lines, f"content-length: {len(body)}", "", ""]).encode()
    connection = socket.create_connection(("127.0.0.1", server.http_port), 10)
    connection.sendall(head + body[: length // 2])
    return connection


@pytest.fixture
def audited(serve, tmp_path) -> Server:
    return serve(f"[audit]\nfile = '{tmp_path / 'audit.log'}'\nunsigned_lines_per_second = 1\n")


@moves("carillon_audit_lines_left_out")
def test_lines_that_the_audit_log_has_not(audited):
    def ask_unsigned() -> bool:
        with Connection(audited) as door:
            for _ in range(10):
                door.send("GET", "/channels/x")
        return value(audited, 'carillon_audit_lines_left_out_total{of="unsigned"}') > 0

    eventually(ask_unsigned, "lines are left out")


# The process.


@moves("carillon_process_open_files", "carillon_process_resident_memory_bytes")
def test_what_the_process_takes(own_server):
    before = value(own_server, "carillon_process_open_files")
    many = [socket.create_connection(("127.0.0.1", own_server.http_port), 10) for _ in range(30)]
    eventually(lambda: value(own_server, "carillon_process_open_files") >= before + 30, "connections are open files")
    yield
    for connection in many:
        connection.close()
    assert 1_000_000 < value(own_server, "carillon_process_resident_memory_bytes") < 4_000_000_000


@moves("carillon_process_start_time_seconds", "carillon_connections_max")
def test_a_start(own_server):
    own_server.stop()
    own_server.flags = (*own_server.flags, "--config", str(own_server.folder / "other.toml"))
    (own_server.folder / "other.toml").write_text("[server]\nconnections_max = 99\n")
    own_server.start()


def test_what_is_running_is_said(server):
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert scrape(server)["carillon_build"].samples == {f'carillon_build_info{{version="{version}"}}': 1}


CAUSES["carillon_build"] = test_what_is_running_is_said.__name__


# The bus.


@pytest.fixture
def bus(tmp_path) -> Iterator[Nats]:
    with Nats(tmp_path) as nats:
        yield nats


@pytest.fixture
def node(tmp_path, bus) -> Iterator[Server]:
    with Cluster(tmp_path, bus.url, 2) as cluster:
        one, two = cluster.nodes
        one.beside = two
        yield one


@moves("carillon_bus_events", "carillon_event_looks", "carillon_bus_dropped", "carillon_bus_reachable")
def test_the_bus(node, bus):
    world = World(node.beside)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana, bob)
    with Session.established(node, bob) as session:
        world.send(lobby, ana)
        session.next_of("CREATE_CHANNEL_MESSAGE")
        eventually(lambda: value(node, "carillon_bus_events_total") > 0, "the bus brings events")
        bus.kill()
        eventually(lambda: value(node, "carillon_bus_reachable") == 0, "the bus is away")
        # What the bus does not bring is read from the store.
        world.send(lobby, ana)
        session.next_of("CREATE_CHANNEL_MESSAGE")
        # It keeps some news until the bus is back; not any number.
        own = World(node)
        carla, *many = own.users("carla", *["member"] * 50)

        def tell_many() -> bool:
            own.messaging.batch_create_channel_membership(
                ChannelArn=own.channel(carla), MemberArns=many, ChimeBearer=carla
            )
            return value(node, "carillon_bus_dropped_total") > 0

        eventually(tell_many, "the bus takes no more news")
        yield


# The list, and what it promises.


# Certificates.


@pytest.fixture
def authority(tmp_path) -> Iterator[Authority]:
    """It is away until it is entered."""
    authority = Authority(tmp_path, [])
    yield authority
    authority.__exit__()


@pytest.fixture
def uncertified(engine, tmp_path, authority) -> Iterator[Server]:
    path = tmp_path / "carillon.toml"
    path.write_text(configuration(authority))
    server = Server(tmp_path, engine, "--config", str(path))
    authority.places = [(server.http_port, server.https_port)]
    yield server.start()
    server.stop()


@moves("carillon_certificate_orders", "carillon_certificate_not_after_seconds")
def test_a_certificate_that_is_ordered(uncertified, authority):
    eventually(lambda: value(uncertified, 'carillon_certificate_orders_total{result="failed"}') > 0, "it is tried")
    authority.__enter__()
    eventually(lambda: is_trusted(uncertified, authority), "it is issued")
    assert value(uncertified, 'carillon_certificate_orders_total{result="issued"}') == 1


# The list.


def test_every_metric_has_a_cause(server):
    """Metrics that are there, those that a test moves, and those that the guide explains are the same."""
    there = set(scrape(server)) | OF_SOME
    assert there == CAUSES.keys() | UNMOVED.keys()
    for name, (path, test) in UNMOVED.items():
        assert test in (ROOT / "crates" / path).read_text(), name
        assert all(sample == 0 for sample in scrape(server)[name].samples.values()), name


def test_names_are_as_prometheus_has_them(server):
    for name, family in scrape(server).items():
        assert name.startswith("carillon_"), name
        assert family.help, name
        if family.kind == "histogram":
            assert name.endswith(("_seconds", "_transactions")), name


def test_no_label_is_an_arn_or_an_id(server):
    """Whatever was done at this server before, there are as many series as the program has names."""
    world = World(server)
    ana = world.user("ana")
    world.send(world.channel(ana), ana)
    with Connection(server) as door:
        for path in ("/channels/arn%3Aaws%3Achime", f"/{token()}", f"/_carillon/{token()}"):
            door.send("GET", path)
            door.call("GET", path)
    for action in ("CreateUser", f"Create{token()}"):
        with Connection(server) as door:
            door.call("POST", "/", {"Action": action})
    written = [text for family in scrape(server).values() for texts in family.labels.values() for text in texts]
    assert written
    for text in written:
        assert not re.search(r"arn:|[0-9a-f]{8}-|[0-9a-f]{16}|@|\d{6}", text), text
        assert len(text) <= 64, text


def test_the_guide_explains_every_metric(server):
    """By name, labels and kind, as they are in the answer."""
    rows = re.findall(
        r"^\| `(carillon_\w+)(?:\{([\w,]+)\})?` \| (\w+) \| (.+) \|$",
        (ROOT / "docs/guide/metrics.md").read_text(),
        re.M,
    )
    told = {name: (set(labels.split(",")) - {""}, kind) for name, labels, kind, _ in rows}
    assert len(told) == len(rows), "a metric stands there twice"
    there = scrape(server)
    endings = {"counter": "_total", "info": "_info"}
    written = {name + endings.get(family.kind, ""): family for name, family in there.items()}
    assert told.keys() == written.keys() | {name + ("_total" if name.endswith("orders") else "") for name in OF_SOME}
    for name, family in written.items():
        labels, kind = told[name]
        assert kind == family.kind, name
        # What has not happened yet has no labels to show.
        assert family.label_names in ([labels] if family.samples else [labels, set()]), name
