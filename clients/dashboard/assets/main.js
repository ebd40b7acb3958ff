/** Chooses what to show: one topic if the address names one, else all of them. */

import { loadIcons } from './icons.js';
import { TopicsPage } from './topics-page.js';
import { TopicPage } from './topic-page.js';

customElements.define('topics-page', TopicsPage);
customElements.define('topic-page', TopicPage);

// Icons are decoration: the page does not wait for them, and does without if they fail.
loadIcons().catch(() => {});

const topic = new URLSearchParams(location.search).get('topic')?.trim();
const page = document.createElement(topic ? 'topic-page' : 'topics-page');
if (topic) page.topic = topic;
document.getElementById('main').replaceChildren(page);
