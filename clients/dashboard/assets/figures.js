/** The small live figures: how many, how fast, how late. Pure but for the clock it is given. */

const WINDOW = 5_000;
const LATENCIES_MAX = 200;

export class Figures {
  events = 0;
  gaps = 0;
  reconnects = 0;
  #arrivals = [];
  #latencies = [];

  /** @param {import('./stream.js').StreamEvent | import('./stream.js').StreamGap} item */
  take(item) {
    if (item.type === 'gap') {
      this.gaps += 1;
      return;
    }
    this.events += 1;
    const slot = Math.floor(item.receivedAt / 250);
    const last = this.#arrivals.at(-1);
    if (last?.slot === slot) last.count += 1;
    else this.#arrivals.push({ slot, at: item.receivedAt, count: 1 });
    const sentAt = Date.parse(item.data?.timestamp);
    if (item.replayed || Number.isNaN(sentAt)) return;
    this.#latencies.push(Math.max(0, item.receivedAt - sentAt));
    if (this.#latencies.length > LATENCIES_MAX) this.#latencies.shift();
  }

  /** Events a second over the last few seconds. */
  rate(now) {
    while (this.#arrivals.length > 0 && now - this.#arrivals[0].at > WINDOW) this.#arrivals.shift();
    const total = this.#arrivals.reduce((sum, each) => sum + each.count, 0);
    return total / (WINDOW / 1000);
  }

  /** The latency that half of the newest live events stayed under, or null before the first. */
  latency() {
    if (this.#latencies.length === 0) return null;
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}
