// 100 upgrades of a stock client under 1,000 events a second: nothing is lost, doubled or reordered.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";
import { lateUpgrades } from "../lib/latency.js";

const UPGRADES = 100;
const AT_ONCE = 10;
const PER_TICK = 20;
const TICK_MS = 20;

let gateway, proxy;
/** By the number of a session: how many events it wants to have on polling, and how to say that it has them. */
const holds = new Map();
before(async () => {
  gateway = await Gateway.start();
  proxy = await lateUpgrades(gateway, (head) => holds.get(Number(/[?&]turn=(\d+)/.exec(head)[1])).promise);
});
after(async () => {
  proxy?.close();
  await gateway?.stop();
});

/** Publishes 1,000 events a second in small batches until told to stop; answers how many. */
function publishing(topic) {
  let running = true;
  let sent = 1;
  const done = (async () => {
    const start = performance.now();
    for (let tick = 1; running; tick++) {
      await gateway.batch(Array.from({ length: PER_TICK }, () => ({ topic, name: "model_result", data: { n: ++sent } })));
      const wait = start + tick * TICK_MS - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    }
    await gateway.publish(topic, "completed", { n: ++sent });
    return sent;
  })();
  return { stop: () => ((running = false), done), done };
}

let turns = 0;
/** One session: subscribes while it polls, upgrades in mid-stream, goes on for a while; answers how it went. */
async function session(id, epoch, kind) {
  const turn = turns++;
  const hold = { wanted: 1 + ((turn * 37) % 250) };
  hold.promise = new Promise((resolve) => (hold.resolve = resolve));
  holds.set(turn, hold);
  const client = Client.start(gateway, { version: "4.8", transport: "upgrade", ...kind }, { url: proxy.url, query: { turn } });
  const carriers = [];
  client.socket.on("model_result", () => {
    if (carriers.push(client.transport) === hold.wanted) hold.resolve();
  });
  client.socket.emit("subscribe", { sessionId: id, since: `${epoch}:0` });
  await client.event("subscribed");
  await client.upgraded();
  const from = client.log.length;
  const reached = client.sequenced().at(-1)?.[1].n ?? 0;
  await client.event("model_result", (data) => data.n >= reached + 100, { from });
  return { client, carriers };
}

for (const parser of [undefined, "msgpack"])
  it(`${UPGRADES} upgrades in mid-stream${parser ? " with the msgpack parser" : ""}`, { timeout: 180_000 }, async () => {
    const count = parser ? UPGRADES / 5 : UPGRADES;
    for (let done = 0; done < count; done += AT_ONCE) {
      const id = freshId("up");
      const topic = `session:${id}`;
      const { epoch } = await gateway.publish(topic, "model_result", { n: 1 });
      const publisher = publishing(topic);
      const sessions = await Promise.all(Array.from({ length: AT_ONCE }, () => session(id, epoch, { parser })));
      const total = await publisher.stop();
      for (const { client, carriers } of sessions) {
        await client.event("completed");
        const numbers = client.sequenced().map(([, data]) => data._seq);
        assert.deepEqual(numbers, Array.from({ length: total }, (_, i) => i + 1), "what arrived is what was published, once and in order");
        assert.equal(client.transport, "websocket");
        assert.deepEqual([...new Set(carriers)], ["polling", "websocket"], "it was in mid-stream");
        client.close();
      }
    }
  });
