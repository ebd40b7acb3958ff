// What a house is made of, as real processes on loopback, besides the redis-server of `tests/clients/js/lib/redis.js`: gateways
// over it, a balancer that knows who is ready, and a network between a gateway and Redis that can be taken away.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, connect } from "node:net";

import { Gateway, eventually, freePort } from "../clients/js/lib/gateway.js";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A gateway that comes and goes on one port. */
export class Node {
  static async start(redisPort, settings = {}) {
    const node = new Node();
    node.port = await freePort();
    node.env = { REDIS_URL: `redis://127.0.0.1:${redisPort}`, RUST_LOG: process.env.RUST_LOG ?? "warn", ...settings };
    await node.begin();
    return node;
  }

  async begin() {
    this.gateway = await Gateway.start({ port: this.port, env: this.env });
  }

  /** Ends it, by default as `kill -9` does; answers how long that took in ms, and the code that it ended with. */
  async end(signal = "SIGKILL") {
    const begun = performance.now();
    const { code } = await this.gateway.stop(signal, 60_000);
    return { ms: performance.now() - begun, code };
  }

  get url() {
    return this.gateway.url;
  }

  get pid() {
    return this.gateway.pid;
  }

  async isReady() {
    try {
      return (await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(1000) })).ok;
    } catch {
      return false;
    }
  }

  /** Waits until it is ready, or is not; answers how long it took in ms. */
  async until(isReady, ms = 60_000) {
    const begun = performance.now();
    await eventually(async () => (await this.isReady()) === isReady, ms, `ready = ${isReady}`);
    return performance.now() - begun;
  }

  /** Its resident memory in MiB. */
  memory() {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))[1]) / 1024;
  }

  /** The sum of a metric over its labels, of those that `label` is among if it is given. */
  async metric(name, label = "") {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)) && line.includes(label));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").pop()), 0);
  }
}

/** Hands connections to the nodes that are ready, one after the other. */
export class Balancer {
  static async start(nodes) {
    const balancer = new Balancer();
    let next = 0;
    const ready = new Set(nodes);
    const look = () => Promise.all(nodes.map(async (node) => ((await node.isReady()) ? ready.add(node) : ready.delete(node))));
    balancer.timer = setInterval(look, 200);
    balancer.server = createServer({ pauseOnConnect: true }, (client) => {
      const candidates = ready.size > 0 ? [...ready] : nodes;
      const offset = next++;
      const attempt = (tries) => {
        if (tries === candidates.length) return client.destroy();
        const server = connect(candidates[(offset + tries) % candidates.length].port, "127.0.0.1");
        server.once("error", () => attempt(tries + 1));
        server.once("connect", () => {
          server.removeAllListeners("error");
          for (const [from, to] of [[client, server], [server, client]]) {
            from.on("error", () => to.destroy());
            from.on("close", () => to.destroy());
          }
          client.pipe(server).pipe(client);
          client.resume();
        });
      };
      attempt(0);
    });
    balancer.server.listen(0, "127.0.0.1");
    await once(balancer.server, "listening");
    balancer.url = `http://127.0.0.1:${balancer.server.address().port}`;
    return balancer;
  }

  end() {
    clearInterval(this.timer);
    this.server.close();
  }
}

/** The network between a gateway and Redis: while it is cut nothing passes, and nobody is told. */
export class Network {
  static async start(port) {
    const network = new Network();
    network.sockets = new Set();
    network.isCut = false;
    network.server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const socket of [near, far]) {
        network.sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => network.sockets.delete(socket));
        if (network.isCut) socket.pause();
      }
      for (const [from, to] of [[near, far], [far, near]]) {
        from.on("data", (data) => to.write(data) || (from.pause(), to.once("drain", () => network.isCut || from.resume())));
        from.on("close", () => network.isCut || to.destroy());
      }
    });
    network.server.listen(0, "127.0.0.1");
    await once(network.server, "listening");
    network.port = network.server.address().port;
    return network;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.pause();
  }

  /** What passed the cut is gone: its connections are reset, new ones get through. */
  heal() {
    this.isCut = false;
    for (const socket of this.sockets) socket.destroy();
  }

  end() {
    this.server.close();
    this.heal();
  }
}
