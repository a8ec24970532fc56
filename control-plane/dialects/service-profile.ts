import { asList, asNumber, asObject, asText, isObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { ProfileRoute, RequestCondition, ResponseClass, ResponseCondition } from '#model/profile-route.ts';
import type { RetryBudget, WeightedTarget } from '#model/profile.ts';
import { parseHostPort } from '#model/service-target.ts';
import { DurationError, parseDurationMs } from '#runtime/duration.ts';
import { Problems, type Problem } from './problem.ts';
import { regexProblem } from './regular-expression.ts';

/** What a ServiceProfile says. Parts that cannot be used are left out and named. */
export type CompiledProfile = {
  readonly routes: readonly ProfileRoute[];
  readonly targets: readonly WeightedTarget[];
  readonly retryBudget?: RetryBudget;
  readonly problems: readonly Problem[];
};

/** Conditions within conditions, at most. */
const DEPTH_MAX = 16;

/**
 * Reads a ServiceProfile. Source: linkerd2 `pkg/profiles`, CRD `serviceprofiles.linkerd.io`.
 *
 * @param port  of the Service, for targets that name none
 */
export function compileServiceProfile({ spec }: CustomObject, port: number): CompiledProfile {
  const problems = new Problems();
  const routes = asList(spec['routes']).flatMap((value, index) => {
    // One bad route must not take the others away, and a route of which a part is missing would do something else.
    const found = new Problems();
    const route = readRoute(asObject(value), `spec.routes[${index}]`, found);
    for (const { field, message } of found.found) problems.add(field, message);
    return route === undefined || found.found.length > 0 ? [] : [route];
  });
  const targets = asList(spec['dstOverrides']).flatMap((value, index) => {
    const target = readTarget(asObject(value), port, `spec.dstOverrides[${index}]`, problems);
    return target === undefined ? [] : [target];
  });
  const retryBudget = readBudget(spec['retryBudget'], problems);
  if (asList(spec['opaquePorts']).length > 0) {
    problems.add('spec.opaquePorts', 'is not supported: annotate the Service with config.linkerd.io/opaque-ports');
  }
  return { routes, targets, ...(retryBudget && { retryBudget }), problems: problems.found };
}

function readRoute(fields: JsonObject, field: string, problems: Problems): ProfileRoute | undefined {
  const name = asText(fields['name']) ?? '';
  if (name === '') return problems.add(`${field}.name`, 'is missing');
  const condition = readCondition(fields['condition'], `${field}.condition`, problems, 0);
  const timeoutMs = readDuration(fields['timeout'], `${field}.timeout`, problems);
  const responseClasses = asList(fields['responseClasses']).flatMap((value, index) => {
    const one = readResponseClass(asObject(value), `${field}.responseClasses[${index}]`, problems);
    return one === undefined ? [] : [one];
  });
  if (condition === undefined) return undefined;
  return {
    condition,
    responseClasses,
    labels: { route: name },
    isRetryable: fields['isRetryable'] === true,
    ...(timeoutMs !== undefined && timeoutMs > 0 && { timeoutMs }),
  };
}

/** All fields that are given must hold. */
function readCondition(value: unknown, field: string, problems: Problems, depth: number): RequestCondition | undefined {
  if (depth > DEPTH_MAX) return problems.add(field, `conditions are nested deeper than ${DEPTH_MAX}`);
  const fields = asObject(value);
  const conditions: RequestCondition[] = [];
  const pattern = asText(fields['pathRegex']);
  if (pattern !== undefined && pattern !== '') {
    const problem = regexProblem(pattern);
    if (problem !== undefined) return problems.add(`${field}.pathRegex`, problem);
    conditions.push({ kind: 'path', pattern });
  }
  const method = asText(fields['method']);
  if (method !== undefined && method !== '') conditions.push({ kind: 'method', method: method.toUpperCase() });
  for (const kind of ['all', 'any'] as const) {
    if (fields[kind] === undefined) continue;
    const inner = asList(fields[kind]).map((one, i) =>
      readCondition(one, `${field}.${kind}[${i}]`, problems, depth + 1),
    );
    conditions.push({ kind, conditions: inner.filter((one) => one !== undefined) });
  }
  for (const [inner, name] of notsOf(fields['not'], `${field}.not`)) {
    const condition = readCondition(inner, name, problems, depth + 1);
    if (condition !== undefined) conditions.push({ kind: 'not', condition });
  }
  const [first, second] = conditions;
  if (first === undefined) return problems.add(field, 'is empty: give pathRegex, method, all, any or not');
  return second === undefined ? first : { kind: 'all', conditions };
}

/** The CRD declares `not` as a list, the documentation shows one condition: both are read. */
function notsOf(value: unknown, field: string): readonly (readonly [unknown, string])[] {
  if (isObject(value)) return [[value, field]];
  return asList(value).map((one, index) => [one, `${field}[${index}]`]);
}

function readResponseClass(fields: JsonObject, field: string, problems: Problems): ResponseClass | undefined {
  const condition = readResponse(fields['condition'], `${field}.condition`, problems, 0);
  return condition && { condition, isFailure: fields['isFailure'] === true };
}

function readResponse(value: unknown, field: string, problems: Problems, depth: number): ResponseCondition | undefined {
  if (depth > DEPTH_MAX) return problems.add(field, `conditions are nested deeper than ${DEPTH_MAX}`);
  const fields = asObject(value);
  const conditions: ResponseCondition[] = [];
  if (isObject(fields['status'])) {
    const low = asNumber(fields['status']['min']) ?? 0;
    const high = asNumber(fields['status']['max']) ?? 0;
    const min = low === 0 ? high : low;
    const max = high === 0 ? low : high;
    if (min < 100 || max > 599 || min > max) {
      return problems.add(`${field}.status`, `${min}-${max} is no range of HTTP status codes`);
    }
    conditions.push({ kind: 'status', min, max });
  }
  for (const kind of ['all', 'any'] as const) {
    if (fields[kind] === undefined) continue;
    const inner = asList(fields[kind]).map((one, i) =>
      readResponse(one, `${field}.${kind}[${i}]`, problems, depth + 1),
    );
    conditions.push({ kind, conditions: inner.filter((one) => one !== undefined) });
  }
  for (const [inner, name] of notsOf(fields['not'], `${field}.not`)) {
    const condition = readResponse(inner, name, problems, depth + 1);
    if (condition !== undefined) conditions.push({ kind: 'not', condition });
  }
  const [first, second] = conditions;
  if (first === undefined) return problems.add(field, 'is empty: give status, all, any or not');
  return second === undefined ? first : { kind: 'all', conditions };
}

function readTarget(fields: JsonObject, port: number, field: string, problems: Problems): WeightedTarget | undefined {
  const authority = asText(fields['authority']) ?? '';
  const parsed = parseHostPort(authority);
  if (parsed === undefined) return problems.add(`${field}.authority`, `"${authority}" is not a name with a port`);
  const weight = quantityWeight(fields['weight']);
  if (weight === undefined) return problems.add(`${field}.weight`, 'is not a number, such as 1 or 500m');
  const hasPort = /:\d+$/.test(authority);
  return { authority: hasPort ? authority : `${authority}:${port}`, weight };
}

/** The weight that a quantity such as `1`, `0.5` or `500m` stands for, 10 000 for one, as of endpoints. Source: linkerd2 `dstOverrides`. */
export function quantityWeight(value: unknown): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(m|k|)$/.exec(String(value));
  if (match === null || (typeof value !== 'string' && typeof value !== 'number')) return undefined;
  const factor = match[2] === 'm' ? 1 : match[2] === 'k' ? 1_000_000 : 1000;
  const weight = Math.round(Number(match[1]) * factor) * 10;
  return weight <= WEIGHT_MAX ? weight : undefined;
}

