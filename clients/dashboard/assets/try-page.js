/** Publish an event by hand, see it come back, and copy the code that does the same. */

import { access, send } from './access.js';
import { copyBlock } from './copy-block.js';
import { pageOf, topicPath } from './cursor.js';
import { fill, h, icon, setText } from './element.js';
import { clock, duration, oneLine } from './format.js';
import { snippets } from './snippets.js';
import { TopicStream } from './stream.js';

const HEARD_MAX = 12;

const EXAMPLES = [
  ['Progress', 'progress', { progress: 42, status: 'PROCESSING', message: 'reading page 3 of 7' }],
  ['Result', 'model_result', { modelName: 'llama3.1:8b', file: 'report.pdf', status: 'completed', duration: 812, result: 'It fits.' }],
  ['Question', 'clarification', { question: 'Which report?', schema: { enum: ['short', 'long'] }, default: 'short' }],
  ['Completed', 'completed', { message: 'All done', result: { pages: 7 } }],
  ['Error', 'error', { error: 'page 4 cannot be read' }],
];

const LANGUAGES = [
  ['javascript', 'JavaScript', 'socket.io-client, unchanged'],
  ['react', 'React', 'tidings-client/react'],
  ['python', 'Python', 'python-socketio, unchanged'],
  ['curl', 'curl', 'publish'],
  ['follow', 'curl', 'follow'],
];

let chosenLanguage = 'javascript';

export class TryPage extends HTMLElement {
  #stream = null;
  #followed = null;

  connectedCallback() {
    this.#build();
    this.#changed();
    document.title = 'Try it · tidings';
    this.dispatchEvent(new CustomEvent('link', { detail: { state: { name: 'live', cursor: null } }, bubbles: true }));
  }

  disconnectedCallback() {
    this.#stream?.stop();
    clearTimeout(this.later);
  }

