/**
 * What a topic's events tell, folded into what the page shows.
 *
 * Pure: it knows no document and no network, and every list in it is bounded.
 */

import { parseTopic } from './cursor.js';
import { readResult } from './result.js';

const RESULTS_MAX = 20_000;
const TIMELINE_MAX = 5_000;
const CLARIFICATIONS_MAX = 500;

/** The states in which a question takes no answer. */
const CLOSED = { answered: 'answered', expired: 'expired' };

const STATE_NAMES = new Set(['progress', 'file_processing', 'system_metrics']);
const TERMINAL_NAMES = new Set(['completed', 'job_completed', 'cancelled']);

/** The class that the gateway's defaults give an event of this name. */
export function classOf(name) {
  if (STATE_NAMES.has(name)) return 'state';
  return TERMINAL_NAMES.has(name) ? 'terminal' : 'fact';
}

export class Story {
  /** @param {string} topic */
  constructor(topic) {
    this.topic = topic;
    Object.assign(this, parseTopic(topic));
    this.timeline = [];
    this.timelineDropped = 0;
    this.clear();
  }

  /** Forgets what was told, but not the timeline: the log began anew. */
  clear() {
    this.status = null;
    this.progress = null;
    this.prompts = null;
    this.message = null;
    this.lastAt = null;
    this.results = [];
    this.resultsDropped = 0;
    this.failed = 0;
    this.running = new Map();
    this.clarifications = new Map();
    this.outcome = null;
    this.problem = null;
    this.epoch = null;
    this.lastSeq = 0;
    this.known = 0;
    this.conflated = 0;
  }

  /** How many events of the log are not on the timeline: merged before they came here, or older than this page. */
  get missing() {
    return this.timelineDropped > 0 ? 0 : this.lastSeq - this.known;
  }

  get openClarifications() {
    return [...this.clarifications.values()].filter((each) => each.status === 'open');
  }

  /** @param {import('./stream.js').StreamEvent | import('./stream.js').StreamGap} item */
  apply(item) {
    if (item.type === 'gap') {
      if (item.newLog) this.clear();
      this.mark({ kind: 'gap', from: item.from, to: item.to, newLog: item.newLog, at: item.receivedAt });
      return;
    }
    this.#noteSkipped(item);
    this.epoch = item.epoch;
    this.lastSeq = item.seq;
    this.known += 1;
    this.mark({ kind: 'event', class: classOf(item.name), at: timeOf(item), ...item });
    this.lastAt = Math.max(this.lastAt ?? 0, timeOf(item));
    const data = isObject(item.data) ? item.data : {};
    switch (item.name) {
      case 'model_result':
        this.#result(item, data);
        break;
      case 'clarification':
        this.#clarification(item, data);
        break;
      case 'completed':
      case 'job_completed':
        this.#completed(item, data);
        break;
      case 'error':
        this.#error(item, data);
        break;
      case 'cancelled':
        this.status = 'cancelled';
        break;
      default:
        this.#progress(data);
    }
  }

