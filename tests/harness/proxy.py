"""A TCP proxy before a store or a bus, which can go silent (it swallows what comes, on old and new connections, and closes none),
refuse and cut all, or let one statement through and cut before its answer. It can also be some way off."""

import socket
import threading
import time
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards to where a URL points, what is sent there after a delay. A connection that has swallowed anything stays
    silent for ever."""

    def __init__(self, url: str, delay_s: float = 0):
        parts = urlsplit(url)
        self.delay_s = delay_s
        # Both ways, while it lasts.
        self.slow_s = 0.0
        self.target = (parts.hostname, parts.port or 5432)
        self.silent = False
        self.swallowed = threading.Event()
        self.refusing = False
        # Of which transaction the commit is let through and its answer is not, once.
        self.doubtful: bytes | None = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        user, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()
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
            except OSError:
                return
            try:
                server = None if self.refusing else socket.create_connection(self.target)
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            self.open += [client, server]
            poisoned, doubted = threading.Event(), threading.Event()
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # From here on either may close both.
            for source, sink, delay_s in ((client, server, self.delay_s), (server, client, 0)):
                arguments = (source, sink, poisoned, doubted, delay_s)
                threading.Thread(target=self.pump, args=arguments, daemon=True).start()

    def pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        poisoned: threading.Event,
        doubted: threading.Event,
        delay_s: float,
    ) -> None:
        marked = False
        try:
            while data := source.recv(CHUNK_BYTES):
                if delay_s or self.slow_s:
                    time.sleep(delay_s + self.slow_s)
                if self.silent:
                    poisoned.set()
                    self.swallowed.set()
                if doubted.is_set():
                    # What comes now is what the store answers. It was done with the commit when it says its name.
                    if b"COMMIT" in data:
                        break
                    continue
                marked = marked or (self.doubtful is not None and self.doubtful in data)
                if marked and b"COMMIT" in data:
                    self.doubtful = None
                    doubted.set()
                if not poisoned.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        # Whoever closes, closes both; a silent one tells nobody.
        if not poisoned.is_set():
            for end in (source, sink):
                shut(end)
                end.close()

    def go_silent(self) -> None:
        self.silent = True
        self.swallowed.clear()

    def refuse(self) -> None:
        """Cuts all, and takes none."""
        self.refusing = True
        for held in self.open:
            shut(held)

    def leave_in_doubt(self, words: bytes) -> None:
        """The commit of the transaction that says these words."""
        self.doubtful = words

    def come_back(self) -> None:
        self.slow_s = 0
        self.silent = False
        self.refusing = False


def shut(end: socket.socket) -> None:
    """Also where another thread waits for it, which a close alone would not tell."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
