/** What an informer drives. All three are synchronous, idempotent and never throw on bad input. */
export interface ResourceIndex<R> {
  apply(resource: R): void;
  /** @param namespace  empty for kinds without namespaces */
  delete(namespace: string, name: string): void;
  /** Replace the world after a (re)list; anything absent from `live` is gone. */
  reset(live: readonly R[]): void;
}

/** A kind of object that can be listed and watched, reduced to the fields that somebody reads. */
export type ResourceKind<R> = {
  readonly plural: string; // for logs and metrics
  readonly resource?: string; // last part of the path; default: `plural`
  readonly apiPath: string; // `/api/v1` or `/apis/<group>/<version>`
  readonly isNamespaced: boolean;
  /** Reads one object. Missing fields become absent or empty; nothing when it has no name. */
  readonly parse: (object: unknown) => R | undefined;
};
