/** What happened before this page came: a joiner is sent a snapshot, the log holds more. */

import { askJson } from './access.js';
import { topicPath } from './cursor.js';

const PAGE = 1_000;
const PAGES_MAX = 5;

/**
 * Reads the log backwards from its head.
 *
 * @param {string} topic
 * @returns {Promise<object[]>} envelopes, newest first; as many as the timeline can hold
 */
export async function readHistory(topic) {
  const envelopes = [];
  let before = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const query = new URLSearchParams({ reverse: 'true', limit: String(PAGE) });
    if (before) query.set('since', before);
    let found;
    try {
      found = await askJson(`${topicPath(topic)}/events?${query}`);
    } catch (error) {
      // What lay before the last page may have left the log meanwhile.
      if (page > 0 && error.status > 0) break;
      throw error;
    }
    const { events, cursor } = found;
    envelopes.push(...events);
    if (!cursor || events.length === 0) break;
    before = cursor;
  }
  return envelopes;
}

/** What the gateway holds of a topic now, or null if it cannot be had. */
export async function readSnapshot(topic) {
  try {
    return await askJson(topicPath(topic));
  } catch {
    return null;
  }
}
