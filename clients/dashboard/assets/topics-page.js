/** The overview: how busy the node is, and every live topic; without any, how to make the first. */

import './plot.js';
import './virtual-list.js';
import { access } from './access.js';
import { copyBlock } from './copy-block.js';
import { h, paintLater, setText } from './element.js';
import { brief, clock, count, duration, plural } from './format.js';
import { by, sum } from './metrics-text.js';
import { spark } from './plot.js';
import { pulse } from './pulse.js';
import { snippets } from './snippets.js';
import { TopicRow } from './topic-row.js';
import { TopicsStream, chosen } from './topics-stream.js';

const STATES = [
  ['', 'All'],
  ['active', 'Active'],
  ['asking', 'Asking'],
  ['completed', 'Completed'],
  ['failed', 'Failed'],
];
const ORDERS = [
  ['newest', 'Newest first'],
  ['name', 'By name'],
  ['progress', 'By progress'],
  ['watching', 'Most watched'],
];

export class TopicsPage extends HTMLElement {
  #wish = { words: '', kind: '', state: '', order: 'newest' };
  #order = [];
  #draw = paintLater(() => this.#show());
  #beat = () => this.#showPulse();

  connectedCallback() {
    this.#build();
    this.stream = new TopicsStream({ changed: this.#draw, state: (state) => this.#link(state) });
    this.stream.start();
    pulse.addEventListener('beat', this.#beat);
    this.clock = setInterval(() => document.visibilityState === 'visible' && this.#draw(), 1_000);
    this.sleep = () => (document.visibilityState === 'visible' ? this.stream.start() : this.stream.stop());
    document.addEventListener('visibilitychange', this.sleep);
    this.again = () => this.stream.retryNow();
    addEventListener('online', this.again);
    this.#showPulse();
  }

  disconnectedCallback() {
    this.stream.stop();
    pulse.removeEventListener('beat', this.#beat);
    clearInterval(this.clock);
    document.removeEventListener('visibilitychange', this.sleep);
    removeEventListener('online', this.again);
  }

  /** Puts the cursor into the filter; `/` does it. */
  focusFilter() {
    this.search.focus();
    this.search.select();
  }

  #build() {
    this.tiles = tiles();
    this.rates = plot('Events a second', [
      { key: 'published', label: 'Published', filled: true },
      { key: 'delivered', label: 'Delivered' },
      { key: 'conflated', label: 'Conflated' },
    ], brief, 1);
    this.latency = plot('From publish to write', [
      { key: 'p50', label: 'Half within', filled: true },
      { key: 'p99', label: '99% within' },
    ], duration, 1);
    this.figures = h('section', { class: 'pulse', 'aria-label': 'This node', hidden: !access.isAdmin }, this.tiles.element, h('div', { class: 'plots' }, card('Events a second', this.rates), card('From publish to write', this.latency)));
    this.note = h('p', { class: 'section-note', role: 'status', text: 'Asking the gateway…' });
    this.list = document.createElement('virtual-list');
    this.list.make = () => new TopicRow();
    this.list.keyOf = (line) => line.topic;
    this.list.classList.add('topic-list');
    this.nothing = h('p', { class: 'empty-line', text: 'No topic matches.', hidden: true });
    this.table = h('section', { class: 'card topics', 'aria-label': 'Live topics', hidden: true }, this.#filters(), this.list, this.nothing);
    this.welcome = h('section', { class: 'welcome', hidden: true });
    this.append(
      h('div', { class: 'page-head' }, h('div', {}, h('h1', { text: 'Live topics' }), this.note), openForm()),
      this.figures,
      this.table,
      this.welcome,
    );
    document.title = 'Topics · tidings';
  }

  #filters() {
    const wish = (name, value) => {
      this.#wish[name] = value;
      this.#order = [];
      this.#show();
    };
    this.search = h('input', {
      type: 'search',
      placeholder: 'Filter by name',
      'aria-label': 'Filter by name',
      'aria-keyshortcuts': '/',
      autocomplete: 'off',
      spellcheck: 'false',
      on: {
        input: () => wish('words', this.search.value),
        keydown: (event) => {
          if (event.key !== 'ArrowDown') return;
          event.preventDefault();
          this.list.focusOn(0);
        },
      },
    });
    this.kinds = h('select', { 'aria-label': 'Kind', on: { change: () => wish('kind', this.kinds.value) } }, h('option', { value: '', text: 'All kinds' }));
    const order = h('select', { 'aria-label': 'Order', on: { change: () => wish('order', order.value) } }, ...ORDERS.map(([value, text]) => h('option', { value, text })));
    this.chips = STATES.map(([value, text]) =>
      h('button', { type: 'button', class: 'chip', 'aria-pressed': String(value === ''), text, on: { click: (event) => {
        for (const chip of this.chips) chip.setAttribute('aria-pressed', chip === event.currentTarget);
        wish('state', value);
      } } }),
    );
    return h('div', { class: 'list-tools' }, h('div', { class: 'chips', role: 'group', 'aria-label': 'Status' }, ...this.chips), h('div', { class: 'tools' }, this.search, this.kinds, order));
  }

  #link(state) {
    this.classList.toggle('stale', state.name === 'waiting' || state.name === 'refused' || (state.name === 'connecting' && state.reason !== undefined));
    this.dispatchEvent(new CustomEvent('link', { detail: { state, retry: () => this.stream.retryNow() }, bubbles: true }));
    if (state.name === 'live') this.lostAt = null;
    if (state.name === 'waiting') this.lostAt ??= Date.now();
    if (state.name === 'waiting') this.lostWhy = state.reason;
    if (state.name === 'refused') setText(this.note, `The gateway refused the list: ${state.reason}`);
    this.#draw();
  }

  #show() {
    const { topics, complete, more, stale } = this.stream;
    if (!complete) {
      if (this.lostAt) setText(this.note, `The list cannot be had: ${this.lostWhy}`);
      if (topics.size > 0) setText(this.note, `${plural(topics.size, 'topic')} of ${count(this.stream.total)}…`);
      return;
    }
    const lines = this.#ordered(topics);
    const none = topics.size === 0;
    const counted = none ? 'Nothing is being published at the moment.' : `${plural(topics.size, 'topic')}${more ? ', the first of more' : ''}`;
    const shown = lines.length === topics.size ? counted : `${count(lines.length)} of ${counted}`;
    const old = this.lostAt ? `Not up to date since ${clock(this.lostAt)}: ${this.lostWhy}` : stale && `Not up to date: ${stale}`;
    setText(this.note, old || shown);
    this.table.hidden = none;
    this.welcome.hidden = !none;
    if (none && !this.welcome.firstChild) this.welcome.append(...welcome());
    this.nothing.hidden = lines.length > 0;
    this.#showKinds(topics);
    if (!none) this.list.show(lines);
  }

  /** While somebody points at the list or moves in it, rows keep their places. */
  #ordered(topics) {
    const lines = chosen(topics.values(), this.#wish);
    const isHeld = this.list.matches(':hover, :focus-within') && this.#order.length > 0;
    if (isHeld) {
      const places = new Map(this.#order.map((name, index) => [name, index]));
      lines.sort((a, b) => (places.get(a.topic) ?? Infinity) - (places.get(b.topic) ?? Infinity) || 0);
    }
    this.#order = lines.map((line) => line.topic);
    return lines;
  }

  #showKinds(topics) {
    const kinds = [...new Set([...topics.values()].map((line) => line.kind))].sort();
    if (kinds.join() === this.shownKinds) return;
    this.shownKinds = kinds.join();
    const options = kinds.map((kind) => h('option', { value: kind, text: kind }));
    this.kinds.replaceChildren(h('option', { value: '', text: 'All kinds' }), ...options);
    this.kinds.value = kinds.includes(this.#wish.kind) ? this.#wish.kind : '';
  }

  #showPulse() {
    const { beats, series, now, reason } = pulse;
    this.figures.hidden = !access.isAdmin || (series.size === 0 && reason !== null);
    if (series.size === 0) return;
    this.rates.show(beats);
    this.latency.show(beats);
    const connections = by(series, 'tidings_connections', 'face');
    const total = connections.reduce((all, [, value]) => all + value, 0) + (sum(series, 'tidings_http_streams') ?? 0);
    this.tiles.show({
      topics: count(sum(series, 'tidings_topics') ?? 0),
      connections: count(total),
      published: now ? `${brief(now.published)}` : '–',
      delivered: now ? `${brief(now.delivered)}` : '–',
      conflated: now ? `${brief(now.conflated)}` : '–',
      p99: now?.p99 == null ? '–' : duration(now.p99),
    }, beats);
  }
}

function tiles() {
  const all = [
    ['topics', 'Topics', ''],
    ['connections', 'Connections', ''],
    ['published', 'Published', '/s'],
    ['delivered', 'Delivered', '/s'],
    ['conflated', 'Conflated', '/s'],
    ['p99', 'Latency, 99%', ''],
  ].map(([key, label, unit]) => {
    const value = h('b', { 'data-tile': key, text: '–' });
    const shape = h('span', { class: 'tile-spark' });
    return { key, value, shape, element: h('div', { class: 'tile' }, h('dt', { text: label }), h('dd', {}, value, unit && h('span', { class: 'unit', text: unit })), shape) };
  });
  const show = (values, beats) => {
    for (const { key, value, shape } of all) {
      setText(value, values[key]);
      if (!['topics', 'connections'].includes(key)) shape.replaceChildren(spark(beats, key));
    }
  };
  return { element: h('dl', { class: 'tiles' }, ...all.map((tile) => tile.element)), show };
}

function plot(label, series, format, least) {
  const element = document.createElement('live-plot');
  element.setAttribute('label', label);
  Object.assign(element, { series, format, least });
  return element;
}

function card(title, content) {
  return h('div', { class: 'card plot-card' }, h('h2', { text: title }), content);
}

function openForm() {
  return h(
    'form',
    { class: 'open-topic', action: '/', method: 'get' },
    h('label', { for: 'topic', class: 'visually-hidden', text: 'Topic to watch' }),
    h('input', { id: 'topic', name: 'topic', type: 'text', required: true, placeholder: 'session:abc', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' }),
    h('button', { type: 'submit', class: 'secondary', text: 'Watch' }),
  );
}

function welcome() {
  const code = snippets({ origin: location.origin, topic: 'session:hello' });
  return [
    h('h2', { text: 'Publish a first event' }),
    h(
      'p',
      {},
      'Any HTTP client can. Run this, and ',
      h('a', { href: '/?topic=session:hello', text: 'session:hello' }),
      ' appears here by itself; or use the page ',
      h('a', { href: '/?view=try', text: 'Try it' }),
      '.',
    ),
    copyBlock('Publish with curl', code.curl),
    h('h2', { text: 'Receive it' }),
    h('p', { text: 'With the stock Socket.IO clients, unchanged.' }),
    h('div', { class: 'two' }, copyBlock('socket.io-client', code.javascript), copyBlock('python-socketio', code.python)),
  ];
}
