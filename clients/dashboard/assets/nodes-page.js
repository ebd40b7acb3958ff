/** The nodes that share the work: how each does, as far as this one hears of them. */

import { askJson } from './access.js';
import { arrange, h, setAttribute, setText } from './element.js';
import { bytes, count, duration, plural } from './format.js';
import { polled } from './poll.js';

export class NodesPage extends HTMLElement {
  #cards = new Map();

  connectedCallback() {
    this.note = h('p', { class: 'section-note', role: 'status', text: 'Asking the gateway…' });
    this.list = h('ul', { class: 'node-cards' });
    this.append(h('div', { class: 'page-head' }, h('div', {}, h('h1', { text: 'Nodes' }), this.note)), this.list);
    document.title = 'Nodes · tidings';
    this.poll = polled(this, async () => this.#show(await askJson('/v1/admin/nodes')));
    this.poll.start();
  }

  disconnectedCallback() {
    this.poll.stop();
  }

  #show({ nodes }) {
    const alone = nodes.length === 1;
    const away = nodes.filter((node) => node.status === 'away').length;
    const words = alone ? 'One node. With a shared Redis (REDIS_URL) any number share the topics.' : `${plural(nodes.length, 'node')} share the topics${away > 0 ? `, ${count(away)} of them away` : ''}`;
    setText(this.note, words);
    const known = new Set(nodes.map((node) => node.node));
    for (const id of this.#cards.keys()) if (!known.has(id)) this.#cards.delete(id);
    arrange(this.list, nodes.map((node) => this.#card(node)));
  }

  #card(node) {
    let card = this.#cards.get(node.node);
    if (!card) {
      card = new NodeCard();
      this.#cards.set(node.node, card);
    }
    card.show(node);
    return card.element;
  }
}

const FACTS = [
  ['connections', 'Connections', (node) => count(node.connections)],
  ['topics', 'Topics', (node) => count(node.topics)],
  ['subscriptions', 'Subscriptions', (node) => count(node.subscriptions)],
  ['uptime', 'Up for', (node) => duration(node.uptime_seconds * 1000)],
  ['version', 'Version', (node) => node.version ?? '–'],
  ['store', 'Store', (node) => (node.store ? `${bytes(node.store.bytes)}, ${node.store.state}` : '–')],
];

class NodeCard {
  constructor() {
    this.name = h('h2', {});
    this.id = h('p', { class: 'mono dim node-id' });
    this.status = h('span', { class: 'status' });
    this.here = h('span', { class: 'status busy', text: 'This node', hidden: true });
    this.cells = FACTS.map(([key, label, read]) => ({ read, value: h('dd', { 'data-node-fact': key }), label }));
    this.promise = h('p', { class: 'dim' });
    this.element = h(
      'li',
      { class: 'card node-card' },
      h('div', { class: 'node-head' }, h('div', {}, this.name, this.id), h('div', { class: 'node-states' }, this.here, this.status)),
      h('dl', { class: 'facts' }, ...this.cells.map(({ label, value }) => h('div', {}, h('dt', { text: label }), value))),
      this.promise,
    );
  }

  show(node) {
    setText(this.name, node.address ?? location.host);
    setText(this.id, node.node);
    this.here.hidden = !node.is_this;
    const words = { ok: 'Ready', draining: 'Draining', away: 'Does not answer' };
    setText(this.status, words[node.status] ?? node.status);
    setAttribute(this.status, 'class', `status ${{ ok: 'good', draining: 'warn', away: 'bad' }[node.status] ?? 'idle'}`);
    for (const { read, value } of this.cells) setText(value, node.status === 'away' ? '–' : read(node));
    setText(this.promise, node.store?.promise ?? '');
  }
}
