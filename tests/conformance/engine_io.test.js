// Engine.IO protocol, revision 4: every message is echoed by the server under test.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Endpoint, MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT, SEPARATOR, Socket, sleep, startServer, within } from "./lib/wire.js";

let server, engine;
before(async () => {
  server = await startServer();
  engine = new Endpoint(server.url, "/engine.io/");
});
after(() => server?.stop());

const FIELDS = { pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, maxPayload: MAX_PAYLOAD };

function isOpen(text, upgrades) {
  assert.equal(text[0], "0");
  const { sid, ...rest } = JSON.parse(text.slice(1));
  assert.ok(typeof sid === "string" && sid.length >= 10, `sid ${sid}`);
  assert.deepEqual(rest, { upgrades, ...FIELDS });
  return sid;
}

describe("handshake", () => {
  it("by polling offers the upgrade", async () => {
    const { status, text, headers } = await engine.fetch(engine.polling);
    assert.equal(status, 200);
    assert.match(headers.get("content-type"), /^text\/plain/);
    isOpen(text, ["websocket"]);
  });

  it("by websocket offers none", async () => {
    const socket = await engine.socket();
    isOpen(await socket.next(), []);
    socket.close();
  });

  it("gives each session an id of its own", async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, async () => (await engine.open()).sid));
    assert.equal(new Set(ids).size, 50);
  });

  const MISTAKES = {
    "no version": ["transport=polling", "transport=websocket"],
    "a version that is no number": ["EIO=abc&transport=polling", "EIO=abc&transport=websocket"],
    "a version from the future": ["EIO=5&transport=polling", "EIO=5&transport=websocket"],
    "no transport": ["EIO=4", "EIO=4"],
    "an unknown transport": ["EIO=4&transport=abc", "EIO=4&transport=abc"],
    "an unknown session": ["EIO=4&transport=polling&sid=nobody", "EIO=4&transport=websocket&sid=nobody"],
  };
  for (const [what, [http, websocket]] of Object.entries(MISTAKES)) {
    it(`with ${what} is refused by HTTP`, async () => assert.equal((await engine.fetch(http)).status, 400));
    it(`with ${what} is refused by websocket`, async () => {
      const how = await engine.refusal(websocket);
      assert.ok([400, "closed"].includes(how), String(how));
    });
  }

  it("takes GET only", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"])
      assert.equal((await engine.fetch(engine.polling, { method, body: method === "DELETE" ? undefined : "" })).status, 400, method);
  });

  it("says with a number what was wrong", async () => {
    const code = async (query, options) => JSON.parse((await engine.fetch(query, options)).text).code;
    assert.equal(await code("EIO=4&transport=abc"), 0);
    assert.equal(await code("EIO=4&transport=polling&sid=nobody"), 1);
    assert.equal(await code("EIO=4&transport=polling", { method: "POST" }), 2);
    assert.equal(await code("EIO=9&transport=polling"), 5);
  });
});

