// The real gateway, a line to it that can be cut, and clients over each transport.
import { afterAll, beforeAll } from "vitest";

import { Proxy } from "../../../tests/browser/proxy.mjs";
import { Gateway as Running, freshId, within } from "../../../tests/clients/js/lib/gateway.js";
import type { Client } from "../src/client.js";
import { connect } from "../src/index.js";
import { connect as connectSse } from "../src/sse.js";
import type { AnyEvent } from "../src/index.js";
import type { Payloads } from "../src/wire.js";

export { freshId, within };

/** A running gateway. */
export type Gateway = Running & { url: string; port: number };
export const startGateway = async (env: Record<string, string> = {}): Promise<Gateway> => (await Running.start({ env })) as Gateway;

/** A line to a gateway that can be cut and mended. */
export interface Line {
  origin: string;
  cut(): void;
  mend(port?: number): void;
  stop(): Promise<void>;
}
export const startLine = async (port: number): Promise<Line> => (await Proxy.start(port)) as unknown as Line;

export type Item = AnyEvent<Payloads> & { data: Record<string, unknown> };

const quick = { reconnectionDelay: 50, reconnectionDelayMax: 200 };
export const transports: Record<string, (url: string) => Client> = {
  websocket: (url) => connect(url, { socket: { transports: ["websocket"], ...quick } }),
  polling: (url) => connect(url, { socket: { transports: ["polling"], ...quick } }),
  upgrade: (url) => connect(url, { socket: { transports: ["polling", "websocket"], ...quick } }),
  sse: (url) => connectSse(url),
};

/** A gateway for the tests of this file, with a line to it. */
export function gatewayForAll(env: Record<string, string> = {}): { gateway: Gateway; line: Line; url: string } {
  const held = {} as { gateway: Gateway; line: Line; url: string };
  beforeAll(async () => {
    held.gateway = await startGateway(env);
    held.line = await startLine(held.gateway.port);
    held.url = held.line.origin;
  });
  afterAll(async () => {
    await held.line.stop();
    await held.gateway.stop();
  });
  return held;
}

/** The next `count` events of an iteration, which stays open. */
export async function take(events: AsyncIterator<unknown>, count: number): Promise<Item[]> {
  const taken: Item[] = [];
  while (taken.length < count) {
    const { done, value } = await within(events.next(), 20_000, () => `only ${taken.length} of ${count} events came: ${JSON.stringify(taken).slice(0, 2000)}`);
    if (done) throw new Error(`the iteration ended after ${taken.length} of ${count}`);
    taken.push(value as Item);
  }
  return taken;
}
