#!/usr/bin/env bash
# pywebpush writes into the claims that it is given, and so signs for the next push service in the name of the one before.
#
# software    pywebpush 2.5.0 and http-ece 1.2.1 of PyPI
# behaviour   `vapid_claims` without `aud` gets that of the subscription at hand, in the caller's own dictionary. At the next
#             call it has an `aud`, which stays. Who notifies browsers of two makers in a loop, with one dictionary of their
#             contact, is refused by the push service of the second
# seen        one dictionary: first service, aud is its own; second service, aud is the first's
#             a copy for each: first service, aud is its own; second service, aud is its own
# why here    Carillon makes the claims anew for each notification, of the origin that is called
#             (crates/targets/src/push/web_push.rs)
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages pywebpush==2.5.0 http-ece==1.2.1 >&2

cat > run.py <<'SCRIPT'
import base64
import http.server
import json
import os
import sys
import threading

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from pywebpush import webpush

CONTACT = {"sub": "mailto:ops@example.com"}
signer = Vapid02()
signer.generate_keys()


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class PushService:
    """Takes every notification, and remembers for whom it was signed."""

    def __init__(self):
        self.audience = None
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                claims = self.headers["Authorization"].split("t=")[1].split(".")[1]
                service.audience = json.loads(base64.urlsafe_b64decode(claims + "=="))["aud"]
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{server.server_port}"

    def subscription(self) -> dict:
        """That of a browser which would be notified here."""
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"endpoint": f"{self.origin}/one", "keys": {"p256dh": text(point), "auth": text(os.urandom(16))}}


def notify(words: str, claims_of_call) -> str:
    services = {"first": PushService(), "second": PushService()}
    owners = {service.origin: name for name, service in services.items()}
    found = []
    for name, service in services.items():
        webpush(service.subscription(), "hello", vapid_private_key=signer, vapid_claims=claims_of_call())
        owner = owners[service.audience]
        whose = "its own" if owner == name else f"the {owner}'s"
        found.append(f"{name} service, aud is {whose}")
    line = f"{words}: {'; '.join(found)}"
    print(line)
    return line


shared = dict(CONTACT)
seen = [notify("one dictionary", lambda: shared), notify("a copy for each", lambda: dict(CONTACT))]
sys.exit(
    seen
    != [
        "one dictionary: first service, aud is its own; second service, aud is the first's",
        "a copy for each: first service, aud is its own; second service, aud is its own",
    ]
)
SCRIPT
PYTHONPATH=packages python3 run.py
