// A redis-server of our own for one test file: on a free port, keeping nothing on disk unless it is to be killed.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, within } from "./gateway.js";

const START_MS = 20_000;

/**
 * Starts a server and waits until it takes connections; answers `{url, port, pid, kill, signal, restart, stop}`. With `keeps`
 * everything it acknowledges is on its disk; `keeps` may be another word of `appendfsync`.
 */
export async function startRedis({ keeps = false } = {}) {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), "tidings-redis-"));
  const keeping = keeps ? ["--appendonly", "yes", "--appendfsync", keeps === true ? "always" : keeps] : ["--appendonly", "no"];
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", ...keeping, "--dir", dir];
  let child, exited;
  const start = async () => {
    child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    exited = new Promise((resolve) => child.once("exit", resolve));
    let output = "";
    const ready = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.stdout.on("data", (chunk) => {
        output += chunk;
        if (/ready to accept connections/i.test(output)) resolve();
      });
    });
    await within(ready, START_MS, () => `redis-server is not ready:\n${output}`);
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid;
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
    signal: (name) => child.kill(name),
    restart: start,
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
