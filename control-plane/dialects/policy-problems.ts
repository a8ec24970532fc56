import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import {
  isRouteTarget,
  qualified,
  readAuthorizationPolicy,
  readMeshTlsAuthentication,
  readNetworkAuthentication,
  readServer,
  readServerAuthorization,
  type ObjectRef,
  type PolicyContext,
} from './linkerd-policy.ts';
import { refOf, type PolicyKind, type PolicyObjects } from './policy-objects.ts';
import type { Problem } from './problem.ts';
import { readRateLimitPolicy } from './rate-limit-policy.ts';
import { resolve } from './server-authorizations.ts';
import { judgeRateLimit } from './server-rate-limits.ts';

/** Something that an object says and that has no effect. */
export type PolicyFinding = { readonly object: ResourceRef; readonly field: string; readonly message: string };

/** Reads an object by itself, as the webhook sees it. */
export function problemsOf(kind: PolicyKind, object: CustomObject, context: PolicyContext): readonly Problem[] {
  switch (kind) {
    case 'Server':
      return readServer(object, context).problems;
    case 'ServerAuthorization':
      return readServerAuthorization(object, context).problems;
    case 'AuthorizationPolicy':
      return readAuthorizationPolicy(object).problems;
    case 'MeshTLSAuthentication':
      return readMeshTlsAuthentication(object, context).problems;
    case 'NetworkAuthentication':
      return readNetworkAuthentication(object).problems;
    case 'HTTPLocalRateLimitPolicy':
      return readRateLimitPolicy(object, context).problems;
  }
}

/** Everything in an object that has no effect: wrong fields, and references to what is not there. */
export function findingsOf(
  kind: PolicyKind,
  object: CustomObject,
  objects: PolicyObjects,
  context: PolicyContext,
): readonly PolicyFinding[] {
  const ref = refOf(kind, object);
  const problems = problemsOf(kind, object, context);
  if (kind === 'HTTPLocalRateLimitPolicy' && problems.length === 0) {
    const { isAccepted, field, message } = judgeRateLimit(object, objects, context);
    return isAccepted ? [] : [{ object: ref, field, message }];
  }
  const read = kind === 'AuthorizationPolicy' ? readAuthorizationPolicy(object).value : undefined;
  if (read === undefined) return problems.map((problem) => ({ object: ref, ...problem }));
  const { target } = read;
  const routeName = `${target.namespace}/${target.name}`;
  const reference = resolve(read, objects, context).dangling;
  const isServerMissing =
    qualified(target) === 'Server.policy.linkerd.io' &&
    objects.get('Server', target.namespace, target.name) === undefined;
  return [
    ...(isRouteTarget(target) && !objects.routes(target.namespace).some((route) => isRoute(target, route))
      ? [
          {
            object: ref,
            field: 'spec.targetRef',
            message: `${target.kind} ${routeName} does not exist, or names no Server as its parent`,
          },
        ]
      : []),
    ...(isServerMissing
      ? [{ object: ref, field: 'spec.targetRef', message: `Server ${target.namespace}/${target.name} does not exist` }]
      : []),
    ...(reference === undefined
      ? []
      : [{ object: ref, field: `spec.requiredAuthenticationRefs[${reference.index}]`, message: reference.reason }]),
  ];
}

function isRoute({ group, kind, name }: ObjectRef, object: CustomObject): boolean {
  return group === object.group && kind === object.kind && name === object.name;
}
