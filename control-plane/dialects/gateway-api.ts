import { asList, asNumber, asObject, asText, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { Backend, Distribution } from '#model/backend.ts';
import type { Mirror } from '#model/filter.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { POLICY_GROUP } from './outbound-parents.ts';
import type { Problem, Problems } from './problem.ts';
import { readShare } from './route-parts.ts';

/** What the translation of a route needs to know about the rest of the cluster. */
export type RouteContext = {
  readonly parent: Backend; // for rules without backendRefs
  readonly clusterDomain: string;
  readonly allowsRequestHeaders: boolean; // requests may override timeouts and retries
  readonly serviceOf: (namespace: string, name: string) => Service | undefined;
};

/** Why backends of a route cannot be used. Source: Gateway API, reasons of the condition ResolvedRefs. */
export type RefProblem = Problem & { readonly reason: 'BackendNotFound' | 'InvalidKind' };

/**
 * `problems` make the whole route unusable, `dropped` only rules, which are left out of the route: their values are not understood.
 * `refProblems` only make their share of the requests fail.
 */
export type CompiledRoute<R> = {
  readonly route: R;
  readonly problems: readonly Problem[];
  readonly dropped?: readonly Problem[]; // only beside rules that are used
  readonly refProblems: readonly RefProblem[];
};

/** Collects what is wrong with a route. */
export type RouteProblems = { readonly fatal: Problems; readonly refs: RefProblem[] };

const REF_PROBLEMS_MAX = 8;

/** Services that backendRefs and mirrors of a route name, by `namespace/name`: the translation depends on them. */
export function backendServices({ spec, namespace }: CustomObject): readonly string[] {
  const mirrorsOf = ({ filters }: JsonObject): readonly JsonObject[] =>
    asList(filters).map((filter) => asObject(asObject(asObject(filter)['requestMirror'])['backendRef']));
  return asList(spec['rules'])
    .map(asObject)
    .flatMap((rule) => {
      const refs = asList(rule['backendRefs']).map(asObject);
      return [...refs, ...mirrorsOf(rule), ...refs.flatMap(mirrorsOf)];
    })
    .flatMap(({ namespace: own, name }) => {
      const service = asText(name);
      return service === undefined ? [] : [`${asText(own) ?? namespace}/${service}`];
    });
}

export function routeRef({ group, kind, name, namespace }: CustomObject): ResourceRef {
  return { type: 'resource', group, kind, name, namespace };
}

/**
 * Reads backendRefs. Without any, everything goes to the parent; one that cannot be used keeps its share of the requests,
 * which fail and say why.
 *
 * @template F  filters
 */
export function readBackends<F>(
  rule: JsonObject,
  field: string,
  object: CustomObject,
  context: RouteContext,
  problems: RouteProblems,
  read: {
    readonly filters: (values: unknown, field: string) => readonly F[];
    readonly failure: (message: string) => F;
  },
): Distribution<F> {
  const refs = asList(rule['backendRefs']);
  if (refs.length === 0) {
    return { kind: 'first-available', backends: [{ backend: context.parent, filters: [] }] };
  }
  const backends = refs.map((value, index) => {
    const fields = asObject(value);
    const name = `${field}.backendRefs[${index}]`;
    const weight = asNumber(fields['weight']) ?? 1;
    const { backend, failure } = readBackend(fields, name, object, context, problems);
    const filters = read.filters(fields['filters'], `${name}.filters`);
    return { backend, weight, filters: failure === undefined ? filters : [read.failure(failure)] };
  });
  // With all weights 0 nobody is to be asked: Gateway API answers as for a rule without usable backends.
  return backends.every(({ weight }) => weight === 0) ? { kind: 'empty' } : { kind: 'random-available', backends };
}

/**
 * Reads a RequestMirror. As for backendRefs of Services in a mesh, another namespace needs no ReferenceGrant.
 *
 * @returns nothing when its backend cannot be used: Gateway API wants it dropped, and ResolvedRefs to say so
 */
export function readMirror(
  value: unknown,
  field: string,
  object: CustomObject,
  context: RouteContext,
  problems: RouteProblems,
): Mirror | undefined {
  const fields = asObject(value);
  const ratio = readShare(fields, field, problems.fatal);
  const { backend, failure } = readBackend(
    asObject(fields['backendRef']),
    `${field}.backendRef`,
    object,
    context,
    problems,
  );
  return failure === undefined ? { kind: 'mirror', backend, ...(ratio && { ratio }) } : undefined;
}

function readBackend(
  fields: JsonObject,
  field: string,
  object: CustomObject,
  context: RouteContext,
  problems: RouteProblems,
): { readonly backend: Backend; readonly failure?: string } {
  const group = asText(fields['group']) ?? '';
  const kind = asText(fields['kind']) ?? 'Service';
  const name = asText(fields['name']) ?? '';
  const namespace = asText(fields['namespace']) ?? object.namespace;
  const port = asNumber(fields['port']);
  const ref = {
    type: 'resource',
    group: group === '' ? 'core' : group,
    kind,
    name: name === '' ? 'unnamed' : name,
    namespace,
    ...(port !== undefined && { port }),
  } as const;
  const fail = (reason: RefProblem['reason'], message: string) => {
    if (problems.refs.length < REF_PROBLEMS_MAX) problems.refs.push({ field, message, reason });
    return { backend: { ref, target: { kind: 'none' } }, failure: message } as const;
  };
  if (group === POLICY_GROUP && kind === 'EgressNetwork') return readEgressBackend(ref, port, context.parent, fail);
  if ((group !== '' && group !== 'core') || kind !== 'Service') {
    return fail('InvalidKind', `backends of kind ${kind}${group === '' ? '' : `.${group}`} are not supported`);
  }
  const service = context.serviceOf(namespace, name);
  if (service === undefined) return fail('BackendNotFound', `Service ${namespace}/${name} not found`);
  if (service.type === 'ExternalName') {
    return fail('InvalidKind', `Service ${namespace}/${name} is an ExternalName, which has no endpoints`);
  }
  if (port === undefined) return fail('BackendNotFound', `Service ${namespace}/${name} needs a port`);
  if (!service.ports.some((one) => one.port === port && one.protocol === 'TCP')) {
    return fail('BackendNotFound', `Service ${namespace}/${name} has no port ${port}`);
  }
  const authority = `${name}.${namespace}.svc.${context.clusterDomain}:${port}`;
  return { backend: { ref, target: { kind: 'balancer', authority } } };
}

/** The address itself that was asked for; only beneath the same EgressNetwork, since nothing else knows one. */
function readEgressBackend<T>(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  port: number | undefined,
  parent: Backend,
  fail: (reason: RefProblem['reason'], message: string) => T,
): T | { readonly backend: Backend } {
  const { ref } = parent;
  const isParent =
    ref.type === 'resource' && ref.kind === 'EgressNetwork' && ref.namespace === namespace && ref.name === name;
  if (!isParent) {
    return fail('InvalidKind', `EgressNetwork ${namespace}/${name} can be a backend only where it is the parent`);
  }
  if (port === undefined || port === ref.port) return { backend: parent };
  return fail('BackendNotFound', `connections go on to port ${ref.port}, which was asked for: leave port out`);
}

/** @param field  of the rule */
export function readTimeouts(rule: JsonObject, field: string, problems: Problems): Timeouts & { attemptMs?: number } {
  const fields = asObject(rule['timeouts']);
  const requestMs = readGatewayDuration(fields['request'], `${field}.timeouts.request`, problems);
  const attemptMs = readGatewayDuration(fields['backendRequest'], `${field}.timeouts.backendRequest`, problems);
  if (requestMs && attemptMs && attemptMs > requestMs) {
    problems.add(`${field}.timeouts.backendRequest`, 'is longer than timeouts.request');
  }
  return { ...(requestMs && { requestMs }), ...(attemptMs && { attemptMs }) };
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a duration. Source: GEP-2257; `0s` switches a timeout off. */
export function readGatewayDuration(value: unknown, field: string, problems: Problems): number | undefined {
  if (value === undefined) return undefined;
  const text = asText(value) ?? JSON.stringify(value);
  if (!/^(?:\d{1,5}(?:h|m|s|ms)){1,4}$/.test(text)) {
    return problems.add(field, `"${text}" is not a duration such as 500ms, 10s or 1h30m`);
  }
  const parts = text.matchAll(/(\d+)(ms|h|m|s)/g);
  return [...parts].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (UNIT_MS[unit] ?? 0), 0);
}
