"""A TCP proxy before a store, which can go silent: it swallows what comes, on old and new connections, and closes none."""

import socket
import threading
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards to where a URL points. A connection that has swallowed anything stays silent for ever."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port or 5432)
        self.silent = False
        self.swallowed = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
        self.open: list[socket.socket] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_) -> None:
        for held in [self.listener, *self.open]:
            held.close()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            self.open += [client, server]
            poisoned = threading.Event()
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, sink, poisoned), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, poisoned: threading.Event) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                if self.silent:
                    poisoned.set()
                    self.swallowed.set()
                if not poisoned.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        # Whoever closes, closes both; a silent one tells nobody.
        if not poisoned.is_set():
            for end in (source, sink):
                end.close()

    def go_silent(self) -> None:
        self.silent = True
        self.swallowed.clear()

    def come_back(self) -> None:
        self.silent = False
