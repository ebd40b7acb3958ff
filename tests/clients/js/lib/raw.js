// A Socket.IO connection without a client library, to say what no stock client says.
import { WebSocket } from "ws";
import { within } from "./gateway.js";

const WAIT_MS = 8_000;

/** Opens a websocket, connects to the main namespace with `auth`, and waits for the answer. */
export async function connectRaw(gateway, { query = "", auth } = {}) {
  const raw = new Raw(`${gateway.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket${query ? `&${query}` : ""}`);
  await raw.packet((text) => text.startsWith("0"));
  raw.socket.send(`40${auth === undefined ? "" : JSON.stringify(auth)}`);
  raw.connected = JSON.parse((await raw.packet((text) => text.startsWith("40"))).slice(2));
  return raw;
}

class Raw {
  #packets = [];
  #waiting = new Set();

  constructor(url) {
    this.socket = new WebSocket(url);
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.socket.on("error", () => {});
    this.socket.on("message", (data) => {
      const text = String(data);
      if (text === "2") this.socket.send("3");
      this.#packets.push(text);
      for (const look of [...this.#waiting]) look();
    });
  }

  /** The first packet for which `wanted` holds. */
  packet(wanted) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const packet = this.#packets.find(wanted);
        if (packet !== undefined) resolve(packet);
      };
      this.#waiting.add(look);
      look();
    });
    return within(found, WAIT_MS, () => `no such packet; the last: ${this.#packets.slice(-5)}`).finally(() => this.#waiting.delete(look));
  }

  /** All events of one name, as `[name, ...arguments]`. */
  events(name) {
    return this.#packets.filter((text) => text.startsWith(`42["${name}"`)).map((text) => JSON.parse(text.slice(2)));
  }

  /** The first event of that name for whose payload `wanted` holds. */
  async event(name, wanted = () => true) {
    const packet = await this.packet((text) => text.startsWith(`42["${name}"`) && wanted(JSON.parse(text.slice(2))[1]));
    return JSON.parse(packet.slice(2));
  }

  emit(name, ...args) {
    this.socket.send(`42${JSON.stringify([name, ...args])}`);
  }

  terminate() {
    this.socket.terminate();
  }
}
