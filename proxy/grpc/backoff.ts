const MIN_MS = 100;
const MAX_MS = 10_000;
const JITTER_RATIO = 0.2;

/**
 * Pause before the next attempt towards the control plane.
 *
 * @param failures  consecutive failures so far, >= 1
 * @param random    uniform sample in [0, 1)
 * @returns milliseconds in [100, 12 000]
 */
export function backoffMs(failures: number, random: number): number {
  const base = Math.min(MAX_MS, MIN_MS * 2 ** Math.min(failures - 1, 20));
  return base * (1 + JITTER_RATIO * random);
}

const RECONNECT_MS_MIN = 500;
const RECONNECT_MS_MAX = 3_000;

/**
 * Pause before the next attempt to connect. Every proxy of a cluster loses the control plane at the same moment, and has to find it
 * within 10 s when it is back: so no pause is long, and no two are equal.
 *
 * @param failures  consecutive failed attempts, >= 1
 * @param random    uniform sample in [0, 1)
 * @returns milliseconds in [250, 3000)
 */
export function reconnectMs(failures: number, random: number): number {
  const most = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(failures - 1, 20));
  return most * (0.5 + random / 2);
}

/** Over so long the proxies of a cluster spread their first attempts. */
const RESUME_SPREAD_MS = 2_000;

/** How long watches wait after their connection is lost; a new question does not wait. @returns milliseconds in [0, 2000) */
export function resumeMs(random: number): number {
  return RESUME_SPREAD_MS * random;
}
