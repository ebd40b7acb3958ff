/** How numbers, times and states read. Everything here is pure. */

const COUNT = new Intl.NumberFormat('en');
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 12345 -> "12,345". */
export function count(value) {
  return Number.isFinite(value) ? COUNT.format(value) : '–';
}

/** "1 line", "3 lines". */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** 1536 -> "1.5 KiB". */
export function bytes(value) {
  if (!Number.isFinite(value)) return '–';
  let unit = 0;
  let rest = value;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${rest.toFixed(digits)} ${UNITS[unit]}`;
}

/** Milliseconds -> "0.4 ms", "38 ms", "1.4 s", "2 min 5 s". */
export function duration(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms > 0 && ms < 1) return `${ms < 0.1 ? ms.toFixed(2) : ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (hours > 0) return `${hours} h ${minutes} min`;
  return `${minutes} min ${seconds % 60} s`;
}

/** Milliseconds left -> "0:09", "2:05", "1:02:05". */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const pad = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const tail = `${hours > 0 ? pad(minutes) : minutes}:${pad(seconds % 60)}`;
  return hours > 0 ? `${hours}:${tail}` : tail;
}

/** A moment -> local "14:03:11", with milliseconds if asked. */
export function clock(moment, withMilliseconds = false) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return '–';
  const pad = (value, width = 2) => String(value).padStart(width, '0');
  const text = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return withMilliseconds ? `${text}.${pad(date.getMilliseconds(), 3)}` : text;
}

/** Percent without noise: 42.4242 -> "42.4", 100 -> "100". */
export function percent(value) {
  const held = Math.min(100, Math.max(0, value));
  return Number.isInteger(held) ? String(held) : held.toFixed(1).replace(/\.0$/, '');
}

/** "in_progress", "PROCESSING" -> "In progress", "Processing". */
export function statusWords(status) {
  const words = String(status).replaceAll('_', ' ').toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The colour a status is shown in: good, bad, busy or idle. */
export function tone(status) {
  switch (String(status ?? '').toLowerCase()) {
    case 'completed':
    case 'succeeded':
    case 'answered':
      return 'good';
    case 'failed':
    case 'error':
      return 'bad';
    case 'cancelled':
    case 'expired':
      return 'warn';
    case 'processing':
    case 'in_progress':
    case 'active':
      return 'busy';
    default:
      return 'idle';
  }
}

/** One line of JSON, cut to `max` characters. */
export function oneLine(value, max = 160) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

/** Milliseconds since -> "now", "12 s ago", "3 min ago", "2 h ago", "5 d ago". */
export function ago(ms) {
  if (!Number.isFinite(ms)) return '';
  const seconds = Math.floor(ms / 1000);
  if (seconds < 2) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} d ago`;
}

/** A rate or a size that is to be short: 0.42 -> "0.4", 42.4 -> "42", 12345 -> "12.3k". */
export function brief(value) {
  if (!Number.isFinite(value)) return '–';
  if (value >= 1e6) return `${trimmed(value / 1e6)}M`;
  if (value >= 1e4) return `${trimmed(value / 1e3)}k`;
  if (value >= 1e3) return COUNT.format(Math.round(value));
  return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

function trimmed(value) {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, '');
}
