// @vitest-environment jsdom
// The hooks, in strict mode, against a real gateway.
import { StrictMode, useState, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { connect } from "../src/index.js";
import { TidingsProvider, useJob, useSession } from "../src/react.js";
import { freshId, gatewayForAll } from "./gateway.js";

const held = gatewayForAll();
const complaints: unknown[][] = [];
const subscribers = async (topic: string) => (await held.gateway.http("GET", `/v1/topics/${topic}/subscribers`)).body?.subscribers?.length;
const eventually = (probe: () => void) => vi.waitFor(probe, { timeout: 15_000, interval: 20 });

beforeEach(() => {
  complaints.length = 0;
  for (const level of ["error", "warn"] as const) vi.spyOn(console, level).mockImplementation((...said) => void complaints.push(said));
});
afterEach(() => {
  vi.restoreAllMocks();
  expect(complaints).toEqual([]);
});

function show(page: ReactNode) {
  const box = document.body.appendChild(document.createElement("div"));
  const root = createRoot(box);
  const client = connect(held.url);
  root.render(
    <StrictMode>
      <TidingsProvider client={client}>{page}</TidingsProvider>
    </StrictMode>,
  );
  return { box, client, unmount: () => (root.unmount(), box.remove()) };
}

function SessionPage({ id }: { id: string | null }) {
  const { progress, modelResults, clarifications, isCompleted, answer } = useSession(id);
  return (
    <div>
      <p>
        {progress?.progress ?? "-"} % {modelResults.map((one) => one.modelName).join()} {isCompleted ? "done" : "busy"}
      </p>
      {clarifications.map((one) => (
        <button key={one.clarificationId} onClick={() => void answer(one.clarificationId, "yes")}>
          {one.question}
        </button>
      ))}
    </div>
  );
}

it("shows a session, answers its question, and leaves when unmounted", async () => {
  const id = freshId();
  const topic = `session:${id}`;
  await held.gateway.batch([
    { topic, name: "progress", data: { progress: 10 } },
    { topic, name: "model_result", data: { modelName: "a" } },
    { topic, name: "clarification", data: { clarificationId: "q", question: "Really?" } },
  ]);
  const { box, client, unmount } = show(<SessionPage id={id} />);
  await eventually(() => expect(box.textContent).toBe("10 % a busyReally?"));
  expect(await subscribers(topic)).toBe(1);
  box.querySelector("button")?.click();
  await eventually(() => expect(box.textContent).toBe("10 % a busy"));
  await held.gateway.batch([
    { topic, name: "progress", data: { progress: 90 } },
    { topic, name: "model_result", data: { modelName: "b" } },
    { topic, name: "completed", data: { result: {} } },
  ]);
  await eventually(() => expect(box.textContent).toBe("90 % a,b done"));
  unmount();
  await expect.poll(() => subscribers(topic), { timeout: 15_000 }).toBe(0);
  await held.gateway.publish(topic, "progress", { progress: 95 });
  expect(client.session(id).state.progress?.progress).toBe(90);
});

it("follows another session when the id changes, and none without one", async () => {
  const [one, two] = [freshId(), freshId()];
  await held.gateway.publish(`session:${one}`, "progress", { progress: 1 });
  await held.gateway.publish(`session:${two}`, "progress", { progress: 2 });
  function Choice() {
    const [id, choose] = useState<string | null>(null);
    return (
      <>
        <SessionPage id={id} />
        {[one, two].map((choice) => (
          <i key={choice} onClick={() => choose(choice)} />
        ))}
      </>
    );
  }
  const { box, unmount } = show(<Choice />);
  await eventually(() => expect(box.textContent).toBe("- %  busy"));
  const [first, second] = box.querySelectorAll("i");
  first?.click();
  await eventually(() => expect(box.textContent).toBe("1 %  busy"));
  second?.click();
  await eventually(() => expect(box.textContent).toBe("2 %  busy"));
  await expect.poll(() => subscribers(`session:${one}`), { timeout: 15_000 }).toBe(0);
  unmount();
});

it("shows a job to two components with one subscription", async () => {
  const id = freshId();
  const topic = `job:${id}`;
  function JobLine() {
    const { status, currentFile, processedFiles, totalFiles, isCompleted } = useJob(id);
    return <p>{`${status} ${currentFile ?? ""} ${processedFiles}/${totalFiles} ${isCompleted}`}</p>;
  }
  await held.gateway.publish(topic, "job_started", { total_files: 2 });
  const { box, unmount } = show([<JobLine key={1} />, <JobLine key={2} />]);
  await eventually(() => expect(box.textContent).toBe("processing  0/2 false".repeat(2)));
  expect(await subscribers(topic)).toBe(1);
  await held.gateway.batch([
    { topic, name: "file_processing", data: { current_file: "a", processed_files: 1, total_files: 2 } },
    { topic, name: "job_completed", data: {} },
  ]);
  await eventually(() => expect(box.textContent).toBe("completed a 1/2 true".repeat(2)));
  unmount();
});

it("says what is missing without a provider", async () => {
  const box = document.createElement("div");
  let thrown: unknown;
  createRoot(box, { onUncaughtError: (error) => (thrown = error) }).render(<SessionPage id="a" />);
  await eventually(() => expect(String(thrown)).toContain("TidingsProvider"));
});
