/** The React example, as `vite build` makes it, in a browser: a session to watch and to answer, across a cut line. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { picture } from './browser.mjs';
import { serveFiles } from './files.mjs';
import { forTests } from './gateway.mjs';
import { Proxy } from './proxy.mjs';

const EXAMPLE = fileURLToPath(new URL('../../clients/typescript/examples/react/', import.meta.url));

let browser, gateway, proxy, pages;

forTests(async (made) => {
  ({ gateway, browser } = made);
  proxy = await Proxy.start(gateway.port);
  pages = await serveFiles(`${EXAMPLE}dist`);
});
after(async () => {
  pages?.close();
  await proxy?.stop();
});

/** The worker of the example. */
function work(session) {
  const worker = spawn(process.execPath, ['work.mjs', session, gateway.origin], {
    cwd: EXAMPLE,
    env: { ...process.env, STEP_MS: '50' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return once(worker, 'exit');
}

test('a page shows a session, answers its question and survives a cut line', async () => {
  const tab = await browser.open(`${pages.origin}/?session=shown&gateway=${encodeURIComponent(proxy.origin)}`);
  await tab.getByText('live', { exact: true }).waitFor();
  assert.deepEqual(tab.complaints, []);
  const worked = work('shown');
  const question = tab.getByRole('region', { name: 'Question' });
  await question.waitFor();
  await picture(tab, 'example-question');

  proxy.cut();
  await tab.getByText('coming back', { exact: true }).waitFor();
  assert.equal(await tab.getByRole('listitem').count(), 3, 'what was known stays');
  proxy.mend();
  await tab.getByText('live', { exact: true }).waitFor();

  await question.getByRole('button', { name: 'qwen2.5:7b' }).click();
  await tab.getByRole('region', { name: 'Outcome' }).getByText('"kept": "qwen2.5:7b"').waitFor();
  assert.deepEqual(await worked, [0, null]);
  assert.equal(await tab.getByText('100 %').count(), 1);
  assert.equal(await question.count(), 0);
  assert.equal(await tab.getByRole('listitem').count(), 3);
  await picture(tab, 'example-completed');
  // The cut itself is told by the browser; nothing else is.
  const others = tab.complaints.filter((complaint) => !/ERR_|WebSocket|Failed to load/.test(complaint));
  assert.deepEqual(others, []);
});

test('a page that comes late shows the whole story, and another session when told to', async () => {
  const topic = 'session:late';
  await gateway.publish(topic, 'progress', { progress: 40, message: 'half way' });
  await gateway.publish(topic, 'model_result', { modelName: 'm', result: 'r' });
  const tab = await browser.open(`${pages.origin}/?session=late&gateway=${encodeURIComponent(gateway.origin)}`);
  await tab.getByText('half way').waitFor();
  assert.equal(await tab.getByRole('listitem').innerText(), 'm r');
  await tab.getByLabel('Session').fill('nobody');
  await tab.getByText('Nothing yet.').waitFor();
  assert.equal(await tab.getByRole('listitem').count(), 0);
  assert.deepEqual(tab.complaints, []);
});
