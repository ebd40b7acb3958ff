/** What the page shows to those who run the gateway. Needs GATEWAY_BIN; CHROMIUM and SCREENSHOTS_DIR are optional. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { io } from 'socket.io-client';
import { picture } from './browser.mjs';
import { BINARY, Gateway, forTests } from './gateway.mjs';

const SECRET = 'a secret of the tests, long enough to be one';
const GUARDED = { TIDINGS__AUTH__MODE: 'token', TIDINGS__AUTH__JWT__SECRET: SECRET };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const AWAY = /^Failed to load resource: net::/;
const REFUSED = /^Failed to load resource: the server responded with a status of (401|403)/;

function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`;
}

/** Publishes to so many topics, a thousand at a time. */
async function fillWith(gateway, count) {
  for (let from = 0; from < count; from += 1000) {
    const events = Array.from({ length: 1000 }, (_, index) => ({
      topic: `session:many-${String(from + index).padStart(5, '0')}`,
      name: 'progress',
      data: { progress: (from + index) % 100, status: 'PROCESSING' },
    }));
    await gateway.post('/v1/events', events);
  }
}

/** How far the page sticks out to the side; a place that is kept for a scroll bar does not count. */
const sticksOut = (tab) => tab.evaluate(() => Math.max(0, document.documentElement.scrollWidth - innerWidth));

