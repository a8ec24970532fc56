import type { Distribution } from '#model/backend.ts';
import { ProxyError } from '../errors.ts';
import type { Backends, Candidate } from './backends.ts';
import type { Plan, PlanFilter, Way } from './plan.ts';

/** The backends of a rule, in its order, and how one is chosen, each time anew. */
export type Distributor = { readonly candidates: readonly Candidate[]; readonly choose: Plan['choose'] };

/**
 * Puts the backends of a rule together.
 *
 * @template F  filters, as the policy has them
 */
export function distribute<F>(
  distribution: Distribution<F>,
  filtersOf: (filters: readonly F[]) => readonly PlanFilter[],
  backends: Backends,
  random: () => number,
): Distributor {
  if (distribution.kind === 'empty') {
    return { candidates: [], choose: () => new ProxyError('no-backend', 'the rule of the route has no backend') };
  }
  const isRandom = distribution.kind === 'random-available';
  const candidates = isRandom
    ? distribution.backends.map(({ backend, filters, weight }) =>
        backends.candidate(backend.target, backend.ref, filtersOf(filters), weight),
      )
    : distribution.backends.map(({ backend, filters }) =>
        backends.candidate(backend.target, backend.ref, filtersOf(filters), 1),
      );
  return { candidates, choose: chooser(candidates, isRandom, random) };
}

/**
 * Those that can answer first; when none can, the request waits (or fails) at one of them.
 *
 * @param isRandom  by weight, else in order
 */
export function chooser(candidates: readonly Candidate[], isRandom: boolean, random: () => number): Plan['choose'] {
  const [only] = candidates;
  if (candidates.length === 1 && only !== undefined && (only.weight > 0 || !isRandom)) return only.way;
  return (): Way | ProxyError => {
    const weighted = isRandom ? candidates.filter(({ weight }) => weight > 0) : candidates;
    const available = weighted.filter((candidate) => candidate.isAvailable());
    const chosen = isRandom
      ? weightedChoice(available.length > 0 ? available : weighted, random())
      : (available[0] ?? weighted[0]);
    return chosen?.way() ?? new ProxyError('no-backend', 'every backend of the route has weight 0');
  };
}

function weightedChoice(candidates: readonly Candidate[], random: number): Candidate | undefined {
  let left = random * candidates.reduce((sum, { weight }) => sum + weight, 0);
  for (const candidate of candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate;
  }
  return candidates.at(-1);
}
