// CPU per delivery and latency across nodes, with the load generator that --loadgen names. Servers run on core 0, the load
// generator on core 1; where there is no taskset they run anywhere.
import { execFile, spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { promisify } from "node:util";
import { eventually, freePort } from "../../tests/clients/js/lib/gateway.js";
import { startRedis } from "../../tests/clients/js/lib/redis.js";
import { house, quantile } from "./house.mjs";

const PEER = fileURLToPath(new URL("peer.cjs", import.meta.url));
const RUN_MS = 10 * 60_000;
const run = promisify(execFile);
const pins = spawnSync("taskset", ["-c", "1", "true"]).status === 0;
const pin = (pid) => pins && spawnSync("taskset", ["-a", "-c", "-p", "0", String(pid)]);

/** Two nodes of tidings and their Redis. */
async function ours(count) {
  const home = await house({ nodes: count });
  return {
    urls: home.nodes.map((node) => node.url),
    pids: home.pids(),
    publish: (url) => ["--pub-url", `${url}/v1/topics/session:{session}/events`, "--pub-body", '{"name":"{event}","data":{data}}', "--pub-header", "Content-Type: application/json"],
    stop: () => home.stop(),
  };
}

/** As many of Node's, and their Redis. */
async function theirs(count, modules) {
  if (!modules) throw new Error("--modules: a folder with socket.io, @socket.io/redis-adapter and redis");
  const redis = await startRedis();
  const children = [];
  const urls = [];
  for (let at = 0; at < count; at++) {
    const port = await freePort();
    const env = { ...process.env, PORT: String(port), REDIS: redis.url, NODE_PATH: path.resolve(modules) };
    children.push(spawn(process.execPath, [PEER], { env, stdio: ["ignore", "ignore", "inherit"] }));
    urls.push(`http://127.0.0.1:${port}`);
    await eventually(() => fetch(urls[at]).then(() => true, () => false), 30_000, "the peer");
  }
  return {
    urls,
    pids: [redis.pid, ...children.map((child) => child.pid)],
    publish: (url) => ["--pub-url", `${url}/publish`, "--pub-header", "Content-Type: application/json"],
    async stop() {
      for (const child of children) child.kill("SIGKILL");
      await redis.stop();
    },
  };
}

/** One run of the load generator against fresh servers: subscribers on `on` of the nodes, publishes to the first. */
async function measured({ flags, make, on = (urls) => urls, args }) {
  if (!flags.loadgen) throw new Error("--loadgen: the load generator");
  const servers = await make();
  try {
    for (const pid of servers.pids) pin(pid);
    const to = on(servers.urls).flatMap((url) => ["--url", `${url}/socket.io/`]);
    const all = [...args, ...to, ...servers.publish(servers.urls[0]), "--server-pid", servers.pids.join(",")];
    const command = pins ? ["taskset", "-c", "1", flags.loadgen, ...all] : [flags.loadgen, ...all];
    const { stdout } = await run(command[0], command.slice(1), { timeout: RUN_MS, maxBuffer: 1 << 20 });
    return JSON.parse(stdout.trim().split("\n").at(-1));
  } finally {
    await servers.stop();
  }
}

const wrong = (one) => one.lost + one.duplicates + one.out_of_order + one.failed_publishes;
const middle = (runs, of) => quantile(runs.map(of), 0.5);

/** CPU for each delivery, the same for both, round by round. */
export async function cpu({ flags, number }) {
  const count = number("nodes", 2);
  const clients = String(number("clients", 1000));
  const publishes = String(number("publishes", 2000));
  const works = [
    { work: `1 session × ${clients} clients`, most: 0.6, args: ["fanout", "--clients", clients, "--publishes", publishes, "--window", "1"] },
    { work: `${clients} sessions × 1 client`, most: 0.5, args: ["many-rooms", "--clients", clients, "--publishes", String(20 * publishes), "--warmup", String(2 * publishes), "--publishers", "8", "--window", "0"] },
  ];
  const rows = [];
  for (const { work, most, args } of works) {
    const runs = { ours: [], theirs: [] };
    for (let round = 0; round < number("rounds", 3); round++) {
      runs.ours.push(await measured({ flags, make: () => ours(count), args }));
      runs.theirs.push(await measured({ flags, make: () => theirs(count, flags.modules), args }));
    }
    const each = (side) => middle(runs[side], (one) => one.server_cpu_us_per_delivery);
    const ratio = each("ours") / each("theirs");
    const bad = runs.ours.reduce((sum, one) => sum + wrong(one), 0);
    rows.push({
      work: `${work}, ${count} nodes`,
      result: `${each("ours").toFixed(2)} µs a delivery, Node ${each("theirs").toFixed(2)} µs: ${ratio.toFixed(2)}; ${bad} lost, doubled, out of order or failed`,
      holds: ratio <= most && bad === 0,
    });
  }
  return rows;
}

/** From a publish on the first node to its delivery on the others. */
export async function latency({ flags, number }) {
  const rate = number("rate", 1000);
  // A session for each publisher, so that the order within one is defined.
  const sessions = "8";
  const args = ["many-rooms", "--clients", String(8 * number("clients", 1)), "--sessions", sessions, "--publishers", sessions, "--publishes", String(rate * number("seconds", 20)), "--rate", String(rate), "--window", "0"];
  const runs = [];
  for (let round = 0; round < number("rounds", 3); round++) {
    runs.push(await measured({ flags, make: () => ours(number("nodes", 2)), on: (urls) => urls.slice(1), args }));
  }
  const p = (name) => middle(runs, (one) => one.latency_us[name]) / 1000;
  const bad = runs.reduce((sum, one) => sum + wrong(one), 0);
  return [
    {
      work: `${rate} publishes a second on one node, ${args[2]} clients on the others`,
      result: `p50 ${p("p50").toFixed(1)} ms, p99 ${p("p99").toFixed(1)} ms; ${bad} lost, doubled, out of order or failed`,
      holds: p("p99") <= 10 && bad === 0,
    },
  ];
}
