/** One line of the list of topics, used again for whatever topic comes into view. */

import { pageOf } from './cursor.js';
import { h, icon, setAttribute, setText } from './element.js';
import { ago, count, percent, plural, statusWords, tone } from './format.js';

export class TopicRow {
  constructor() {
    this.kind = h('span', { class: 'kind' });
    this.id = h('span', { class: 'row-id' });
    this.status = h('span', { class: 'status' });
    this.asks = h('span', { class: 'status asks', hidden: true });
    this.fill = h('span', { class: 'fill' });
    this.bar = h('span', { class: 'bar small', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.fill);
    this.value = h('span', { class: 'row-value' });
    this.events = h('span', { class: 'row-count' });
    this.watching = h('span', { class: 'row-count' });
    this.when = h('span', { class: 'row-when' });
    this.link = h(
      'a',
      { class: 'topic-row' },
      h('span', { class: 'row-name' }, this.kind, this.id),
      h('span', { class: 'row-status' }, this.status, this.asks),
      h('span', { class: 'row-progress' }, this.bar, this.value),
      h('span', { class: 'row-counts' }, this.events, this.watching),
      this.when,
      icon('chevron'),
    );
    this.element = h('li', {}, this.link);
  }

  /** @param {import('./topics-stream.js').TopicLine} line */
  show(line) {
    // Somebody may watch a topic before anybody publishes to it.
    const status = line.seq > 0 ? line.status : 'waiting';
    setAttribute(this.link, 'href', pageOf(line.topic));
    setAttribute(this.link, 'data-topic', line.topic);
    setText(this.kind, line.kind);
    setText(this.id, line.id);
    setAttribute(this.id, 'title', line.id);
    setText(this.status, statusWords(status));
    setAttribute(this.status, 'class', `status ${tone(status)}`);
    this.asks.hidden = line.questions === 0;
    setText(this.asks, plural(line.questions, 'question'));
    const known = Number.isFinite(line.progress);
    const value = known ? percent(line.progress) : null;
    setText(this.value, known ? `${value}%` : '');
    setAttribute(this.bar, 'aria-label', `Progress of ${line.topic}`);
    setAttribute(this.bar, 'aria-valuenow', value);
    setAttribute(this.bar, 'class', `bar small ${known ? tone(status) : 'unknown'}`);
    this.fill.style.setProperty('--value', known ? Number(value) : 0);
    setText(this.events, plural(line.seq, 'event'));
    setText(this.watching, `${count(line.subscribers)} watching`);
    this.tick(line);
  }

  tick(line) {
    setText(this.when, ago(Date.now() - line.updatedAt));
  }
}
