/** The head of a topic: what it is, how far it is, and how it ended. */

import { arrange, h, icon, setAttribute, setText } from './element.js';
import { bytes, clock, count, duration, percent, statusWords, tone } from './format.js';
import { isObject } from './story.js';
import { asText } from './schema.js';

const COUNTERS = [
  ['total', 'Total'],
  ['completed', 'Completed'],
  ['processing', 'Processing'],
  ['pending', 'Pending'],
  ['failed', 'Failed'],
];
const FACTS_MAX = 24;
const COLUMNS_MAX = 5;

/** Status, progress bar and counters. */
export class TopicOverview extends HTMLElement {
  connectedCallback() {
    if (this.bar) return;
    this.className = 'card overview';
    this.kind = h('span', { class: 'kind' });
    this.heading = h('h1', {});
    this.status = h('span', { class: 'status', text: '' });
    this.value = h('span', { class: 'big' });
    this.message = h('p', { class: 'message' });
    this.fill = h('span', { class: 'fill' });
    this.bar = h('div', { class: 'bar', role: 'progressbar', 'aria-label': 'Progress', 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.fill);
    this.cells = new Map(COUNTERS.map(([key, label]) => [key, counter(key, label)]));
    this.counters = h('dl', { class: 'counters', hidden: true }, ...[...this.cells.values()].map((cell) => cell.element));
    this.append(
      h('div', { class: 'overview-head' }, h('div', { class: 'overview-title' }, this.kind, this.heading), this.status),
      h('div', { class: 'overview-progress' }, this.value, this.message),
      this.bar,
      this.counters,
    );
  }

  show(story) {
    setText(this.kind, story.kind || 'topic');
    setText(this.heading, story.id);
    const status = story.status ?? (story.lastAt ? 'active' : 'waiting for events');
    setText(this.status, statusWords(status));
    const colour = tone(status);
    setAttribute(this.status, 'class', `status ${colour}`);
    const known = Number.isFinite(story.progress);
    const value = known ? percent(story.progress) : null;
    setText(this.value, known ? `${value}%` : '');
    const message = story.message ?? (known ? '' : 'No progress reported yet');
    setText(this.message, story.outcome ? '' : message);
    setAttribute(this.bar, 'aria-valuenow', value);
    setAttribute(this.bar, 'aria-valuetext', known ? `${value} percent, ${statusWords(status)}` : 'not known yet');
    setAttribute(this.bar, 'class', `bar ${known ? colour : 'unknown'}`);
    // A style property set by script is not an inline style: the policy of the page allows it.
    this.fill.style.setProperty('--value', known ? Number(value) : 0);
    this.counters.hidden = !story.prompts;
    for (const [key, cell] of this.cells) cell.show(story.prompts?.[key]);
  }
}

function counter(key, label) {
  const value = h('dd', {});
  const element = h('div', { class: `counter ${key}` }, h('dt', { text: label }), value);
  const show = (number) => {
    element.hidden = number === undefined;
    setText(value, count(number));
    element.classList.toggle('some', number > 0);
  };
  return { element, show };
}

/** How it ended, or what went wrong on the way. */
export class TopicOutcome extends HTMLElement {
  #drawn = null;

