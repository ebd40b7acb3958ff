// What the session app's clients see, for every release on every transport.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId } from "../lib/gateway.js";
import { matrix, withClients } from "../lib/client.js";

const FIVE = ["progress", "model_result", "clarification", "completed", "error"];
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

/** Every field of `want` is in `got`. */
function bears(got, want, what) {
  for (const [key, value] of Object.entries(want)) assert.deepEqual(got[key], value, `${what}: field ${key} of ${JSON.stringify(got)}`);
}

for (const kind of matrix())
  describe(`client ${kind.label}`, { concurrency: false }, () => {
    const open = (use, count = 1) => withClients(gateway, Array(count).fill(kind), use);

    it("is told its public id first", () =>
      open(async (client) => {
        const data = await client.event("connected");
        assert.match(data.timestamp, ISO);
        assert.equal(typeof data.socketId, "string");
        assert.ok(data.socketId.length >= 8);
        // from 3.0 on the client takes its id from the CONNECT answer, so it is the public one
        if (kind.version !== "2.5") {
          assert.equal(data.socketId, client.socket.id);
          assert.notEqual(data.socketId, client.socket.io.engine.id, "the Engine.IO session id is a credential");
        }
        const order = client.log.map(([name]) => name).filter((name) => name !== "#connect");
        assert.equal(order[0], "connected");
      }));

    it("ends on its transport and goes on there", () =>
      open(async (client) => {
        if (kind.transport === "upgrade") await client.upgraded();
        await client.subscribe(freshId());
        assert.equal(client.transport, kind.transport === "polling" ? "polling" : "websocket");
      }));

    it("subscribes by string, object and topic, and is answered as it asked", () =>
      open(async (client) => {
        const [a, b, c] = [freshId(), freshId(), freshId()];
        const plain = await client.subscribe(a);
        assert.equal(plain.topic, `session:${a}`);
        assert.match(plain.timestamp, ISO);
        const acked = await client.ask("subscribe", { sessionId: b });
        bears(acked, { ok: true, topic: `session:${b}`, recovered: false }, "acknowledgement");
        assert.match(acked.cursor, /^[^:]+:0$/);
        await client.event("subscribed", (data) => data.sessionId === b);
        bears(await client.ask("subscribe", { topic: `session:${c}` }), { ok: true, topic: `session:${c}` }, "acknowledgement");
        await client.event("subscribed", (data) => data.topic === `session:${c}`);
        for (const id of [a, b, c]) await gateway.publish(`session:${id}`, "progress", { progress: 1 });
        for (const id of [a, b, c]) await client.event("progress", (data) => data.sessionId === id);
      }));

    it("subscribes to several ids in one call, with acknowledgements in their order", () =>
      open(async (client) => {
        const ids = [freshId(), freshId(), freshId()];
        const acks = await client.ask("subscribe", [ids[0], { sessionId: ids[1] }, { topic: `session:${ids[2]}` }]);
        assert.deepEqual(acks.map((ack) => [ack.ok, ack.topic]), ids.map((id) => [true, `session:${id}`]));
        const more = [freshId(), freshId()];
        client.socket.emit("subscribe", more);
        for (const id of more) await client.event("subscribed", (data) => data.sessionId === id);
        for (const id of [...ids, ...more]) {
          const receipt = await gateway.publish(`session:${id}`, "completed", { result: { id } });
          assert.equal(receipt.subscribers, 1);
          await client.event("completed", (data) => data.sessionId === id);
        }
      }));

    it("gets the five events and any other, once, in order, with sequence and epoch", () =>
      open(async (client) => {
        const id = freshId();
        await client.subscribe(id);
        const want = { nested: { list: [1, 2.5, null, true, "é 漢 🚀"], empty: {} }, text: 'quote " and \\ and \u2028' };
        let epoch;
        for (const [i, name] of [...FIVE, "thumbnail_ready"].entries()) {
          const receipt = await gateway.publish(`session:${id}`, name, { ...want, i });
          epoch ??= receipt.epoch;
          const got = await client.event(name, (data) => data.i === i);
          bears(got, { ...want, sessionId: id, _seq: receipt.seq, _epoch: epoch }, name);
          assert.equal(receipt.epoch, epoch);
          assert.match(got.timestamp, ISO);
          assert.equal(got._replayed, undefined, "a live event is not marked as replayed");
        }
        assert.deepEqual(client.sequenced().map(([, data]) => data._seq), [1, 2, 3, 4, 5, 6]);
      }));

    it("gets bytes as bytes, and a payload that is no object untouched", () =>
      open(async (client) => {
        const id = freshId();
        await client.subscribe(id);
        const bytes = Buffer.from([0, 1, 2, 0x1e, 0xff, 0x80, 0x34, 0x0a]);
        await gateway.publishBytes(`session:${id}`, "model_result", bytes);
        const got = await client.event("model_result");
        assert.ok(ArrayBuffer.isView(got) || got instanceof ArrayBuffer, `got ${JSON.stringify(got)}`);
        assert.ok(Buffer.from(got).equals(bytes));
        for (const value of ["text", 12.5, null, true, [1, { a: 2 }]]) {
          const from = client.log.length;
          await gateway.publish(`session:${id}`, "thumbnail_ready", value);
          const [, plain] = await client.next((name) => name === "thumbnail_ready", "a plain payload", { from });
          assert.deepEqual(plain, value);
        }
        await gateway.publish(`session:${id}`, "completed", { after: "bytes" });
        assert.equal((await client.event("completed"))._seq, 7);
      }));

    it("joins late and gets the snapshot in log order, then what is live", () =>
      open(async (client) => {
        const id = freshId();
        const topic = `session:${id}`;
        await gateway.publish(topic, "progress", { progress: 10 });
        await gateway.publish(topic, "model_result", { modelName: "a" });
        await gateway.publish(topic, "progress", { progress: 40 });
        await gateway.publish(topic, "clarification", { question: "which?" });
        await gateway.publish(topic, "model_result", { modelName: "b" });
        const last = await gateway.publish(topic, "progress", { progress: 90 });
        const from = client.log.length;
        await client.subscribe(id);
        await gateway.publish(topic, "completed", { result: {} });
        await client.event("completed", undefined, { from });
        const seen = client.sequenced().map(([name, data]) => [name, data._seq, data._replayed === true]);
        assert.deepEqual(seen, [
          ["model_result", 2, true],
          ["clarification", 4, true],
          ["model_result", 5, true],
          ["progress", last.seq, true],
          ["completed", 7, false],
        ]);
        assert.equal(client.log[from][0], "subscribed", "the confirmation comes before the snapshot");
      }));

    it("resumes after a cursor with exactly what it missed", () =>
      open(async (client) => {
        const id = freshId();
        const receipts = [];
        for (let i = 1; i <= 6; i++) receipts.push(await gateway.publish(`session:${id}`, "progress", { progress: i }));
        const ack = await client.ask("subscribe", { sessionId: id, since: `${receipts[1].epoch}:2` });
        bears(ack, { ok: true, recovered: true }, "acknowledgement");
        await gateway.publish(`session:${id}`, "completed", {});
        await client.event("completed");
        assert.deepEqual(client.sequenced().map(([, data]) => data._seq), [3, 4, 5, 6, 7]);
        assert.equal(client.payloads("gap").length, 0);
      }));

    it("is told of a gap when its cursor is of another epoch or ahead", () =>
      open(async (client) => {
        const elsewhere = await gateway.publish(`session:${freshId()}`, "progress", {});
        assert.equal(typeof elsewhere.epoch, "string");
        for (const wrong of [() => `${elsewhere.epoch}:1`, (receipt) => `${receipt.epoch}:99`]) {
          const id = freshId();
          const topic = `session:${id}`;
          const receipt = await gateway.publish(topic, "model_result", { modelName: "a" });
          const from = client.log.length;
          const ack = await client.ask("subscribe", { sessionId: id, since: wrong(receipt) });
          bears(ack, { ok: true, recovered: false }, "acknowledgement");
          const gap = await client.event("gap", (data) => data.topic === topic);
          bears(gap, { from: wrong(receipt), to: `${receipt.epoch}:1` }, "gap");
          const replayed = await client.event("model_result", (data) => data.sessionId === id);
          assert.equal(replayed._replayed, true);
          const order = client.log.slice(from).map(([name]) => name);
          assert.deepEqual(order, ["subscribed", "gap", "model_result"]);
        }
      }));

    it("hears nothing more after unsubscribing, and nothing of other sessions", () =>
      open(async (client, other) => {
        const [mine, others] = [freshId(), freshId()];
        await client.subscribe(mine);
        await other.subscribe(others);
        await gateway.publish(`session:${mine}`, "progress", { progress: 1 });
        await client.event("progress");
        client.socket.emit("unsubscribe", mine);
        const gone = await client.event("unsubscribed");
        assert.equal(gone.sessionId, mine);
        assert.match(gone.timestamp, ISO);
        assert.equal((await gateway.publish(`session:${mine}`, "progress", { progress: 2 })).subscribers, 0);
        bears(await client.ask("unsubscribe", { sessionId: mine }), { ok: true }, "unsubscribing twice");
        await gateway.publish(`session:${others}`, "progress", { progress: 3 });
        await other.event("progress");
        // whoever subscribes again gets the snapshot: the missed event comes as replayed only
        await client.subscribe(mine);
        await client.event("progress", (data) => data.progress === 2);
        assert.deepEqual(client.payloads("progress").map((data) => [data.progress, data._replayed === true]), [[1, false], [2, true]]);
        assert.equal(other.payloads("progress").length, 1);
      }, 2));

    it("subscribes to topics of other kinds by their full names", () =>
      open(async (client) => {
        for (const topic of [`job:${freshId()}`, `scan:${freshId()}`, `session:${freshId()}`]) {
          bears(await client.ask("subscribe", topic), { ok: true, topic }, "acknowledgement");
          bears(await client.event("subscribed", (data) => data.topic === topic), { sessionId: topic }, "subscribed echoes what was given");
          await gateway.publish(topic, "progress", { progress: 12, of: topic });
          await client.event("progress", (data) => data.of === topic);
          bears(await client.ask("unsubscribe", topic), { ok: true }, "acknowledgement");
        }
      }));

    it("gets only the events it asked for", () =>
      open(async (client) => {
        const id = freshId();
        bears(await client.ask("subscribe", { sessionId: id, events: ["model_result", "completed"] }), { ok: true }, "acknowledgement");
        await gateway.publish(`session:${id}`, "progress", { progress: 1 });
        await gateway.publish(`session:${id}`, "model_result", { modelName: "a" });
        await gateway.publish(`session:${id}`, "completed", {});
        await client.event("completed");
        assert.deepEqual(client.sequenced().map(([name]) => name), ["model_result", "completed"]);
      }));

    it("unsubscribes from several at once", () =>
      open(async (client) => {
        const ids = [freshId(), freshId()];
        await client.ask("subscribe", ids);
        const acks = await client.ask("unsubscribe", ids);
        assert.deepEqual(acks.map((ack) => [ack.ok, ack.topic]), ids.map((id) => [true, `session:${id}`]));
        for (const id of ids) assert.equal((await gateway.publish(`session:${id}`, "progress", {})).subscribers, 0);
      }));

    it("subscribes twice without harm", () =>
      open(async (client) => {
        const id = freshId();
        await gateway.publish(`session:${id}`, "model_result", { modelName: "before" });
        await client.subscribe(id);
        await client.subscribe(id);
        bears(await client.ask("subscribe", id), { ok: true, topic: `session:${id}` }, "acknowledgement");
        assert.equal((await gateway.publish(`session:${id}`, "completed", {})).subscribers, 1);
        await client.event("completed");
        assert.deepEqual(client.sequenced().map(([, data]) => data._seq), [1, 2]);
      }));
  });