describe('the dashboard', { timeout: 240_000 }, () => {
  let gateway;
  let browser;
  forTests((made) => ({ gateway, browser } = made));

  test('keeps the list of topics live, filters it, and is used with the keyboard alone', async () => {
    await gateway.publish('session:alpha', 'progress', { progress: 10 });
    await gateway.publish('session:beta', 'progress', { progress: 20 });
    await gateway.publish('job:gamma', 'file_processing', { processed_files: 1, total_files: 4 });
    const tab = await browser.open(gateway.origin);
    await tab.locator('[data-topic="job:gamma"]').getByText('25%').waitFor();
    await gateway.publish('session:alpha', 'progress', { progress: 77 });
    await tab.locator('[data-topic="session:alpha"] [aria-valuenow="77"]').waitFor();
    await gateway.publish('session:beta', 'completed', { result: {} });
    await tab.locator('[data-topic="session:beta"]').getByText('Completed').waitFor();
    await tab.getByText('Live', { exact: true }).waitFor();
    await tab.keyboard.press('/');
    await tab.keyboard.type('a');
    await tab.keyboard.type('lpha');
    await tab.getByText('1 of 3 topics').waitFor();
    await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { name: 'alpha' }).waitFor();
    assert.match(tab.url(), /\?topic=session:alpha$/);
    await tab.goBack();
    await tab.getByRole('button', { name: 'Completed' }).click();
    await tab.getByText('1 of 3 topics').waitFor();
    await tab.locator('[data-topic="session:beta"]').waitFor();
    await fetch(`${gateway.origin}/v1/topics/session:beta`, { method: 'DELETE' });
    await tab.getByText('No topic matches.').waitFor();
    assert.deepEqual(tab.complaints, []);
  });

  test('shows how busy the node is', async () => {
    const tab = await browser.open(gateway.origin);
    const published = tab.locator('[data-tile="published"]');
    let last = 0;
    await assert.doesNotReject(async () => {
      const deadline = Date.now() + 60_000;
      while (!/^[1-9]/.test(await published.textContent())) {
        if (Date.now() > deadline) throw new Error('no rate is shown');
        last += 1;
        await gateway.publish('session:busy', 'step', { last });
      }
    });
    await tab.locator('live-plot polyline').first().waitFor({ state: 'attached' });
    const plot = tab.locator('live-plot svg').first();
    await plot.focus();
    await tab.keyboard.press('ArrowLeft');
    assert.match(await plot.getAttribute('aria-label'), /^Events a second at \d\d:\d\d:\d\d: Published /);
    assert.deepEqual(tab.complaints, []);
  });

  test('says who watches a topic, how far behind, and what became of the events', async () => {
    const topic = 'session:watched';
    await gateway.publish(topic, 'progress', { progress: 1 });
    const socket = io(gateway.origin, { transports: ['websocket'] });
    try {
      await socket.emitWithAck('subscribe', 'watched');
      const tab = await browser.open(`${gateway.origin}/?topic=${topic}`);
      await tab.getByText('2 watchers,').waitFor();
      const row = tab.locator('.watcher', { hasText: socket.id });
      await row.getByText('websocket').waitFor();
      await gateway.publish(topic, 'progress', { progress: 2 });
      await tab.locator('[data-flow="published"]', { hasText: '2' }).waitFor();
      await tab.locator('[data-flow="delivered"]', { hasText: '2' }).waitFor();
      await tab.locator('[data-flow="replayed"]', { hasText: '2' }).waitFor();
      await row.getByText('level').waitFor();
      await tab.locator('event-timeline .replayed-tag').first().waitFor();
      socket.disconnect();
      await tab.getByText('1 watcher,').waitFor();
      await picture(tab, 'watchers');
      assert.deepEqual(tab.complaints, []);
    } finally {
      socket.disconnect();
    }
  });

  test('collects the open questions of all topics, and hands the answer on', async () => {
    await gateway.publish('session:first', 'clarification', { clarificationId: 'one', question: 'Which report?', schema: { enum: ['short', 'long'] } });
    await gateway.publish('session:second', 'clarification', { clarificationId: 'two', question: 'How many digits?', schema: { type: 'integer', minimum: 0 } });
    const tab = await browser.open(`${gateway.origin}/?view=questions`);
    await tab.getByText('2 questions of 2 topics').waitFor();
    await picture(tab, 'questions');
    const card = tab.locator('clarification-card', { hasText: 'How many digits?' });
    await card.getByLabel('Your answer').fill('3');
    await tab.keyboard.press('Enter');
    assert.equal((await gateway.answerTo('session:second', 'two')).response, 3);
    await tab.getByText('1 question of 1 topic').waitFor();
    await tab.getByRole('radio', { name: 'long' }).check();
    await tab.getByRole('button', { name: 'Send answer' }).click();
    assert.equal((await gateway.answerTo('session:first', 'one')).response, 'long');
    await tab.getByText('Nobody is asked anything').waitFor();
    assert.deepEqual(tab.complaints, []);
  });

  test('lists connections with transport and topics, limits, and why others ended', async () => {
    const polling = io(gateway.origin, { transports: ['polling'] });
    const websocket = io(gateway.origin, { transports: ['websocket'], forceNew: true });
    try {
      await polling.emitWithAck('subscribe', 'listed-by-polling');
      await websocket.emitWithAck('subscribe', 'listed-by-websocket');
      const tab = await browser.open(`${gateway.origin}/?view=connections`);
      const row = tab.locator('.connection-row', { hasText: polling.id });
      await row.getByText('session:listed-by-polling').waitFor();
      await row.getByText('polling', { exact: true }).waitFor();
      await tab.locator('.connection-row', { hasText: websocket.id }).getByText('websocket', { exact: true }).waitFor();
      await tab.getByText('connections per user').waitFor();
      await tab.getByLabel('Filter connections').fill(websocket.id);
      await row.waitFor({ state: 'detached' });
      const { id } = websocket;
      websocket.disconnect();
      const ended = tab.locator('.ended-row', { hasText: id });
      await ended.getByText('Client').waitFor();
      await picture(tab, 'connections');
      assert.deepEqual(tab.complaints, []);
    } finally {
      polling.disconnect();
      websocket.disconnect();
    }
  });

  test('publishes from the page and shows the code that does the same', async () => {
    const tab = await browser.open(`${gateway.origin}/?view=try`);
    await tab.getByLabel('Topic', { exact: true }).fill('session:tried');
    await tab.getByLabel('Data').fill('{"progress": 5');
    await tab.getByRole('button', { name: 'Publish' }).click();
    await tab.getByText('The data is no JSON').waitFor();
    await tab.getByLabel('Data').fill('{"progress": 5, "note": "it\'s"}');
    await tab.keyboard.press('Control+Enter');
    await tab.getByText(/Taken as \S+:1 in/).waitFor();
    await tab.locator('.heard-row', { hasText: '"progress":5' }).waitFor();
    for (const [name, said] of [
      ['React', "useSession('tried')"],
      ['Python', "client.emit('subscribe', 'tried')"],
      ['curl publish', `curl ${gateway.origin}/v1/topics/session:tried/events`],
    ]) {
      await tab.getByRole('tab', { name }).click();
      assert.ok((await tab.locator('#snippet code').textContent()).includes(said), name);
    }
    await picture(tab, 'try');
    assert.deepEqual(tab.complaints, []);
  });

  test('shows ten thousand topics with a few rows, on a phone as well', async () => {
    const busy = await Gateway.start();
    try {
      await fillWith(busy, 10_000);
      const [wide, phone] = await Promise.all([browser.open(busy.origin), browser.open(busy.origin, PHONE)]);
      for (const tab of [wide, phone]) {
        await tab.getByText('10,000 topics').waitFor();
        assert.ok((await tab.locator('.virtual-row').count()) <= 60);
        assert.equal(await sticksOut(tab), 0, 'nothing sticks out to the side');
      }
      await picture(wide, 'many', { fullPage: false });
      await wide.getByLabel('Order').selectOption('name');
      await wide.locator('.topic-row').first().focus();
      await wide.keyboard.press('End');
      const last = wide.locator('[data-topic="session:many-09999"]');
      await last.waitFor();
      assert.ok(await last.evaluate((row) => row === document.activeElement), 'the last row has the focus');
      assert.equal(await wide.locator('[data-key="session:many-09999"]').getAttribute('aria-posinset'), '10000');
      assert.ok((await wide.locator('.virtual-row').count()) <= 60);
      await wide.getByLabel('Filter by name').fill('many-0123');
      await wide.getByText('10 of 10,000 topics').waitFor();
      assert.deepEqual([...wide.complaints, ...phone.complaints], []);
    } finally {
      await busy.stop();
    }
  });

  test('says that the gateway is gone, and comes back with it', async () => {
    let mortal = await Gateway.start();
    const { port } = mortal;
    const tab = await browser.open(mortal.origin);
    try {
      await mortal.publish('session:mortal', 'progress', { progress: 1 });
      await tab.locator('[data-topic="session:mortal"]').waitFor();
      await mortal.kill();
      await tab.getByText('Connection lost').waitFor();
      await tab.getByText('Not up to date since').waitFor();
      await tab.locator('[data-topic="session:mortal"]').waitFor();
      await picture(tab, 'lost');
      mortal = await Gateway.start({ listen: `127.0.0.1:${port}` });
      await mortal.publish('session:risen', 'progress', { progress: 2 });
      await tab.locator('[data-topic="session:risen"]').waitFor();
      await tab.getByText('Live', { exact: true }).waitFor();
      await tab.locator('[data-topic="session:mortal"]').waitFor({ state: 'detached' });
      assert.deepEqual(tab.complaints.filter((each) => !AWAY.test(each)), []);
    } finally {
      await mortal.stop();
    }
  });

  test('every page fits a phone, in the dark as well', async () => {
    for (const view of ['topics', 'questions', 'connections', 'nodes', 'try']) {
      const tab = await browser.open(`${gateway.origin}/?view=${view}`, { ...PHONE, colorScheme: 'dark' });
      await tab.getByText('Live', { exact: true }).waitFor();
      assert.equal(await sticksOut(tab), 0, view);
      const hidden = await tab.locator('.tabs').evaluate((tabs) => tabs.scrollWidth - tabs.clientWidth);
      assert.equal(hidden, 0, `${view}: every page can be reached without scrolling`);
      await picture(tab, `phone-${view}`);
      assert.deepEqual(tab.complaints, []);
      await tab.context().close();
    }
  });
});

