import type { OptionalKind } from '#k8s/served-kinds.ts';
import { asList, asObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { RouteIndex } from './route-index.ts';
import { POLICY_KINDS, type PolicyKind, type PolicyObjects } from '../dialects/policy-objects.ts';

/** Versions that can be read, the stored one first; they differ in nothing that is read here. */
const KINDS: Readonly<Record<PolicyKind, { readonly plural: string; readonly versions: readonly string[] }>> = {
  Server: { plural: 'servers', versions: ['v1beta3', 'v1beta2', 'v1beta1'] },
  ServerAuthorization: { plural: 'serverauthorizations', versions: ['v1beta1'] },
  AuthorizationPolicy: { plural: 'authorizationpolicies', versions: ['v1alpha1'] },
  MeshTLSAuthentication: { plural: 'meshtlsauthentications', versions: ['v1alpha1'] },
  NetworkAuthentication: { plural: 'networkauthentications', versions: ['v1alpha1'] },
  HTTPLocalRateLimitPolicy: { plural: 'httplocalratelimitpolicies', versions: ['v1alpha1'] },
};

type ByName = Map<string, CustomObject>;

/** Where routes of Servers are kept. */
type ServerRoutes = Pick<RouteIndex, 'ofServers' | 'onServerRoutes'>;
const NO_ROUTES: ServerRoutes = { ofServers: () => [], onServerRoutes: () => {} };

/** All objects that say who may talk to a pod, by kind and namespace. As large as the cluster has of them. */
export class PolicyStore implements PolicyObjects {
  readonly #objects = new Map<PolicyKind, Map<string, ByName>>(POLICY_KINDS.map((kind) => [kind, new Map()]));
  readonly #listeners: ((namespace: string) => void)[] = [];
  readonly #memos = new Map<string, Map<string, unknown>>(); // by namespace; as large as what somebody asked for
  readonly #routes: ServerRoutes;

  /** @param routes  of the same cluster; absent: there are none */
  constructor(routes: ServerRoutes = NO_ROUTES) {
    this.#routes = routes;
    routes.onServerRoutes((namespace) => this.#changed(namespace));
  }

  /** What informers should keep here. */
  get kinds(): readonly OptionalKind[] {
    return POLICY_KINDS.map((kind) => ({
      group: 'policy.linkerd.io',
      kind,
      ...KINDS[kind],
      index: {
        apply: (object) => this.#apply(kind, object),
        delete: (namespace, name) => this.#delete(kind, namespace, name),
        reset: (live) => this.#reset(kind, live),
      },
    }));
  }

  list(kind: PolicyKind, namespace: string): readonly CustomObject[] {
    return [...(this.#objects.get(kind)?.get(namespace)?.values() ?? [])];
  }

  /** Objects of every kind, of all namespaces. */
  all(): readonly CustomObject[] {
    return [...this.#objects.values()].flatMap((byNamespace) =>
      [...byNamespace.values()].flatMap((byName) => [...byName.values()]),
    );
  }

  /** `namespace/name` of every object of a kind. */
  keys(kind: PolicyKind): readonly string[] {
    const byNamespace = [...(this.#objects.get(kind) ?? [])];
    return byNamespace.flatMap(([namespace, byName]) => [...byName.keys()].map((name) => `${namespace}/${name}`));
  }

  get(kind: PolicyKind, namespace: string, name: string): CustomObject | undefined {
    return this.#objects.get(kind)?.get(namespace)?.get(name);
  }

  routes(namespace: string): readonly CustomObject[] {
    return this.#routes.ofServers(namespace);
  }

  memo<T>(namespace: string, key: string, compute: () => T): T {
    let memo = this.#memos.get(namespace);
    if (memo === undefined) {
      memo = new Map();
      this.#memos.set(namespace, memo);
    }
    if (!memo.has(key)) memo.set(key, compute());
    return memo.get(key) as T;
  }

  /** Told of each namespace in which something may have changed. Listeners must not throw; they stay as long as the store. */
  onChange(listener: (namespace: string) => void): void {
    this.#listeners.push(listener);
  }

  #apply(kind: PolicyKind, object: CustomObject): void {
    const namespaces = this.#objects.get(kind);
    let byName = namespaces?.get(object.namespace);
    if (byName === undefined) {
      byName = new Map();
      namespaces?.set(object.namespace, byName);
    }
    if (object.resourceVersion !== '' && byName.get(object.name)?.resourceVersion === object.resourceVersion) return;
    byName.set(object.name, object);
    this.#notify(kind, object.namespace);
  }

  #delete(kind: PolicyKind, namespace: string, name: string): void {
    const namespaces = this.#objects.get(kind);
    const byName = namespaces?.get(namespace);
    if (byName === undefined || !byName.delete(name)) return;
    if (byName.size === 0) namespaces?.delete(namespace);
    this.#notify(kind, namespace);
  }

  #reset(kind: PolicyKind, live: readonly CustomObject[]): void {
    const kept = new Set(live.map(({ namespace, name }) => `${namespace}/${name}`));
    const known = [...(this.#objects.get(kind)?.values() ?? [])].flatMap((byName) => [...byName.values()]);
    for (const { namespace, name } of known) {
      if (!kept.has(`${namespace}/${name}`)) this.#delete(kind, namespace, name);
    }
    for (const object of live) this.#apply(kind, object);
  }

  #notify(kind: PolicyKind, namespace: string): void {
    const isReferenced = kind === 'MeshTLSAuthentication' || kind === 'NetworkAuthentication';
    const affected = new Set([namespace, ...(isReferenced ? this.#referring(namespace) : [])]);
    for (const one of affected) this.#changed(one);
  }

  #changed(namespace: string): void {
    this.#memos.delete(namespace);
    for (const listener of this.#listeners) listener(namespace);
  }

  /** Namespaces with policies that use an authentication of this one. */
  #referring(namespace: string): readonly string[] {
    const policies = [...(this.#objects.get('AuthorizationPolicy') ?? [])];
    const refersHere = ({ spec }: CustomObject): boolean =>
      asList(spec['requiredAuthenticationRefs']).some((ref) => asObject(ref)['namespace'] === namespace);
    return policies.filter(([, byName]) => [...byName.values()].some(refersHere)).map(([name]) => name);
  }
}