  /** Live events that follow each other with a hole between: newer states stood for those in it. */
  #noteSkipped(item) {
    if (item.replayed || item.epoch !== this.epoch || this.lastSeq === 0) return;
    const skipped = item.seq - this.lastSeq - 1;
    if (skipped <= 0) return;
    this.conflated += skipped;
    this.mark({ kind: 'conflated', count: skipped, from: this.lastSeq + 1, to: item.seq - 1, at: timeOf(item) });
  }

  /** Puts an entry on the timeline; the oldest leaves when it is full. */
  mark(entry) {
    this.timeline.push(entry);
    if (this.timeline.length > TIMELINE_MAX * 1.2) {
      this.timelineDropped += this.timeline.length - TIMELINE_MAX;
      this.timeline = this.timeline.slice(-TIMELINE_MAX);
    }
  }

  /**
   * Puts events of the log into their places on the timeline. The rest of the
   * story is not told again: the snapshot already said how it came out.
   *
   * @param {object[]} envelopes in any order
   */
  fillIn(envelopes) {
    const start = this.timeline.findLastIndex((entry) => entry.kind === 'gap' && entry.newLog) + 1;
    const here = new Map();
    let order = 0;
    for (const entry of this.timeline.slice(start)) {
      // A mark stays behind the event it came after.
      order = entry.kind === 'event' ? entry.seq : order + 0.0001;
      here.set(order, entry);
    }
    for (const envelope of envelopes) {
      if (envelope.epoch !== this.epoch || envelope.seq > this.lastSeq) continue;
      const entry = here.get(envelope.seq);
      if (entry?.class === envelope.class) continue;
      if (!entry) this.known += 1;
      here.set(envelope.seq, entry ? { ...entry, class: envelope.class } : pastEntry(envelope));
    }
    const tail = [...here].sort(([a], [b]) => a - b).map(([, entry]) => entry);
    this.timeline = [...this.timeline.slice(0, start), ...tail].slice(-TIMELINE_MAX);
  }

  /**
   * Closes the questions that the gateway no longer holds open: after a gap
   * their answers were among what was missed.
   *
   * @param {object[]} held the events that asked them, as the snapshot lists them
   * @param {object[]} asked those that were open when the snapshot was asked for
   */
  keepOpen(held, asked) {
    const byId = new Map(held.map(({ data }) => [String(data.clarificationId), data]));
    for (const { id } of asked) {
      const each = this.clarifications.get(id);
      const now = byId.get(id);
      const status = now ? CLOSED[now.status] : 'closed';
      if (each?.status !== 'open' || !status) continue;
      this.clarifications.set(id, { ...each, ...now, id, status, closedAt: moment(now?.answeredAt) });
    }
  }

  #progress(data) {
    if (Number.isFinite(data.progress)) this.progress = data.progress;
    const { processed_files: done, total_files: total } = data;
    if (Number.isFinite(done) && total > 0) {
      this.progress = (100 * done) / total;
      this.prompts = { ...this.prompts, total, completed: done };
    } else if (Number.isFinite(total)) {
      this.prompts = { ...this.prompts, total };
    }
    if (isObject(data.prompts)) this.prompts = data.prompts;
    if (typeof data.status === 'string') this.status = data.status;
    const message = data.message ?? data.current_file;
    if (typeof message === 'string') this.message = message;
  }

  #result(item, data) {
    const result = readResult(data, item.cursor);
    result.at = timeOf(item);
    const earlier = this.running.get(result.key);
    if (earlier) {
      Object.assign(earlier, result, { id: earlier.id, revision: earlier.revision + 1 });
      if (result.tone !== 'busy') this.running.delete(result.key);
      if (result.tone === 'bad') this.failed += 1;
      return;
    }
    this.results.push(result);
    if (result.tone === 'busy') this.running.set(result.key, result);
    if (result.tone === 'bad') this.failed += 1;
    if (this.results.length > RESULTS_MAX * 1.2) {
      this.resultsDropped += this.results.length - RESULTS_MAX;
      this.results = this.results.slice(-RESULTS_MAX);
    }
  }

  #clarification(item, data) {
    const id = String(data.clarificationId ?? data.id ?? item.cursor);
    const before = this.clarifications.get(id);
    const status = CLOSED[data.status] ?? 'open';
    const next = { ...before, ...data, id, status, at: before?.at ?? timeOf(item) };
    if (status !== 'open') next.closedAt = moment(data.answeredAt) ?? timeOf(item);
    this.clarifications.set(id, next);
    if (this.clarifications.size > CLARIFICATIONS_MAX) {
      this.clarifications.delete(this.clarifications.keys().next().value);
    }
  }

  #completed(item, data) {
    this.status = 'COMPLETED';
    this.progress = 100;
    this.outcome = {
      good: true,
      at: timeOf(item),
      words: typeof data.message === 'string' ? data.message : null,
      result: data.result ?? data.summary ?? withoutEnvelope(data),
    };
  }

  #error(item, data) {
    const words = String(data.error ?? data.message ?? 'an error without words');
    this.problem = { words, at: timeOf(item), seq: item.seq, data: withoutEnvelope(data), terminal: false };
  }

  /** Says that the log holds nothing after this sequence: an error there has ended the story. */
  endAt(seq) {
    if (this.problem?.seq !== seq || this.outcome) return;
    this.problem = { ...this.problem, terminal: true };
    this.status = 'FAILED';
    const at = this.timeline.findLastIndex((entry) => entry.seq === seq);
    if (at >= 0) this.timeline[at] = { ...this.timeline[at], class: 'terminal' };
  }
}

/** A payload without what the gateway and the envelope added to it. */
export function withoutEnvelope(data) {
  const rest = Object.entries(data).filter(
    ([key]) => !key.startsWith('_') && !['sessionId', 'job_id', 'timestamp'].includes(key),
  );
  return Object.fromEntries(rest);
}

export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function pastEntry({ seq, epoch, name, data, timestamp, ...envelope }) {
  const at = moment(timestamp) ?? 0;
  return { type: 'event', kind: 'event', seq, epoch, cursor: `${epoch}:${seq}`, name, data, class: envelope.class, at, replayed: true };
}

function moment(text) {
  const at = typeof text === 'string' ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? null : at;
}

function timeOf(item) {
  return moment(item.data?.timestamp) ?? item.receivedAt;
}