describe("messages by polling", () => {
  const BODIES = {
    "one text": "4hello",
    "an empty text": "4",
    "several texts": ["4one", "4two", "4three"].join(SEPARATOR),
    "text beyond ASCII": "4é 漢 🚀",
    "bytes": "bAQIDBA==",
    "text and bytes": ["4hello", "bAQIDBA==", "4again"].join(SEPARATOR),
  };
  for (const [what, body] of Object.entries(BODIES))
    it(`${what} come back as sent`, async () => {
      const session = await engine.open();
      const sent = await session.post(body);
      assert.deepEqual([sent.status, sent.text], [200, "ok"]);
      const got = await session.get();
      assert.deepEqual([got.status, got.text], [200, body]);
    });

  it("a large message passes, one above the limit does not", async () => {
    const session = await engine.open();
    const large = `4${"x".repeat(MAX_PAYLOAD - 100)}`;
    assert.equal((await session.post(large)).status, 200);
    assert.equal((await session.get()).text, large);
    const other = await engine.open();
    const refused = await other.post(`4${"x".repeat(MAX_PAYLOAD + 1)}`).catch(() => ({ status: "torn" }));
    assert.ok([400, 413, "torn"].includes(refused.status), String(refused.status));
  });

  it("a waiting poll is answered by what is sent meanwhile", async () => {
    const session = await engine.open();
    const waiting = session.get();
    await session.post("4later");
    assert.equal((await waiting).text, "4later");
  });

  it("many posts keep their order", async () => {
    const session = await engine.open();
    const want = [];
    for (let i = 0; i < 40; i++) {
      want.push(`4m${i}`);
      await session.post(`4m${i}`);
    }
    const got = [];
    while (got.length < want.length) got.push(...(await session.get()).text.split(SEPARATOR).filter((packet) => packet !== "2"));
    assert.deepEqual(got, want);
  });

  for (const [what, body] of [["a packet of no type", "abc"], ["an unknown type", "9x"]])
    it(`${what} ends the session`, async () => {
      const session = await engine.open();
      await session.post(body).catch(() => {}); // the request may be torn
      assert.equal((await session.get()).status, 400);
    });

  it("two polls at once end the session", async () => {
    const session = await engine.open();
    const first = session.get();
    await sleep(10);
    const second = await session.get();
    assert.ok([400, 500].includes(second.status), String(second.status));
    const { status, text } = await first;
    assert.deepEqual([status, text], [200, "1"]);
    assert.equal((await session.get()).status, 400);
  });

  it("a poll that the client gives up ends the session", async () => {
    for (let i = 0; i < 5; i++) {
      const session = await engine.open();
      const giveUp = new AbortController();
      const waiting = session.get({ signal: giveUp.signal }).catch(() => {});
      await sleep(10);
      giveUp.abort();
      await waiting;
      await sleep(10);
      assert.equal((await session.get()).status, 400);
    }
  });
});

describe("messages by websocket", () => {
  it("text comes back as text", async () => {
    const socket = await engine.socket();
    await socket.next();
    for (const text of ["4hello", "4", "4é 漢 🚀"]) {
      socket.send(text);
      assert.equal(await socket.message(), text);
    }
    socket.close();
  });

  it("bytes come back as bytes", async () => {
    const socket = await engine.socket();
    await socket.next();
    for (const bytes of [[1, 2, 3, 4], [], [0x1e, 0x34, 0xff]]) {
      socket.send(Buffer.from(bytes));
      const got = await socket.message();
      assert.ok(Buffer.isBuffer(got));
      assert.deepEqual([...got], bytes);
    }
    socket.close();
  });

  it("a thousand messages keep their order", async () => {
    const socket = await engine.socket();
    await socket.next();
    for (let i = 0; i < 1000; i++) socket.send(i % 7 ? `4${i}` : Buffer.from(String(i)));
    for (let i = 0; i < 1000; i++) assert.equal(String(await socket.message()), i % 7 ? `4${i}` : String(i));
    socket.close();
  });

  for (const [what, text] of [["a packet of no type", "abc"], ["an unknown type", "9"], ["an empty frame", ""]])
    it(`${what} ends the session`, async () => {
      const socket = await engine.socket();
      await socket.next();
      socket.send(text);
      await socket.end();
    });
});

describe("heartbeat", () => {
  it("by polling comes every interval while it is answered", async () => {
    const session = await engine.open();
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      assert.deepEqual(await session.get().then(({ status, text }) => [status, text]), [200, "2"]);
      assert.ok(performance.now() - start > PING_INTERVAL / 2, "not before its time");
      assert.equal((await session.post("3")).status, 200);
    }
  });

  it("by websocket comes every interval while it is answered", async () => {
    const socket = await engine.socket();
    await socket.next();
    let last = performance.now();
    for (let i = 0; i < 4; i++) {
      assert.equal(await socket.next(), "2");
      const passed = performance.now() - last;
      assert.ok(passed > PING_INTERVAL * 0.6 && passed < PING_INTERVAL * 3, `${passed} ms`);
      last = performance.now();
      socket.send("3");
    }
    socket.close();
  });

  it("that nobody answers ends a polling session", async () => {
    const session = await engine.open();
    await sleep(PING_INTERVAL + PING_TIMEOUT + 20);
    assert.equal((await session.get()).status, 400);
  });

  it("that nobody answers ends a websocket session in time", async () => {
    const socket = await engine.socket();
    const start = performance.now();
    await socket.end();
    const passed = performance.now() - start;
    assert.ok(passed > PING_INTERVAL && passed < (PING_INTERVAL + PING_TIMEOUT) * 3, `${passed} ms`);
  });

  it("goes on beside messages", async () => {
    const socket = await engine.socket();
    await socket.next();
    const until = performance.now() + 3 * (PING_INTERVAL + PING_TIMEOUT);
    for (let i = 0; performance.now() < until; i++) {
      socket.send(`4${i}`);
      assert.equal(await socket.message(), `4${i}`);
      await sleep(5);
    }
    socket.close();
  });
});

