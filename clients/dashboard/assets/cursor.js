/** A place in a topic's log: `<epoch>:<seq>`. */

/**
 * @param {unknown} text
 * @returns {{epoch: string, seq: number} | null} null if it is no cursor
 */
export function parseCursor(text) {
  if (typeof text !== 'string') return null;
  const colon = text.lastIndexOf(':');
  if (colon < 1) return null;
  const digits = text.slice(colon + 1);
  if (!/^\d+$/.test(digits)) return null;
  return { epoch: text.slice(0, colon), seq: Number(digits) };
}

/** Splits `session:abc` into kind and id; a text without a colon is all id. */
export function parseTopic(topic) {
  const colon = topic.indexOf(':');
  return colon < 0
    ? { kind: '', id: topic }
    : { kind: topic.slice(0, colon), id: topic.slice(colon + 1) };
}

/** The path of a topic in the HTTP API. */
export function topicPath(topic) {
  return `/v1/topics/${encodeURIComponent(topic).replaceAll('%3A', ':')}`;
}

/** The address at which this page shows a topic. */
export function pageOf(topic) {
  return `/?topic=${encodeURIComponent(topic).replaceAll('%3A', ':')}`;
}
