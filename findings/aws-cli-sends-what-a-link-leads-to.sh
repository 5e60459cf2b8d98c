#!/usr/bin/env bash
# The AWS CLI v1 reads a message that is a link, and sends the page instead of the link.
#
# software    awscli 1.46.3 of PyPI
# behaviour   a parameter that begins with http:// or https:// is taken for the place where its value is: the CLI gets it, and
#             nothing says so. `cli_follow_urlparam = false` in the profile ends it; parameters of `--cli-input-json` are as
#             they stand
# seen        --content http://127.0.0.1/notes: the page is asked for 1 time, Content is "what the page says"
#             --cli-input-json: the page is asked for 0 times, Content is "http://127.0.0.1/notes"
#             cli_follow_urlparam = false: the page is asked for 0 times, Content is "http://127.0.0.1/notes"
# why here    messages are often links, and the server cannot tell: it is sent the page. What to set is in docs/guide/clients.md
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

APP = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001"
MESSAGE = {
    "ChannelArn": f"{APP}/channel/lobby",
    "ChimeBearer": f"{APP}/user/ana",
    "Type": "STANDARD",
    "Persistence": "PERSISTENT",
}
asked, said = [], []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.answer("text/plain", b"what the page says")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said.append(json.loads(body)["Content"])
        self.answer("application/json", b'{"MessageId":"x"}')

    def answer(self, kind: str, body: bytes):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
link = f"{address}/notes"


def send(words: str, config: str, *parameters: str) -> str:
    asked.clear()
    with open("config", "w") as file:
        file.write(f"[default]\n{config}\n")
    given = {
        "AWS_CONFIG_FILE": "config",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    program = [sys.executable, "-m", "awscli", "--endpoint-url", address, "chime-sdk-messaging", "send-channel-message"]
    subprocess.run([*program, *parameters], env={**os.environ, **given}, check=True, stdout=subprocess.DEVNULL)
    content = said.pop().replace(f":{server.server_port}", "")
    line = f'{words}: the page is asked for {len(asked)} time{"" if len(asked) == 1 else "s"}, Content is "{content}"'
    print(line)
    return line


names = {"ChannelArn": "--channel-arn", "ChimeBearer": "--chime-bearer", "Type": "--type", "Persistence": "--persistence"}
spelled = [word for key, value in MESSAGE.items() for word in (names[key], value)]
whole = json.dumps({**MESSAGE, "Content": link})
seen = [
    send("--content http://127.0.0.1/notes", "", *spelled, "--content", link),
    send("--cli-input-json", "", "--cli-input-json", whole),
    send("cli_follow_urlparam = false", "cli_follow_urlparam = false", *spelled, "--content", link),
]
sys.exit(
    seen
    != [
        '--content http://127.0.0.1/notes: the page is asked for 1 time, Content is "what the page says"',
        '--cli-input-json: the page is asked for 0 times, Content is "http://127.0.0.1/notes"',
        'cli_follow_urlparam = false: the page is asked for 0 times, Content is "http://127.0.0.1/notes"',
    ]
)
SCRIPT
PYTHONPATH=packages python3 run.py
