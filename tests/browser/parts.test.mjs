/** The page's pure parts, without a browser. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pageOf, parseCursor, parseTopic, topicPath } from '../../clients/dashboard/assets/cursor.js';
import { Figures } from '../../clients/dashboard/assets/figures.js';
import { bytes, clock, countdown, duration, percent, plural, statusWords } from '../../clients/dashboard/assets/format.js';
import { buckets, by, parseMetrics, quantile, sum } from '../../clients/dashboard/assets/metrics-text.js';
import { niceTop } from '../../clients/dashboard/assets/scale.js';
import { beatOf } from '../../clients/dashboard/assets/beat.js';
import { chosen, readLine } from '../../clients/dashboard/assets/topics-stream.js';
import { snippets } from '../../clients/dashboard/assets/snippets.js';
import { readResult } from '../../clients/dashboard/assets/result.js';
import { fieldFor } from '../../clients/dashboard/assets/schema.js';
import { SseParser } from '../../clients/dashboard/assets/sse.js';
import { Story } from '../../clients/dashboard/assets/story.js';

describe('the stream parser', () => {
  const text = [
    '\uFEFF: hello\n\n',
    'id: 0000a:1\nevent: progress\ndata: {"progress": 1}\n\n',
    'event: error\r\ndata: first\r\ndata:second\r\n\r\n',
    'retry: 250\rid:0000a:3\rdata:  kept space\rignored: yes\rdata\r\r',
    'event: nothing\n\n: comment\n\ndata: last\n\n',
    'data: unfinished',
  ].join('');
  const frames = [
    { name: 'progress', data: '{"progress": 1}', id: '0000a:1' },
    { name: 'error', data: 'first\nsecond', id: null },
    { name: 'message', data: ' kept space\n', id: '0000a:3' },
    { name: 'message', data: 'last', id: null },
  ];

  test('gives the same frames wherever the pieces are cut', () => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parser = new SseParser();
      const got = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
      assert.deepEqual(got, frames, `cut at ${cut}`);
      assert.equal(parser.retry, 250);
    }
  });

  test('gives the same frames character by character', () => {
    const parser = new SseParser();
    assert.deepEqual([...text].flatMap((character) => parser.push(character)), frames);
  });
});

describe('a cursor', () => {
  test('is epoch and sequence, or nothing', () => {
    assert.deepEqual(parseCursor('0000a:12'), { epoch: '0000a', seq: 12 });
    for (const wrong of ['', ':1', 'a:', 'a:b', 'a', 'a:-1', null, 12]) assert.equal(parseCursor(wrong), null, String(wrong));
  });

  test('belongs to a topic whose address keeps the colon', () => {
    assert.deepEqual(parseTopic('session:a:b'), { kind: 'session', id: 'a:b' });
    assert.equal(topicPath('session:a/b'), '/v1/topics/session:a%2Fb');
    assert.equal(pageOf('job:x&y'), '/?topic=job:x%26y');
  });
});

describe('a story', () => {
  let seq = 0;
  const event = (name, data) => {
    seq += 1;
    return { type: 'event', seq, epoch: 'e', cursor: `e:${seq}`, name, data, replayed: false, receivedAt: 1_000 };
  };
  const told = (...items) => {
    const story = new Story('session:abc');
    for (const item of items) story.apply(item);
    return story;
  };

  test('keeps the newest progress', () => {
    const story = told(
      event('progress', { progress: 1, status: 'ACTIVE' }),
      event('progress', { progress: 50, status: 'PROCESSING', prompts: { total: 2 } }),
    );
    assert.equal(story.progress, 50);
    assert.equal(story.status, 'PROCESSING');
    assert.deepEqual(story.prompts, { total: 2 });
  });

  test('reads the progress of a job from its files', () => {
    const story = told(
      event('job_started', { total_files: 4 }),
      event('file_processing', { current_file: 'a.pdf', processed_files: 1, total_files: 4, status: 'Processing' }),
    );
    assert.equal(story.progress, 25);
    assert.equal(story.message, 'a.pdf');
    assert.equal(told(event('job_completed', { message: 'done' })).outcome.words, 'done');
  });

  test('replaces a running result, but never a finished one', () => {
    const result = (status) => event('model_result', { modelName: 'm', status });
    const story = told(result('processing'), result('completed'), result('completed'), result('failed'));
    assert.deepEqual(story.results.map((each) => each.status), ['completed', 'completed', 'failed']);
    assert.equal(story.failed, 1);
  });

  test('closes a question for everybody, and remembers what was asked', () => {
    const asked = event('clarification', { clarificationId: 'c', question: 'Why?', default: 1 });
    const answered = event('clarification', { clarificationId: 'c', status: 'answered', response: 2, answeredBy: 'default' });
    assert.equal(told(asked).openClarifications.length, 1);
    const story = told(asked, answered);
    assert.equal(story.openClarifications.length, 0);
    const { question, response, status } = story.clarifications.get('c');
    assert.deepEqual({ question, response, status }, { question: 'Why?', response: 2, status: 'answered' });
  });

  test('has failed only if the error was its end', () => {
    const story = told(event('error', { error: 'one file' }));
    assert.equal(story.problem.terminal, false);
    assert.equal(story.status, null);
    story.endAt(story.problem.seq + 1);
    assert.equal(story.status, null);
    story.endAt(story.problem.seq);
    assert.equal(story.status, 'FAILED');
    assert.equal(story.timeline.at(-1).class, 'terminal');
  });

  test('forgets what a lost log told, and says so on the timeline', () => {
    const gap = (newLog) => ({ type: 'gap', from: 'e:1', to: 'f:1', newLog, receivedAt: 1 });
    const before = event('progress', { progress: 9 });
    assert.equal(told(before, gap(false)).progress, 9);
    const story = told(before, gap(true));
    assert.equal(story.progress, null);
    assert.deepEqual(story.timeline.map((each) => each.kind), ['event', 'gap']);
  });

  test('takes earlier events into their places, with the class that the log knows', () => {
    const story = new Story('session:abc');
    const at = (number, name) => ({ ...event(name, {}), seq: number, cursor: `e:${number}` });
    story.apply(at(3, 'progress'));
    story.mark({ kind: 'lost', at: 1 });
    story.mark({ kind: 'resumed', at: 2 });
    story.apply(at(5, 'step'));
    assert.equal(story.missing, 3);
    const envelope = (number, kind) => ({ seq: number, epoch: 'e', name: 'step', timestamp: '2026-01-15T10:00:00.000Z', class: kind, data: {} });
    story.fillIn([envelope(5, 'terminal'), envelope(4, 'fact'), envelope(1, 'state'), { ...envelope(2, 'fact'), epoch: 'other' }]);
    assert.deepEqual(story.timeline.map((each) => each.seq ?? each.kind), [1, 3, 'lost', 'resumed', 'conflated', 4, 5]);
    assert.deepEqual(story.timeline.filter((each) => each.seq).map((each) => each.class), ['state', 'state', 'fact', 'terminal']);
    assert.equal(story.missing, 1);
  });

  test('closes after a gap what the gateway holds open no more', () => {
    const ask = (id) => event('clarification', { clarificationId: id, question: id });
    const story = told(ask('a'), ask('b'), ask('c'));
    const asked = story.openClarifications;
    story.apply(ask('new'));
    story.keepOpen([{ data: { clarificationId: 'a', status: 'pending' } }, { data: { clarificationId: 'b', status: 'answered', response: 1 } }], asked);
    const states = [...story.clarifications.values()].map((each) => each.status);
    assert.deepEqual(states, ['open', 'answered', 'closed', 'open']);
    assert.equal(story.clarifications.get('b').response, 1);
  });

  test('stays within its bounds', () => {
    const story = new Story('session:abc');
    for (let step = 0; step < 30_000; step += 1) story.apply(event('model_result', { modelName: 'm', status: 'completed' }));
    assert.ok(story.timeline.length <= 6_000);
    assert.ok(story.results.length <= 24_000);
    assert.equal(story.results.length + story.resultsDropped, 30_000);
    assert.equal(story.timeline.length + story.timelineDropped, 30_000);
  });

  test('takes any payload', () => {
    for (const data of [null, 7, 'text', [], {}, { prompts: 3, progress: 'x', result: [] }]) {
      for (const name of ['progress', 'model_result', 'clarification', 'completed', 'error', 'other']) told(event(name, data));
    }
  });
});

describe('a result', () => {
  test('is read alike in the shapes that producers send', () => {
    const figures = { bytes: 10, lines: 2, words: 3 };
    const words = [{ word: 'the', count: 2 }];
    for (const data of [
      { file: 'a', ...figures, topWords: [['the', 2]] },
      { file: 'a', result: { ...figures, top_words: { the: 2 } } },
      { path: 'a', result: JSON.stringify({ ...figures, topWords: words }) },
    ]) {
      const { title, bytes: size, lines, words: number, topWords, tone } = readResult(data, 'id');
      assert.deepEqual({ title, size, lines, number, topWords, tone }, { title: 'a', size: 10, lines: 2, number: 3, topWords: words, tone: 'good' });
    }
    assert.equal(readResult({ modelName: 'm', error: 'no' }, 'id').tone, 'bad');
  });
});

describe('the form of an answer', () => {
  const kindOf = (schema) => fieldFor(schema).kind;

  test('follows the schema', () => {
    assert.equal(kindOf(undefined), 'text');
    assert.equal(kindOf({ enum: [1, 2] }), 'choice');
    assert.equal(kindOf({ oneOf: [{ const: 1, title: 'One' }] }), 'choice');
    assert.equal(kindOf({ type: 'boolean' }), 'choice');
    assert.equal(kindOf({ type: ['integer', 'null'] }), 'number');
    assert.equal(kindOf({ type: 'string' }), 'string');
    assert.equal(kindOf({ type: 'string', maxLength: 5_000 }), 'text');
    assert.equal(kindOf({ type: 'array', items: { enum: ['a'] } }), 'choices');
    assert.equal(kindOf({ type: 'array', items: { type: 'object' } }), 'json');
    assert.equal(kindOf({ properties: { a: { type: 'string' } } }), 'object');
    assert.equal(kindOf({ type: 'object' }), 'json');
    assert.equal(kindOf({ not: {} }), 'json');
    assert.equal(kindOf(true), 'text');
  });

  test('knows what is required, limited and chosen beforehand', () => {
    const field = fieldFor(
      { type: 'object', required: ['n'], properties: { n: { type: 'integer', minimum: 1, maximum: 9 }, s: { type: 'string', default: 'x' } } },
      { n: 4 },
    );
    const [n, s] = field.fields.map((each) => each.field);
    assert.deepEqual([n.required, n.initial, n.limits], [true, 4, { min: 1, max: 9, step: 1 }]);
    assert.deepEqual([s.required, s.initial], [false, 'x']);
  });

  test('turns a pattern into one that has to match the whole input', () => {
    const { pattern } = fieldFor({ type: 'string', pattern: '^[A-Z]{2}$' }).limits;
    const whole = new RegExp(`^(?:${pattern})$`, 'v');
    assert.ok(whole.test('DE') && !whole.test('DEU') && !whole.test('de'));
    assert.equal(fieldFor({ type: 'string', pattern: '(' }).limits.pattern, undefined);
  });
});

describe('the figures', () => {
  test('count live events, and measure only those', () => {
    const figures = new Figures();
    const at = Date.parse('2026-01-15T10:00:00.000Z');
    const event = (delay, replayed) => ({ type: 'event', replayed, receivedAt: at + delay, data: { timestamp: '2026-01-15T10:00:00.000Z' } });
    for (const delay of [5, 7, 9]) figures.take(event(delay, false));
    figures.take(event(100, true));
    figures.take({ type: 'gap' });
    assert.equal(figures.events, 4);
    assert.equal(figures.gaps, 1);
    assert.equal(figures.latency(), 7);
    assert.equal(figures.rate(at + 100), 0.8);
    assert.equal(figures.rate(at + 60_000), 0);
  });
});

describe('numbers and times', () => {
  test('read well', () => {
    assert.deepEqual([0, 1023, 1536, 150 * 1024, 3 * 1024 ** 3].map(bytes), ['0 B', '1023 B', '1.5 KiB', '150 KiB', '3.0 GiB']);
    assert.deepEqual([0.4, 38, 1_400, 12_000, 125_000, 3_700_000].map(duration), ['0.4 ms', '38 ms', '1.4 s', '12 s', '2 min 5 s', '1 h 1 min']);
    assert.deepEqual([-5, 8_100, 125_000, 3_725_000].map(countdown), ['0:00', '0:09', '2:05', '1:02:05']);
    assert.deepEqual([100, 42.42, 41.96, 120, -3].map(percent), ['100', '42.4', '42', '100', '0']);
    assert.deepEqual([plural(1, 'line'), plural(1_200, 'line')], ['1 line', '1,200 lines']);
    assert.equal(statusWords('in_progress'), 'In progress');
    assert.equal(clock('no date'), '–');
    assert.match(clock('2026-01-15T10:00:00.007Z', true), /^\d\d:\d\d:00\.007$/);
  });
});

describe('metrics', () => {
  const text = [
    '# TYPE tidings_events counter',
    'tidings_events_total{class="state"} 30',
    'tidings_events_total{class="fact"} 12',
    'odd{label="a \\"quoted\\" one"} 1',
    'tidings_delivery_seconds_bucket{face="sse",le="0.001"} 5',
    'tidings_delivery_seconds_bucket{face="sse",le="0.01"} 9',
    'tidings_delivery_seconds_bucket{face="sse",le="+Inf"} 10',
    'tidings_delivery_seconds_bucket{face="ws",le="0.001"} 5',
    'tidings_delivery_seconds_bucket{face="ws",le="0.01"} 9',
    'tidings_delivery_seconds_bucket{face="ws",le="+Inf"} 10',
    '# EOF',
  ].join('\n');
  const series = parseMetrics(text);

  test('are read with their labels', () => {
    assert.equal(sum(series, 'tidings_events_total'), 42);
    assert.equal(sum(series, 'nothing'), null);
    assert.deepEqual(by(series, 'tidings_events_total', 'class'), [['state', 30], ['fact', 12]]);
    assert.equal(series.get('odd')[0].labels.label, 'a "quoted" one');
  });

  test('give quantiles of what was counted since', () => {
    const now = buckets(series, 'tidings_delivery_seconds');
    assert.deepEqual(now.map(({ count }) => count), [10, 18, 20]);
    assert.equal(quantile(0.5, now), 0.001);
    assert.equal(quantile(0.99, now), 0.01, 'what is beyond the last bound is at least that');
    assert.equal(quantile(0.5, now, now), null);
    assert.equal(quantile(0.25, now), 0.0005);
  });

  test('become rates', () => {
    const at = (time, published) => ({ at: time, published, delivered: null, conflated: 0, delivery: [] });
    assert.deepEqual(beatOf(at(3_000, 50), at(1_000, 10)), { at: 3_000, published: 20, delivered: null, conflated: 0, p50: null, p99: null });
  });

  test('are drawn up to a round number', () => {
    assert.deepEqual([0.7, 1, 3, 42, 99, 101].map(niceTop), [1, 1, 5, 50, 100, 200]);
  });
});

describe('the list of topics', () => {
  const line = (topic, more) => readLine({ topic, status: 'active', cursor: 'e:3', subscribers: 0, updated_at: '2026-01-15T10:00:00.000Z', progress: null, questions: 0, ...more });
  const lines = [
    line('session:b', { progress: 90, updated_at: '2026-01-15T10:00:09.000Z' }),
    line('session:a', { questions: 1, subscribers: 4 }),
    line('job:c', { status: 'failed', progress: 5 }),
  ];
  const names = (wish) => chosen(lines, { words: '', kind: '', state: '', order: 'name', ...wish }).map((each) => each.topic);

  test('is filtered and ordered', () => {
    assert.deepEqual(names({}), ['job:c', 'session:a', 'session:b']);
    assert.deepEqual(names({ order: 'newest' }), ['session:b', 'job:c', 'session:a']);
    assert.deepEqual(names({ order: 'progress' }), ['session:b', 'job:c', 'session:a']);
    assert.deepEqual(names({ order: 'watching' })[0], 'session:a');
    assert.deepEqual(names({ state: 'asking' }), ['session:a']);
    assert.deepEqual(names({ state: 'failed' }), ['job:c']);
    assert.deepEqual(names({ kind: 'session', words: ' A ' }), ['session:a']);
    assert.equal(lines[0].seq, 3);
  });
});

describe('snippets', () => {
  test('survive quotes in what is published', () => {
    const { curl } = snippets({ origin: 'http://h', topic: 'session:a', name: 'note', data: { text: "it's" } });
    assert.match(curl, /-d '\{"name":"note","data":\{"text":"it'\\''s"\}\}'$/);
  });

  test('bear a credential where one is needed', () => {
    const all = snippets({ origin: 'http://h', topic: 'job:a', needsCredential: true });
    for (const code of Object.values(all).filter((each) => !each.includes('useJob'))) assert.match(code, /token/i);
  });
});
