// Socket.IO protocol, revision 5: namespaces `/` and `/custom`; `auth` first, `message` and `message-with-ack` come back.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Endpoint, SEPARATOR, startServer } from "./lib/wire.js";

let server, engine;
before(async () => {
  server = await startServer();
  engine = new Endpoint(server.url, "/socket.io/");
});
after(() => server?.stop());

/** A websocket with the Engine.IO handshake behind it. */
async function bare() {
  const socket = await engine.socket();
  socket.engineId = JSON.parse((await socket.next()).slice(1)).sid;
  return socket;
}

/** Sends CONNECT and takes the two answers; answers the socket id. */
async function connect(socket, namespace = "", payload = "") {
  socket.send(`40${namespace ? `${namespace},` : ""}${payload}`);
  const prefix = `40${namespace ? `${namespace},` : ""}`;
  const answer = await socket.message();
  assert.ok(answer.startsWith(prefix), answer);
  const { sid, ...rest } = JSON.parse(answer.slice(prefix.length));
  assert.ok(typeof sid === "string" && sid.length > 0);
  assert.deepEqual(rest, {}, "state recovery is off, so there is nothing but the id");
  assert.equal(await socket.message(), `42${namespace ? `${namespace},` : ""}["auth",${payload || "{}"}]`);
  return sid;
}

async function ready() {
  const socket = await bare();
  await connect(socket);
  return socket;
}

const PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
const BYTES = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];

