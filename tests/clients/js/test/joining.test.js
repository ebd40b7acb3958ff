// What a subscriber without a cursor is sent first is for the config to say.
import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";

const PUBLISHED = [
  ["progress", { progress: 1 }],
  ["model_result", { n: 1 }],
  ["progress", { progress: 2 }],
  ["model_result", { n: 2 }],
];

/** The numbers that a late subscriber sees before the event that is published after it joined. */
async function seen(onJoin, kind) {
  const gateway = await Gateway.start({ env: { TIDINGS__FACE__SOCKETIO__ON_JOIN: onJoin } });
  const client = await Client.open(gateway, kind);
  try {
    const id = freshId("join");
    for (const [name, data] of PUBLISHED) await gateway.publish(`session:${id}`, name, data);
    await client.subscribe(id);
    await gateway.publish(`session:${id}`, "completed", {});
    await client.event("completed");
    const events = client.sequenced(`session:${id}`);
    for (const [name, data] of events) assert.equal(data._replayed, name === "completed" ? undefined : true, `${name} ${data._seq}`);
    return events.map(([, data]) => data._seq);
  } finally {
    client.close();
    await gateway.stop();
  }
}

for (const kind of [{ version: "4.8", transport: "websocket" }, { version: "4.8", transport: "polling" }]) {
  describe(`on_join, ${kind.transport}`, () => {
    it("`snapshot` sends the newest state and every fact", async () => assert.deepEqual(await seen("snapshot", kind), [2, 3, 4, 5]));
    it("`all` sends what the log holds", async () => assert.deepEqual(await seen("all", kind), [1, 2, 3, 4, 5]));
    it("`none` sends nothing", async () => assert.deepEqual(await seen("none", kind), [5]));
  });
}
