/**
 * A stream of server-sent events that comes back by itself.
 *
 * It knows when a link is dead although nobody said so, waits between attempts without coming back
 * in a crowd, and tells refusals that are final from those that are not. What the frames mean is
 * its owner's matter.
 */

import { refused, withCredential, wordsOf } from './access.js';
import { SseParser } from './sse.js';

/** The gateway sends a comment every 15 s; silence for longer than this is a dead link. */
const SILENCE_MAX = 40_000;
/** Before the first try again, unless the gateway says how long with `retry:`. */
const BACKOFF_FIRST = 300;
const BACKOFF_MAX = 10_000;
/** A connection that lived this long was a good one: the next backoff starts small again. */
const GOOD_AFTER = 5_000;

/**
 * @typedef {object} LinkState
 * @property {'connecting'|'live'|'waiting'|'refused'|'stopped'} name
 * @property {number} reconnects
 * @property {number} [retryAt] when the next attempt is due
 * @property {string} [reason] in words
 * @property {boolean} [returned] this is not the first connection
 */

export class SseLink {
  #path;
  #owner;
  #attempts = 0;
  #backoffFirst = BACKOFF_FIRST;
  #opened = 0;
  #stopped = true;
  #running = false;
  #abort = null;
  #wake = null;

  /**
   * @param {string} path
   * @param {{
   *   headers?: () => Record<string, string>,
   *   frames: (frames: import('./sse.js').Frame[]) => number,
   *   state: (state: LinkState) => void,
   * }} owner `frames` gives how many of them were news
   */
  constructor(path, owner) {
    this.#path = path;
    this.#owner = owner;
  }

  start() {
    if (!this.#stopped) return;
    this.#stopped = false;
    if (!this.#running) this.#run();
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
    this.#running = true;
    while (!this.#stopped) {
      this.#tell('connecting', { reason: this.#opened > 0 ? 'connection lost' : undefined });
      const end = await this.#attempt();
      if (this.#stopped) break;
      if (end.final) {
        this.#running = false;
        this.#stopped = true;
        this.#tell('refused', { reason: end.reason });
        return;
      }
      await this.#pause(end);
    }
    this.#running = false;
    this.#tell('stopped');
  }

  /** One connection, from request to its end. Never throws. */
  async #attempt() {
    this.#abort = new AbortController();
    const watchdog = new Watchdog(SILENCE_MAX, this.#abort);
    try {
      const response = await fetch(this.#path, {
        headers: withCredential({ Accept: 'text/event-stream', ...this.#owner.headers?.() }),
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
      const news = this.#owner.frames(frames);
      if (news > 0 || performance.now() - openedAt > GOOD_AFTER) this.#attempts = 0;
    }
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
    this.#owner.state({ name, reconnects: Math.max(0, this.#opened - 1), ...more });
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
  const said = await response.text().catch(() => '');
  const reason = wordsOf(said) ?? `the gateway answered ${response.status}`;
  if (response.status === 401) refused(reason);
  const again = [408, 425, 429].includes(response.status) || response.status >= 500;
  if (!again) return { final: true, reason };
  const seconds = Number(response.headers.get('Retry-After'));
  return seconds > 0 ? { reason, retryAfter: seconds * 1000 } : { reason };
}

function words(error) {
  return error instanceof TypeError ? 'the gateway cannot be reached' : String(error?.message ?? error);
}
