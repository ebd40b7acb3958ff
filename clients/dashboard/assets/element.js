/**
 * Builds the page out of text nodes and attributes only.
 *
 * Nothing that a producer sends ever reaches a markup parser: children that
 * are not nodes become text.
 */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [props] attributes; `class` and `text` as they read,
 *   `on` is a map of listeners, `true` sets an empty attribute, `false`, `null` and `undefined` none.
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (name === 'text') {
      element.textContent = String(value);
    } else if (value === true) {
      element.setAttribute(name, '');
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  append(element, children);
  return element;
}

/** Adds children, leaving out what is empty. */
export function append(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
}

/** Puts these children in place of whatever there was, leaving out what is empty. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/** An icon of the sprite; it is decoration, so the text beside it has to say the same. */
export function icon(name, extraClass = '') {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', `icon ${extraClass}`.trim());
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Sets the text only if it differs, so that selections and live regions are left in peace. */
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Sets or removes an attribute, touching the element only on a change. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, String(value));
  }
}

/**
 * Brings the children of `parent` into the order of `wanted` with the fewest
 * moves, so that focus and open details survive.
 *
 * @param {Element} parent
 * @param {Element[]} wanted
 */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) {
    if (!keep.has(child)) child.remove();
  }
  let at = parent.firstElementChild;
  for (const element of wanted) {
    if (element === at) {
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(element, at);
    }
  }
}

/** Calls `draw` once before the next paint, or soon if the page is not being painted. */
export function paintLater(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    const run = () => {
      if (!due) return;
      due = false;
      draw();
    };
    if (document.visibilityState === 'visible') requestAnimationFrame(run);
    else setTimeout(run, 250);
  };
}
