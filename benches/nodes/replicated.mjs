// A Redis with a replica, behind one address: a small proxy that goes to whichever is the primary, as a Sentinel or a service
// address would have clients go.
import { spawnSync } from "node:child_process";
import net from "node:net";
import { startRedis } from "../../tests/clients/js/lib/redis.js";
import { eventually } from "../../tests/clients/js/lib/gateway.js";
import { pause } from "./house.mjs";

const port = (redis) => new URL(redis.url).port;
const cli = (redis, ...args) => spawnSync("redis-cli", ["-p", port(redis), ...args], { encoding: "utf8" }).stdout.trim();

/** Starts both and waits until the replica follows; answers what `startRedis` does, and `failover`. */
export async function replicated() {
  const [primary, replica] = [await startRedis(), await startRedis()];
  cli(replica, "replicaof", "127.0.0.1", port(primary));
  await eventually(() => cli(replica, "info", "replication").includes("master_link_status:up"), 30_000, "the replica");
  let to = primary;
  const sockets = new Set();
  const server = net.createServer((socket) => {
    const onward = net.connect(Number(port(to)), "127.0.0.1");
    for (const [one, other] of [[socket, onward], [onward, socket]]) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on("error", () => {}).on("close", () => (sockets.delete(one), other.destroy()));
      one.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: `redis://127.0.0.1:${server.address().port}`,
    get pid() {
      return to.pid;
    },
    /** The replica stops for a while, the primary is killed meanwhile, and the replica takes over. */
    async failover(ms) {
      process.kill(replica.pid, "SIGSTOP");
      await pause(ms);
      await primary.kill();
      process.kill(replica.pid, "SIGCONT");
      cli(replica, "replicaof", "no", "one");
      to = replica;
      cut();
    },
    async stop() {
      cut();
      await new Promise((resolve) => server.close(resolve));
      await primary.stop();
      await replica.stop();
    },
  };
}
