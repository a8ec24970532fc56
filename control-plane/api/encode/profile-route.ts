import type { RequestMatch, ResponseMatch, Route, WeightedDst } from '#api/gen/destination.ts';
import type { ProfileRoute, RequestCondition, ResponseCondition } from '#model/profile-route.ts';
import type { WeightedTarget } from '#model/profile.ts';
import { encodeDuration } from './duration.ts';
import { encodeMethod } from './match.ts';
import { encodeResourceRef } from './meta.ts';

export function encodeProfileRoute(route: ProfileRoute): Route {
  return {
    condition: encodeRequestCondition(route.condition),
    responseClasses: route.responseClasses.map(({ condition, isFailure }) => ({
      condition: encodeResponseCondition(condition),
      isFailure,
    })),
    metricsLabels: { ...route.labels },
    isRetryable: route.isRetryable,
    timeout: route.timeoutMs === undefined ? undefined : encodeDuration(route.timeoutMs),
  };
}

export function encodeTarget({ authority, weight, ref }: WeightedTarget): WeightedDst {
  return { authority, weight, backendRef: ref && encodeResourceRef(ref) };
}

function encodeRequestCondition(condition: RequestCondition): RequestMatch {
  switch (condition.kind) {
    case 'all':
    case 'any':
      return {
        match: { $case: condition.kind, value: { matches: condition.conditions.map(encodeRequestCondition) } },
      };
    case 'not':
      return { match: { $case: 'not', value: encodeRequestCondition(condition.condition) } };
    case 'path':
      return { match: { $case: 'path', value: { regex: condition.pattern } } };
    case 'method':
      return { match: { $case: 'method', value: encodeMethod(condition.method) } };
  }
}

function encodeResponseCondition(condition: ResponseCondition): ResponseMatch {
  switch (condition.kind) {
    case 'all':
    case 'any':
      return {
        match: { $case: condition.kind, value: { matches: condition.conditions.map(encodeResponseCondition) } },
      };
    case 'not':
      return { match: { $case: 'not', value: encodeResponseCondition(condition.condition) } };
    case 'status':
      return { match: { $case: 'status', value: { min: condition.min, max: condition.max } } };
  }
}