describe("connect", () => {
  it("to the main namespace", async () => {
    const socket = await bare();
    const id = await connect(socket);
    assert.notEqual(id, socket.engineId, "the Engine.IO session id is not given away");
    socket.close();
  });

  it("to the main namespace with a payload", async () => connect(await bare(), "", '{"token":"123","deep":{"list":[1,null,"é"]}}'));
  it("to another namespace", async () => connect(await bare(), "/custom"));
  it("to another namespace with a payload", async () => connect(await bare(), "/custom", '{"token":"abc"}'));

  it("to both on one connection, each with an id of its own", async () => {
    const socket = await bare();
    const ids = [await connect(socket), await connect(socket, "/custom")];
    assert.notEqual(ids[0], ids[1]);
    socket.send('42/custom,["message","there"]', '42["message","here"]');
    const got = new Set([await socket.message(), await socket.message()]);
    assert.deepEqual(got, new Set(['42/custom,["message-back","there"]', '42["message-back","here"]']));
    socket.close();
  });

  it("to an unknown namespace is refused, and the rest goes on", async () => {
    const socket = await bare();
    socket.send("40/random,");
    assert.equal(await socket.message(), '44/random,{"message":"Invalid namespace"}');
    await connect(socket);
    socket.close();
  });

  it("with anything else than CONNECT closes", async () => {
    for (const first of ["4abc", '42["message"]', "41"]) {
      const socket = await bare();
      socket.send(first);
      await socket.end();
    }
  });

  it("by polling works the same", async () => {
    const session = await engine.open();
    assert.equal((await session.post("40")).text, "ok");
    const packets = [];
    while (packets.length < 2) packets.push(...(await session.get()).text.split(SEPARATOR).filter((packet) => packet !== "2"));
    assert.match(packets[0], /^40\{"sid":"[^"]+"\}$/);
    assert.equal(packets[1], '42["auth",{}]');
    await session.post(`451-["message",{"_placeholder":true,"num":0}]${SEPARATOR}bAQID`);
    const back = [];
    while (back.length < 2) {
      const { text } = await session.get();
      if (text === "2") await session.post("3");
      back.push(...text.split(SEPARATOR).filter((packet) => packet !== "2"));
    }
    assert.deepEqual(back, ['451-["message-back",{"_placeholder":true,"num":0}]', "bAQID"]);
  });
});

describe("disconnect", () => {
  it("from the main namespace leaves the connection and its heartbeat", async () => {
    const socket = await ready();
    socket.send("41");
    assert.equal(await socket.next(), "2");
    socket.close();
  });

  it("from one namespace leaves the other", async () => {
    const socket = await ready();
    await connect(socket, "/custom");
    socket.send("41/custom,", '42["message","still here"]');
    assert.equal(await socket.message(), '42["message-back","still here"]');
    socket.close();
  });

  it("and back again", async () => {
    const socket = await ready();
    socket.send("41");
    assert.equal(await socket.next(), "2");
    socket.send("3");
    await connect(socket);
    socket.send('42["message",1]');
    assert.equal(await socket.message(), '42["message-back",1]');
    socket.close();
  });
});

describe("events", () => {
  for (const [what, args] of [
    ["no argument", ""],
    ["one", ',"x"'],
    ["several of every kind", ',1,"2",{"3":[true,null,2.5]},[],""'],
    ["text beyond ASCII", ',"é 漢 🚀"'],
  ])
    it(`with ${what} come back whole`, async () => {
      const socket = await ready();
      socket.send(`42["message"${args}]`);
      assert.equal(await socket.message(), `42["message-back"${args}]`);
      socket.close();
    });

  it("with bytes come back with bytes", async () => {
    const socket = await ready();
    socket.send(`452-["message",${PLACEHOLDERS}]`, ...BYTES);
    assert.equal(await socket.message(), `452-["message-back",${PLACEHOLDERS}]`);
    assert.deepEqual([await socket.message(), await socket.message()], BYTES);
    socket.close();
  });

  it("with bytes deep inside keep them in place", async () => {
    const socket = await ready();
    const body = '{"a":[{"_placeholder":true,"num":0}],"b":{"_placeholder":true,"num":1}}';
    socket.send(`452-["message",${body}]`, ...BYTES);
    const header = await socket.message();
    const parts = [await socket.message(), await socket.message()];
    const [, value] = JSON.parse(header.slice(4));
    assert.deepEqual([parts[value.a[0].num], parts[value.b.num]], BYTES);
    socket.close();
  });

  it("ask for an acknowledgement and get it, whatever the number", async () => {
    const socket = await ready();
    for (const id of ["0", "7", "456", "2147483647"]) {
      socket.send(`42${id}["message-with-ack",1,"2",{"3":[false]}]`);
      assert.equal(await socket.message(), `43${id}[1,"2",{"3":[false]}]`);
    }
    socket.send('42["message","none"]', '429["message-with-ack"]');
    assert.equal(await socket.message(), '42["message-back","none"]');
    assert.equal(await socket.message(), "439[]");
    socket.close();
  });

  it("ask for an acknowledgement with bytes and get it", async () => {
    const socket = await ready();
    socket.send(`452-789["message-with-ack",${PLACEHOLDERS}]`, ...BYTES);
    assert.equal(await socket.message(), `462-789[${PLACEHOLDERS}]`);
    assert.deepEqual([await socket.message(), await socket.message()], BYTES);
    socket.close();
  });

  it("in another namespace bear its name", async () => {
    const socket = await bare();
    await connect(socket, "/custom");
    socket.send('42/custom,["message",1]', '42/custom,5["message-with-ack",2]', `452-/custom,["message",${PLACEHOLDERS}]`, ...BYTES);
    const got = [];
    while (got.length < 5) got.push(await socket.message());
    assert.deepEqual(got.filter((one) => typeof one === "string").sort(), ['42/custom,["message-back",1]', "43/custom,5[2]", `452-/custom,["message-back",${PLACEHOLDERS}]`].sort());
    socket.close();
  });

  it("two hundred at once come back in order", async () => {
    const socket = await ready();
    for (let i = 0; i < 200; i++) socket.send(`42["message",${i}]`);
    for (let i = 0; i < 200; i++) assert.equal(await socket.message(), `42["message-back",${i}]`);
    socket.close();
  });

  it("nobody listens for change nothing", async () => {
    const socket = await ready();
    socket.send('42["nobody-listens",1]', '42["message",2]');
    assert.equal(await socket.message(), '42["message-back",2]');
    socket.close();
  });
});

describe("a packet that breaks the rules closes the connection", () => {
  for (const [what, ...frames] of [
    ["an unknown type", "4abc"],
    ["a type beyond the last", "49"],
    ["a payload that is no array", "42{}"],
    ["a payload that is no JSON", '42["message"'],
    ["an acknowledgement id that is no number", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
    ["bytes nobody announced", Buffer.from([1, 2, 3])],
    ["text where bytes were announced", '451-["message",{"_placeholder":true,"num":0}]', '42["message",1]'],
  ])
    it(what, async () => {
      const [socket, witness] = [await ready(), await ready()];
      socket.send(...frames);
      await socket.end();
      witness.send('42["message","unharmed"]');
      assert.equal(await witness.message(), '42["message-back","unharmed"]');
      witness.close();
    });
});
