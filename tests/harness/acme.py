"""A small certificate authority that speaks ACME (RFC 8555), with ARI (RFC 9773): it proves names by asking the servers
that it is told of, at their own ports, and issues certificates that live as long as a test wants."""

import base64
import hashlib
import http.client
import json
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

ERROR = "urn:ietf:params:acme:error:"
PROOF = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
ASK_TIMEOUT_S = 10


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Issuer:
    """A CA of two levels of nothing: a root that signs leaves."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        now = datetime.now(timezone.utc)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(True, 0), True)
            .sign(self.key, hashes.SHA256())
        )

    def sign(self, public_key: Any, names: list[x509.GeneralName], life: timedelta) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + life)
            .add_extension(x509.SubjectAlternativeName(names), True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def pair(self, name: str, life: timedelta = timedelta(days=2)) -> tuple[bytes, bytes]:
        """A chain and its key, for a server of the test's own."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.sign(key.public_key(), [x509.DNSName(name)], life)
        return leaf.public_bytes(serialization.Encoding.PEM) + self.pem, pem_of(key)


class Problem(Exception):
    def __init__(self, kind: str, detail: str, status: int = 403):
        self.status = status
        self.body = {"type": ERROR + kind, "detail": detail, "status": status}


@dataclass
class Order:
    account: str
    names: list[str]
    challenges: dict[str, dict[str, Any]]
    certificate: bytes | None = None
    refused: bool = False

    @property
    def status(self) -> str:
        if self.refused:
            return "invalid"
        if self.certificate:
            return "valid"
        return "ready" if all(one["status"] == "valid" for one in self.challenges.values()) else "pending"


