// Three nodes on one Redis behind balancers that keep nobody on a node: stock clients notice nothing.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client, matrix, withClients } from "../lib/client.js";
import { balancer, roundRobin } from "../lib/balancer.js";
import { startRedis } from "../lib/redis.js";

const RECONNECT = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0 };
const LIMIT = { ms: 30_000 };

let redis, nodes;
before(async () => {
  redis = await startRedis();
  nodes = await Promise.all([1, 2, 3].map(() => start()));
});
after(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop("SIGKILL")));
  await redis?.stop();
});

async function start() {
  const node = await Gateway.start({ env: { REDIS_URL: redis.url } });
  await eventually(async () => (await node.http("GET", "/readyz")).status === 200, 30_000, "readiness");
  return node;
}

const upTo = (last) => Array.from({ length: last }, (_, i) => i + 1);
const metric = async (node, name) =>
  (await node.http("GET", "/metrics")).body
    .split("\n")
    .filter((line) => line.startsWith(name) && !line.startsWith("#"))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);

/** Every kind of client subscribes, is told 30 events in order and asks in between. Nobody is disconnected. */
async function everyKind(url, kinds = matrix()) {
  await withClients({ url }, kinds, async (...clients) => {
    const id = freshId("b");
    for (const client of clients) await client.subscribe(id);
    await Promise.all(clients.map((client) => client.upgradedIfAny()));
    for (const n of upTo(30)) await nodes[n % 3].publish(`session:${id}`, "model_result", { n, text: "é🚀" });
    await Promise.all(clients.map((client) => client.event("model_result", ({ n }) => n === 30, LIMIT)));
    for (const client of clients) {
      assert.deepEqual(client.sequenced(`session:${id}`).map(([, { n }]) => n), upTo(30), client.label);
      assert.equal(client.log.some(([name]) => name === "#disconnect"), false, client.label);
    }
    const answers = await Promise.all(clients.map((client) => client.ask("subscribe", freshId("c"))));
    for (const answer of answers) assert.equal(answer.ok, true);
  });
}

describe("plain round robin", () => {
  let front;
  before(async () => (front = await roundRobin(nodes.map((node) => node.url))));
  after(() => front?.stop());

  it("serves every release on every transport without an error", { timeout: 120_000 }, async () => {
    await everyKind(front.url);
    assert.deepEqual(front.counts.said, []);
    assert.equal(front.counts.errors, 0);
    assert.ok(front.counts.upgrades > 10, "websockets went through");
    const relayed = await Promise.all(nodes.map((node) => metric(node, "tidings_relays_total")));
    assert.ok(relayed.every((count) => count > 0), `every node relayed: ${relayed}`);
    await eventually(async () => (await Promise.all(nodes.map((node) => metric(node, "tidings_tunnels")))).every((count) => count === 0), 30_000, "the end of the tunnels");
  });

  it("carries what clients post, large and small, and refuses what is too large", { timeout: 120_000 }, async () => {
    const errors = front.counts.errors;
    const kinds = [{ transport: "polling" }, { version: "2.5", transport: "polling" }];
    await withClients({ url: front.url }, kinds, async (...clients) => {
      for (const client of clients) {
        const ids = upTo(200).map((n) => `${freshId("large")}-${n}`);
        const answers = await client.ask("subscribe", ids);
        assert.equal(answers.length, 200);
        assert.ok(answers.every(({ ok }) => ok));
      }
    });
    assert.equal(front.counts.errors, errors);
    const opened = await fetch(`${front.url}/socket.io/?EIO=4&transport=polling`);
    const { sid } = JSON.parse((await opened.text()).slice(1));
    const post = (body) => fetch(`${front.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: "POST", body });
    for (let n = 0; n < 3; n++) assert.equal((await post("4".repeat(1_000_001))).status, 413);
  });

  it("tells of a session that nobody has, or that is made up, in the way that lets clients begin anew", async () => {
    const opened = await fetch(`${nodes[0].url}/socket.io/?EIO=4&transport=polling`);
    const { sid } = JSON.parse((await opened.text()).slice(1));
    const [engine, node, signature] = sid.split(".");
    assert.ok(engine && node && signature, sid);
    const changed = signature.startsWith("A") ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    for (const forged of [`${engine}.${node}.${changed}`, `x${sid}`, `${engine}.${node}`, engine, "..", "127.0.0.1:1.x.y"])
      for (const at of nodes.slice(1)) {
        const answer = await fetch(`${at.url}/socket.io/?EIO=4&transport=polling&sid=${forged}`);
        assert.deepEqual([answer.status, await answer.json()], [400, { code: 1, message: "Session ID unknown" }], forged);
      }
    for (const proof of ["1 127.0.0.1 x", "", `${Date.now()} 127.0.0.1 ${signature}`]) {
      const headers = { "x-tidings-relay": proof };
      const answer = await fetch(`${nodes[0].url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { headers });
      assert.equal(answer.status, 400, "a client is no node");
    }
    assert.ok((await metric(nodes[0], "tidings_relays_taken_total")) >= 3);
  });
});

