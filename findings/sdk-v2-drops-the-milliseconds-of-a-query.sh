#!/usr/bin/env bash
# The AWS SDK for JavaScript v2 drops the milliseconds of a time that it puts into a query; v3 keeps them.
#
# software    aws-sdk 2.1693.0 and @aws-sdk/client-chime-sdk-messaging 3.1142.0 of npm, on Node
# behaviour   ListChannelMessages with NotBefore = 2026-01-15T12:00:03.070Z asks v2 for all since 12:00:03, so messages of
#             the 70 ms before are listed, and NotAfter leaves out those of the last second
# seen        v2 sends not-before=2026-01-15T12:00:03Z
#             v3 sends not-before=2026-01-15T12:00:03.070Z
# why here    a walk that goes on from the time of the last message sees some twice (docs/clients.md)
#
# Ends with 0 while this is so, with 1 when it changed. Needs node and npm; talks to npm and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save --prefix . \
  aws-sdk@2.1693.0 @aws-sdk/client-chime-sdk-messaging@3.1142.0 >&2

cat > run.cjs <<'SCRIPT'
const http = require("node:http");
const AWS = require("aws-sdk");
const { ChimeSDKMessagingClient, ListChannelMessagesCommand } = require("@aws-sdk/client-chime-sdk-messaging");

const user = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001/user/ana";
const input = {
  ChannelArn: user.replace("/user/ana", "/channel/lobby"),
  ChimeBearer: user,
  NotBefore: new Date("2026-01-15T12:00:03.070Z"),
};
let asked;
const server = http.createServer((request, response) => {
  asked = new URL(request.url, "http://localhost").searchParams.get("not-before");
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end('{"ChannelMessages":[]}');
});
server.listen(0, "127.0.0.1", async () => {
  const endpoint = `http://127.0.0.1:${server.address().port}`;
  const credentials = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" };
  await new AWS.ChimeSDKMessaging({ endpoint, region: "us-east-1", ...credentials }).listChannelMessages(input).promise();
  const v2 = asked;
  await new ChimeSDKMessagingClient({ endpoint, region: "us-east-1", credentials }).send(new ListChannelMessagesCommand(input));
  const v3 = asked;
  console.log(`v2 sends not-before=${v2}`);
  console.log(`v3 sends not-before=${v3}`);
  process.exit(v2 === "2026-01-15T12:00:03Z" && v3 === "2026-01-15T12:00:03.070Z" ? 0 : 1);
});
SCRIPT
AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE=1 NODE_NO_WARNINGS=1 node run.cjs
