// The session app's own client code, unchanged but for host and session id.
import { after, before, it } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { Gateway, eventually, freshId, within } from "../lib/gateway.js";
import { mount } from "../lib/hooks.js";
import { hook } from "../fixtures/session-hook.mjs";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const UNSUBSCRIBE = "socket.emit('unsubscribe', sessionId);";

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

/** Runs the snippet as a program of its own; `lines(stream)` is what it printed. */
async function program(id, change = (source) => source) {
  const text = await readFile(new URL("../fixtures/session-client.mjs", import.meta.url), "utf8");
  const source = change(text.replace("http://localhost:3000", gateway.url).replace("your-session-id", id));
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { cwd: HERE, stdio: ["ignore", "pipe", "pipe"] });
  const printed = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (chunk) => (printed[name] += chunk));
  const lines = (name = "stdout") => printed[name].split("\n").filter(Boolean);
  return {
    lines,
    says: (line) => eventually(() => lines().includes(line), 10_000, `the line \`${line}\``),
    end: async () => {
      child.kill();
      await within(new Promise((resolve) => (child.exitCode !== null || child.signalCode !== null ? resolve() : child.once("exit", resolve))), 5_000, () => "did not end");
    },
  };
}

async function publishSession(topic) {
  await gateway.publish(topic, "progress", { status: "PROCESSING", progress: 40, prompts: { total: 2, completed: 1, processing: 1, pending: 0, failed: 0 } });
  await gateway.publish(topic, "model_result", { modelName: "llama3.1:8b", provider: "ollama", duration: 1200, status: "completed", result: "forty-two" });
  await gateway.publish(topic, "model_result", { modelName: "qwen", provider: "ollama", duration: 3, status: "failed", error: "out of memory" });
  await gateway.publish(topic, "clarification", { question: "which page?", clarificationId: "c-1" });
  await gateway.publish(topic, "error", { error: "one prompt failed" });
  await gateway.publish(topic, "completed", { result: "done" });
}

it("the JavaScript client prints the whole session", async () => {
  const id = freshId("doc");
  // its last lines unsubscribe "when done": here that is when the session is complete
  const client = await program(id, (source) => source.replace(UNSUBSCRIBE, `socket.on('completed', () => ${UNSUBSCRIBE.slice(0, -1)});`));
  try {
    await client.says(`Subscribed to session: ${id}`);
    await publishSession(`session:${id}`);
    await client.says("Result: done");
    const lines = client.lines();
    assert.match(lines[0], /^Connected to WebSocket: \S{8,}$/);
    assert.deepEqual(lines.slice(2), [
      "Progress: 40%",
      "Prompts: { total: 2, completed: 1, processing: 1, pending: 0, failed: 0 }",
      "Status: PROCESSING",
      "Model: llama3.1:8b",
      "Provider: ollama",
      "Duration: 1200ms",
      "Status: completed",
      "Result: forty-two",
      "Model: qwen",
      "Provider: ollama",
      "Duration: 3ms",
      "Status: failed",
      "Clarification needed:",
      "Question: which page?",
      "Clarification ID: c-1",
      "Session completed!",
      "Result: done",
    ]);
    await eventually(() => client.lines("stderr").length === 2, 5_000, "the errors");
    assert.deepEqual(client.lines("stderr"), ["Error: out of memory", "Session error: one prompt failed"]);
    await eventually(async () => (await gateway.publish(`session:${id}`, "progress", { progress: 100 })).subscribers === 0, 5_000, "the end of the subscription");
  } finally {
    await client.end();
  }
});

it("the JavaScript client to the letter subscribes and unsubscribes in one breath", async () => {
  const id = freshId("doc");
  const client = await program(id);
  try {
    await client.says(`Subscribed to session: ${id}`);
    await eventually(async () => (await gateway.publish(`session:${id}`, "completed", { result: 1 })).subscribers === 0, 5_000, "the end of the subscription");
  } finally {
    await client.end();
  }
});

it("the React hook follows a session, changes to another and cleans up", async () => {
  const to = (_, options) => io(gateway.url, { ...options, forceNew: true });
  const [one, two] = [freshId("hook"), freshId("hook")];
  await gateway.publish(`session:${one}`, "progress", { progress: 5 });
  const view = mount((react) => hook(react, to), null);
  assert.deepEqual(view.read(), { socket: null, progress: null, modelResults: [], clarifications: [], isCompleted: false });
  view.render(one);
  await eventually(() => view.read().progress?.progress === 5, 5_000, "the snapshot in the hook");
  await publishSession(`session:${one}`);
  await eventually(() => view.read().isCompleted, 5_000, "the completion");
  assert.equal(view.read().progress.progress, 40);
  assert.deepEqual(view.read().modelResults.map((one) => one.modelName), ["llama3.1:8b", "qwen"]);
  assert.deepEqual(view.read().clarifications.map((one) => one.clarificationId), ["c-1"]);
  const old = view.read().socket;
  view.render(two);
  await eventually(async () => (await gateway.publish(`session:${two}`, "progress", { progress: 77 })).subscribers === 1, 5_000, "the second subscription");
  await eventually(() => view.read().progress.progress === 77, 5_000, "the second session");
  assert.equal(old.connected, false);
  assert.equal((await gateway.publish(`session:${one}`, "progress", { progress: 1 })).subscribers, 0);
  view.unmount();
  await eventually(async () => (await gateway.publish(`session:${two}`, "progress", { progress: 78 })).subscribers === 0, 5_000, "the clean-up");
});

it("after a lost connection the documented reconnection strategy gets back what happened meanwhile", async () => {
  const id = freshId("doc");
  const socket = io(gateway.url, { path: "/socket.io/", reconnection: true, reconnectionAttempts: 5, reconnectionDelay: 50, reconnectionDelayMax: 200, timeout: 20000, forceNew: true });
  const seen = [];
  try {
    socket.on("connect", () => socket.emit("subscribe", id));
    socket.on("model_result", (data) => seen.push(data.modelName));
    await within(new Promise((resolve) => socket.once("subscribed", resolve)), 5_000, () => "never subscribed");
    await gateway.publish(`session:${id}`, "model_result", { modelName: "before" });
    await eventually(() => seen.includes("before"), 5_000, "the first result");
    socket.io.engine.close();
    await gateway.publish(`session:${id}`, "model_result", { modelName: "meanwhile" });
    await eventually(() => seen.includes("meanwhile"), 10_000, "what happened meanwhile");
  } finally {
    socket.close();
  }
});
