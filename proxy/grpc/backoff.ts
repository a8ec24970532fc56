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
