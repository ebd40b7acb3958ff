// What goes wrong in a house: the same for the clients of `tidings verify` (run.mjs) and for stock ones (benches/nodes).
import { sleep } from "./parts.mjs";

/** kill -9 of a node, which is away for so many ms. */
export async function killNode(node, ms) {
  await node.end();
  await sleep(ms);
  await node.begin();
  await node.until(true);
}

/** The nodes are restarted one after the other, each after `before`. Answers how each ended: `{ms, code}`. */
export async function roll(nodes, before = async () => {}) {
  const ends = [];
  for (const node of nodes) {
    await before(node);
    ends.push(await node.end("SIGTERM"));
    await node.begin();
    await node.until(true);
  }
  return ends;
}

/**
 * kill -9 of Redis, which stays away for so many ms after all nodes have noticed. Answers `{noticed, back, seen}`: after how many
 * ms the last node was not ready, after how many the last was again, and what `seen` answered in between.
 */
export async function killRedis(redis, nodes, ms, seen = () => {}) {
  const last = async (isReady) => Math.max(...(await Promise.all(nodes.map((node) => node.until(isReady)))));
  await redis.kill();
  const noticed = await last(false);
  await sleep(ms);
  const found = seen();
  await redis.restart();
  return { noticed, back: await last(true), seen: found };
}
