/** Every question that waits for an answer, of all topics that the reader may see. */

import './clarification-card.js';
import { askJson } from './access.js';
import { pageOf, topicPath } from './cursor.js';
import { arrange, h, paintLater, setText } from './element.js';
import { plural } from './format.js';
import { TopicsStream } from './topics-stream.js';

/** Topics whose questions are shown at once; more wait their turn. */
const TOPICS_MAX = 50;

export class QuestionsPage extends HTMLElement {
  #topics = new Map();
  #draw = paintLater(() => this.#show());

  connectedCallback() {
    this.note = h('p', { class: 'section-note', role: 'status', text: 'Asking the gateway…' });
    this.list = h('div', { class: 'question-topics' });
    this.empty = h('section', { class: 'card quiet-card', hidden: true }, h('h2', { text: 'Nobody is asked anything' }), h('p', { class: 'dim', text: 'A worker that asks, asks here: its question appears with a form made from its schema, and the first valid answer goes back to it.' }));
    this.append(h('div', { class: 'page-head' }, h('div', {}, h('h1', { text: 'Open questions' }), this.note)), this.list, this.empty);
    document.title = 'Questions · tidings';
    this.stream = new TopicsStream({
      changed: this.#draw,
      state: (state) => {
        this.classList.toggle('stale', state.name === 'waiting');
        this.dispatchEvent(new CustomEvent('link', { detail: { state, retry: () => this.stream.retryNow() }, bubbles: true }));
      },
    });
    this.stream.start();
    this.clock = setInterval(() => this.#tick(), 500);
  }

  disconnectedCallback() {
    this.stream.stop();
    clearInterval(this.clock);
  }

  #tick() {
    for (const { cards } of this.#topics.values()) for (const card of cards.values()) card.tick(Date.now());
  }

  #show() {
    if (!this.stream.complete) return;
    const asking = [...this.stream.topics.values()].filter((line) => line.questions > 0).sort((a, b) => a.updatedAt - b.updatedAt);
    const open = asking.reduce((sum, line) => sum + line.questions, 0);
    const more = asking.length > TOPICS_MAX ? `, those of ${TOPICS_MAX} topics shown` : '';
    setText(this.note, open === 0 ? 'None at the moment.' : `${plural(open, 'question')} of ${plural(asking.length, 'topic')}, oldest first${more}`);
    this.empty.hidden = open > 0;
    const shown = asking.slice(0, TOPICS_MAX);
    const names = new Set(shown.map((line) => line.topic));
    // A topic whose last question was just answered here stays until the reader has seen that.
    for (const [name, held] of this.#topics) {
      if (!names.has(name) && !held.element.contains(document.activeElement) && Date.now() - held.since > 4_000) this.#topics.delete(name);
    }
    for (const line of shown) {
      const held = this.#topics.get(line.topic) ?? this.#hold(line.topic);
      held.since = Date.now();
      if (held.cursor !== line.cursor) this.#read(held, line);
    }
    arrange(this.list, [...this.#topics.values()].map((held) => held.element));
  }

  #hold(topic) {
    const list = h('div', { class: 'questions' });
    const element = h('section', { class: 'asking-topic', 'aria-label': `Questions of ${topic}` }, h('p', { class: 'asking-head' }, h('a', { href: pageOf(topic), text: topic })), list);
    const held = { topic, list, element, cards: new Map(), cursor: null, since: Date.now() };
    this.#topics.set(topic, held);
    return held;
  }

  async #read(held, line) {
    held.cursor = line.cursor;
    let snapshot;
    try {
      snapshot = await askJson(topicPath(held.topic));
    } catch {
      held.cursor = null;
      return;
    }
    const open = new Map(snapshot.clarifications.map(({ data }) => [String(data.clarificationId), data]));
    for (const [id, data] of open) {
      let card = held.cards.get(id);
      if (!card) {
        card = document.createElement('clarification-card');
        held.cards.set(id, card);
      }
      card.show(held.topic, { ...data, id, status: 'open' });
    }
    for (const [id, card] of held.cards) if (!open.has(id)) card.show(held.topic, { ...card.clarification, id, status: 'closed' });
    arrange(held.list, [...held.cards.values()]);
  }
}
