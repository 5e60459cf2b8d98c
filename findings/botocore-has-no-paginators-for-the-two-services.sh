#!/usr/bin/env bash
# The AWS CLI shows the first page of a list of these two services, and stops; boto3 has no paginator for any of their lists.
#
# software    awscli 1.46.3 of PyPI, and the botocore that it brings
# behaviour   botocore knows from a file beside each model which lists have pages; those of chime-sdk-messaging and
#             chime-sdk-identity are empty, though 16 of their operations take a NextToken and answer one. So the CLI walks
#             lists of IAM, but not these, and knows no `--max-items` for them. (The SDK for JavaScript v3, made of the same
#             models, has `paginateListChannels`)
# seen        chime-sdk-messaging: 11 operations have pages, botocore has paginators for 0
#             chime-sdk-identity: 5 operations have pages, botocore has paginators for 0
#             iam: botocore has a paginator for ListUsers
#             aws chime-sdk-messaging list-channels, of two pages: 1 call, 1 channel
# why here    tests/harness/paginators.py makes the paginators of the model; who uses the CLI is told in docs/guide/clients.md
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages awscli==1.46.3 >&2

cat > run.py <<'SCRIPT'
import http.server
import json
import os
import subprocess
import sys
import threading

import botocore.session
from botocore import xform_name

APP = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001"
os.environ |= {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
session = botocore.session.get_session()


def pages(service: str) -> str:
    """How many operations have pages by their shapes, and how many botocore would walk."""
    client = session.create_client(service)
    model = client.meta.service_model
    paged = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        shapes = (operation.input_shape, operation.output_shape)
        if all(shape is not None and "NextToken" in shape.members for shape in shapes):
            paged.append(xform_name(name))
    walked = [name for name in paged if client.can_paginate(name)]
    return f"{service}: {len(paged)} operations have pages, botocore has paginators for {len(walked)}"


calls = []


class Handler(http.server.BaseHTTPRequestHandler):
    """A list of two channels, each on a page of its own."""

    def do_GET(self):
        calls.append(self.path)
        number = len(calls)
        answer = {"Channels": [{"ChannelArn": f"{APP}/channel/{number}", "Name": f"Channel {number}"}]}
        if number == 1:
            answer["NextToken"] = "second"
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
program = [sys.executable, "-m", "awscli", "--endpoint-url", f"http://127.0.0.1:{server.server_port}", "--output", "json"]
asked = ["chime-sdk-messaging", "list-channels", "--app-instance-arn", APP, "--chime-bearer", f"{APP}/user/ana"]
shown = json.loads(subprocess.run([*program, *asked], check=True, capture_output=True).stdout)

has = "has a paginator" if session.create_client("iam").can_paginate("list_users") else "has no paginator"
seen = [
    pages("chime-sdk-messaging"),
    pages("chime-sdk-identity"),
    f"iam: botocore {has} for ListUsers",
    f"aws chime-sdk-messaging list-channels, of two pages: {len(calls)} call, {len(shown['Channels'])} channel",
]
print("\n".join(seen))
sys.exit(
    seen
    != [
        "chime-sdk-messaging: 11 operations have pages, botocore has paginators for 0",
        "chime-sdk-identity: 5 operations have pages, botocore has paginators for 0",
        "iam: botocore has a paginator for ListUsers",
        "aws chime-sdk-messaging list-channels, of two pages: 1 call, 1 channel",
    ]
)
SCRIPT
PYTHONPATH=packages python3 run.py
