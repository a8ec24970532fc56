import type { JsonObject } from './object.ts';
import { builtinResources } from './builtin-resources.ts';

/** A path below one object. Where the kind lives in another group than the resource, group and version say so. */
export type Subresource = {
  readonly name: string; // `status`, `scale`, `log`, ...
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
};

/** Source: apiextensions.k8s.io/v1 `CustomResourceColumnDefinition`. */
export type PrinterColumn = {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
};

/** What only custom resources have, taken from one version of a CustomResourceDefinition. */
export type CustomResource = {
  readonly definition: string; // name of the CustomResourceDefinition
  readonly storageVersion: string;
  readonly storageSchema: JsonObject; // of that version
  readonly schema: JsonObject; // openAPIV3Schema, structural
  readonly printerColumns: readonly PrinterColumn[];
  readonly selectableFields: readonly string[]; // JSON paths such as `.spec.color`
  readonly scale?: {
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath?: string;
  };
  readonly warning?: string; // shown to whoever uses a deprecated version
};

/** One resource in one version, as discovery shows it. Names are those of `APIResource`. */
export type ResourceType = {
  readonly group: string; // '' is the core group
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  readonly hasStatus: boolean;
  readonly hasScale: boolean;
  readonly hasGeneration: boolean;
  readonly subresources: readonly Subresource[]; // status and scale are among them
  readonly verbs: readonly string[]; // only `create`: a review, answered and never stored
  readonly custom?: CustomResource;
};

/** `apps/v1`, or `v1` in the core group: what stands in the field apiVersion. */
export function apiVersionOf(type: { readonly group: string; readonly version: string }): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** `deployments.apps`, or `pods` in the core group: the name of the store, the same for all versions. */
export function resourceKey(type: { readonly group: string; readonly plural: string }): string {
  return type.group === '' ? type.plural : `${type.plural}.${type.group}`;
}

/** Review kinds are computed from the request and leave nothing behind. */
export function isStored(type: ResourceType): boolean {
  return type.verbs.includes('get');
}

/** All resources that are served now: the built-in table and what CustomResourceDefinitions add. */
export class Registry {
  #types: readonly ResourceType[] = builtinResources;
  #custom = new Map<string, readonly ResourceType[]>();
  #byPath = new Map<string, ResourceType>();
  #byKey = new Map<string, ResourceType>();
  #revision = 0;

  constructor() {
    this.#index();
  }

  /** Grows with every change of what is served; for ETags and caches of derived documents. */
  get revision(): number {
    return this.#revision;
  }

  /** In the order discovery shows them: group by group, preferred version of a group first. */
  all(): readonly ResourceType[] {
    return this.#types;
  }

  find(group: string, version: string, plural: string): ResourceType | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** By `plural[.group]`, in the group's preferred version. */
  byKey(key: string): ResourceType | undefined {
    return this.#byKey.get(key);
  }

  findKind(group: string, version: string, kind: string): ResourceType | undefined {
    return this.#types.find((type) => type.group === group && type.version === version && type.kind === kind);
  }

  hasGroup(group: string): boolean {
    return this.#types.some((type) => type.group === group);
  }

  hasVersion(group: string, version: string): boolean {
    return this.#types.some((type) => type.group === group && type.version === version);
  }

  /** Serves `types` (all versions of one definition) in place of what the definition served before. */
  setCustom(definition: string, types: readonly ResourceType[]): void {
    if (types.length === 0) this.#custom.delete(definition);
    else this.#custom.set(definition, types);
    this.#types = [...builtinResources, ...[...this.#custom.values()].flat()];
    this.#revision += 1;
    this.#index();
  }

  #index(): void {
    this.#byPath = new Map(this.#types.map((type) => [`${type.group}/${type.version}/${type.plural}`, type]));
    this.#byKey = new Map();
    for (const type of this.#types) {
      const key = resourceKey(type);
      if (!this.#byKey.has(key)) this.#byKey.set(key, type);
    }
  }
}
