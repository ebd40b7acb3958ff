/**
 * The results, newest first.
 *
 * Only a page of them is in the document, so that ten thousand cost no more
 * than a hundred; rows are reused, so that what is open stays open.
 */

import { arrange, h, icon, setText } from './element.js';
import { bytes, clock, count, duration, plural, statusWords } from './format.js';

const FIRST = 30;
const PAGE = 100;
const TEXT_SHOWN_MAX = 20_000;

export class ResultList extends HTMLElement {
  #rows = new Map();
  #shown = FIRST;
  #onlyFailed = false;
  #story = null;

  connectedCallback() {
    if (this.list) return;
    this.className = 'card results';
    this.summary = h('p', { class: 'section-note' });
    this.toggle = h('button', {
      type: 'button',
      class: 'chip',
      'aria-pressed': 'false',
      hidden: true,
      on: { click: () => this.#flip() },
    });
    this.list = h('ol', { class: 'result-rows' });
    this.empty = h('p', { class: 'empty-line', text: 'No results yet. They appear here as they are published.' });
    this.more = h('button', { type: 'button', class: 'quiet more', hidden: true, on: { click: () => this.#showMore() } });
    this.append(
      h('div', { class: 'section-head' }, h('h2', { text: 'Results' }), this.summary, this.toggle),
      this.list,
      this.empty,
      this.more,
    );
  }

  show(story) {
    this.#story = story;
    const all = story.results;
    const chosen = newest(all, this.#shown, this.#onlyFailed);
    const rows = chosen.map((result) => this.#row(result));
    arrange(this.list, rows);
    this.#forget(new Set(chosen.map((result) => result.id)));
    const total = this.#onlyFailed ? story.failed : all.length;
    setText(this.summary, all.length > 0 ? summaryOf(story) : '');
    this.toggle.hidden = story.failed === 0;
    setText(this.toggle, `${count(story.failed)} failed`);
    this.empty.hidden = rows.length > 0;
    this.more.hidden = total <= rows.length;
    setText(this.more, `Show ${count(Math.min(PAGE, total - rows.length))} older`);
  }

  #row(result) {
    const known = this.#rows.get(result.id);
    if (known?.revision === result.revision) return known.element;
    const element = rowOf(result, known?.element.querySelector('details')?.open ?? false);
    this.#rows.set(result.id, { element, revision: result.revision });
    return element;
  }

  #forget(kept) {
    for (const id of this.#rows.keys()) {
      if (!kept.has(id)) this.#rows.delete(id);
    }
  }

  #flip() {
    this.#onlyFailed = !this.#onlyFailed;
    this.toggle.setAttribute('aria-pressed', String(this.#onlyFailed));
    this.show(this.#story);
  }

  #showMore() {
    this.#shown += PAGE;
    this.show(this.#story);
  }
}

/** Walks from the end and stops early, however long the list is. */
function newest(all, wanted, onlyFailed) {
  const chosen = [];
  for (let at = all.length - 1; at >= 0 && chosen.length < wanted; at -= 1) {
    if (!onlyFailed || all[at].tone === 'bad') chosen.push(all[at]);
  }
  return chosen;
}

function summaryOf(story) {
  const dropped = story.resultsDropped > 0 ? `, ${count(story.resultsDropped)} older ones left out` : '';
  return `${plural(story.results.length, 'result')}${dropped}`;
}

function rowOf(result, open) {
  const details = h(
    'details',
    {},
    h('summary', {}, mark(result), titleOf(result), measuresOf(result), icon('chevron', 'turn')),
  );
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(detailOf(result));
  };
  details.addEventListener('toggle', fill);
  details.open = open;
  fill();
  return h('li', { class: `result ${result.tone}`, 'data-result': result.title }, details);
}

function mark(result) {
  const names = { good: 'check', bad: 'cross', busy: 'busy', warn: 'warning' };
  return h(
    'span',
    { class: `mark ${result.tone}` },
    icon(names[result.tone] ?? 'check'),
    h('span', { class: 'visually-hidden', text: statusWords(result.status) }),
  );
}

function titleOf(result) {
  const cut = result.title.lastIndexOf('/') + 1;
  return h(
    'span',
    { class: 'result-title' },
    h(
      'span',
      { class: 'name', title: result.title },
      cut > 0 && h('span', { class: 'dim', text: result.title.slice(0, cut) }),
      h('span', { text: result.title.slice(cut) }),
    ),
    result.error
      ? h('span', { class: 'error-line', text: result.error })
      : h('span', { class: 'words-line', text: secondLine(result) }),
  );
}

function secondLine(result) {
  if (result.topWords.length > 0) return result.topWords.map((each) => each.word).join('  ');
  return result.text ? result.text.slice(0, 200) : (result.model ?? statusWords(result.status));
}

function measuresOf(result) {
  const measures = [
    result.bytes !== null && ['size', bytes(result.bytes)],
    result.lines !== null && ['some', plural(result.lines, 'line')],
    result.words !== null && ['many', plural(result.words, 'word')],
    result.duration !== null && ['time', duration(result.duration)],
  ].filter(Boolean);
  return h(
    'span',
    { class: 'measures' },
    ...measures.map(([name, text]) => h('span', { class: `measure ${name}`, text })),
  );
}

function detailOf(result) {
  const facts = [
    ['Status', statusWords(result.status)],
    ['Model', result.model],
    ['Published', clock(result.at, true)],
    ['SHA-256', result.sha256],
  ].filter(([, value]) => value);
  return h(
    'div',
    { class: 'result-detail' },
    h('dl', {}, ...facts.map(([name, value]) => h('div', {}, h('dt', { text: name }), h('dd', { text: value })))),
    result.topWords.length > 0 &&
      h('ul', { class: 'words', 'aria-label': 'Most frequent words' }, ...result.topWords.map(wordOf)),
    result.error && h('p', { class: 'error-text', text: result.error }),
    result.text && h('pre', { tabindex: '0', text: result.text.slice(0, TEXT_SHOWN_MAX) }),
  );
}

function wordOf({ word, count: times }) {
  return h('li', {}, word, times !== null && h('span', { class: 'dim', text: ` ${count(times)}` }));
}

customElements.define('result-list', ResultList);
