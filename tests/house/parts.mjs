// What a house is made of, as real processes on loopback: redis-server, gateways over it, a balancer that
// knows who is ready, and a network between a gateway and Redis that can be taken away.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

import { Gateway, eventually, freePort } from "../clients/js/lib/gateway.js";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A redis-server on a port of its own, with what its disk holds. `fsync` is "always" or "everysec". */
export class Redis {
  static async start(fsync = "always") {
    const redis = new Redis();
    redis.port = await freePort();
    redis.dir = mkdtempSync(path.join(tmpdir(), "tidings-house-"));
    redis.fsync = fsync;
    await redis.begin();
    return redis;
  }

  async begin() {
    const keep = ["--save", "", "--appendonly", "yes", "--appendfsync", this.fsync, "--dir", this.dir];
    this.child = spawn("redis-server", ["--port", String(this.port), "--bind", "127.0.0.1", ...keep], { stdio: "ignore" });
    await eventually(() => answers(this.port), 30_000, "redis-server");
  }

  async kill() {
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }

  signal(name) {
    this.child.kill(name);
  }

  async end() {
    this.child.kill("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", (data) => (socket.destroy(), resolve(String(data).startsWith("+PONG"))));
    socket.once("error", () => resolve(false));
    socket.setTimeout(500, () => (socket.destroy(), resolve(false)));
  });
}

/** A gateway that comes and goes on one port. */
export class Node {
  static async start(redisPort, settings = {}) {
    const node = new Node();
    node.port = await freePort();
    node.env = { REDIS_URL: `redis://127.0.0.1:${redisPort}`, RUST_LOG: "warn", ...settings };
    await node.begin();
    return node;
  }

  async begin() {
    this.gateway = await Gateway.start({ port: this.port, env: this.env });
  }

  /** Ends it, by default as `kill -9` does; answers how long it took in ms. */
  async end(signal = "SIGKILL") {
    const begun = performance.now();
    await this.gateway.stop(signal, 60_000);
    return performance.now() - begun;
  }

  get url() {
    return this.gateway.url;
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
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.gateway.pid}/status`, "utf8"))[1]) / 1024;
  }

  /** The sum of a metric over its labels. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
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
