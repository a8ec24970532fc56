import type { RequestMatch, ResponseMatch, Route, WeightedDst } from '#api/gen/destination.ts';
import type { ProfileRoute, RequestCondition, ResponseCondition } from '#model/profile-route.ts';
import type { WeightedTarget } from '#model/profile.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';
import { decodeMethod } from './match.ts';
import { decodeResourceRef } from './meta.ts';

/** Conditions inside conditions; deeper ones are refused. */
const DEPTH_MAX = 32;

export function decodeProfileRoute(message: Route, field: string): ProfileRoute {
  return {
    condition: decodeRequestCondition(message.condition, `${field}.condition`, 0),
    responseClasses: message.responseClasses.map(({ condition, isFailure }, index) => ({
      condition: decodeResponseCondition(condition, `${field}.response_classes[${index}].condition`, 0),
      isFailure,
    })),
    labels: message.metricsLabels,
    isRetryable: message.isRetryable,
    ...(message.timeout && { timeoutMs: decodeDurationMs(message.timeout, `${field}.timeout`) }),
  };
}

export function decodeWeightedTarget({ authority, weight, backendRef }: WeightedDst, field: string): WeightedTarget {
  if (authority === '') throw new DecodeError(`${field}.authority`, 'missing');
  return { authority, weight, ...(backendRef && { ref: decodeResourceRef(backendRef, `${field}.backend_ref`) }) };
}

function decodeRequestCondition(message: RequestMatch | undefined, field: string, depth: number): RequestCondition {
  const match = message?.match;
  if (match === undefined) throw new DecodeError(field, 'missing or unknown');
  if (depth > DEPTH_MAX) throw new DecodeError(field, 'too deep');
  switch (match.$case) {
    case 'all':
    case 'any': {
      const at = `${field}.${match.$case}`;
      const conditions = match.value.matches.map((one, index) =>
        decodeRequestCondition(one, `${at}[${index}]`, depth + 1),
      );
      return { kind: match.$case, conditions };
    }
    case 'not':
      return { kind: 'not', condition: decodeRequestCondition(match.value, `${field}.not`, depth + 1) };
    case 'path':
      return { kind: 'path', pattern: match.value.regex };
    case 'method':
      return { kind: 'method', method: decodeMethod(match.value, `${field}.method`) };
  }
}

function decodeResponseCondition(message: ResponseMatch | undefined, field: string, depth: number): ResponseCondition {
  const match = message?.match;
  if (match === undefined) throw new DecodeError(field, 'missing or unknown');
  if (depth > DEPTH_MAX) throw new DecodeError(field, 'too deep');
  switch (match.$case) {
    case 'all':
    case 'any': {
      const at = `${field}.${match.$case}`;
      const conditions = match.value.matches.map((one, index) =>
        decodeResponseCondition(one, `${at}[${index}]`, depth + 1),
      );
      return { kind: match.$case, conditions };
    }
    case 'not':
      return { kind: 'not', condition: decodeResponseCondition(match.value, `${field}.not`, depth + 1) };
    case 'status':
      return { kind: 'status', min: match.value.min, max: match.value.max };
  }
}
