// Clients that have to show who they are.
import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";

import { connect, Refused } from "../src/index.js";
import { Producer } from "../src/producer.js";
import { connect as connectSse } from "../src/sse.js";
import { freshId, gatewayForAll, take } from "./gateway.js";

const SECRET = "a secret of the tests, long enough for HS256";
const held = gatewayForAll({
  TIDINGS__AUTH__MODE: "token",
  TIDINGS__AUTH__JWT__SECRET: SECRET,
  TIDINGS__AUTH__JWT__LEEWAY: "0s",
  TIDINGS__AUTH__EXPIRING_NOTICE: "2s",
});

function token(seconds: number, claims: Record<string, unknown>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const said = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + seconds, ...claims })}`;
  return `${said}.${createHmac("sha256", SECRET).update(said).digest("base64url")}`;
}
const worker = () => new Producer(held.url, { token: token(600, { sub: "worker", pub_topics: ["session:*"] }) });
const reader = (seconds: number) => token(seconds, { sub: "reader", sub_topics: ["session:*"] });

describe.each([
  ["socketio", connect],
  ["sse", connectSse],
] as const)("%s", (_, open) => {
  it("follows what its token allows, and is told what it does not", async () => {
    const topic = `session:${freshId()}`;
    await worker().publish(topic, "progress", { progress: 5 });
    const client = open(held.url, { token: async () => reader(600) });
    const events = client.subscribe(topic)[Symbol.asyncIterator]();
    expect((await take(events, 1))[0]?.data["progress"]).toBe(5);
    await expect(client.subscribe(`job:${freshId()}`).ready).rejects.toBeInstanceOf(Refused);
    client.close();
  });

  it("is refused without a token", async () => {
    const client = open(held.url);
    await expect(client.subscribe(`session:${freshId()}`).ready).rejects.toBeInstanceOf(Refused);
    client.close();
  });

  it("goes on with fresh tokens when one after the other expires", async () => {
    const topic = `session:${freshId()}`;
    const producer = worker();
    let given = 0;
    const client = open(held.url, { token: () => (given++, reader(5)) });
    const subscription = client.subscribe(topic);
    await subscription.ready;
    const events = subscription[Symbol.asyncIterator]();
    const seen: unknown[] = [];
    // Until a third token was needed, however it is shown: renewed in time, or with a new connection.
    for (let n = 1; given < 3; n++) {
      await producer.publish(topic, "model_result", { n });
      seen.push((await take(events, 1))[0]?.data["n"]);
      expect(seen.at(-1)).toBe(n);
    }
    client.close();
  });
});

it("tells a producer what it may not publish", async () => {
  await expect(worker().publish("job:a", "progress")).rejects.toMatchObject({ status: 403 });
  await expect(new Producer(held.url).publish("session:a", "progress")).rejects.toMatchObject({ status: 401 });
});
