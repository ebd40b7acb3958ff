// A house: one Redis, some nodes, and a plain round robin before them that goes on to the next node when one does not answer.
import { startRedis } from "../../tests/clients/js/lib/redis.js";
import { roundRobin } from "../../tests/clients/js/lib/balancer.js";
import { Node } from "../../tests/house/parts.mjs";

/** Starts them all and waits until they are ready. */
export async function house({ nodes: count = 3, keeps = false, redis, env = {} } = {}) {
  redis ??= await startRedis({ keeps });
  const nodes = [];
  const end = async () => {
    await Promise.all(nodes.map((node) => node.end()));
    await redis.stop();
  };
  try {
    for (let at = 0; at < count; at++) nodes.push(await Node.start(redis.port, typeof env === "function" ? env(at) : env));
    await Promise.all(nodes.map((node) => node.until(true)));
  } catch (error) {
    await end();
    throw error;
  }
  const front = await roundRobin(nodes.map((node) => node.url));
  return {
    redis,
    nodes,
    front,
    pids: () => [redis.pid, ...nodes.map((node) => node.pid)],
    async stop() {
      await front.stop();
      await end();
    },
  };
}

/** The value below which this share of the numbers lies. */
export function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export { sleep as pause } from "../../tests/house/parts.mjs";