describe('the dashboard of a gateway that asks who somebody is', { timeout: 120_000 }, () => {
  let gateway;
  let browser;
  forTests((made) => ({ gateway, browser } = made), GUARDED);

  const publish = (topic, name, data, more = {}) =>
    fetch(`${gateway.origin}/v1/topics/${topic}/events`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token({ sub: 'root', role: 'admin' })}` },
      body: JSON.stringify({ name, data, ...more }),
    });

  test('takes a token, keeps it out of every address, and lets an administrator do everything', async () => {
    const tab = await browser.open(gateway.origin);
    const asked = [];
    tab.on('request', (request) => asked.push(request.url()));
    // What the page says to run makes a token that it takes.
    const hint = (await tab.locator('.hint code').textContent()).split(' ').slice(1);
    const { stdout } = await promisify(execFile)(BINARY, hint, { env: GUARDED });
    const secret = stdout.trim();
    await tab.getByLabel('Token').fill('nonsense');
    await tab.getByRole('button', { name: 'Enter' }).click();
    await tab.getByText('Not taken:').waitFor();
    await picture(tab, 'token');
    await tab.getByLabel('Token').fill(secret);
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { name: 'Live topics' }).waitFor();
    await publish('session:guarded', 'progress', { progress: 3 });
    await tab.locator('[data-topic="session:guarded"]').waitFor();
    // This page has no stream of its own that would be listed.
    const socket = io(gateway.origin, { transports: ['websocket'], auth: { token: token({ sub: 'ann' }) } });
    try {
      await tab.getByRole('link', { name: 'Connections' }).click();
      await tab.locator('.connection-row', { hasText: 'ann · 127.0.0.1' }).waitFor();
    } finally {
      socket.disconnect();
    }
    await tab.reload();
    await tab.getByRole('heading', { name: 'Connections' }).waitFor();
    assert.ok(asked.every((url) => !url.includes(secret)), 'no address bears the token');
    await tab.getByRole('button', { name: 'Leave' }).click();
    await tab.getByRole('heading', { name: 'Enter a token' }).waitFor();
    assert.deepEqual(tab.complaints.filter((each) => !REFUSED.test(each)), []);
  });

  test('shows a user what is theirs, and lets them change nothing', async () => {
    await publish('session:anns', 'progress', { progress: 3 }, { owner: 'ann' });
    await publish('session:anns', 'clarification', { clarificationId: 'q', question: 'Yes?', schema: { type: 'boolean' } });
    await publish('session:bobs', 'progress', { progress: 4 }, { owner: 'bob' });
    const tab = await browser.open(gateway.origin);
    await tab.getByLabel('Token').fill(token({ sub: 'ann' }));
    await tab.keyboard.press('Enter');
    await tab.locator('[data-topic="session:anns"]').waitFor();
    await tab.getByText('ann, read-only').waitFor();
    assert.equal(await tab.locator('[data-topic="session:bobs"]').count(), 0);
    assert.equal(await tab.getByRole('link', { name: 'Connections' }).count(), 0);
    await tab.locator('[data-topic="session:anns"]').click();
    await tab.getByText('Read-only: answering from here is for administrators.').waitFor();
    assert.equal(await tab.getByRole('button', { name: 'Send answer' }).count(), 0);
    await tab.getByRole('link', { name: 'Try it' }).click();
    await tab.getByText('Read-only: publishing').waitFor();
    assert.ok(await tab.getByRole('button', { name: 'Publish' }).isDisabled());
    assert.deepEqual(tab.complaints.filter((each) => !REFUSED.test(each)), []);
  });
});
