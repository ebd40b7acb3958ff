import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    env: { GATEWAY_BIN: process.env["GATEWAY_BIN"] ?? fileURLToPath(new URL("../../target/debug/tidings", import.meta.url)) },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One gateway process for each file; two at a time are enough for a small machine.
    maxWorkers: 2,
  },
});
