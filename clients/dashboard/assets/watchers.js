/**
 * Who watches a topic, how far each is behind, and what each was handed: as tracks towards the head
 * of the log, the one furthest behind first.
 */

import { askJson } from './access.js';
import { topicPath } from './cursor.js';
import { arrange, h, setAttribute, setText } from './element.js';
import { count, plural } from './format.js';
import { Poll } from './poll.js';

const SHOWN_MAX = 100;

export class TopicWatchers extends HTMLElement {
  #rows = new Map();

  connectedCallback() {
    if (this.list) return;
    this.classList.add('card', 'watchers');
    this.note = h('p', { class: 'section-note' });
    this.flow = flow();
    this.list = h('ul', { class: 'watcher-rows' });
    this.head = h('div', { class: 'watcher-head', 'aria-hidden': 'true' }, ...['Watcher', 'Cursor, towards the head', 'Behind', 'Delivered', 'Replayed', 'Conflated'].map((text) => h('span', { text })));
    this.append(h('div', { class: 'section-head' }, h('h2', { text: 'Who is watching' }), this.note), this.flow.element, this.head, this.list);
  }

  /** @param {string} topic */
  watch(topic) {
    this.poll?.stop();
    this.poll = new Poll(() => this.#ask(topic));
    this.poll.start();
  }

  disconnectedCallback() {
    this.poll?.stop();
  }

  async #ask(topic) {
    let presence;
    try {
      presence = await askJson(`${topicPath(topic)}/subscribers`);
    } catch (error) {
      // A topic that nobody has published to is not known yet; one may lack the right to see who watches.
      if (error.status !== 404 && error.status !== 403) throw error;
      this.hidden = true;
      return;
    }
    this.hidden = false;
    this.#show(presence);
  }

  #show({ cursor, subscribers, tally }) {
    const head = Number(cursor.slice(cursor.lastIndexOf(':') + 1));
    const worst = [...subscribers].sort((a, b) => b.lag - a.lag || (a.connection < b.connection ? -1 : 1));
    const behind = worst.filter((one) => one.lag > 0).length;
    setText(this.note, `${plural(subscribers.length, 'watcher')}${subscribers.length > 0 ? (behind > 0 ? `, ${count(behind)} behind` : ', all level') : ''}`);
    this.flow.show({ published: head, ...tally });
    this.head.hidden = subscribers.length === 0;
    const shown = worst.slice(0, SHOWN_MAX);
    const known = new Set(shown.map((one) => one.connection));
    for (const id of this.#rows.keys()) if (!known.has(id)) this.#rows.delete(id);
    const span = Math.max(100, worst[0]?.lag ?? 0);
    arrange(this.list, shown.map((one) => this.#row(one, { head, span })));
  }

  #row(one, place) {
    let row = this.#rows.get(one.connection);
    if (!row) {
      row = new WatcherRow();
      this.#rows.set(one.connection, row);
    }
    row.show(one, place);
    return row.element;
  }
}

/** Published, delivered, replayed, conflated: the sum of what became of the events here. */
function flow() {
  const parts = [
    ['published', 'Published', 'The head of the log'],
    ['delivered', 'Delivered', 'Handed to watchers as they came, each time counted'],
    ['replayed', 'Replayed', 'Handed to watchers from the snapshot or the log'],
    ['conflated', 'Conflated', 'Left out for watchers that were behind: a newer state stands for them'],
  ].map(([key, label, title]) => ({ key, value: h('dd', { 'data-flow': key, text: '–' }), label, title }));
  const show = (tally) => {
    for (const { key, value } of parts) setText(value, count(tally[key]));
  };
  return { element: h('dl', { class: 'flow' }, ...parts.map(({ key, label, title, value }) => h('div', { class: `flow-part ${key}`, title }, h('dt', { text: label }), value))), show };
}

class WatcherRow {
  constructor() {
    this.who = h('span', { class: 'row-id' });
    this.how = h('span', { class: 'transport' });
    this.id = h('span', { class: 'mono id' });
    this.mark = h('span', { class: 'track-mark' });
    this.track = h('span', { class: 'track', role: 'img' }, this.mark);
    this.lag = h('span', { class: 'watcher-lag' });
    this.counts = ['delivered', 'replayed', 'conflated'].map((key) => ({ key, element: h('span', { class: 'watcher-count', 'data-label': key }) }));
    this.element = h('li', { class: 'watcher' }, h('span', { class: 'watcher-who' }, this.how, h('span', { class: 'watcher-name' }, this.who, this.id)), this.track, this.lag, ...this.counts.map(({ element }) => element));
  }

  show(one, { head, span }) {
    setText(this.who, one.principal ?? 'anonymous');
    setText(this.how, one.transport);
    setAttribute(this.how, 'class', `transport ${one.transport}`);
    setText(this.id, one.connection);
    const share = 1 - Math.min(1, one.lag / span);
    this.mark.style.setProperty('--at', `${share * 100}%`);
    setAttribute(this.track, 'class', `track ${one.lag === 0 ? 'good' : one.lag > 500 ? 'bad' : 'warn'}`);
    setAttribute(this.track, 'aria-label', `Read up to ${count(head - one.lag)} of ${count(head)}`);
    setText(this.lag, one.lag === 0 ? 'level' : count(one.lag));
    for (const { key, element } of this.counts) setText(element, count(one[key]));
  }
}

customElements.define('topic-watchers', TopicWatchers);
