// SIGTERM with company: clients are closed in turn, what is in flight ends well, who is stuck holds nobody up.
import { it } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import WebSocket from "ws";
import { Gateway, eventually, freshId, within } from "../lib/gateway.js";
import { Client, matrix } from "../lib/client.js";

const POLLING = "/socket.io/?EIO=4&transport=polling";
const terminate = (gateway) => process.kill(gateway.pid, "SIGTERM");
const status = async (gateway, path) => (await gateway.http("GET", path)).status;
const draining = (gateway) => eventually(async () => (await status(gateway, "/readyz")) === 503, 10_000, "a node that is not ready");

/** A raw publish whose body is not whole yet; `finish()` answers what the gateway said. */
async function publishing(gateway, topic) {
  const body = JSON.stringify({ name: "model_result", data: { late: true } });
  const socket = net.connect(gateway.port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  let said = "";
  socket.on("data", (data) => (said += data));
  socket.write(`POST /v1/topics/${topic}/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 10)}`);
  const finish = async () => {
    socket.write(body.slice(10));
    await within(once(socket, "close"), 20_000, () => `the connection stays open: ${said}`);
    return said;
  };
  return { finish, end: () => socket.destroy() };
}

/** A raw websocket that subscribes and then never reads again. */
async function stuck(gateway, id) {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  const subscribed = new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.on("message", (data) => {
      const text = String(data);
      if (text.startsWith("0")) socket.send("40");
      if (text.startsWith("40")) socket.send(`42["subscribe",${JSON.stringify(id)}]`);
      if (text.startsWith('42["subscribed"')) resolve();
    });
  });
  await subscribed;
  socket.pause();
  socket.on("error", () => {});
  return socket;
}

it("clients are closed one after the other, and those that are left are served", { timeout: 60_000 }, async () => {
  const gateway = await Gateway.start({ env: { TIDINGS__DRAIN__CLOSES_PER_SECOND: "10" } });
  const kinds = matrix().filter(({ version }) => version === "4.8" || version === "2.5");
  const clients = [];
  try {
    for (let i = 0; i < 50; i++) clients.push(await Client.open(gateway, kinds[i % kinds.length]));
    const first = Promise.race(clients.map((client) => client.next((name) => name === "#disconnect", "the end", { ms: 30_000 })));
    terminate(gateway);
    await first;
    // whoever is still here is served: they were not all closed at once
    const left = clients.filter((client) => client.socket.connected);
    const served = await Promise.all(left.map((client) => client.ask("subscribe", freshId("served")).then(() => 1, () => 0)));
    assert.ok(served.reduce((sum, one) => sum + one, 0) >= 20, `only ${served.filter(Boolean).length} of ${left.length} were served after the first had been closed`);
    for (const client of clients) {
      const [, reason] = await client.next((name) => name === "#disconnect", "the end", { ms: 30_000 });
      assert.ok(["transport close", "transport error"].includes(reason), `${client.label}: ${reason}`);
    }
    assert.deepEqual(await gateway.exited, { code: 0, signal: null }, gateway.output());
  } finally {
    for (const client of clients) client.close();
    await gateway.stop();
  }
});

it("a publish in flight is answered, nobody new is let in, and a client that is stuck holds nobody up", { timeout: 60_000 }, async () => {
  const gateway = await Gateway.start({ env: { TIDINGS__DRAIN__CLOSES_PER_SECOND: "2", TIDINGS__WIRE__WRITE_STALL_MAX: "60s" } });
  const id = freshId("company");
  const topic = `session:${id}`;
  const [client, other] = [await Client.open(gateway), await Client.open(gateway, { transport: "polling" })];
  await client.subscribe(id);
  await other.subscribe(id);
  const bad = await stuck(gateway, id);
  const late = await publishing(gateway, topic);
  try {
    for (let i = 0; i < 150; i++) await gateway.publish(topic, "model_result", { i, text: "x".repeat(64 * 1024) });
    await Promise.all([client, other].map((one) => one.event("model_result", (data) => data.i === 149)));
    await gateway.publish(topic, "clarification", { clarificationId: "q", question: "?" });
    const answer = fetch(`${gateway.url}/v1/topics/${topic}/clarifications/q/answer?wait=30s`).then(({ status }) => status);
    const stream = await fetch(`${gateway.url}/v1/topics/${topic}/events?since=none`, { headers: { accept: "text/event-stream" } });
    terminate(gateway);
    await draining(gateway);
    assert.equal(await status(gateway, POLLING), 503, "no new session");
    assert.equal(await answer, 204, "whoever waits for an answer is let go");
    assert.match(await late.finish(), /^HTTP\/1.1 200 [^]*"seq":152/);
    await stream.text();
    for (const one of [client, other]) await one.next((name) => name === "#disconnect", "the end", { ms: 20_000 });
    assert.deepEqual(await within(gateway.exited, 20_000, () => `it does not end:\n${gateway.output()}`), { code: 0, signal: null }, gateway.output());
  } finally {
    late.end();
    bad.terminate();
    client.close();
    other.close();
    await gateway.stop();
  }
});

it("a body that never comes is given up, and a second signal does not wait for it", { timeout: 60_000 }, async () => {
  const topic = `session:${freshId("never")}`;
  const patient = await Gateway.start({ env: { TIDINGS__DRAIN__LIMIT: "2s" } });
  const never = await publishing(patient, topic);
  terminate(patient);
  assert.deepEqual(await within(patient.exited, 20_000, () => "it does not end"), { code: 0, signal: null }, patient.output());
  never.end();

  const gateway = await Gateway.start({ env: { TIDINGS__DRAIN__LIMIT: "10m" } });
  const again = await publishing(gateway, topic);
  try {
    terminate(gateway);
    await eventually(() => gateway.output().includes("a second signal ends at once"), 10_000, "the drain");
    terminate(gateway);
    assert.deepEqual(await within(gateway.exited, 20_000, () => "it waits on"), { code: 143, signal: null }, gateway.output());
  } finally {
    again.end();
    await gateway.stop();
  }
});
