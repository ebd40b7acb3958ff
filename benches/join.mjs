// How long a stock client waits for the snapshot of a session with a long log:
//
//   node benches/join.mjs GATEWAY [EVENTS] [JOINS]     (10,000 and 1,000 unless told)
//
// GATEWAY is the binary; socket.io-client is taken from tests/clients/js, which tests/run.sh sets up.
// One client at a time subscribes on a connection that is there already; the time ends with the last event of the
// snapshot. Half of the log are facts of 200 bytes, of which the newest 1,000 are in a snapshot; the rest is progress.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { once } from "node:events";

const require = createRequire(new URL("../tests/clients/js/package.json", import.meta.url));
const { io } = require("socket.io-client");
const WebSocket = require("ws");
const [binary, events = "10000", joins = "1000"] = process.argv.slice(2);
if (!binary) {
  console.error("usage: node benches/join.mjs GATEWAY [EVENTS] [JOINS]");
  process.exit(2);
}
const LINE = 500;
const FACTS = 1000;

const gateway = spawn(binary, ["serve", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
const [line] = await once(createInterface({ input: gateway.stdout }), "line");
const url = line.match(/http:\/\/\S+/)[0];

const fact = { name: "model_result", data: { model: "m", text: "x".repeat(200) } };
for (let n = 0; n < Number(events); n += LINE) {
  const entries = Array.from({ length: LINE }, (_, i) =>
    i % 2 ? { topic: "session:long", ...fact } : { topic: "session:long", name: "progress", data: { percent: i / 5 } },
  );
  const answer = await fetch(`${url}/v1/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(entries),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

/** Subscribes with a stock client. Returns the time in ms and how many events the snapshot had. */
async function stock() {
  const socket = io(url, { transports: ["websocket"], forceNew: true });
  await new Promise((resolve) => socket.once("connected", resolve));
  const begun = process.hrtime.bigint();
  let last;
  let seen = 0;
  const whole = new Promise((resolve) => {
    socket.onAny((name, data) => {
      if (name === "subscribed") last = Number(data.cursor.split(":").at(-1));
      if (!data?._replayed) return;
      seen += 1;
      if (data._seq === last) resolve();
    });
  });
  socket.emit("subscribe", "long");
  await whole;
  const time = Number(process.hrtime.bigint() - begun) / 1e6;
  socket.disconnect();
  return [time, seen];
}

/** The same on a bare websocket, whose client reads the packets and understands none but the first. */
async function bare() {
  const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  const said = (start) => new Promise((resolve) => {
    socket.on("message", (data) => data.toString("latin1", 0, start.length) === start && resolve());
  });
  await said("0{");
  socket.send("40");
  await said('42["connected"');
  socket.removeAllListeners("message");
  const begun = process.hrtime.bigint();
  let end;
  let seen = 0;
  const whole = new Promise((resolve) => {
    socket.on("message", (data) => {
      if (end === undefined) {
        const cursor = /"cursor":"[^"]*:(\d+)"/.exec(data);
        if (cursor) end = `"_seq":${cursor[1]},`;
        return;
      }
      seen += 1;
      if (data.includes(end)) resolve();
    });
  });
  socket.send('42["subscribe","long"]');
  await whole;
  const time = Number(process.hrtime.bigint() - begun) / 1e6;
  socket.terminate();
  return [time, seen];
}

for (const [name, join] of Object.entries({ "socket.io-client": stock, "bare websocket": bare })) {
  const times = [];
  const sizes = new Set();
  for (let n = 0; n < Number(joins); n += 1) {
    const [time, seen] = await join();
    times.push(time);
    sizes.add(seen);
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(2);
  console.log(`${name}: ${times.length} joins of ${[...sizes]} events out of ${events}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
  if (sizes.size !== 1 || [...sizes][0] < Math.min(FACTS, Number(events) / 2)) process.exitCode = 1;
}
gateway.kill("SIGTERM");
