// permessage-deflate on the plain WebSockets: what a stock client offers, and messages that inflate to far more than they are.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { constants, deflateRawSync } from "node:zlib";
import { WebSocket } from "ws";
import { Gateway, freshId, within } from "../lib/gateway.js";

const MIB = 1 << 20;
const DEADLINE_MS = 60_000;

let gateway;
before(async () => {
  gateway = await Gateway.start();
});
after(() => gateway?.stop());

const url = (path) => `${gateway.url.replace("http", "ws")}${path}`;

/** The most memory that the gateway has ever had resident, in MiB. */
const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, "utf8"))[1]) / 1024;

async function publish(topic, name, data) {
  const { status } = await gateway.http("POST", `/v1/topics/${topic}/events`, { name, data });
  assert.equal(status, 200);
}

it("sends a stock client that joins late its long snapshot compressed, and takes its long messages", async () => {
  const job = freshId("job");
  const text = "a page of text that says much the same as the page before it; ".repeat(8_000);
  await publish(`job:${job}`, "job_started", { text });
  const socket = new WebSocket(url(`/ws/${job}`));
  const [data] = await once(socket, "message");
  assert.equal(socket.extensions, "permessage-deflate");
  const told = JSON.parse(data);
  assert.equal(told.text, text);
  assert.equal(told._replayed, true);
  assert.ok(socket._socket.bytesRead < text.length / 10, `${socket._socket.bytesRead} bytes came for ${text.length}`);

  socket.send(`{${" ".repeat(MIB - 1)}`);
  const [answer] = await once(socket, "message");
  assert.match(String(answer), /Invalid JSON format/);
  assert.ok(socket._socket.bytesWritten < MIB / 10, `${socket._socket.bytesWritten} bytes went`);
  socket.send(" ".repeat(MIB + 1));
  const [code] = await once(socket, "close");
  assert.equal(code, 1009);
});

it("sends a client that offers nothing the same, uncompressed", async () => {
  const job = freshId("job");
  const text = "x".repeat(300_000);
  await publish(`job:${job}`, "job_started", { text });
  const socket = new WebSocket(url(`/ws/${job}`), { perMessageDeflate: false });
  const [data] = await once(socket, "message");
  assert.equal(socket.extensions, "");
  assert.equal(JSON.parse(data).text, text);
  socket.terminate();
});

/** The frames of a compressed message, masked with zeros, its payload in pieces of at most so many bytes. */
function frames(payload, piece) {
  const out = [];
  for (let start = 0; start < payload.length; start += piece) {
    const part = payload.subarray(start, start + piece);
    const isLast = start + piece >= payload.length;
    const head = Buffer.alloc(14);
    head[0] = (start === 0 ? 0x41 : 0x00) | (isLast ? 0x80 : 0);
    head[1] = 0xff;
    head.writeBigUInt64BE(BigInt(part.length), 2);
    out.push(head, part);
  }
  return Buffer.concat(out);
}

/** The close code for bytes that come after the handshake. */
async function codeFor(bytes) {
  const socket = connect(gateway.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(
    "GET /ws/bomb HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
  );
  const read = [];
  const closed = new Promise((resolve, reject) => {
    socket.on("data", (data) => {
      read.push(data);
      const all = Buffer.concat(read);
      const frame = all.subarray(all.indexOf("\r\n\r\n") + 4);
      if (all.includes("\r\n\r\n") && frame.length >= 4 && frame[0] === 0x88) resolve(frame.readUInt16BE(2));
    });
    socket.on("close", () => reject(new Error(`closed after ${Buffer.concat(read)}`)));
  });
  await once(socket, "data");
  socket.write(bytes);
  try {
    return await within(closed, DEADLINE_MS, () => "no close frame");
  } finally {
    socket.destroy();
  }
}

it("closes with 1009 what inflates beyond the bound, whole or in fragments, and its memory stays flat", async () => {
  // A megabyte of zeros that refers to nothing before it, again and again: 900 MiB in less than 1 MiB.
  const block = deflateRawSync(Buffer.alloc(MIB), { level: 9, finishFlush: constants.Z_FULL_FLUSH });
  const bomb = Buffer.concat(Array.from({ length: 900 }, () => block)).subarray(0, -4);
  assert.ok(bomb.length < MIB, `${bomb.length} bytes`);
  for (const piece of [bomb.length, 65_536, 1_000, 100]) {
    const bytes = frames(bomb, piece);
    const before = peak();
    const codes = await Promise.all(Array.from({ length: 8 }, () => codeFor(bytes)));
    assert.deepEqual(codes, Array(8).fill(1009), `pieces of ${piece}`);
    const grown = peak() - before;
    assert.ok(grown < 64, `${grown} MiB more for 8 messages in pieces of ${piece}`);
    console.log(`# pieces of ${piece}: the peak grew by ${grown.toFixed(1)} MiB to ${peak().toFixed(1)} MiB`);
  }
});
