// What is built is committed (docs/decisions/0100-console.md), so it must be the same bytes everywhere: three files,
// whose names say nothing of their content. The server tells browsers what changed by ETag.
import { defineConfig } from "vite";

const NOTICE = "/*! Carillon's console (Apache-2.0). Contains Preact, Copyright 2015-present Jason Miller (MIT). */";

export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    modulePreload: false,
    sourcemap: false,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        postBanner: (chunk) => (chunk.isEntry ? NOTICE : ""),
        entryFileNames: "console.js",
        assetFileNames: "console[extname]",
        codeSplitting: false,
      },
    },
  },
  // `npm run dev` serves the page with what a server on this machine answers.
  server: {
    proxy: Object.fromEntries(
      ["/app-instance", "/channel", "/connect", "/endpoints", "/tags", "/_carillon/v1", "/_carillon/metrics"].map(
        (path) => [path, { target: "http://127.0.0.1:8480", ws: true }],
      ),
    ),
  },
});
