// Many stock clients in one process, what each of them was told, and what was published: nothing may be lost, doubled or
// out of order.
import { createRequire } from "node:module";
import { pause } from "./house.mjs";

const require = createRequire(new URL("../../tests/clients/js/package.json", import.meta.url));
const { io } = require("socket.io-client");

const CONNECT_MS = 120_000;

/** Most publishes that are under way. */
const AT_ONCE = 128;

/** One client: which node it is on is the front's matter. */
class Member {
  constructor(url, topic, transports) {
    this.topic = topic;
    /** What came, in order: key, number and epoch. */
    this.facts = [];
    this.returns = [];
    this.gaps = 0;
    this.away = null;
    this.socket = io(url, { transports, forceNew: true });
    /** What came again as the snapshot after a gap. */
    this.again = [];
    this.is_told = false;
    this.socket.on("fact", ({ key, _seq, _epoch, _replayed }) => {
      const fact = { key, seq: _seq, epoch: _epoch };
      this.is_told &&= _replayed === true;
      (this.is_told ? this.again : this.facts).push(fact);
    });
    this.socket.on("gap", () => {
      this.gaps++;
      this.is_told = true;
    });
    this.socket.on("connect", () => {
      if (this.away === null) return;
      this.returns.push({ ms: performance.now() - this.away, recovered: this.socket.recovered });
      this.away = null;
      // As applications do that are not recovered: they say what they have.
      const last = this.facts.at(-1);
      if (!this.socket.recovered) this.socket.emit("subscribe", { sessionId: this.topic, ...(last && { since: `${last.epoch}:${last.seq}` }) });
    });
    this.socket.on("disconnect", () => (this.away ??= performance.now()));
  }

  subscribed() {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("a client could not subscribe")), CONNECT_MS);
      this.socket.emit("subscribe", this.topic, (answer) => {
        clearTimeout(late);
        if (answer.ok) resolve();
        else reject(new Error(`refused: ${JSON.stringify(answer)}`));
      });
    });
  }
}

/** Clients of one session each of `topics`; unless it is said, a third polling, a third switching, a third on websocket. */
export async function crowd(url, { clients, topics, transports }) {
  const sorts = transports ? [transports] : [["websocket"], ["polling", "websocket"], ["polling"]];
  const members = [];
  for (let at = 0; at < clients; at++) {
    members.push(new Member(url, `crowd-${at % topics}`, sorts[at % sorts.length]));
    if (at % 50 === 49) await Promise.all(members.slice(-50).map((member) => member.subscribed()));
  }
  await Promise.all(members.slice(clients - (clients % 50)).map((member) => member.subscribed()));
  return {
    members,
    connected: () => members.filter((member) => member.socket.connected).length,
    async allConnected(ms) {
      const end = performance.now() + ms;
      while (members.some((member) => !member.socket.connected)) {
        if (performance.now() > end) throw new Error(`${members.filter((member) => !member.socket.connected).length} clients are not back after ${ms} ms`);
        await pause(20);
      }
    },
    close: () => members.forEach((member) => member.socket.close()),
  };
}

/** Publishes facts to the topics, so many a second, on whatever node answers, each under a key of its own, until stopped. */
export function publisher(nodes, { topics, rate }) {
  const told = { acknowledged: new Map(), failed: 0, refused: 0, published: 0, slowest: 0 };
  const keyed = `p${process.pid}-${Date.now()}`;
  let n = 0;
  let turn = 0;
  let is_done = false;
  const under_way = new Set();
  const publish = async (topic, key) => {
    const end = performance.now() + 60_000;
    for (;;) {
      const begun = performance.now();
      const node = nodes[turn++ % nodes.length];
      const answer = await fetch(`${node.url}/v1/topics/session:${topic}/events`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key },
        body: JSON.stringify({ name: "fact", data: { key } }),
      }).catch(() => null);
      if (answer?.status === 200) {
        await answer.arrayBuffer();
        if (!told.acknowledged.has(topic)) told.acknowledged.set(topic, new Set());
        told.acknowledged.get(topic).add(key);
        told.published++;
        return;
      }
      told.slowest = Math.max(told.slowest, performance.now() - begun);
      if (answer) told.refused++;
      await answer?.arrayBuffer().catch(() => {});
      if (performance.now() > end) {
        told.failed++;
        return;
      }
      // Many try again at once: they must not keep each other, or the clients beside them, from being served.
      await pause(250 + Math.random() * 500);
    }
  };
  const begun = performance.now();
  const ticking = (async () => {
    while (!is_done) {
      const due = Math.floor(((performance.now() - begun) / 1000) * rate);
      while (n < due && under_way.size < AT_ONCE) {
        const one = publish(`crowd-${n % topics}`, `${keyed}-${n++}`);
        under_way.add(one);
        one.finally(() => under_way.delete(one));
      }
      await pause(5);
    }
  })();
  return {
    told,
    async stop() {
      is_done = true;
      await ticking;
      while (under_way.size > 0) await Promise.race(under_way);
    },
  };
}

/** Waits until every member has all that was acknowledged to its producer, and counts what is wrong with what it was told. */
export async function reckon(members, acknowledged, ms = 60_000) {
  const end = performance.now() + ms;
  const missing = (member) => {
    const seen = new Set([...member.facts, ...member.again].map(({ key }) => key));
    return [...(acknowledged.get(member.topic) ?? [])].filter((key) => !seen.has(key)).length;
  };
  while (members.some(missing) && performance.now() < end) await pause(200);
  const sum = { lost: 0, unannounced: 0, doubled: 0, disordered: 0, gaps: 0, deliveries: 0 };
  for (const member of members) {
    const lost = missing(member);
    const keys = member.facts.map(({ key }) => key).filter((key) => key !== undefined);
    sum.deliveries += member.facts.length;
    sum.lost += lost;
    if (member.gaps === 0) sum.unannounced += lost;
    sum.doubled += keys.length - new Set(keys).size;
    sum.gaps += member.gaps;
    member.facts.forEach(({ seq, epoch }, at, all) => {
      if (at > 0 && epoch === all[at - 1].epoch && seq <= all[at - 1].seq) sum.disordered++;
    });
  }
  return sum;
}

export const isLossless = (sum) => sum.lost + sum.doubled + sum.disordered + sum.gaps === 0;
export const told = (sum) => `${sum.deliveries} deliveries: ${sum.lost} lost, ${sum.doubled} doubled, ${sum.disordered} out of order, ${sum.gaps} gaps`;
