/** A line between browser and gateway that can be cut, mended and led elsewhere. */

import { once } from 'node:events';
import net from 'node:net';

export class Proxy {
  #server;
  #target;
  #links = new Set();
  #isCut = false;

  /** @param {number} target the port of the gateway on loopback */
  static async start(target) {
    const proxy = new Proxy();
    proxy.#target = target;
    proxy.#server = net.createServer((client) => proxy.#join(client));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.origin = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  #join(client) {
    if (this.#isCut) {
      client.destroy();
      return;
    }
    const gateway = net.connect(this.#target, '127.0.0.1');
    for (const [one, other] of [[client, gateway], [gateway, client]]) {
      this.#links.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#links.delete(one);
        other.destroy();
      });
    }
  }

  /** Drops every connection and refuses new ones. */
  cut() {
    this.#isCut = true;
    for (const link of this.#links) link.destroy();
  }

  /** Lets new connections through again, to another gateway if one is named. */
  mend(target = this.#target) {
    this.#target = target;
    this.#isCut = false;
  }

  async stop() {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
