/**
 * One topic, live.
 *
 * Reads `GET /v1/topics/{topic}/events` as server-sent events, keeps the cursor,
 * and comes back by itself with `Last-Event-ID` after every drop. The listener
 * sees each sequence once and in order, or is told of a gap.
 */

import { parseCursor, topicPath } from './cursor.js';
import { SseLink } from './sse-link.js';

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
 * @typedef {import('./sse-link.js').LinkState & {cursor: string|null}} StreamState
 */

export class TopicStream {
  #listener;
  #link;
  #cursor = null;

  /**
   * @param {string} topic
   * @param {{items: (items: (StreamEvent|StreamGap)[]) => void, state: (state: StreamState) => void}} listener
   */
  constructor(topic, listener) {
    this.#listener = listener;
    this.#link = new SseLink(`${topicPath(topic)}/events`, {
      headers: () => (this.#cursor ? { 'Last-Event-ID': this.cursor } : {}),
      frames: (frames) => this.#frames(frames),
      state: (state) => listener.state({ ...state, cursor: this.cursor }),
    });
  }

  /** The last event seen, as `<epoch>:<seq>`. */
  get cursor() {
    return this.#cursor && `${this.#cursor.epoch}:${this.#cursor.seq}`;
  }

  start() {
    this.#link.start();
  }

  stop() {
    this.#link.stop();
  }

  /** Ends the wait before the next attempt. */
  retryNow() {
    this.#link.retryNow();
  }

  #frames(frames) {
    const items = frames.map((frame) => this.#take(frame)).filter(Boolean);
    if (items.length > 0) this.#listener.items(items);
    return items.length;
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
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
