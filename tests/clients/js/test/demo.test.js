// `tidings demo`: what it shows on its page, stock clients receive as well, and one of them answers its question.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Gateway, eventually } from "../lib/gateway.js";
import { Client } from "../lib/client.js";

const FILES = { "a.txt": "one two three\nfour five\n", "b.md": "# Title\n\nsome words, some more words\n", "c.csv": "id,name\n1,x\n2,y\n3,z\n", "empty.txt": "" };

let folder;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "tidings-demo-"));
  for (const [name, text] of Object.entries(FILES)) await writeFile(path.join(folder, name), text);
});
after(() => rm(folder, { recursive: true, force: true }));

it("works through a folder before the eyes of every client, and ends with its summary", { timeout: 60_000 }, async () => {
  const demo = await Gateway.start({ args: ["demo", folder, "--listen", "127.0.0.1:0", "--pace", "200ms"] });
  const clients = [];
  try {
    const session = await eventually(() => /\?topic=session:([A-Za-z0-9._~-]+)/.exec(demo.output())?.[1], 10_000, "the address of the page");
    const page = await demo.http("GET", `/?topic=session:${session}`);
    assert.equal(page.status, 200);
    assert.match(page.headers.get("content-type"), /text\/html/);

    for (const kind of [{ version: "4.8" }, { version: "4.8", transport: "polling" }, { version: "3.1", transport: "upgrade", parser: "msgpack" }, { version: "2.5", transport: "upgrade" }])
      clients.push(await Client.open(demo, kind));
    await Promise.all(clients.map((client) => client.subscribe(session)));
    const asked = await clients[3].event("clarification", (data) => data.status === "pending");
    assert.ok(asked.question.length > 5);
    const answer = { sessionId: session, clarificationId: asked.clarificationId, response: "bytes" };
    assert.equal((await demo.http("POST", "/api/wizard/clarifications/respond", answer)).status, 200);
    await Promise.all(clients.map((client) => client.event("completed", undefined, { ms: 20_000 })));

    for (const client of clients) {
      const results = client.payloads("model_result");
      assert.equal(results.length, Object.keys(FILES).length, `${client.label}: one result for each file`);
      assert.ok(client.payloads("progress").length > 0, client.label);
      assert.equal(client.payloads("progress").at(-1).progress, 100, client.label);
      assert.equal(client.payloads("error").length, 0, client.label);
      const numbers = client.sequenced().map(([, data]) => data._seq);
      assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), `${client.label}: once and in order`);
      const { result } = client.payloads("completed")[0];
      assert.equal(typeof result, "object");
      assert.deepEqual(result, clients[0].payloads("completed")[0].result, client.label);
    }
    assert.deepEqual(await demo.stop(), { code: 0, signal: null });
  } finally {
    for (const client of clients) client.close();
    await demo.stop();
  }
});

it("ends by itself with `--exit`, once its viewer has seen the end", { timeout: 60_000 }, async () => {
  const demo = await Gateway.start({ args: ["demo", folder, "--listen", "127.0.0.1:0", "--pace", "50ms", "--exit"] });
  const session = await eventually(() => /\?topic=session:([A-Za-z0-9._~-]+)/.exec(demo.output())?.[1], 10_000, "the address of the page");
  const client = await Client.open(demo);
  try {
    await client.subscribe(session);
    const { clarificationId } = await client.event("clarification", (data) => data.status === "pending");
    await demo.http("POST", "/api/wizard/clarifications/respond", { sessionId: session, clarificationId, response: "lines" });
    await client.event("completed", undefined, { ms: 20_000 });
    assert.deepEqual(await demo.exited, { code: 0, signal: null });
  } finally {
    client.close();
    await demo.stop();
  }
});
