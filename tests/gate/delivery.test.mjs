// The work from append to write, in instructions: what valgrind counts does not depend on what else the machine does.
//
// The gateway runs under callgrind, which collects only while an event is appended or its pump runs. A rise of more than
// 3 % over tests/gate/baseline.json fails. What was meant is written down with
//
//   UPDATE_BASELINE=1 node --test tests/gate/delivery.test.mjs
//
// The count depends on the compiler: with another one than the baseline's there is nothing to compare with, and the test
// says so and checks only that something was counted.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";

const { io } = createRequire(new URL("../clients/js/package.json", import.meta.url))("socket.io-client");
const BASELINE = new URL("baseline.json", import.meta.url);
const CLIENTS = 20;
const WARM_UP = 50;
const EVENTS = 200;
const RISE_MAX = 0.03;
const COLLECTED = ["*Hub>::append::{{closure}}", "*Hub>::pump::{{closure}}"];

/** Publishes one event after the other, each when all clients have the one before. */
async function publish(url, clients, count) {
  for (let n = 0; n < count; n += 1) {
    const delivered = clients.map((client) => once(client, "note"));
    const answer = await fetch(`${url}/v1/topics/session:gate/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: "note", data: { n, text: "x".repeat(200) } }),
    });
    assert.equal(answer.status, 200);
    await Promise.all(delivered);
  }
}

test("the work from append to write has not grown", { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "tidings-gate-"));
  const counts = join(folder, "counts");
  const binary = process.env.GATEWAY_BIN;
  const gateway = spawn(
    "valgrind",
    [
      "--tool=callgrind",
      `--callgrind-out-file=${counts}`,
      ...COLLECTED.map((name) => `--toggle-collect=${name}`),
      binary,
      ...["serve", "--listen", "127.0.0.1:0"],
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const clients = [];
  try {
    const [line] = await once(createInterface({ input: gateway.stdout }), "line");
    const url = line.match(/http:\/\/\S+/)[0];
    for (let n = 0; n < CLIENTS; n += 1) {
      const client = io(url, { transports: ["websocket"], forceNew: true, query: { recovery: "0" } });
      client.emit("subscribe", "gate");
      await once(client, "subscribed");
      clients.push(client);
    }
    await publish(url, clients, WARM_UP);
    execFileSync("callgrind_control", ["--zero", String(gateway.pid)]);
    await publish(url, clients, EVENTS);
  } finally {
    for (const client of clients) client.disconnect();
    gateway.kill("SIGTERM");
  }
  await once(gateway, "exit");
  const total = Number(readFileSync(counts, "utf8").match(/^(?:totals|summary): (\d+)/m)[1]);
  rmSync(folder, { recursive: true });
  const found = {
    compiler: execFileSync("rustc", ["--version"], { encoding: "utf8" }).trim(),
    machine: process.arch,
    profile: "dev, with the feature otlp",
    instructions_per_delivery: Math.round(total / (CLIENTS * EVENTS)),
  };
  console.log(JSON.stringify(found));
  assert.ok(found.instructions_per_delivery > 0, "nothing was counted: were the functions renamed?");
  if (process.env.UPDATE_BASELINE) {
    writeFileSync(BASELINE, `${JSON.stringify(found, null, 2)}\n`);
    return;
  }
  const baseline = JSON.parse(readFileSync(BASELINE, "utf8"));
  if (baseline.compiler !== found.compiler || baseline.machine !== found.machine) {
    console.log(`nothing to compare with: the baseline is of ${baseline.compiler} on ${baseline.machine}`);
    return;
  }
  const rise = found.instructions_per_delivery / baseline.instructions_per_delivery - 1;
  assert.ok(rise <= RISE_MAX, `${(rise * 100).toFixed(1)} % more instructions a delivery than the baseline's`);
});
