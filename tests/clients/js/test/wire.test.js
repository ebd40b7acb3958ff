// Raw frames against the gateway itself: what a client library would never send, and what it never shows.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client } from "../lib/client.js";
import { Endpoint } from "../../../conformance/lib/wire.js";

const MIB = 1024 * 1024;

let gateway, engine;
before(async () => {
  gateway = await Gateway.start();
  engine = new Endpoint(gateway.url, "/socket.io/");
});
after(() => gateway?.stop());

/** A websocket that is in the main namespace; `ids` are the Engine.IO session's and the public one. */
async function joined() {
  const socket = await engine.socket();
  const { sid } = JSON.parse((await socket.next()).slice(1));
  socket.send("40");
  const answer = await socket.message();
  const [, connected] = JSON.parse((await socket.message()).slice(2));
  socket.ids = { engine: sid, socket: JSON.parse(answer.slice(2)).sid, connected: connected.socketId };
  return socket;
}

describe("the public id", () => {
  it("is told in CONNECT and in `connected`, and is of no use for polling", async () => {
    const socket = await joined();
    assert.equal(socket.ids.socket, socket.ids.connected);
    assert.notEqual(socket.ids.engine, socket.ids.socket);
    assert.equal((await engine.fetch(`EIO=4&transport=polling&sid=${socket.ids.socket}`)).status, 400);
    assert.equal((await engine.fetch(`EIO=4&transport=polling&sid=${socket.ids.socket}`, { method: "POST", body: "1" })).status, 400);
    socket.close();
  });

  it("is what presence shows; the Engine.IO session id is shown nowhere", async () => {
    const socket = await joined();
    const id = freshId("seen");
    socket.send(`420["subscribe","${id}"]`);
    const answers = [await socket.message(), await socket.message()];
    const presence = JSON.stringify((await gateway.http("GET", `/v1/topics/session:${id}/subscribers`)).body);
    assert.ok(presence.includes(socket.ids.socket), presence);
    for (const text of [presence, ...answers]) assert.ok(!text.includes(socket.ids.engine), text);
    socket.close();
  });
});

describe("a subscribe right behind CONNECT", () => {
  it("is never lost, however soon it comes", async () => {
    const lost = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = await engine.socket();
        await socket.next();
        socket.send("40");
        await socket.message();
        socket.send(`42["subscribe","${freshId("soon")}"]`);
        for (;;) {
          const message = await socket.message().catch(() => null);
          if (message === null) return 1;
          if (message.startsWith('42["subscribed"')) break;
        }
        socket.close();
        return 0;
      }),
    );
    assert.equal(lost.reduce((sum, one) => sum + one, 0), 0);
  });
});

describe("namespaces on one connection", () => {
  it("`/` and `/producers` work side by side", async () => {
    const socket = await joined();
    const id = freshId("both");
    socket.send(`42["subscribe","${id}"]`);
    assert.match(await socket.message(), /^42\["subscribed"/);
    socket.send("40/producers,");
    assert.match(await socket.message(), /^40\/producers,\{"sid":/);
    socket.send(`42/producers,7["publish",{"topic":"session:${id}","name":"progress","data":{"progress":3}}]`);
    const got = [await socket.message(), await socket.message()];
    assert.ok(got.some((one) => one.startsWith("43/producers,7[{")), got.join("\n"));
    assert.ok(got.some((one) => one.startsWith('42["progress",{') && one.includes('"progress":3')), got.join("\n"));
    socket.close();
  });

  it("an unknown one is refused and the rest goes on", async () => {
    const socket = await joined();
    socket.send("40/admin,");
    assert.equal(await socket.message(), '44/admin,{"message":"Invalid namespace"}');
    socket.send(`42["subscribe","${freshId()}"]`);
    assert.match(await socket.message(), /^42\["subscribed"/);
    socket.close();
  });
});

describe("a frame that breaks the rules ends its own connection only", () => {
  const FRAMES = {
    "an unknown packet": ["4abc"],
    "JSON cut short": ['42["subscribe","a"'],
    "a payload that is no array": ["42{}"],
    "an empty array": ["42[]"],
    "an event name that is no string": ["42[5]"],
    "bytes nobody announced": [Buffer.from([1, 2, 3])],
    "a frame above the limit": [`42["subscribe","${"x".repeat(2 * MIB)}"]`],
    "more attachments than are allowed": [`4511-["subscribe",${Array.from({ length: 11 }, (_, i) => `{"_placeholder":true,"num":${i}}`).join(",")}]`, ...Array(11).fill(Buffer.from([1]))],
  };
  for (const [what, frames] of Object.entries(FRAMES))
    it(what, async () => {
      const id = freshId("witness");
      const witness = await Client.open(gateway);
      await witness.subscribe(id);
      const socket = await joined();
      for (const frame of frames) if (socket.raw.readyState === 1) socket.send(frame);
      await socket.end();
      await gateway.publish(`session:${id}`, "completed", {});
      await witness.event("completed");
      assert.equal(witness.log.filter(([name]) => name === "#disconnect").length, 0);
      witness.close();
    });
});

it("arrays nested a hundred thousand deep are refused like any other payload", async () => {
  const socket = await joined();
  socket.send(`42["subscribe",${"[".repeat(100_000)}${"]".repeat(100_000)}]`);
  assert.match(await socket.message(), /^42\["error",\{.*"code":/);
  socket.send(`42["subscribe","${freshId()}"]`);
  assert.match(await socket.message(), /^42\["subscribed"/);
  socket.close();
});

it("a polling body above the limit is refused", async () => {
  const session = await engine.open();
  const { status } = await session.post(`4${"x".repeat(session.maxPayload + 1)}`).catch(() => ({ status: "torn" }));
  assert.ok([400, 413, "torn"].includes(status), String(status));
});

it("CORS is open without credentials", async () => {
  const headers = { origin: "https://app.example" };
  const { status, headers: answered } = await engine.fetch(engine.polling, { headers });
  assert.equal(status, 200);
  assert.equal(answered.get("access-control-allow-origin"), "*");
  assert.equal(answered.get("access-control-allow-credentials"), null);
  const preflight = await engine.fetch(engine.polling, {
    method: "OPTIONS",
    headers: { ...headers, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
  });
  assert.ok([200, 204].includes(preflight.status), String(preflight.status));
  assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
});

it("a thousand connections that come and go leave nothing behind", async () => {
  const id = freshId("crowd");
  for (let round = 0; round < 10; round++) {
    const sockets = await Promise.all(Array.from({ length: 100 }, joined));
    for (const socket of sockets) socket.send(`42["subscribe","${id}"]`);
    await Promise.all(sockets.map((socket) => socket.message()));
    for (const [i, socket] of sockets.entries()) i % 2 ? socket.close() : socket.raw.close();
  }
  await eventually(async () => (await gateway.publish(`session:${id}`, "progress", {})).subscribers === 0, 10_000, "the end of every subscription");
});
