// A producer that floods is slowed by its answers: nothing is lost, and it is not closed.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, freshId, within } from "../lib/gateway.js";
import { Client } from "../lib/client.js";

const EVENTS = 6_000;

let gateway;
before(async () => {
  gateway = await Gateway.start();
});
after(() => gateway?.stop());

for (const kind of [{ transport: "websocket" }, { transport: "websocket", parser: "msgpack" }, { transport: "polling" }, { version: "2.5", transport: "websocket" }])
  it(`all at once, each with an acknowledgement: ${kind.version ?? "4.8"} ${kind.transport} ${kind.parser ?? ""}`, { timeout: 120_000 }, async () => {
    const producer = await Client.open(gateway, kind, { namespace: "/producers" });
    try {
      const topic = `session:${freshId("flood")}`;
      const receipts = [];
      const answered = new Promise((resolve) => {
        const take = (receipt) => receipts.push(receipt) === EVENTS && resolve();
        for (let n = 0; n < EVENTS; n++) producer.socket.emit("publish", { topic, name: "note", data: { n, text: "x".repeat(300) } }, take);
      });
      const ended = producer.next((name) => name === "#disconnect", "the end", { ms: 90_000 });
      ended.catch(() => {});
      await within(Promise.race([answered, ended]), 90_000, () => `only ${receipts.length} were answered`);
      assert.deepEqual(receipts.map((receipt) => receipt.seq), Array.from({ length: EVENTS }, (_, n) => n + 1), JSON.stringify(producer.log.at(-1)));
    } finally {
      producer.close();
    }
  });

it("pipelined over HTTP: one after the other, all of them", { timeout: 60_000 }, async () => {
  const topic = `session:${freshId("pipelined")}`;
  const net = await import("node:net");
  const socket = net.connect(gateway.port, "127.0.0.1");
  const body = JSON.stringify({ name: "note", data: { text: "x".repeat(300) } });
  const request = `POST /v1/topics/${topic}/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  let said = "";
  const all = new Promise((resolve) => {
    socket.on("data", (data) => {
      said += data;
      if (said.includes('"seq":2000,')) resolve();
    });
  });
  socket.write(request.repeat(2000));
  await within(all, 40_000, () => `not all were answered: ${said.slice(-300)}`);
  const seqs = [...said.matchAll(/"seq":(\d+),/g)].map(([, seq]) => Number(seq));
  assert.deepEqual(seqs, Array.from({ length: 2000 }, (_, n) => n + 1));
  socket.destroy();
});
