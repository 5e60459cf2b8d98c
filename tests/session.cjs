// Runs the real DefaultMessagingSession of amazon-chime-sdk-js in Node and prints what happens, one JSON
// object a line. It ends when its standard input ends.
//
// usage: node session.cjs ENDPOINT USER_ARN [STARTS]      (how many sessions start at once; region and credentials from the AWS_… variables)
//
// The library is the unmodified package. What it takes from a browser and Node lacks is given here: WebSocket
// (the `ws` package), CloseEvent (the library makes one when it cannot fetch its endpoint), and the little of
// `window`, `document` and `navigator` that it reads.
"use strict";

const readline = require("node:readline");

globalThis.WebSocket = require("ws").WebSocket;
globalThis.CloseEvent ??= class CloseEvent extends Event {
  constructor(type, { code = 0, reason = "", wasClean = false } = {}) {
    super(type);
    Object.assign(this, { code, reason, wasClean });
  }
};
globalThis.window ??= globalThis;
globalThis.document ??= { addEventListener() {}, removeEventListener() {} };
globalThis.navigator ??= { userAgent: "node" };

const { ChimeSDKMessagingClient } = require("@aws-sdk/client-chime-sdk-messaging");
const { ConsoleLogger, DefaultMessagingSession, LogLevel, MessagingSessionConfiguration } = require("amazon-chime-sdk-js");

const [endpoint, userArn, starts = "1"] = process.argv.slice(2);
const client = new ChimeSDKMessagingClient({ endpoint, region: process.env.AWS_REGION });
const sessions = Array.from({ length: Number(starts) }, () => {
  const configuration = new MessagingSessionConfiguration(userArn, null, undefined, client);
  return new DefaultMessagingSession(configuration, new ConsoleLogger("session", LogLevel.OFF));
});

function print(what, rest = {}) {
  process.stdout.write(`${JSON.stringify({ what, ...rest })}\n`);
}

for (const session of sessions) {
  session.addObserver({
    messagingSessionDidStartConnecting: (reconnecting) => print("connecting", { reconnecting }),
    messagingSessionDidStart: () => print("started"),
    messagingSessionDidReceiveMessage: ({ type, headers, payload }) => print("message", { type, headers, payload }),
    messagingSessionDidStop: ({ code, reason }) => print("stopped", { code, reason }),
  });
}

// The library leaves a rejection unhandled when its ten seconds for reconnecting are over.
process.on("unhandledRejection", (reason) => print("gave up", { reason: String(reason?.code ?? reason) }));
readline
  .createInterface({ input: process.stdin })
  .on("close", () => {
    sessions.forEach((session) => session.stop());
    process.exit(0);
  });
for (const session of sessions) {
  session.start().then(
    () => print("resolved"),
    ({ code, reason }) => print("rejected", { code, reason }),
  );
}
