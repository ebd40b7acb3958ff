/** Who is connected, by which transport, up to which limits, and why others went. */

import './virtual-list.js';
import { askJson } from './access.js';
import { pageOf } from './cursor.js';
import { arrange, fill, h, setAttribute, setText } from './element.js';
import { ago, clock, count, plural, statusWords } from './format.js';
import { by } from './metrics-text.js';
import { polled } from './poll.js';
import { pulse } from './pulse.js';

const LIMIT = 1_000;
const ENDED_SHOWN_MAX = 50;

/** What a close reason means, for whoever wonders. */
const REASONS = {
  client: 'The client left, or its network did',
  heartbeat: 'It did not answer pings',
  stalled: 'It took nothing for too long',
  overloaded: 'It reached a bound',
  protocol: 'It broke the protocol',
  replaced: 'Its client came back on another connection',
  drain: 'The node was shutting down',
  auth_expired: 'Its token ended',
  auth_revoked: 'Its credential was taken back',
  limited: 'A limit of its user or address was reached',
};

/** What the faces are called outside of metrics. */
const FACES = { socketio: 'Socket.IO', sse: 'SSE', ndjson: 'NDJSON' };

export class ConnectionsPage extends HTMLElement {
  #find = '';

  connectedCallback() {
    this.note = h('p', { class: 'section-note', role: 'status', text: 'Asking the gateway…' });
    this.search = h('input', { type: 'search', placeholder: 'Id, user, address or topic', 'aria-label': 'Filter connections', autocomplete: 'off', spellcheck: 'false', on: { input: () => this.#filter() } });
    this.transports = bars();
    this.reasons = bars();
    this.limits = h('ul', { class: 'limit-rows' });
    this.list = document.createElement('virtual-list');
    this.list.classList.add('connection-list');
    this.list.make = () => new ConnectionRow();
    this.list.keyOf = (one) => one.connection + one.connected_at + one.path;
    this.nothing = h('p', { class: 'empty-line', hidden: true });
    this.ended = h('ol', { class: 'ended-rows' });
    this.append(
      h('div', { class: 'page-head' }, h('div', {}, h('h1', { text: 'Connections' }), this.note)),
      h(
        'div',
        { class: 'three' },
        h('section', { class: 'card' }, h('h2', { text: 'By face' }), this.transports.element),
        h('section', { class: 'card' }, h('h2', { text: 'Why they ended' }), this.reasons.element),
        h('section', { class: 'card' }, h('h2', { text: 'Limits' }), this.limits),
      ),
      h('section', { class: 'card', 'aria-label': 'Connected now' }, h('div', { class: 'section-head' }, h('h2', { text: 'Connected now' }), h('div', { class: 'tools' }, this.search)), this.list, this.nothing),
      h('section', { class: 'card', 'aria-label': 'Ended lately' }, h('div', { class: 'section-head' }, h('h2', { text: 'Ended lately' })), this.ended),
    );
    document.title = 'Connections · tidings';
    this.poll = polled(this, () => this.#ask());
    this.poll.start();
  }

  disconnectedCallback() {
    this.poll.stop();
    clearTimeout(this.later);
  }

  focusFilter() {
    this.search.focus();
  }

  #filter() {
    this.#find = this.search.value.trim();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.poll.now(), 150);
  }

  async #ask() {
    const query = new URLSearchParams({ limit: String(LIMIT) });
    if (this.#find) query.set('find', this.#find);
    const answer = await askJson(`/v1/admin/connections?${query}`);
    this.#show(answer);
  }

  #show({ total, connections, ended, limits, faces, closed }) {
    const some = connections.length < total ? `, ${count(connections.length)} shown` : '';
    setText(this.note, `${plural(total, 'connection')} to this node${some}`);
    this.list.show(connections);
    this.nothing.hidden = connections.length > 0;
    setText(this.nothing, this.#find ? 'No connection matches.' : 'Nobody is connected.');
    const { series } = pulse;
    this.transports.show(descending(faces).map(([name, value]) => ({ name: FACES[name] ?? statusWords(name), value })), 'Nobody is connected.');
    this.reasons.show(
      descending(closed).map(([name, value]) => ({ name: statusWords(name), value, title: REASONS[name], tone: isUsual(name) ? '' : 'warn' })),
      'None has ended since this node began.',
    );
    this.#showLimits(limits, new Map(by(series, 'tidings_limits_reached_total', 'limit')));
    this.#showEnded(ended.slice(0, ENDED_SHOWN_MAX));
  }

  #showLimits(limits, reached) {
    const rows = limits.map(({ limit, max }) => {
      const times = reached.get(limit) ?? 0;
      return h(
        'li',
        {},
        h('code', { text: limit.replace(/^limit\./, '').replace(/_max$/, '').replaceAll('_', ' ') }),
        h('span', { class: 'limit-max', text: count(max) }),
        h('span', { class: times > 0 ? 'limit-reached some' : 'limit-reached', text: times > 0 ? `reached ${count(times)}×` : 'not reached' }),
      );
    });
    fill(this.limits, ...rows);
  }

  #showEnded(ended) {
    if (ended.length === 0) {
      fill(this.ended, h('li', { class: 'empty-line', text: 'No connection has ended since this node began.' }));
      return;
    }
    const rows = ended.map((one) =>
      h(
        'li',
        { class: 'ended-row' },
        h('time', { datetime: one.ended_at, text: clock(one.ended_at) }),
        h('span', { class: `status ${isUsual(one.close_reason) ? 'idle' : 'warn'}`, title: REASONS[one.close_reason], text: statusWords(one.close_reason) }),
        h('span', { class: 'mono id', text: one.connection }),
        h('span', { class: 'dim', text: [one.transport, one.principal, one.address].filter(Boolean).join(' · ') }),
        h('span', { class: 'dim lasted', text: `lasted ${lasted(one)}` }),
      ),
    );
    fill(this.ended, ...rows);
  }
}

/** Whether nobody has to wonder why. */
function isUsual(reason) {
  return reason === 'client' || reason === 'drain';
}

function descending(counts) {
  return Object.entries(counts).sort(([, a], [, b]) => b - a);
}

function lasted({ connected_at: from, ended_at: to }) {
  return ago(Date.parse(to) - Date.parse(from)).replace(' ago', '').replace('now', 'a moment');
}

/** One connection. */
class ConnectionRow {
  constructor() {
    this.transport = h('span', { class: 'transport' });
    this.id = h('span', { class: 'mono id' });
    this.who = h('span', { class: 'row-who' });
    this.watches = h('span', { class: 'row-watches' });
    this.lag = h('span', { class: 'status' });
    this.since = h('span', { class: 'row-when' });
    this.element = h('li', {}, h('div', { class: 'connection-row', tabindex: '-1' }, this.transport, h('span', { class: 'row-name' }, this.who, this.id), this.watches, this.lag, this.since));
  }

