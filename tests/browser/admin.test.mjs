/** The npm package @socket.io/admin-ui, unchanged, and its protocol. Needs GATEWAY_BIN; CHROMIUM and SCREENSHOTS_DIR are optional. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import { Browser, picture } from './browser.mjs';
import { serveFiles } from './files.mjs';
import { Gateway } from './gateway.mjs';

const UI = fileURLToPath(new URL('node_modules/@socket.io/admin-ui/ui/dist', import.meta.url));
/** As bcryptjs makes it, of `changeit`. */
const SETTINGS = {
  TIDINGS__FACE__SOCKETIO__ADMIN_UI__ENABLED: 'true',
  TIDINGS__FACE__SOCKETIO__ADMIN_UI__PASSWORD_HASH: '$2a$06$bZJ2YgmGWhuYrWfFYeg44uVfRAkDrC1aCmWpuFbxQOu5R1fQBplp6',
  TIDINGS__FACE__SOCKETIO__ADMIN_UI__SERVER_ID: 'the node of the tests',
};
const CREDENTIALS = { username: 'admin', password: 'changeit' };

/** An onlooker that notes what it is told. */
class Onlooker {
  told = [];
  #waiting = [];

  constructor(origin, auth) {
    this.socket = io(`${origin}/admin`, { auth, forceNew: true, transports: ['websocket'], reconnection: false });
    this.socket.onAny((name, ...args) => {
      this.told.push([name, ...args]);
      for (const look of [...this.#waiting]) look();
    });
  }

  /** The first thing of this name, of all that was told, that fits. */
  until(name, fits = () => true) {
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`no fitting ${name} in ${JSON.stringify(this.told)}`)), 30_000);
      const look = () => {
        const found = this.told.find(([known, ...args]) => known === name && fits(...args));
        if (!found) return;
        clearTimeout(deadline);
        this.#waiting = this.#waiting.filter((each) => each !== look);
        resolve(found.slice(1));
      };
      this.#waiting.push(look);
      look();
    });
  }

  entered() {
    return new Promise((resolve, reject) => {
      this.socket.once('connect', resolve);
      this.socket.once('connect_error', reject);
    });
  }
}

