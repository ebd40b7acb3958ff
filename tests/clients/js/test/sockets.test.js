// Operations on the sockets of all nodes: listed, moved, disconnected and sent events, whatever node is asked.
import { createHmac } from "node:crypto";
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client, ioOf, withClients } from "../lib/client.js";
import { startRedis } from "../lib/redis.js";

const LIMIT = { ms: 30_000 };
const KINDS = [{ transport: "websocket" }, { version: "2.5", transport: "polling" }, { transport: "upgrade", parser: "msgpack" }];

let redis, one, two;
const start = async (env = {}) => {
  const node = await Gateway.start({ env: { REDIS_URL: redis.url, ...env } });
  await eventually(async () => (await node.http("GET", "/readyz")).status === 200, 30_000, "readiness");
  return node;
};
before(async () => {
  redis = await startRedis();
  [one, two] = await Promise.all([start(), start()]);
  await knows(one, 2);
  await knows(two, 2);
});
after(async () => {
  await Promise.all([one, two].map((node) => node?.stop("SIGKILL")));
  await redis?.stop();
});

const knows = (node, count) =>
  eventually(async () => (await node.http("GET", "/metrics")).body.includes(`tidings_nodes ${count}\n`), 30_000, `a node that knows ${count}`);
const done = async (node, path, body) => {
  const answer = await node.http(body ? "POST" : "GET", path, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
};

/** Clients of every kind on both nodes, subscribed to one session. */
async function onBoth(use) {
  const id = freshId("sockets");
  const options = { names: ["news"] };
  await withClients(one, KINDS, async (...here) => withClients(two, KINDS, async (...there) => {
    for (const client of [...here, ...there]) await client.subscribe(id);
    await use(id, here, there);
  }, options), options);
}

describe("over HTTP", () => {
  it("lists them, with the node of each", { timeout: 120_000 }, () =>
    onBoth(async (id, here, there) => {
      const all = await done(one, `/v1/sockets?in=${id}`);
      assert.deepEqual([all.count, all.nodes, all.unanswered], [6, 2, []]);
      assert.equal(new Set(all.sockets.map(({ node }) => node)).size, 2);
      const ids = all.sockets.map((socket) => socket.id);
      for (const client of [here[0], here[2], there[0], there[2]]) assert.ok(ids.includes(client.socket.id), client.label);
      // The id of an old client on polling is its credential.
      for (const client of [here[1], there[1]]) assert.ok(!ids.includes(client.socket.id), client.label);
      for (const { rooms, transport } of all.sockets) {
        assert.deepEqual(rooms, [`session:${id}`]);
        assert.ok(["polling", "websocket"].includes(transport));
      }
      const few = await done(two, `/v1/sockets?in=session:${id}&limit=2`);
      assert.deepEqual([few.count, few.sockets.length], [6, 2]);
      const alone = await done(two, `/v1/sockets?in=${here[0].socket.id}`);
      assert.deepEqual(alone.sockets.map((socket) => socket.id), [here[0].socket.id]);
      const rest = await done(one, `/v1/sockets?in=${id}&except=${here[0].socket.id}`);
      assert.equal(rest.count, 5);
    }));

  it("has them join a room, sends events to it, and has them leave", { timeout: 120_000 }, () =>
    onBoth(async (id, here, there) => {
      const room = freshId("room");
      const all = [...here, ...there];
      const joined = await done(two, "/v1/sockets/join", { in: [id], rooms: [room] });
      assert.deepEqual([joined.count, joined.nodes, joined.unanswered], [6, 2, []]);
      for (const n of [1, 2, 3]) {
        const sent = await done(n === 2 ? two : one, "/v1/emit", { in: [room], event: "news", args: [{ n, text: "é" }, "more"] });
        assert.equal(sent.count, 6);
      }
      for (const client of all) {
        await client.event("news", ({ n }) => n === 3, LIMIT);
        assert.deepEqual(client.log.filter(([name]) => name === "news").map(([, data, more]) => [data.n, data.text, more]), [1, 2, 3].map((n) => [n, "é", "more"]), client.label);
      }
      assert.deepEqual((await done(one, `/v1/sockets?in=${room}`)).sockets[0].rooms, [room, `session:${id}`].sort());
      await done(one, "/v1/sockets/leave", { in: [there[0].socket.id], rooms: [room] });
      assert.equal((await done(two, `/v1/sockets?in=${room}`)).count, 5);
      // To leave a session is to be told no more of it.
      await done(one, "/v1/sockets/leave", { in: [id], rooms: [id] });
      assert.equal((await done(one, `/v1/sockets?in=${id}`)).count, 0);
      await two.publish(`session:${id}`, "model_result", { n: 9 });
      await done(two, "/v1/emit", { in: [room], event: "news", args: [{ n: 4 }] });
      for (const client of all.filter((client) => client !== there[0])) {
        await client.event("news", ({ n }) => n === 4, LIMIT);
        assert.equal(client.payloads("model_result").length, 0, client.label);
      }
    }));

  it("disconnects them for good", { timeout: 120_000 }, () =>
    onBoth(async (id, here, there) => {
      const gone = await done(one, "/v1/sockets/disconnect", { in: [id], except: [here[0].socket.id] });
      assert.equal(gone.count, 5);
      for (const client of [...here.slice(1), ...there]) {
        const [, reason] = await client.next((name) => name === "#disconnect", "the end", LIMIT);
        assert.match(reason, /io server disconnect|transport close|transport error/, client.label);
      }
      assert.equal((await done(two, `/v1/sockets?in=${id}`)).count, 1);
    }));

  it("refuses what makes no sense with what to do", async () => {
    for (const [path, body, word] of [
      ["/v1/sockets/join", { in: ["a"] }, "rooms"],
      ["/v1/sockets/disconnect", {}, "in"],
      ["/v1/emit", { in: ["a"] }, "event"],
      ["/v1/emit", { event: "connect" }, "connect"],
      ["/v1/emit", { event: "news", room: "a" }, "room"],
      ["/v1/sockets/leave", { in: Array(300).fill("a"), rooms: ["b"] }, "rooms_max"],
    ]) {
      const { status, body: problem } = await one.http("POST", path, body);
      assert.equal(status, 422, JSON.stringify(problem));
      assert.ok(problem.detail.includes(word), problem.detail);
    }
    assert.equal((await one.http("GET", "/v1/sockets?limit=0")).status, 422);
  });

  it("says which nodes did not answer, and waits no longer than it must", { timeout: 120_000 }, async () => {
    const three = await start();
    await knows(one, 3);
    const client = await Client.open(one, {}, { names: ["news"] });
    try {
      process.kill(three.pid, "SIGSTOP");
      const begun = Date.now();
      const sent = await done(one, "/v1/emit", { in: [client.socket.id], event: "news", args: [{ n: 1 }] });
      assert.deepEqual([sent.count, sent.nodes, sent.unanswered.length], [1, 2, 1]);
      assert.ok(Date.now() - begun < 20_000);
      await client.event("news", ({ n }) => n === 1, LIMIT);
      process.kill(three.pid, "SIGCONT");
      await eventually(async () => (await done(one, "/v1/sockets")).unanswered.length === 0, 30_000, "all answers");
    } finally {
      client.close();
      await three.stop("SIGKILL");
    }
    // One that was killed is asked for a while, and then forgotten.
    for (const node of [one, two]) await eventually(async () => (await done(node, "/v1/sockets")).unanswered.length === 0, 30_000, "its end");
  });
});

it("works from `/producers`, and while Redis is away", { timeout: 120_000 }, () =>
  onBoth(async (id, here, there) => {
    const producer = ioOf("4.8")(`${two.url}/producers`, { transports: ["websocket"], forceNew: true });
    const ask = (name, data) => producer.timeout(30_000).emitWithAck(name, data);
    try {
      const room = freshId("room");
      assert.equal((await ask("sockets:join", { in: [id], rooms: [room] })).count, 6);
      const listed = await ask("sockets:fetch", { in: [room] });
      assert.deepEqual([listed.count, listed.sockets.length, listed.unanswered], [6, 6, []]);
      await redis.kill();
      await eventually(async () => (await one.http("GET", "/readyz")).status === 503, 30_000, "the outage");
      assert.deepEqual(await ask("sockets:emit", { in: [room], event: "news", args: [{ n: 1 }] }), { count: 6, nodes: 2, unanswered: [] });
      await redis.restart();
      for (const node of [one, two]) await eventually(async () => (await node.http("GET", "/readyz")).status === 200, 30_000, "its end");
      await ask("sockets:emit", { in: [room], event: "news", args: [{ n: 2 }] });
      for (const client of [...here, ...there]) {
        await client.event("news", ({ n }) => n === 2, LIMIT);
        assert.deepEqual(client.payloads("news").map(({ n }) => n), [1, 2], client.label);
      }
      await ask("sockets:leave", { in: [room], rooms: [room] });
      assert.equal((await ask("sockets:fetch", { in: [room] })).count, 0);
      assert.equal((await ask("sockets:disconnect", { in: [here[0].socket.id] })).count, 1);
      assert.match((await ask("sockets:disconnect", {})).error, /`in`/);
    } finally {
      producer.close();
    }
  }));

it("is for administrators alone", { timeout: 60_000 }, async () => {
  const secret = "0123456789abcdef0123456789abcdef";
  const node = await Gateway.start({ env: { TIDINGS__AUTH__MODE: "token", TIDINGS__AUTH__JWT__SECRET: secret } });
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (claims) => {
    const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: "ann", exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  };
  try {
    const paths = [["GET", "/v1/sockets"], ["POST", "/v1/sockets/join"], ["POST", "/v1/sockets/leave"], ["POST", "/v1/sockets/disconnect"], ["POST", "/v1/emit"]];
    for (const [claims, status] of [[{ role: "user", pub_topics: ["session:*"] }, 403], [{ role: "admin" }, null]])
      for (const [method, path] of paths) {
        const answer = await node.http(method, path, method === "POST" ? { in: ["a"], event: "news" } : undefined, { authorization: `Bearer ${token(claims)}` });
        if (status) assert.equal(answer.status, status, path);
        else assert.ok([200, 422].includes(answer.status), `${path}: ${answer.status}`);
      }
    for (const [method, path] of paths) assert.equal((await node.http(method, path)).status, 401, path);
    const producer = ioOf("4.8")(`${node.url}/producers`, { transports: ["websocket"], forceNew: true, auth: { token: token({ role: "user", pub_topics: ["session:*"] }) } });
    const refused = await producer.timeout(30_000).emitWithAck("sockets:fetch", {});
    producer.close();
    assert.equal(refused.code, "forbidden");
  } finally {
    await node.stop("SIGKILL");
  }
});
