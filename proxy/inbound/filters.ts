import type { Ratio } from '#model/filter.ts';
import type { MatchedFilters } from '#model/inbound.ts';
import { modifyRequest, redirectedPath, redirectLocation } from '../http/head-edit.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { injectedGrpcHead, injectedHead, redirectHead } from '../http/respond.ts';

/** What filters make of a request that is let in: another head, or an answer instead of the application's. */
export type Filtered = { readonly head: RequestHead; readonly answer?: ResponseHead };

export function applyFilters(original: RequestHead, matched: MatchedFilters, random: () => number): Filtered {
  const isChosen = (ratio: Ratio | undefined): boolean =>
    ratio === undefined || random() * ratio.denominator < ratio.numerator;
  let head = original;
  for (const filter of matched.filters) {
    switch (filter.kind) {
      case 'request-headers':
        head = modifyRequest(head, filter);
        break;
      case 'redirect': {
        const prefix = matched.kind === 'http' ? matched.prefix : '/';
        const location = redirectLocation(filter, redirectedPath(head), head.authority ?? '', prefix);
        return { head, answer: redirectHead(filter.status, location) };
      }
      case 'failure':
        if (!isChosen(filter.ratio)) break;
        return {
          head,
          answer:
            'code' in filter
              ? injectedGrpcHead(filter.code, filter.message)
              : injectedHead(filter.status, filter.message),
        };
    }
  }
  return { head };
}
