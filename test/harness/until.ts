import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 100;

/**
 * Waits until a check passes: until it neither throws nor returns false.
 *
 * @returns what the check returned
 * @throws Error  at the deadline, with what was waited for and the last failure
 */
export async function until<T>(what: string, deadlineMs: number, check: () => Promise<T> | T): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const result = await check();
      if (result !== false) return result;
      last = 'not yet';
    } catch (error) {
      last = error instanceof Error ? error.message : error;
    }
    if (performance.now() > endMs) throw new Error(`waited ${deadlineMs / 1000} s for ${what}: ${String(last)}`);
    await sleep(POLL_MS);
  }
}
