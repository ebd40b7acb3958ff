/** Tells how the link to the gateway is: a quiet pill while it is well, a clear line when it is not. */

import { h, icon, setText } from './element.js';

export class ConnectionState extends HTMLElement {
  #state = null;
  #seen = null;

  /** Called when the reader does not want to wait for the next attempt. */
  onRetry = null;

  connectedCallback() {
    if (this.dot) return;
    this.className = 'connection';
    this.dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
    this.words = h('span', { class: 'connection-words', role: 'status' });
    this.wait = h('span', { class: 'connection-wait' });
    this.button = h('button', {
      type: 'button',
      class: 'quiet small',
      text: 'Try now',
      hidden: true,
      on: { click: () => this.onRetry?.() },
    });
    this.append(this.dot, this.words, this.wait, this.button);
  }

  /** @param {import('./stream.js').StreamState} state */
  show(state) {
    this.#state = state;
    if (state.name === 'live') this.#seen = true;
    const waiting = state.name === 'waiting';
    const lost = waiting || (state.name === 'connecting' && this.#seen);
    this.dataset.state = lost ? 'lost' : state.name;
    setText(this.words, wordsOf(state, lost));
    this.button.hidden = !waiting;
    this.tick(Date.now());
  }

  /** Moves the seconds to the next attempt on. */
  tick(now) {
    if (!this.#state) return;
    const left = this.#state.name === 'waiting' ? Math.ceil((this.#state.retryAt - now) / 1000) : 0;
    setText(this.wait, left > 0 ? `next try in ${left} s` : '');
  }
}

function wordsOf(state, lost) {
  if (lost) {
    return state.cursor
      ? `Connection lost, resuming after ${state.cursor}`
      : `Connection lost, trying again`;
  }
  switch (state.name) {
    case 'live':
      return 'Live';
    case 'refused':
      return 'Refused';
    case 'stopped':
      return 'Stopped';
    default:
      return 'Connecting';
  }
}

/** The card that stands in place of everything when the gateway said no for good. */
export function refusalCard(topic, reason) {
  return h(
    'section',
    { class: 'card outcome bad' },
    h('p', { class: 'eyebrow bad' }, icon('cross'), 'Not shown'),
    h('h2', { class: 'question', text: topic }),
    h('p', { text: `The gateway refused this topic: ${reason}` }),
    h('p', { class: 'dim', text: 'A topic reads kind:id, as in session:abc.' }),
    h('p', {}, h('a', { href: '/', text: 'All live topics' })),
  );
}

customElements.define('connection-state', ConnectionState);
