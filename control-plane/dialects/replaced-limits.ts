import { asList, asObject, isObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { retryOf, trafficAnnotations, type TrafficAnnotations } from './annotations.ts';
import { readTimeouts } from './gateway-api.ts';
import type { OutboundParent } from './outbound-parents.ts';
import { Problems, type Problem } from './problem.ts';
import { readRetry } from './route-retry.ts';

type Annotations = Readonly<Record<string, string>>;
type Parent = Pick<OutboundParent, 'kind' | 'namespace' | 'name'> & { readonly annotations: Annotations };

/** Annotations that count as a group. */
const TIMEOUTS = ['timeout.linkerd.io/request', 'timeout.linkerd.io/response', 'timeout.linkerd.io/idle'];
const RETRIES = [
  'retry.linkerd.io/http',
  'retry.linkerd.io/grpc',
  'retry.linkerd.io/limit',
  'retry.linkerd.io/timeout',
];

/** Annotations about timeouts and retries that an object has. */
export function limitAnnotations(annotations: Annotations): readonly string[] {
  return namesIn(annotations, [...TIMEOUTS, ...RETRIES]);
}

/** A limit of retries without anything that says what is retried. Source: linkerd2, which sends empty conditions then. */
export function retryWithoutCondition(annotations: Annotations): Problem | undefined {
  const [first, second] = namesIn(annotations, RETRIES);
  const { httpRetry } = trafficAnnotations(annotations, new Problems());
  const isLimited = httpRetry !== undefined && httpRetry !== 'none';
  if (first !== 'retry.linkerd.io/limit' || second !== undefined || !isLimited) return undefined;
  return { field: first, message: 'the condition is missing: no response is retried, only what gets none' };
}

/**
 * What an HTTPRoute or a GRPCRoute and its parent say about timeouts and retries and what does not count, because annotations of
 * the route, its rule and annotations of the parent replace each other as whole groups. Source: linkerd2
 * `policy-controller/grpc/src/outbound/http.rs`.
 */
export function replacedLimits(route: CustomObject, parent: Parent): readonly Problem[] {
  const ignored = new Problems(); // wrong values are told elsewhere
  const own = trafficAnnotations(route.annotations, ignored);
  const inherited = trafficAnnotations(parent.annotations, ignored);
  const isGrpc = route.kind === 'GRPCRoute';
  const rules = isGrpc ? [] : asList(route.spec['rules']).map(asObject);
  return [
    ...ofAnnotations(route, own, inherited, parent, isGrpc),
    ...rules.flatMap((rule, index) => ofRule(rule, `spec.rules[${index}]`, route, own, inherited, parent)),
  ];
}

/** What annotations of the route replace in the parent. */
function ofAnnotations(
  route: CustomObject,
  own: TrafficAnnotations,
  inherited: TrafficAnnotations,
  parent: Parent,
  isGrpc: boolean,
): readonly Problem[] {
  const condition = isGrpc ? 'retry.linkerd.io/http' : 'retry.linkerd.io/grpc'; // of the other protocol
  const retry = isGrpc ? own.grpcRetry : own.httpRetry;
  const ofParent = retryOf(undefined, isGrpc ? inherited.grpcRetry : inherited.httpRetry);
  const lost = (group: readonly string[]): readonly Problem[] => {
    const first = group.find((name) => route.annotations[name] !== undefined) ?? '';
    const names = group.filter((name) => name in parent.annotations && !(name in route.annotations));
    return lostOf(parent, names, `metadata.annotations[${first}]`);
  };
  return [
    ...(own.timeouts !== undefined && inherited.timeouts !== undefined ? lost(TIMEOUTS) : []),
    ...(retry !== undefined && retry !== 'none' && ofParent !== undefined
      ? lost(RETRIES.filter((name) => name !== condition))
      : []),
  ];
}

/** What a rule of an HTTPRoute replaces in the parent, and what annotations of the route replace in it. */
function ofRule(
  rule: JsonObject,
  field: string,
  { annotations }: CustomObject,
  own: TrafficAnnotations,
  inherited: TrafficAnnotations,
  parent: Parent,
): readonly Problem[] {
  const ignored = new Problems();
  const { attemptMs, ...given } = readTimeouts(rule, field, ignored);
  const ofRetry = readRetry(rule, `${field}.retry`, ignored);
  const hasRetry = retryOf(own.httpRetry ?? ofRetry, inherited.httpRetry) !== undefined;
  // Without retries the limit of an attempt is that of the request; with them it stays what it is.
  const timeouts: Timeouts = hasRetry || attemptMs === undefined ? given : { requestMs: given.requestMs ?? attemptMs };
  const isTimed = timeouts.requestMs !== undefined;
  const replacedBy = (group: readonly string[]): string => {
    const names = namesIn(annotations, group).join(', ');
    return `does not count: ${names} of the route ${names.includes(',') ? 'replace' : 'replaces'} it as a whole`;
  };
  const retry = asObject(rule['retry']);
  return [
    ...(isTimed && own.timeouts !== undefined && own.timeouts.requestMs !== timeouts.requestMs
      ? [{ field: `${field}.timeouts`, message: replacedBy(TIMEOUTS) }]
      : []),
    ...(isTimed && own.timeouts === undefined && inherited.timeouts !== undefined
      ? lostOf(parent, namesIn(parent.annotations, TIMEOUTS.slice(1)), `${field}.timeouts`)
      : []),
    ...(isObject(rule['retry']) && own.httpRetry !== undefined
      ? [{ field: `${field}.retry`, message: replacedBy(RETRIES) }]
      : []),
    ...(own.httpRetry === undefined &&
    ofRetry !== undefined &&
    ofRetry !== 'none' &&
    retryOf(undefined, inherited.httpRetry) !== undefined
      ? lostOf(
          parent,
          [
            ...(retry['codes'] === undefined ? namesIn(parent.annotations, ['retry.linkerd.io/http']) : []),
            ...(retry['attempts'] === undefined ? namesIn(parent.annotations, ['retry.linkerd.io/limit']) : []),
            ...(attemptMs === undefined ? namesIn(parent.annotations, ['retry.linkerd.io/timeout']) : []),
          ],
          `${field}.retry`,
        )
      : []),
  ];
}

function namesIn(annotations: Annotations, group: readonly string[]): readonly string[] {
  return group.filter((name) => annotations[name] !== undefined);
}

function lostOf({ kind, namespace, name }: Parent, names: readonly string[], field: string): readonly Problem[] {
  if (names.length === 0) return [];
  const many = names.length > 1;
  const what = `${names.join(', ')} of ${kind} ${namespace}/${name}`;
  return [{ field, message: `${what} ${many ? 'do' : 'does'} not count: this replaces ${many ? 'them' : 'it'}` }];
}
