// How many publishes a second one Redis takes: 64 producers, each with a topic of its own, posting batch after batch. An entry
// of a batch is appended when the one before it is acknowledged, so 64 appends are on their way at any time.
import http from "node:http";
import { house } from "./house.mjs";

const PRODUCERS = 64;
const BATCH = 100;
const LEAST = 20_000;

export async function publishes({ number }) {
  const home = await house({ nodes: number("nodes", 2) });
  const agent = new http.Agent({ keepAlive: true, maxSockets: PRODUCERS });
  try {
    const seconds = number("seconds", 10);
    const warm = 2000;
    const begun = performance.now();
    const isOver = () => performance.now() - begun > warm + seconds * 1000;
    let taken = 0;
    let refused = 0;
    let why;
    const produce = async (at) => {
      const node = home.nodes[at % home.nodes.length];
      const line = JSON.stringify({ topic: `session:p-${at}`, name: "fact", data: { text: "x".repeat(150) } });
      const body = Array(BATCH).fill(line).join("\n");
      while (!isOver()) {
        const answer = await post(agent, node, body);
        const good = answer.split('"seq":').length - 1;
        if (performance.now() - begun > warm) {
          taken += good;
          refused += BATCH - good;
          if (good < BATCH) why ??= /"detail":"[^"]*"/.exec(answer)?.[0];
        }
      }
    };
    await Promise.all(Array.from({ length: PRODUCERS }, (_, at) => produce(at)));
    const rate = Math.round(taken / seconds);
    return [{ work: `${PRODUCERS} producers, ${home.nodes.length} nodes, one Redis, ${seconds} s`, result: `${rate} publishes a second, ${refused} refused ${why ?? ""}`, holds: rate >= LEAST && refused === 0 }];
  } finally {
    agent.destroy();
    await home.stop();
  }
}

function post(agent, node, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/x-ndjson", "content-length": Buffer.byteLength(body) };
    const request = http.request({ agent, host: "127.0.0.1", port: node.port, path: "/v1/events", method: "POST", headers }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk)).on("error", reject);
      answer.on("end", () => resolve(String(Buffer.concat(chunks))));
    });
    request.on("error", reject);
    request.end(body);
  });
}