describe("close", () => {
  it("by polling frees the waiting poll with a noop, every time", async () => {
    for (let round = 0; round < 30; round++) {
      const session = await engine.open();
      const [poll] = await Promise.all([session.get(), session.post("1")]);
      assert.deepEqual([poll.status, poll.text], [200, "6"], `round ${round}`);
      assert.equal((await session.get()).status, 400);
    }
  });

  it("by websocket closes it", async () => {
    const socket = await engine.socket();
    await socket.next();
    socket.send("1");
    await socket.end();
  });

  it("of the websocket's TCP connection harms nobody else", async () => {
    const [gone, stays] = await Promise.all([engine.socket(), engine.socket()]);
    await Promise.all([gone.next(), stays.next()]);
    gone.raw._socket.resetAndDestroy();
    stays.send("4still here");
    assert.equal(await stays.message(), "4still here");
    stays.close();
  });
});

describe("upgrade", () => {
  async function probed(session) {
    const socket = await session.upgrade();
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    return socket;
  }

  it("frees the poll with a noop and goes on by websocket", async () => {
    const session = await engine.open();
    const socket = await probed(session);
    const { status, text } = await session.get();
    assert.deepEqual([status, text], [200, "6"]);
    socket.send("5", "4hello");
    assert.equal(await socket.message(), "4hello");
    socket.close();
  });

  it("frees a poll that was waiting before the probe", async () => {
    const session = await engine.open();
    const waiting = session.get();
    const socket = await probed(session);
    assert.equal((await waiting).text, "6");
    socket.send("5", "4hello");
    assert.equal(await socket.message(), "4hello");
    socket.close();
  });

  it("loses nothing that was posted during the probe", async () => {
    for (let round = 0; round < 20; round++) {
      const session = await engine.open();
      const socket = await probed(session);
      await session.post("4between");
      socket.send("5", "4behind");
      const got = [await socket.message(), await socket.message()];
      assert.deepEqual(got, ["4between", "4behind"], `round ${round}`);
      socket.close();
    }
  });

  it("leaves nothing to poll", async () => {
    const session = await engine.open();
    const socket = await probed(session);
    socket.send("5");
    assert.equal((await session.get()).status, 400);
    socket.send("4hello");
    assert.equal(await socket.message(), "4hello");
    socket.close();
  });

  it("happens once: a second websocket is closed, the first goes on", async () => {
    const session = await engine.open();
    const socket = await probed(session);
    socket.send("5", "4one");
    assert.equal(await socket.message(), "4one");
    const second = new Socket(`${engine.websocket}&sid=${session.sid}`);
    await within(second.closed, 5_000, () => "the second websocket was kept");
    socket.send("4two");
    assert.equal(await socket.message(), "4two");
    socket.close();
  });

  it("that is given up leaves the polling session alive", async () => {
    const session = await engine.open();
    const socket = await session.upgrade();
    socket.close();
    await socket.end();
    await session.post("4hello");
    const packets = [];
    while (!packets.includes("4hello")) {
      const { status, text } = await session.get();
      assert.equal(status, 200);
      packets.push(...text.split(SEPARATOR));
      if (text.includes("2")) await session.post("3");
    }
  });
});
