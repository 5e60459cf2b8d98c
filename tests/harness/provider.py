"""An identity provider on this machine: a key pair, its key set over HTTP, and tokens of any quality."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import rsa

KEY_BITS = 2048


class Provider:
    """Serves its configuration and keys until the end of a `with`."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.PrivateKey] = {}
        self.rotate("first")
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {
                    "/.well-known/openid-configuration": provider.configuration,
                    "/keys": provider.key_set,
                }
                page = pages.get(self.path)
                body = json.dumps(page()).encode() if page else b"{}"
                self.send_response(200 if page else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "Provider":
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.http.shutdown()
        self.http.server_close()

    def rotate(self, key_id: str) -> None:
        """From here on it has this key and no other."""
        self.keys = {key_id: rsa.newkeys(KEY_BITS)[1]}

    def configuration(self) -> dict[str, Any]:
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}

    def key_set(self) -> dict[str, Any]:
        return {"keys": [jwk(key_id, key) for key_id, key in self.keys.items()]}

    def token(self, key: rsa.PrivateKey | None = None, alg: str = "RS256", **claims: Any) -> str:
        """Good, unless its claims or another key make it bad."""
        key_id, own = next(iter(self.keys.items()))
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "chat", "sub": "ana", "iat": now, "exp": now + 3600} | claims
        header = {"alg": alg, "kid": key_id, "typ": "JWT"}
        signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
        signature = b"" if alg == "none" else rsa.sign(signed.encode(), key or own, "SHA-256")
        return f"{signed}.{encode(signature)}"


def jwk(key_id: str, key: rsa.PrivateKey) -> dict[str, str]:
    number = lambda value: encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))  # noqa: E731
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, "n": number(key.n), "e": number(key.e)}


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
