/** The stock client in a real browser: which handshake it makes, and that it goes on where it was. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forTests } from './gateway.mjs';

let gateway;
let browser;
forTests((made) => ({ gateway, browser } = made));

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  test(`recovered in the browser on ${transports.join(' and ')}`, async () => {
    const id = `browser-${transports.join('-')}`;
    const topic = `session:${id}`;
    const tab = await browser.open(`${gateway.origin}/docs`);
    await tab.addScriptTag({ url: '/socket.io/socket.io.js' });
    await tab.evaluate(
      ([id, transports]) => {
        globalThis.seen = [];
        globalThis.connects = [];
        const socket = globalThis.io({ transports, reconnectionDelay: 50, reconnectionDelayMax: 50 });
        globalThis.socket = socket;
        socket.on('connect', () => {
          globalThis.connects.push({ id: socket.id, recovered: socket.recovered });
          if (!socket.recovered) socket.emit('subscribe', id);
        });
        socket.on('model_result', (data, ...more) => globalThis.seen.push([data._seq, more.length]));
        return new Promise((resolve) => socket.on('subscribed', resolve));
      },
      [id, transports],
    );
    await gateway.publish(topic, 'model_result', { n: 1 });
    await tab.waitForFunction(() => globalThis.seen.length === 1);
    for (const round of [1, 2]) {
      await tab.evaluate(() => globalThis.socket.io.engine.close());
      await gateway.publish(topic, 'model_result', { n: 2 * round });
      await tab.waitForFunction((connects) => globalThis.connects.length === connects, round + 1);
      await gateway.publish(topic, 'model_result', { n: 2 * round + 1 });
      await tab.waitForFunction((count) => globalThis.seen.length >= count, 2 * round + 1);
    }
    const [connects, seen] = await tab.evaluate(() => [globalThis.connects, globalThis.seen]);
    assert.deepEqual(connects.map(({ recovered }) => recovered === true), [false, true, true]);
    assert.equal(new Set(connects.map(({ id }) => id)).size, 1, 'the id stays');
    assert.deepEqual(seen, [1, 2, 3, 4, 5].map((seq) => [seq, 1]));
    assert.deepEqual(tab.complaints, []);
    await tab.context().close();
  });
}
