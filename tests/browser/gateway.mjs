/** A gateway of our own for one test file: the real binary, on a port of its own, with an empty log. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CLIENT_DIR = fileURLToPath(new URL('node_modules/socket.io-client/dist', import.meta.url));
const START_DEADLINE = 30_000;
const STOP_DEADLINE = 15_000;

export class Gateway {
  #process;

  constructor(process, origin) {
    this.#process = process;
    this.origin = origin;
    this.port = Number(new URL(origin).port);
  }

  /** Starts the binary named by GATEWAY_BIN, with settings for its environment, and waits until it says where it listens. */
  static async start(settings = {}) {
    const binary = process.env.GATEWAY_BIN;
    if (!binary) throw new Error('set GATEWAY_BIN to the tidings binary, as in GATEWAY_BIN=target/debug/tidings');
    const { PORT: _, ...env } = process.env;
    const { listen = '127.0.0.1:0', ...set } = settings;
    const child = spawn(binary, ['serve', '--listen', listen], {
      env: { RUST_LOG: 'warn', ...env, TIDINGS__FACE__SOCKETIO__CLIENT_DIR: CLIENT_DIR, ...set },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const origin = await address(child);
    return new Gateway(child, origin);
  }

  async stop() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const deadline = setTimeout(() => this.#process.kill('SIGKILL'), STOP_DEADLINE);
    await gone;
    clearTimeout(deadline);
  }

  /** Ends it as a crash would. */
  async kill() {
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }

  /** Publishes one event; gives the receipt. */
  publish(topic, name, data, more = {}) {
    return this.post(`/v1/topics/${topic}/events`, { name, data, ...more });
  }

  async post(path, body) {
    const answer = await fetch(this.origin + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`POST ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** What a worker does: asks until its question is answered. */
  async answerTo(topic, clarificationId) {
    for (;;) {
      const path = `/v1/topics/${topic}/clarifications/${clarificationId}/answer?wait=10s`;
      const answer = await fetch(this.origin + path);
      if (answer.status === 200) return answer.json();
      if (answer.status !== 204) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    }
  }
}

async function address(child) {
  const lines = createInterface({ input: child.stdout });
  const deadline = setTimeout(() => child.kill('SIGKILL'), START_DEADLINE);
  try {
    for await (const line of lines) {
      const found = /listening on (http:\/\/\S+)/.exec(line);
      if (found) {
        child.stdout.resume();
        return found[1];
      }
    }
  } finally {
    clearTimeout(deadline);
  }
  throw new Error('the gateway ended, or stayed silent, before it said where it listens');
}
