// Nodes are killed and restarted, Redis is killed: stock clients must get everything, once and in order.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { crowd, isLossless, publisher, reckon, told } from "./crowd.mjs";
import { killNode, killRedis, roll as restart } from "../../tests/house/faults.mjs";
import { house, pause, quantile } from "./house.mjs";
import { replicated } from "./replicated.mjs";

const BACK_MS = 60_000;

function returns(members) {
  const all = members.flatMap((member) => member.returns);
  const ms = all.map((one) => one.ms);
  return {
    count: all.length,
    recovered: all.filter((one) => one.recovered).length,
    p50: Math.round(quantile(ms, 0.5)),
    p99: Math.round(quantile(ms, 0.99)),
    max: Math.round(Math.max(0, ...ms)),
  };
}

const said = (back) => `${back.count} came back (${back.recovered} recovered), p50 ${back.p50} ms, p99 ${back.p99} ms, longest ${back.max} ms`;

/** Runs one thing to do so many times, with a crowd and a publisher. */
async function withCrowd({ number, nodes = 3, rate, clients, rounds, ...more }, act) {
  const home = await house({ nodes: number("nodes", nodes), ...more });
  try {
    const shape = { clients: number("clients", clients), topics: number("topics", 100) };
    const people = await crowd(home.front.url, shape);
    const publishing = publisher(home.nodes, { ...shape, rate: number("rate", rate) });
    const notes = [];
    for (let round = 0; round < number("rounds", rounds); round++) {
      await pause(500);
      notes.push(await act(home, round, people));
      await people.allConnected(BACK_MS);
      process.stderr.write(".");
    }
    process.stderr.write("\n");
    await pause(500);
    await publishing.stop();
    const sum = await reckon(people.members, publishing.told.acknowledged);
    const back = returns(people.members);
    people.close();
    return { sum, back, notes, told: publishing.told, shape };
  } finally {
    await home.stop();
  }
}

/** kill -9 of a node. */
export async function kill({ number }) {
  const run = await withCrowd({ number, rate: 100, clients: 1000, rounds: 10 }, (home, round) => killNode(home.nodes[round % home.nodes.length], 4000));
  const holds = isLossless(run.sum) && run.back.count > 0 && run.back.recovered === run.back.count && run.back.p99 <= 3000;
  return [{ work: `${run.shape.clients} clients, ${run.notes.length} × kill -9 of one of the nodes, ${run.told.published} publishes`, result: `${said(run.back)}; ${told(run.sum)}`, holds }];
}

/** SIGTERM of each node in turn, and its start again, with clients that read nothing among the others. */
export async function roll({ number }) {
  const stalled = [];
  const stallSome = async (node) => {
    stalled.push(...(await Promise.all(Array.from({ length: number("stalled", 50) }, () => stall(node)))));
  };
  const run = await withCrowd({ number, rate: 100, clients: 200, rounds: 3 }, (home) => restart(home.nodes, stallSome));
  for (const socket of stalled) socket.destroy();
  const drains = run.notes.flat();
  const longest = Math.round(Math.max(...drains.map(({ ms }) => ms)));
  const bad = drains.filter(({ code }) => code !== 0).length;
  const holds = isLossless(run.sum) && longest <= 15_000 && run.told.failed === 0 && bad === 0;
  return [
    {
      work: `${run.shape.clients} clients, ${stalled.length} that read nothing, ${drains.length} restarts, ${run.told.published} publishes with a key`,
      result: `longest drain ${longest} ms, ${bad} ended badly, ${run.told.failed} publishes failed; ${said(run.back)}; ${told(run.sum)}`,
      holds,
    },
  ];
}

/** A websocket that subscribes and never reads again. */
function stall(node) {
  return new Promise((resolve) => {
    const socket = net.connect({ port: node.port, host: "127.0.0.1" }, () => {
      socket.write(
        `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\n\r\n`,
      );
    });
    const frame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(Buffer.concat([frame("40"), frame('42["subscribe","crowd-0"]')]));
      socket.pause();
      resolve(socket);
    });
  });
}

