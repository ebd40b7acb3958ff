/** The fields of an answer: from the description of schema.js to controls, and back to a value. */

import { asText } from './schema.js';
import { h } from './element.js';

/** More options than this are a select, fewer are radio buttons. */
const RADIOS_MAX = 6;

/**
 * @param {import('./schema.js').Field} field
 * @param {string} prefix makes the ids on the page unique
 * @returns {{element: HTMLElement, read: () => unknown}} `read` throws an Error with words for the user;
 *   it gives `undefined` for an optional field that was left empty
 */
export function controlFor(field, prefix) {
  switch (field.kind) {
    case 'choice':
      return field.options.length > RADIOS_MAX ? select(field, prefix) : radios(field, prefix);
    case 'choices':
      return checkboxes(field, prefix);
    case 'object':
      return group(field, prefix);
    case 'text':
      return labelled(field, prefix, textarea(field, prefix), (control) => text(field, control));
    case 'json':
      return labelled(field, prefix, jsonArea(field, prefix), (control) => json(field, control));
    case 'number':
      return labelled(field, prefix, input(field, prefix, 'number'), (control) => number(field, control));
    default:
      return labelled(field, prefix, input(field, prefix, 'text'), (control) => text(field, control));
  }
}

function labelled(field, prefix, control, read) {
  const hint = field.hint && h('p', { class: 'hint', id: `${prefix}-hint`, text: field.hint });
  if (hint) control.setAttribute('aria-describedby', hint.id);
  const element = h('div', { class: 'field' }, h('label', { for: prefix, text: labelOf(field) }), hint, control);
  return { element, read: () => read(control) };
}

function fieldset(field, prefix, ...children) {
  const hint = field.hint && h('p', { class: 'hint', id: `${prefix}-hint`, text: field.hint });
  return h(
    'fieldset',
    { class: 'field', 'aria-describedby': hint ? hint.id : null },
    h('legend', { text: labelOf(field) }),
    hint,
    ...children,
  );
}

function labelOf(field) {
  return field.required ? field.label : `${field.label} (optional)`;
}

function input(field, prefix, type) {
  const { type: narrower, ...limits } = field.limits ?? {};
  const control = h('input', { id: prefix, name: prefix, type: narrower ?? type, autocomplete: 'off', required: field.required, ...limits });
  control.value = field.initial === undefined ? '' : String(field.initial ?? '');
  return control;
}

function textarea(field, prefix) {
  const control = h('textarea', { id: prefix, name: prefix, rows: 3, required: field.required, ...field.limits });
  control.value = asText(field.initial);
  return control;
}

function jsonArea(field, prefix) {
  const control = h('textarea', { id: prefix, name: prefix, rows: 4, class: 'mono', required: field.required, spellcheck: 'false' });
  control.value = field.initial === undefined ? '' : JSON.stringify(field.initial, null, 2);
  control.placeholder = 'JSON';
  return control;
}

function radios(field, prefix) {
  const controls = field.options.map((option, index) => {
    const control = h('input', { type: 'radio', id: `${prefix}-${index}`, name: prefix, value: index, required: field.required });
    control.checked = same(option.value, field.initial);
    return control;
  });
  const rows = controls.map((control, index) =>
    h('label', { class: 'option' }, control, h('span', { text: field.options[index].label })),
  );
  const element = fieldset(field, prefix, h('div', { class: 'options' }, ...rows));
  return { element, read: () => field.options[controls.findIndex((control) => control.checked)]?.value };
}

function select(field, prefix) {
  const control = h(
    'select',
    { id: prefix, name: prefix, required: field.required },
    h('option', { value: '', text: 'Choose…' }),
    ...field.options.map((option, index) => h('option', { value: index, text: option.label })),
  );
  const chosen = field.options.findIndex((option) => same(option.value, field.initial));
  control.value = chosen < 0 ? '' : String(chosen);
  return labelled(field, prefix, control, () => field.options[control.value === '' ? -1 : Number(control.value)]?.value);
}

function checkboxes(field, prefix) {
  const initial = Array.isArray(field.initial) ? field.initial : [];
  const controls = field.options.map((option, index) => {
    const control = h('input', { type: 'checkbox', id: `${prefix}-${index}`, name: prefix, value: index });
    control.checked = initial.some((value) => same(value, option.value));
    return control;
  });
  const rows = controls.map((control, index) =>
    h('label', { class: 'option' }, control, h('span', { text: field.options[index].label })),
  );
  const element = fieldset(field, prefix, h('div', { class: 'options' }, ...rows));
  const read = () => field.options.filter((_, index) => controls[index].checked).map((option) => option.value);
  return { element, read };
}

function group(field, prefix) {
  const parts = field.fields.map(({ name, field: each }, index) => ({ name, ...controlFor(each, `${prefix}-${index}`) }));
  const element = fieldset(field, prefix, ...parts.map((part) => part.element));
  const read = () => {
    const entries = parts.map((part) => [part.name, part.read()]);
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  };
  return { element, read };
}

function text(field, control) {
  return control.value === '' && !field.required ? undefined : control.value;
}

function number(field, control) {
  if (control.value === '' && !field.required) return undefined;
  if (Number.isNaN(control.valueAsNumber)) throw new Error(`“${field.label}” has to be a number.`);
  return control.valueAsNumber;
}

function json(field, control) {
  if (control.value.trim() === '' && !field.required) return undefined;
  try {
    return JSON.parse(control.value);
  } catch (error) {
    throw new Error(`“${field.label}” is no JSON: ${error.message}`);
  }
}

function same(left, right) {
  return right !== undefined && JSON.stringify(left) === JSON.stringify(right);
}
