"""A collector of traces, as OpenTelemetry has them: it takes spans by HTTP and by gRPC, and keeps them."""

import threading
import time
from collections.abc import Callable
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

WAIT_S = 30
KINDS = {1: "internal", 2: "server", 3: "client"}


class Span:
    """What was sent of one, by the words of this project."""

    def __init__(self, span: Any, resource: dict[str, str]):
        self.name: str = span.name
        self.kind = KINDS.get(span.kind, str(span.kind))
        self.trace, self.id, self.parent = (
            part.hex() for part in (span.trace_id, span.span_id, span.parent_span_id)
        )
        self.attributes = attributes(span.attributes)
        self.is_error = span.status.code == 2
        self.nanoseconds = span.end_time_unix_nano - span.start_time_unix_nano
        self.service = resource.get("service.name")

    def __repr__(self) -> str:
        return f"{self.kind} {self.name} {self.attributes} {self.trace}/{self.parent}/{self.id}"


def attributes(given: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in given}


class Collector:
    """Both of its ports are open in a `with`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.paths: list[str] = []
        self.changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.append(self.path)
                collector.take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        class Service(TraceServiceServicer):
            def Export(self, request, context):  # noqa: N802
                collector.paths.append("grpc")
                collector.take(request)
                return ExportTraceServiceResponse()

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http_url = f"http://127.0.0.1:{self.http.server_port}"
        self.grpc = grpc.server(futures.ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(Service(), self.grpc)
        self.grpc_url = f"http://127.0.0.1:{self.grpc.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> "Collector":
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.grpc.start()
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.grpc.stop(None)

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self.changed:
            for of_resource in request.resource_spans:
                resource = attributes(of_resource.resource.attributes)
                for scope in of_resource.scope_spans:
                    self.spans += [Span(span, resource) for span in scope.spans]
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[Span], bool], what: str) -> Span:
        """The first span that is so."""
        deadline = time.monotonic() + WAIT_S
        with self.changed:
            while True:
                if found := [span for span in self.spans if condition(span)]:
                    return found[0]
                left = deadline - time.monotonic()
                assert left > 0, f"no span of {what} within {WAIT_S} s: {self.spans}"
                self.changed.wait(left)
