/**
 * Turns the JSON Schema of an answer into the fields of a form. Pure.
 *
 * It covers what a person can fill in; whatever is beyond that becomes a field
 * for JSON, so that no question is unanswerable. The gateway checks the answer
 * against the schema in any case.
 */

const INPUT_TYPES = { email: 'email', uri: 'url', url: 'url', date: 'date', time: 'time' };
const DEPTH_MAX = 3;

/**
 * @typedef {object} Field
 * @property {'choice'|'choices'|'number'|'string'|'text'|'json'|'object'} kind
 * @property {string} label
 * @property {string} [hint]
 * @property {boolean} required
 * @property {unknown} [initial] the value to begin with
 * @property {{label: string, value: unknown}[]} [options]
 * @property {{name: string, field: Field}[]} [fields]
 * @property {Record<string, string|number>} [limits] attributes of the input
 */

/**
 * @param {unknown} schema
 * @param {unknown} [given] the default of the question
 * @returns {Field}
 */
export function fieldFor(schema, given) {
  const initial = given ?? undefined;
  if (schema === undefined || schema === null || schema === true) {
    return { kind: 'text', label: 'Your answer', required: true, initial: asText(initial) };
  }
  return field(schema, { name: 'Your answer', initial, required: true, depth: 0 });
}

function field(schema, { name, initial, required, depth }) {
  const base = {
    label: schema?.title ?? name,
    hint: schema?.description,
    required,
    initial: initial ?? schema?.default,
  };
  const options = optionsOf(schema);
  if (options) return { ...base, kind: 'choice', options };
  switch (typeOf(schema)) {
    case 'boolean':
      return { ...base, kind: 'choice', options: [{ label: 'Yes', value: true }, { label: 'No', value: false }] };
    case 'integer':
      return { ...base, kind: 'number', limits: numberLimits(schema, schema.multipleOf ?? 1) };
    case 'number':
      return { ...base, kind: 'number', limits: numberLimits(schema, schema.multipleOf ?? 'any') };
    case 'string':
      return { ...base, ...stringField(schema) };
    case 'array':
      return { ...base, ...arrayField(schema) };
    case 'object':
      return depth < DEPTH_MAX ? { ...base, ...objectField(schema, base.initial, depth) } : { ...base, kind: 'json' };
    default:
      return { ...base, kind: 'json' };
  }
}

/** The first type that is not null. */
function typeOf(schema) {
  const type = Array.isArray(schema?.type) ? schema.type.find((each) => each !== 'null') : schema?.type;
  return type ?? (schema?.properties ? 'object' : undefined);
}

/** A closed set of answers, or null if the schema is none. */
function optionsOf(schema) {
  if (Array.isArray(schema?.enum)) return schema.enum.map((value) => ({ label: asText(value), value }));
  if (schema && 'const' in schema) return [{ label: asText(schema.const), value: schema.const }];
  const either = schema?.oneOf ?? schema?.anyOf;
  if (!Array.isArray(either) || either.length === 0 || !either.every((each) => each && 'const' in each)) return null;
  return either.map((each) => ({ label: each.title ?? asText(each.const), value: each.const }));
}

function numberLimits(schema, step) {
  return defined({ min: schema.minimum ?? schema.exclusiveMinimum, max: schema.maximum ?? schema.exclusiveMaximum, step });
}

function stringField(schema) {
  const limits = defined({ minlength: schema.minLength, maxlength: schema.maxLength });
  if (schema.format === 'textarea' || schema.maxLength > 200) return { kind: 'text', limits };
  const pattern = inputPattern(schema.pattern);
  return { kind: 'string', limits: defined({ ...limits, pattern, type: INPUT_TYPES[schema.format] ?? 'text' }) };
}

function arrayField(schema) {
  const options = optionsOf(schema.items);
  return options ? { kind: 'choices', options } : { kind: 'json' };
}

function objectField(schema, initial, depth) {
  const needed = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, each]) => ({
    name,
    field: field(each, { name, initial: initial?.[name], required: needed.has(name), depth: depth + 1 }),
  }));
  return fields.length > 0 ? { kind: 'object', fields } : { kind: 'json' };
}

/** A schema's pattern may match anywhere; an input's has to match the whole. */
function inputPattern(pattern) {
  if (typeof pattern !== 'string') return undefined;
  const whole = `[^]*(?:${pattern})[^]*`;
  try {
    new RegExp(whole, 'v');
    return whole;
  } catch {
    return undefined;
  }
}

function defined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/** A value as a person reads it. */
export function asText(value) {
  if (value === undefined || value === null) return '';
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
