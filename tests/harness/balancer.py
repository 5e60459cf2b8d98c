"""What stands before the nodes of a cluster: each connection goes to the next node that is ready."""

import itertools
import socket
import threading
import time
import urllib.error
from collections.abc import Sequence

from harness.cluster import ROOT, Node
from harness.proxy import shut

ASK_EVERY_S = 0.2
CHUNK_BYTES = 64 * 1024


class Balancer:
    """Has what a client of a server asks that for."""

    credentials = ROOT

    def __init__(self, nodes: Sequence[Node]):
        self.nodes = nodes
        self.turns = itertools.count()
        self.ready = list(nodes)
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.http_port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.http_port}"
        self.http_url = f"http://{self.host}"
        for work in (self.ask, self.accept):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> "Balancer":
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.listener.close()

    def ask(self) -> None:
        while not self.over.wait(ASK_EVERY_S):
            self.ready = [node for node in self.nodes if is_ready(node)]

    def accept(self) -> None:
        while not self.over.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        """One that is gone since it was asked is left out."""
        for node in list(self.ready) * 2:
            node = (self.ready or [node])[next(self.turns) % len(self.ready or [node])]
            try:
                server = socket.create_connection(("127.0.0.1", node.http_port))
            except OSError:
                time.sleep(ASK_EVERY_S)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            return pump(client, server)
        client.close()


def is_ready(node: Node) -> bool:
    try:
        return node.ready()[0] == 200
    except (urllib.error.URLError, OSError):
        return False


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        shut(end)
        end.close()
