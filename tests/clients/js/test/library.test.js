// The library and assist applications' own JavaScript, unchanged but for host and library id.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { WebSocket } from "ws";
import { Gateway, eventually } from "../lib/gateway.js";

const SECRET = "a secret of the tests, long enough for HS256";

let gateway, host;
before(async () => {
  gateway = await Gateway.start({ env: { TIDINGS__AUTH__JWT__SECRET: SECRET } });
  host = new URL(gateway.url).host;
});
after(() => gateway?.stop());

const source = (name) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url), "utf8").replaceAll("localhost:8000", host);

/** Runs a program that opens a socket and logs; answers the socket and what is logged. */
function run(text, { jwtToken = "", url } = {}) {
  const lines = [];
  const program = new Function("WebSocket", "console", "jwtToken", `${text}\nreturn ws;`);
  const Socket = url ? class extends WebSocket { constructor() { super(url); } } : WebSocket;
  return { socket: program(Socket, { log: (...words) => lines.push(words) }, jwtToken), lines };
}

function jwt(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
}

describe("the library's client", () => {
  it("searches, and hears of documents that are added by REST", async () => {
    const { body: library } = await gateway.http("POST", "/v1/libraries", { name: "Papers" });
    const documents = `/v1/libraries/${library.id}/documents`;
    const { body: first } = await gateway.http("POST", documents, { title: "AI", texts: ["AI is a field."] });
    const { socket, lines } = run(source("library-client.js").replace("{id}", library.id));
    await eventually(() => lines.length > 0, 10_000, "the response");
    assert.equal(lines[0][0], "Response:");
    assert.deepEqual(lines[0][1].results.map(({ id, text }) => ({ id, text })), [{ id: first.id, text: "AI is a field." }]);
    const { body: second } = await gateway.http("POST", documents, { title: "Test Document", texts: ["x"] });
    await eventually(() => lines.length > 1, 10_000, "the event");
    const [what, name, data] = lines[1];
    assert.deepEqual([what, name], ["Event:", "document.added"]);
    assert.deepEqual([data.document_id, data.title, data.num_chunks], [second.id, "Test Document", 1]);
    socket.close();
  });
});

describe("the client of Assist", () => {
  for (const name of ["assist-query.js", "assist-message.js"])
    it(`connects (${name})`, async () => {
      const isQuery = name === "assist-query.js";
      const text = isQuery ? source(name) : `const ws = new WebSocket();\n${source(name)}`;
      const { socket } = run(text, { jwtToken: jwt({ sub: "user123", role: "user" }), url: isQuery ? undefined : `ws://${host}/ws/connect` });
      const said = [];
      socket.addEventListener("message", (event) => said.push(JSON.parse(event.data)));
      await eventually(() => said.length > 0, 10_000, "the connection");
      assert.deepEqual([said[0].type, said[0].status, said[0].user_id], ["connection", "connected", "user123"]);
      await gateway.http("POST", "/v1/topics/documents:user123/events", {
        name: "document_processing_start",
        data: { document_id: "doc456", filename: "report.pdf" },
      });
      await eventually(() => said.some((message) => message.type === "document_processing_start"), 10_000, "the notification");
      socket.close();
    });
});
