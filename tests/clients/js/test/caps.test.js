// A rate cap on an event name: stock clients get the first at once, the last always, and fewer in between.
import { it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";

const STATES = 400;

it("a capped state comes at its rate, the last of it before the end, and history shows all", { timeout: 60_000 }, async () => {
  const gateway = await Gateway.start({ env: { TIDINGS__HUB__RATE_CAPS__PROGRESS: "2" } });
  const clients = [];
  try {
    for (const transport of ["websocket", "polling", "upgrade"]) clients.push(await Client.open(gateway, { transport }));
    const id = freshId("caps");
    const topic = `session:${id}`;
    for (const client of clients) await client.subscribe(id);
    await gateway.batch(Array.from({ length: STATES }, (_, n) => ({ topic, name: "progress", data: { n } })));
    // nothing follows: the last one comes by itself
    for (const client of clients) await client.event("progress", ({ n }) => n === STATES - 1);
    await gateway.batch([...Array.from({ length: STATES }, (_, n) => ({ topic, name: "progress", data: { n: STATES + n } })), { topic, name: "completed", data: {} }]);
    for (const client of clients) {
      await client.event("completed");
      const told = client.log.filter(([name]) => name === "progress" || name === "completed").map(([name, data]) => data.n ?? name);
      assert.deepEqual(told.slice(-2), [2 * STATES - 1, "completed"], client.label);
      assert.equal(told[0], 0, client.label);
      assert.ok(told.length < 20, `${client.label}: ${told.length} of ${2 * STATES} came`);
      const seqs = client.sequenced().map(([, data]) => data._seq);
      assert.deepEqual(seqs, seqs.toSorted((a, b) => a - b), client.label);
      assert.equal(client.payloads("gap").length, 0, client.label);
    }
    const { body } = await gateway.http("GET", `/v1/topics/${topic}/events?limit=1000`);
    assert.equal(body.events.length, 2 * STATES + 1);
  } finally {
    for (const client of clients) client.close();
    await gateway.stop();
  }
});
