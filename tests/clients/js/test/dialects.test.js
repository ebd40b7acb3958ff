// The clients of the plain WebSocket applications, unchanged but for the host; and one event on every face.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io } from "socket.io-client";
import { WebSocket } from "ws";
import { Gateway, eventually, freshId, within } from "../lib/gateway.js";
import { mount } from "../lib/hooks.js";
import { client as jobClient } from "../fixtures/job-progress-client.mjs";
import { hook as jobHook } from "../fixtures/job-progress-hook.mjs";
import { client as channelClient } from "../fixtures/progress-channel-client.mjs";
import { scan } from "../fixtures/directory-scan-client.mjs";

const SECRET = "a secret of the tests, long enough for HS256";

let gateway;
let documents;
/** The WebSocket that the fixtures get: the same one, at the gateway's address. */
let Here;
before(async () => {
  documents = await mkdtemp(join(tmpdir(), "documents-"));
  await mkdir(join(documents, "sub"));
  await writeFile(join(documents, "one.pdf"), "12345");
  await writeFile(join(documents, "sub", "two.txt"), "1");
  gateway = await Gateway.start({ env: { TIDINGS__PRODUCER__SCAN__ROOTS: JSON.stringify([documents]), TIDINGS__AUTH__JWT__SECRET: SECRET } });
  Here = class extends WebSocket {
    constructor(url) {
      super(url.replace(/localhost:\d+/, `127.0.0.1:${gateway.port}`));
    }
  };
});
after(async () => {
  await gateway?.stop();
  await rm(documents, { recursive: true, force: true });
});

