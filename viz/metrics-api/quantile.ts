/**
 * Quantile of a histogram with cumulative buckets, by linear interpolation within the bucket. Source: PromQL `histogram_quantile`.
 *
 * @param buckets  cumulative counts by upper bound; the one for `Infinity` is the total
 * @param q        in [0, 1]
 * @returns the value in the unit of the bounds, or undefined when nothing was observed
 */
export function histogramQuantile(buckets: ReadonlyMap<number, number>, q: number): number | undefined {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  const rank = q * total;
  let lowerBound = 0;
  let lowerCount = 0;
  for (const [bound, count] of sorted) {
    if (count >= rank && count > lowerCount) {
      if (!Number.isFinite(bound)) return lowerBound; // beyond the last bound nothing finer is known
      return lowerBound + ((bound - lowerBound) * (rank - lowerCount)) / (count - lowerCount);
    }
    lowerBound = bound;
    lowerCount = count;
  }
  return lowerBound;
}