describe('the admin UI', { timeout: 180_000 }, () => {
  let gateway;
  let browser;
  let ui;

  before(async () => {
    ui = await serveFiles(UI);
    // Its page asks with credentials, which a browser allows only to an origin that is named.
    const origins = JSON.stringify([ui.origin]);
    gateway = await Gateway.start({ ...SETTINGS, TIDINGS__FACE__HTTP__CORS_ORIGINS: origins });
    browser = await Browser.start();
  });

  after(async () => {
    await browser?.stop();
    ui?.close();
    await gateway?.stop();
  });

  test('of npm connects with name and password, shows a client, and disconnects it', async () => {
    const client = io(gateway.origin, { forceNew: true, transports: ['websocket'], reconnection: false });
    await client.emitWithAck('subscribe', 'observed');
    const tab = await browser.open('about:blank');
    // Its page asks for fonts elsewhere; nothing here needs them.
    await tab.route((url) => !['127.0.0.1', 'localhost'].includes(url.hostname), (route) => route.abort());
    await tab.goto(`${ui.origin}/`);
    await tab.getByLabel('Server URL').fill(gateway.origin);
    await tab.getByLabel('Username').fill('admin');
    await tab.getByLabel('Password').fill('wrong');
    await tab.getByRole('button', { name: 'Connect' }).click();
    await tab.getByText('Invalid credentials').waitFor();
    await tab.getByLabel('Password').fill('changeit');
    await tab.getByRole('button', { name: 'Connect' }).click();
    await tab.getByText('connected', { exact: true }).first().waitFor();
    await picture(tab, 'admin-ui');
    await tab.goto(`${ui.origin}/#/servers/`);
    await tab.getByText('the node of the tests').first().waitFor();
    await tab.goto(`${ui.origin}/#/sockets/`);
    await tab.getByText(client.id).first().waitFor();
    await picture(tab, 'admin-ui-sockets');
    await tab.getByText(client.id).first().click();
    await tab.getByText('session:observed').first().waitFor();
    const gone = new Promise((resolve) => client.once('disconnect', resolve));
    // The button has an icon only.
    await tab.locator('tr', { hasText: 'Status' }).last().getByRole('button').click();
    assert.equal(await gone, 'io server disconnect');
    await tab.getByText('disconnected').first().waitFor();
    await picture(tab, 'admin-ui-socket');
  });

  test('is told of sockets, rooms and events, and moves sockets with acknowledgements', async () => {
    const onlooker = new Onlooker(gateway.origin, CREDENTIALS);
    await onlooker.entered();
    const [{ supportedFeatures }] = await onlooker.until('config');
    for (const feature of ['EMIT', 'JOIN', 'LEAVE', 'DISCONNECT', 'MJOIN', 'MLEAVE', 'MDISCONNECT', 'AGGREGATED_EVENTS', 'ALL_EVENTS']) {
      assert.ok(supportedFeatures.includes(feature), feature);
    }
    await onlooker.until('all_sockets');
    const client = io(gateway.origin, { forceNew: true, transports: ['websocket'], reconnection: false });
    const heard = [];
    client.onAny((name, ...args) => heard.push([name, ...args]));
    await client.emitWithAck('subscribe', 'moved');
    const { id } = client;
    const [seen] = await onlooker.until('socket_connected', (socket) => socket.id === id);
    assert.equal(seen.transport, 'websocket');
    assert.equal(seen.nsp, '/');
    assert.equal(seen.handshake.address, '127.0.0.1');
    await onlooker.until('event_received', (nsp, from, [name, data]) => from === id && name === 'subscribe' && data === 'moved');
    await onlooker.until('room_joined', (nsp, room, whose) => room === 'session:moved' && whose === id);
    await gateway.publish('session:moved', 'progress', { progress: 7 });
    await onlooker.until('event_sent', (nsp, to, [name, data]) => to === id && name === 'progress' && data.progress === 7);
    const moved = await onlooker.socket.emitWithAck('join', '/', 'crowd', id);
    assert.deepEqual(moved, { ok: true, sockets: 1, unanswered: [] });
    await onlooker.until('room_joined', (nsp, room, whose) => room === 'crowd' && whose === id);
    assert.equal((await onlooker.socket.emitWithAck('emit', '/', 'crowd', 'greeting', 'hello', { deep: [1] })).sockets, 1);
    assert.equal((await onlooker.socket.emitWithAck('leave', '/', 'crowd', id)).sockets, 1);
    await onlooker.until('room_left', (nsp, room, whose) => room === 'crowd' && whose === id);
    assert.equal((await onlooker.socket.emitWithAck('emit', '/', 'crowd', 'greeting', 'again')).sockets, 0);
    assert.equal((await onlooker.socket.emitWithAck('join', '/other', 'crowd')).ok, false);
    const [stats] = await onlooker.until('server_stats', ({ namespaces }) => namespaces.find(({ name }) => name === '/').socketsCount === 1);
    assert.equal(stats.serverId, 'the node of the tests');
    assert.ok(stats.pid > 0 && stats.uptime > 0 && stats.clientsCount >= 2, JSON.stringify(stats));
    const gone = new Promise((resolve) => client.once('disconnect', resolve));
    assert.equal((await onlooker.socket.emitWithAck('_disconnect', '/', false, id)).sockets, 1);
    assert.equal(await gone, 'io server disconnect');
    await onlooker.until('socket_disconnected', (nsp, whose) => nsp === '/' && whose === id);
    assert.deepEqual(heard.filter(([name]) => name === 'greeting'), [['greeting', 'hello', { deep: [1] }]]);
    onlooker.socket.disconnect();
  });

  test('lets in with the session of an earlier entry, and nobody else', async () => {
    const first = new Onlooker(gateway.origin, CREDENTIALS);
    await first.entered();
    const [sessionId] = await first.until('session');
    first.socket.disconnect();
    const again = new Onlooker(gateway.origin, { sessionId });
    await again.entered();
    await again.until('server_stats');
    again.socket.disconnect();
    for (const auth of [{}, { sessionId: 'none' }, { ...CREDENTIALS, password: 'wrong' }, { ...CREDENTIALS, username: 'root' }]) {
      const refused = new Onlooker(gateway.origin, auth);
      await assert.rejects(refused.entered(), /invalid credentials/);
      refused.socket.disconnect();
    }
  });

  test('may only look where it is read-only, and is not there unless it is wanted', async () => {
    const [shown, off] = await Promise.all([
      Gateway.start({ ...SETTINGS, TIDINGS__FACE__SOCKETIO__ADMIN_UI__READONLY: 'true', TIDINGS__FACE__SOCKETIO__ADMIN_UI__MODE: 'production' }),
      Gateway.start(),
    ]);
    try {
      const onlooker = new Onlooker(shown.origin, CREDENTIALS);
      await onlooker.entered();
      const [{ supportedFeatures }] = await onlooker.until('config');
      assert.deepEqual(supportedFeatures, ['AGGREGATED_EVENTS']);
      assert.equal((await onlooker.socket.emitWithAck('_disconnect', '/', false)).ok, false);
      onlooker.socket.disconnect();
      const nobody = new Onlooker(off.origin, CREDENTIALS);
      await assert.rejects(nobody.entered(), /namespace/i);
      nobody.socket.disconnect();
    } finally {
      await Promise.all([shown.stop(), off.stop()]);
    }
  });
});