for (const transport of ["polling", "upgrade", "websocket"])
  it(`the node is killed, and the client goes on elsewhere at once: ${transport}`, { timeout: 120_000 }, async () => {
    const victim = await start();
    const front = await roundRobin([victim.url]);
    const client = await Client.open({ url: front.url }, { transport }, RECONNECT);
    try {
      const id = freshId("kill");
      await client.subscribe(id);
      // From here on every request goes to nodes that do not have the session.
      front.to.splice(0, 1, nodes[0].url, nodes[1].url);
      await client.upgradedIfAny();
      for (const n of upTo(5)) await nodes[n % 3].publish(`session:${id}`, "model_result", { n });
      await client.event("model_result", ({ n }) => n === 5, LIMIT);
      const from = client.log.length;
      const killed = Date.now();
      await victim.stop("SIGKILL");
      await nodes[1].publish(`session:${id}`, "model_result", { n: 6 });
      await client.next((name) => name === "#connect", "the reconnect", { from, ...LIMIT });
      const took = Date.now() - killed;
      assert.equal(client.socket.recovered, true);
      await nodes[2].publish(`session:${id}`, "model_result", { n: 7 });
      await client.event("model_result", ({ n }) => n === 7, LIMIT);
      assert.deepEqual(client.sequenced(`session:${id}`).map(([, { n }]) => n), upTo(7));
      assert.ok(took < 10_000, `it took ${took} ms`);
    } finally {
      client.close();
      await front.stop();
      await victim.stop("SIGKILL");
    }
  });

it("a node that carries the polls of others drains, and their clients notice nothing", { timeout: 120_000 }, async () => {
  const carrier = await start();
  const front = await roundRobin([nodes[0].url]);
  const kinds = [{ transport: "polling" }, { version: "2.5", transport: "polling" }, { version: "3.1", transport: "polling", parser: "msgpack" }];
  try {
    await withClients({ url: front.url }, kinds, async (...clients) => {
      const id = freshId("carried");
      for (const client of clients) await client.subscribe(id);
      front.to.splice(0, 1, carrier.url);
      await nodes[0].publish(`session:${id}`, "model_result", { n: 1 });
      for (const client of clients) await client.event("model_result", ({ n }) => n === 1, LIMIT);
      await eventually(async () => (await metric(carrier, "tidings_relays_total")) > 0, 30_000, "a relay");
      front.to.splice(0, 1, nodes[1].url);
      const { code } = await carrier.stop("SIGTERM", 60_000);
      assert.equal(code, 0);
      await nodes[0].publish(`session:${id}`, "model_result", { n: 2 });
      for (const client of clients) {
        await client.event("model_result", ({ n }) => n === 2, LIMIT);
        assert.deepEqual(client.sequenced(`session:${id}`).map(([, { n }]) => n), [1, 2], client.label);
        assert.equal(client.log.some(([name]) => name === "#disconnect"), false, client.label);
      }
      assert.deepEqual(front.counts.said, []);
    });
  } finally {
    await front.stop();
    await carrier.stop("SIGKILL");
  }
});

for (const [kind, names] of Object.entries({ haproxy: ["haproxy.cfg", "haproxy-sticky.cfg"], nginx: ["nginx.conf", "nginx-sticky.conf"], caddy: ["Caddyfile", "Caddyfile-sticky"] }))
  for (const name of names)
    it(`${kind} with deploy/${name}`, { timeout: 120_000 }, async () => {
      const front = await balancer(kind, name, nodes.map((node) => node.url));
      try {
        const kinds = matrix({ msgpack: false }).filter(({ version }) => version !== "3.1");
        await everyKind(front.url, kinds);
      } finally {
        await front.stop();
      }
    });
