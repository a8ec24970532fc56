// Small pictures of what arrived lately.
import { s } from './dom.js';
import { plural } from './format.js';

/** @typedef {import('../metrics-api/overview.ts').History} History */

/**
 * Responses over time as bars: failures below, in their colour.
 *
 * @param {History} history
 * @param {{ width: number, height: number, stepMs: number }} size
 */
export function sparkline({ successes, failures }, { width, height, stepMs }) {
  const totals = successes.map((value, index) => value + (failures[index] ?? 0));
  const max = Math.max(1, ...totals);
  const step = width / Math.max(1, totals.length);
  const bar = Math.max(1, step - 1);
  const minutes = Math.round((totals.length * stepMs) / 60_000);
  const sum = totals.reduce((a, b) => a + b, 0);
  const failed = failures.reduce((a, b) => a + b, 0);
  return s(
    'svg',
    {
      class: 'sparkline',
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: 'img',
      'aria-label': `last ${plural(minutes, 'minute')}: ${plural(Math.round(sum), 'response')}, ${Math.round(failed)} failed`,
    },
    s('title', {}, `last ${minutes} min: ${Math.round(sum)} responses, ${Math.round(failed)} failed`),
    ...totals.flatMap((total, index) => {
      const x = (index * step).toFixed(2);
      const failure = ((failures[index] ?? 0) / max) * height;
      const success = (total / max) * height - failure;
      if (total === 0) return [s('rect', { class: 'nothing', x, y: height - 1, width: bar, height: 1 })];
      return [
        s('rect', {
          class: 'successes',
          x,
          y: (height - failure - success).toFixed(2),
          width: bar,
          height: success.toFixed(2),
        }),
        ...(failure === 0
          ? []
          : [
              s('rect', {
                class: 'failures',
                x,
                y: (height - failure).toFixed(2),
                width: bar,
                height: Math.max(1, failure).toFixed(2),
              }),
            ]),
      ];
    }),
  );
}

/** All histories as one. @param {readonly History[]} histories @returns {History} */
export function addHistories(histories) {
  const [first] = histories;
  /** @param {'successes' | 'failures'} which */
  const sum = (which) =>
    (first?.[which] ?? []).map((_, index) => histories.reduce((all, one) => all + (one[which][index] ?? 0), 0));
  return { successes: sum('successes'), failures: sum('failures') };
}
