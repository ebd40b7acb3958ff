/** The shell: who reads, which page, and how the link to the gateway is. */

import './connection-state.js';
import './token-form.js';
import { access, askJson, whenRefused } from './access.js';
import { ConnectionsPage } from './connections-page.js';
import { h, setAttribute, setText } from './element.js';
import { loadIcons } from './icons.js';
import { NodesPage } from './nodes-page.js';
import { pulse } from './pulse.js';
import { QuestionsPage } from './questions-page.js';
import { watchTheme } from './theme.js';
import { TopicPage } from './topic-page.js';
import { TopicsPage } from './topics-page.js';
import { TryPage } from './try-page.js';

const PAGES = {
  topics: TopicsPage,
  topic: TopicPage,
  questions: QuestionsPage,
  connections: ConnectionsPage,
  nodes: NodesPage,
  try: TryPage,
};
for (const [name, page] of Object.entries(PAGES)) customElements.define(`${name}-page`, page);

/** Pages that show what only administrators may see. */
const FOR_ADMINS = new Set(['connections', 'nodes']);
const RETRY = 2_000;

const main = document.getElementById('main');
const link = document.createElement('connection-state');
let page = null;

function asked() {
  const query = new URLSearchParams(location.search);
  const topic = query.get('topic')?.trim();
  if (topic) return { view: 'topic', topic };
  const view = query.get('view') ?? 'topics';
  return { view: Object.hasOwn(PAGES, view) && view !== 'topic' ? view : 'topics' };
}

function open() {
  const { view, topic } = asked();
  page = document.createElement(`${view}-page`);
  if (topic) page.topic = topic;
  for (const tab of document.querySelectorAll('.tabs a')) {
    setAttribute(tab, 'aria-current', tab.dataset.view === (view === 'topic' ? 'topics' : view) ? 'page' : null);
  }
  link.show({ name: 'connecting', cursor: null });
  if (FOR_ADMINS.has(view) && !access.isAdmin) {
    link.show({ name: 'live', cursor: null });
    main.replaceChildren(forAdmins());
  } else {
    main.replaceChildren(page);
  }
  scrollTo(0, 0);
}

function forAdmins() {
  return h('section', { class: 'card' }, h('h1', { text: 'For administrators' }), h('p', { class: 'dim', text: 'Your credential may watch topics, but not see who is connected. Enter one with the role admin to do so.' }));
}

/** Goes to another page of this one without losing what was measured. */
function follow(event) {
  const anchor = event.target.closest?.('a[href^="/?"], a[href="/"]');
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(anchor.getAttribute('href'));
}

function go(address) {
  history.pushState(null, '', address);
  open();
  main.focus({ preventScroll: true });
}

function shortcut(event) {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.('input, textarea, select')) return;
  if (!page?.focusFilter) return;
  event.preventDefault();
  page.focusFilter();
}

/** Asks for a credential in place of everything else. */
function askForToken(reason) {
  if (main.querySelector('token-form')) return;
  const form = document.createElement('token-form');
  form.reason = access.token ? reason : null;
  form.onToken = () => enter();
  link.show({ name: 'refused', cursor: null });
  main.replaceChildren(form);
}

function showWho() {
  const { me } = access;
  const who = document.getElementById('who');
  const words = me.is_admin ? (me.name ?? '') : `${me.name ?? me.role}, read-only`;
  setText(who.querySelector('span'), words);
  who.hidden = words === '' && !access.token;
  who.querySelector('button').hidden = !access.token;
  for (const tab of document.querySelectorAll('.tabs [data-admin]')) tab.hidden = !me.is_admin;
}

/** Learns who reads, then opens the page; tries again while the gateway is away. */
async function enter() {
  try {
    access.me = await askJson('/v1/whoami');
  } catch (error) {
    if (error.status === 401) return;
    link.show({ name: 'waiting', cursor: null, retryAt: Date.now() + RETRY, reason: error.message });
    setTimeout(enter, RETRY);
    return;
  }
  showWho();
  pulse.start();
  open();
}

// Icons are decoration: the page does not wait for them, and does without if they fail.
loadIcons().catch(() => {});
watchTheme(document.getElementById('theme'));
whenRefused(askForToken);
document.getElementById('connection').replaceChildren(link);
document.getElementById('who').querySelector('button').addEventListener('click', () => {
  access.token = null;
  location.assign('/');
});
document.addEventListener('click', follow);
document.addEventListener('keydown', shortcut);
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (!form.matches('form.open-topic')) return;
  event.preventDefault();
  go(`/?${new URLSearchParams(new FormData(form))}`);
});
addEventListener('popstate', open);
main.addEventListener('link', ({ detail: { state, retry } }) => {
  link.onRetry = retry;
  link.show(state);
});
setInterval(() => link.tick(Date.now()), 500);
enter();
