#!/usr/bin/env bash
# faye-websocket tells its user 1002 where the server closed with 1012 or 1013, and the server's own reason beside it.
#
# software    faye-websocket 0.11.4 with websocket-driver 0.8.0, and ws 8.23.0 beside it, of npm, on Node
# behaviour   its driver takes the codes that RFC 6455 itself names and those from 3000 on. What IANA registered since is a
#             fault of the peer to it: it says "protocol error" to its user and to the server, though nothing else was wrong
# seen        closed with 1011: faye-websocket 1011 why, ws 1011 why
#             closed with 1012: faye-websocket 1002 why, ws 1012 why
#             closed with 1013: faye-websocket 1002 why, ws 1013 why
#             closed with 4001: faye-websocket 4001 why, ws 4001 why
# why here    Carillon says 1012 when it goes down and 1013 when it has too much to do, and amazon-chime-sdk-js comes back
#             after both but not after 1002: with this WebSocket below it a session ends at each deploy (docs/guide/clients.md)
#
# Ends with 0 while this is so, with 1 when it changed. Needs node and npm; talks to npm and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save --prefix . \
  faye-websocket@0.11.4 websocket-driver@0.8.0 ws@8.23.0 >&2

cat > run.cjs <<'SCRIPT'
const Faye = require("faye-websocket");
const WebSocket = require("ws");

const server = new WebSocket.Server({ host: "127.0.0.1", port: 0 });
server.on("connection", (socket, request) => socket.close(Number(request.url.slice(1)), "why"));

/** What a client of this kind is told when it is closed with this code. */
function told(Client, code) {
  return new Promise((resolve) => {
    const socket = new Client(`ws://127.0.0.1:${server.address().port}/${code}`);
    socket.onclose = (event) => resolve(`${event.code} ${event.reason}`);
  });
}

server.on("listening", async () => {
  const seen = [];
  for (const code of [1011, 1012, 1013, 4001]) {
    const line = `closed with ${code}: faye-websocket ${await told(Faye.Client, code)}, ws ${await told(WebSocket, code)}`;
    console.log(line);
    seen.push(line);
  }
  const expected = [1011, 1012, 1013, 4001].map((code) => {
    const later = code === 1012 || code === 1013;
    return `closed with ${code}: faye-websocket ${later ? 1002 : code} why, ws ${code} why`;
  });
  process.exit(seen.join() === expected.join() ? 0 : 1);
});
SCRIPT
node run.cjs
