import { asList, asObject, isObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { RateLimit, RateLimitOverride } from '#model/rate-limit.ts';
import { qualified, readRef, type PolicyContext, type Reading } from './linkerd-policy.ts';
import { Problems } from './problem.ts';

const RATE_MAX = 0xffff_ffff; // of the wire format

export type RateLimitPolicy = {
  readonly serverName: string; // in the namespace of the policy
  readonly limit: RateLimit;
};

/** Reads an HTTPLocalRateLimitPolicy. Source: linkerd2 `policy-controller`, admission and inbound index. */
export function readRateLimitPolicy(object: CustomObject, context: PolicyContext): Reading<RateLimitPolicy> {
  const problems = new Problems();
  const { targetRef, total, identity, overrides } = object.spec;
  const target = readRef(targetRef, 'spec.targetRef', object.namespace, problems);
  if (target !== undefined && qualified(target) !== 'Server.policy.linkerd.io')
    problems.add('spec.targetRef.kind', `${qualified(target)} cannot be a target: use Server.policy.linkerd.io`);
  if (target !== undefined && target.namespace !== object.namespace)
    problems.add('spec.targetRef.namespace', `a target is in the policy's own namespace, "${object.namespace}"`);
  const totalRate = total === undefined ? undefined : readRate(total, 'spec.total', problems);
  const ceiling = totalRate ?? RATE_MAX;
  const identityRate = identity === undefined ? undefined : readRate(identity, 'spec.identity', problems, ceiling);
  const read = asList(overrides).map((value, index) =>
    readOverride(value, `spec.overrides[${index}]`, object.namespace, ceiling, context, problems),
  );
  if (totalRate === undefined && identityRate === undefined && read.length === 0 && problems.found.length === 0)
    problems.add('spec', 'limits nothing: give total, identity or overrides');
  if (problems.found.length > 0 || target === undefined) return { problems: problems.found };
  const { namespace, name } = object;
  const ref = { type: 'resource', group: 'policy.linkerd.io', kind: object.kind, name, namespace } as const;
  const limit = {
    ref,
    ...(totalRate !== undefined && { total: totalRate }),
    ...(identityRate !== undefined && { identity: identityRate }),
    overrides: read,
  };
  return { value: { serverName: target.name, limit }, problems: [] };
}

/** @param ceiling  the total, which a limit of one client cannot exceed */
function readRate(value: unknown, field: string, problems: Problems, ceiling = RATE_MAX): number {
  const rate = asObject(value)['requestsPerSecond'];
  const isRate = typeof rate === 'number' && Number.isInteger(rate) && rate >= 1 && rate <= RATE_MAX;
  const at = `${field}.requestsPerSecond`;
  if (!isRate) problems.add(at, `${JSON.stringify(rate) ?? 'nothing'} is not an integer from 1 to ${RATE_MAX}`);
  else if (rate > ceiling) problems.add(at, `${rate} is more than the total, ${ceiling}`);
  return isRate ? rate : 0;
}

function readOverride(
  value: unknown,
  field: string,
  namespace: string,
  ceiling: number,
  { identitySuffix }: PolicyContext,
  problems: Problems,
): RateLimitOverride {
  const { clientRefs } = asObject(value);
  if (!isObject(value)) problems.add(field, 'is no object');
  const refs = asList(clientRefs);
  if (refs.length === 0) problems.add(`${field}.clientRefs`, 'names nobody');
  const identities = refs.flatMap((one, index) => {
    const at = `${field}.clientRefs[${index}]`;
    const ref = readRef(one, at, namespace, problems);
    if (ref === undefined) return [];
    if (qualified(ref) !== 'ServiceAccount')
      problems.add(`${at}.kind`, `${qualified(ref)} has no limit of its own: use ServiceAccount`);
    return [`${ref.name}.${ref.namespace}.${identitySuffix}`];
  });
  return { requestsPerSecond: readRate(value, field, problems, ceiling), identities };
}
