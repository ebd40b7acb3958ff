// A client that stops reading costs itself only: it is closed, and the others get everything.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import WebSocket from "ws";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";

const EVENTS = 400;
const TEXT = "x".repeat(64 * 1024);

let gateway;
before(async () => {
  gateway = await Gateway.start({ env: { TIDINGS__FACE__SOCKETIO__PING_INTERVAL: "1s", TIDINGS__FACE__SOCKETIO__PING_TIMEOUT: "2s" } });
});
after(() => gateway?.stop());

/** A raw websocket that subscribes and then never reads again. */
function stalled(id) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    socket.on("error", reject);
    socket.on("message", (data) => {
      const text = String(data);
      if (text.startsWith("0")) socket.send("40");
      if (text.startsWith("40")) socket.send(`42["subscribe",${JSON.stringify(id)}]`);
      if (text.startsWith('42["subscribed"')) {
        socket.pause();
        socket.removeAllListeners("error");
        socket.on("error", () => {});
        resolve(socket);
      }
    });
  });
}

it("is closed, and its neighbours lose nothing", { timeout: 90_000 }, async () => {
  const id = freshId("slow");
  const topic = `session:${id}`;
  const neighbours = [await Client.open(gateway), await Client.open(gateway, { transport: "polling" }), await Client.open(gateway, { version: "2.5" })];
  for (const client of neighbours) await client.subscribe(id);
  const bad = await stalled(id);
  assert.equal((await gateway.publish(topic, "model_result", { i: 0, text: TEXT })).subscribers, 4);
  for (let i = 1; i < EVENTS; i++) await gateway.publish(topic, "model_result", { i, text: TEXT });
  await Promise.all(neighbours.map((client) => client.event("model_result", (data) => data.i === EVENTS - 1, { ms: 20_000 })));
  for (const client of neighbours) {
    assert.deepEqual(client.payloads("model_result").map((data) => data.i), Array.from({ length: EVENTS }, (_, i) => i), client.label);
    assert.equal(client.payloads("gap").length, 0, client.label);
  }
  const presence = async () => {
    const { body } = await gateway.http("GET", `/v1/topics/${topic}/subscribers`);
    return body.subscribers.length === 3;
  };
  await eventually(presence, 60_000, "the end of the client that stopped reading");
  bad.terminate();
  await gateway.publish(topic, "completed", {});
  for (const client of neighbours) {
    await client.event("completed");
    assert.equal(client.log.filter(([name]) => name === "#disconnect").length, 0, client.label);
    client.close();
  }
});
