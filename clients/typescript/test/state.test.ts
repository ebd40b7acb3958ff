// Sessions and jobs as states: always whole, shared, and answerable.
import { describe, expect, it } from "vitest";

import { Refused, type SessionState } from "../src/index.js";
import { freshId, gatewayForAll, startGateway, startLine, transports } from "./gateway.js";

const held = gatewayForAll();

describe.each(Object.entries(transports))("%s", (_, connect) => {
  it("folds a session into one state", async () => {
    const id = freshId();
    const topic = `session:${id}`;
    await held.gateway.batch([
      { topic, name: "progress", data: { progress: 30, status: "PROCESSING" } },
      { topic, name: "model_result", data: { modelName: "a", status: "completed" } },
      { topic, name: "clarification", data: { clarificationId: "q1", question: "Which?" } },
    ]);
    const client = connect(held.url);
    const session = client.session(id);
    let state = await session.until(() => true);
    expect(state).toMatchObject({
      isReady: true,
      isCompleted: false,
      progress: { progress: 30 },
      modelResults: [{ modelName: "a" }],
      clarifications: [{ clarificationId: "q1", question: "Which?" }],
      error: null,
    });
    await session.answer("q1", "this one");
    state = await session.until((now) => now.clarifications.length === 0);
    await held.gateway.publish(topic, "completed", { result: { answer: 42 } });
    state = await session.until((now) => now.isCompleted);
    expect(state.result).toEqual({ answer: 42 });
    client.close();
  });

  it("says why an answer is refused", async () => {
    const id = freshId();
    const ask = (clarificationId: string, more = {}) =>
      held.gateway.publish(`session:${id}`, "clarification", { clarificationId, question: "?", ...more });
    await ask("q1", { schema: { enum: ["yes", "no"] } });
    const client = connect(held.url);
    const session = client.session(id);
    await expect(session.answer("q1", "perhaps")).rejects.toMatchObject({ status: 422 });
    await session.answer("q1", "yes");
    const late = session.answer("q1", "no");
    await expect(late).rejects.toBeInstanceOf(Refused);
    await expect(late).rejects.toMatchObject({ status: 409, body: { answeredAt: expect.any(String) as string } });
    await expect(session.answer("q2", "no")).rejects.toMatchObject({ status: 404 });
    client.close();
  });

  it("keeps the old state until the new one is whole when the log was lost", async () => {
    const id = freshId();
    const topic = `session:${id}`;
    const [first, second] = [await startGateway(), await startGateway()];
    const results = (count: number, from: string) => Array.from({ length: count }, () => ({ topic, name: "model_result", data: { from } }));
    await first.batch(results(30, "first"));
    const line = await startLine(first.port);
    const client = connect(line.origin);
    const session = client.session(id);
    const states: SessionState[] = [];
    session.onChange((state) => states.push(state));
    await session.until((state) => state.modelResults.length === 30);
    // The answered question is the newest event: no event of the snapshot tells that it is complete.
    await second.batch([...results(40, "second"), { topic, name: "clarification", data: { clarificationId: "q", question: "?" } }]);
    await second.http("POST", "/api/wizard/clarifications/respond", { sessionId: id, clarificationId: "q", response: 1 });
    line.cut();
    line.mend(second.port);
    const state = await session.until((now) => now.isConnected && now.modelResults.length === 40);
    expect(state.clarifications).toEqual([]);
    const kinds = states.filter((one) => one.isReady).map((one) => `${one.modelResults.length} ${(one.modelResults[0] as { from?: string }).from}`);
    expect([...new Set(kinds)]).toEqual(["30 first", "40 second"]);
    expect(states.some((one) => !one.isConnected && one.modelResults.length === 30)).toBe(true);
    client.close();
    await Promise.all([line.stop(), first.stop(), second.stop()]);
  });

  it("folds a job into one state", async () => {
    const id = freshId();
    const topic = `job:${id}`;
    const client = connect(held.url);
    const job = client.job(id);
    expect(job.state.status).toBe("connecting");
    await job.until(() => true);
    await held.gateway.batch([
      { topic, name: "job_started", data: { total_files: 4 } },
      { topic, name: "file_processing", data: { current_file: "/a.pdf", processed_files: 1, total_files: 4, status: "Processing" } },
    ]);
    const state = await job.until((now) => now.processedFiles === 1);
    expect(state).toMatchObject({ status: "processing", currentFile: "/a.pdf", totalFiles: 4, progress: 25, isCompleted: false });
    await held.gateway.publish(topic, "job_completed", { message: "done" });
    expect(await job.until((now) => now.isCompleted)).toMatchObject({ status: "completed", progress: 100, message: "done" });
    client.close();
  });

  it("shows a job that fails and begins anew", async () => {
    const id = freshId();
    const post = (step: string, body = {}) => held.gateway.http("POST", `/v1/jobs${step}`, body);
    await post("", { id });
    const client = connect(held.url);
    const job = client.job(id);
    expect((await job.until(() => true)).status).toBe("connecting");
    await post(`/${id}/started`);
    await post(`/${id}/progress`, { progress: 30, message: "reading" });
    await job.until((state) => state.progress === 30);
    await post(`/${id}/failed`, { message: "no disk" });
    expect(await job.until((state) => state.status === "error")).toMatchObject({ error: "no disk", progress: 30 });
    await post(`/${id}/retry`);
    expect(await job.until((state) => state.status === "connecting")).toMatchObject({ error: undefined, progress: 0, isReady: true });
    await post(`/${id}/started`);
    await post(`/${id}/cancelled`);
    await job.until((state) => state.status === "cancelled");
    client.close();
  });

  it("shares one subscription among everybody who watches, and leaves after the last", async () => {
    const id = freshId();
    const subscribers = async () => (await held.gateway.http("GET", `/v1/topics/session:${id}/subscribers`)).body?.subscribers?.length;
    await held.gateway.publish(`session:${id}`, "progress", { progress: 1 });
    const client = connect(held.url);
    const session = client.session(id);
    expect(client.session(id)).toBe(session);
    const stops = [session.onChange(() => {}), session.onChange(() => {})];
    await session.until((state) => state.isConnected);
    expect(await subscribers()).toBe(1);
    stops[0]?.();
    stops[0]?.();
    await held.gateway.publish(`session:${id}`, "progress", { progress: 2 });
    await session.until((state) => state.progress?.progress === 2);
    stops[1]?.();
    await expect.poll(subscribers, { timeout: 10_000 }).toBe(0);
    expect(session.state).toMatchObject({ isConnected: false, progress: { progress: 2 } });
    // Whoever comes back goes on where it stopped.
    await held.gateway.publish(`session:${id}`, "model_result", { modelName: "b" });
    expect((await session.until((state) => state.modelResults.length === 1)).isReady).toBe(true);
    client.close();
  });
});

it("says when a session cannot be followed", async () => {
  const client = transports["websocket"]!(held.url);
  const session = client.session(".hidden");
  await expect(session.until(() => true)).rejects.toBeInstanceOf(Refused);
  expect(session.refusal).toBeInstanceOf(Refused);
  client.close();
});
