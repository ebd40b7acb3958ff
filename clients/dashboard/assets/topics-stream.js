/** The list of topics, live: what `GET /v1/topics` tells as an event stream, kept as a map. */

import { SseLink } from './sse-link.js';

/**
 * @typedef {object} TopicLine
 * @property {string} topic
 * @property {string} kind
 * @property {string} id
 * @property {'active'|'completed'|'failed'} status
 * @property {string} cursor
 * @property {number} seq how many events it had since it began
 * @property {number} subscribers
 * @property {number} updatedAt
 * @property {number|null} progress
 * @property {number} questions
 */

export class TopicsStream {
  /** @type {Map<string, TopicLine>} */
  topics = new Map();
  total = 0;
  more = false;
  /** Why what is shown may be old, although the link is up. */
  stale = null;
  /** Whether the whole list has been here once. */
  complete = false;
  #link;
  #changed;

  /** @param {{changed: () => void, state: (state: import('./sse-link.js').LinkState) => void}} listener */
  constructor({ changed, state }) {
    this.#changed = changed;
    this.#link = new SseLink('/v1/topics', { frames: (frames) => this.#frames(frames), state });
  }

  start() {
    this.#link.start();
  }

  stop() {
    this.#link.stop();
  }

  retryNow() {
    this.#link.retryNow();
  }

  #frames(frames) {
    for (const { name, data } of frames) {
      if (name === 'topics') this.#apply(JSON.parse(data));
      else if (name === 'stale') this.stale = JSON.parse(data).error;
    }
    if (frames.length > 0) this.#changed();
    return frames.length;
  }

  #apply({ begins, topics, gone, total, more }) {
    if (begins) this.topics = new Map();
    for (const name of gone) this.topics.delete(name);
    for (const line of topics) this.topics.set(line.topic, readLine(line));
    this.total = total;
    this.more = more;
    this.stale = null;
    if (this.topics.size >= total) this.complete = true;
  }
}

/** @returns {TopicLine} */
export function readLine(line) {
  const colon = line.topic.indexOf(':');
  return {
    ...line,
    kind: line.topic.slice(0, colon),
    id: line.topic.slice(colon + 1),
    seq: Number(line.cursor.slice(line.cursor.lastIndexOf(':') + 1)),
    updatedAt: Date.parse(line.updated_at),
  };
}

const ORDERS = {
  newest: (a, b) => b.updatedAt - a.updatedAt || byName(a, b),
  name: byName,
  progress: (a, b) => (b.progress ?? -1) - (a.progress ?? -1) || byName(a, b),
  watching: (a, b) => b.subscribers - a.subscribers || byName(a, b),
};

function byName(a, b) {
  return a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0;
}

/**
 * The topics that are to be shown, in order.
 *
 * @param {Iterable<TopicLine>} topics
 * @param {{words: string, kind: string, state: string, order: keyof ORDERS}} wish
 */
export function chosen(topics, { words, kind, state, order }) {
  const wanted = words.trim().toLowerCase();
  const fits = (line) =>
    (kind === '' || line.kind === kind) &&
    (wanted === '' || line.topic.toLowerCase().includes(wanted)) &&
    (state === '' || (state === 'asking' ? line.questions > 0 : line.status === state));
  return [...topics].filter(fits).sort(ORDERS[order] ?? ORDERS.newest);
}
