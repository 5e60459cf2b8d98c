"""Servers that a test plays: whatever Carillon calls over HTTP."""

import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_TIMEOUT_S = 60

Answer = tuple[int, Mapping[str, str], bytes]


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A server that is killed leaves its connections behind: no fault of this side."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Played:
    """Answers each call by `answer`, and notes it. What is wrong with a call is told at the end."""

    def __init__(self, answer: Callable[[str, str, Any, bytes], Answer]):
        self.faults: list[str] = []
        self.calls: list[Any] = []
        self.changed = threading.Condition()
        played = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self):
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                status, headers, answered = answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answered)))
                self.end_headers()
                self.wfile.write(answered)

            do_GET = do_POST = respond

            def log_message(self, *_):
                pass

        self.http = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()
        assert not self.faults, self.faults

    def note(self, call: Any) -> None:
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[list[Any]], Any]) -> Any:
        """What the condition makes of the calls so far, once it makes something."""
        with self.changed:
            found = self.changed.wait_for(lambda: condition(self.calls), WAIT_TIMEOUT_S)
        assert found, f"{self.calls}, and not what was waited for"
        return found

    def taken(self, count: int) -> list[Any]:
        """The calls, once there are so many."""
        return self.wait_for(lambda calls: len(calls) >= count and list(calls))
