#!/usr/bin/env bash
# boto3 with a profile of `duration_seconds = 900`, the least that STS takes, assumes the role anew before every single call.
#
# software    boto3 and botocore 1.44.5 of PyPI
# behaviour   botocore renews credentials once they have less than 15 minutes left, and 900 seconds are less as soon as they
#             have arrived. A minute more and they are kept
# seen        duration_seconds = 900: 4 calls, AssumeRole 4 times
#             duration_seconds = 960: 4 calls, AssumeRole 1 time
#             duration_seconds = 3600: 4 calls, AssumeRole 1 time
# why here    Carillon gives out a session for each, counts each for `sts_calls_per_second` (docs/guide/limits.md), and every call
#             takes two; what to set instead is in docs/guide/clients.md
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages boto3==1.44.5 botocore==1.44.5 >&2

cat > run.py <<'SCRIPT'
import http.server
import os
import sys
import threading
from datetime import datetime, timedelta, timezone

import boto3

CALLS = 4
ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>{}</Expiration></Credentials>
<AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:chat</AssumedRoleId>
<Arn>arn:aws:sts::111122223333:assumed-role/Chat/chat</Arn></AssumedRoleUser>
</AssumeRoleResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></AssumeRoleResponse>"""


def attempt(seconds: int) -> str:
    """How often a role of that many seconds is assumed for a few calls, one after the other."""
    assumed = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            assumed.append(self.path)
            end = datetime.now(timezone.utc) + timedelta(seconds=seconds)
            self.answer("text/xml", ASSUMED.format(end.strftime("%Y-%m-%dT%H:%M:%SZ")))

        def do_GET(self):
            self.answer("application/json", '{"Endpoint":{"Url":"x"}}')

        def answer(self, kind: str, body: str):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open("config", "w") as file:
        file.write(
            "[profile root]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\n"
            "[profile chat]\nregion = us-east-1\nsource_profile = root\n"
            f"role_arn = arn:aws:iam::111122223333:role/Chat\nduration_seconds = {seconds}\n"
            f"endpoint_url = http://127.0.0.1:{server.server_port}\n"
        )
    client = boto3.Session(profile_name="chat").client("chime-sdk-messaging")
    for _ in range(CALLS):
        client.get_messaging_session_endpoint()
    server.shutdown()
    times = f"{len(assumed)} time{'' if len(assumed) == 1 else 's'}"
    line = f"duration_seconds = {seconds}: {CALLS} calls, AssumeRole {times}"
    print(line)
    return line


for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ |= {"AWS_CONFIG_FILE": "config", "AWS_EC2_METADATA_DISABLED": "true"}
seen = [attempt(900), attempt(960), attempt(3600)]
sys.exit(
    seen
    != [
        "duration_seconds = 900: 4 calls, AssumeRole 4 times",
        "duration_seconds = 960: 4 calls, AssumeRole 1 time",
        "duration_seconds = 3600: 4 calls, AssumeRole 1 time",
    ]
)
SCRIPT
PYTHONPATH=packages python3 run.py
