/** Light, dark, or as the system has it: a choice that stays with this browser. */

import { setAttribute, setText } from './element.js';

const KEY = 'tidings.theme';
const CHOICES = ['system', 'light', 'dark'];
const WORDS = { system: 'As the system', light: 'Light', dark: 'Dark' };

/** @param {HTMLButtonElement} button goes round the choices */
export function watchTheme(button) {
  let chosen = stored();
  const show = () => {
    setAttribute(document.documentElement, 'data-theme', chosen === 'system' ? null : chosen);
    setAttribute(button, 'aria-label', `Colours: ${WORDS[chosen]}`);
    setAttribute(button, 'title', `Colours: ${WORDS[chosen]}`);
    setText(button.querySelector('span'), WORDS[chosen]);
    button.dataset.theme = chosen;
  };
  button.addEventListener('click', () => {
    chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // A browser that stores nothing keeps the choice until the page is left.
    }
    show();
  });
  show();
}

function stored() {
  try {
    const chosen = localStorage.getItem(KEY);
    return CHOICES.includes(chosen) ? chosen : 'system';
  } catch {
    return 'system';
  }
}
