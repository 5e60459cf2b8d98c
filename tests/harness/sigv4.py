"""Signature Version 4 by hand, so that a test may also sign wrongly, in the past, or fast."""

import hashlib
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlencode

from harness.server import REGION, Credentials

SERVICE = "chime"
ALGORITHM = "AWS4-HMAC-SHA256"


def headers_for(
    credentials: Credentials,
    method: str,
    target: str,
    host: str,
    body: bytes = b"",
    at: datetime | None = None,
    extra: dict[str, str] | None = None,
) -> dict[str, str]:
    """The headers of a signed request; `target` is the path and query as they go over the wire."""
    time = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-date": time} | {
        name.lower(): value for name, value in (extra or {}).items()
    }
    path, _, query = target.partition("?")
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/~"),
            "&".join(sorted(query.split("&"))),
            "".join(f"{name}:{headers[name]}\n" for name in sorted(headers)),
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{time[:8]}/{REGION}/{SERVICE}/aws4_request"
    signature = sign(credentials, time, scope, canonical)
    credential = f"{credentials.access_key_id}/{scope}"
    return headers | {
        "authorization": f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    }


def connect_target(
    credentials: Credentials,
    host: str,
    parameters: dict[str, str],
    at: datetime | None = None,
    expires_s: int = 10,
) -> str:
    """The path and query of a signed `/connect`, as the SDKs make it."""
    time = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{REGION}/{SERVICE}/aws4_request"
    signed = parameters | {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": time,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token is not None:
        signed["X-Amz-Security-Token"] = credentials.session_token
    query = urlencode(sorted(signed.items()), quote_via=quote, safe="")
    canonical = "\n".join(
        ["GET", "/connect", query, f"host:{host}\n", "host", hashlib.sha256(b"").hexdigest()]
    )
    return f"/connect?{query}&X-Amz-Signature={sign(credentials, time, scope, canonical)}"


def sign(credentials: Credentials, time: str, scope: str, canonical: str) -> str:
    text = "\n".join([ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(
        signing_key(credentials.secret_access_key, scope), text.encode(), hashlib.sha256
    ).hexdigest()


@lru_cache
def signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
