/** All live topics, asked for every two seconds; without any, how to make the first. */

import { copyBlock } from './copy-block.js';
import { pageOf, parseCursor, parseTopic } from './cursor.js';
import { arrange, h, icon, setAttribute, setText } from './element.js';
import { count, percent, plural, statusWords, tone } from './format.js';
import { snippets } from './snippets.js';

const REFRESH = 2_000;
const TIMEOUT = 8_000;
/** The list says nothing of progress; of so many sessions at a time it is asked for beside it. */
const PROGRESS_ASKED_MAX = 30;

export class TopicsPage extends HTMLElement {
  #rows = new Map();
  #progress = new Map();

  connectedCallback() {
    this.note = h('p', { class: 'section-note', role: 'status', text: 'Asking the gateway…' });
    this.list = h('ul', { class: 'topic-rows' });
    this.table = h('section', { class: 'card topics', 'aria-label': 'Live topics', hidden: true }, this.list);
    this.welcome = h('section', { class: 'welcome', hidden: true });
    this.append(
      h('div', { class: 'page-head' }, h('div', {}, h('h1', { text: 'Live topics' }), this.note), openForm()),
      this.table,
      this.welcome,
    );
    document.title = 'Topics · tidings';
    this.#keepAsking();
  }

  async #keepAsking() {
    if (document.visibilityState === 'visible' || !this.asked) await this.#ask();
    this.asked = true;
    setTimeout(() => this.#keepAsking(), REFRESH);
  }

  async #ask() {
    try {
      const response = await fetch('/v1/topics', {
        headers: { Accept: 'application/json' },
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
      const page = await response.json();
      this.#show(page.topics, Boolean(page.next));
      await this.#askProgress(page.topics);
    } catch (error) {
      const reason = error instanceof TypeError ? 'the gateway cannot be reached' : error.message;
      setText(this.note, `Not up to date: ${reason}. Trying again.`);
      this.classList.add('stale');
    }
  }

  #show(topics, more) {
    this.classList.remove('stale');
    setText(this.note, topics.length === 0 ? 'Nothing is being published at the moment.' : `${plural(topics.length, 'topic')}${more ? ', the first page of more' : ''}`);
    this.table.hidden = topics.length === 0;
    this.welcome.hidden = topics.length > 0;
    if (topics.length === 0 && !this.welcome.firstChild) this.welcome.append(...welcome());
    const names = new Set(topics.map((each) => each.topic));
    for (const name of this.#rows.keys()) {
      if (names.has(name)) continue;
      this.#rows.delete(name);
      this.#progress.delete(name);
    }
    arrange(this.list, topics.map((each) => this.#row(each)));
  }

  #row(entry) {
    let row = this.#rows.get(entry.topic);
    if (!row) {
      row = new TopicRow(entry.topic);
      this.#rows.set(entry.topic, row);
    }
    row.show({ ...entry, ...this.#progress.get(entry.topic)?.known });
    return row.element;
  }

  /** Asks for the progress of the sessions in which something has happened since. */
  async #askProgress(topics) {
    const moved = topics.filter(
      ({ topic, cursor }) =>
        topic.startsWith('session:') && eventsUntil(cursor) > 0 && this.#progress.get(topic)?.cursor !== cursor,
    );
    const asked = moved.slice(0, PROGRESS_ASKED_MAX).map(async (entry) => {
      const known = await progressOf(parseTopic(entry.topic).id);
      this.#progress.set(entry.topic, { cursor: entry.cursor, known });
      this.#row(entry);
    });
    await Promise.all(asked);
  }
}

/** One line of the list, kept from one answer to the next. */
class TopicRow {
  constructor(topic) {
    const { kind, id } = parseTopic(topic);
    this.status = h('span', { class: 'status' });
    this.fill = h('span', { class: 'fill' });
    this.bar = h('span', { class: 'bar', role: 'progressbar', 'aria-label': `Progress of ${topic}`, 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.fill);
    this.value = h('span', { class: 'row-value' });
    this.events = h('span', { class: 'row-count' });
    this.watching = h('span', { class: 'row-count' });
    this.element = h(
      'li',
      {},
      h(
        'a',
        { class: 'topic-row', href: pageOf(topic), 'data-topic': topic },
        h('span', { class: 'row-name' }, h('span', { class: 'kind', text: kind }), h('span', { class: 'row-id', text: id })),
        this.status,
        h('span', { class: 'row-progress' }, this.bar, this.value),
        h('span', { class: 'row-counts' }, this.events, this.watching),
        icon('chevron'),
      ),
    );
  }

  show(entry) {
    const events = eventsUntil(entry.cursor);
    // Somebody may watch a topic before anybody publishes to it.
    const status = events > 0 ? entry.status : 'waiting';
    setText(this.status, statusWords(status));
    setAttribute(this.status, 'class', `status ${tone(status)}`);
    const known = Number.isFinite(entry.progress);
    const value = known ? percent(entry.progress) : null;
    setText(this.value, known ? `${value}%` : '');
    setAttribute(this.bar, 'aria-valuenow', value);
    setAttribute(this.bar, 'class', `bar small ${known ? tone(status) : 'unknown'}`);
    this.fill.style.setProperty('--value', known ? Number(value) : 0);
    setText(this.events, plural(events, 'event'));
    setText(this.watching, `${count(entry.subscribers)} watching`);
  }
}

/** Sequences begin at 1, so the head of a log is also their number. */
function eventsUntil(cursor) {
  return parseCursor(cursor)?.seq ?? 0;
}

async function progressOf(id) {
  const response = await fetch(`/api/wizard/status/${encodeURIComponent(id)}`, {
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (!response.ok) return {};
  const { progress, status } = (await response.json()).data;
  return { progress, status };
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
  const code = snippets(location.origin);
  return [
    h('h2', { text: 'Publish a first event' }),
    h(
      'p',
      {},
      'Any HTTP client can. Run this, and ',
      h('a', { href: '/?topic=session:hello', text: 'session:hello' }),
      ' appears here by itself.',
    ),
    copyBlock('Publish with curl', code.publish),
    h('h2', { text: 'Receive it' }),
    h('p', { text: 'With the stock Socket.IO clients, unchanged.' }),
    h('div', { class: 'two' }, copyBlock('socket.io-client', code.javascript), copyBlock('python-socketio', code.python)),
  ];
}
