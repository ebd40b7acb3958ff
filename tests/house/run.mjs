// Nodes over one Redis, clients that check every event, and one thing that goes wrong again and again:
//
//   GATEWAY_BIN=target/release/tidings node tests/house/run.mjs R4 --clients 1000 --rounds 10
//
// R1 Redis is killed and started again · R1b the same with appendfsync everysec · R2 Redis is stopped for 10 s
// R3 a node is cut off from Redis · R4 a node is killed · R5 the nodes are restarted one after the other, thrice
// R14 any of R1 to R4 for --minutes. Ends by itself; exits with 0 if all that is promised held, and prints the figures.
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";

import { startRedis } from "../clients/js/lib/redis.js";
import { killNode, killRedis, roll } from "./faults.mjs";
import { Balancer, Network, Node, sleep } from "./parts.mjs";

const BIN = process.env.GATEWAY_BIN ?? "target/debug/tidings";
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: "string", default: "200" },
    topics: { type: "string", default: "20" },
    rate: { type: "string", default: "100" },
    rounds: { type: "string" },
    minutes: { type: "string", default: "60" },
    nodes: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
    pause: { type: "string", default: "3" },
  },
});
const name = positionals[0] ?? "R4";
const figures = { fault: name, seed: Number(values.seed), failures: [] };
const worst = (key, value) => (figures[key] = Math.max(figures[key] ?? 0, Math.round(value)));
const must = (holds, what) => holds || figures.failures.push(what);
let state = Number(values.seed) >>> 0;
const dice = (sides) => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0), state % sides);

const redis = await startRedis({ keeps: name === "R1b" ? "everysec" : "always" });
const network = await Network.start(redis.port);
const nodes = [];
for (let n = 0; n < Number(values.nodes); n++) nodes.push(await Node.start(n === 0 ? network.port : redis.port));
await Promise.all(nodes.map((node) => node.until(true)));
const balancer = await Balancer.start(nodes);

/** Publishes all the time, and notes how long a refusal took. */
const probe = { isOver: false };
probe.done = (async () => {
  while (!probe.isOver) {
    const begun = performance.now();
    try {
      const node = nodes[dice(nodes.length)];
      const answer = await fetch(`${node.url}/v1/topics/session:probe/events`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"name":"progress","data":{}}',
        signal: AbortSignal.timeout(10_000),
      });
      if (answer.status === 503) {
        figures.refused = (figures.refused ?? 0) + 1;
        worst("slowest_refusal_ms", performance.now() - begun);
        must(answer.headers.has("retry-after"), "a refusal without Retry-After");
      }
      await answer.arrayBuffer();
    } catch (error) {
      if (error.name === "TimeoutError") must(false, "a publish hung for 10 s");
    }
    await sleep(20);
  }
})();

const faults = {
  async R1() {
    const { noticed, back } = await killRedis(redis, nodes, 1000);
    worst("not_ready_after_ms", noticed);
    worst("ready_again_after_ms", back);
  },
  async R2() {
    const before = nodes.map((node) => node.memory());
    redis.signal("SIGSTOP");
    await sleep(10_000);
    worst("memory_more_mib", Math.max(...nodes.map((node, n) => node.memory() - before[n])));
    redis.signal("SIGCONT");
    worst("ready_again_after_ms", Math.max(...(await Promise.all(nodes.map((node) => node.until(true))))));
  },
  async R3() {
    network.cut();
    worst("cut_off_not_ready_after_ms", await nodes[0].until(false));
    await sleep(30_000);
    network.heal();
    worst("ready_again_after_ms", await nodes[0].until(true));
  },
  R4: () => killNode(nodes[dice(nodes.length)], Number(values.pause) * 1000),
  async R5() {
    worst("slowest_drain_ms", Math.max(...(await roll(nodes)).map(({ ms }) => ms)));
  },
};
faults.R1b = faults.R1;
const kinds = { R1: 20, R1b: 5, R2: 2, R3: 1, R4: 10, R5: 3, R14: Infinity };
const rounds = Number(values.rounds ?? kinds[name]);
const length = { R1: 6, R1b: 6, R2: 15, R3: 35, R4: 8, R5: 45 }[name] ?? 0;
const seconds = name === "R14" ? Number(values.minutes) * 60 : 10 + rounds * (length + Number(values.pause));

const args = ["verify", "--url", balancer.url, "--json", "--patience", "2m", "--seed", values.seed, "--for", `${seconds}s`];
args.push("--clients", values.clients, "--topics", values.topics, "--rate", values.rate);
args.push("--faults", name === "R14" ? "kick,retry" : "retry", "--every", name === "R14" ? "6s" : "10m");
const verify = spawn(BIN, args, { stdio: ["ignore", "pipe", "inherit"] });
let told = "";
verify.stdout.on("data", (chunk) => (told += chunk));
const ended = new Promise((resolve) => verify.once("exit", resolve));
const until = performance.now() + seconds * 1000;
let isOver = false;
void ended.then(() => (isOver = true));
const stop = (signal) => process.once(signal, () => verify.kill(signal));
["SIGINT", "SIGTERM"].forEach(stop);

await sleep(5000);
const heartbeats = async () => (await Promise.all(nodes.map((node) => node.metric("tidings_connections_closed_total")))).reduce((a, b) => a + b, 0);
const closedBefore = await heartbeats();
for (let round = 0; round < rounds && performance.now() < until && !isOver; round++) {
  const kind = name === "R14" ? ["R1", "R2", "R3", "R4"][dice(4)] : name;
  await faults[kind]();
  figures.rounds = round + 1;
  await sleep(Number(values.pause) * 1000);
}
const keepsClients = name === "R1" || name === "R1b" || name === "R2";
if (keepsClients) {
  figures.disconnected = (await heartbeats()) - closedBefore;
  must(figures.disconnected === 0, "clients were disconnected");
}
const code = await ended;
probe.isOver = true;
await probe.done;
let report = {};
try {
  report = JSON.parse(told);
} catch {
  must(false, `no report: ${told.slice(-500)}`);
}
must(code === 0, `verify ended with ${code}`);
if (name !== "R1b") must(report.gaps_announced === 0, `${report.gaps_announced} gaps were announced`);
must((figures.slowest_refusal_ms ?? 0) <= 1000 || keepsClients === false, "a refusal took longer than 1 s");
must((figures.cut_off_not_ready_after_ms ?? 0) <= 3000, "a node that was cut off was ready for longer than 3 s");
must((figures.slowest_drain_ms ?? 0) <= 15_000, "a drain took longer than 15 s");
must((figures.memory_more_mib ?? 0) <= 64, "memory grew by more than 64 MiB");

balancer.end();
for (const node of nodes) await node.end();
network.end();
await redis.stop();
const { complaints, faults: made, memory, ...rest } = report;
console.log(JSON.stringify({ ...figures, ...rest, complaints }, null, 2));
process.exit(figures.failures.length === 0 ? 0 : 1);
