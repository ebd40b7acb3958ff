// What stands before several nodes: a plain round robin of our own that counts, and the balancers of deploy/ as they are.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, within } from "./gateway.js";

const DEPLOY = fileURLToPath(new URL("../../../../deploy/", import.meta.url));
const START_MS = 20_000;

/**
 * Sends each request to the next node, whatever it is of; websockets too. A node that takes no connection is passed over.
 * Answers `{url, counts, to, stop}`: `counts` has `requests`, `upgrades` and `errors` (answers of 400 and above, and requests
 * that no node answered), `to` is the list of nodes, which may be changed.
 */
export async function roundRobin(nodes) {
  const to = [...nodes];
  const counts = { requests: 0, upgrades: 0, errors: 0, said: [] };
  const sockets = new Set();
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, timeout: 4000 });
  let turn = 0;
  const next = () => new URL(to[turn++ % to.length]);
  const error = (what) => {
    counts.errors++;
    if (counts.said.length < 20) counts.said.push(what);
  };
  const send = (request, response, tries) => {
    const node = next();
    const onward = http.request(
      { host: node.hostname, port: node.port, method: request.method, path: request.url, headers: request.headers, agent },
      (answer) => {
        if (answer.statusCode >= 400) error(`${answer.statusCode} ${request.method} ${request.url}`);
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", (why) => {
      if (response.destroyed) return;
      if (why.code === "ECONNREFUSED" && tries < to.length) return send(request, response, tries + 1);
      error(`${why.code} ${request.method} ${request.url}`);
      response.destroy();
    });
    response.on("close", () => onward.destroy());
    onward.once("socket", (socket) => {
      // What a node that is gone was sent cannot be sent again.
      const begin = () => request.pipe(onward);
      if (socket.connecting) socket.once("connect", begin);
      else begin();
    });
  };
  const server = http.createServer((request, response) => {
    counts.requests++;
    send(request, response, 1);
  });
  const tunnel = (request, socket, head, tries) => {
    const node = next();
    const onward = net.connect(Number(node.port), node.hostname, () => {
      const headers = [];
      for (let i = 0; i < request.rawHeaders.length; i += 2) headers.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}\r\n`);
      onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.once("data", (first) => {
      if (!String(first).startsWith("HTTP/1.1 101")) error(`${String(first).slice(0, 30)} upgrade ${request.url}`);
    });
    const end = () => (socket.destroy(), onward.destroy());
    onward.once("error", (why) => {
      if (why.code === "ECONNREFUSED" && tries < to.length) {
        onward.removeListener("close", end);
        return tunnel(request, socket, head, tries + 1);
      }
      end();
    });
    onward.once("close", end);
    socket.on("error", () => onward.destroy()).on("close", () => onward.destroy());
  };
  server.on("upgrade", (request, socket, head) => {
    counts.upgrades++;
    tunnel(request, socket, head, 1);
  });
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    counts,
    to,
    async stop() {
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const COMMANDS = {
  caddy: (file) => ["caddy", "run", "--adapter", "caddyfile", "--config", file],
  haproxy: (file) => ["haproxy", "-db", "-f", file],
  nginx: (file, dir) => ["nginx", "-p", dir, "-c", file, "-g", `daemon off; pid ${dir}/nginx.pid; error_log stderr;`],
};

/** Starts a balancer with a file of deploy/ in which only the addresses are others. Answers `{url, stop}`. */
export async function balancer(kind, name, nodes) {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), `tidings-${kind}-`));
  let text = await readFile(join(DEPLOY, name), "utf8");
  for (const [at, label] of ["one", "two", "three"].entries()) {
    const node = new URL(nodes[at % nodes.length]);
    text = text.replaceAll(`${label}:3000`, `${node.hostname}:${node.port}`);
  }
  text = text.replaceAll(/(bind|listen) (:|)8080/g, `$1 127.0.0.1:${port}`);
  // Caddy: this machine only, no port for its administration, and nothing outside the directory.
  text = text.replace(/^:8080 \{/m, `{\n\tadmin off\n\tstorage file_system ${dir}\n}\nhttp://127.0.0.1:${port} {`);
  const file = join(dir, name);
  await writeFile(file, text);
  const [command, ...args] = COMMANDS[kind](file, dir);
  const env = { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir };
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const exited = new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
  const url = `http://127.0.0.1:${port}`;
  const ready = async () => {
    for (;;) {
      const answer = await fetch(`${url}/readyz`).catch(() => null);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const failed = exited.then(() => {
    throw new Error(`${command} ended:\n${output}`);
  });
  failed.catch(() => {});
  await within(Promise.race([ready(), failed]), START_MS, () => `${kind} is not ready:\n${output}`);
  return {
    url,
    output: () => output,
    async stop() {
      child.kill("SIGTERM");
      await exited.catch(() => {});
      await rm(dir, { recursive: true, force: true });
    },
  };
}