  show(story) {
    const ending = story.outcome ?? story.problem;
    this.hidden = !ending;
    const key = ending && `${ending.at} ${ending.terminal}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    arrange(this, ending ? [story.outcome ? completed(story.outcome) : failed(story.problem)] : []);
  }
}

function completed(outcome) {
  return h(
    'section',
    { class: 'card outcome good' },
    h('p', { class: 'eyebrow good' }, icon('check'), `Completed at ${clock(outcome.at)}`),
    h('h2', { text: outcome.words ?? 'All done' }),
    summaryOf(outcome.result),
  );
}

function failed(problem) {
  const data = Object.entries(problem.data).filter(([key]) => !['error', 'message'].includes(key));
  return h(
    'section',
    { class: 'card outcome bad', role: 'alert' },
    h(
      'p',
      { class: 'eyebrow bad' },
      icon('warning'),
      problem.terminal ? `Failed at ${clock(problem.at)}` : `An error was reported at ${clock(problem.at)}`,
    ),
    h('h2', { class: 'error-text', text: problem.words }),
    data.length > 0 && summaryOf(Object.fromEntries(data)),
  );
}

/** A summary as a person reads it: figures first, lists of words as words, the rest as JSON. */
function summaryOf(result) {
  if (result === undefined || result === null) return null;
  if (!isObject(result)) return h('p', { class: 'prose', text: typeof result === 'string' ? result : JSON.stringify(result) });
  const entries = Object.entries(result).slice(0, FACTS_MAX);
  const figures = entries.filter(([, value]) => Number.isFinite(value));
  const rest = entries.filter(([, value]) => !Number.isFinite(value) && value !== null);
  return h(
    'div',
    { class: 'summary' },
    figures.length > 0 &&
      h('dl', { class: 'facts' }, ...figures.map(([key, value]) => fact(key, figure(key, value)))),
    ...rest.map(([key, value]) => h('div', { class: 'summary-part' }, h('h3', { text: label(key) }), part(value))),
  );
}

function fact(key, text) {
  return h('div', {}, h('dt', { text: label(key) }), h('dd', { text }));
}

function figure(key, value) {
  if (/bytes|size/i.test(key)) return bytes(value);
  if (/(ms|duration)$/i.test(key)) return duration(value);
  return count(value);
}

function part(value) {
  const words = Array.isArray(value) ? value.map(word) : null;
  if (words && words.length > 0 && words.every(Boolean)) {
    return h('ul', { class: 'words' }, ...words.slice(0, FACTS_MAX).map((each) => h('li', { text: each })));
  }
  if (isTable(value)) return table(value);
  if (typeof value === 'object') return h('pre', { tabindex: '0', text: JSON.stringify(value, null, 2) });
  return h('p', { class: 'prose', text: asText(value) });
}

/** Rows with the same few plain fields. */
function isTable(value) {
  if (!Array.isArray(value) || value.length === 0 || !value.every(isObject)) return false;
  const columns = Object.keys(value[0]);
  return (
    columns.length > 0 &&
    columns.length <= COLUMNS_MAX &&
    value.every((row) => Object.keys(row).length === columns.length && columns.every((key) => key in row && !isObject(row[key]) && !Array.isArray(row[key])))
  );
}

function table(rows) {
  const columns = Object.keys(rows[0]);
  const cell = (row, key) => {
    const isNumber = Number.isFinite(row[key]);
    return h('td', { class: isNumber ? 'number' : null, text: isNumber ? figure(key, row[key]) : asText(row[key]) });
  };
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...columns.map((key) => h('th', { scope: 'col', class: Number.isFinite(rows[0][key]) ? 'number' : null, text: label(key) })))),
    h('tbody', {}, ...rows.slice(0, FACTS_MAX).map((row) => h('tr', {}, ...columns.map((key) => cell(row, key))))),
  );
}

/** "the", ["the", 12] and {word: "the", count: 12} read as a word; anything else does not. */
function word(value) {
  if (typeof value === 'string' && value.length < 80) return value;
  const [text, times] = Array.isArray(value) ? value : [value?.word, value?.count];
  if (typeof text !== 'string' || !Number.isFinite(times)) return null;
  return `${text} ${count(times)}`;
}

/** "totalBytes", "total_bytes" -> "Total bytes"; a unit that the figure itself shows is left out. */
function label(key) {
  return statusWords(key.replace(/([a-z])([A-Z])/g, '$1_$2')).replace(/ ms$/, '');
}

customElements.define('topic-overview', TopicOverview);
customElements.define('topic-outcome', TopicOutcome);
