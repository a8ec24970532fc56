import type { KubeObject, NewObject } from './object.ts';

export type PatchType = 'json' | 'merge' | 'strategic';

export type DeleteOptions = {
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  uid?: string; // precondition: 409 when the object has another uid
};

export type TokenSpec = {
  audiences: string[]; // empty: the API server's own audience
  expirationSeconds: number;
  pod?: { name: string; uid: string }; // the token dies with this pod
};

export type WatchHandler = {
  apply(object: KubeObject, old?: KubeObject): void;
  delete(object: KubeObject): void;
};

/**
 * The API as controllers and the node inside the server's own process use it, with the rights of `system:masters`.
 *
 * A resource is written as plural[.group]: `pods`, `deployments.apps`, `endpointslices.discovery.k8s.io`. `namespace` is
 * undefined for cluster-scoped resources. Failures are `StatusError`s, the same that a client would get over HTTP.
 */
export interface LocalClient {
  /** From the store, synchronously. Frozen in spirit: never mutate what is returned. */
  get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined;
  list(resource: string, namespace?: string): readonly KubeObject[];
  /** The full chain: defaulting, admission webhooks, validation. The namespace is the object's. */
  create(resource: string, object: NewObject): Promise<KubeObject>;
  /** 409 when `metadata.resourceVersion` is there and stale. */
  update(resource: string, object: KubeObject, subresource?: 'status' | 'scale' | 'finalize'): Promise<KubeObject>;
  patch(
    resource: string,
    namespace: string | undefined,
    name: string,
    type: PatchType,
    body: unknown,
    subresource?: string,
  ): Promise<KubeObject>;
  delete(resource: string, namespace: string | undefined, name: string, options?: DeleteOptions): Promise<void>;
  /** Replays what exists as `apply`, then every change, in commit order, synchronously after each commit. */
  watch(resource: string, handler: WatchHandler): Disposable;
  createToken(
    namespace: string,
    serviceAccount: string,
    spec: TokenSpec,
  ): Promise<{ token: string; expirationTimestamp: string }>;
  /** Best effort: never throws, repeated events are counted on one object. */
  event(involved: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string, source: string): void;
}
