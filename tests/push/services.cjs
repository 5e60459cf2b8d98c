// The push services of Apple, Google and browsers, as far as their wires go: three listeners on this machine, each
// told on standard input what to answer, that write one JSON line for each notification.
//
// usage: node services.cjs      The first line says where they listen: {"apns": …, "fcm": …, "web_push": …}.
//
// On standard input, a line each:
//   {"answer": DEVICE, "status": 410, "body": "…", "headers": {…}, "times": 1}   from now on, or so often; 0 is silence
//   {"subscribe": NAME}         makes a browser's keys; answered by {"subscription": {…}}, a PushSubscription's JSON
//
// Each notification to a browser is decrypted by http_ece with the subscriber's key; what cannot be is said.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");
const http2 = require("node:http2");
const readline = require("node:readline");

const ece = require("http_ece");

const quiet = process.argv.includes("--quiet");
const answers = new Map();
const subscribers = new Map();
const counts = { apns: 0, fcm: 0, web_push: 0, oauth: 0 };
let connections = 0;

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** What a device's service answers: what was said of it, or that all is well. */
function answerOf(device, well) {
  const said = answers.get(device);
  if (said === undefined) return { status: well, body: "", headers: {} };
  if (said.times !== undefined && --said.times <= 0) answers.delete(device);
  return { body: "", headers: {}, ...said };
}

function claimsOf(token) {
  const [head, claims] = (token ?? "").split(".");
  const read = (part) => JSON.parse(Buffer.from(part ?? "", "base64url").toString() || "null");
  return { ...read(head), ...read(claims) };
}

function seen(service, what) {
  counts[service] += 1;
  if (!quiet) say({ service, ...what });
}

function apns() {
  const server = http2.createServer();
  server.on("session", (session) => {
    session.number = ++connections;
  });
  server.on("stream", (stream, headers) => {
    const parts = [];
    stream.on("error", () => {});
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => {
      const device = decodeURIComponent(headers[":path"].replace("/3/device/", ""));
      const { status, body, headers: more } = answerOf(device, 200);
      const body_ = Buffer.concat(parts);
      seen("apns", {
        device,
        connection: stream.session?.number,
        headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(":"))),
        claims: quiet ? undefined : claimsOf(headers.authorization?.replace("bearer ", "")),
        token: headers.authorization,
        bytes: body_.length,
        payload: quiet ? undefined : JSON.parse(body_.toString()),
        status,
      });
      if (stream.destroyed || status === 0) return;
      stream.respond({ ":status": status, ...more });
      stream.end(body);
    });
  });
  return server;
}

function read(request) {
  return new Promise((resolve) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => resolve(Buffer.concat(parts)));
  });
}

function reply(response, { status, body, headers }) {
  if (status === 0) return;
  response.writeHead(status, headers);
  response.end(body);
}

function fcm() {
  return http.createServer(async (request, response) => {
    const body = await read(request);
    if (request.url === "/token") {
      const { status, body: said } = answerOf("oauth", 200);
      const form = new URLSearchParams(body.toString());
      seen("oauth", { grant: form.get("grant_type"), claims: claimsOf(form.get("assertion")), status });
      const token = JSON.stringify({ access_token: `ya29.${counts.oauth}`, expires_in: 3599, token_type: "Bearer" });
      return reply(response, { status, body: said || token, headers: { "content-type": "application/json" } });
    }
    const payload = JSON.parse(body.toString());
    const said = answerOf(payload.message?.token, 200);
    const { authorization } = request.headers;
    seen("fcm", { device: payload.message?.token, path: request.url, authorization, payload, status: said.status });
    return reply(response, said);
  });
}

function webPush() {
  return http.createServer(async (request, response) => {
    const body = await read(request);
    const name = request.url.slice(1);
    const subscriber = subscribers.get(name);
    const said = answerOf(name, 201);
    const [, token, key] = /^vapid t=([^,]+), k=(.+)$/.exec(request.headers.authorization ?? "") ?? [];
    let payload;
    let fault;
    if (!quiet) {
      try {
        const plain = ece.decrypt(body, { version: "aes128gcm", privateKey: subscriber.ecdh, authSecret: subscriber.auth });
        payload = JSON.parse(plain.toString());
      } catch (error) {
        fault = String(error);
      }
    }
    const { authorization, ...headers } = request.headers;
    const what = { device: name, headers, claims: claimsOf(token), key, signed: verifies(token, key), bytes: body.length };
    seen("web_push", quiet ? {} : { ...what, payload, fault, status: said.status });
    reply(response, said);
  });
}

/** Whether a token is signed by the key that stands beside it. */
function verifies(token, key) {
  if (quiet || !token || !key) return false;
  const point = Buffer.from(key, "base64url");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString("base64url"));
  const [head, claims, signature] = token.split(".");
  const publicKey = crypto.createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
  const options = { key: publicKey, dsaEncoding: "ieee-p1363" };
  return crypto.verify("sha256", Buffer.from(`${head}.${claims}`), options, Buffer.from(signature, "base64url"));
}

function subscribe(name, origin) {
  const ecdh = crypto.createECDH("prime256v1");
  ecdh.generateKeys();
  const auth = crypto.randomBytes(16);
  subscribers.set(name, { ecdh, auth });
  const keys = { p256dh: ecdh.getPublicKey("base64url"), auth: auth.toString("base64url") };
  return { endpoint: `${origin}/${name}`, expirationTime: null, keys };
}

async function main() {
  const servers = { apns: apns(), fcm: fcm(), web_push: webPush() };
  const urls = {};
  for (const [name, server] of Object.entries(servers)) {
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    urls[name] = `http://127.0.0.1:${server.address().port}`;
  }
  say(urls);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = JSON.parse(line);
    if (told.answer !== undefined) {
      const { answer, ...said } = told;
      if (said.status === undefined) answers.delete(answer);
      else answers.set(answer, said);
      say({ done: true });
    } else if (told.subscribe !== undefined) {
      say({ subscription: subscribe(told.subscribe, urls.web_push) });
    } else {
      say({ counts: { ...counts, connections } });
    }
  }
  process.exit(0);
}

main();
