#!/usr/bin/env bash
# amazon-chime-sdk-js tells no observer of a session's end if it comes back and is turned away before SESSION_ESTABLISHED.
#
# software    amazon-chime-sdk-js 3.32.0 of npm, with ws 8.23.0 in place of a browser's WebSocket, on Node
# behaviour   a close code that ends a running session is told by messagingSessionDidStop. After 1012 it connects again, and
#             from the opening of that socket on it counts as not begun: the same code then only rejects a promise that
#             nobody holds, and the application believes in a session that there is not
# seen        closed with 4003: messagingSessionDidStop 4003
#             closed with 1012, and as it comes back with 4003: no messagingSessionDidStop, an unhandled rejection 4003
# why here    Carillon accepts the upgrade and then says 4003 of a user who is gone and 4401 of a signature, as the original
#             does (docs/guide/real-time.md); what an application does about it is in docs/guide/clients.md
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
let unhandled;
process.on("unhandledRejection", (event) => (unhandled = event.code));

/** What an application hears of a session that is closed with these codes, one a connection: the first once it runs. */
async function hear(...codes) {
  const left = [...codes];
  unhandled = undefined;
  const server = http.createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ Endpoint: { Url: `127.0.0.1:${server.address().port}` } }));
  });
  const sockets = new WebSocket.Server({ server });
  const last = new Promise((resolve) => {
    sockets.on("connection", (socket) => {
      if (left.length === codes.length) socket.send(ESTABLISHED);
      socket.close(left.shift());
      if (left.length === 0) socket.on("close", resolve);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const chime = new ChimeSDKMessagingClient({
    endpoint: `http://127.0.0.1:${server.address().port}`,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" },
  });
  const session = new DefaultMessagingSession(new MessagingSessionConfiguration(USER, "one", undefined, chime), new NoOpLogger());
  let stopped;
  session.addObserver({ messagingSessionDidStop: (event) => (stopped = event.code) });
  await session.start();
  await last;
  await sleep(500); // time enough for whatever is still to come of it
  const told = stopped ? `messagingSessionDidStop ${stopped}` : "no messagingSessionDidStop";
  const line = `closed with ${codes.join(", and as it comes back with ")}: ${told}` +
    (unhandled ? `, an unhandled rejection ${unhandled}` : "");
  console.log(line);
  return line;
}

(async () => {
  const seen = [await hear(4003), await hear(1012, 4003)];
  const expected = [
    "closed with 4003: messagingSessionDidStop 4003",
    "closed with 1012, and as it comes back with 4003: no messagingSessionDidStop, an unhandled rejection 4003",
  ];
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
SCRIPT
NODE_NO_WARNINGS=1 node run.cjs
