import { asList, asObject, asText } from '#k8s/json.ts';
import { parseMetadata, type Metadata } from '#k8s/resources/metadata.ts';
import type { ResourceIndex, ResourceKind } from '#k8s/resource-index.ts';
import { INJECT_ANNOTATION, type NamespaceFacts } from './decision.ts';

/** A namespace, and since when it has said what it says about injection. */
export type Namespace = Metadata & { readonly injectSinceMs: number };

export const NAMESPACES: ResourceKind<Namespace> = {
  plural: 'namespaces',
  apiPath: '/api/v1',
  isNamespaced: false,
  parse(object) {
    const metadata = parseMetadata(object);
    return metadata === undefined ? undefined : { ...metadata, injectSinceMs: injectSinceMs(object) };
  },
};

/** Says nothing. */
export const UNKNOWN_NAMESPACE: Namespace = {
  namespace: '',
  name: '',
  uid: '',
  labels: {},
  annotations: {},
  injectSinceMs: Infinity,
};

/** What every namespace says: an admission request does not carry it. */
export class Namespaces implements ResourceIndex<Namespace> {
  #byName = new Map<string, Namespace>();

  apply(namespace: Namespace): void {
    this.#byName.set(namespace.name, namespace);
  }

  delete(_namespace: string, name: string): void {
    this.#byName.delete(name);
  }

  reset(live: readonly Namespace[]): void {
    this.#byName = new Map(live.map((namespace) => [namespace.name, namespace]));
  }

  find(name: string): Namespace | undefined {
    return this.#byName.get(name);
  }

  of(name: string): NamespaceFacts & Pick<Namespace, 'injectSinceMs'> {
    return this.find(name) ?? UNKNOWN_NAMESPACE;
  }
}

/**
 * When the annotation was last written, as the API server remembers for whoever owns the field; a later change of another
 * field by the same owner counts too. Where nobody owns it, when the namespace was made.
 */
function injectSinceMs(object: unknown): number {
  const metadata = asObject(asObject(object)['metadata']);
  const times = asList(metadata['managedFields']).flatMap((entry) => {
    const { fieldsV1, time } = asObject(entry);
    const annotations = asObject(asObject(asObject(fieldsV1)['f:metadata'])['f:annotations']);
    return `f:${INJECT_ANNOTATION}` in annotations ? [Date.parse(asText(time) ?? '')] : [];
  });
  const since = Math.max(Date.parse(asText(metadata['creationTimestamp']) ?? ''), ...times);
  return Number.isNaN(since) ? Infinity : since;
}
