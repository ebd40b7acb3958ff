// Every malformed request is answered in Socket.IO's language, by the acknowledgement too, and disturbs nobody.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { matrix, withClients } from "../lib/client.js";

const MALFORMED = {
  "a number": 42,
  "a boolean": true,
  "null": null,
  "an empty string": "",
  "an empty object": {},
  "an empty array": [],
  "bytes": Buffer.from([1, 2, 3]),
  "an object with bytes inside": { sessionId: Buffer.from([1, 2, 3]) },
  "a path traversal": "../../etc/passwd",
  "a slash": "a/b",
  "an encoded slash": "a%2fb",
  "a leading dot": ".hidden",
  "a space": "two words",
  "letters beyond ASCII": "sitzung-é",
  "a line break": "a\nb",
  "129 characters": "x".repeat(129),
  "a megabyte less a bit": "x".repeat(600_000),
  "a sessionId that is no string": { sessionId: 7 },
  "a sessionId that is an object": { sessionId: { $ne: null } },
  "a topic without a kind": { topic: "nokind" },
  "a topic of an unknown kind": { topic: "weather:berlin" },
  "a topic without an id": { topic: "session:" },
  "a topic that is a number": { topic: 5 },
  "the reserved job id connect": { topic: "job:connect" },
  "the reserved job id scan": { topic: "job:scan" },
  "a cursor that is no cursor": { sessionId: "known", since: "yesterday" },
  "a cursor that is a number": { sessionId: "known", since: 5 },
  "a cursor with a negative sequence": { sessionId: "known", since: "epoch:-1" },
  "events that are no list": { sessionId: "known", events: "progress" },
  "an array within an array": [["a"]],
  "an array of what is no id": [1, null, {}],
};

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

function isRefusal(data, what) {
  assert.equal(typeof data, "object", `${what}: ${JSON.stringify(data)}`);
  assert.equal(typeof data.code, "string", `${what} has a code: ${JSON.stringify(data)}`);
  assert.match(data.code, /^[a-z][a-z0-9_]*$/, `${what}: the code is a word`);
  assert.ok(typeof data.error === "string" && data.error.length > 5, `${what} says what is wrong: ${JSON.stringify(data)}`);
  assert.ok(data.error.length < 1000, `${what} does not send the input back whole`);
}

/** The connection still works, and the witness beside it has heard only what is its own. */
async function stillUsable(client, witness, topic) {
  const id = freshId();
  assert.equal((await client.ask("subscribe", id)).ok, true);
  await gateway.publish(`session:${id}`, "progress", { progress: 1 });
  await client.event("progress", (data) => data.sessionId === id);
  const from = witness.log.length;
  await gateway.publish(topic, "progress", { progress: 2 });
  await witness.event("progress", undefined, { from });
  assert.equal(witness.payloads("error").length, 0);
  for (const one of [client, witness]) assert.equal(one.log.filter(([name]) => name === "#disconnect").length, 0);
}

const kinds = matrix().filter(({ transport }) => transport !== "upgrade");
for (const kind of kinds)
  describe(`malformed requests of client ${kind.label}`, { concurrency: false }, () => {
    const each = (use) =>
      withClients(gateway, [kind, {}], async (client, witness) => {
        const id = freshId("witness");
        await witness.subscribe(id);
        await use(client);
        await stillUsable(client, witness, `session:${id}`);
      });

    it("are answered by `error` with a code", () =>
      each(async (client) => {
        for (const request of ["subscribe", "unsubscribe"])
          for (const [what, payload] of Object.entries(MALFORMED)) {
            if (request === "unsubscribe" && payload?.sessionId === "known") continue; // `since` and `events` mean nothing there
            const from = client.log.length;
            client.socket.emit(request, payload);
            const data = await client.event("error", undefined, { from });
            isRefusal(data, `${request} with ${what}`);
            assert.equal(typeof data.timestamp, "string");
          }
      }));

    it("are answered by the acknowledgement as well", () =>
      each(async (client) => {
        for (const [what, payload] of Object.entries(MALFORMED)) {
          const from = client.log.length;
          const ack = await client.ask("subscribe", payload);
          for (const one of Array.isArray(ack) ? ack : [ack]) {
            assert.equal(one.ok, false, `${what}: ${JSON.stringify(ack)}`);
            isRefusal(one, `the acknowledgement of ${what}`);
          }
          await client.event("error", undefined, { from });
        }
      }));

    it("without any payload are refused too", () =>
      each(async (client) => {
        const from = client.log.length;
        client.socket.emit("subscribe");
        isRefusal(await client.event("error", undefined, { from }), "subscribe without a payload");
        const ack = await client.ask("subscribe");
        assert.equal(ack.ok, false);
        isRefusal(ack, "the acknowledgement");
      }));

    it("good ids beside bad ones in one array are subscribed", () =>
      each(async (client) => {
        const id = freshId();
        const acks = await client.ask("subscribe", ["../x", id, 5]);
        assert.deepEqual(acks.map((ack) => ack.ok), [false, true, false]);
        assert.equal(acks[1].topic, `session:${id}`);
      }));

    it("a thousand ids in one array meet the limit, loudly", () =>
      each(async (client) => {
        const from = client.log.length;
        const ack = await client.ask("subscribe", Array.from({ length: 1000 }, (_, i) => `many-${i}`));
        const refused = (Array.isArray(ack) ? ack : [ack]).filter((one) => !one.ok);
        assert.ok(refused.length > 0, "a thousand subscriptions are above the limit of one connection");
        refused.forEach((one) => isRefusal(one, "the acknowledgement"));
        isRefusal(await client.event("error", undefined, { from }), "the error");
        // room for the check that follows
        if (Array.isArray(ack)) {
          const taken = ack.filter((one) => one.ok).map((one) => ({ topic: one.topic }));
          if (taken.length) await client.ask("unsubscribe", taken.slice(0, 10));
        }
      }));

    it("an event nobody knows changes nothing", () =>
      each(async (client) => {
        client.socket.emit("no-such-event", { a: 1 });
        client.socket.emit("publish", { topic: "session:x", name: "progress", data: {} });
      }));
  });
