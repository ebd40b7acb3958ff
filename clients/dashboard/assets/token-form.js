/** Where a reader shows who they are, when the gateway asks. */

import { access, askJson } from './access.js';
import { h, icon, setText } from './element.js';

export class TokenForm extends HTMLElement {
  /** Why the last one was refused, if there was one. */
  reason = null;
  /** Called when a token was taken. */
  onToken = null;

  connectedCallback() {
    this.className = 'token-page';
    this.field = h('input', { id: 'token', name: 'token', type: 'password', required: true, autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'token-hint' });
    this.error = h('p', { class: 'form-error', role: 'alert', text: this.reason ?? '' });
    this.button = h('button', { type: 'submit', class: 'primary', text: 'Enter' });
    this.replaceChildren(
      h(
        'section',
        { class: 'card token-card' },
        h('p', { class: 'eyebrow accent' }, icon('key'), 'This gateway asks who you are'),
        h('h1', { text: 'Enter a token' }),
        h('p', { class: 'dim', id: 'token-hint', text: 'A JSON Web Token of an administrator shows everything; one of a user shows the topics of that user. It stays in this tab until you close it, and travels in a header only.' }),
        h(
          'form',
          { on: { submit: (event) => this.#submit(event) } },
          h('div', { class: 'field' }, h('label', { for: 'token', text: 'Token' }), this.field),
          this.error,
          h('div', { class: 'form-actions' }, this.button, h('span', { class: 'hint' }, 'On the command line: ', h('code', { text: 'tidings token user me --role admin' }))),
        ),
      ),
    );
    document.title = 'Sign in · tidings';
    this.field.focus();
  }

  async #submit(event) {
    event.preventDefault();
    this.button.disabled = true;
    setText(this.error, '');
    access.token = this.field.value.trim();
    try {
      access.me = await askJson('/v1/whoami');
      this.onToken?.();
    } catch (error) {
      access.token = null;
      setText(this.error, `Not taken: ${error.message}`);
      this.field.select();
    }
    this.button.disabled = false;
  }
}

customElements.define('token-form', TokenForm);
