// The binary under test as a child process, and its HTTP face.
//
// Every test file starts its own gateway on a free port and stops it again. The environment variable
// GATEWAY_BIN names the binary; without it the one of a debug build is taken.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { once } from "node:events";

/** Where the binary is. */
export const BINARY = process.env.GATEWAY_BIN ?? fileURLToPath(new URL("../../../../target/debug/tidings", import.meta.url));
const START_MS = 20_000;

/** A running gateway. Make one with `Gateway.start`. */
export class Gateway {
  #child;
  #lines = [];

  /**
   * Starts the binary and waits until it listens.
   * `port` 0 takes a free one; `env` adds settings (`TIDINGS__...`); `args` replaces the arguments after `serve`.
   */
  static async start({ port = 0, env = {}, args } = {}) {
    const gateway = new this();
    await gateway.#spawn(args ?? ["serve", "--listen", `127.0.0.1:${port}`], env);
    return gateway;
  }

  async #spawn(args, env) {
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([key]) => !key.startsWith("TIDINGS__") && key !== "PORT"),
    );
    const child = spawn(BINARY, args, { env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.exited = new Promise((resolve) => {
      child.once("error", (error) => resolve({ error }));
      child.once("exit", (code, signal) => resolve({ code, signal }));
    });
    const listening = new Promise((resolve) => {
      const read = (chunk) => {
        this.#lines.push(String(chunk));
        const hit = /(?:listening on|serves at) (http:\/\/[^\s]+)/.exec(this.output());
        if (hit) resolve(hit[1]);
      };
      child.stdout.on("data", read);
      child.stderr.on("data", (chunk) => this.#lines.push(String(chunk)));
    });
    const failed = this.exited.then((how) => {
      throw new Error(`the gateway did not start (${JSON.stringify(how)}, ${BINARY} ${args.join(" ")}):\n${this.output()}`);
    });
    this.url = await within(Promise.race([listening, failed]), START_MS, () => `no listening line; got:\n${this.output()}`);
    failed.catch(() => {});
    this.port = Number(new URL(this.url).port);
  }

  /** Everything it has printed so far. */
  output() {
    return this.#lines.join("");
  }

  get pid() {
    return this.#child.pid;
  }

  /** Asks it to stop and answers how it ended: `{code, signal}`. */
  async stop(signal = "SIGTERM", ms = 20_000) {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    try {
      return await within(this.exited, ms, () => `still running ${ms} ms after ${signal}; output:\n${this.output()}`);
    } catch (error) {
      this.#child.kill("SIGKILL");
      throw error;
    }
  }

  /** One HTTP exchange: `{status, headers, body}`, the body parsed where it is JSON. */
  async http(method, path, body, headers = {}) {
    const json = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
    const response = await fetch(this.url + path, {
      method,
      headers: json ? { "content-type": "application/json", ...headers } : headers,
      body: json ? JSON.stringify(body) : body,
    });
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    return { status: response.status, headers: response.headers, body: /json\b/.test(type) && !/ndjson/.test(type) ? JSON.parse(text) : text };
  }

  /** Publishes one event and answers its receipt; anything but 200 throws. */
  async publish(topic, name, data, more = {}) {
    const { status, body } = await this.http("POST", `/v1/topics/${topic}/events`, { name, ...(data === undefined ? {} : { data }), ...more });
    if (status !== 200) throw new Error(`publishing ${name} to ${topic} answered ${status} ${JSON.stringify(body)}`);
    return body;
  }

  /** Publishes bytes as the payload. */
  publishBytes(topic, name, bytes) {
    return this.publish(topic, name, undefined, { data_base64: Buffer.from(bytes).toString("base64") });
  }

  /** Publishes entries `{topic, name, data}` in one request and answers the receipts; a problem among them throws. */
  async batch(entries) {
    const { status, body } = await this.http("POST", "/v1/events", entries);
    if (status !== 200) throw new Error(`a batch of ${entries.length} answered ${status} ${JSON.stringify(body)}`);
    const problem = body.find((entry) => typeof entry.seq !== "number");
    if (problem) throw new Error(`an entry of the batch was refused: ${JSON.stringify(problem)}`);
    return body;
  }
}

/** The promise, or an error with `what()` after `ms`. */
export function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(what())), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks `probe` again and again until it answers something true; its last answer is in the error. */
export async function eventually(probe, ms = 10_000, what = "the condition") {
  const end = Date.now() + ms;
  let last;
  while (Date.now() < end) {
    last = await probe();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} did not come about within ${ms} ms; last: ${JSON.stringify(last)}`);
}

/** A port that was free a moment ago. */
export async function freePort() {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

let counter = 0;
/** A session id that no other test uses. */
export const freshId = (label = "s") => `${label}-${process.pid}-${Date.now().toString(36)}-${++counter}`;
