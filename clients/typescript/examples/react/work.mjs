// A worker to watch: node work.mjs [session] [gateway]
import { setTimeout as pause } from "node:timers/promises";
import { Producer } from "tidings-client/producer";

const [session = "hello", gateway = "http://127.0.0.1:3000"] = process.argv.slice(2);
const step = Number(process.env.STEP_MS ?? 800);
const topic = `session:${session}`;
const producer = new Producer(gateway);
const models = ["llama3.1:8b", "qwen2.5:7b", "mistral:7b"];

for (const [n, modelName] of models.entries()) {
  await producer.publish(topic, "progress", { progress: Math.round((80 * n) / models.length), status: "PROCESSING", message: `asking ${modelName}` });
  await pause(step);
  await producer.publish(topic, "model_result", { modelName, status: "completed", result: `answer ${n + 1}`, duration: step });
}
console.log("asking on the page which answer to keep (30 s)");
const { response } = await producer.ask(session, {
  question: "Which answer shall be kept?",
  schema: { enum: models },
  default: models[0],
  expiresAt: new Date(Date.now() + 30_000).toISOString(),
});
await producer.publish(topic, "progress", { progress: 95, status: "PROCESSING", message: "writing it down" });
await pause(step);
await producer.publish(topic, "completed", { result: { kept: response } });
await producer.close();
console.log("done:", response);
