// Figures for people. Everything that may be absent is shown as a dash.

/** @typedef {import('../metrics-api/golden.ts').Golden} Golden */

const DASH = '–';

/** @param {number | undefined} ratio */
export function percent(ratio) {
  if (ratio === undefined) return DASH;
  const text = (ratio * 100).toFixed(ratio >= 0.9995 || ratio < 0.0005 ? 0 : 1);
  return `${ratio < 1 && text === '100' ? '99.9' : text}%`;
}

/** @param {number | undefined} perSecond */
export function rate(perSecond) {
  if (perSecond === undefined) return DASH;
  if (perSecond >= 1000) return `${(perSecond / 1000).toFixed(1)}k/s`;
  return `${perSecond.toFixed(perSecond >= 100 ? 0 : perSecond >= 0.095 ? 1 : 2)}/s`;
}

/** @param {number | undefined} ms */
export function duration(ms) {
  if (ms === undefined) return DASH;
  if (ms >= 10_000) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? ms.toFixed(0) : ms.toFixed(1)} ms`;
}

/** Several, with the unit once where it is the same: `2.1 / 9.0 / 31 ms`. @param {readonly (number | undefined)[]} ms */
export function durations(ms) {
  const texts = ms.map(duration);
  const isPlain = texts.every((text) => text.endsWith(' ms'));
  return isPlain ? `${texts.map((text) => text.slice(0, -3)).join(' / ')} ms` : texts.join(' / ');
}

/** @param {number | undefined} perSecond */
export function bytes(perSecond) {
  if (perSecond === undefined) return DASH;
  for (const [unit, size] of /** @type {const} */ ([
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ])) {
    if (perSecond >= size) return `${(perSecond / size).toFixed(1)} ${unit}/s`;
  }
  return `${perSecond.toFixed(0)} B/s`;
}

/** @param {number | undefined} value */
export function count(value) {
  return value === undefined ? DASH : String(value);
}

/** @param {number} ms  wall time */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString(undefined, { hour12: false });
}

/**
 * How healthy a success rate is, as the name of a style.
 *
 * @param {number | undefined} ratio
 * @returns {'none' | 'good' | 'fair' | 'bad'}
 */
export function health(ratio) {
  if (ratio === undefined) return 'none';
  return ratio >= 0.99 ? 'good' : ratio >= 0.95 ? 'fair' : 'bad';
}

/** `web.shop.serviceaccount.identity.tulle.cluster.local` -> `web.shop`. @param {string} identity */
export function shortIdentity(identity) {
  return identity.split('.serviceaccount.identity.', 1)[0] ?? '';
}

/** `not_provided_by_service_discovery` -> `not provided by service discovery`. @param {string} reason */
export function words(reason) {
  return reason.replaceAll('_', ' ');
}

/** @param {number} number @param {string} noun */
export function plural(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
