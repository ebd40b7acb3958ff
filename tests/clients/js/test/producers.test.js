// The `/producers` namespace: a producer with a Socket.IO client gets a receipt or a problem for each event.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { Client, matrix, withClients } from "../lib/client.js";

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

const REFUSED = {
  "nothing": undefined,
  "null": null,
  "a string": "session:a",
  "a number": 5,
  "an array": [{ topic: "session:a", name: "progress", data: {} }],
  "an object without a topic": { name: "progress", data: {} },
  "a topic that is no topic": { topic: "nowhere", name: "progress", data: {} },
  "a topic with a path in it": { topic: "session:../x", name: "progress", data: {} },
  "a reserved job id": { topic: "job:connect", name: "progress", data: {} },
  "no name": { topic: "session:a", data: {} },
  "a name that is a number": { topic: "session:a", name: 5, data: {} },
  "a reserved name": { topic: "session:a", name: "subscribed", data: {} },
  "a name with an underscore in front": { topic: "session:a", name: "_hidden", data: {} },
  "a name of 65 letters": { topic: "session:a", name: "n".repeat(65), data: {} },
  "a name beyond ASCII": { topic: "session:a", name: "größe", data: {} },
  "a sessionId that contradicts the topic": { topic: "session:a", name: "progress", data: { sessionId: "b" } },
};

for (const kind of matrix().filter(({ transport }) => transport !== "upgrade"))
  describe(`producer with client ${kind.label}`, { concurrency: false }, () => {
    const open = (use) => withClients(gateway, [kind], use, { namespace: "/producers" });

    it("gets a receipt, and subscribers get the event", () =>
      open(async (producer) => {
        const id = freshId();
        const topic = `session:${id}`;
        await withClients(gateway, [{}], async (client) => {
          await client.subscribe(id);
          const receipt = await producer.ask("publish", { topic, name: "progress", data: { progress: 50 } });
          assert.deepEqual([receipt.topic, receipt.seq, receipt.subscribers], [topic, 1, 1]);
          for (const key of ["epoch", "id", "timestamp"]) assert.equal(typeof receipt[key], "string", key);
          const got = await client.event("progress");
          assert.deepEqual([got.progress, got._seq, got._epoch], [50, 1, receipt.epoch]);
        });
      }));

    it("may publish bytes", () =>
      open(async (producer) => {
        const id = freshId();
        await withClients(gateway, [{}], async (client) => {
          await client.subscribe(id);
          const bytes = Buffer.from([0, 255, 30, 10]);
          const receipt = await producer.ask("publish", { topic: `session:${id}`, name: "model_result", data: bytes });
          assert.equal(receipt.seq, 1, JSON.stringify(receipt));
          assert.ok(Buffer.from(await client.event("model_result")).equals(bytes));
        });
      }));

    it("has its events appended in the order in which it sent them", () =>
      open(async (producer) => {
        const topic = `session:${freshId()}`;
        const receipts = await Promise.all(Array.from({ length: 200 }, (_, i) => producer.ask("publish", { topic, name: "model_result", data: { i } })));
        assert.deepEqual(receipts.map((receipt) => receipt.seq), Array.from({ length: 200 }, (_, i) => i + 1));
      }));

    it("asks, and is acknowledged with the first answer", () =>
      open(async (producer) => {
        const id = freshId();
        const question = { question: "which?", clarificationId: "q", schema: { enum: ["a", "b"] } };
        const answer = producer.ask("ask", { topic: `session:${id}`, data: question });
        await withClients(gateway, [{}], async (client) => {
          await client.subscribe(id);
          const asked = await client.event("clarification");
          assert.deepEqual([asked.clarificationId, asked.status], ["q", "pending"]);
          // other requests of the producer go on while it waits
          assert.equal((await producer.ask("publish", { topic: `session:${id}`, name: "progress", data: {} })).seq, 2);
          const response = await fetch(`${gateway.url}/api/wizard/clarifications/respond`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ sessionId: id, clarificationId: "q", response: "b" }),
          });
          assert.equal(response.status, 200);
        });
        const { clarificationId, response } = await answer;
        assert.deepEqual([clarificationId, response], ["q", "b"]);
        const again = await producer.ask("ask", { topic: `session:${id}`, data: question });
        assert.equal(again.code, "asked_already", JSON.stringify(again));
        assert.equal((await producer.ask("ask", { topic: "nowhere" })).code, "invalid_event");
      }));

    it("gets a problem for what cannot be published, and goes on", () =>
      open(async (producer) => {
        for (const [what, entry] of Object.entries(REFUSED)) {
          const problem = await (entry === undefined ? producer.ask("publish") : producer.ask("publish", entry));
          assert.equal(problem.seq, undefined, `${what}: ${JSON.stringify(problem)}`);
          assert.equal(typeof problem.code, "string", `${what}: ${JSON.stringify(problem)}`);
        }
        const receipt = await producer.ask("publish", { topic: `session:${freshId()}`, name: "progress", data: {} });
        assert.equal(receipt.seq, 1);
      }));
  });

it("an event without an acknowledgement is appended as well", () =>
  withClients(gateway, [{}], async (producer) => {
    const id = freshId();
    const client = await Client.open(gateway);
    await client.subscribe(id);
    producer.socket.emit("publish", { topic: `session:${id}`, name: "progress", data: { progress: 1 } });
    assert.equal((await client.event("progress")).progress, 1);
    client.close();
  }, { namespace: "/producers" }));

it("an unknown namespace is refused", async () => {
  const client = Client.start(gateway, {}, { namespace: "/nowhere" });
  const [, message] = await client.next((name) => name === "#error", "a refusal");
  assert.equal(message, "Invalid namespace");
  client.close();
});
