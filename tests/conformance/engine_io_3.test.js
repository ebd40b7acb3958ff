// Engine.IO protocol, revision 3 (clients 2.x): framed by lengths, pinged by the client, `/` joined without asking.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Endpoint, PING_INTERVAL, PING_TIMEOUT, sleep, startServer } from "./lib/wire.js";

let server, engine, socketio;
before(async () => {
  server = await startServer();
  engine = new Endpoint(server.url, "/engine.io/", 3);
  socketio = new Endpoint(server.url, "/socket.io/", 3);
});
after(() => server?.stop());

/** A polling session whose bytes come as base64, so that every body is text. */
const open = (endpoint) => endpoint.open("&b64=1");

/** The packets of a body: `<length in UTF-16 units>:<packet>` again and again. */
function packets(text) {
  const all = [];
  for (let at = 0; at < text.length; ) {
    const colon = text.indexOf(":", at);
    const length = Number(text.slice(at, colon));
    assert.ok(Number.isInteger(length) && length > 0, `a length at ${at} of ${JSON.stringify(text.slice(0, 200))}`);
    all.push(text.slice(colon + 1, colon + 1 + length));
    at = colon + 1 + length;
  }
  return all;
}
const framed = (...list) => list.map((packet) => `${packet.length}:${packet}`).join("");

/** Polls until `count` packets other than pongs and noops are there. */
async function take(session, count) {
  const got = [];
  while (got.length < count) {
    const { status, text } = await session.get();
    assert.equal(status, 200, text);
    got.push(...packets(text).filter((packet) => packet !== "3" && packet !== "6"));
  }
  return got;
}

describe("handshake", () => {
  it("by polling is framed", async () => {
    const { status, text } = await engine.fetch(`${engine.polling}&b64=1`);
    assert.equal(status, 200);
    const [open] = packets(text);
    assert.equal(open[0], "0");
    const { sid, upgrades, pingInterval, pingTimeout } = JSON.parse(open.slice(1));
    assert.equal(typeof sid, "string");
    assert.deepEqual([upgrades, pingInterval, pingTimeout], [["websocket"], PING_INTERVAL, PING_TIMEOUT]);
  });

  it("by websocket is not", async () => {
    const socket = await engine.socket();
    assert.match(await socket.next(), /^0\{"sid":/);
    socket.close();
  });
});

describe("messages", () => {
  for (const [what, list] of [
    ["one text", ["4hello"]],
    ["several", ["4one", "4two", "4three"]],
    ["text beyond ASCII, counted in UTF-16 units", ["4é 漢 🚀", "4end"]],
    ["bytes as base64", ["4hello", "b4AQIDBA=="]],
  ])
    it(`by polling: ${what}`, async () => {
      const session = await open(engine);
      assert.equal((await session.post(framed(...list), { headers: { "content-type": "text/plain;charset=UTF-8" } })).text, "ok");
      assert.deepEqual(await take(session, list.length), list);
    });

  it("by websocket: text, and bytes with their type in front", async () => {
    const socket = await engine.socket();
    await socket.next();
    socket.send("4hello");
    assert.equal(await socket.message(), "4hello");
    socket.send(Buffer.from([4, 1, 2, 3]));
    assert.deepEqual([...(await socket.message())], [4, 1, 2, 3]);
    socket.close();
  });

  it("that are not framed end the session", async () => {
    const session = await open(engine);
    await session.post("abc").catch(() => {}); // the request may be torn
    assert.equal((await session.get()).status, 400);
  });
});

describe("heartbeat", () => {
  it("is the client's: its ping is answered", async () => {
    const socket = await engine.socket();
    await socket.next();
    for (let i = 0; i < 3; i++) {
      socket.send("2");
      assert.equal(await socket.next(), "3");
      await sleep(PING_INTERVAL / 3);
    }
    socket.close();
    const session = await open(engine);
    await session.post("1:2");
    assert.equal((await session.get()).text, "1:3");
  });

  it("that the client leaves out ends the session", async () => {
    const socket = await engine.socket();
    await socket.end();
    const session = await open(engine);
    await sleep(PING_INTERVAL + PING_TIMEOUT + 50);
    assert.equal((await session.get()).status, 400);
  });
});

describe("close and upgrade", () => {
  it("a close frees the waiting poll with a noop", async () => {
    for (let round = 0; round < 10; round++) {
      const session = await open(engine);
      const [poll] = await Promise.all([session.get(), session.post("1:1")]);
      assert.deepEqual([poll.status, poll.text], [200, "1:6"], `round ${round}`);
      assert.equal((await session.get()).status, 400);
    }
  });

  it("a session goes on by websocket", async () => {
    const session = await open(engine);
    const socket = await session.upgrade();
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    assert.equal((await session.get()).text, "1:6");
    socket.send("5", "4hello");
    assert.equal(await socket.message(), "4hello");
    socket.close();
  });
});

describe("Socket.IO of 2.x", () => {
  it("joins the main namespace without asking, by websocket", async () => {
    const socket = await socketio.socket();
    assert.match(await socket.next(), /^0\{/);
    assert.equal(await socket.next(), "40");
    assert.equal(await socket.next(), '42["auth",{}]');
    socket.send('42["message",{"a":[1]}]', '423["message-with-ack","x"]');
    const got = new Set([await socket.next(), await socket.next()]);
    assert.deepEqual(got, new Set(['42["message-back",{"a":[1]}]', '433["x"]']));
    socket.close();
  });

  it("joins another namespace by asking", async () => {
    const socket = await socketio.socket();
    for (let i = 0; i < 3; i++) await socket.next();
    socket.send("40/custom");
    assert.match(await socket.next(), /^40\/custom/);
    assert.equal(await socket.next(), '42/custom,["auth",{}]');
    socket.close();
  });

  it("by polling, with bytes", async () => {
    const session = await open(socketio);
    const [first] = await take(session, 1).catch(() => ["40"]);
    assert.ok(["40", '42["auth",{}]'].includes(first), first);
    await session.post(framed('451-["message",{"_placeholder":true,"num":0}]', "b4AQID"), { headers: { "content-type": "text/plain;charset=UTF-8" } });
    const got = [];
    while (!got.includes("b4AQID")) got.push(...(await take(session, 1)));
    assert.ok(got.includes('451-["message-back",{"_placeholder":true,"num":0}]'), got.join(" "));
  });
});
