/** Every event as it came in, newest first, with its payload folded away. */

import './activity.js';
import { arrange, h, icon, setText } from './element.js';
import { clock, count, oneLine, plural } from './format.js';
import { isObject, withoutEnvelope } from './story.js';

const PAGE = 100;
const SEARCHED_CHARS = 4_000;
const PAYLOAD_CHARS_MAX = 100_000;

export class EventTimeline extends HTMLElement {
  #rows = new WeakMap();
  #searchable = new WeakMap();
  #story = null;
  #shown = PAGE;
  #words = '';
  #class = '';
  #held = null;
  #heldAt = 0;
  #asked = false;

  /** Loads what is in the log but not on the timeline; set by the page. */
  onHistory = null;

  connectedCallback() {
    if (this.list) return;
    this.className = 'card timeline';
    this.note = h('p', { class: 'section-note' });
    this.search = h('input', {
      type: 'search',
      placeholder: 'Filter by name or payload',
      'aria-label': 'Filter the timeline by name or payload',
      on: { input: () => this.#filter() },
    });
    this.kind = h(
      'select',
      { 'aria-label': 'Show only one class', on: { change: () => this.#filter() } },
      ...[['', 'All classes'], ['state', 'State'], ['fact', 'Fact'], ['terminal', 'Terminal']].map(([value, text]) =>
        h('option', { value, text }),
      ),
    );
    this.hold = h('button', { type: 'button', class: 'chip', 'aria-pressed': 'false', text: 'Pause', on: { click: () => this.#pause() } });
    this.list = h('ol', { class: 'timeline-rows' });
    this.empty = h('p', { class: 'empty-line' });
    this.more = h('button', { type: 'button', class: 'quiet more', hidden: true, on: { click: () => this.#showMore() } });
    this.history = h('button', { type: 'button', class: 'quiet', hidden: true, text: 'Load', on: { click: () => this.#loadHistory() } });
    this.activity = document.createElement('topic-activity');
    this.append(
      h('div', { class: 'section-head' }, h('h2', { text: 'Timeline' }), this.note, this.history, h('div', { class: 'tools' }, this.search, this.kind, this.hold)),
      this.activity,
      this.list,
      this.empty,
      this.more,
    );
  }

  show(story) {
    this.#story = story;
    const all = this.#held ?? story.timeline;
    const { chosen, left } = this.#choose(all);
    this.activity.show(all);
    arrange(this.list, chosen.map((entry) => this.#row(entry)));
    setText(this.note, this.#noteOf(story));
    this.empty.hidden = chosen.length > 0;
    setText(this.empty, all.length > 0 ? 'Nothing matches the filter.' : 'Nothing has been published yet.');
    this.more.hidden = !left;
    setText(this.more, 'Show older');
    this.history.hidden = this.#asked || story.missing === 0;
    setText(this.history, `Load ${plural(story.missing, 'earlier event')}`);
  }

  async #loadHistory() {
    this.history.disabled = true;
    try {
      await this.onHistory();
      // What is still missing now is no longer in the log.
      this.#asked = true;
    } catch (error) {
      setText(this.history, `Not loaded: ${error.message}. Try again`);
    }
    this.history.disabled = false;
  }

  #noteOf(story) {
    const events = plural(story.timeline.length, 'entry', 'entries');
    if (this.#held) return `${count(story.timeline.length + story.timelineDropped - this.#heldAt)} new while paused`;
    return story.timelineDropped > 0 ? `newest ${events}` : events;
  }

  #choose(all) {
    const chosen = [];
    for (let at = all.length - 1; at >= 0; at -= 1) {
      if (!this.#matches(all[at])) continue;
      if (chosen.length === this.#shown) return { chosen, left: true };
      chosen.push(all[at]);
    }
    return { chosen, left: false };
  }

  #matches(entry) {
    if (entry.kind !== 'event') return this.#words === '' && this.#class === '';
    if (this.#class !== '' && entry.class !== this.#class) return false;
    return this.#words === '' || this.#textOf(entry).includes(this.#words);
  }

  #textOf(entry) {
    let text = this.#searchable.get(entry);
    if (text === undefined) {
      text = `${entry.name} ${entry.seq} ${oneLine(entry.data, SEARCHED_CHARS)}`.toLowerCase();
      this.#searchable.set(entry, text);
    }
    return text;
  }

  #row(entry) {
    let row = this.#rows.get(entry);
    if (!row) {
      row = entry.kind === 'event' ? eventRow(entry) : markRow(entry);
      this.#rows.set(entry, row);
    }
    return row;
  }

  #filter() {
    this.#words = this.search.value.trim().toLowerCase();
    this.#class = this.kind.value;
    this.#shown = PAGE;
    this.show(this.#story);
  }

  #pause() {
    this.#held = this.#held ? null : [...this.#story.timeline];
    this.#heldAt = this.#story.timeline.length + this.#story.timelineDropped;
    this.hold.setAttribute('aria-pressed', String(this.#held !== null));
    setText(this.hold, this.#held ? 'Resume' : 'Pause');
    this.show(this.#story);
  }

  #showMore() {
    this.#shown += PAGE;
    this.show(this.#story);
  }
}

function eventRow(entry) {
  const details = h(
    'details',
    {},
    h(
      'summary',
      {},
      h('span', { class: 'seq', text: entry.seq }),
      h('time', { datetime: new Date(entry.at).toISOString(), text: clock(entry.at, true) }),
      h('span', { class: 'event-name' }, h('span', { text: entry.name }), entry.replayed && h('span', { class: 'replayed-tag', title: 'It happened before this page came', text: 'replayed' })),
      h('span', { class: `class-tag ${entry.class}`, text: entry.class }),
      h('span', { class: 'payload-line', text: oneLine(isObject(entry.data) ? withoutEnvelope(entry.data) : entry.data) }),
      icon('chevron', 'turn'),
    ),
  );
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) details.append(payloadOf(entry));
  });
  return h('li', { class: 'entry', 'data-seq': entry.seq }, details);
}

function payloadOf(entry) {
  const text = typeof entry.data === 'string' ? entry.data : JSON.stringify(entry.data, null, 2);
  const cut = text.length > PAYLOAD_CHARS_MAX;
  return h(
    'div',
    { class: 'payload' },
    h('p', { class: 'dim', text: `Cursor ${entry.cursor}${entry.replayed ? ', replayed' : ''}` }),
    h('pre', { tabindex: '0', text: cut ? text.slice(0, PAYLOAD_CHARS_MAX) : text }),
    cut && h('p', { class: 'dim', text: `${count(text.length - PAYLOAD_CHARS_MAX)} more characters are not shown.` }),
  );
}

/** What is no event, but belongs between them: a gap, a lost connection, its return. */
function markRow(entry) {
  const words = {
    gap: entry.newLog
      ? `Gap: the log began anew (${entry.from} to ${entry.to}); a snapshot follows`
      : `Gap: the events from ${entry.from} to ${entry.to} are gone; a snapshot follows`,
    lost: `Connection lost after ${entry.cursor ?? 'no event yet'}`,
    resumed: `Connected again, resumed after ${entry.cursor ?? 'no event yet'}`,
    conflated: `${plural(entry.count, 'state')} conflated: a newer one stands for ${entry.count === 1 ? entry.from : `${entry.from} to ${entry.to}`}`,
  };
  return h(
    'li',
    { class: `entry-mark ${entry.kind}` },
    icon({ resumed: 'check', conflated: 'merge' }[entry.kind] ?? 'warning'),
    h('time', { text: clock(entry.at, true) }),
    h('span', { text: words[entry.kind] }),
  );
}

customElements.define('event-timeline', EventTimeline);
