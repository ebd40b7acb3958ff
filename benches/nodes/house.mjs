// A house: one Redis, some nodes, and a plain round robin before them that goes on to the next node when one does not answer.
import { Gateway, eventually, freePort } from "../../tests/clients/js/lib/gateway.js";
import { roundRobin } from "../../tests/clients/js/lib/balancer.js";
import { startRedis } from "../../tests/clients/js/lib/redis.js";

/** Starts them all and waits until they are ready. */
export async function house({ nodes: count = 3, keeps = false, redis, env = {} } = {}) {
  redis ??= await startRedis({ keeps });
  const nodes = [];
  const start = async (at) => {
    const port = nodes[at]?.port ?? (await freePort());
    nodes[at] = await Gateway.start({ port, env: { REDIS_URL: redis.url, RUST_LOG: "warn", ...(typeof env === "function" ? env(at) : env) } });
    await ready(nodes[at]);
  };
  for (let at = 0; at < count; at++) await start(at);
  const front = await roundRobin(nodes.map((node) => node.url));
  return {
    redis,
    nodes,
    front,
    /** Starts the node of this number again, where it was. */
    again: start,
    pids: () => [redis.pid, ...nodes.map((node) => node.pid)],
    async stop() {
      await front.stop();
      await Promise.all(nodes.map((node) => node.stop("SIGKILL")));
      await redis.stop();
    },
  };
}

export const ready = (node) => eventually(async () => (await node.http("GET", "/readyz").catch(() => ({}))).status === 200, 60_000, "readiness");

/** The value below which this share of the numbers lies. */
export function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** A bounded pause. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
