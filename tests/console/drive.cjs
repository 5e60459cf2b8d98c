// Drives headless Chromium over the console by commands (../browser/commands.cjs), and ends with them.
//
// usage: node drive.cjs CHROMIUM
//
// Elements are found as people and screen readers find them: by role and name, label, or text.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const { chromium } = require("playwright-core");

const { answer } = require("../browser/commands.cjs");

const AXE = fs.readFileSync(path.join(__dirname, "../../console/node_modules/axe-core/axe.min.js"), "utf8");
const [executablePath] = process.argv.slice(2);
const TIMEOUT_MS = 30_000;
const pages = new Map();

/** What must not happen: errors, what the policy of the page forbids, requests to anybody else. */
function watch(page, home) {
  const troubles = [];
  const host = new URL(home).host;
  page.on("pageerror", (error) => troubles.push(`error: ${error.stack}`));
  page.on("console", (message) => {
    // A refusal is an answer, and the page shows it.
    const isRefusal = message.text().startsWith("Failed to load resource: the server responded with a status of 4");
    if (["error", "warning"].includes(message.type()) && !isRefusal) troubles.push(`console: ${message.text()}`);
  });
  const visit = (url) => {
    if (!url.startsWith("data:") && new URL(url).host !== host) troubles.push(`elsewhere: ${url}`);
  };
  page.on("request", (request) => visit(request.url()));
  page.on("websocket", (socket) => visit(socket.url()));
  return troubles;
}

async function main() {
  // A name of this machine that browsers do not know as such, as that of another one.
  const args = ["--no-sandbox", "--host-resolver-rules=MAP elsewhere.test 127.0.0.1"];
  const browser = await chromium.launch({ executablePath, args });
  const at = (name) => pages.get(name).page;
  const scoped = (name, region) => (region ? at(name).getByRole("region", { name: region, exact: true }) : at(name));
  const commands = {
    /** Opens a page in a profile of its own. */
    async open(name, url) {
      const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, reducedMotion: "reduce" });
      await context.grantPermissions([]);
      await context.addInitScript(() => {
        globalThis.violations = [];
        addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
      });
      const page = await context.newPage();
      page.setDefaultTimeout(TIMEOUT_MS);
      pages.set(name, { page, troubles: watch(page, url) });
      await page.goto(url);
    },
    async goto(name, hash) {
      await at(name).evaluate((hash) => {
        location.hash = hash;
      }, hash);
    },
    async look(name, colorScheme, width, height) {
      await at(name).emulateMedia({ colorScheme });
      await at(name).setViewportSize({ width, height });
    },
    /** Waits until a text is to be seen, in a region where one is named. */
    async shows(name, text, region) {
      await scoped(name, region).getByText(text).first().waitFor();
    },
    async lacks(name, text, region) {
      await scoped(name, region).getByText(text).first().waitFor({ state: "hidden" });
    },
    async heading(name, text) {
      await at(name).getByRole("heading", { name: text }).first().waitFor();
    },
    async click(name, role, text, region) {
      await scoped(name, region).getByRole(role, { name: text }).first().click();
    },
    async open_details(name, text) {
      await at(name).locator("summary", { hasText: text }).first().click();
    },
    async fill(name, label, value, region) {
      await scoped(name, region).getByLabel(label).first().fill(value);
    },
    async choose(name, label, value) {
      await at(name).getByLabel(label).first().selectOption({ label: value });
    },
    async press(name, key) {
      await at(name).keyboard.press(key);
    },
    async type(name, text) {
      await at(name).keyboard.type(text);
    },
    /** What has the focus, as it is named. */
    async focused(name) {
      return at(name).evaluate(() => {
        const it = document.activeElement;
        const label = it.labels?.[0]?.textContent;
        return `${it.tagName.toLowerCase()}: ${it.ariaLabel ?? label ?? it.textContent.trim().slice(0, 60)}`;
      });
    },
    /** Waits until something is drawn. */
    async drawn(name) {
      await at(name).locator('polyline[points*=" "]').first().waitFor({ state: "attached" });
    },
    async screenshot(name, file) {
      await at(name).screenshot({ path: file, fullPage: true });
    },
    /** What axe finds: rule, and where. */
    async axe(name) {
      // Not as a script of the page, which its policy forbids.
      const session = await at(name).context().newCDPSession(at(name));
      const evaluate = async (expression) => {
        const options = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await session.send("Runtime.evaluate", options);
        if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
        return result.value;
      };
      await evaluate(`${AXE}; undefined`);
      const results = await evaluate(`axe.run(document, { resultTypes: ["violations"] })`);
      await session.detach();
      return results.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
    },
    async troubles(name) {
      const violations = await at(name).evaluate(() => violations);
      return [...pages.get(name).troubles, ...violations.map((violation) => `policy: ${violation}`)];
    },
    async kept(name) {
      return at(name).evaluate(() => ({ local: { ...localStorage }, session: { ...sessionStorage }, address: location.href }));
    },
    async reload(name) {
      await at(name).reload();
    },
    async content(name) {
      return at(name).innerText("body");
    },
    /** Whether the page is wider than its window. */
    async overflows(name) {
      return at(name).evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    },
  };
  await answer(commands);
  await browser.close();
  process.exit(0);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