/** A token of an administrator of Assist. */
function token() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const said = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: "root", role: "admin", exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${said}.${createHmac("sha256", SECRET).update(said).digest("base64url")}`;
}

/** A console that keeps what it is told. */
function recorder() {
  const lines = [];
  const keep = (...words) => lines.push(words.join(" "));
  return { lines, log: keep, error: keep };
}

/** Collects the messages of a socket. */
function messages(socket) {
  const list = [];
  socket.addEventListener("message", (event) => list.push(JSON.parse(event.data)));
  return list;
}

async function publishJob(topic) {
  await gateway.publish(topic, "job_started", { total_files: 42 });
  await gateway.publish(topic, "file_processing", { current_file: "/documents/report.pdf", processed_files: 10, total_files: 42, status: "Processing" });
  await gateway.publish(topic, "file_completed", { processed_files: 11, total_files: 42 });
  await gateway.publish(topic, "error", { message: "Failed to process file: Permission denied" });
  await gateway.publish(topic, "job_completed", { message: "Job completed successfully" });
}

it("the job progress client prints the whole job and leaves at its end", async () => {
  const id = freshId("job");
  const console = recorder();
  const client = new (jobClient(Here, id, console))();
  client.connect(id);
  await eventually(() => console.lines.includes("WebSocket connected"));
  await publishJob(`job:${id}`);
  await eventually(() => console.lines.some((line) => line.startsWith("WebSocket closed:")));
  assert.deepEqual(console.lines, [
    "WebSocket connected",
    "Job started: 42 files to process",
    "Processing: /documents/report.pdf (10/42)",
    "Progress: 11/42",
    "Job error: Failed to process file: Permission denied",
    "Job completed!",
    "WebSocket closed: 1000 Client disconnect",
  ]);
});

it("the React hook of the job progress follows a job, also one that began before", async () => {
  const id = freshId("job");
  const topic = `job:${id}`;
  await gateway.publish(topic, "job_started", { total_files: 42 });
  const hook = mount((react) => jobHook(react, Here), id);
  try {
    assert.equal(hook.read().status, "connecting");
    await eventually(() => hook.read().totalFiles === 42);
    await gateway.publish(topic, "file_processing", { current_file: "/a", processed_files: 10, total_files: 42 });
    await eventually(() => hook.read().processedFiles === 10);
    assert.deepEqual(hook.read(), { currentFile: "/a", processedFiles: 10, totalFiles: 42, status: "processing" });
    await gateway.publish(topic, "job_completed", { message: "done" });
    await eventually(() => hook.read().status === "completed");
  } finally {
    hook.unmount();
  }
});

it("the progress channel's client prints status, progress and message", async () => {
  const id = freshId("job");
  const console = recorder();
  await gateway.http("POST", "/v1/jobs", { id });
  const socket = channelClient(Here, id, console);
  await eventually(() => console.lines.includes("Pong received"));
  await gateway.http("POST", `/v1/jobs/${id}/started`, {});
  await gateway.http("POST", `/v1/jobs/${id}/progress`, { progress: 75, message: "Processing stage 3" });
  await eventually(() => console.lines.includes("Message: Processing stage 3"));
  socket.close();
  await eventually(() => console.lines.includes("WebSocket connection closed"));
  const told = console.lines.filter((line) => line !== "Pong received");
  assert.deepEqual(told, [
    "Connected to job progress",
    "Status: pending",
    "Progress: 0%",
    "Status: in_progress",
    "Progress: 0%",
    "Status: in_progress",
    "Progress: 75%",
    "Message: Processing stage 3",
    "WebSocket connection closed",
  ]);

  const unknown = recorder();
  channelClient(Here, "nobody-knows", unknown);
  await eventually(() => unknown.lines.includes("WebSocket connection closed"));
  assert.ok(unknown.lines.includes("Error: Job nobody-knows not found"), unknown.lines.join("\n"));
});

it("a directory is scanned as the application asks for it", async () => {
  const socket = scan(Here, randomUUID(), documents);
  const told = messages(socket);
  const done = await eventually(() => told.find((message) => message.type === "completed"));
  assert.deepEqual(done.files.map((file) => file.path), [join(documents, "one.pdf"), join(documents, "sub", "two.txt")]);
  assert.deepEqual([done.count, done.total_size, done.warnings], [2, 6, []]);
  assert.ok(told.every(({ type }) => ["started", "progress", "completed"].includes(type)), JSON.stringify(told));
  socket.close();
});

it("a worker on /producers hears that its job is to be given up", async () => {
  const id = freshId("job");
  await gateway.http("POST", "/v1/jobs", { id });
  await gateway.http("POST", `/v1/jobs/${id}/started`, {});
  const worker = io(`${gateway.url}/producers`, { transports: ["websocket"], forceNew: true });
  try {
    const asked = worker.timeout(20_000).emitWithAck("await_cancel", { job_id: id, attempt: 1 });
    const late = await worker.timeout(20_000).emitWithAck("await_cancel", { job_id: id, attempt: 2 });
    assert.deepEqual([late.ok, late.code], [false, "job_state"]);
    await gateway.http("POST", `/v1/jobs/${id}/cancel`, { reason: "not needed" });
    const told = await asked;
    assert.deepEqual([told.id, told.cancelling, told.reason], [id, true, "not needed"]);
    const receipt = await worker.timeout(20_000).emitWithAck("publish", { topic: `job:${id}`, name: "cancelled", data: {}, attempt: 1 });
    assert.equal(receipt.topic, `job:${id}`);
    const again = await worker.timeout(20_000).emitWithAck("publish", { topic: `job:${id}`, name: "progress", data: {} });
    assert.deepEqual([again.ok, again.code], [false, "job_state"]);
  } finally {
    worker.close();
  }
});

/** Reads a stream until a piece satisfies `wanted`, and answers that piece. */
async function piece(path, accept, separator, wanted) {
  const stop = new AbortController();
  const response = await fetch(gateway.url + path, { headers: { accept }, signal: stop.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const read = async () => {
    for (let text = ""; ; ) {
      const found = text.split(separator).find(wanted);
      if (found !== undefined) return found;
      const { value, done } = await reader.read();
      if (done) throw new Error(`the stream ended: ${text}`);
      text += value;
    }
  };
  return { found: within(read(), 20_000, () => `nothing wanted came from ${path}`).finally(() => stop.abort()) };
}

it("an event published once is read on six faces, and in the history, with one cursor", async () => {
  const id = freshId("job");
  const topic = `job:${id}`;
  await gateway.publish(topic, "job_started", { total_files: 2 });
  const socket = io(gateway.url, { transports: ["websocket"], forceNew: true });
  const progress = new Here(`ws://localhost:1/ws/${id}`);
  const channel = new Here(`ws://localhost:1/progress/ws/${id}`);
  const assist = new Here(`ws://localhost:1/ws/connect?token=${token()}`);
  const told = { progress: messages(progress), channel: messages(channel), assist: messages(assist) };
  try {
    await eventually(() => told.progress.length > 0 && told.channel.length > 0);
    await eventually(() => told.assist.some(({ type }) => type === "connection"));
    assist.send(JSON.stringify({ type: "subscribe_job_updates" }));
    const jobs = await eventually(() => told.assist.find(({ type }) => type === "job_status"));
    assert.ok(jobs.data.jobs.some(({ job_id, status }) => job_id === id && status === "in_progress"), JSON.stringify(jobs));
    assert.equal((await socket.timeout(20_000).emitWithAck("subscribe", { topic })).ok, true);
    const emitted = within(new Promise((resolve) => socket.on("file_processing", resolve)), 20_000, () => "no event on Socket.IO");
    const isIt = (text) => text.includes("/documents/once.pdf");
    const sse = await piece(`/v1/topics/${topic}/events`, "text/event-stream", "\n\n", isIt);
    const ndjson = await piece(`/v1/topics/${topic}/events`, "application/x-ndjson", "\n", isIt);

    const data = { current_file: "/documents/once.pdf", processed_files: 1, total_files: 2, status: "Processing" };
    const receipt = await gateway.publish(topic, "file_processing", data);
    const cursor = `${receipt.epoch}:${receipt.seq}`;
    const at = (payload) => `${payload._epoch}:${payload._seq}`;

    const event = await emitted;
    assert.deepEqual([at(event), event.current_file], [cursor, data.current_file]);
    const message = await eventually(() => told.progress.find((message) => message.type === "file_processing"));
    assert.deepEqual([at(message), message.current_file, message.processed_files], [cursor, data.current_file, 1]);
    const status = await eventually(() => told.channel.find((message) => message.progress === 50));
    assert.deepEqual([at(status), status.status, status.message], [cursor, "in_progress", "Processing /documents/once.pdf"]);
    const block = await sse.found;
    assert.match(block, new RegExp(`id: ${cursor}\nevent: file_processing\n`));
    const envelope = JSON.parse(await ndjson.found);
    assert.deepEqual([`${envelope.epoch}:${envelope.seq}`, envelope.name, at(envelope.data)], [cursor, "file_processing", cursor]);
    const update = await eventually(() =>
      told.assist.filter(({ type }) => type === "job_updates").flatMap(({ data }) => data.updates).find(({ job_id }) => job_id === id),
    );
    assert.deepEqual([at(update), update.event, update.status, update.progress], [cursor, "file_processing", "in_progress", 50]);
    const history = await gateway.http("GET", `/v1/topics/${topic}/events`);
    const listed = history.body.events.filter(({ name }) => name === "file_processing");
    assert.deepEqual(listed.map(({ seq }) => seq), [receipt.seq]);
  } finally {
    socket.close();
    progress.close();
    channel.close();
    assist.close();
  }
});
