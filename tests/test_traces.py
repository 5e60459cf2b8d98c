"""Traces, as a collector gets them: what a request was, the transactions below it, and what was called outside."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

from harness import sigv4
from harness.collector import Collector
from harness.processor import FUNCTION, targets
from harness.server import Server
from harness.streams import STREAM, stream_to
from harness.world import World
from test_flows import channel_with, flow
from test_starting import listeners, refusal, start_and_end

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
# Spans are sent every so many milliseconds, where a test does not want to wait for five seconds.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(params=["http/protobuf", "grpc", None])
def traced(request, serve, collector) -> Server:
    """A server whose spans are sent by this protocol; by HTTP, where none is named."""
    protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": request.param} if request.param else {}
    url = collector.grpc_url if request.param == "grpc" else collector.http_url
    return serve("", OTEL_EXPORTER_OTLP_ENDPOINT=url, **protocol, **SOON)


def ask(server: Server, target: str, **more: str) -> None:
    headers = sigv4.headers_for(server.credentials, "GET", target, server.host)
    with urllib.request.urlopen(urllib.request.Request(server.http_url + target, headers=headers | more)) as answer:
        assert answer.status == 200


def test_a_request_goes_on_with_the_trace_that_it_came_with(traced, collector):
    ask(traced, "/app-instances", traceparent=f"00-{TRACE}-{PARENT}-01")
    request = collector.wait_for(lambda span: span.trace == TRACE and span.kind == "server", "the request")
    assert (request.name, request.parent, request.service) == ("ListAppInstances", PARENT, "carillon")
    assert request.attributes["operation"] == "ListAppInstances"
    assert request.attributes["code"] == "OK"
    assert len(request.attributes["request_id"]) == 36
    assert request.nanoseconds > 0
    transaction = collector.wait_for(lambda span: span.parent == request.id, "its transaction")
    assert (transaction.name, transaction.trace, transaction.attributes["kind"]) == ("transaction", TRACE, "read")
    assert set(collector.paths) in ({"/v1/traces"}, {"grpc"})


def test_a_write_and_a_refusal_are_told_apart(serve, collector):
    server = serve("", OTEL_EXPORTER_OTLP_ENDPOINT=collector.http_url, **SOON)
    world = World(server)
    created = collector.wait_for(lambda span: span.name == "CreateAppInstance", "the request")
    assert created.parent == ""
    write = collector.wait_for(lambda span: span.parent == created.id, "its transaction")
    assert write.attributes["kind"] == "write"
    with pytest.raises(ClientError):
        world.identity.describe_app_instance(AppInstanceArn=world.app_instance + "x")
    described = collector.wait_for(lambda span: span.name == "DescribeAppInstance", "the refusal")
    assert described.attributes["code"] in ("Forbidden", "BadRequest")
    assert not described.is_error, "what a client did wrong is no error of the server"


def test_transactions_of_nobody_are_no_traces(serve, collector):
    """Jobs and loops look into the store all the time; nobody asked for that."""
    server = serve("", OTEL_EXPORTER_OTLP_ENDPOINT=collector.http_url, **SOON)
    World(server)
    server.stop()
    roots = {span.name for span in collector.spans if span.parent == ""}
    assert "transaction" not in roots
    # What was kept is sent before the process ends.
    assert "CreateAppInstance" in roots


class Outside:
    """Takes whatever is posted, and keeps its path and its `traceparent`."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                outside.parents[self.path] = self.headers["traceparent"]
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "Outside":
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()


def called(serve, outside: Outside, **environment: str) -> None:
    """Has a processor called, and a stream."""
    stream = f'[streams."{STREAM}"]\nkind = "http"\nurl = "{outside.url}/stream"\n'
    world = World(serve(targets(outside.url + "/processor") + stream, **environment))
    ana = world.user("ana")
    stream_to(world)
    world.send(channel_with(world, flow(world, FUNCTION), ana), ana)


def test_what_is_called_outside_is_told_which_trace_it_belongs_to(serve, collector):
    with Outside() as outside:
        called(serve, outside, OTEL_EXPORTER_OTLP_ENDPOINT=collector.http_url, **SOON)
        for name, path in (("processor", "/processor"), ("stream", "/stream")):
            call = collector.wait_for(lambda span, name=name: span.name == name and span.kind == "client", name)
            assert call.attributes["rows"] >= 1
            spans = [span for span in collector.spans if span.name == name]
            assert outside.parents[path] in [f"00-{span.trace}-{span.id}-01" for span in spans]


def test_without_a_collector_nothing_is_sent_on(serve):
    with Outside() as outside:
        called(serve, outside)
        wait_until(lambda: {"/processor", "/stream"} <= outside.parents.keys())
        assert set(outside.parents.values()) == {None}


def wait_until(condition) -> None:
    deadline = threading.Event()
    for _ in range(600):
        if condition():
            return
        deadline.wait(0.05)
    raise AssertionError("not within 30 s")


def test_a_collector_that_is_away_costs_no_request_anything(serve):
    server = serve("", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **SOON)
    World(server)
    wait_until(lambda: "the collector does not take traces" in server.log.read_text())
    World(server)
    assert server.log.read_text().count("the collector does not take traces") == 1


def test_a_protocol_that_nobody_speaks_is_refused(tmp_path):
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    }
    words = ["serve", "--data-dir", str(tmp_path / "data"), *listeners()]
    ended = start_and_end(tmp_path, *words, **environment)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is http/json" in refusal(ended)
    assert "http/protobuf or by grpc" in ended.stderr
