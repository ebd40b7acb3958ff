// Two nodes on one Redis: a stock client whose node is killed goes on at the other one.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";
import { startRedis } from "../lib/redis.js";

const RECONNECT = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0 };

let redis, there;
before(async () => {
  redis = await startRedis();
  there = await Gateway.start({ env: { REDIS_URL: redis.url } });
});
after(async () => {
  await there?.stop();
  await redis?.stop();
});

const upTo = (last, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

for (const transport of ["websocket", "polling", "upgrade"])
  it(`recovered on another node after kill -9: ${transport}`, { timeout: 60_000 }, async () => {
    const here = await Gateway.start({ env: { REDIS_URL: redis.url } });
    for (const node of [here, there]) await eventually(async () => (await node.http("GET", "/readyz")).status === 200, 10_000, "readiness");
    const client = await Client.open(here, { transport }, RECONNECT);
    try {
      const ids = [freshId("a"), freshId("b"), freshId("none")];
      const topics = ids.map((id) => `session:${id}`);
      for (const id of ids) await client.subscribe(id);
      const publicId = client.socket.id;
      for (const n of upTo(4)) {
        await there.publish(topics[0], "model_result", { n });
        await there.publish(topics[1], "model_result", { n });
      }
      for (const topic of topics.slice(0, 2)) await client.next((_, data) => data?.n === 4 && `session:${data.sessionId}` === topic);
      const from = client.log.length;
      client.socket.io.uri = there.url;
      await here.stop("SIGKILL");
      for (const n of upTo(8, 5)) await there.publish(topics[0], "model_result", { n });
      for (const n of upTo(3)) await there.publish(topics[2], "progress", { n });
      await client.next((name) => name === "#connect", "the reconnect", { from });
      assert.equal(client.socket.recovered, true);
      assert.equal(client.socket.id, publicId);
      await there.publish(topics[1], "model_result", { n: 5 });
      await client.next((_, data) => data?.n === 8, "the last of the first");
      await client.next((_, data) => data?.n === 5 && `session:${data.sessionId}` === topics[1], "the last of the second");
      await client.next((_, data) => data?.n === 3 && `session:${data.sessionId}` === topics[2], "the last of the third");
      const numbers = (topic) => client.sequenced(topic).map(([, data]) => data._seq);
      assert.deepEqual(numbers(topics[0]), upTo(8));
      assert.deepEqual(numbers(topics[1]), upTo(5));
      assert.deepEqual(numbers(topics[2]), upTo(3));
    } finally {
      client.close();
      await here.stop("SIGKILL");
    }
  });
