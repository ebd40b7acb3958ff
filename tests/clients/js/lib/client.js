// Stock clients of every supported release behind one small recorder.
import { createRequire } from "node:module";
import { within } from "./gateway.js";

const require = createRequire(import.meta.url);
const PACKAGES = { "4.8": "socket.io-client", "4.5": "client-4.5", "3.1": "client-3.1", "2.5": "client-2.5" };
const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };
const NAMES = ["connected", "subscribed", "unsubscribed", "gap", "progress", "model_result", "clarification", "completed", "error", "thumbnail_ready"];
const WAIT_MS = 20_000;

/** Every release on every transport; `parser` is "msgpack" for the releases that can have it. */
export function matrix({ msgpack = true } = {}) {
  const all = [];
  for (const version of Object.keys(PACKAGES))
    for (const transport of Object.keys(TRANSPORTS)) {
      all.push({ version, transport });
      if (msgpack && version !== "2.5") all.push({ version, transport, parser: "msgpack" });
    }
  return all.map((kind) => ({ ...kind, label: `${kind.version} ${kind.transport}${kind.parser ? ` ${kind.parser}` : ""}` }));
}

/** The `io` function of a release. */
export function ioOf(version) {
  const client = require(PACKAGES[version]);
  return client.io ?? client;
}

/** A connected stock client that remembers, in order, everything it was told. */
export class Client {
  /** `[name, ...arguments]` in order of arrival; `#connect`, `#disconnect`, `#error` are the client's own. */
  log = [];
  #waiting = new Set();

  /** Connects and waits for it. `options` go to the client as they are, less ours. */
  static async open(gateway, kind = {}, options = {}) {
    const client = Client.start(gateway, kind, options);
    try {
      const [first] = await client.next((name) => name === "#connect" || name === "#error", "a connection");
      if (first === "#error") throw new Error(`could not connect: ${JSON.stringify(client.log)}`);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** The same without waiting. */
  static start(gateway, { version = "4.8", transport = "websocket", parser } = {}, { namespace = "", names = [], url = gateway.url, ...options } = {}) {
    const client = new Client();
    client.mayUpgrade = transport === "upgrade";
    client.label = `${version} ${transport}${parser ? ` ${parser}` : ""}`;
    client.socket = ioOf(version)(url + namespace, {
      path: parser ? "/socket.io-msgpack/" : "/socket.io/",
      ...(parser ? { parser: require("socket.io-msgpack-parser") } : {}),
      transports: TRANSPORTS[transport],
      forceNew: true,
      reconnection: false,
      ...options,
    });
    for (const name of [...NAMES, ...names]) client.socket.on(name, (...args) => client.#take(name, args));
    client.socket.on("connect", () => client.#take("#connect", []));
    client.socket.on("disconnect", (reason) => client.#take("#disconnect", [reason]));
    client.socket.on("connect_error", (error) => client.#take("#error", [error?.message ?? String(error)]));
    return client;
  }

  #take(name, args) {
    this.log.push([name, ...args]);
    for (const look of [...this.#waiting]) look();
  }

  /** The first entry for which `wanted(name, ...args)` holds, in the log from `from` on or still to come. */
  next(wanted, what = "an event", { ms = WAIT_MS, from = 0 } = {}) {
    let at = from;
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        for (; at < this.log.length; at++)
          if (wanted(...this.log[at])) {
            this.#waiting.delete(look);
            return resolve(this.log[at++]);
          }
      };
      this.#waiting.add(look);
      look();
    });
    const tail = () => JSON.stringify(this.log.slice(-8)).slice(0, 1500);
    return within(found, ms, () => `${this.label}: ${what} did not come within ${ms} ms; ${this.log.length} entries, the last: ${tail()}`).finally(() => this.#waiting.delete(look));
  }

  /** The payload of the first event of that name (for which `wanted(payload)` holds). */
  async event(name, wanted = () => true, options) {
    const [, payload] = await this.next((got, data) => got === name && wanted(data), `\`${name}\``, options);
    return payload;
  }

  /** All payloads of one name. */
  payloads(name) {
    return this.log.filter(([got]) => got === name).map(([, data]) => data);
  }

  /** Session events (those that bear a sequence number) in order of arrival, as `[name, payload]`. */
  sequenced(topic) {
    return this.log
      .filter(([name, data]) => !name.startsWith("#") && data && typeof data._seq === "number" && (!topic || `session:${data.sessionId}` === topic))
      .map(([name, data]) => [name, data]);
  }

  /** Emits and waits for the acknowledgement's first argument. */
  ask(name, ...args) {
    return within(
      new Promise((resolve) => this.socket.emit(name, ...args, resolve)),
      WAIT_MS,
      () => `${this.label}: no acknowledgement of ${name} ${JSON.stringify(args).slice(0, 200)}`,
    );
  }

  /** Subscribes without an acknowledgement and waits for `subscribed`. */
  async subscribe(id) {
    const from = this.log.length;
    this.socket.emit("subscribe", id);
    return this.event("subscribed", (data) => data.sessionId === id, { from });
  }

  /** The transport in use now. */
  get transport() {
    return this.socket.io.engine.transport.name;
  }

  /** Waits until the upgrade to websocket is done. */
  async upgraded() {
    const engine = this.socket.io.engine;
    if (this.transport === "websocket") return;
    await within(new Promise((resolve) => engine.once("upgrade", resolve)), WAIT_MS, () => `${this.label}: never upgraded`);
  }

  /** The same, if the client switches at all. */
  async upgradedIfAny() {
    if (this.mayUpgrade) await this.upgraded();
  }

  close() {
    this.socket.close();
  }
}

/** Opens one client for each kind given, hands them to `use`, and closes them whatever happens. */
export async function withClients(gateway, kinds, use, options) {
  const opened = await Promise.allSettled(kinds.map((kind) => Client.open(gateway, kind, options)));
  const clients = opened.filter((one) => one.status === "fulfilled").map((one) => one.value);
  try {
    const failed = opened.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
    return await use(...clients);
  } finally {
    for (const client of clients) client.close();
  }
}
