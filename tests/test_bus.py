"""How nodes come by their bus: TLS, a user with a password, credentials as NATS makes them."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cluster import Cluster
from harness.nats import Nats
from harness.postgres import Authority
from harness.session import Session
from harness.world import World
from test_cluster import Play, metric, refusal

BROUGHT_WITHIN_S = 10
# The first byte of what an nkey is of, and of a seed.
OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3


@contextmanager
def nats_of(folder: Path, configuration: str) -> Iterator[Nats]:
    path = folder / "nats.conf"
    path.write_text(configuration)
    with Nats(folder, 1, "--config", str(path)) as nats:
        yield nats


def cluster_of(folder: Path, bus: str, **settings: object) -> Cluster:
    """Two nodes whose `[nats]` has these settings."""
    path = folder / "carillon.toml"
    path.write_text("[nats]\n" + "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in settings.items()))
    cluster = Cluster(folder, bus, 2)
    for node in cluster.nodes:
        node.flags += ("--config", str(path))
    return cluster


def assert_brings(cluster: Cluster) -> None:
    """What is committed at one node comes to the other by the bus; the store would bring it, too."""
    one, two = cluster.nodes
    world = World(one)
    ana, bob = world.users("ana", "bob")
    lobby = world.channel(ana, bob)
    with Session.established(two, bob):
        until = time.monotonic() + BROUGHT_WITHIN_S
        while metric(two, "carillon_bus_events_total") == 0:
            assert time.monotonic() < until, "the bus brings nothing"
            world.send(lobby, ana)


def test_a_bus_is_spoken_to_in_tls_with_whom_the_file_trusts(tmp_path):
    authority = Authority("bus")
    certificate, key = authority.issue("localhost")
    configuration = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    with nats_of(tmp_path, configuration) as nats:
        address = f"tls://localhost:{nats.ports[0]}"
        with cluster_of(tmp_path, address, ca_file=authority.certificate) as cluster:
            assert_brings(cluster)
        # Not by whomever, and not under another name.
        by_number = nats.url.replace("nats", "tls")
        for bus, trusted in ((address, Authority("another")), (by_number, authority)):
            (node, _) = cluster_of(tmp_path, bus, ca_file=trusted.certificate).nodes
            assert f"the bus {bus} cannot be used" in refusal(node)
    # What is asked for in TLS is not had without.
    with Nats(tmp_path) as plain:
        (node, _) = cluster_of(tmp_path, plain.url.replace("nats", "tls"), ca_file=authority.certificate).nodes
        assert "cannot be used" in refusal(node)


def test_a_bus_is_given_a_name_and_a_password(tmp_path):
    with nats_of(tmp_path, 'authorization { user: "me", password: "s/cret" }') as nats:
        address = "nats://me:{}@" + nats.url.removeprefix("nats://")
        with cluster_of(tmp_path, address.format("s%2Fcret")) as cluster:
            assert_brings(cluster)
        for bus in (address.format("wrong"), nats.url):
            said = refusal(cluster_of(tmp_path, bus).nodes[0])
            assert f"the bus {nats.url} cannot be used" in said and "wrong" not in said


def test_nodes_that_have_another_bus_lose_nothing(tmp_path):
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
    with Nats(tmp_path / "one") as one, Nats(tmp_path / "another") as another:
        cluster = Cluster(tmp_path, one.url)
        cluster.nodes[2].flags = ("--bus", another.url)
        with cluster:
            play = Play(cluster)
            play.senders.wait_for(60)
            play.end()
            assert metric(cluster.nodes[0], "carillon_bus_events_total") > 0
            assert metric(cluster.nodes[2], "carillon_bus_events_total") == 0


class Nkey:
    """A key pair as NATS writes it, made by openssl."""

    def __init__(self, folder: Path, kind: int):
        self.kind, self.file = kind, folder / f"nkey-{kind}.pem"
        openssl("genpkey", "-algorithm", "ed25519", "-out", str(self.file))
        # Both forms end with the 32 bytes that are meant.
        raw = openssl("pkey", "-in", str(self.file), "-outform", "DER")[-32:]
        self.seed = encoded(bytes([SEED | kind >> 5, (kind & 31) << 3]) + raw)
        public = openssl("pkey", "-in", str(self.file), "-pubout", "-outform", "DER")[-32:]
        self.public = encoded(bytes([kind]) + public)

    def sign(self, folder: Path, subject: str, kind: str, **claims: object) -> str:
        """What it says of a key, as a JWT."""
        nats = {"type": kind, "version": 2} | claims
        said = {"jti": kind, "iat": int(time.time()), "iss": self.public, "name": kind, "sub": subject, "nats": nats}
        parts = [base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, said)]
        words = folder / "words"
        words.write_text(".".join(parts))
        signature = openssl("pkeyutl", "-sign", "-inkey", str(self.file), "-rawin", "-in", str(words))
        return ".".join([*parts, base64url(signature)])


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, timeout=60, capture_output=True).stdout


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(data: bytes) -> str:
    """Behind it a CRC-16 of XMODEM, the lower byte first."""
    check = 0
    for byte in data:
        check ^= byte << 8
        for _ in range(8):
            check = (check << 1 ^ 0x1021 if check & 0x8000 else check << 1) & 0xFFFF
    return base64.b32encode(data + check.to_bytes(2, "little")).rstrip(b"=").decode()


def test_a_bus_is_shown_credentials_as_nats_makes_them(tmp_path):
    operator, account, user, stranger = (
        Nkey(folder(tmp_path, name), kind)
        for name, kind in (("o", OPERATOR), ("a", ACCOUNT), ("u", USER), ("s", ACCOUNT))
    )
    unlimited = dict.fromkeys(("subs", "data", "payload"), -1)
    more = dict.fromkeys(("imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
    of_operator = operator.sign(tmp_path, operator.public, "operator")
    of_account = operator.sign(tmp_path, account.public, "account", limits=unlimited | more)
    configuration = (
        f"operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {account.public}: {of_account} }}\n"
    )

    def credentials(name: str, signer: Nkey) -> Path:
        path = tmp_path / name
        of_user = signer.sign(tmp_path, user.public, "user", **unlimited)
        blocks = [("NATS USER JWT", of_user), ("USER NKEY SEED", user.seed)]
        path.write_text("".join(f"-----BEGIN {what}-----\n{said}\n------END {what}------\n\n" for what, said in blocks))
        return path

    with nats_of(tmp_path, configuration) as nats:
        with cluster_of(tmp_path, nats.url, creds_file=credentials("creds", account)) as cluster:
            assert_brings(cluster)
        wrong = credentials("wrong", stranger)
        for creds in ({"creds_file": wrong}, {}, {"creds_file": tmp_path / "missing"}):
            assert "cannot be used" in refusal(cluster_of(tmp_path, nats.url, **creds).nodes[0])


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made
