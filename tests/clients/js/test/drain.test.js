// SIGTERM: the process finishes and exits 0; stock clients come back to its successor by themselves.
import { it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freePort, freshId } from "../lib/gateway.js";
import { Client, matrix } from "../lib/client.js";

it("every client comes back to a new process on the same port by itself", { timeout: 90_000 }, async () => {
  const port = await freePort();
  const first = await Gateway.start({ port });
  const id = freshId("drain");
  const clients = [];
  let second;
  try {
    for (const kind of matrix()) {
      const client = Client.start(first, kind, { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 400 });
      clients.push(client);
      client.socket.on("connect", () => client.socket.emit("subscribe", id));
    }
    await Promise.all(clients.map((client) => client.event("subscribed")));
    await first.publish(`session:${id}`, "progress", { progress: 1, process: "first" });
    await Promise.all(clients.map((client) => client.event("progress", (data) => data.process === "first")));

    const ended = await first.stop();
    assert.deepEqual([ended.code, ended.signal], [0, null], first.output());
    await Promise.all(clients.map((client) => client.next((name) => name === "#disconnect", "a disconnect")));
    for (const client of clients) {
      const [, reason] = client.log.find(([name]) => name === "#disconnect");
      assert.notEqual(reason, "io server disconnect", `${client.label}: after this reason a client stays away for ever`);
    }

    second = await Gateway.start({ port });
    const again = clients.map((client) => client.log.findIndex(([name]) => name === "#disconnect"));
    await Promise.all(clients.map((client, i) => client.event("subscribed", undefined, { from: again[i], ms: 20_000 })));
    await second.publish(`session:${id}`, "progress", { progress: 2, process: "second" });
    await Promise.all(clients.map((client) => client.event("progress", (data) => data.process === "second")));
  } finally {
    for (const client of clients) client.close();
    await first.stop();
    await second?.stop();
  }
});

it("with nobody connected ends at once", async () => {
  const gateway = await Gateway.start();
  const started = performance.now();
  const ended = await gateway.stop();
  assert.deepEqual([ended.code, ended.signal], [0, null], gateway.output());
  assert.ok(performance.now() - started < 5_000);
});

for (const kind of matrix()) {
  it(`an event acknowledged before the drain is delivered before the end: ${kind.label ?? JSON.stringify(kind)}`, async () => {
    const gateway = await Gateway.start();
    const client = await Client.open(gateway, kind);
    try {
      const id = freshId("last");
      await client.subscribe(id);
      await gateway.batch(Array.from({ length: 500 }, (_, i) => ({ topic: `session:${id}`, name: "model_result", data: { i } })));
      const ended = gateway.stop();
      await client.next((name) => name === "#disconnect", "a disconnect", { ms: 20_000 });
      assert.deepEqual(client.payloads("model_result").map((data) => data.i), Array.from({ length: 500 }, (_, i) => i));
      assert.equal((await ended).code, 0);
    } finally {
      client.close();
      await gateway.stop();
    }
  });
}
