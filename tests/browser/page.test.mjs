/** The page against the real gateway, in a real browser. Needs GATEWAY_BIN; CHROMIUM and SCREENSHOTS_DIR are optional. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { picture, seen, sequencesOn } from './browser.mjs';
import { Gateway, forTests } from './gateway.mjs';
import { Proxy } from './proxy.mjs';

/** What Chromium itself reports when a line is cut or an answer is a refusal. */
const CUT = /^Failed to load resource: net::/;
const REFUSED = /^Failed to load resource: the server responded with a status of (409|422)/;

describe('the page', { timeout: 240_000 }, () => {
  let gateway;
  let browser;
  forTests((made) => ({ gateway, browser } = made));

  const topicPage = (topic, options) => browser.open(`${gateway.origin}/?topic=${topic}`, options);

  test('is sent with a policy that allows nothing inline', async () => {
    for (const path of ['/', '/assets/main.js', '/assets/base.css', '/assets/icons.svg']) {
      const answer = await fetch(gateway.origin + path);
      assert.equal(answer.status, 200, path);
      const policy = answer.headers.get('content-security-policy') ?? '';
      for (const rule of ["default-src 'self'", "style-src 'self'", "script-src 'self'"]) {
        assert.ok(policy.includes(rule), `${path}: ${rule} is missing in "${policy}"`);
      }
      assert.ok(!policy.includes('unsafe'), policy);
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
      const again = await fetch(gateway.origin + path, { headers: { 'If-None-Match': answer.headers.get('etag') } });
      assert.equal(again.status, 304, path);
    }
  });

  test('tells how to begin, then lists what is published', async () => {
    const tab = await browser.open(gateway.origin);
    await tab.getByRole('heading', { name: 'Publish a first event' }).waitFor();
    assert.match(await tab.locator('.copy-block code').first().textContent(), new RegExp(`^curl ${gateway.origin}/`));
    await picture(tab, 'empty');
    await gateway.publish('session:listed', 'progress', { progress: 42, status: 'PROCESSING' });
    const row = tab.locator('[data-topic="session:listed"]');
    await row.getByText('42%').waitFor();
    const early = await topicPage('session:early');
    await tab.locator('[data-topic="session:early"]', { hasText: '1 watching' }).getByText('Waiting').waitFor();
    await early.close();
    await picture(tab, 'topics');
    await row.click();
    await tab.getByRole('heading', { name: 'listed' }).waitFor();
    assert.deepEqual(tab.complaints, []);
  });

  test('shows progress and results as they are published', async () => {
    const topic = 'session:live';
    const tab = await topicPage(topic);
    await tab.getByText('Live', { exact: true }).waitFor();
    const bar = tab.locator('topic-overview [role="progressbar"]');
    for (const progress of [10, 55.5]) {
      await gateway.publish(topic, 'progress', { progress, status: 'PROCESSING', prompts: { total: 4, completed: 1, processing: 1, pending: 2, failed: 0 } });
      await tab.locator(`topic-overview [aria-valuenow="${progress}"]`).waitFor();
    }
    assert.match(await bar.getAttribute('aria-valuetext'), /55\.5 percent/);
    await gateway.publish(topic, 'model_result', { modelName: 'counter', file: 'a/one.txt', status: 'processing' });
    await tab.locator('[data-result="a/one.txt"].busy').waitFor();
    await gateway.publish(topic, 'model_result', { modelName: 'counter', file: 'a/one.txt', status: 'completed', duration: 12, result: { bytes: 2048, lines: 30, words: 200, topWords: [['the', 9]] } });
    await gateway.publish(topic, 'model_result', { modelName: 'counter', file: 'two.bin', status: 'failed', duration: 1, error: 'is no text' });
    await tab.locator('[data-result="two.bin"].bad', { hasText: 'is no text' }).waitFor();
    const first = tab.locator('[data-result="a/one.txt"]');
    assert.equal(await first.count(), 1, 'a finished result replaces the running one');
    for (const text of ['2.0 KiB', '30 lines', '200 words', '12 ms', 'the']) await first.getByText(text).first().waitFor();
    await picture(tab, 'running');
    const last = await gateway.publish(topic, 'completed', { result: { files: 2, totalBytes: 2048 } });
    await seen(tab, last);
    await tab.locator('topic-outcome', { hasText: 'Completed at' }).waitFor();
    assert.deepEqual(await sequencesOn(tab), [1, 2, 3, 4, 5, 6]);
    await picture(tab, 'completed');
    assert.deepEqual(tab.complaints, []);
  });

  test('says in words what failed', async () => {
    const topic = 'session:broken';
    const tab = await topicPage(topic);
    await gateway.publish(topic, 'error', { error: 'the disk is full' }, { terminal: true });
    await tab.locator('topic-outcome', { hasText: 'Failed at' }).getByText('the disk is full').waitFor();
    await picture(tab, 'failed');
    assert.deepEqual(tab.complaints, []);
  });

  test('hands an answer given by keyboard to the waiting worker, and shows it to everybody', async () => {
    const topic = 'session:asking';
    const [tab, other] = await Promise.all([topicPage(topic), topicPage(topic, { colorScheme: 'dark' })]);
    await gateway.publish(topic, 'clarification', {
      clarificationId: 'report',
      question: 'Which report?',
      schema: { enum: ['short', 'long', 'both'] },
      default: 'short',
      expiresAt: new Date(Date.now() + 120_000).toISOString(),
    });
    const worker = gateway.answerTo(topic, 'report');
    await tab.getByText(/The default is taken in [12]:\d\d/).waitFor();
    await other.locator('clarification-card form').waitFor();
    await picture(other, 'question-dark');
    await tab.getByRole('radio', { name: 'short' }).focus();
    await tab.keyboard.press('ArrowDown');
    assert.ok(await tab.getByRole('radio', { name: 'long' }).isChecked());
    await picture(tab, 'answering');
    await tab.keyboard.press('Enter');
    const answer = await worker;
    assert.equal(answer.response, 'long');
    assert.equal(answer.clarificationId, 'report');
    await tab.getByText('Answered by you').waitFor();
    await other.getByText('Answered by somebody watching').waitFor();
    assert.equal(await other.locator('clarification-card .answer').textContent(), 'long');
    assert.deepEqual([...tab.complaints, ...other.complaints], []);
  });

  test('says why an answer is refused, and takes the next one', async () => {
    const topic = 'session:refusing';
    const tab = await topicPage(topic);
    await gateway.publish(topic, 'clarification', { clarificationId: 'q', question: 'A word?', schema: { type: 'string', not: { const: 'no' } } });
    const field = tab.getByLabel('Your answer');
    await field.fill('no');
    await tab.getByRole('button', { name: 'Send answer' }).click();
    await tab.getByText('The answer does not fit the question').waitFor();
    await field.fill('yes');
    await tab.getByRole('button', { name: 'Send answer' }).click();
    await tab.getByText('Answered by you').waitFor();
    assert.equal((await gateway.answerTo(topic, 'q')).response, 'yes');
    assert.deepEqual(tab.complaints.filter((each) => !REFUSED.test(each)), []);
  });

  test('lets the first of two answers stand', async () => {
    const topic = 'session:contested';
    const tab = await topicPage(topic);
    await gateway.publish(topic, 'clarification', { clarificationId: 'q', question: 'Who is first?' });
    await tab.getByLabel('Your answer').fill('the slow one');
    await tab.route('**/api/wizard/clarifications/respond', async (route) => {
      await gateway.post('/api/wizard/clarifications/respond', { sessionId: 'contested', clarificationId: 'q', response: 'the quick one' });
      await route.continue();
    });
    await tab.getByRole('button', { name: 'Send answer' }).click();
    await tab.getByText('Answered by somebody watching').waitFor();
    assert.equal(await tab.locator('clarification-card .answer').textContent(), 'the quick one');
    assert.deepEqual(tab.complaints.filter((each) => !REFUSED.test(each)), []);
  });

  test('shows that the default was taken when time was up', async () => {
    const topic = 'session:hasty';
    const tab = await topicPage(topic);
    await gateway.publish(topic, 'clarification', {
      clarificationId: 'q',
      question: 'Go on?',
      schema: { type: 'boolean' },
      default: true,
      expiresAt: new Date(Date.now() + 1_500).toISOString(),
    });
    await tab.getByText('Answered by the default').waitFor();
    assert.equal(await tab.locator('clarification-card .answer').textContent(), 'Yes');
    assert.deepEqual(tab.complaints, []);
  });

  test('resumes after a cut: nothing lost, nothing twice', async () => {
    const topic = 'session:cut';
    const proxy = await Proxy.start(gateway.port);
    try {
      const tab = await browser.open(`${proxy.origin}/?topic=${topic}`);
      const publish = async (from, to) => {
        let receipt;
        for (let step = from; step <= to; step += 1) receipt = await gateway.publish(topic, 'step', { step });
        return receipt;
      };
      const before = await publish(1, 20);
      await seen(tab, before);
      proxy.cut();
      await tab.getByText(`Connection lost, resuming after ${before.epoch}:${before.seq}`).waitFor();
      await picture(tab, 'reconnecting');
      const during = await publish(21, 40);
      proxy.mend();
      await seen(tab, during);
      await seen(tab, await publish(41, 45));
      assert.deepEqual(await sequencesOn(tab), Array.from({ length: 45 }, (_, index) => index + 1));
      assert.equal(await tab.locator('[data-figure="reconnects"]').textContent(), '1');
      assert.equal(await tab.locator('[data-figure="gaps"]').textContent(), '0');
      assert.deepEqual(tab.complaints.filter((each) => !CUT.test(each)), []);
    } finally {
      await proxy.stop();
    }
  });

  test('shows a gap when the log began anew, and the new story after it', async () => {
    const topic = 'session:anew';
    const proxy = await Proxy.start(gateway.port);
    const successor = await Gateway.start();
    try {
      const tab = await browser.open(`${proxy.origin}/?topic=${topic}`);
      await seen(tab, await gateway.publish(topic, 'progress', { progress: 90, status: 'PROCESSING' }));
      const fresh = await successor.publish(topic, 'progress', { progress: 5, status: 'PROCESSING' });
      proxy.cut();
      proxy.mend(successor.port);
      await seen(tab, fresh);
      await tab.getByText('Gap: the log began anew').waitFor();
      await tab.locator('topic-overview [aria-valuenow="5"]').waitFor();
      assert.deepEqual(tab.complaints.filter((each) => !CUT.test(each)), []);
    } finally {
      await proxy.stop();
      await successor.stop();
    }
  });

  test('loads what happened before it came', async () => {
    const topic = 'session:late';
    let last;
    for (let step = 1; step <= 5; step += 1) last = await gateway.publish(topic, 'progress', { progress: step, status: 'PROCESSING' });
    const tab = await topicPage(topic);
    await seen(tab, last);
    assert.deepEqual(await sequencesOn(tab), [5], 'a joiner is sent the newest progress only');
    await tab.getByRole('button', { name: 'Load 4 earlier events' }).click();
    await tab.locator('event-timeline [data-seq="1"]').waitFor();
    assert.deepEqual(await sequencesOn(tab), [1, 2, 3, 4, 5]);
    assert.deepEqual(tab.complaints, []);
  });

  test('sees exactly what a stock socket.io-client beside it sees', async () => {
    const topic = 'session:beside';
    const page = await topicPage(topic);
    const stock = await browser.open(gateway.origin);
    await stock.addScriptTag({ url: '/socket.io/socket.io.js' });
    await stock.evaluate(async (sessionId) => {
      globalThis.heard = [];
      const socket = globalThis.io();
      socket.onAny((name, data) => data?._seq && globalThis.heard.push([data._seq, name]));
      await new Promise((resolve, reject) => {
        socket.on('subscribed', resolve);
        socket.on('connect_error', reject);
        socket.on('connect', () => socket.emit('subscribe', sessionId));
      });
    }, 'beside');
    let last;
    for (let file = 1; file <= 40; file += 1) {
      await gateway.publish(topic, 'progress', { progress: file, status: 'PROCESSING' });
      last = await gateway.publish(topic, 'model_result', { modelName: 'counter', file: `${file}.txt`, status: 'completed', result: 'ok' });
    }
    await seen(page, last);
    await stock.waitForFunction((seq) => globalThis.heard.at(-1)?.[0] === seq, last.seq);
    const heard = await stock.evaluate(() => globalThis.heard);
    assert.deepEqual(heard.map(([seq]) => seq), Array.from({ length: 80 }, (_, index) => index + 1));
    assert.deepEqual(await sequencesOn(page), heard.map(([seq]) => seq));
    const names = await page.locator('event-timeline .event-name').allTextContents();
    assert.deepEqual(names.reverse(), heard.map(([, name]) => name));
    assert.deepEqual([...page.complaints, ...stock.complaints], []);
  });

  test('shows markup as text', async () => {
    const topic = 'session:markup';
    const tab = await topicPage(topic);
    const markup = '<img src="x" onerror="document.title=\'owned\'"><b>bold</b>';
    await gateway.publish(topic, 'model_result', { modelName: markup, status: 'failed', error: markup });
    await gateway.publish(topic, 'progress', { progress: 1, status: markup, message: markup });
    await seen(tab, await gateway.publish(topic, 'clarification', { question: markup, context: markup }));
    await tab.getByRole('heading', { name: markup }).waitFor();
    assert.equal(await tab.locator('img, b').count(), 0);
    assert.doesNotMatch(await tab.title(), /owned/);
    assert.deepEqual(tab.complaints, []);
  });

  test('refuses an impossible topic in words', async () => {
    const tab = await topicPage('nonsense');
    await tab.getByText('The gateway refused this topic').waitFor();
    assert.deepEqual(tab.complaints.filter((each) => !REFUSED.test(each)), []);
  });

  test('stays small under ten thousand results, and fits a phone', async () => {
    const topic = 'session:many';
    const tab = await topicPage(topic, { viewport: { width: 360, height: 740 }, hasTouch: true });
    let last;
    for (let batch = 0; batch < 20; batch += 1) {
      const events = Array.from({ length: 500 }, (_, index) => ({
        topic,
        name: 'model_result',
        data: { modelName: 'counter', file: `folder/with-a-rather-long-name/${batch}-${index}.txt`, status: 'completed', duration: 3 },
      }));
      const receipts = await gateway.post('/v1/events', events);
      last = receipts.at(-1);
    }
    await seen(tab, last);
    assert.ok((await tab.locator('result-list li.result').count()) <= 100);
    assert.ok((await tab.locator('event-timeline li').count()) <= 100);
    const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(overflow, 0, 'nothing sticks out to the side');
    await picture(tab, 'phone');
    assert.deepEqual(tab.complaints, []);
  });
});
