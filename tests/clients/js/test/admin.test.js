// Namespace /admin on two nodes of one Redis: whoever looks at one node is told how both do.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";
import { startRedis } from "../lib/redis.js";

const LIMIT = { ms: 30_000 };
/** As bcryptjs makes it, of `changeit`. */
const ADMIN = {
  TIDINGS__FACE__SOCKETIO__ADMIN_UI__ENABLED: "true",
  TIDINGS__FACE__SOCKETIO__ADMIN_UI__PASSWORD_HASH: "$2a$06$bZJ2YgmGWhuYrWfFYeg44uVfRAkDrC1aCmWpuFbxQOu5R1fQBplp6",
};

let redis, nodes;
before(async () => {
  redis = await startRedis();
  nodes = await Promise.all([ADMIN, ADMIN, {}].map((env) => Gateway.start({ env: { ...env, REDIS_URL: redis.url } })));
  for (const node of nodes) {
    await eventually(async () => (await node.http("GET", "/readyz")).status === 200, 30_000, "readiness");
    await eventually(async () => (await node.http("GET", "/v1/admin/nodes")).body.nodes.length === nodes.length, 30_000, "all nodes know each other");
  }
});
after(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()));
  await redis?.stop();
});

const onlooker = (node) =>
  Client.open(node, {}, { namespace: "/admin", auth: { username: "admin", password: "changeit" }, names: ["server_stats", "socket_connected"] });

it("whoever looks at one node is told how the others do, unless they have no admin UI", { timeout: 120_000 }, async () => {
  const [one, two, hidden] = nodes;
  const open = [await onlooker(one), await onlooker(two)];
  try {
    const pids = [one.pid, two.pid];
    for (const looks of open) for (const pid of pids) await looks.event("server_stats", (stats) => stats.pid === pid, LIMIT);
    const marks = open.map((looks) => looks.log.length);
    const client = await Client.open(two, {});
    open.push(client);
    await client.subscribe(freshId("counted"));
    for (const [n, looks] of open.slice(0, 2).entries()) {
      const told = await looks.event("server_stats", ({ pid, namespaces }) => pid === two.pid && namespaces[0].socketsCount === 1, { ...LIMIT, from: marks[n] });
      assert.ok(told.serverId.endsWith(`#${two.pid}`), "nodes of one host are told apart");
      // Both are told of the session that began: none takes what happened from the other.
      const counted = ({ aggregatedEvents }) => aggregatedEvents.some(({ type, count }) => type === "rawConnection" && count >= 1);
      await looks.event("server_stats", (stats) => stats.pid === two.pid && counted(stats), { ...LIMIT, from: marks[n] });
    }
    const seen = open.slice(0, 2).flatMap((looks) => looks.payloads("server_stats").map(({ pid }) => pid));
    assert.deepEqual([...new Set(seen)].sort(), [...pids].sort());
    assert.ok(!seen.includes(hidden.pid));
    // Single sockets are told of by their own node only.
    const told = (looks) => looks.payloads("socket_connected").some(({ id }) => id === client.socket.id);
    await open[1].next((name, socket) => name === "socket_connected" && socket.id === client.socket.id, "the socket", LIMIT);
    assert.deepEqual(open.slice(0, 2).map(told), [false, true]);
    // What only nodes may ask is there for nobody else.
    assert.equal((await one.http("POST", "/nodes/admin", "")).status, 404);
  } finally {
    for (const each of open) each.close();
  }
});