  show(one) {
    setText(this.transport, one.transport);
    setAttribute(this.transport, 'class', `transport ${one.transport}`);
    setAttribute(this.transport, 'title', one.face);
    setText(this.id, one.connection);
    setText(this.who, [one.principal ?? 'anonymous', one.address].filter(Boolean).join(' · '));
    this.#showTopics(one);
    const behind = one.lag ?? 0;
    this.lag.hidden = one.lag === null;
    setText(this.lag, behind === 0 ? 'level' : `${count(behind)} behind`);
    setAttribute(this.lag, 'class', `status ${behind === 0 ? 'good' : behind > 500 ? 'bad' : 'warn'}`);
    setText(this.since, ago(Date.now() - Date.parse(one.connected_at)).replace(' ago', ''));
  }

  #showTopics(one) {
    const key = one.topics.join() + one.path + one.subscriptions;
    if (this.shown === key) return;
    this.shown = key;
    const links = one.topics.slice(0, 2).map((topic) => h('a', { href: pageOf(topic), tabindex: '-1', text: topic }));
    const rest = (one.subscriptions ?? 0) - links.length;
    arrange(this.watches, links.length > 0 ? [...links, ...(rest > 0 ? [h('span', { class: 'dim', text: `and ${count(rest)} more` })] : [])] : [h('span', { class: 'dim', text: one.subscriptions === 0 ? 'watches nothing' : one.path })]);
  }
}

/** Names with bars, longest first. */
function bars() {
  const element = h('ul', { class: 'bar-rows' });
  const show = (rows, nothing) => {
    const top = Math.max(1, ...rows.map(({ value }) => value));
    fill(
      element,
      rows.length === 0 && h('li', { class: 'empty-line', text: nothing }),
      ...rows.map(({ name, value, title, tone = '' }) => {
        const filled = h('span', { class: 'fill' });
        filled.style.setProperty('--value', (value / top) * 100);
        return h('li', { title }, h('span', { class: 'bar-name', text: name }), h('span', { class: `bar small ${tone}` }, filled), h('span', { class: 'bar-value', text: count(value) }));
      }),
    );
  };
  return { element, show };
}
