// Several nodes over one Redis, measured and made to fail. Every run is bounded, ends by itself, uses loopback only, and
// prints one table; it exits non-zero when a promise was broken.
//
//   npm --prefix tests/clients/js ci            # the stock clients
//   cargo build --release
//   node benches/nodes.mjs SCENARIO... [--gateway target/release/tidings] [--clients N] [--rounds N] ...
//
//   cpu         CPU per delivery, summed over nodes and Redis, beside Node with @socket.io/redis-adapter (--loadgen, --modules)
//   latency     publish on one node to delivery on another, p99 at --rate (1000) publishes a second (--loadgen)
//   publishes   publishes a second through one Redis from 64 producers, each with several on their way
//   polls       --requests (100000) polling requests of stock clients behind plain round robin: no error
//               (ends after --seconds (1200) at the latest)
//   kill        a node is killed, --rounds (10) times, with --clients (1000): who was on it resumes elsewhere
//   roll        every node is restarted, --rounds (3) times, with --stalled (50) clients that read nothing
//   redis       Redis is killed and comes back, --rounds (20) times, under --rate (500) publishes a second
//   failover    Redis fails over to a replica that lags behind, with and without waiting for it
//   clocks      the clocks of the nodes are moved by minutes (libfaketime)
//   all         all of them
//
// --loadgen names the load generator (a binary that speaks Socket.IO and prints a line of JSON), --modules a folder
// with the npm packages socket.io, @socket.io/redis-adapter and redis.
import { parseArgs } from "node:util";
import path from "node:path";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["gateway", "loadgen", "modules", "nodes", "clients", "rounds", "rate", "requests", "publishes", "stalled", "seconds", "topics"].map((name) => [name, { type: "string" }]),
  ),
});
process.env.GATEWAY_BIN = path.resolve(flags.gateway ?? process.env.GATEWAY_BIN ?? "target/release/tidings");

const SCENARIOS = {
  cpu: async () => (await import("./nodes/load.mjs")).cpu,
  latency: async () => (await import("./nodes/load.mjs")).latency,
  publishes: async () => (await import("./nodes/publishes.mjs")).publishes,
  polls: async () => (await import("./nodes/polls.mjs")).polls,
  kill: async () => (await import("./nodes/failures.mjs")).kill,
  roll: async () => (await import("./nodes/failures.mjs")).roll,
  redis: async () => (await import("./nodes/failures.mjs")).redis,
  failover: async () => (await import("./nodes/failures.mjs")).failover,
  clocks: async () => (await import("./nodes/failures.mjs")).clocks,
};
const number = (name, usual) => (flags[name] === undefined ? usual : Number(flags[name]));
const wanted = positionals.includes("all") ? Object.keys(SCENARIOS) : positionals;
if (wanted.length === 0 || wanted.some((name) => !SCENARIOS[name])) {
  console.error(`give one or more of: ${Object.keys(SCENARIOS).join(" ")} all`);
  process.exit(2);
}

const rows = [];
for (const name of wanted) {
  const scenario = await SCENARIOS[name]();
  console.error(`== ${name}`);
  try {
    for (const row of await scenario({ flags, number })) {
      rows.push({ scenario: name, ...row });
      console.error(JSON.stringify(rows.at(-1)));
    }
  } catch (error) {
    rows.push({ scenario: name, work: "failed", result: error.message, holds: false });
    console.error(error);
  }
}
console.log("| scenario | work | result | holds |");
console.log("| --- | --- | --- | --- |");
for (const { scenario, work, result, holds } of rows) console.log(`| ${scenario} | ${work} | ${result} | ${holds === undefined ? "–" : holds ? "yes" : "**no**"} |`);
process.exit(rows.every(({ holds }) => holds !== false) ? 0 : 1);
