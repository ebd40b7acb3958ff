/** Reads a `model_result`, in the shapes producers really send. Pure. */

import { tone } from './format.js';

const WORDS_SHOWN_MAX = 12;

/**
 * @param {Record<string, unknown>} data the payload
 * @param {string} id unique on the page
 */
export function readResult(data, id) {
  const inner = unpack(data.result);
  const pick = (...names) => names.map((name) => data[name] ?? inner[name]).find((value) => value !== undefined);
  const model = text(pick('modelName', 'model_name', 'model'));
  const file = text(pick('file', 'path', 'fileName', 'filename', 'file_path'));
  const error = text(data.error);
  const status = text(data.status) ?? (error ? 'failed' : 'completed');
  const title = file ?? model ?? 'result';
  return {
    id,
    revision: 0,
    key: JSON.stringify([pick('promptId', 'resultId', 'id') ?? null, model, file]),
    title,
    model: file ? model : text(pick('provider')),
    status,
    tone: error && tone(status) === 'idle' ? 'bad' : tone(status),
    error,
    duration: number(pick('duration', 'durationMs', 'duration_ms')),
    bytes: number(pick('bytes', 'size')),
    lines: number(pick('lines')),
    words: number(pick('words')),
    sha256: text(pick('sha256', 'sha-256', 'hash')),
    topWords: topWords(pick('topWords', 'top_words', 'frequentWords', 'mostFrequentWords')),
    text: typeof data.result === 'string' ? data.result : null,
    data,
  };
}

/** The figures may sit in the result itself, as an object or as JSON in a string. */
function unpack(result) {
  let value = result;
  if (typeof value === 'string' && value.trimStart().startsWith('{')) {
    try {
      value = JSON.parse(value);
    } catch {
      return {};
    }
  }
  return typeof value === 'object' && value !== null ? value : {};
}

/** Accepts `["the"]`, `[["the", 12]]`, `[{word, count}]` and `{the: 12}`. */
function topWords(value) {
  if (typeof value !== 'object' || value === null) return [];
  const entries = Array.isArray(value) ? value : Object.entries(value);
  return entries
    .map((entry) => {
      if (typeof entry === 'string') return { word: entry, count: null };
      if (Array.isArray(entry)) return { word: String(entry[0]), count: number(entry[1]) };
      return { word: String(entry?.word ?? ''), count: number(entry?.count) };
    })
    .filter((entry) => entry.word !== '')
    .slice(0, WORDS_SHOWN_MAX);
}

function text(value) {
  return typeof value === 'string' && value !== '' ? value : null;
}

function number(value) {
  return Number.isFinite(value) ? value : null;
}
