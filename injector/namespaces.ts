import { parseMetadata, type Metadata } from '#k8s/resources/metadata.ts';
import type { ResourceIndex, ResourceKind } from '#k8s/resource-index.ts';

export const NAMESPACES: ResourceKind<Metadata> = {
  plural: 'namespaces',
  apiPath: '/api/v1',
  isNamespaced: false,
  parse: parseMetadata,
};

/** The annotations of every namespace: an admission request does not carry them. */
export class NamespaceAnnotations implements ResourceIndex<Metadata> {
  #byName = new Map<string, Readonly<Record<string, string>>>();

  apply(namespace: Metadata): void {
    this.#byName.set(namespace.name, namespace.annotations);
  }

  delete(_namespace: string, name: string): void {
    this.#byName.delete(name);
  }

  reset(live: readonly Metadata[]): void {
    this.#byName = new Map(live.map(({ name, annotations }) => [name, annotations]));
  }

  of(name: string): Readonly<Record<string, string>> {
    return this.#byName.get(name) ?? {};
  }
}
