"""TLS by itself: certificates by ACME on the real binary, and files that are read again."""

import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from harness.acme import Authority, Issuer
from harness.cluster import Cluster
from harness.nats import Nats
from harness.processor import eventually
from harness.server import Server

NAME = "chat.example.test"
OTHER = "talk.example.test"


def configuration(authority: Authority, *more: str, names: tuple[str, ...] = (NAME,)) -> str:
    lines = [
        "[tls.acme]",
        f"domains = {list(names)}",
        'email = "ops@example.test"',
        f'directory_url = "{authority.url}"',
        f'ca_file = "{authority.ca}"',
        "retry_seconds = 1",
        *more,
    ]
    return "\n".join(lines)


def shown(port: int, trusted: Issuer | None = None, name: str = NAME) -> x509.Certificate | None:
    """The certificate that a server shows; nothing where its clients would not trust it for this name."""
    context = ssl.create_default_context()
    if trusted is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=trusted.pem.decode())
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
    except ssl.SSLError:
        return None


def is_trusted(server: Server, authority: Authority, name: str = NAME) -> bool:
    return shown(server.https_port, authority.issuer, name) is not None


def orders(server: Server, result: str) -> int:
    word = f'carillon_certificate_orders_total{{result="{result}"}} '
    lines = [line for line in server.measured().splitlines() if line.startswith(word)]
    return int(lines[0].removeprefix(word)) if lines else 0


@pytest.fixture
def acme(engine, tmp_path):
    """Starts a server whose certificate comes from an authority, which knows where the server is."""
    started: list[Server] = []
    authority = Authority(tmp_path, [])

    def start(*more: str, **options) -> Server:
        path = tmp_path / "carillon.toml"
        path.write_text(configuration(authority, *more, **options))
        server = Server(tmp_path, engine, "--config", str(path))
        authority.places = [(server.http_port, server.https_port)]
        started.append(server.start())
        return server

    yield authority, start
    for server in started:
        server.stop()
    authority.__exit__()


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_a_certificate_is_issued_by_either_challenge_and_outlives_a_restart(acme, kind):
    authority, start = acme
    authority.kinds = (kind,)
    with authority:
        server = start(names=(NAME, OTHER))
        eventually(lambda: is_trusted(server, authority), True)
        assert is_trusted(server, authority, OTHER)
        assert orders(server, "issued") == 1
        assert not is_trusted(server, authority, "other.example.test")
        first = shown(server.https_port)
        server.stop()
        server.start()
        eventually(lambda: is_trusted(server, authority), True)
        assert shown(server.https_port).serial_number == first.serial_number
        assert len(authority.issued) == 1
    secret = server.store is None and (server.data_dir / "carillon.db").read_bytes()
    assert not secret or b"PRIVATE KEY" not in secret


def test_it_is_renewed_at_two_thirds_of_its_life_while_what_there_is_serves_on(acme):
    authority, start = acme
    authority.life = timedelta(seconds=15)
    with authority:
        server = start()
        eventually(lambda: is_trusted(server, authority), True)
        first = shown(server.https_port)
        eventually(lambda: shown(server.https_port).serial_number != first.serial_number, True)
        assert is_trusted(server, authority)
        second = authority.issued[1] - authority.issued[0]
        assert timedelta(seconds=9) <= second, "earlier than two thirds of its life"


def test_it_is_renewed_when_the_authority_wishes(acme):
    authority, start = acme
    authority.wishes = [timedelta(seconds=2), timedelta(days=60)]
    with authority:
        server = start()
        eventually(lambda: is_trusted(server, authority), True)
        first = shown(server.https_port)
        eventually(lambda: shown(server.https_port).serial_number != first.serial_number, True)
        assert orders(server, "issued") == 2


def test_a_name_that_leads_elsewhere_and_an_authority_that_is_away_are_tried_again(acme):
    authority, start = acme
    # It is away: the server starts, and shows what it has.
    server = start()
    eventually(lambda: 0 < orders(server, "failed"), True)
    assert shown(server.https_port) is not None and not is_trusted(server, authority)
    authority.elsewhere = {NAME}
    with authority:
        eventually(lambda: "the name leads elsewhere" in server.log.read_text(), True)
        assert NAME in server.log.read_text() and not is_trusted(server, authority)
        authority.elsewhere = set()
        authority.life = timedelta(seconds=12)
        eventually(lambda: is_trusted(server, authority), True)
    # It is away again when the certificate is due: the one before serves on.
    failed, last = orders(server, "failed"), shown(server.https_port)
    eventually(lambda: failed < orders(server, "failed"), True)
    assert shown(server.https_port).serial_number == last.serial_number
    with authority:
        eventually(lambda: shown(server.https_port).serial_number != last.serial_number, True)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_of_two_nodes_one_orders_both_prove_and_both_show(tmp_path, kind):
    authority = Authority(tmp_path, [], kinds=(kind,))
    path = tmp_path / "carillon.toml"
    path.write_text(configuration(authority))
    with Nats(tmp_path) as nats, authority:
        cluster = Cluster(tmp_path, nats.url, 0)
        cluster.nodes = [cluster.node(number, "--config", str(path)) for number in range(2)]
        authority.places = [(node.http_port, node.https_port) for node in cluster.nodes]
        with cluster:
            for node in cluster.nodes:
                eventually(lambda node=node: is_trusted(node, authority), True)
            serials = {shown(node.https_port).serial_number for node in cluster.nodes}
            assert len(serials) == 1 and len(authority.issued) == 1
            assert sum(orders(node, "issued") for node in cluster.nodes) == 1


def replace(folder: Path, chain: bytes, key: bytes) -> None:
    """As a program does that renews: each file at once."""
    for name, text in (("cert.pem", chain), ("key.pem", key)):
        (folder / "new").write_bytes(text)
        (folder / "new").replace(folder / name)


def test_files_that_change_are_read_again_and_bad_ones_are_not_taken(engine, tmp_path):
    issuer = Issuer()
    replace(tmp_path, *issuer.pair(NAME))
    flags = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    server = Server(tmp_path, engine, *flags).start()
    try:
        first = shown(server.https_port, issuer)
        assert first is not None
        replace(tmp_path, *issuer.pair(NAME))
        eventually(lambda: shown(server.https_port, issuer).serial_number != first.serial_number, True)
        second = shown(server.https_port, issuer)
        # A key of another certificate.
        (chain, _), (_, key) = issuer.pair(NAME), issuer.pair(NAME)
        replace(tmp_path, chain, key)
        eventually(lambda: "the one before is kept" in server.log.read_text(), True)
        assert shown(server.https_port, issuer).serial_number == second.serial_number
        replace(tmp_path, *issuer.pair(NAME))
        eventually(lambda: shown(server.https_port, issuer).serial_number != second.serial_number, True)
    finally:
        server.stop()
