/** A gateway of our own for one test file: the real binary, on a port of its own, with an empty log. */

import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, Gateway as Running } from '../clients/js/lib/gateway.js';
import { Browser } from './browser.mjs';

const CLIENT_DIR = fileURLToPath(new URL('node_modules/socket.io-client/dist', import.meta.url));

export { BINARY };

export class Gateway extends Running {
  /** Starts it, with settings for its environment, and waits until it says where it listens. */
  static start({ listen = '127.0.0.1:0', ...settings } = {}) {
    const env = { RUST_LOG: 'warn', TIDINGS__FACE__SOCKETIO__CLIENT_DIR: CLIENT_DIR, ...settings };
    return super.start({ args: ['serve', '--listen', listen], env });
  }

  get origin() {
    return this.url;
  }

  /** Ends it as a crash would. */
  kill() {
    return this.stop('SIGKILL');
  }

  async post(path, body) {
    const answer = await this.http('POST', path, body);
    if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** What a worker does: asks until its question is answered. */
  async answerTo(topic, clarificationId) {
    for (;;) {
      const path = `/v1/topics/${topic}/clarifications/${clarificationId}/answer?wait=10s`;
      const { status, body } = await this.http('GET', path);
      if (status === 200) return body;
      if (status !== 204) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
    }
  }
}

/** A gateway and a browser for the tests around; `hand` is given both before the first of them. */
export function forTests(hand, settings) {
  let gateway;
  let browser;
  before(async () => {
    gateway = await Gateway.start(settings);
    browser = await Browser.start();
    await hand({ gateway, browser });
  });
  after(async () => {
    await browser?.stop();
    await gateway?.stop();
  });
}
