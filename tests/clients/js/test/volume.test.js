// 2,000 events published back to back, with default settings, to every client at once: complete and in order.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { matrix, withClients } from "../lib/client.js";

const EVENTS = 2_000;
const PER_REQUEST = 500;

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

for (const name of ["model_result", "progress"])
  it(`${EVENTS} \`${name}\` events reach every release on every transport`, { timeout: 120_000 }, () =>
    withClients(gateway, matrix(), async (...clients) => {
      const id = freshId("burst");
      await Promise.all(clients.map((client) => client.subscribe(id)));
      const entries = Array.from({ length: EVENTS }, (_, i) => ({ topic: `session:${id}`, name, data: { i, text: `${i}-${"x".repeat(150)}` } }));
      for (let at = 0; at < EVENTS; at += PER_REQUEST) await gateway.batch(entries.slice(at, at + PER_REQUEST));
      await Promise.all(clients.map((client) => client.event(name, (data) => data.i === EVENTS - 1, { ms: 60_000 })));
      for (const client of clients) {
        const got = client.payloads(name);
        assert.equal(got.length, EVENTS, client.label);
        got.forEach((data, i) => assert.ok(data.i === i && data._seq === i + 1 && data.text.startsWith(`${i}-`), `${client.label}: place ${i} holds ${data.i}`));
        assert.equal(client.payloads("gap").length, 0, client.label);
      }
    }));

it("2,000 single publishes one after another arrive whole on every transport", { timeout: 120_000 }, () =>
  withClients(gateway, ["websocket", "polling", "upgrade"].map((transport) => ({ transport })), async (...clients) => {
    const id = freshId("single");
    await Promise.all(clients.map((client) => client.subscribe(id)));
    for (let i = 0; i < EVENTS; i++) await gateway.publish(`session:${id}`, "progress", { i });
    await Promise.all(clients.map((client) => client.event("progress", (data) => data.i === EVENTS - 1, { ms: 30_000 })));
    for (const client of clients)
      assert.deepEqual(client.payloads("progress").map((data) => data.i), Array.from({ length: EVENTS }, (_, i) => i), client.label);
  }));

it("acknowledgements and emits find their way between events that never end", { timeout: 60_000 }, () =>
  withClients(gateway, ["4.8", "2.5"].map((version) => ({ transport: "polling", version })), async (...clients) => {
    const id = freshId("flow");
    await Promise.all(clients.map((client) => client.subscribe(id)));
    let isOver = false;
    const flow = (async () => {
      while (!isOver) await gateway.publish(`session:${id}`, "model_result", { text: "on and on" });
    })();
    try {
      for (let n = 0; n < 20; n++) {
        const { status } = await gateway.http("POST", "/v1/emit", { in: [`session:${id}`], event: "aside", args: [{ n }] });
        assert.equal(status, 200);
        await Promise.all(clients.map((client) => client.event("aside", (data) => data.n === n)));
        for (const answer of await Promise.all(clients.map((client) => client.ask("subscribe", `${id}-${n}`)))) assert.equal(answer.ok, true);
      }
    } finally {
      isOver = true;
      await flow;
    }
  }, { names: ["aside"] }));
