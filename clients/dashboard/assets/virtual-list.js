/**
 * A list of any length: only the rows that can be seen are in the document.
 *
 * Rows have one height (`--row-height`); the page itself scrolls. With the keyboard one row is in
 * the tab order, and arrow keys, Page Up and Down, Home and End move from there.
 */

import { h, setAttribute } from './element.js';

/** Rows above and below what can be seen, so that scrolling shows no holes. */
const SPARE = 8;

export class VirtualList extends HTMLElement {
  /** Makes an empty row. @type {() => {element: HTMLElement, show: (item: any) => void}} */
  make;
  /** Tells items apart. @type {(item: any) => string} */
  keyOf;
  #items = [];
  #rows = new Map();
  #free = [];
  #active = null;
  #due = false;

  connectedCallback() {
    if (this.list) return;
    this.list = h('ul', { class: 'virtual-rows', role: 'list' });
    this.append(this.list);
    const later = () => this.#later();
    addEventListener('scroll', later, { passive: true });
    addEventListener('resize', later);
    this.forget = () => {
      removeEventListener('scroll', later);
      removeEventListener('resize', later);
    };
    this.list.addEventListener('keydown', (event) => this.#key(event));
    this.list.addEventListener('focusin', (event) => {
      const key = event.target.closest('[data-key]')?.dataset.key;
      if (key !== undefined) this.#activate(key);
    });
  }

  disconnectedCallback() {
    this.forget?.();
    this.list = null;
    this.#rows.clear();
    this.replaceChildren();
  }

  /** How many rows are in the document. */
  get drawn() {
    return this.#rows.size;
  }

  /** @param {any[]} items in order */
  show(items) {
    this.#items = items;
    this.#draw();
  }

  #later() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  get #rowHeight() {
    return Number.parseFloat(getComputedStyle(this).getPropertyValue('--row-height')) || 56;
  }

  #draw() {
    if (!this.list?.isConnected) return;
    const height = this.#rowHeight;
    this.list.style.setProperty('height', `${this.#items.length * height}px`);
    const top = -this.list.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(top / height) - SPARE);
    const to = Math.min(this.#items.length, Math.ceil((top + innerHeight) / height) + SPARE);
    const wanted = new Map();
    for (let index = from; index < to; index += 1) wanted.set(this.keyOf(this.#items[index]), index);
    const focused = this.#keepFocused(wanted);
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      this.#rows.delete(key);
      row.element.remove();
      this.#free.push(row);
    }
    this.#free.length = Math.min(this.#free.length, 4 * SPARE);
    if (!wanted.has(this.#active) && focused === null) this.#active = wanted.keys().next().value ?? null;
    for (const [key, index] of wanted) this.#place(key, index, height);
    this.#sort();
  }

  /** The row that has the focus stays in the document, wherever it is. */
  #keepFocused(wanted) {
    const key = this.list.contains(document.activeElement) ? this.#active : null;
    if (key === null || wanted.has(key)) return key;
    const index = this.#items.findIndex((item) => this.keyOf(item) === key);
    if (index < 0) return null;
    wanted.set(key, index);
    return key;
  }

  #place(key, index, height) {
    let row = this.#rows.get(key);
    if (!row) {
      row = this.#free.pop() ?? this.#fresh();
      row.element.dataset.key = key;
      this.#rows.set(key, row);
      this.list.append(row.element);
    }
    row.index = index;
    row.show(this.#items[index]);
    row.element.style.setProperty('transform', `translateY(${index * height}px)`);
    setAttribute(row.element, 'aria-setsize', this.#items.length);
    setAttribute(row.element, 'aria-posinset', index + 1);
    setAttribute(row.handle, 'tabindex', key === this.#active ? 0 : -1);
  }

  #fresh() {
    const row = this.make();
    row.element.classList.add('virtual-row');
    row.handle = row.element.querySelector('a, button, [tabindex]') ?? row.element;
    return row;
  }

  /** The document has the rows in the order in which they are seen: readers and tests go by it. */
  #sort() {
    const rows = [...this.#rows.values()].sort((a, b) => a.index - b.index);
    const held = this.list.contains(document.activeElement) ? document.activeElement : null;
    let at = this.list.firstElementChild;
    for (const { element } of rows) {
      if (element === at) at = at.nextElementSibling;
      else this.list.insertBefore(element, at);
    }
    // An element that is moved loses the focus.
    if (held && document.activeElement !== held) held.focus({ preventScroll: true });
  }

  #activate(key) {
    const before = this.#rows.get(this.#active);
    if (before) setAttribute(before.handle, 'tabindex', -1);
    this.#active = key;
    const now = this.#rows.get(key);
    if (now) setAttribute(now.handle, 'tabindex', 0);
  }

  #key(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight) - 2);
    const last = this.#items.length - 1;
    const row = this.#rows.get(this.#active);
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
      ArrowDown: row.index + 1,
      ArrowUp: row.index - 1,
      PageDown: row.index + page,
      PageUp: row.index - page,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.focusOn(Math.min(last, Math.max(0, to)));
  }

  /** Brings a row into view and gives it the focus. */
  focusOn(index) {
    const item = this.#items[index];
    if (item === undefined) return;
    const height = this.#rowHeight;
    const listTop = this.list.getBoundingClientRect().top + scrollY;
    const top = listTop + index * height;
    const head = 72;
    if (top < scrollY + head) scrollTo(0, index === 0 ? 0 : top - head);
    else if (top + height > scrollY + innerHeight) scrollTo(0, top + height - innerHeight + 12);
    this.#draw();
    const row = this.#rows.get(this.keyOf(item));
    this.#activate(this.keyOf(item));
    row?.handle.focus({ preventScroll: true });
  }
}

customElements.define('virtual-list', VirtualList);
