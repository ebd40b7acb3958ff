/** The page's stream against a scripted gateway: every connection is one entry of the script. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { TopicStream } from '../../clients/dashboard/assets/stream.js';

const DEADLINE = 10_000;
const realFetch = globalThis.fetch;

const frame = (seq, { epoch = 'e', name = 'step', data = {} } = {}) =>
  `id: ${epoch}:${seq}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const gap = (from, to) => `event: gap\ndata: ${JSON.stringify({ topic: 'session:abc', from, to })}\n\n`;

/** An answer that sends these pieces, then ends, breaks or stays open. */
function streaming(pieces, end = 'open') {
  return ({ signal }) => {
    const encoder = new TextEncoder();
    const rest = [...pieces];
    const body = new ReadableStream({
      start(controller) {
        signal.addEventListener('abort', () => controller.error(signal.reason), { once: true });
      },
      // An error throws away what is queued, so it comes only when all was taken.
      pull(controller) {
        if (rest.length > 0) controller.enqueue(encoder.encode(rest.shift()));
        else if (end === 'close') controller.close();
        else if (end === 'break') controller.error(new TypeError('network error'));
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
  };
}

const refusing = (status, body, headers = {}) => () => new Response(JSON.stringify(body), { status, headers });

/** Runs a stream against the script until `enough` says so; waits between attempts are cut short. */
async function run(script, enough) {
  const told = { items: [], states: [], requests: [] };
  const queue = [...script];
  globalThis.fetch = async (url, options) => {
    told.requests.push({ url, ...options.headers });
    const next = queue.shift();
    if (!next) throw new TypeError('the script is over');
    return next(options);
  };
  let stream;
  const enoughTold = new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`not enough in time: ${JSON.stringify(told)}`)), DEADLINE);
    const look = () => {
      if (!enough(told)) return;
      clearTimeout(deadline);
      resolve();
    };
    stream = new TopicStream('session:abc', {
      items: (items) => {
        told.items.push(...items);
        look();
      },
      state: (state) => {
        told.states.push(state);
        if (state.name === 'waiting') setImmediate(() => stream.retryNow());
        look();
      },
    });
    stream.start();
  });
  try {
    await enoughTold;
  } finally {
    stream.stop();
  }
  return told;
}

const sequences = (told) => told.items.filter((item) => item.type === 'event').map((item) => item.seq);
const states = (told) => told.states.map((state) => state.name);

describe('the stream of a topic', { timeout: 60_000 }, () => {
  afterEach(() => {
    globalThis.fetch = realFetch;
  });

  test('resumes after the last whole event, and shows none twice', async () => {
    const half = frame(4).slice(0, 20);
    const told = await run(
      [
        streaming([frame(1) + frame(2), frame(3) + half], 'break'),
        streaming([frame(2), frame(3), frame(4)], 'close'),
        streaming([frame(5)]),
      ],
      ({ items }) => items.length === 5,
    );
    assert.deepEqual(sequences(told), [1, 2, 3, 4, 5]);
    assert.deepEqual(told.requests.map((request) => request['Last-Event-ID']), [undefined, 'e:3', 'e:4']);
    assert.equal(told.requests[0].url, '/v1/topics/session:abc/events');
    assert.equal(told.requests[0].Accept, 'text/event-stream');
    assert.deepEqual(states(told).slice(0, 5), ['connecting', 'live', 'waiting', 'connecting', 'live']);
    assert.equal(told.states.at(-1).reconnects, 2);
    assert.equal(told.states.find((state) => state.name === 'waiting').cursor, 'e:3');
  });

  test('takes a new log from its beginning, and says that there was a gap', async () => {
    const told = await run(
      [streaming([frame(7)], 'break'), streaming([gap('e:7', 'f:2'), frame(1, { epoch: 'f' }), frame(2, { epoch: 'f' })])],
      ({ items }) => items.length === 4,
    );
    assert.deepEqual(told.items.map((item) => item.cursor ?? item.type), ['e:7', 'gap', 'f:1', 'f:2']);
    assert.equal(told.items[1].newLog, true);
  });

  test('keeps what it knows over a gap in the same log', async () => {
    const told = await run(
      [streaming([frame(7)], 'break'), streaming([gap('e:7', 'e:90'), frame(5), frame(88), frame(90)])],
      ({ items }) => items.length === 4,
    );
    assert.deepEqual(sequences(told), [7, 88, 90]);
    assert.equal(told.items[1].newLog, false);
  });

  test('marks what is history, and hands on what is no JSON', async () => {
    const told = await run(
      [streaming([frame(1, { data: { _replayed: true } }), 'id: e:2\nevent: raw\ndata: not json\n\n', frame(3, { data: [1] })])],
      ({ items }) => items.length === 3,
    );
    assert.deepEqual(told.items.map((item) => item.replayed), [true, false, false]);
    assert.equal(told.items[1].data, 'not json');
  });

  test('stops at a refusal that is final, with its words', async () => {
    const told = await run(
      [refusing(422, { title: 'Unprocessable', detail: 'write it as kind:id' })],
      ({ states: all }) => all.at(-1)?.name === 'refused',
    );
    assert.equal(told.states.at(-1).reason, 'write it as kind:id');
    assert.equal(told.requests.length, 1);
  });

  test('comes back when the refusal says so', async () => {
    const before = Date.now();
    const told = await run(
      [refusing(503, { title: 'Draining' }, { 'Retry-After': '7' }), refusing(429, {}), streaming([frame(1)])],
      ({ items }) => items.length === 1,
    );
    const waits = told.states.filter((state) => state.name === 'waiting');
    assert.ok(waits[0].retryAt >= before + 7_000, 'Retry-After is kept');
    assert.ok(waits[1].retryAt < before + 5_000);
    assert.equal(waits[0].reason, 'Draining');
  });

  test('waits as long as the gateway asks for', async () => {
    const before = Date.now();
    const told = await run([streaming(['retry: 6000\n\n', frame(1)], 'break'), streaming([frame(2)])], ({ items }) => items.length === 2);
    const { retryAt } = told.states.find((state) => state.name === 'waiting');
    assert.ok(retryAt - before >= 3_000 && retryAt - Date.now() <= 6_000);
  });

  test('waits longer after each failure, and never in step with others', async () => {
    const told = await run([], ({ states: all }) => all.filter((state) => state.name === 'waiting').length === 8);
    const waits = told.states.filter((state) => state.name === 'waiting');
    assert.ok(waits.every((state) => state.reason === 'the gateway cannot be reached'));
    const lengths = waits.map((state) => state.retryAt - Date.now());
    assert.ok(lengths.at(-1) > 4_000 && lengths.at(-1) <= 10_000, String(lengths));
  });

  test('refuses an answer that is no stream', async () => {
    const told = await run([() => new Response('<html>', { headers: { 'Content-Type': 'text/html' } })], ({ states: all }) => all.at(-1)?.name === 'refused');
    assert.match(told.states.at(-1).reason, /no event stream/);
  });
});
