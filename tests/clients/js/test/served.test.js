// `/socket.io/socket.io.js`: the stock browser client, served from a folder that the operator names.
import { it } from "node:test";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Gateway } from "../lib/gateway.js";

const DIST = fileURLToPath(new URL("../node_modules/socket.io-client/dist", import.meta.url));

it("the browser client is served where it is configured", async () => {
  const gateway = await Gateway.start({ env: { TIDINGS__FACE__SOCKETIO__CLIENT_DIR: DIST } });
  try {
    for (const file of ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js", "socket.io.js.map"]) {
      const { status, headers, body } = await gateway.http("GET", `/socket.io/${file}`);
      assert.equal(status, 200, file);
      assert.match(headers.get("content-type"), file.endsWith(".map") ? /json/ : /javascript/, file);
      const text = await readFile(`${DIST}/${file}`, "utf8");
      assert.deepEqual(body, file.endsWith(".map") ? JSON.parse(text) : text);
    }
    for (const file of ["nothing.js", "..%2fpackage.json", "%2e%2e/package.json", "socket.io.js%00", "..%5cpackage.json"])
      assert.ok([400, 404].includes((await gateway.http("GET", `/socket.io/${file}`)).status), file);
  } finally {
    await gateway.stop();
  }
});

it("without configuration the answer says how to set it", async () => {
  const gateway = await Gateway.start();
  try {
    const { status, body } = await gateway.http("GET", "/socket.io/socket.io.js");
    assert.equal(status, 404);
    assert.match(typeof body === "string" ? body : JSON.stringify(body), /client_dir/);
  } finally {
    await gateway.stop();
  }
});

it("a folder that is not there is answered in the same way", async () => {
  const gateway = await Gateway.start({ env: { TIDINGS__FACE__SOCKETIO__CLIENT_DIR: "/nowhere/dist" } });
  try {
    const { status, body } = await gateway.http("GET", "/socket.io/socket.io.js");
    assert.equal(status, 404);
    assert.match(typeof body === "string" ? body : JSON.stringify(body), /client_dir/);
  } finally {
    await gateway.stop();
  }
});
