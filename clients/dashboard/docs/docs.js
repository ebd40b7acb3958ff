// Renders /openapi.json: one block an operation, grouped by tag, with a filter.

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const DEPTH_MAX = 4;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Backticks become code; everything else stays text.
function prose(text) {
  const parts = (text ?? '').split('`');
  return parts.map((part, n) => (n % 2 === 1 ? element('code', {}, part) : part));
}

function resolver(contract) {
  return (thing) => {
    if (!thing?.$ref) return thing ?? {};
    return thing.$ref.slice(2).split('/').reduce((at, step) => at?.[step], contract) ?? {};
  };
}

// A schema in a few words, such as `string` or `list of Event`.
function kindOf(schema, resolve) {
  if (schema.$ref) return schema.$ref.split('/').at(-1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.oneOf) return schema.oneOf.map((one) => kindOf(one, resolve)).join(' or ');
  if (schema.type === 'array') return `list of ${kindOf(schema.items ?? {}, resolve)}`;
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : schema.type;
  return [type ?? 'any', schema.format].filter(Boolean).join(', ');
}

function fieldsOf(schema, resolve) {
  const whole = resolve(schema);
  const parts = (whole.allOf ?? []).flatMap((part) => fieldsOf(part, resolve));
  const required = new Set(whole.required ?? []);
  const own = Object.entries(whole.properties ?? {});
  return [...parts, ...own.map(([name, field]) => ({ name, field, required: required.has(name) }))];
}

function definitions(rows) {
  const list = element('dl');
  for (const { name, field, required, resolve } of rows) {
    const kind = `${kindOf(field, resolve)}${required ? ', required' : ''}`;
    const about = field.description ?? resolve(field).description;
    list.append(
      element('dt', {}, name),
      element('dd', {}, element('span', { class: 'kind' }, kind), about ? '. ' : '', ...prose(about)),
    );
  }
  return list;
}

function schemaView(schema, resolve, depth = 0) {
  const whole = resolve(schema);
  if (whole.type === 'array' && depth < DEPTH_MAX) return schemaView(whole.items ?? {}, resolve, depth + 1);
  const fields = fieldsOf(schema, resolve);
  if (fields.length > 0) return definitions(fields.map((row) => ({ ...row, resolve })));
  if (whole.oneOf && depth < DEPTH_MAX) {
    return element('div', {}, ...whole.oneOf.map((one) => schemaView(one, resolve, depth + 1)));
  }
  return whole.description ? element('p', {}, ...prose(whole.description)) : null;
}

function contentView(content, resolve) {
  return Object.entries(content ?? {}).flatMap(([media, { schema = {}, example }]) => {
    const text = typeof example === 'string' ? example : JSON.stringify(example, null, 2);
    return [
      element('p', {}, element('code', {}, media), ' ', kindOf(schema, resolve)),
      schemaView(schema, resolve),
      example === undefined ? null : element('pre', {}, text),
    ];
  });
}

function operationView(path, method, operation, shared, resolve) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map(resolve);
  const rows = parameters.map((parameter) => ({
    name: parameter.name,
    field: { ...parameter.schema, description: parameter.description },
    required: parameter.required,
    resolve,
  }));
  const body = element('div', {}, element('p', {}, ...prose(operation.description)));
  if (rows.length > 0) body.append(element('h3', {}, 'Parameters'), definitions(rows));
  if (operation.requestBody) {
    body.append(element('h3', {}, 'Body'));
    body.append(...contentView(operation.requestBody.content, resolve).filter(Boolean));
  }
  for (const [status, given] of Object.entries(operation.responses)) {
    const response = resolve(given);
    body.append(element('h3', {}, `${status}: `, ...prose(response.description)));
    if (status.startsWith('2')) body.append(...contentView(response.content, resolve).filter(Boolean));
  }
  const heading = element(
    'summary',
    {},
    element('span', { class: 'method' }, method.toUpperCase()),
    element('span', { class: 'path' }, path),
    element('span', { class: 'what' }, operation.summary),
  );
  return element('details', { id: operation.operationId }, heading, body);
}

function render(contract) {
  const resolve = resolver(contract);
  const views = [];
  const main = document.getElementById('operations');
  main.replaceChildren();
  document.getElementById('title').textContent = `${contract.info.title} ${contract.info.version}`;
  document.getElementById('about').replaceChildren(...prose(contract.info.description));
  for (const tag of contract.tags) {
    const section = element('section', {}, element('h2', {}, tag.name), element('p', {}, ...prose(tag.description)));
    for (const [path, item] of Object.entries(contract.paths)) {
      for (const method of METHODS.filter((known) => item[known]?.tags.includes(tag.name))) {
        const view = operationView(path, method, item[method], item.parameters ?? [], resolve);
        views.push({ view, section, words: `${method} ${path} ${view.textContent}`.toLowerCase() });
        section.append(view);
      }
    }
    main.append(section);
  }
  const filter = document.getElementById('filter');
  filter.addEventListener('input', () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const { view, words } of views) view.hidden = !words.includes(wanted);
    for (const section of main.children) section.hidden = !section.querySelector('details:not([hidden])');
  });
  const opened = document.getElementById(location.hash.slice(1));
  if (opened) {
    opened.open = true;
    opened.scrollIntoView();
  }
}

try {
  const response = await fetch('/openapi.json');
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  render(await response.json());
} catch (error) {
  const text = `The contract could not be loaded (${error.message}). Reload the page to try again.`;
  document.getElementById('operations').replaceChildren(element('p', { role: 'alert' }, text));
}
