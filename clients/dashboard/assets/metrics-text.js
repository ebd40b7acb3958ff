/** Reads the text form of metrics (OpenMetrics), as far as this gateway writes it. Pure. */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/**
 * @typedef {{labels: Record<string, string>, value: number}} Sample
 *
 * @param {string} text
 * @returns {Map<string, Sample[]>} by the name of the series, as in `tidings_events_total`
 */
export function parseMetrics(text) {
  const series = new Map();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (!name) continue;
    const sample = { labels: labelsOf(labels), value: value === '+Inf' ? Infinity : Number(value) };
    const known = series.get(name);
    if (known) known.push(sample);
    else series.set(name, [sample]);
  }
  return series;
}

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of (text ?? '').matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
  return labels;
}

/** The sum over all labels; null if the gateway has no such series. */
export function sum(series, name) {
  const samples = series.get(name);
  return samples ? samples.reduce((total, { value }) => total + value, 0) : null;
}

/** The values by one label, summed over the others, largest first. */
export function by(series, name, label) {
  const totals = new Map();
  for (const { labels, value } of series.get(name) ?? []) {
    const key = labels[label] ?? '';
    totals.set(key, (totals.get(key) ?? 0) + value);
  }
  return [...totals].filter(([, value]) => value > 0).sort(([, a], [, b]) => b - a);
}

/** The buckets of a histogram, summed over all labels: upper bounds and counts up to them, ascending. */
export function buckets(series, name) {
  const totals = new Map();
  for (const { labels, value } of series.get(`${name}_bucket`) ?? []) {
    const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
    totals.set(bound, (totals.get(bound) ?? 0) + value);
  }
  return [...totals].sort(([a], [b]) => a - b).map(([bound, count]) => ({ bound, count }));
}

/**
 * The value under which a share of what was counted between two moments stayed, by linear
 * interpolation within a bucket; null if nothing was counted.
 */
export function quantile(share, now, before = []) {
  const earlier = new Map(before.map(({ bound, count }) => [bound, count]));
  const grown = now.map(({ bound, count }) => ({ bound, count: count - (earlier.get(bound) ?? 0) }));
  const total = grown.at(-1)?.count ?? 0;
  if (total <= 0) return null;
  const wanted = share * total;
  let from = { bound: 0, count: 0 };
  for (const bucket of grown) {
    if (bucket.count >= wanted) {
      if (bucket.bound === Infinity) return from.bound;
      const within = (wanted - from.count) / (bucket.count - from.count || 1);
      return from.bound + (bucket.bound - from.bound) * within;
    }
    from = bucket;
  }
  return from.bound;
}