@dataclass
class Authority:
    """Answers at `url`, whose own certificate `ca` signs. What it issues is signed by `issuer`."""

    folder: Path
    #: Port of HTTP and of HTTPS of each server that a name leads to: each must prove it.
    places: list[tuple[int, int]]
    kinds: tuple[str, ...] = ("http-01", "tls-alpn-01")
    life: timedelta = timedelta(days=90)
    #: Names that it knows to lead elsewhere.
    elsewhere: set[str] = field(default_factory=set)
    #: When certificates are to be renewed, by ARI, of each that was issued: nothing, or how long after it.
    wishes: list[timedelta] = field(default_factory=list)

    def __post_init__(self):
        self.own, self.issuer = Issuer(), Issuer()
        self.ca = self.folder / "authority.pem"
        self.ca.write_bytes(self.own.pem)
        self.accounts: dict[str, Any] = {}
        self.orders: list[Order] = []
        self.nonces: set[str] = set()
        self.issued: list[datetime] = []
        self.lock = threading.Lock()
        self.server: ThreadingHTTPServer | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/directory"

    def __enter__(self) -> "Authority":
        chain, key = self.own.pair("localhost")
        paths = self.folder / "directory.pem", self.folder / "directory-key.pem"
        for path, text in zip(paths, (chain, key), strict=True):
            path.write_bytes(text)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        authority = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                self.request.settimeout(ASK_TIMEOUT_S)
                self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def do_GET(self):
                authority.answer(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                """Whoever hangs up is no matter."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    # The protocol.

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("content-length") or 0)
        body = request.rfile.read(length)
        try:
            status, headers, answer = self.route(request.command, request.path, body)
        except Problem as problem:
            status, headers, answer = problem.status, {"content-type": "application/problem+json"}, problem.body
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        request.send_response(status)
        for name, value in ({"content-type": "application/json"} | headers).items():
            request.send_header(name, value)
        request.send_header("replay-nonce", self.nonce())
        request.send_header("content-length", str(len(payload)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(payload)

    def nonce(self) -> str:
        nonce = os.urandom(12).hex()
        with self.lock:
            self.nonces.add(nonce)
        return nonce

    def at(self, path: str) -> str:
        return f"https://localhost:{self.port}/{path}"

    def route(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        words = path.strip("/").split("/")
        if words == ["directory"]:
            names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
            urls = {name: self.at(path) for name, path in names.items()}
            urls |= {"renewalInfo": self.at("renewal")} if self.wishes else {}
            return 200, {}, urls
        if words == ["nonce"]:
            return 200, {}, {}
        if words[0] == "renewal" and method == "GET":
            return 200, {"retry-after": "600"}, {"suggestedWindow": self.window()}
        account, payload = self.believed(path, body)
        if words == ["account"]:
            return 201, {"location": self.at(f"account/{account}")}, {"status": "valid"}
        if words == ["order"]:
            return self.new_order(account, payload)
        number, order = int(words[1]), self.orders[int(words[1])]
        if order.account != account:
            raise Problem("unauthorized", "the order is another's")
        match words[0]:
            case "orders":
                return 200, {}, self.shown(number)
            case "authorizations":
                return 200, {}, self.authorization(number, words[2])
            case "challenges":
                return 200, {}, self.prove(number, words[2], words[3])
            case "finalize":
                return 200, {}, self.finalize(number, payload)
            case "certificates":
                return 200, {"content-type": "application/pem-certificate-chain"}, order.certificate
        raise Problem("malformed", f"there is no {path}", 404)

    def believed(self, path: str, body: bytes) -> tuple[str, Any]:
        """Who signed a request, and what it says."""
        request = json.loads(body)
        protected = json.loads(decoded(request["protected"]))
        with self.lock:
            if protected["nonce"] not in self.nonces:
                raise Problem("badNonce", "the nonce is not known", 400)
            self.nonces.discard(protected["nonce"])
        if protected["url"] != self.at(path.strip("/")) or protected["alg"] != "ES256":
            raise Problem("malformed", "the header is of another request", 400)
        jwk = protected.get("jwk")
        account = thumbprint(jwk) if jwk else protected["kid"].rsplit("/", 1)[-1]
        if jwk is None and account not in self.accounts:
            raise Problem("accountDoesNotExist", "the account is not known", 400)
        jwk = jwk or self.accounts[account]
        x, y = (int.from_bytes(decoded(jwk[name])) for name in ("x", "y"))
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        signature = decoded(request["signature"])
        pair = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        signed = f"{request['protected']}.{request['payload']}".encode()
        try:
            key.verify(pair, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Problem("unauthorized", "the signature is wrong") from None
        self.accounts[account] = jwk
        return account, json.loads(decoded(request["payload"])) if request["payload"] else None

    def new_order(self, account: str, payload: Any) -> tuple[int, dict[str, str], Any]:
        names = [identifier["value"] for identifier in payload["identifiers"]]
        challenges = {name: {"status": "pending", "token": os.urandom(16).hex(), "errors": {}} for name in names}
        with self.lock:
            self.orders.append(Order(account, names, challenges))
            number = len(self.orders) - 1
        return 201, {"location": self.at(f"orders/{number}")}, self.shown(number)

    def shown(self, number: int) -> Any:
        order = self.orders[number]
        shown: dict[str, Any] = {
            "status": order.status,
            "identifiers": [{"type": "dns", "value": name} for name in order.names],
            "authorizations": [self.at(f"authorizations/{number}/{name}") for name in order.names],
            "finalize": self.at(f"finalize/{number}"),
        }
        if order.certificate:
            shown["certificate"] = self.at(f"certificates/{number}")
        return shown

    def authorization(self, number: int, name: str) -> Any:
        challenge = self.orders[number].challenges[name]
        shown = []
        for kind in self.kinds:
            one = {"type": kind, "token": challenge["token"], "status": challenge["status"]}
            one["url"] = self.at(f"challenges/{number}/{name}/{kind}")
            if kind in challenge["errors"]:
                one["error"] = challenge["errors"][kind]
            shown.append(one)
        identifier = {"type": "dns", "value": name}
        return {"status": challenge["status"], "identifier": identifier, "challenges": shown}

    def prove(self, number: int, name: str, kind: str) -> Any:
        order = self.orders[number]
        challenge = order.challenges[name]
        answer = f"{challenge['token']}.{order.account}"
        try:
            if name in self.elsewhere:
                raise AssertionError("the name leads elsewhere")
            for http_port, https_port in self.places:
                if kind == "http-01":
                    prove_by_http(http_port, name, challenge["token"], answer)
                else:
                    prove_by_tls(https_port, name, answer)
            challenge["status"] = "valid"
        except (AssertionError, OSError) as error:
            challenge["status"], order.refused = "invalid", True
            challenge["errors"][kind] = {"type": ERROR + "unauthorized", "detail": str(error), "status": 403}
        url = self.at(f"challenges/{number}/{name}/{kind}")
        return {"type": kind, "url": url, "token": challenge["token"], "status": challenge["status"]}

    def finalize(self, number: int, payload: Any) -> Any:
        order = self.orders[number]
        if order.status != "ready":
            raise Problem("orderNotReady", f"the order is {order.status}")
        asked = x509.load_der_x509_csr(decoded(payload["csr"]))
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert asked.is_signature_valid and set(names.get_values_for_type(x509.DNSName)) == set(order.names)
        leaf = self.issuer.sign(asked.public_key(), list(names), self.life)
        with self.lock:
            self.issued.append(datetime.now(timezone.utc))
            order.certificate = leaf.public_bytes(serialization.Encoding.PEM) + self.issuer.pem
        return self.shown(number)

    def window(self) -> Any:
        wish = self.wishes[min(len(self.issued), len(self.wishes)) - 1]
        start = self.issued[-1] + wish
        text = "%Y-%m-%dT%H:%M:%SZ"
        return {"start": start.strftime(text), "end": (start + timedelta(seconds=1)).strftime(text)}


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(jwk: dict[str, str]) -> str:
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def prove_by_http(port: int, name: str, token: str, answer: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_TIMEOUT_S)
    try:
        connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"host": name})
        response = connection.getresponse()
        body = response.read().decode()
        assert (response.status, body.strip()) == (200, answer), f"{port} answers {response.status} {body}"
    finally:
        connection.close()


def prove_by_tls(port: int, name: str, answer: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["acme-tls/1"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=ASK_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        assert secured.selected_alpn_protocol() == "acme-tls/1", "the protocol is not acme-tls/1"
        shown = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(name)], f"{port} shows {names}"
    proof = shown.extensions.get_extension_for_oid(PROOF)
    digest = b"\x04\x20" + hashlib.sha256(answer.encode()).digest()
    assert proof.critical and proof.value.value == digest, f"{port} shows another proof"
