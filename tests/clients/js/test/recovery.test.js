// A stock client that comes back goes on where it was: nothing lost, doubled or reordered.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Gateway, eventually, freePort, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";
import { connectRaw } from "../lib/raw.js";

const RECONNECT = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0 };
const KINDS = [];
for (const transport of ["websocket", "polling", "upgrade"])
  for (const parser of [undefined, "msgpack"]) KINDS.push({ version: "4.8", transport, parser, label: `${transport} ${parser ?? "json"}` });

/** Breaks the connection below the client, which comes back by itself; answers when it has. */
async function drop(client, meanwhile = async () => {}) {
  const from = client.log.length;
  client.socket.io.engine.close();
  await meanwhile();
  await client.next((name) => name === "#connect", "the reconnect", { from });
  return from;
}

const publish = async (gateway, topic, from, to, name = "model_result") => {
  await gateway.batch(Array.from({ length: to - from + 1 }, (_, i) => ({ topic, name, data: { n: from + i } })));
};
const numbers = (client, topic) => client.sequenced(topic).map(([, data]) => data._seq);
const upTo = (last, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
const seen = (client, n, topic) => client.next((_, data) => data?._seq === n && (!topic || `session:${data.sessionId}` === topic), `event ${n}`);

describe("a client that comes back", () => {
  let gateway;
  before(async () => (gateway = await Gateway.start()));
  after(() => gateway?.stop());

  for (const kind of KINDS)
    it(`goes on where it was: ${kind.label}`, async () => {
      const id = freshId();
      const topic = `session:${id}`;
      const client = await Client.open(gateway, kind, RECONNECT);
      try {
        const publicId = client.socket.id;
        await client.subscribe(id);
        await publish(gateway, topic, 1, 5);
        await seen(client, 5);
        for (let round = 1; round <= 3; round++) {
          const before = round * 5;
          const from = await drop(client, () => publish(gateway, topic, before + 1, before + 5));
          assert.equal(client.socket.recovered, true);
          assert.equal(client.socket.id, publicId, "the public id stays");
          await seen(client, before + 5);
          const told = client.log.slice(from).filter(([name]) => !name.startsWith("#"));
          assert.equal(told[0][0], "connected");
          assert.equal(told[0][1].socketId, publicId);
          assert.equal(told[1][0], "subscribed");
          assert.equal(told[1][1].resumed, true);
          assert.equal(told[1][1].sessionId, id);
          assert.match(told[1][1].cursor, new RegExp(`:${before}$`));
        }
        assert.deepEqual(numbers(client), upTo(20));
      } finally {
        client.close();
      }
    });

  for (const kind of KINDS)
    it(`that had no event yet misses none: ${kind.label}`, async () => {
      const id = freshId();
      const client = await Client.open(gateway, kind, RECONNECT);
      try {
        await client.subscribe(id);
        await drop(client, () => publish(gateway, `session:${id}`, 1, 20, "progress"));
        assert.equal(client.socket.recovered, true);
        await seen(client, 20);
        assert.deepEqual(numbers(client), upTo(20));
      } finally {
        client.close();
      }
    });

  // A stock client that is closed while events are on their way to its handlers hands them on at its next connect,
  // whatever the server does; so this is said without one.
  it("twice in a row, before anything of what was missed came", async () => {
    const id = freshId();
    const first = await connectRaw(gateway, { query: "recovery=1" });
    first.emit("subscribe", id);
    await first.event("subscribed");
    await publish(gateway, `session:${id}`, 1, 3);
    const [, , offset] = await first.event("model_result", (data) => data.n === 3);
    const auth = { pid: first.connected.pid, offset };
    first.terminate();
    await publish(gateway, `session:${id}`, 4, 9);
    for (let times = 0; times < 3; times++) {
      const again = await connectRaw(gateway, { query: "recovery=1", auth });
      assert.equal(again.connected.pid, auth.pid);
      again.terminate();
    }
    const last = await connectRaw(gateway, { query: "recovery=1", auth });
    await publish(gateway, `session:${id}`, 10, 12);
    await last.event("model_result", (data) => data.n === 12);
    assert.deepEqual(last.events("model_result").map(([, data]) => data.n), upTo(12, 4));
    last.terminate();
  });

  for (const kind of KINDS)
    it(`with several topics and one offset: ${kind.label}`, async () => {
      const ids = [freshId("a"), freshId("b"), freshId("c")];
      const topics = ids.map((id) => `session:${id}`);
      const client = await Client.open(gateway, kind, RECONNECT);
      try {
        await client.ask("subscribe", ids);
        for (let round = 0; round < 4; round++) {
          // Each topic at another pace, so that the one offset is of another topic each time.
          const last = (n) => (round + 1) * (n + 1);
          const all = () => Promise.all(topics.map((topic, n) => publish(gateway, topic, last(n) - n, last(n))));
          if (round % 2) await drop(client, all);
          else await all();
          for (const [n, topic] of topics.entries()) await seen(client, last(n), topic);
          await drop(client);
          assert.equal(client.socket.recovered, true, `round ${round}`);
        }
        for (const [n, topic] of topics.entries()) assert.deepEqual(numbers(client, topic), upTo(4 * (n + 1)), topic);
      } finally {
        client.close();
      }
    });

  it("is given back what it had given up no more", async () => {
    const [kept, left] = [freshId(), freshId()];
    const client = await Client.open(gateway, {}, RECONNECT);
    try {
      await client.ask("subscribe", [kept, left]);
      for (const id of [kept, left]) await publish(gateway, `session:${id}`, 1, 2);
      for (const id of [kept, left]) await seen(client, 2, `session:${id}`);
      await client.ask("unsubscribe", left);
      const from = await drop(client);
      await publish(gateway, `session:${left}`, 3, 3);
      await publish(gateway, `session:${kept}`, 3, 3);
      await seen(client, 3, `session:${kept}`);
      assert.equal(client.socket.recovered, true);
      const resumed = client.log.slice(from).filter(([name]) => name === "subscribed");
      assert.deepEqual(resumed.map(([, data]) => data.sessionId), [kept]);
      assert.deepEqual(numbers(client, `session:${left}`), [1, 2]);
    } finally {
      client.close();
    }
  });

  it("after events whose payload is a bare string, and bytes", async () => {
    for (const kind of KINDS) {
      const id = freshId();
      const topic = `session:${id}`;
      const client = await Client.open(gateway, kind, { ...RECONNECT, names: ["note"] });
      try {
        await client.subscribe(id);
        await gateway.publish(topic, "note", "first");
        await gateway.publishBytes(topic, "note", [1, 2, 255]);
        await client.next((name, data) => name === "note" && data?.length === 3, "the bytes");
        await drop(client, async () => {
          await gateway.publish(topic, "note", "session:x:y:900");
          await gateway.publishBytes(topic, "note", [7]);
        });
        assert.equal(client.socket.recovered, true);
        await client.next((name, data) => name === "note" && data?.[0] === 7, "the last bytes");
        await drop(client, () => gateway.publish(topic, "note", "end"));
        await client.next((name, data) => data === "end", "the end");
        assert.equal(client.socket.recovered, true);
        const notes = client.payloads("note").map((data) => (typeof data === "string" ? data : [...data]));
        assert.deepEqual(notes, ["first", [1, 2, 255], "session:x:y:900", [7], "end"], client.label);
      } finally {
        client.close();
      }
    }
  });

  it("with its filter of event names", async () => {
    const id = freshId();
    const client = await Client.open(gateway, {}, RECONNECT);
    try {
      await client.ask("subscribe", { sessionId: id, events: ["completed"] });
      await drop(client, () => publish(gateway, `session:${id}`, 1, 5));
      await gateway.publish(`session:${id}`, "completed", {});
      await client.event("completed");
      assert.equal(client.socket.recovered, true);
      assert.deepEqual(client.payloads("model_result"), []);
    } finally {
      client.close();
    }
  });

  it("while the old connection still seems alive: it is closed, the new one has everything", async () => {
    const id = freshId();
    const topic = `session:${id}`;
    const old = await connectRaw(gateway, { query: "recovery=1" });
    const { pid, sid } = old.connected;
    old.emit("subscribe", id);
    await old.event("subscribed");
    await publish(gateway, topic, 1, 3);
    const [, , offset] = await old.event("model_result", (data) => data.n === 3);
    assert.match(offset, new RegExp(`^${topic}:[0-9A-Za-z]+:3$`));
    const next = await connectRaw(gateway, { query: "recovery=1", auth: { pid, offset } });
    assert.deepEqual(next.connected, { sid, pid });
    await old.closed;
    await publish(gateway, topic, 4, 5);
    await next.event("model_result", (data) => data.n === 5);
    assert.deepEqual(next.events("model_result").map(([, data]) => data.n), [4, 5]);
    // The old connection's end does not end the session.
    next.terminate();
    await next.closed;
    const third = await connectRaw(gateway, { query: "recovery=1", auth: { pid, offset } });
    assert.equal(third.connected.pid, pid);
    await third.event("model_result", (data) => data.n === 5);
    third.terminate();
  });

  it("with an offset or pid that nobody gave: connected anew", async () => {
    const id = freshId();
    const first = await connectRaw(gateway, { query: "recovery=1" });
    first.emit("subscribe", id);
    await first.event("subscribed");
    await publish(gateway, `session:${id}`, 1, 3);
    await first.event("model_result", (data) => data.n === 3);
    for (const auth of [{ pid: "nobody's", offset: "x" }, { pid: 7 }, { pid: "", offset: "x" }, { offset: "1" }, { pid: "x".repeat(100_000) }]) {
      const other = await connectRaw(gateway, { query: "recovery=1", auth });
      assert.notEqual(other.connected.pid, first.connected.pid);
      assert.equal(typeof other.connected.pid, "string");
      other.terminate();
    }
    // An offset that cannot be read counts as none: everything since the subscription comes again.
    const { pid } = first.connected;
    for (const offset of ["rubbish", "session:", 12, null, { a: 1 }]) {
      const again = await connectRaw(gateway, { query: "recovery=1", auth: { pid, offset } });
      assert.equal(again.connected.pid, pid, JSON.stringify(offset));
      await again.event("model_result", (data) => data.n === 3);
      again.terminate();
      await again.closed;
    }
    // One of another story: what came in between cannot be known.
    const ahead = await connectRaw(gateway, { query: "recovery=1", auth: { pid, offset: `session:${id}:nosuchepoch:900` } });
    assert.notEqual(ahead.connected.pid, pid);
    ahead.terminate();
  });
});

describe("who gets an offset", () => {
  let gateway;
  before(async () => (gateway = await Gateway.start()));
  after(() => gateway?.stop());

  const extra = async (kind, options) => {
    const id = freshId();
    const client = await Client.open(gateway, kind, options);
    try {
      await client.subscribe(id);
      await gateway.publish(`session:${id}`, "model_result", { n: 1 });
      const [, , ...more] = await client.next((name) => name === "model_result");
      return more.length;
    } finally {
      client.close();
    }
  };

  it("the query and the auth decide before the kind of client does", async () => {
    for (const transport of ["websocket", "polling", "upgrade"]) {
      assert.equal(await extra({ transport }), 1, transport);
      assert.equal(await extra({ transport }, { query: { recovery: "0" } }), 0, `${transport} query 0`);
      assert.equal(await extra({ transport }, { query: { recovery: "0", cursors: "1" } }), 1, `${transport} cursors without recovery`);
      assert.equal(await extra({ transport }, { auth: { recovery: false } }), 0, `${transport} auth false`);
      assert.equal(await extra({ transport }, { query: { recovery: "0" }, auth: { recovery: true } }), 1, `${transport} auth true`);
      assert.equal(await extra({ transport, version: "2.5" }), 0, `${transport} 2.5`);
      assert.equal(await extra({ transport, version: "2.5" }, { query: { recovery: "1" } }), 0, `${transport} 2.5 that asks`);
    }
  });
});

describe("what is gone is not pretended", () => {
  it("after the window: not recovered, and the snapshot on subscribing again", async () => {
    const gateway = await Gateway.start({ env: { TIDINGS__FACE__SOCKETIO__RECOVERY__WINDOW: "200ms" } });
    const client = await Client.open(gateway, {}, { ...RECONNECT, reconnectionDelay: 1500, reconnectionDelayMax: 1500 });
    try {
      const id = freshId();
      await client.subscribe(id);
      await publish(gateway, `session:${id}`, 1, 3, "progress");
      await seen(client, 3);
      const from = await drop(client, () => publish(gateway, `session:${id}`, 4, 6, "progress"));
      assert.equal(client.socket.recovered, false);
      await client.subscribe(id);
      const snapshot = await client.event("progress", undefined, { from });
      assert.equal(snapshot.n, 6);
      assert.equal(snapshot._replayed, true);
    } finally {
      client.close();
      await gateway.stop();
    }
  });

  it("with the log gone: not recovered", async () => {
    const gateway = await Gateway.start({ env: { TIDINGS__STORE__LOG_EVENTS_MAX: "10", TIDINGS__HUB__RING_EVENTS_MAX: "5" } });
    const client = await Client.open(gateway, {}, RECONNECT);
    try {
      const id = freshId();
      await client.subscribe(id);
      await publish(gateway, `session:${id}`, 1, 3);
      await seen(client, 3);
      client.socket.io.reconnectionDelay(1500);
      client.socket.io.reconnectionDelayMax(1500);
      await drop(client, () => publish(gateway, `session:${id}`, 4, 40));
      assert.equal(client.socket.recovered, false);
      const from = client.log.length;
      await client.ask("subscribe", { sessionId: id, since: `${client.sequenced().at(-1)[1]._epoch}:3` });
      await client.event("gap", undefined, { from });
    } finally {
      client.close();
      await gateway.stop();
    }
  });
});

describe("with a data directory", () => {
  for (const kind of KINDS)
    it(`after kill -9 and a restart: ${kind.label}`, { timeout: 60_000 }, async () => {
      const dir = await mkdtemp(join(tmpdir(), "tidings-recovery-"));
      const port = await freePort();
      const args = ["serve", "--listen", `127.0.0.1:${port}`, "--data-dir", dir];
      let gateway = await Gateway.start({ args });
      const client = await Client.open(gateway, kind, RECONNECT);
      try {
        const ids = [freshId("a"), freshId("b"), freshId("none")];
        const topics = ids.map((id) => `session:${id}`);
        for (const id of ids) await client.subscribe(id);
        for (let round = 0; round < 3; round++) {
          const base = round * 6;
          await publish(gateway, topics[0], base + 1, base + 3);
          await publish(gateway, topics[1], base + 1, base + 3);
          await seen(client, base + 3, topics[0]);
          await seen(client, base + 3, topics[1]);
          const from = client.log.length;
          await gateway.stop("SIGKILL");
          gateway = await Gateway.start({ args });
          await publish(gateway, topics[0], base + 4, base + 6);
          await publish(gateway, topics[1], base + 4, base + 6);
          if (round === 2) await publish(gateway, topics[2], 1, 4);
          await client.next((name) => name === "#connect", "the reconnect", { from });
          assert.equal(client.socket.recovered, true, `round ${round}`);
          await seen(client, base + 6, topics[0]);
          await seen(client, base + 6, topics[1]);
        }
        await seen(client, 4, topics[2]);
        assert.deepEqual(numbers(client, topics[0]), upTo(18));
        assert.deepEqual(numbers(client, topics[1]), upTo(18));
        assert.deepEqual(numbers(client, topics[2]), upTo(4));
      } finally {
        client.close();
        await gateway.stop();
        await rm(dir, { recursive: true });
      }
    });
});
