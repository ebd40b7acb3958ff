/**
 * One topic: joins the stream, the story it tells and the parts that show it.
 *
 * Events change the story at once; the parts are drawn at most once a frame.
 */

import './clarification-card.js';
import './event-timeline.js';
import './overview.js';
import './result-list.js';
import './watchers.js';
import { refusalCard } from './connection-state.js';
import { arrange, h, paintLater, setText } from './element.js';
import { Figures } from './figures.js';
import { count, duration, percent } from './format.js';
import { readHistory, readSnapshot } from './history.js';
import { Story } from './story.js';
import { TopicStream } from './stream.js';

const ANSWERED_SHOWN_MAX = 10;

export class TopicPage extends HTMLElement {
  /** @type {string} set before the element is put into the page */
  topic = '';
  #cards = new Map();
  #announced = new Set();
  #asking = false;
  #askAgain = false;
  #draw = paintLater(() => this.isConnected && this.#show());

  connectedCallback() {
    this.story = new Story(this.topic);
    this.figures = new Figures();
    this.stream = new TopicStream(this.topic, {
      items: (items) => this.#take(items),
      state: (state) => this.#link(state),
    });
    this.#build();
    this.stream.start();
    this.clock = setInterval(() => this.#tick(), 500);
    this.wake = {
      online: () => this.stream.retryNow(),
      pagehide: () => this.stream.stop(),
      pageshow: (event) => event.persisted && this.stream.start(),
    };
    for (const [name, listener] of Object.entries(this.wake)) addEventListener(name, listener);
    this.#draw();
  }

  disconnectedCallback() {
    this.stream.stop();
    clearInterval(this.clock);
    for (const [name, listener] of Object.entries(this.wake)) removeEventListener(name, listener);
  }

  focusFilter() {
    this.timeline.search.focus();
  }

  #build() {
    this.overview = document.createElement('topic-overview');
    this.questions = h('section', { class: 'questions', 'aria-label': 'Questions' });
    this.outcome = document.createElement('topic-outcome');
    this.results = document.createElement('result-list');
    this.watchers = document.createElement('topic-watchers');
    this.watchers.hidden = true;
    this.timeline = document.createElement('event-timeline');
    this.timeline.onHistory = () => this.#loadHistory();
    this.live = h('p', { class: 'visually-hidden', 'aria-live': 'polite' });
    this.cells = new Map(
      [
        ['cursor', 'Cursor'],
        ['events', 'Events received'],
        ['rate', 'Rate'],
        ['latency', 'Latency'],
        ['conflated', 'Conflated'],
        ['gaps', 'Gaps'],
        ['reconnects', 'Reconnects'],
      ].map(([key, label]) => [key, { label, value: h('dd', { 'data-figure': key, text: '–' }) }]),
    );
    const figures = h(
      'dl',
      { class: 'card figures' },
      ...[...this.cells.values()].map(({ label, value }) => h('div', {}, h('dt', { text: label }), value)),
    );
    this.append(this.overview, this.outcome, this.questions, figures, this.watchers, this.results, this.timeline, this.live);
  }

  #take(items) {
    for (const item of items) {
      this.story.apply(item);
      this.figures.take(item);
      if (item.type === 'gap' || item.name === 'error') this.#askSnapshot();
    }
    this.#draw();
  }

  /**
   * The stream does not tell whether an `error` has ended the topic, nor which
   * questions were answered within a gap; the snapshot does. Without it the
   * page keeps to what it knows, which is true as far as it goes.
   */
  async #askSnapshot() {
    this.#askAgain = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    const open = this.story.openClarifications;
    const snapshot = await readSnapshot(this.topic);
    this.#asking = false;
    if (snapshot?.terminal) this.story.endAt(snapshot.terminal.seq);
    if (Array.isArray(snapshot?.clarifications)) this.story.keepOpen(snapshot.clarifications, open);
    this.#draw();
    if (this.#askAgain) this.#askSnapshot();
  }

  async #loadHistory() {
    this.story.fillIn(await readHistory(this.topic));
    this.#draw();
  }

  #link(state) {
    // A topic that nobody has published to exists from here on.
    if (state.name === 'live') this.watchers.watch(this.topic);
    if (state.name === 'live' && state.returned) {
      this.story.mark({ kind: 'resumed', cursor: state.cursor, at: Date.now() });
    }
    if (state.name === 'waiting' && this.state?.name === 'live') {
      this.story.mark({ kind: 'lost', cursor: state.cursor, at: Date.now() });
    }
    this.state = state;
    this.figures.reconnects = state.reconnects;
    this.dispatchEvent(new CustomEvent('link', { detail: { state, retry: () => this.stream.retryNow() }, bubbles: true }));
    if (state.name === 'refused') this.replaceChildren(refusalCard(this.topic, state.reason));
    this.#draw();
  }

  #tick() {
    const now = Date.now();
    for (const card of this.#cards.values()) card.tick(now);
    this.#showFigures(now);
  }

  #show() {
    this.overview.show(this.story);
    this.outcome.show(this.story);
    this.results.show(this.story);
    this.timeline.show(this.story);
    this.#showQuestions();
    this.#showFigures(Date.now());
    document.title = this.#titleOf();
  }

  #showQuestions() {
    const all = [...this.story.clarifications.values()];
    const open = all.filter((each) => each.status === 'open');
    const closed = all.filter((each) => each.status !== 'open').reverse().slice(0, ANSWERED_SHOWN_MAX);
    const cards = [...open, ...closed].map((each) => this.#card(each));
    arrange(this.questions, cards);
    this.questions.hidden = cards.length === 0;
    for (const each of open) {
      if (this.#announced.has(each.id)) continue;
      this.#announced.add(each.id);
      setText(this.live, `A question waits for an answer: ${each.question ?? ''}`);
    }
  }

  #card(clarification) {
    let card = this.#cards.get(clarification.id);
    if (!card) {
      card = document.createElement('clarification-card');
      card.dataset.clarification = clarification.id;
      this.#cards.set(clarification.id, card);
    }
    card.show(this.topic, clarification);
    return card;
  }

  #showFigures(now) {
    const rate = this.figures.rate(now);
    const latency = this.figures.latency();
    const figures = {
      cursor: this.stream.cursor ?? '–',
      events: count(this.figures.events),
      rate: `${rate >= 10 ? count(Math.round(rate)) : rate.toFixed(1)} /s`,
      latency: latency === null ? '–' : duration(latency),
      conflated: count(this.story.conflated),
      gaps: count(this.figures.gaps),
      reconnects: count(this.figures.reconnects),
    };
    for (const [key, text] of Object.entries(figures)) setText(this.cells.get(key).value, text);
  }

  #titleOf() {
    const { openClarifications, progress, outcome, topic } = this.story;
    const parts = [topic, 'tidings'];
    if (openClarifications.length > 0) parts.unshift('Question');
    else if (outcome) parts.unshift('Completed');
    else if (Number.isFinite(progress)) parts.unshift(`${percent(progress)}%`);
    return parts.join(' · ');
  }
}
