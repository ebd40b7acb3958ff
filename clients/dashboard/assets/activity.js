/**
 * When what happened in a topic: one row a class, one bar a stretch of time, with the moments at
 * which something was lost or came back. Beside the list of events it shows the rhythm.
 */

import { h, setAttribute, setText } from './element.js';
import { clock, plural } from './format.js';
import { svg } from './plot.js';

const ROWS = [
  ['state', 'State'],
  ['fact', 'Fact'],
  ['terminal', 'Terminal'],
];
const ROW_HEIGHT = 26;
const LEFT = 64;
const BOTTOM = 20;
const BAR = 7;

export class TopicActivity extends HTMLElement {
  #timeline = [];
  #width = 0;

  connectedCallback() {
    if (this.canvas) return;
    this.classList.add('activity');
    this.canvas = svg('svg', { class: 'plot-canvas', role: 'img', height: ROWS.length * ROW_HEIGHT + BOTTOM });
    this.note = h('p', { class: 'visually-hidden' });
    this.append(this.canvas, this.note);
    this.observer = new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      this.#draw();
    });
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
  }

  /** @param {{kind: string, class?: string, at: number, replayed?: boolean}[]} timeline oldest first */
  show(timeline) {
    this.#timeline = timeline;
    this.hidden = timeline.length < 2;
    this.#draw();
  }

  #draw() {
    if (this.#width < 120 || this.hidden) return;
    const times = this.#timeline.map((entry) => entry.at);
    const [from, to] = [Math.min(...times), Math.max(...times)];
    const span = Math.max(1_000, to - from);
    const room = this.#width - LEFT - 4;
    const bins = Math.max(1, Math.floor(room / BAR));
    const counts = new Map(ROWS.map(([name]) => [name, { live: new Array(bins).fill(0), past: new Array(bins).fill(0) }]));
    const at = (time) => Math.min(bins - 1, Math.floor(((time - from) / span) * bins));
    for (const entry of this.#timeline) {
      const row = counts.get(entry.class);
      if (entry.kind === 'event' && row) row[entry.replayed ? 'past' : 'live'][at(entry.at)] += 1;
    }
    const top = Math.max(1, ...[...counts.values()].flatMap(({ live, past }) => live.map((value, index) => value + past[index])));
    const parts = ROWS.flatMap(([name, label], row) => this.#row(counts.get(name), { name, label, row, top }));
    const marks = this.#timeline.filter((entry) => entry.kind !== 'event').map((entry) => {
      const x = LEFT + at(entry.at) * BAR + 2;
      return svg('line', { class: `mark-line ${entry.kind}`, x1: x, x2: x, y1: 0, y2: ROWS.length * ROW_HEIGHT });
    });
    const foot = ROWS.length * ROW_HEIGHT + 15;
    parts.push(label(clock(from), { x: LEFT, y: foot }), label(clock(to), { x: LEFT + bins * BAR, y: foot, class: 'last' }));
    setAttribute(this.canvas, 'width', this.#width);
    setAttribute(this.canvas, 'viewBox', `0 0 ${this.#width} ${ROWS.length * ROW_HEIGHT + BOTTOM}`);
    setAttribute(this.canvas, 'aria-label', `${plural(this.#timeline.length, 'entry', 'entries')} from ${clock(from)} to ${clock(to)}`);
    this.canvas.replaceChildren(...parts, ...marks);
    setText(this.note, '');
  }

  #row({ live, past }, { name, label: words, row, top }) {
    const base = (row + 1) * ROW_HEIGHT - 4;
    const bars = live.flatMap((value, index) => {
      const both = value + past[index];
      if (both === 0) return [];
      const height = 3 + (Math.sqrt(both / top) * (ROW_HEIGHT - 9));
      const kind = value === 0 ? `${name} past` : name;
      return [svg('rect', { class: `beat ${kind}`, x: LEFT + index * BAR, y: base - height, width: BAR - 2, height, rx: 1.5 })];
    });
    return [label(words, { x: 0, y: base - 3 }), svg('line', { class: 'base', x1: LEFT, x2: this.#width, y1: base + 0.5, y2: base + 0.5 }), ...bars];
  }
}

function label(words, attributes) {
  const element = svg('text', attributes);
  element.textContent = words;
  return element;
}

customElements.define('topic-activity', TopicActivity);
