/** Counters at two moments, as rates and latencies between them. Pure. */

import { quantile } from './metrics-text.js';

/**
 * @typedef {object} Beat
 * @property {number} at
 * @property {number|null} published events a second
 * @property {number|null} delivered
 * @property {number|null} conflated
 * @property {number|null} p50 from publish to write, in milliseconds
 * @property {number|null} p99
 */

/** @returns {Beat} */
export function beatOf(now, last) {
  const seconds = Math.max(0.001, (now.at - last.at) / 1000);
  const rate = (name) => (now[name] === null || last[name] === null ? null : Math.max(0, now[name] - last[name]) / seconds);
  const latency = (share) => {
    const seconds = quantile(share, now.delivery, last.delivery);
    return seconds === null ? null : seconds * 1000;
  };
  return {
    at: now.at,
    published: rate('published'),
    delivered: rate('delivered'),
    conflated: rate('conflated'),
    p50: latency(0.5),
    p99: latency(0.99),
  };
}
