/** Asks for something again and again while somebody looks, and tells how the asking goes. */

const REFRESH = 2_000;
const BACKOFF_MAX = 10_000;

export class Poll {
  #ask;
  #tell;
  #timer = null;
  #failures = 0;
  #running = false;
  #wake = () => document.visibilityState === 'visible' && this.now();

  /**
   * @param {() => Promise<void>} ask
   * @param {(state: {name: string, reason?: string, retryAt?: number, cursor: null}) => void} [tell]
   */
  constructor(ask, tell = () => {}) {
    this.#ask = ask;
    this.#tell = tell;
  }

  start() {
    this.#running = true;
    document.addEventListener('visibilitychange', this.#wake);
    this.now();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#wake);
  }

  /** Asks at once, without waiting for the next turn. */
  now() {
    clearTimeout(this.#timer);
    this.#turn();
  }

  async #turn() {
    if (!this.#running || document.visibilityState !== 'visible') return;
    let delay = REFRESH;
    try {
      await this.#ask();
      this.#failures = 0;
      if (this.#running) this.#tell({ name: 'live', cursor: null });
    } catch (error) {
      this.#failures += 1;
      delay = Math.min(BACKOFF_MAX, REFRESH * 2 ** (this.#failures - 1));
      if (this.#running) this.#tell({ name: 'waiting', reason: error.message, retryAt: Date.now() + delay, cursor: null });
    }
    clearTimeout(this.#timer);
    if (this.#running) this.#timer = setTimeout(() => this.#turn(), delay);
  }
}

/** A poll that tells the shell how the link is. */
export function polled(element, ask) {
  const poll = new Poll(ask, (state) => {
    element.classList.toggle('stale', state.name === 'waiting');
    element.dispatchEvent(new CustomEvent('link', { detail: { state, retry: () => poll.now() }, bubbles: true }));
  });
  return poll;
}
