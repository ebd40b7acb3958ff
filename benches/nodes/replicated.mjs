// A Redis with two replicas, behind one address: whichever takes over listens there from then on, as a service address or a
// Sentinel would have clients go.
import { spawnSync } from "node:child_process";
import { startRedis } from "../../tests/clients/js/lib/redis.js";
import { eventually } from "../../tests/clients/js/lib/gateway.js";
import { pause } from "./house.mjs";

const portOf = ({ port }) => String(port);
const cli = (port, ...args) => spawnSync("redis-cli", ["-p", port, ...args], { encoding: "utf8" }).stdout.trim();

/** Starts them and waits until the replicas follow; answers what `startRedis` does, and `failover`. */
export async function replicated() {
  const [primary, replica, other] = [await startRedis(), await startRedis(), await startRedis()];
  const address = portOf(primary);
  for (const one of [replica, other]) {
    cli(portOf(one), "replicaof", "127.0.0.1", address);
    await eventually(() => cli(portOf(one), "info", "replication").includes("master_link_status:up"), 30_000, "a replica");
  }
  let to = primary;
  return {
    url: primary.url,
    port: primary.port,
    get pid() {
      return to.pid;
    },
    /** The replicas stop for a while, the primary is killed meanwhile, and the first of them takes over. */
    async failover(ms) {
      for (const one of [replica, other]) process.kill(one.pid, "SIGSTOP");
      await pause(ms);
      await primary.kill();
      for (const one of [replica, other]) process.kill(one.pid, "SIGCONT");
      to = replica;
      cli(portOf(replica), "replicaof", "no", "one");
      await eventually(() => cli(portOf(replica), "config", "set", "port", address) === "OK", 30_000, "the address");
      cli(portOf(other), "replicaof", "127.0.0.1", address);
    },
    async stop() {
      for (const one of [primary, replica, other]) await one.stop();
    },
  };
}
