// A question to the user: asked by a worker, answered once over REST, seen by every client, brought back to the worker.
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Gateway, eventually, freshId } from "../lib/gateway.js";
import { Client, withClients } from "../lib/client.js";

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

const respond = (body) => gateway.http("POST", "/api/wizard/clarifications/respond", body);
const answerOf = (id, clarificationId, wait = "0s") => gateway.http("GET", `/v1/topics/session:${id}/clarifications/${clarificationId}/answer?wait=${wait}`);

const KINDS = [{ version: "4.8" }, { version: "4.8", transport: "polling" }, { version: "3.1", parser: "msgpack" }, { version: "2.5" }];

describe("a clarification", () => {
  it("is answered once, and everybody learns of it", () =>
    withClients(gateway, KINDS, async (...clients) => {
      const id = freshId("ask");
      await Promise.all(clients.map((client) => client.subscribe(id)));
      await gateway.publish(`session:${id}`, "clarification", { question: "which language?" });
      const asked = await Promise.all(clients.map((client) => client.event("clarification")));
      const { clarificationId } = asked[0];
      assert.ok(typeof clarificationId === "string" && clarificationId.length >= 8, "an id is made when the producer gave none");
      for (const one of asked) assert.deepEqual([one.clarificationId, one.question, one.status], [clarificationId, "which language?", "pending"]);

      const open = await gateway.http("GET", `/api/wizard/clarifications/${id}`);
      assert.equal(open.body.success, true);
      assert.equal(open.body.data.sessionId, id);
      assert.deepEqual(open.body.data.clarifications.map((one) => [one.id, one.question]), [[clarificationId, "which language?"]]);

      assert.equal((await answerOf(id, clarificationId)).status, 204);
      const waiting = answerOf(id, clarificationId, "10s");
      const first = await respond({ sessionId: id, clarificationId, response: "German" });
      assert.equal(first.status, 200, JSON.stringify(first.body));
      assert.equal(first.body.success, true);
      assert.deepEqual(first.body.data, { sessionId: id, clarificationId, status: "answered" });
      const answer = await waiting;
      assert.equal(answer.status, 200);
      assert.deepEqual([answer.body.clarificationId, answer.body.response], [clarificationId, "German"]);
      for (const client of clients) {
        const told = await client.event("clarification", (data) => data.status === "answered");
        assert.equal(told.clarificationId, clarificationId);
      }
      const second = await respond({ sessionId: id, clarificationId, response: "French" });
      assert.equal(second.status, 409);
      assert.equal(typeof second.body.error, "string");
      assert.equal(typeof second.body.answeredAt, "string");
    }));

  it("is asked again on every join while it is open, and no more when it is answered", async () => {
    const id = freshId("ask");
    await gateway.publish(`session:${id}`, "clarification", { question: "one?", clarificationId: "one" });
    await gateway.publish(`session:${id}`, "clarification", { question: "two?", clarificationId: "two" });
    await respond({ sessionId: id, clarificationId: "one", response: "yes" });
    const client = await Client.open(gateway);
    await client.subscribe(id);
    await gateway.publish(`session:${id}`, "completed", {});
    await client.event("completed");
    const open = client.payloads("clarification").filter((data) => data.status === "pending" && data._replayed);
    assert.deepEqual(open.map((data) => data.clarificationId), ["two"]);
    client.close();
  });

  it("with several answers at once takes exactly one", async () => {
    const id = freshId("ask");
    await gateway.publish(`session:${id}`, "clarification", { question: "who?", clarificationId: "race" });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => respond({ sessionId: id, clarificationId: "race", response: `answer ${i}` })));
    const taken = answers.filter(({ status }) => status === 200);
    assert.equal(taken.length, 1);
    assert.equal(answers.filter(({ status }) => status === 409).length, 19);
    const { body } = await answerOf(id, "race");
    assert.equal(body.response, `answer ${answers.indexOf(taken[0])}`);
  });

  it("takes its default when it expires", async () => {
    const id = freshId("ask");
    const expiresAt = new Date(Date.now() + 400).toISOString();
    await gateway.publish(`session:${id}`, "clarification", { question: "go on?", clarificationId: "d", default: "yes", expiresAt });
    const { status, body } = await answerOf(id, "d", "10s");
    assert.equal(status, 200);
    assert.deepEqual([body.response, body.answeredBy], ["yes", "default"]);
  });

  it("without a default is gone when it expires", async () => {
    const id = freshId("ask");
    await gateway.publish(`session:${id}`, "clarification", { question: "still?", clarificationId: "x", expiresAt: new Date(Date.now() + 200).toISOString() });
    await eventually(async () => (await answerOf(id, "x")).status === 410, 10_000, "the expiry");
    assert.equal((await respond({ sessionId: id, clarificationId: "x", response: "late" })).status, 410);
  });

  it("is refused an answer that does not fit its schema, or that nobody asked for", async () => {
    const id = freshId("ask");
    await gateway.publish(`session:${id}`, "clarification", { question: "how many?", clarificationId: "n", schema: { type: "integer", minimum: 1 } });
    for (const response of ["three", 0, null, { n: 1 }]) {
      const refused = await respond({ sessionId: id, clarificationId: "n", response });
      assert.equal(refused.status, 422, JSON.stringify(response));
      assert.equal(typeof refused.body.error, "string");
    }
    assert.equal((await respond({ sessionId: id, clarificationId: "n", response: 3 })).status, 200);
    assert.equal((await respond({ sessionId: id, clarificationId: "unknown", response: 3 })).status, 404);
    assert.equal((await respond({ sessionId: freshId("nobody"), clarificationId: "n", response: 3 })).status, 404);
    const lost = await gateway.http("GET", `/api/wizard/session/${freshId("nobody")}`);
    assert.deepEqual([lost.status, lost.body], [404, { error: "Session not found" }]);
  });
});
