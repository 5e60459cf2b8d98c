#!/usr/bin/env bash
# The AWS SDK for JavaScript v3 takes whichever of `Retry-After` and `x-amz-retry-after` stands first in an answer.
#
# software    @aws-sdk/client-chime-sdk-messaging 3.1142.0 of npm, on Node
# behaviour   its parseRetryAfterHeader goes through the headers in their order and returns at the first of the two, so the
#             exact hint in milliseconds counts only if it comes before the whole seconds
# seen        x-amz-retry-after first: waited about 1500 ms
#             retry-after first: waited about 4000 ms
# why here    Carillon sends both, the exact one first (docs/decisions/0080-letters-of-headers.md)
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

const EXACT = ["x-amz-retry-after", "1500"];
const WHOLE = ["Retry-After", "4"];

/** How long the client waits when it is turned away once, with these hints. */
async function wait(...hints) {
  const times = [];
  const server = http.createServer((request, response) => {
    times.push(performance.now());
    if (times.length === 1) {
      response.writeHead(503, ["Content-Type", "application/json", "x-amzn-ErrorType", "ServiceUnavailableException", ...hints.flat()]);
      response.end('{"Code":"ServiceUnavailable","Message":"later"}');
    } else {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end('{"Endpoint":{"Url":"x"}}');
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new ChimeSDKMessagingClient({
    endpoint: `http://127.0.0.1:${server.address().port}`,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" },
  });
  await client.send(new GetMessagingSessionEndpointCommand({}));
  client.destroy();
  server.close();
  return Math.round(times[1] - times[0]);
}

(async () => {
  const [exactFirst, wholeFirst] = [await wait(EXACT, WHOLE), await wait(WHOLE, EXACT)];
  console.log(`x-amz-retry-after first: waited ${exactFirst} ms`);
  console.log(`retry-after first: waited ${wholeFirst} ms`);
  process.exit(exactFirst < 3900 && 3900 <= wholeFirst ? 0 : 1);
})();
SCRIPT
node run.cjs
