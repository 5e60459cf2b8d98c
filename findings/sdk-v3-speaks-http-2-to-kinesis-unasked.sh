#!/usr/bin/env bash
# The AWS SDK for JavaScript v3 speaks HTTP/2 to Kinesis from the first byte on, and cannot reach a stand-in for it by default.
#
# software    @aws-sdk/client-kinesis 3.1142.0 and @smithy/node-http-handler 4.14.2, and kinesalite 3.3.3, of npm, on Node
# behaviour   the handler that Kinesis' client has by default begins with HTTP/2 also where the endpoint is `http://`, without
#             asking whether anybody there can. kinesalite knows HTTP/1.1 only, and what it says to that the client calls a
#             protocol error; given NodeHttpHandler it works
# seen        by default: ERR_HTTP2_ERROR
#             with NodeHttpHandler: 0 streams
# why here    Carillon puts its records by HTTP/1.1 (docs/decisions/0071-calls-of-aws.md), so they do arrive at such a stand-in;
#             who reads them back by v3 needs the other handler (docs/guide/streams.md)
#
# Ends with 0 while this is so, with 1 when it changed. Needs node and npm; talks to npm and to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save --prefix . \
  @aws-sdk/client-kinesis@3.1142.0 @smithy/node-http-handler@4.14.2 kinesalite@3.3.3 >&2

cat > run.cjs <<'SCRIPT'
const { KinesisClient, ListStreamsCommand } = require("@aws-sdk/client-kinesis");
const { NodeHttpHandler } = require("@smithy/node-http-handler");
const kinesalite = require("kinesalite");

const server = kinesalite();
server.listen(0, "127.0.0.1", async () => {
  /** What the client makes of the stand-in, by this handler or by its own. */
  const ask = async (words, requestHandler) => {
    const client = new KinesisClient({
      endpoint: `http://127.0.0.1:${server.address().port}`,
      region: "us-east-1",
      credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" },
      maxAttempts: 1,
      requestHandler,
    });
    const line = await client.send(new ListStreamsCommand({})).then(
      (answer) => `${words}: ${answer.StreamNames.length} streams`,
      (error) => `${words}: ${error.code}`,
    );
    console.log(line);
    return line;
  };
  const seen = [await ask("by default"), await ask("with NodeHttpHandler", new NodeHttpHandler())];
  process.exit(seen.join() === "by default: ERR_HTTP2_ERROR,with NodeHttpHandler: 0 streams" ? 0 : 1);
});
SCRIPT
NODE_NO_WARNINGS=1 node run.cjs
