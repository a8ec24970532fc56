// Cells that several tables have.
import { h } from './dom.js';
import { duration, health, percent, rate } from './format.js';

/** @typedef {import('../metrics-api/golden.ts').Golden} Golden */

/** A success rate with a bar. @param {number | undefined} ratio */
export function successCell(ratio) {
  if (ratio === undefined)
    return h('span', { class: 'nothing-seen', title: 'nothing was seen within the window' }, '–');
  const bar = h('span', { class: 'bar-fill' });
  bar.style.width = `${Math.max(2, ratio * 100)}%`;
  return h(
    'span',
    { class: `success ${health(ratio)}` },
    h('span', { class: 'bar', 'aria-hidden': 'true' }, bar),
    percent(ratio),
  );
}

/** What it is called, what it is and where. @param {{ name: string, kind: string, namespace: string }} object @param {boolean} hasNamespace */
export function nameCell({ name, kind, namespace }, hasNamespace) {
  return h(
    'span',
    { class: 'object' },
    hasNamespace && h('span', { class: 'object-namespace' }, `${namespace} / `),
    h('span', { class: 'object-name' }, name),
    h('span', { class: 'tag' }, kind),
  );
}

/**
 * The columns of success and of requests.
 *
 * @template R
 * @param {(row: R) => Golden} golden
 * @returns {readonly import('./table.js').Column<R>[]}
 */
export function rateColumns(golden) {
  return [
    {
      title: 'Success',
      cell: (row) => successCell(golden(row).successRate),
      sort: (row) => golden(row).successRate,
    },
    {
      title: 'Requests',
      isNumber: true,
      cell: (row) => rate(golden(row).requestsPerSecond),
      sort: (row) => golden(row).requestsPerSecond,
    },
  ];
}

/**
 * The columns of latencies.
 *
 * @template R
 * @param {(row: R) => Golden} golden
 * @returns {readonly import('./table.js').Column<R>[]}
 */
export function latencyColumns(golden) {
  return /** @type {const} */ (['p50', 'p95', 'p99']).map((quantile) => ({
    title: quantile.toUpperCase(),
    isNumber: true,
    /** @param {R} row */
    cell: (row) => duration(golden(row).latencyMs?.[quantile]),
    /** @param {R} row */
    sort: (row) => golden(row).latencyMs?.[quantile],
  }));
}

/** A part of the page with a heading. @param {string} title @param {import('./dom.js').Child} remark @param {...import('./dom.js').Child} children */
export function panel(title, remark, ...children) {
  return h(
    'section',
    { class: 'panel' },
    h('div', { class: 'panel-head' }, h('h2', {}, title), remark && h('div', { class: 'panel-remark' }, remark)),
    ...children,
  );
}
