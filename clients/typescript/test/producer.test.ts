// Producers: batches, order, and each event once, across faults.
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { expect, it } from "vitest";

import { Producer, Refused } from "../src/producer.js";
import { freshId, gatewayForAll, startLine } from "./gateway.js";

const held = gatewayForAll();
const history = async (topic: string) => (await held.gateway.http("GET", `/v1/topics/${topic}/events?limit=1000`)).body.events as { data: { n: number } }[];
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n + 1);

it("publishes in order and in few requests", async () => {
  const topic = `session:${freshId()}`;
  let requests = 0;
  const counting: typeof fetch = (...args) => (requests++, fetch(...args));
  const producer = new Producer(held.url, { fetch: counting });
  const receipts = await Promise.all(numbers(800).map((n) => producer.publish(topic, "model_result", { n })));
  expect(receipts.map((one) => one.seq)).toEqual(numbers(800));
  expect((await history(topic)).map((one) => one.data.n)).toEqual(numbers(800));
  expect(requests).toBeLessThan(6);
  await producer.close();
  await expect(producer.publish(topic, "late")).rejects.toThrow("closed");
});

it("waits for a gateway that is away", async () => {
  const topic = `session:${freshId()}`;
  const line = await startLine(held.gateway.port);
  line.cut();
  const producer = new Producer(line.origin);
  const receipts = Promise.all(numbers(5).map((n) => producer.publish(topic, "note", { n })));
  await expect.poll(() => fetch(line.origin).catch(() => "away"), { timeout: 10_000 }).toBe("away");
  line.mend();
  expect((await receipts).map((one) => one.seq)).toEqual([1, 2, 3, 4, 5]);
  await line.stop();
});

it("gives up when its patience ends", async () => {
  const line = await startLine(held.gateway.port);
  line.cut();
  const producer = new Producer(line.origin, { patienceMs: 0 });
  await expect(producer.publish("session:a", "note")).rejects.toThrow();
  await line.stop();
});

/** A line that swallows the first `count` answers of the gateway and hangs up instead. */
async function swallowing(port: number, count: number): Promise<{ url: string; server: Server }> {
  let left = count;
  const server = createServer((client: Socket) => {
    const gateway = dial(port, "127.0.0.1");
    client.pipe(gateway);
    gateway.on("data", (data) => {
      if (left-- > 0) client.destroy();
      else client.write(data);
    });
    for (const [one, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, server };
}

it("publishes once although answers are lost", async () => {
  const topic = `session:${freshId()}`;
  const { url, server } = await swallowing(held.gateway.port, 4);
  const producer = new Producer(url, { batchMax: 10 });
  const receipts = await Promise.all(numbers(50).map((n) => producer.publish(topic, "note", { n })));
  expect(receipts.map((one) => one.seq)).toEqual(numbers(50));
  expect((await history(topic)).map((one) => one.data.n)).toEqual(numbers(50));
  server.close();
});

it("tells apart what was refused in a batch", async () => {
  const topic = `session:${freshId()}`;
  const producer = new Producer(held.url);
  const settled = await Promise.allSettled([
    producer.publish(topic, "note", { n: 1 }),
    producer.publish(topic, "subscribed", {}),
    producer.publish("nonsense", "note"),
    producer.publish(topic, "note", { n: 2 }),
  ]);
  expect(settled.map((one) => one.status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
  expect((settled[1] as PromiseRejectedResult).reason).toMatchObject({ code: "event_name_invalid", status: 422 });
  expect((settled[2] as PromiseRejectedResult).reason).toMatchObject({ code: "topic_invalid" });
});

it("splits a batch that is too long for the gateway", async () => {
  const topic = `session:${freshId()}`;
  const producer = new Producer(held.url, { batchMax: 3000 });
  const receipts = await Promise.all(numbers(2500).map((n) => producer.publish(topic, "note", { n })));
  expect(receipts.map((one) => one.seq)).toEqual(numbers(2500));
});

it("refuses at once when too much waits", async () => {
  const topic = `session:${freshId()}`;
  const producer = new Producer(held.url, { queueMax: 2 });
  const settled = await Promise.allSettled(numbers(3).map((n) => producer.publish(topic, "note", { n })));
  expect(settled.map((one) => one.status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  expect((settled[2] as PromiseRejectedResult).reason).toMatchObject({ code: "queue_full" });
});

it("gives the first receipt again for the same key", async () => {
  const topic = `session:${freshId()}`;
  const producer = new Producer(held.url);
  const publish = () => producer.publish(topic, "note", { n: 1 }, { idempotencyKey: topic });
  const first = await publish();
  expect((await publish()).seq).toBe(first.seq);
  await expect(producer.publish(topic, "note", { n: 2 }, { idempotencyKey: topic })).rejects.toMatchObject({ code: "idempotency_key_reused" });
});

it("publishes bytes", async () => {
  const topic = `room:${freshId()}`;
  await new Producer(held.url).publish(topic, "picture", new Uint8Array([1, 2, 255]));
  const { body } = await held.gateway.http("GET", `/v1/topics/${topic}/events`);
  expect(body.events[0].data_base64).toBe("AQL/");
});

it("asks and gets the answer, or the default, or is told that nobody answered", async () => {
  const id = freshId();
  const producer = new Producer(held.url);
  const asked = producer.ask(id, { question: "Go on?", schema: { type: "boolean" } });
  const open = async () => (await held.gateway.http("GET", `/api/wizard/clarifications/${id}`)).body.data?.clarifications ?? [];
  await expect.poll(async () => (await open()).length, { timeout: 10_000 }).toBe(1);
  const [{ id: clarificationId }] = await open();
  await held.gateway.http("POST", "/api/wizard/clarifications/respond", { sessionId: id, clarificationId, response: true });
  expect(await asked).toMatchObject({ response: true, answeredBy: "user" });

  const soon = () => new Date(Date.now() + 300).toISOString();
  expect(await producer.ask(id, { question: "?", default: 7, expiresAt: soon() })).toMatchObject({ response: 7, answeredBy: "default" });
  const unanswered = producer.ask(id, { question: "?", expiresAt: soon() });
  await expect(unanswered).rejects.toBeInstanceOf(Refused);
  await expect(unanswered).rejects.toMatchObject({ code: "clarification_expired" });
});
