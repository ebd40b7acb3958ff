/** Sends an answer to a question, and puts what comes back into words. */

import { refused as credentialRefused, withCredential } from './access.js';
import { parseTopic } from './cursor.js';
import { clock } from './format.js';

/**
 * @param {string} topic
 * @param {string} clarificationId
 * @param {unknown} response
 * @returns {Promise<{ok: true} | {ok: false, over: boolean, words: string}>} `over`: no answer can help any more
 */
export async function respond(topic, clarificationId, response) {
  const { kind, id } = parseTopic(topic);
  const sessionId = kind === 'session' ? id : topic;
  let answer;
  try {
    answer = await fetch('/api/wizard/clarifications/respond', {
      method: 'POST',
      headers: withCredential({ 'Content-Type': 'application/json' }),
      body: JSON.stringify({ sessionId, clarificationId, response }),
    });
  } catch {
    return { ok: false, over: false, words: 'The gateway cannot be reached, so your answer was not sent. Try again.' };
  }
  if (answer.ok) return { ok: true };
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) credentialRefused(body.error ?? 'the credential was refused');
  return refused(answer, body);
}

function refused(answer, body) {
  const said = String(body.error ?? body.detail ?? '').replace(/\.$/, '');
  const because = said ? `: ${said}` : '';
  switch (answer.status) {
    case 404:
      return { ok: false, over: true, words: 'The gateway does not know this question any more.' };
    case 409: {
      const when = body.answeredAt ? ` at ${clock(body.answeredAt)}` : '';
      return { ok: false, over: true, words: `Somebody else answered first${when}. That answer stands.` };
    }
    case 410:
      return { ok: false, over: true, words: 'The question has expired; it takes no answer any more.' };
    case 400:
    case 422:
      return { ok: false, over: false, words: `The answer does not fit the question${because}.` };
    case 429:
      return { ok: false, over: false, words: 'Too many answers in a short time. Wait a moment, then send it again.' };
    case 503:
      return { ok: false, over: false, words: 'The gateway cannot store answers just now. Try again in a moment.' };
    default:
      return { ok: false, over: false, words: `The gateway refused the answer (${answer.status})${because}.` };
  }
}