const WEIGHT_MAX = 2 ** 31 - 1;

function readBudget(value: unknown, problems: Problems): RetryBudget | undefined {
  if (value === undefined) return undefined;
  const fields = asObject(value);
  const retryRatio = asNumber(fields['retryRatio']) ?? 0;
  const minRetriesPerSecond = asNumber(fields['minRetriesPerSecond']) ?? 0;
  const known = problems.found.length;
  const ttlMs = readDuration(fields['ttl'], 'spec.retryBudget.ttl', problems);
  if (retryRatio < 0 || retryRatio > 1000) {
    return problems.add('spec.retryBudget.retryRatio', `${retryRatio} is not from 0 to 1000`);
  }
  if (minRetriesPerSecond < 0 || !Number.isInteger(minRetriesPerSecond)) {
    return problems.add(
      'spec.retryBudget.minRetriesPerSecond',
      `${minRetriesPerSecond} is not an integer of 0 or more`,
    );
  }
  if (ttlMs === undefined) {
    if (problems.found.length > known) return undefined;
    return problems.add('spec.retryBudget.ttl', 'is missing: write a duration from 1s to 60s');
  }
  if (ttlMs < 1000 || ttlMs > 60_000) {
    return problems.add('spec.retryBudget.ttl', `"${asText(fields['ttl'])}" is not from 1s to 60s`);
  }
  return { retryRatio, minRetriesPerSecond, ttlMs };
}

function readDuration(value: unknown, field: string, problems: Problems): number | undefined {
  if (value === undefined || value === '') return undefined;
  try {
    return parseDurationMs(asText(value) ?? JSON.stringify(value));
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    return problems.add(field, error.message);
  }
}
