// Headless Chromium as a browser that is to be notified: a page asks for the key, its service worker gets a push message
// and shows a notification. Prints one JSON object: {subscribed | refused, wrong, shown: [{title, body, data}]}, where `wrong` is
// what it says to a key that is none.
//
// usage: node browser.cjs CHROMIUM KEY_URL PAYLOAD
//
// To subscribe, Chromium needs Google's push service. Where that cannot be reached, the name of its refusal is printed,
// and what the server sent is handed to the service worker through the DevTools protocol, as that push service would.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");

const { chromium } = require("playwright-core");

const [executablePath, keyUrl, payload] = process.argv.slice(2);
const TIMEOUT_MS = 30_000;

// As docs/guide/push.md has it.
const WORKER = `
self.addEventListener("push", (event) => {
  const { title, body, type, data } = event.data.json();
  event.waitUntil(self.registration.showNotification(title, { body, data }));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
`;

function serve() {
  const server = http.createServer((request, response) => {
    const isWorker = request.url === "/worker.js";
    response.writeHead(200, { "content-type": isWorker ? "text/javascript" : "text/html" });
    response.end(isWorker ? WORKER : "<!doctype html><title>Push</title>");
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

/** In the page: registers the worker, asks for the key, and subscribes with it. */
async function subscribe(url) {
  const answer = await fetch(url);
  const { PublicKey: applicationServerKey } = await answer.json();
  await navigator.serviceWorker.register("worker.js");
  const worker = await navigator.serviceWorker.ready;
  const attempt = async (applicationServerKey) => {
    const late = new Promise((_, reject) => setTimeout(() => reject(new DOMException("", "TimeoutError")), 5_000));
    try {
      const made = worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
      const subscription = await Promise.race([made, late]);
      return { subscribed: new URL(subscription.endpoint).origin };
    } catch (error) {
      return { refused: error.name };
    }
  };
  const wrong = await attempt(applicationServerKey.slice(0, -4));
  return { ...(await attempt(applicationServerKey)), wrong: wrong.refused };
}

/** In the page: what is shown, once something is. */
async function shown() {
  const worker = await navigator.serviceWorker.ready;
  const notifications = await worker.getNotifications();
  return notifications.length && notifications.map(({ title, body, data }) => ({ title, body, data }));
}

async function main() {
  const origin = `http://localhost:${await serve()}`;
  // A profile of its own, because none can subscribe that is forgotten with its window.
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "push-"));
  const context = await chromium.launchPersistentContext(profile, { executablePath, args: ["--no-sandbox"] });
  await context.grantPermissions(["notifications"], { origin });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const devtools = await context.newCDPSession(page);
  const registered = new Promise((resolve) => {
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      if (registrations.length !== 0) resolve(registrations[0].registrationId);
    });
  });
  await page.goto(`${origin}/`);
  await devtools.send("ServiceWorker.enable");
  const outcome = await page.evaluate(subscribe, keyUrl);
  const registrationId = await registered;
  await devtools.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: payload });
  const found = await page.waitForFunction(shown);
  process.stdout.write(JSON.stringify({ ...outcome, shown: await found.jsonValue() }));
  await context.close();
  fs.rmSync(profile, { recursive: true, force: true });
  process.exit(0);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