/** kill -9 of a Redis that keeps everything. */
export async function redis({ number }) {
  const run = await withCrowd({ number, nodes: 2, keeps: true, rate: 500, clients: 200, rounds: 20 }, async (home, round, people) => {
    const { back, seen: connected } = await killRedis(home.redis, home.nodes, 1000, people.connected);
    const begun = performance.now();
    const node = home.nodes[round % home.nodes.length];
    while ((await node.gateway.publish("session:crowd-0", "fact", {}).catch(() => null)) === null) await pause(10);
    return { connected, ms: back + performance.now() - begun };
  });
  const longest = Math.round(Math.max(...run.notes.map(({ ms }) => ms)));
  const kept = run.notes.every(({ connected }) => connected === run.shape.clients) && run.back.count === 0;
  const slowest = Math.round(run.told.slowest);
  const holds = isLossless(run.sum) && kept && run.told.failed === 0;
  return [
    {
      work: `${run.shape.clients} clients, ${run.notes.length} × kill -9 of Redis (AOF always), ${run.told.published} publishes`,
      result: `first publish at most ${longest} ms after its return, slowest refusal ${slowest} ms, ${kept ? "nobody" : "SOMEBODY"} was disconnected; ${told(run.sum)}`,
      holds,
    },
  ];
}

/** Failover to a replica that lags behind, with and without waiting for it. */
export async function failover({ number }) {
  const rows = [];
  for (const ack of ["wait(1)", "primary"]) {
    const redis = await replicated();
    const env = { TIDINGS__STORE__REDIS__ACK: ack };
    const run = await withCrowd({ number, nodes: 2, redis, env, rate: 500, clients: 100, rounds: 1 }, async (home) => {
      await pause(2000);
      await redis.failover(150);
      await Promise.all(home.nodes.map((node) => node.until(true)));
      await pause(2000);
    });
    const announced = run.sum.unannounced + run.sum.doubled + run.sum.disordered === 0;
    rows.push({
      work: `failover to a replica that was stopped for the last 150 ms, ack = ${ack}, ${run.told.published} publishes`,
      result: `${run.sum.unannounced} lost without word; ${told(run.sum)}`,
      holds: ack === "primary" ? announced : announced && run.sum.lost === 0,
    });
  }
  return rows;
}

/** The clocks of the nodes are moved by minutes, this way and that, while clients come and go. */
export async function clocks({ number }) {
  const library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"].map((dir) => path.join(dir, "faketime/libfaketime.so.1")).find(existsSync);
  if (!library) throw new Error("libfaketime is not there: apt-get install libfaketime");
  const dir = mkdtempSync(path.join(tmpdir(), "tidings-clocks-"));
  const file = (at) => path.join(dir, String(at));
  const set = (at, seconds) => writeFileSync(file(at), `${seconds < 0 ? "" : "+"}${seconds}s\n`);
  const env = (at) => {
    set(at, 0);
    return { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file(at), FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1", DONT_FAKE_MONOTONIC: "1" };
  };
  try {
    const run = await withCrowd({ number, env, rate: 100, clients: 100, rounds: 6 }, async (home, round, people) => {
      home.nodes.forEach((_, at) => set(at, [420, -300, 0, -600, 60, 900][(round + at) % 6]));
      people.members.filter((_, at) => at % 3 === round % 3).forEach((member) => member.socket.io.engine.close());
      await pause(2000);
    });
    const holds = isLossless(run.sum) && run.back.recovered === run.back.count && run.told.failed === 0;
    return [{ work: `${run.shape.clients} clients, the clocks of 3 nodes set ${run.notes.length} times by up to 15 min, ${run.told.published} publishes`, result: `${said(run.back)}; ${told(run.sum)}`, holds }];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
