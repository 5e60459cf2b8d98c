#!/usr/bin/env bash
# amazon-chime-sdk-js signs its socket by the device's own clock, also where the SDK below it has found out that it is wrong.
#
# software    amazon-chime-sdk-js 3.32.0 with @aws-sdk/client-chime-sdk-messaging 3.1142.0 of npm, on Node
# behaviour   the SDK's client is refused once, sets its clock by the answer's `Date`, and is right from then on. The session
#             takes address and credentials from that client, but not its clock: its own signer writes the device's time, and
#             ten seconds of validity. So on a device that is slow enough all calls succeed, and no session ever begins
# seen        the SDK's calls, on a device that is 20 minutes slow: signed 20 minutes late, signed 0 minutes late
#             the session's socket: signed 20 minutes late, valid for 10 seconds
# why here    Carillon takes a socket that was signed up to `[limits] connect_late_seconds` ago, five minutes by default, and
#             beyond closes it with 4401 and a reason that names the clock (docs/guide/real-time.md)
#
# Ends with 0 while this is so, with 1 when it changed. Needs node and npm; talks to npm and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save --prefix . \
  amazon-chime-sdk-js@3.32.0 @aws-sdk/client-chime-sdk-messaging@3.1142.0 ws@8.23.0 >&2

cat > run.cjs <<'SCRIPT'
const http = require("node:http");
const { DefaultMessagingSession, MessagingSessionConfiguration, NoOpLogger } = require("amazon-chime-sdk-js");
const { ChimeSDKMessagingClient } = require("@aws-sdk/client-chime-sdk-messaging");
const WebSocket = require("ws");

const USER = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001/user/ana";
const SLOW = 20;
// The device's clock is this machine's; that of the server is 20 minutes ahead of it.
const now = () => Date.now() + SLOW * 60_000;
const late = (signed) =>
  Math.round((now() - Date.parse(signed.replace(/(....)(..)(..T..)(..)(..Z)/, "$1-$2-$3:$4:$5"))) / 60_000);
// Without TLS, which is not what this is about.
globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url.replace("wss:", "ws:"));
  }
};

const calls = [];
const server = http.createServer((request, response) => {
  const minutes = late(request.headers["x-amz-date"]);
  calls.push(`signed ${minutes} minutes late`);
  const refused = Math.abs(minutes) > 5;
  const type = refused ? { "x-amzn-ErrorType": "InvalidSignatureException" } : {};
  response.writeHead(refused ? 403 : 200, { "Content-Type": "application/json", Date: new Date(now()).toUTCString(), ...type });
  const address = `127.0.0.1:${server.address().port}`;
  response.end(JSON.stringify(refused ? { Message: "Signature expired" } : { Endpoint: { Url: address } }));
});
const sockets = new WebSocket.Server({ server });
sockets.on("connection", (socket, request) => {
  socket.close(4401);
  const query = new URL(request.url, "http://localhost").searchParams;
  const seen = [
    `the SDK's calls, on a device that is ${SLOW} minutes slow: ${calls.join(", ")}`,
    `the session's socket: signed ${late(query.get("X-Amz-Date"))} minutes late, valid for ${query.get("X-Amz-Expires")} seconds`,
  ];
  console.log(seen.join("\n"));
  const expected = [
    "the SDK's calls, on a device that is 20 minutes slow: signed 20 minutes late, signed 0 minutes late",
    "the session's socket: signed 20 minutes late, valid for 10 seconds",
  ];
  process.exit(seen.join() === expected.join() ? 0 : 1);
});
server.listen(0, "127.0.0.1", () => {
  const chime = new ChimeSDKMessagingClient({
    endpoint: `http://127.0.0.1:${server.address().port}`,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" },
  });
  new DefaultMessagingSession(new MessagingSessionConfiguration(USER, "one", undefined, chime), new NoOpLogger()).start();
});
SCRIPT
NODE_NO_WARNINGS=1 node run.cjs
