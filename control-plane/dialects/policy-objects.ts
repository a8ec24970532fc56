import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { ResourceRef } from '#model/resource-ref.ts';

/** Kinds that say who may talk to a pod, and how often. */
export const POLICY_KINDS = [
  'Server',
  'ServerAuthorization',
  'AuthorizationPolicy',
  'MeshTLSAuthentication',
  'NetworkAuthentication',
  'HTTPLocalRateLimitPolicy',
] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** All objects of one namespace, and how to look into others. */
export type PolicyObjects = {
  readonly list: (kind: PolicyKind, namespace: string) => readonly CustomObject[];
  readonly get: (kind: PolicyKind, namespace: string, name: string) => CustomObject | undefined;
  /** Routes of a namespace that name Servers as parents. */
  readonly routes: (namespace: string) => readonly CustomObject[];
  /**
   * What was computed from the objects of a namespace, and those they refer to, until one of them changes; absent: computed each
   * time. Every caller has to bring the same `PolicyContext`.
   */
  readonly memo?: <T>(namespace: string, key: string, compute: () => T) => T;
};

/** What was computed from objects of a namespace, if it is kept. */
export function remember<T>(objects: Pick<PolicyObjects, 'memo'>, namespace: string, key: string, compute: () => T): T {
  return objects.memo === undefined ? compute() : objects.memo(namespace, key, compute);
}

/** How proxies are told of an object. */
export function refOf(kind: PolicyKind, { namespace, name }: CustomObject): ResourceRef {
  return { type: 'resource', group: 'policy.linkerd.io', kind: kind.toLowerCase(), name, namespace };
}
