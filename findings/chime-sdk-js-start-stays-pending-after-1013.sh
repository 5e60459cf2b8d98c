#!/usr/bin/env bash
# amazon-chime-sdk-js never settles the promise of `start()` if the first connection is closed with 1013 and the next one holds.
#
# software    amazon-chime-sdk-js 3.32.0 of npm, with ws 8.23.0 in place of a browser's WebSocket, on Node
# behaviour   coming back makes a promise of its own, which takes the place of that of `start()`: the session is up, its
#             observers are told so, and whoever awaits `start()` waits on
# seen        first connection SESSION_ESTABLISHED: observers told 1 time, start() fulfilled
#             first connection closed with 1013: observers told 1 time, start() pending
#             first connection closed with 4003: observers told 0 times, start() rejected
# why here    Carillon accepts a connection that comes too soon and holds it until its turn, and does not close it with 1013
#             (docs/decisions/0060-real-time.md)
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
const { setTimeout: sleep } = require("node:timers/promises");
const { DefaultMessagingSession, MessagingSessionConfiguration, NoOpLogger } = require("amazon-chime-sdk-js");
const { ChimeSDKMessagingClient } = require("@aws-sdk/client-chime-sdk-messaging");
const WebSocket = require("ws");

const USER = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001/user/ana";
const ESTABLISHED = JSON.stringify({ Headers: { "x-amz-chime-event-type": "SESSION_ESTABLISHED" }, Payload: null });
// Without TLS, which is not what this is about.
globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url.replace("wss:", "ws:"));
  }
};

/** What becomes of `start()` where the first connection is closed with this code, and every later one is a session. */
async function begin(code) {
  let connections = 0;
  const server = http.createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ Endpoint: { Url: `127.0.0.1:${server.address().port}` } }));
  });
  const sockets = new WebSocket.Server({ server });
  sockets.on("connection", (socket) => {
    connections += 1;
    if (code && connections === 1) socket.close(code);
    else socket.send(ESTABLISHED);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const chime = new ChimeSDKMessagingClient({
    endpoint: `http://127.0.0.1:${server.address().port}`,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" },
  });
  const session = new DefaultMessagingSession(new MessagingSessionConfiguration(USER, "one", undefined, chime), new NoOpLogger());
  let told = 0;
  let ended = "pending";
  const over = new Promise((resolve) => {
    session.addObserver({ messagingSessionDidStart: () => resolve((told += 1)) });
    session.start().then(() => (ended = "fulfilled"), () => resolve((ended = "rejected")));
  });
  await over;
  await sleep(500); // time enough for whatever is still to come of it
  const line = `first connection ${code ? `closed with ${code}` : "SESSION_ESTABLISHED"}: ` +
    `observers told ${told} time${told === 1 ? "" : "s"}, start() ${ended}`;
  console.log(line);
  return line;
}

(async () => {
  const seen = [await begin(undefined), await begin(1013), await begin(4003)];
  const expected = [
    "first connection SESSION_ESTABLISHED: observers told 1 time, start() fulfilled",
    "first connection closed with 1013: observers told 1 time, start() pending",
    "first connection closed with 4003: observers told 0 times, start() rejected",
  ];
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
SCRIPT
NODE_NO_WARNINGS=1 node run.cjs
