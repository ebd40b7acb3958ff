/** A question to whoever watches: the form while it is open, the answer for everybody afterwards. */

import { fill, h, icon, setText } from './element.js';
import { clock, countdown } from './format.js';
import { asText, fieldFor } from './schema.js';
import { access } from './access.js';
import { controlFor } from './answer-form.js';
import { respond } from './respond.js';

let serial = 0;

export class ClarificationCard extends HTMLElement {
  #topic;
  #clarification;
  #shown = null;
  #control = null;
  #answeredHere = false;
  #over = false;

  /**
   * @param {string} topic
   * @param {object} clarification as the story keeps it
   */
  show(topic, clarification) {
    this.#topic = topic;
    this.#clarification = clarification;
    if (this.#shown !== clarification.status) {
      const hadFocus = this.contains(document.activeElement);
      this.#shown = clarification.status;
      if (clarification.status === 'open') this.#buildOpen();
      else this.#buildClosed();
      if (hadFocus) this.querySelector('[tabindex="-1"]')?.focus();
    }
    this.tick(Date.now());
  }

  /** What it shows. */
  get clarification() {
    return this.#clarification;
  }

  /** Moves the countdown on. */
  tick(now) {
    const { status, expiresAt } = this.#clarification;
    if (status !== 'open' || !this.deadline) return;
    const left = Date.parse(expiresAt) - now;
    setText(this.deadline, this.#deadlineWords(left));
    this.classList.toggle('urgent', left < 10_000);
    if (left <= 0 && !this.#over) this.#close();
  }

  #deadlineWords(left) {
    const hasDefault = (this.#clarification.default ?? null) !== null;
    if (left <= 0) return hasDefault ? 'Time is up, the default is taken' : 'Time is up';
    return hasDefault ? `The default is taken in ${countdown(left)}` : `Expires in ${countdown(left)}`;
  }

  #buildOpen() {
    const { question, context, schema, default: initial, expiresAt } = this.#clarification;
    serial += 1;
    this.#control = controlFor(fieldFor(schema, initial), `answer-${serial}`);
    this.error = h('p', { class: 'form-error', role: 'alert' });
    this.button = h('button', { type: 'submit', class: 'primary', text: 'Send answer' });
    this.deadline = Number.isNaN(Date.parse(expiresAt)) ? null : h('span', { class: 'deadline', role: 'timer' });
    this.className = 'card clarification open';
    fill(
      this,
      h(
        'div',
        { class: 'card-head' },
        h('p', { class: 'eyebrow accent' }, icon('question'), 'Waiting for an answer'),
        this.deadline && h('p', { class: 'deadline-line' }, icon('clock'), this.deadline),
      ),
      h('h2', { class: 'question', text: question ?? 'A question without words', tabindex: '-1' }),
      contextOf(context),
      mayAnswer()
        ? h(
            'form',
            { on: { submit: (event) => this.#submit(event) } },
            this.#control.element,
            this.error,
            h('div', { class: 'form-actions' }, this.button, defaultHint(initial)),
          )
        : h('p', { class: 'hint read-only', text: 'Read-only: answering from here is for administrators.' }),
    );
  }

  #buildClosed() {
    const { status, question, response, answeredBy, closedAt } = this.#clarification;
    this.classList.remove('urgent');
    this.className = `card clarification ${status}`;
    this.deadline = null;
    const who = answeredBy === 'default' ? 'by the default' : this.#answeredHere ? 'by you' : 'by somebody watching';
    const line = {
      answered: `Answered ${who} at ${clock(closedAt)}`,
      expired: `Expired unanswered at ${clock(closedAt)}`,
      closed: 'Closed while this page was out of touch',
    }[status];
    const answered = status === 'answered';
    fill(
      this,
      h('p', { class: `eyebrow ${answered ? 'good' : 'warn'}` }, icon(answered ? 'check' : 'clock'), line),
      h('h2', { class: 'question', text: question ?? 'A question without words', tabindex: '-1' }),
      response !== undefined && h('p', { class: 'answer', text: asText(response) }),
    );
  }

  async #submit(event) {
    event.preventDefault();
    let value;
    try {
      value = this.#control.read();
    } catch (error) {
      setText(this.error, error.message);
      return;
    }
    this.button.disabled = true;
    setText(this.error, '');
    setText(this.button, 'Sending…');
    const outcome = await respond(this.#topic, this.#clarification.id, value);
    // The stream may have told first that the question is closed.
    if (outcome.ok) this.#answeredHere = true;
    if (this.#clarification.status !== 'open') {
      if (outcome.ok) this.#buildClosed();
      return;
    }
    if (outcome.ok) {
      setText(this.button, 'Sent');
      this.#over = true;
      return;
    }
    setText(this.error, outcome.words);
    if (outcome.over) this.#close();
    else this.button.disabled = false;
    setText(this.button, outcome.over ? 'Closed' : 'Send answer');
  }

  /** No answer is taken any more; the stream will tell how it ended. */
  #close() {
    this.#over = true;
    this.button.disabled = true;
    for (const control of this.querySelectorAll('input, select, textarea')) control.disabled = true;
  }
}

/** Without rights of an administrator this page only shows. */
function mayAnswer() {
  return access.me === null || access.isAdmin;
}

function contextOf(context) {
  if (context === undefined || context === null || context === '') return null;
  if (typeof context === 'string') return h('p', { class: 'context', text: context });
  return h('pre', { class: 'context', text: JSON.stringify(context, null, 2) });
}

function defaultHint(initial) {
  if ((initial ?? null) === null) return null;
  return h('span', { class: 'hint', text: `Default: ${asText(initial)}` });
}

customElements.define('clarification-card', ClarificationCard);
