#!/usr/bin/env bash
# boto3's standard retries do not repeat a call that was answered 429 with ThrottledClientException; the legacy ones do.
#
# software    boto3 and botocore 1.44.5 of PyPI
# behaviour   in the mode `standard` the name of an error or its mark in the service model decides. The model of
#             chime-sdk-messaging does not mark ThrottledClientException, and the status 429 alone counts for nothing: the
#             caller gets the error at once, whatever `x-amz-retry-after` says. The mode `legacy` goes by the status
# seen        standard, 429: 1 call, ThrottledClientException
#             standard, 503: 2 calls, answered
#             legacy, 429: 2 calls, answered
# why here    who sends in bursts must set `retries = {"mode": "legacy"}` (docs/guide/limits.md)
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages boto3==1.44.5 botocore==1.44.5 >&2

cat > run.py <<'SCRIPT'
import http.server
import sys
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

NAMES = {429: "ThrottledClient", 503: "ServiceUnavailable"}


def attempt(mode: str, status: int) -> str:
    """Turned away once, answered from then on."""
    calls = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            refused = len(calls) == 1
            body = b'{"Message":"later"}' if refused else b'{"Endpoint":{"Url":"x"}}'
            self.send_response(status if refused else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if refused:
                self.send_header("x-amzn-ErrorType", f"{NAMES[status]}Exception")
                self.send_header("x-amz-retry-after", "10")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = boto3.client(
        "chime-sdk-messaging",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region_name="us-east-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"mode": mode, "max_attempts": 3}),
    )
    try:
        client.get_messaging_session_endpoint()
        ended = "answered"
    except ClientError as error:
        ended = error.response["Error"]["Code"]
    server.shutdown()
    line = f"{mode}, {status}: {len(calls)} call{'s' if len(calls) > 1 else ''}, {ended}"
    print(line)
    return line


seen = [attempt("standard", 429), attempt("standard", 503), attempt("legacy", 429)]
sys.exit(
    seen
    != [
        "standard, 429: 1 call, ThrottledClientException",
        "standard, 503: 2 calls, answered",
        "legacy, 429: 2 calls, answered",
    ]
)
SCRIPT
PYTHONPATH=packages AWS_EC2_METADATA_DISABLED=true python3 run.py
