/** What the choice between endpoints needs to know of one. */
export interface Candidate {
  /** Expected cost of one more request, >= 0. */
  load(nowMs: number): number;
  /** False for a while after a connection to it failed. */
  isReady(nowMs: number): boolean;
}

/**
 * Power of two choices: the less loaded of two random candidates. Those that are not ready are chosen only when none is.
 *
 * @param avoid   candidates that have failed this request already
 * @param random  uniform sample in [0, 1)
 * @returns undefined when every candidate is in `avoid`
 */
export function pickOfTwo<C extends Candidate>(
  candidates: readonly C[],
  avoid: ReadonlySet<Candidate> | undefined,
  nowMs: number,
  random: () => number,
): C | undefined {
  const first = candidates[Math.floor(random() * candidates.length)];
  if (first === undefined) return undefined;
  const isFine = (c: C): boolean => (avoid === undefined || !avoid.has(c)) && c.isReady(nowMs);
  if (candidates.length === 1) return avoid?.has(first) === true ? undefined : first;
  // Any other index with equal chance.
  const offset = 1 + Math.floor(random() * (candidates.length - 1));
  const second = candidates[(candidates.indexOf(first) + offset) % candidates.length] as C;
  const firstFine = isFine(first);
  const secondFine = isFine(second);
  if (firstFine && secondFine) return second.load(nowMs) < first.load(nowMs) ? second : first;
  if (firstFine) return first;
  if (secondFine) return second;
  return leastLoaded(candidates.filter(isFine), nowMs) ?? leastLoaded(notIn(candidates, avoid), nowMs);
}

function notIn<C extends Candidate>(candidates: readonly C[], avoid: ReadonlySet<Candidate> | undefined): readonly C[] {
  return avoid === undefined ? candidates : candidates.filter((c) => !avoid.has(c));
}

function leastLoaded<C extends Candidate>(candidates: readonly C[], nowMs: number): C | undefined {
  let best: C | undefined;
  for (const c of candidates) if (best === undefined || c.load(nowMs) < best.load(nowMs)) best = c;
  return best;
}
