// Drives headless Chromium by commands (commands.cjs), and ends with them.
//
// usage: node drive.cjs CHROMIUM FOLDER PORT HELPERS     (the folder is for the bundles; HELPERS has those of spec/helpers.py)
//
// The bundles are served from http://localhost:PORT, another origin than the server's, as an application's would be.
// The browser trusts what the NSS database of its HOME trusts, and nothing is ignored.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const esbuild = require("esbuild");
const { chromium } = require("playwright-core");

const { answer } = require("./commands.cjs");

const [executablePath, folder, port, helpers] = process.argv.slice(2);
const TIMEOUT_MS = 30_000;
const pages = new Map();

async function bundle(sdk) {
  await esbuild.build({
    entryPoints: [path.join(__dirname, "page.mjs")],
    outfile: path.join(folder, sdk, "page.js"),
    bundle: true,
    platform: "browser",
    // Said aloud, it holds for what is required, too: amazon-chime-sdk-js requires the build of v3 for Node otherwise.
    mainFields: ["browser", "module", "main"],
    format: "iife",
    define: { global: "window" },
    alias: { SDK: path.join(__dirname, `${sdk}.mjs`), EXTENSIONS: path.join(helpers, "extensions.ts") },
    // What the helper needs, which is made elsewhere.
    nodePaths: [path.join(__dirname, "..", "node_modules")],
    logLevel: "error",
  });
  fs.copyFileSync(path.join(__dirname, "index.html"), path.join(folder, sdk, "index.html"));
}

function serve() {
  const types = { ".html": "text/html", ".js": "text/javascript" };
  const server = http.createServer((request, response) => {
    const file = path.join(folder, path.normalize(new URL(request.url, "http://localhost").pathname));
    const found = file.startsWith(folder) && fs.existsSync(file) && fs.statSync(file).isFile();
    response.writeHead(found ? 200 : 404, { "content-type": types[path.extname(file)] ?? "text/plain" });
    response.end(found ? fs.readFileSync(file) : "");
  });
  return new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
}

async function main() {
  await Promise.all(["sdk2", "sdk3"].map(bundle));
  await serve();
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const commands = {
    /** Opens a page of one SDK with a query, in a profile of its own. The host is a name of this machine. */
    async open(name, host, sdk, query) {
      const context = await browser.newContext({ viewport: { width: 800, height: 900 } });
      const page = await context.newPage();
      page.setDefaultTimeout(TIMEOUT_MS);
      page.on("console", (message) => process.stderr.write(`${name}: ${message.text()}\n`));
      page.on("pageerror", (error) => process.stderr.write(`${name}: ${error.stack}\n`));
      await page.goto(`http://${host}:${port}/${sdk}/index.html?${new URLSearchParams(query)}`);
      pages.set(name, page);
    },
    /** Waits until an element has exactly this text. */
    async text(name, selector, text) {
      await pages.get(name).waitForFunction(
        ([selector, text]) => document.querySelector(selector)?.textContent === text,
        [selector, text],
      );
    },
    /** Waits until the items of a list begin with these texts, one by one. */
    async list(name, selector, texts) {
      await pages.get(name).waitForFunction(
        ([selector, texts]) => {
          const shown = [...document.querySelectorAll(`${selector} > li`)].map((item) => item.firstChild.textContent);
          return JSON.stringify(shown) === JSON.stringify(texts);
        },
        [selector, texts],
      );
    },
    /** Waits until an element has a text, and answers it. */
    async filled(name, selector) {
      const page = pages.get(name);
      await page.waitForFunction((selector) => document.querySelector(selector)?.textContent, selector);
      return page.textContent(selector);
    },
    async fill(name, selector, text) {
      await pages.get(name).fill(selector, text);
    },
    async click(name, selector) {
      await pages.get(name).click(selector);
    },
    async screenshot(name, file) {
      await pages.get(name).screenshot({ path: file });
    },
    async content(name) {
      return pages.get(name).innerText("body");
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
