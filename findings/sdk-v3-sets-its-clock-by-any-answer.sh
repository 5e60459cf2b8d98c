#!/usr/bin/env bash
# The AWS SDK for JavaScript v3 sets its clock by the `Date` of every answer, not only of one that calls its signature too old.
#
# software    @aws-sdk/client-chime-sdk-messaging 3.1142.0 of npm, on Node
# behaviour   whatever `Date` a 200 has, the next call is signed with that time, however near or far it is; only an answer
#             with an `Age` does not count. So a proxy that writes a `Date` of its own, with a clock that is wrong, has
#             clients whose clocks are right refused for their signatures
# seen        after an answer of ten minutes ahead the next call is signed 10 minutes ahead
#             after an answer of four minutes ahead the next call is signed 4 minutes ahead
#             after an answer of now the next call is signed 0 minutes ahead
#             after an answer of ten minutes ahead, with an Age, the next call is signed 0 minutes ahead
# why here    Carillon's `Date` is hyper's, so the real time under `--test-clock`, too
#             (docs/decisions/0080-letters-of-headers.md). A proxy before it passes it on, or keeps its own clock
#             (docs/guide/clients.md)
#
# Ends with 0 while this is so, with 1 when it changed. Needs node and npm; talks to npm and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save --prefix . @aws-sdk/client-chime-sdk-messaging@3.1142.0 >&2

cat > run.cjs <<'SCRIPT'
const http = require("node:http");
const { ChimeSDKMessagingClient, GetMessagingSessionEndpointCommand } = require("@aws-sdk/client-chime-sdk-messaging");

const MINUTE = 60_000;
let answer; // minutes ahead, and other headers
let signedAhead;
const server = http.createServer((request, response) => {
  const signed = request.headers["x-amz-date"].replace(/(....)(..)(..T..)(..)(..Z)/, "$1-$2-$3:$4:$5");
  signedAhead = Math.round((Date.parse(signed) - Date.now()) / MINUTE);
  const date = new Date(Date.now() + answer.ahead * MINUTE).toUTCString();
  response.writeHead(200, { "Content-Type": "application/json", Date: date, ...answer.headers });
  response.end('{"Endpoint":{"Url":"x"}}');
});
server.listen(0, "127.0.0.1", async () => {
  const client = new ChimeSDKMessagingClient({
    endpoint: `http://127.0.0.1:${server.address().port}`,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" },
  });
  const call = (ahead, headers = {}) => {
    answer = { ahead, headers };
    return client.send(new GetMessagingSessionEndpointCommand({}));
  };
  const seen = [];
  const after = async (words, ...answered) => {
    await call(...answered);
    await call(0);
    console.log(`after an answer of ${words} the next call is signed ${signedAhead} minutes ahead`);
    seen.push(signedAhead);
  };
  await after("ten minutes ahead", 10);
  await after("four minutes ahead", 4);
  await after("now", 0);
  await after("ten minutes ahead, with an Age,", 10, { Age: "0" });
  process.exit(seen.join() === "10,4,0,0" ? 0 : 1);
});
SCRIPT
NODE_NO_WARNINGS=1 node run.cjs
