/** A piece of code with a button that copies it. */

import { h, icon, setText } from './element.js';

/**
 * @param {string} title what the code is for
 * @param {string} code
 */
export function copyBlock(title, code) {
  const pre = h('pre', { tabindex: '0', 'aria-label': title }, h('code', { text: code }));
  const label = h('span', { text: 'Copy' });
  const button = h('button', { type: 'button', class: 'quiet', on: { click: copy } }, icon('copy'), label);
  let reset = 0;

  async function copy() {
    const copied = await write(code);
    if (!copied) select(pre);
    setText(label, copied ? 'Copied' : 'Press Ctrl+C');
    clearTimeout(reset);
    reset = setTimeout(() => setText(label, 'Copy'), 2_000);
  }

  return h(
    'figure',
    { class: 'copy-block' },
    h('figcaption', {}, h('span', { text: title }), button),
    pre,
  );
}

/** The clipboard exists only on secure origins, and may be denied there too. */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}
