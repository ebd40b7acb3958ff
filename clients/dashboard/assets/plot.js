/**
 * Lines over time, as SVG: a plot with axes, a legend and a reading line that follows pointer and
 * arrow keys; and the same without all that, as a spark.
 */

import { h, setAttribute, setText } from './element.js';
import { clock } from './format.js';
import { niceTop } from './scale.js';

const SVG = 'http://www.w3.org/2000/svg';
const MARGIN = { top: 10, right: 2, bottom: 22, left: 54 };
const HEIGHT = 172;

/**
 * @typedef {object} Series
 * @property {string} key of the samples
 * @property {string} label
 * @property {boolean} [filled]
 *
 * @typedef {Record<string, number|null> & {at: number}} Sample
 */

export class LivePlot extends HTMLElement {
  /** Set before it is put into the page. @type {Series[]} */
  series = [];
  /** How a value reads. */
  format = String;
  /** How much time it spans, in milliseconds. */
  span = 300_000;
  /** What stands there before anything was measured. */
  nothingYet = 'Nothing measured yet';
  /** The smallest top of the axis. */
  least = 1;
  #samples = [];
  #width = 0;
  #reading = null;

  connectedCallback() {
    if (this.svg) return;
    this.classList.add('plot');
    this.legend = h('ul', { class: 'legend' });
    this.keys = new Map(this.series.map((each, index) => [each.key, legendKey(each, index)]));
    this.legend.append(...[...this.keys.values()].map((key) => key.element));
    this.svg = svg('svg', { class: 'plot-canvas', role: 'img', tabindex: '0', height: HEIGHT });
    this.grid = svg('g', { class: 'grid' });
    this.lines = svg('g');
    this.cross = svg('line', { class: 'cross', y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
    this.dots = svg('g');
    this.nothing = h('p', { class: 'plot-nothing', text: this.nothingYet });
    this.svg.append(this.grid, this.lines, this.cross, this.dots);
    this.when = h('span', { class: 'plot-when' });
    this.append(h('div', { class: 'plot-head' }, this.legend, this.when), h('div', { class: 'plot-stage' }, this.svg, this.nothing));
    this.svg.addEventListener('pointermove', (event) => this.#read(event.offsetX));
    this.svg.addEventListener('pointerleave', () => this.#read(null));
    this.svg.addEventListener('blur', () => this.#read(null));
    this.svg.addEventListener('keydown', (event) => this.#step(event));
    this.observer = new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      this.#draw();
    });
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    this.svg = null;
    this.replaceChildren();
  }

  /** @param {Sample[]} samples oldest first */
  show(samples) {
    this.#samples = samples;
    this.#draw();
  }

  #draw() {
    if (!this.svg || this.#width < 80) return;
    setAttribute(this.svg, 'width', this.#width);
    setAttribute(this.svg, 'viewBox', `0 0 ${this.#width} ${HEIGHT}`);
    const end = this.#samples.at(-1)?.at ?? Date.now();
    // A page that was just opened has little to show: the axis grows with it.
    this.shown = Math.min(this.span, Math.max(60_000, end - (this.#samples[0]?.at ?? end)));
    const known = this.#samples.flatMap((sample) => this.series.map(({ key }) => sample[key])).filter(Number.isFinite);
    this.nothing.classList.toggle('shown', known.length === 0);
    const top = niceTop(Math.max(this.least, ...known));
    const floor = HEIGHT - MARGIN.bottom;
    this.x = (at) => this.#width - MARGIN.right - ((end - at) / this.shown) * (this.#width - MARGIN.left - MARGIN.right);
    this.y = (value) => floor - (value / top) * (floor - MARGIN.top);
    this.#drawGrid(top, end);
    const drawn = this.series.flatMap((each, index) => this.#drawSeries(each, index));
    this.lines.replaceChildren(...drawn);
    this.#drawReading();
    setAttribute(this.svg, 'aria-label', this.#words());
  }

  #drawGrid(top, end) {
    const parts = [0, 0.5, 1].flatMap((share) => {
      const y = Math.round(this.y(top * share)) + 0.5;
      return [
        svg('line', { x1: MARGIN.left, x2: this.#width - MARGIN.right, y1: y, y2: y }),
        text(this.format(top * share), { x: MARGIN.left - 8, y: y + 4, class: 'axis-y' }),
      ];
    });
    const step = (this.shown > 180_000 ? 60_000 : this.shown > 60_000 ? 30_000 : 15_000) * (this.#width < 420 ? 2 : 1);
    for (let back = 0; back <= this.shown; back += step) {
      const x = this.x(end - back);
      if (x < MARGIN.left + 12) continue;
      parts.push(text(back === 0 ? 'now' : backWords(back), { x, y: HEIGHT - 5, class: back === 0 ? 'axis-x last' : 'axis-x' }));
    }
    this.grid.replaceChildren(...parts);
  }

  #drawSeries({ key, filled }, index) {
    const shown = this.#samples.filter((sample) => this.x(sample.at) >= MARGIN.left);
    const floor = this.y(0);
    return runs(shown, key).flatMap((run) => {
      const points = run.map((sample) => `${this.x(sample.at).toFixed(1)},${this.y(sample[key]).toFixed(1)}`);
      const first = this.x(run[0].at).toFixed(1);
      const last = this.x(run.at(-1).at).toFixed(1);
      return [
        filled && svg('path', { class: `area series-${index}`, d: `M${first},${floor} L${points.join(' L')} L${last},${floor} Z` }),
        svg('polyline', { class: `line series-${index}`, points: points.join(' ') }),
      ].filter(Boolean);
    });
  }

  #read(x) {
    if (x === null) this.#reading = null;
    else {
      let best = null;
      for (const sample of this.#samples) {
        const distance = Math.abs(this.x(sample.at) - x);
        if (best === null || distance < best.distance) best = { sample, distance };
      }
      this.#reading = best?.sample ?? null;
    }
    this.#drawReading();
  }

  #step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || this.#samples.length === 0) return;
    event.preventDefault();
    const at = this.#reading ? this.#samples.indexOf(this.#reading) : this.#samples.length - (by < 0 ? 0 : 1);
    this.#reading = this.#samples[Math.min(this.#samples.length - 1, Math.max(0, at + by))];
    this.#drawReading();
    setAttribute(this.svg, 'aria-label', this.#words());
  }

  #drawReading() {
    const sample = this.#reading ?? this.#samples.at(-1);
    for (const { key } of this.series) {
      const value = sample?.[key];
      setText(this.keys.get(key).value, Number.isFinite(value) ? this.format(value) : '–');
    }
    const reads = this.#reading !== null && this.#samples.includes(this.#reading);
    setText(this.when, reads ? clock(this.#reading.at) : '');
    this.cross.classList.toggle('shown', reads);
    if (!reads) {
      this.dots.replaceChildren();
      return;
    }
    const x = this.x(this.#reading.at);
    setAttribute(this.cross, 'x1', x);
    setAttribute(this.cross, 'x2', x);
    const dots = this.series.flatMap(({ key }, index) => {
      const value = this.#reading[key];
      return Number.isFinite(value) ? [svg('circle', { class: `dot series-${index}`, cx: x, cy: this.y(value), r: 3.5 })] : [];
    });
    this.dots.replaceChildren(...dots);
  }

  #words() {
    const sample = this.#reading ?? this.#samples.at(-1);
    const parts = this.series.map(({ key, label }) => `${label} ${Number.isFinite(sample?.[key]) ? this.format(sample[key]) : 'unknown'}`);
    return `${this.getAttribute('label') ?? 'Plot'}${this.#reading ? ` at ${clock(this.#reading.at)}` : ''}: ${parts.join(', ')}`;
  }
}

/** The shape of a series and nothing else; decoration beside the number it ends in. */
export function spark(samples, key, { width = 120, height = 32 } = {}) {
  const image = svg('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const known = samples.filter((sample) => Number.isFinite(sample[key])).slice(-60);
  if (known.length < 2) return image;
  const top = Math.max(1e-9, ...known.map((sample) => sample[key]));
  const points = known.map((sample, index) => {
    const x = (index / (known.length - 1)) * width;
    return `${x.toFixed(1)},${(height - 2 - (sample[key] / top) * (height - 5)).toFixed(1)}`;
  });
  image.append(
    svg('path', { class: 'area', d: `M0,${height} L${points.join(' L')} L${width},${height} Z` }),
    svg('polyline', { class: 'line', points: points.join(' ') }),
  );
  return image;
}

function legendKey({ label }, index) {
  const value = h('b', { text: '–' });
  return { value, element: h('li', {}, h('span', { class: `swatch series-${index}`, 'aria-hidden': 'true' }), h('span', { text: label }), value) };
}

/** The stretches in which the value is known. */
function runs(samples, key) {
  const all = [];
  let run = [];
  for (const sample of samples) {
    if (Number.isFinite(sample[key])) run.push(sample);
    else if (run.length > 0) {
      all.push(run);
      run = [];
    }
  }
  if (run.length > 0) all.push(run);
  return all;
}

/** 30000 -> "−30 s", 120000 -> "−2 min". */
function backWords(ms) {
  return ms % 60_000 === 0 ? `−${ms / 60_000} min` : ms < 60_000 ? `−${ms / 1000} s` : `−${(ms / 60_000).toFixed(1)} min`;
}

export function svg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  return element;
}

function text(words, attributes) {
  const element = svg('text', attributes);
  element.textContent = words;
  return element;
}

customElements.define('live-plot', LivePlot);
