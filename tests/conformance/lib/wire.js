// Raw Engine.IO over HTTP and WebSocket against the conformance example; nothing here knows a client library.
//
// CONFORMANCE_URL names a server that already runs; otherwise CONFORMANCE_BIN (the debug build's example) is started on
// a free port. Its settings are fixed: pingInterval 300 ms, pingTimeout 200 ms, maxPayload 1,000,000.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import net from "node:net";
import { eventually, freePort, within } from "../../clients/js/lib/gateway.js";

const require = createRequire(new URL("../../clients/js/package.json", import.meta.url));
const WebSocket = require("ws");

export const PING_INTERVAL = 300;
export const PING_TIMEOUT = 200;
export const MAX_PAYLOAD = 1_000_000;
export const SEPARATOR = "\x1e";
const BINARY = process.env.CONFORMANCE_BIN ?? fileURLToPath(new URL("../../../target/debug/examples/conformance", import.meta.url));
const WAIT_MS = 5_000;
const sockets = new Set();

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export { eventually, within };

/** Starts the example (or takes the server that is named); answers `{url, stop}`. */
export async function startServer() {
  if (process.env.CONFORMANCE_URL) return { url: process.env.CONFORMANCE_URL.replace(/\/$/, ""), stop: async () => {} };
  const port = await freePort();
  const child = spawn(BINARY, [], { env: { ...process.env, PORT: String(port) }, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
  const exited = new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(`exit ${code ?? signal}`));
  });
  const accepts = () =>
    new Promise((resolve) => {
      const probe = net.connect(port, "127.0.0.1", () => resolve(true));
      probe.on("error", () => resolve(false));
      probe.on("connect", () => probe.destroy());
    });
  await Promise.race([
    eventually(accepts, 20_000, "the example's port"),
    exited.then((how) => {
      throw new Error(`the conformance example did not start (${how}):\n${printed}`);
    }),
  ]);
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      for (const socket of sockets) socket.terminate(); // those of tests that failed
      child.kill();
      await within(exited, 10_000, () => "the example did not stop").finally(() => child.kill("SIGKILL"));
    },
  };
}

/** One Engine.IO endpoint: `path` is `/engine.io/` or `/socket.io/`, `eio` the protocol version. */
export class Endpoint {
  constructor(url, path, eio = 4) {
    this.http = `${url}${path}`;
    this.polling = `${this.http}?EIO=${eio}&transport=polling`;
    this.websocket = `${this.http.replace("http", "ws")}?EIO=${eio}&transport=websocket`;
  }

  /** Any request: `{status, text, headers}`. */
  async fetch(query, options) {
    const response = await fetch(query.startsWith("http") ? query : `${this.http}?${query}`, options);
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  /** Opens a polling session; `query` is added to each of its requests. */
  async open(query = "") {
    const { status, text } = await this.fetch(this.polling + query);
    if (status !== 200) throw new Error(`the handshake answered ${status} ${text}`);
    const open = JSON.parse(text.slice(text.indexOf("{"), text.indexOf("}") + 1));
    const at = `${this.polling}${query}&sid=${open.sid}`;
    return {
      ...open,
      get: (options) => this.fetch(at, options),
      post: (body, options) => this.fetch(at, { method: "POST", body, ...options }),
      upgrade: () => this.socket(`${this.websocket}&sid=${open.sid}`),
    };
  }

  /** Opens a websocket and waits for its 101. */
  async socket(url = this.websocket) {
    const socket = new Socket(url);
    await within(Promise.race([socket.opened, socket.closed.then(() => Promise.reject(new Error("closed before it was open")))]), WAIT_MS, () => "no 101");
    return socket;
  }

  /** How a websocket handshake is refused: the HTTP status, or "closed" where the connection is closed instead. */
  refusal(query) {
    const refused = new Promise((resolve) => {
      const socket = new WebSocket(`${this.http.replace("http", "ws")}?${query}`);
      socket.on("unexpected-response", (_, response) => {
        resolve(response.statusCode);
        socket.terminate();
      });
      socket.on("close", () => resolve("closed"));
      socket.on("error", () => {});
    });
    return within(refused, WAIT_MS, () => `a websocket with ${query} was kept`);
  }
}

/** A websocket whose messages wait in a queue until they are asked for. */
export class Socket {
  #queue = [];
  #taker;

  constructor(url) {
    this.raw = new WebSocket(url);
    sockets.add(this.raw);
    this.raw.once("close", () => sockets.delete(this.raw));
    this.opened = new Promise((resolve) => this.raw.once("open", resolve));
    this.closed = new Promise((resolve) => this.raw.once("close", (code) => resolve(code)));
    this.raw.on("error", () => {});
    this.raw.on("message", (data, binary) => {
      this.#queue.push(binary ? data : data.toString());
      this.#taker?.();
    });
  }

  send(...messages) {
    for (const message of messages) this.raw.send(message);
  }

  /** The next message, whatever it is. */
  async next(ms = WAIT_MS) {
    if (this.#queue.length === 0)
      await within(Promise.race([new Promise((resolve) => (this.#taker = resolve)), this.closed]), ms, () => `no message within ${ms} ms`);
    if (this.#queue.length === 0) throw new Error("closed instead of a message");
    return this.#queue.shift();
  }

  /** The next message that is no ping; pings are answered. */
  async message(ms = WAIT_MS) {
    for (;;) {
      const message = await this.next(ms);
      if (message !== "2") return message;
      this.send("3");
    }
  }

  /** Waits for the end; answers the close code. */
  end(ms = WAIT_MS) {
    return within(this.closed, ms, () => `still open after ${ms} ms`);
  }

  close() {
    this.raw.terminate();
  }
}
