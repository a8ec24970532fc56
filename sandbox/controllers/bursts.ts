/**
 * Does `count` things in parallel bursts of 1, 2, 4, ... and stops after the first burst with a failure, so that what
 * always fails fails once and not `count` times.
 *
 * @returns how many succeeded and the first failure, if any
 */
export async function inBursts(
  count: number,
  act: (index: number) => Promise<unknown>,
): Promise<{ readonly done: number; readonly error?: unknown }> {
  let done = 0;
  for (let start = 0, size = 1; start < count; size = Math.min(size * 2, BURST_MAX)) {
    const indexes = Array.from({ length: Math.min(size, count - start) }, (_, offset) => start + offset);
    const results = await Promise.allSettled(indexes.map((index) => act(index)));
    const failure = results.find((result) => result.status === 'rejected');
    done += results.filter((result) => result.status === 'fulfilled').length;
    if (failure !== undefined) return { done, error: failure.reason };
    start += indexes.length;
  }
  return { done };
}

const BURST_MAX = 64;
