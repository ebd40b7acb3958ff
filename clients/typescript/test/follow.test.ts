// What a subscription promises, over each transport: the snapshot, then everything once and in order, across faults.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { Refused } from "../src/index.js";
import { freshId, gatewayForAll, startGateway, startLine, take, transports, within } from "./gateway.js";

const held = gatewayForAll({ TIDINGS__HUB__SNAPSHOT_FACTS_MAX: "50" });
const entries = (topic: string, from: number, to: number, name = "model_result") =>
  Array.from({ length: to - from + 1 }, (_, n) => ({ topic, name, data: { n: from + n } }));
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const subscribers = async (topic: string): Promise<unknown[]> => (await held.gateway.http("GET", `/v1/topics/${topic}/subscribers`)).body.subscribers;

describe.each(Object.entries(transports))("%s", (_, connect) => {
  it("brings the snapshot in the order of the log, then what happens", async () => {
    const topic = `session:${freshId()}`;
    await held.gateway.batch([
      { topic, name: "progress", data: { progress: 10 } },
      { topic, name: "model_result", data: { modelName: "a" } },
      { topic, name: "progress", data: { progress: 20 } },
    ]);
    const client = connect(held.url);
    const subscription = client.subscribe(topic);
    const events = subscription[Symbol.asyncIterator]();
    const snapshot = await take(events, 2);
    expect(snapshot.map((one) => [one.name, one.data["_seq"], one.replayed])).toEqual([
      ["model_result", 2, true],
      ["progress", 3, true],
    ]);
    // Over SSE the stream is opened after the snapshot was read.
    await subscription.ready;
    const receipt = await held.gateway.publish(topic, "completed", { result: { ok: true } });
    const [completed] = await take(events, 1);
    expect(completed).toMatchObject({ topic, name: "completed", replayed: false, data: { result: { ok: true } } });
    expect(completed?.cursor).toBe(`${receipt.epoch}:${receipt.seq}`);
    expect(subscription.cursor).toBe(completed?.cursor);
    client.close();
  });

  it("goes on after a cursor with exactly what was missed", async () => {
    const topic = `job:${freshId()}`;
    const [, second] = await held.gateway.batch(entries(topic, 1, 5));
    const client = connect(held.url);
    const events = client.subscribe(topic, { since: `${second.epoch}:${second.seq}` })[Symbol.asyncIterator]();
    expect((await take(events, 3)).map((one) => one.data["n"])).toEqual([3, 4, 5]);
    client.close();
  });

  it("loses and doubles nothing while the line is cut again and again", async () => {
    const topic = `session:${freshId()}`;
    const line = await startLine(held.gateway.port);
    const client = connect(line.origin);
    const events = client.subscribe(topic)[Symbol.asyncIterator]();
    const seen: number[] = [];
    for (let round = 0; round < 6; round++) {
      await held.gateway.batch(entries(topic, round * 40 + 1, round * 40 + 20));
      if (round > 0) line.mend();
      // Some of these are on their way when the line is cut.
      seen.push(...(await take(events, 5)).map((one) => one.data["n"] as number));
      void line.cut();
      await held.gateway.batch(entries(topic, round * 40 + 21, round * 40 + 40));
    }
    line.mend();
    seen.push(...(await take(events, 240 - seen.length)).map((one) => one.data["n"] as number));
    expect(seen).toEqual(numbers(1, 240));
    client.close();
    await line.stop();
  });

  it("goes on exactly with payloads that are no objects, of several topics on one connection", async () => {
    const topics = [`room:${freshId()}`, `documents:${freshId()}`];
    const shapes = [(n: number) => n, (n: number) => `${n}`, (n: number) => [n], () => null];
    const payload = (n: number) => shapes[n % shapes.length]?.(n);
    const publish = (from: number, to: number) =>
      held.gateway.batch(topics.flatMap((topic) => numbers(from, to).map((n) => ({ topic, name: "said", data: payload(n) }))));
    const line = await startLine(held.gateway.port);
    const client = connect(line.origin);
    await publish(1, 8);
    const iterations = topics.map((topic) => client.subscribe(topic)[Symbol.asyncIterator]());
    const seen = await Promise.all(iterations.map((events) => take(events, 8)));
    expect(seen.flat().map((one) => one.replayed)).toEqual(Array(16).fill(true));
    for (const from of [9, 29, 49]) {
      await publish(from, from + 9);
      // Some of these are on their way when the line is cut.
      for (const [n, events] of iterations.entries()) seen[n]?.push(...(await take(events, 3)));
      void line.cut();
      await publish(from + 10, from + 19);
      line.mend();
    }
    for (const [n, events] of iterations.entries()) {
      const all = seen[n] ?? [];
      all.push(...(await take(events, 68 - all.length)));
      expect(all.map((one) => [one.topic, one.cursor?.split(":")[1], one.data])).toEqual(
        numbers(1, 68).map((seq) => [topics[n], `${seq}`, payload(seq)]),
      );
    }
    // Any of the cursors is one to begin after.
    const since = seen[0]?.[59]?.cursor as string;
    const after = await take(client.subscribe(topics[0] as string, { since })[Symbol.asyncIterator](), 8);
    expect(after.map((one) => one.data)).toEqual(numbers(61, 68).map(payload));
    client.close();
    await line.stop();
  });

  it("tells of a gap and begins anew when the log was lost", async () => {
    const topic = `session:${freshId()}`;
    const first = await startGateway();
    const line = await startLine(first.port);
    const client = connect(line.origin);
    await first.batch(entries(topic, 1, 3));
    const events = client.subscribe(topic)[Symbol.asyncIterator]();
    await take(events, 3);
    const second = await startGateway();
    await second.batch(entries(topic, 101, 102));
    line.cut();
    line.mend(second.port);
    const [gap, ...rest] = await take(events, 3);
    expect(gap?.name).toBe("gap");
    expect(gap?.data["topic"]).toBe(topic);
    expect(rest.map((one) => one.data["n"])).toEqual([101, 102]);
    await second.publish(topic, "model_result", { n: 103 });
    expect((await take(events, 1))[0]?.data["n"]).toBe(103);
    client.close();
    await Promise.all([line.stop(), first.stop(), second.stop()]);
  });

  it("goes on without a gap when a durable gateway is started anew", async () => {
    const topic = `session:${freshId()}`;
    const folder = mkdtempSync(join(tmpdir(), "tidings-"));
    const first = await startGateway({ TIDINGS__STORE__DATA_DIR: folder });
    const line = await startLine(first.port);
    const client = connect(line.origin);
    await first.batch(entries(topic, 1, 3));
    const events = client.subscribe(topic)[Symbol.asyncIterator]();
    await take(events, 3);
    await first.stop();
    const second = await startGateway({ TIDINGS__STORE__DATA_DIR: folder });
    await second.batch(entries(topic, 4, 5));
    line.mend(second.port);
    expect((await take(events, 2)).map((one) => one.data["n"])).toEqual([4, 5]);
    client.close();
    await Promise.all([line.stop(), second.stop()]);
    rmSync(folder, { recursive: true });
  });

  it("tells of a gap when a topic is deleted under it", async () => {
    const topic = `room:${freshId()}`;
    await held.gateway.batch(entries(topic, 1, 3));
    const client = connect(held.url);
    const events = client.subscribe(topic)[Symbol.asyncIterator]();
    await take(events, 3);
    expect((await held.gateway.http("DELETE", `/v1/topics/${topic}`)).status).toBe(204);
    await held.gateway.publish(topic, "said", { n: 4 });
    const [gap, next] = await take(events, 2);
    expect([gap?.name, next?.data["n"]]).toEqual(["gap", 4]);
    client.close();
  });

  it("waits for a topic that is not there yet", async () => {
    const topic = `session:${freshId()}`;
    const client = connect(held.url);
    const subscription = client.subscribe(topic);
    await subscription.ready;
    await held.gateway.publish(topic, "progress", { progress: 1 });
    const [event] = await take(subscription[Symbol.asyncIterator](), 1);
    expect(event?.data["progress"]).toBe(1);
    client.close();
  });

  it("keeps many topics apart, whatever their payloads look like", async () => {
    const topics = ["session", "job", "room", "documents", "scan"].map((kind) => `${kind}:${freshId()}`);
    const client = connect(held.url);
    const iterations = topics.map((topic) => client.subscribe(topic)[Symbol.asyncIterator]());
    for (const n of [1, 2, 3]) await held.gateway.batch(topics.map((topic) => ({ topic, name: "note", data: { n, topic } })));
    for (const [index, events] of iterations.entries()) {
      const taken = await take(events, 3);
      expect(taken.map((one) => [one.data["topic"], one.data["n"]])).toEqual([1, 2, 3].map((n) => [topics[index], n]));
    }
    client.close();
  });

  it("gives two subscriptions to one topic a snapshot each", async () => {
    const topic = `session:${freshId()}`;
    await held.gateway.batch(entries(topic, 1, 3));
    const client = connect(held.url);
    for (const subscription of [client.subscribe(topic), client.subscribe(topic)]) {
      const taken = await take(subscription[Symbol.asyncIterator](), 3);
      expect(taken.map((one) => one.data["n"])).toEqual([1, 2, 3]);
    }
    client.close();
  });

  it("rests while its reader is slow, and then goes on without loss", async () => {
    const topic = `session:${freshId()}`;
    const client = connect(held.url);
    const subscription = client.subscribe(topic, { bufferMax: 10 });
    await subscription.ready;
    const events = subscription[Symbol.asyncIterator]();
    const seen: unknown[] = [];
    for (let part = 0; part < 5; part++) {
      await held.gateway.batch(entries(topic, part * 40 + 1, part * 40 + 40));
      seen.push(...(await take(events, 15)).map((one) => one.data["n"]));
    }
    seen.push(...(await take(events, 125)).map((one) => one.data["n"]));
    expect(seen).toEqual(numbers(1, 200));
    client.close();
  });

  it("brings only the events that are wanted, ends when told to, and calls back", async () => {
    const topic = `session:${freshId()}`;
    const client = connect(held.url);
    const told: unknown[] = [];
    let done!: () => void;
    const completed = new Promise<void>((resolve) => (done = resolve));
    const subscription = client.subscribe(topic, {
      events: ["progress", "completed", "note"],
      until: ["completed"],
      on: {
        progress: (data) => told.push(data.progress),
        completed: () => done(),
        "*": (event) => told.push(event.name),
      },
    });
    await subscription.ready;
    await held.gateway.batch([
      { topic, name: "progress", data: { progress: 5 } },
      { topic, name: "model_result", data: {} },
      { topic, name: "note", data: {} },
      { topic, name: "completed", data: {} },
    ]);
    await within(completed, 10_000, () => `only ${told} came`);
    expect(told).toEqual([5, "note"]);
    client.close();
  });

  it("brings bytes as bytes", async () => {
    const topic = `room:${freshId()}`;
    const client = connect(held.url);
    const subscription = client.subscribe(topic);
    await subscription.ready;
    const receipt = await held.gateway.publishBytes(topic, "picture", new Uint8Array([0, 1, 255]));
    const [event] = await take(subscription[Symbol.asyncIterator](), 1);
    expect(event?.cursor).toBe(`${receipt.epoch}:${receipt.seq}`);
    expect([...(event?.data as unknown as Uint8Array)]).toEqual([0, 1, 255]);
    client.close();
  });

  it("says why a subscription is refused", async () => {
    const client = connect(held.url);
    const subscription = client.subscribe("nonsense:a");
    await expect(subscription.ready).rejects.toThrow(Refused);
    await expect(take(subscription[Symbol.asyncIterator](), 1)).rejects.toMatchObject({
      code: expect.stringMatching(/invalid/) as string,
    });
    client.close();
  });

  it("ends when the signal aborts, and leaves the topic", async () => {
    const topic = `session:${freshId()}`;
    const client = connect(held.url);
    const stop = new AbortController();
    const subscription = client.subscribe(topic, { signal: stop.signal });
    await subscription.ready;
    await held.gateway.publish(topic, "progress", {});
    stop.abort();
    for await (const event of subscription) expect(event.name).toBe("progress");
    await expect.poll(() => subscribers(topic), { timeout: 10_000 }).toEqual([]);
    client.close();
  });
});

it("opens more connections when there are too many topics for one", async () => {
  const client = transports["websocket"]!(held.url);
  const topics = Array.from({ length: 450 }, () => `room:${freshId("many")}`);
  const subscriptions = topics.map((topic) => client.subscribe(topic));
  await Promise.all(subscriptions.map((one) => one.ready));
  await held.gateway.batch(topics.map((topic) => ({ topic, name: "note", data: { topic } })));
  for (const subscription of subscriptions) {
    const [event] = await take(subscription[Symbol.asyncIterator](), 1);
    expect(event?.data["topic"]).toBe(subscription.topic);
  }
  client.close();
});
