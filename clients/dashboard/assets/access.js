/**
 * Who reads this page: the credential that goes with every request, and what the gateway says of it.
 *
 * A token lives in the storage of the tab, until the tab is closed. It travels in a header, never
 * in an address.
 */

const KEY = 'tidings.token';
const TIMEOUT = 10_000;

/**
 * @typedef {object} Me
 * @property {string|null} name
 * @property {'anyone'|'admin'|'producer'|'user'} role
 * @property {boolean} is_admin
 * @property {boolean} may_produce
 * @property {boolean} needs_credential
 */

/** Told when the gateway wants to know who somebody is; set by the shell. */
let onRefused = () => {};

export function whenRefused(listener) {
  onRefused = listener;
}

export const access = {
  /** @type {Me|null} */
  me: null,
  get token() {
    return globalThis.sessionStorage?.getItem(KEY) ?? null;
  },
  set token(token) {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  },
  get isAdmin() {
    return this.me?.is_admin === true;
  },
};

/** The headers that a request needs, with these of its own. */
export function withCredential(headers = {}) {
  const { token } = access;
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

/** Says that a credential was refused: the shell asks for another. */
export function refused(reason) {
  onRefused(reason);
}

/** A refusal in the gateway's own words. */
export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/**
 * Asks the gateway; every request of the page but the streams goes through here.
 *
 * @param {string} path
 * @param {RequestInit & {headers?: Record<string, string>}} [options]
 * @returns {Promise<Response>} one that is `ok`
 */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT),
      ...options,
      headers: withCredential({ Accept: 'application/json', ...options.headers }),
    });
  } catch (error) {
    throw new Refusal(0, error.name === 'TimeoutError' ? 'the gateway did not answer in time' : 'the gateway cannot be reached');
  }
  if (response.ok) return response;
  const said = await response.text().catch(() => '');
  const words = wordsOf(said) ?? `the gateway answered ${response.status}`;
  if (response.status === 401) refused(words);
  throw new Refusal(response.status, words);
}

/** The same, for an answer in JSON. */
export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

/** Sends JSON. */
export function send(path, body, method = 'POST') {
  return askJson(path, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

/** What a refusal says, if it is one of ours. */
export function wordsOf(text) {
  try {
    const problem = JSON.parse(text);
    const words = problem.detail ?? problem.title ?? problem.error;
    return typeof words === 'string' ? words : null;
  } catch {
    return null;
  }
}