  #build() {
    const may = access.me?.is_admin === true;
    const field = (label, control, hint) => h('div', { class: 'field' }, h('label', { for: control.id, text: label }), hint && h('p', { class: 'hint', text: hint }), control);
    const input = (id, value, more = {}) => h('input', { id, name: id, type: 'text', required: true, value, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', on: { input: () => this.#changed() }, ...more });
    this.topic = input('try-topic', 'session:hello', { pattern: '[a-z]+:[A-Za-z0-9._~\\-]{1,128}', title: 'kind:id, as in session:abc' });
    this.name = input('try-name', 'progress', { pattern: '[A-Za-z][A-Za-z0-9_.:\\-]{0,63}', title: 'letters, digits and _ . : -' });
    this.data = h('textarea', { id: 'try-data', name: 'try-data', class: 'mono', rows: 7, required: true, spellcheck: 'false', on: { input: () => this.#changed(), keydown: (event) => this.#sendByKey(event) } });
    this.data.value = JSON.stringify(EXAMPLES[0][2], null, 2);
    this.ending = h('input', { type: 'checkbox', id: 'try-terminal' });
    this.error = h('p', { class: 'form-error', role: 'alert' });
    this.receipt = h('p', { class: 'receipt', role: 'status' });
    this.button = h('button', { type: 'submit', class: 'primary', disabled: !may, text: 'Publish' });
    this.form = h(
      'form',
      { class: 'card try-form', on: { submit: (event) => this.#publish(event) } },
      h('h2', { text: 'Publish an event' }),
      h('div', { class: 'chips', role: 'group', 'aria-label': 'Examples' }, ...EXAMPLES.map(([label, name, data]) => h('button', { type: 'button', class: 'chip', text: label, on: { click: () => this.#example(name, data) } }))),
      h('div', { class: 'try-fields' }, field('Topic', this.topic), field('Event', this.name)),
      field('Data', this.data, 'JSON. Ctrl+Enter publishes.'),
      h('label', { class: 'check', for: 'try-terminal' }, this.ending, h('span', { text: 'It ends the topic (terminal)' })),
      this.error,
      h('div', { class: 'form-actions' }, this.button, this.receipt, !may && h('span', { class: 'hint', text: 'Read-only: publishing from here is for administrators.' })),
    );
    this.heard = h('ol', { class: 'heard-rows' });
    this.heardEmpty = h('p', { class: 'empty-line', text: 'Nothing yet. What you publish appears here as a subscriber receives it.' });
    this.open = h('a', { class: 'open-link' }, 'Open the topic', icon('chevron'));
    this.code = h('div', { class: 'try-code' });
    this.append(
      h('div', { class: 'page-head' }, h('div', {}, h('h1', { text: 'Try it' }), h('p', { class: 'section-note', text: 'One event out, one event in, and the code for both.' }))),
      h(
        'div',
        { class: 'try' },
        this.form,
        h('section', { class: 'card', 'aria-label': 'Received' }, h('div', { class: 'section-head' }, h('h2', { text: 'What a subscriber hears' }), this.open), this.heard, this.heardEmpty),
      ),
      h('section', { class: 'card snippets', 'aria-label': 'Code' }, this.#tabs(), this.code),
    );
  }

  #tabs() {
    this.tabs = LANGUAGES.map(([language, label, about]) =>
      h('button', { type: 'button', role: 'tab', id: `tab-${language}`, 'aria-controls': 'snippet', 'data-language': language, on: { click: () => this.#choose(language) } }, h('span', { text: label }), h('span', { class: 'dim', text: ` ${about}` })),
    );
    const move = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const at = (LANGUAGES.findIndex(([language]) => language === chosenLanguage) + by + LANGUAGES.length) % LANGUAGES.length;
      this.#choose(LANGUAGES[at][0]);
      this.tabs[at].focus();
    };
    return h('div', { class: 'language-tabs', role: 'tablist', 'aria-label': 'Language', on: { keydown: move } }, ...this.tabs);
  }

  #choose(language) {
    chosenLanguage = language;
    this.#showCode();
  }

  #example(name, data) {
    this.name.value = name;
    this.data.value = JSON.stringify(data, null, 2);
    this.ending.checked = false;
    this.#changed();
    this.data.focus();
  }

  #sendByKey(event) {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  #changed() {
    setText(this.error, '');
    this.open.setAttribute('href', pageOf(this.topic.value));
    this.#showCode();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.#follow(), 400);
  }

  #showCode() {
    const data = this.#read();
    const code = snippets({ origin: location.origin, topic: this.topic.value, name: this.name.value, data: data.value, needsCredential: access.me?.needs_credential });
    for (const tab of this.tabs) {
      const chosen = tab.dataset.language === chosenLanguage;
      tab.setAttribute('aria-selected', chosen);
      tab.setAttribute('tabindex', chosen ? 0 : -1);
    }
    const [, , about] = LANGUAGES.find(([language]) => language === chosenLanguage);
    const block = copyBlock(about, code[chosenLanguage]);
    block.id = 'snippet';
    block.setAttribute('role', 'tabpanel');
    block.setAttribute('aria-labelledby', `tab-${chosenLanguage}`);
    fill(this.code, block);
  }

  #read() {
    try {
      return { value: JSON.parse(this.data.value) };
    } catch (error) {
      return { error: error.message };
    }
  }

  /** Listens to the topic that is named, from its newest state on. */
  #follow() {
    const topic = this.topic.value;
    if (topic === this.#followed || !this.topic.validity.valid) return;
    this.#stream?.stop();
    this.#followed = topic;
    this.heard.replaceChildren();
    this.heardEmpty.hidden = false;
    this.#stream = new TopicStream(topic, {
      items: (items) => topic === this.#followed && this.#hear(items),
      state: (state) => {
        if (topic !== this.#followed || state.name === 'stopped') return;
        this.dispatchEvent(new CustomEvent('link', { detail: { state, retry: () => this.#stream.retryNow() }, bubbles: true }));
      },
    });
    this.#stream.start();
  }

  #hear(items) {
    for (const item of items) {
      if (item.type === 'gap') continue;
      const row = h(
        'li',
        { class: 'heard-row' },
        h('span', { class: 'seq', text: item.seq }),
        h('time', { text: clock(item.receivedAt, true) }),
        h('b', { class: 'event-name', text: item.name }),
        item.replayed ? h('span', { class: 'class-tag', text: 'replayed' }) : h('span', { class: 'class-tag fact', text: 'live' }),
        h('span', { class: 'payload-line', text: oneLine(item.data, 200) }),
      );
      this.heard.prepend(row);
    }
    while (this.heard.childElementCount > HEARD_MAX) this.heard.lastElementChild.remove();
    this.heardEmpty.hidden = true;
  }

  async #publish(event) {
    event.preventDefault();
    const { value, error } = this.#read();
    if (error) {
      setText(this.error, `The data is no JSON: ${error}`);
      this.data.focus();
      return;
    }
    setText(this.error, '');
    this.button.disabled = true;
    this.#follow();
    const body = { name: this.name.value, data: value, ...(this.ending.checked ? { terminal: true } : {}) };
    const begun = performance.now();
    try {
      const { epoch, seq, subscribers } = await send(`${topicPath(this.topic.value)}/events`, body);
      const took = performance.now() - begun;
      setText(this.receipt, `Taken as ${epoch}:${seq} in ${duration(took)}, ${subscribers} watching`);
    } catch (refusal) {
      setText(this.receipt, '');
      setText(this.error, `Not taken: ${refusal.message}`);
    }
    this.button.disabled = false;
  }
}
