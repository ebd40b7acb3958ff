/**
 * One topic, live.
 *
 * Reads `GET /v1/topics/{topic}/events` as server-sent events, keeps the cursor,
 * and comes back by itself with `Last-Event-ID` after every drop. The listener
 * sees each sequence once and in order, or is told of a gap.
 */

import { parseCursor, topicPath } from './cursor.js';
import { SseParser } from './sse.js';

/** The gateway sends a comment every 15 s; silence for longer than this is a dead link. */
const SILENCE_MAX = 40_000;
/** Before the first try again, unless the gateway says how long with `retry:`. */
const BACKOFF_FIRST = 300;
const BACKOFF_MAX = 10_000;
/** A connection that lived this long was a good one: the next backoff starts small again. */
const GOOD_AFTER = 5_000;

/**
 * @typedef {object} StreamEvent
 * @property {'event'} type
 * @property {number} seq
 * @property {string} epoch
 * @property {string} cursor
 * @property {string} name
 * @property {unknown} data
 * @property {boolean} replayed it is history, not news
 * @property {number} receivedAt
 *
 * @typedef {object} StreamGap
 * @property {'gap'} type
 * @property {string} from
 * @property {string} to
 * @property {boolean} newLog the log was lost and began anew; what was known is void
 * @property {number} receivedAt
 *
 * @typedef {object} StreamState
 * @property {'connecting'|'live'|'waiting'|'refused'|'stopped'} name
 * @property {string|null} cursor
 * @property {number} reconnects
 * @property {number} [retryAt] when the next attempt is due
 * @property {string} [reason] in words
 * @property {boolean} [returned] this is not the first connection
 */

export class TopicStream {
  #topic;
  #listener;
  #cursor = null;
  #attempts = 0;
  #backoffFirst = BACKOFF_FIRST;
  #opened = 0;
  #stopped = true;
  #abort = null;
  #wake = null;

  /**
   * @param {string} topic
   * @param {{items: (items: (StreamEvent|StreamGap)[]) => void, state: (state: StreamState) => void}} listener
   */
  constructor(topic, listener) {
    this.#topic = topic;
    this.#listener = listener;
  }

  /** The last event seen, as `<epoch>:<seq>`. */
  get cursor() {
    return this.#cursor && `${this.#cursor.epoch}:${this.#cursor.seq}`;
  }

  start() {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#run();
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  /** Ends the wait before the next attempt. */
  retryNow() {
    this.#wake?.();
  }

  async #run() {
    while (!this.#stopped) {
      this.#tell('connecting', { reason: this.#opened > 0 ? 'connection lost' : undefined });
      const end = await this.#attempt();
      if (this.#stopped) break;
      if (end.final) {
        this.#tell('refused', { reason: end.reason });
        return;
      }
      await this.#pause(end);
    }
    this.#tell('stopped');
  }

  /** One connection, from request to its end. Never throws. */
  async #attempt() {
    this.#abort = new AbortController();
    const watchdog = new Watchdog(SILENCE_MAX, this.#abort);
    try {
      const headers = { Accept: 'text/event-stream' };
      if (this.#cursor) headers['Last-Event-ID'] = this.cursor;
      const response = await fetch(`${topicPath(this.#topic)}/events`, {
        headers,
        cache: 'no-store',
        signal: this.#abort.signal,
      });
      if (!response.ok) return await refusal(response);
      if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
        return { final: true, reason: 'this address answers something that is no event stream' };
      }
      await this.#read(response.body, watchdog);
      return { reason: 'the gateway closed the stream' };
    } catch (error) {
      return { reason: watchdog.barked ? 'the gateway fell silent' : words(error) };
    } finally {
      watchdog.stop();
      this.#abort.abort();
    }
  }

  async #read(body, watchdog) {
    const openedAt = performance.now();
    this.#opened += 1;
    this.#tell('live', { returned: this.#opened > 1 });
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      watchdog.feed();
      const frames = parser.push(decoder.decode(value, { stream: true }));
      this.#backoffFirst = parser.retry ?? this.#backoffFirst;
      const items = frames.map((frame) => this.#take(frame)).filter(Boolean);
      if (items.length > 0 || performance.now() - openedAt > GOOD_AFTER) this.#attempts = 0;
      if (items.length > 0) this.#listener.items(items);
    }
  }

  /** Turns a frame into an item, or into nothing if it was seen before. */
  #take(frame) {
    const receivedAt = Date.now();
    const data = parseJson(frame.data);
    if (frame.name === 'gap') return this.#gap(data, receivedAt);
    const at = parseCursor(frame.id);
    if (!at) return null;
    if (this.#cursor?.epoch === at.epoch && at.seq <= this.#cursor.seq) return null;
    this.#cursor = at;
    return {
      type: 'event',
      seq: at.seq,
      epoch: at.epoch,
      cursor: frame.id,
      name: frame.name,
      data,
      replayed: data?._replayed === true,
      receivedAt,
    };
  }

  #gap(data, receivedAt) {
    const from = String(data?.from ?? this.cursor ?? '');
    const to = String(data?.to ?? '');
    const head = parseCursor(to);
    const known = this.#cursor;
    const newLog = Boolean(known && head && (head.epoch !== known.epoch || head.seq < known.seq));
    // What follows is the snapshot of another story: nothing of it was seen before.
    if (newLog) this.#cursor = null;
    return { type: 'gap', from, to, newLog, receivedAt };
  }

  /** Waits before the next attempt: doubling, capped, with jitter so that a crowd does not return at once. */
  async #pause({ reason, retryAfter }) {
    const ceiling = Math.min(BACKOFF_MAX, this.#backoffFirst * 2 ** this.#attempts);
    this.#attempts += 1;
    const delay = retryAfter ?? ceiling / 2 + (Math.random() * ceiling) / 2;
    this.#tell('waiting', { reason, retryAt: Date.now() + delay });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  #tell(name, more = {}) {
    const reconnects = Math.max(0, this.#opened - 1);
    this.#listener.state({ name, cursor: this.cursor, reconnects, ...more });
  }
}

/** Aborts a connection on which nothing arrives, not even a comment. */
class Watchdog {
  barked = false;
  #timer = null;

  constructor(silence, abort) {
    this.feed = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.barked = true;
        abort.abort();
      }, silence);
    };
    this.feed();
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Reads a refusal: some are final, others say when to come back. */
async function refusal(response) {
  const problem = parseJson(await response.text().catch(() => ''));
  const detail = problem?.detail ?? problem?.title ?? problem?.error;
  const reason = detail ? String(detail) : `the gateway answered ${response.status}`;
  const again = [408, 425, 429].includes(response.status) || response.status >= 500;
  if (!again) return { final: true, reason };
  const seconds = Number(response.headers.get('Retry-After'));
  return seconds > 0 ? { reason, retryAfter: seconds * 1000 } : { reason };
}

function words(error) {
  return error instanceof TypeError ? 'the gateway cannot be reached' : String(error?.message ?? error);
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
