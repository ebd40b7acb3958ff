/**
 * How busy the node is, over the last minutes: `/metrics`, asked for every two seconds while
 * somebody looks, as rates.
 */

import { ask } from './access.js';
import { beatOf } from './beat.js';
import { buckets, parseMetrics, sum } from './metrics-text.js';

const INTERVAL = 2_000;
/** Five minutes. */
const SAMPLES_MAX = 150;
/** A pause longer than this is a hole in the plot, not one slow interval. */
const HOLE = 3 * INTERVAL;

const DELIVERY = 'tidings_delivery_seconds';

class Pulse extends EventTarget {
  /** @type {import('./beat.js').Beat[]} */
  beats = [];
  /** The newest figures, by series. @type {Map<string, import('./metrics-text.js').Sample[]>} */
  series = new Map();
  /** Why there are none, in words; null while there are. */
  reason = null;
  #last = null;
  #timer = null;
  #started = false;

  start() {
    if (this.#started) return;
    this.#started = true;
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#soon(0));
    this.#soon(0);
  }

  /** The newest beat, if there is one. */
  get now() {
    return this.beats.at(-1) ?? null;
  }

  #soon(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), delay);
  }

  async #ask() {
    if (document.visibilityState !== 'visible') return;
    try {
      const text = await (await ask('/metrics', { headers: { Accept: 'text/plain' } })).text();
      this.#take(parseMetrics(text), Date.now());
      this.reason = null;
    } catch (error) {
      this.reason = error.message;
      // Whoever may not read the metrics will not be let in two seconds later either.
      if (error.status === 403 || error.status === 401) {
        this.dispatchEvent(new Event('beat'));
        return;
      }
    }
    this.dispatchEvent(new Event('beat'));
    this.#soon(INTERVAL);
  }

  #take(series, at) {
    const totals = {
      at,
      published: sum(series, 'tidings_events_total') ?? 0,
      delivered: sum(series, 'tidings_deliveries_total'),
      conflated: sum(series, 'tidings_events_conflated_total') ?? 0,
      delivery: buckets(series, DELIVERY),
    };
    const last = this.#last;
    this.series = series;
    this.#last = totals;
    // The first has nothing to be compared with; a node that began anew counts from nothing.
    if (!last || totals.published < last.published) return;
    if (at - last.at > HOLE) this.beats.push({ at: last.at + 1, published: null, delivered: null, conflated: null, p50: null, p99: null });
    this.beats.push(beatOf(totals, last));
    if (this.beats.length > SAMPLES_MAX) this.beats.splice(0, this.beats.length - SAMPLES_MAX);
  }
}

export const pulse = new Pulse();
