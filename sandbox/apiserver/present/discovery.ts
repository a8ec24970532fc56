import type { JsonObject } from '../object.ts';
import type { Registry, ResourceType } from '../registry.ts';
import { apiVersionOf } from '../registry.ts';
import { notAcceptable } from '../status-error.ts';
import { acceptsJson, parseAccept } from './accept.ts';
import type { Document } from './document.ts';
import { digest, matchesETag } from './document.ts';
import { compareVersions } from './version-order.ts';

/** Headers that decide about the form of a discovery answer. */
export type DiscoveryHeaders = { readonly accept?: string | undefined; readonly 'if-none-match'?: string | undefined };

type Form = 'plain' | 'v2' | 'v2beta1';
type Built = { readonly body: string; readonly etag: string };

/** Answers /api, /apis and what lies below them up to the group-version. One per server; documents are kept until the registry changes. */
export class Discovery {
  readonly #registry: Registry;
  readonly #serverAddress: () => string;
  #revision = -1;
  #built = new Map<string, Built | undefined>(); // at most three forms per served group-version

  /** @param serverAddress host:port, for clients of the oldest discovery */
  constructor(registry: Registry, serverAddress: () => string) {
    this.#registry = registry;
    this.#serverAddress = serverAddress;
  }

  /** @returns undefined where nothing is served; the caller then answers like for any unknown path */
  answer(path: string, headers: DiscoveryHeaders): Document | undefined {
    const target = parsePath(path);
    if (target === undefined || !this.#exists(target)) return undefined;
    const isRoot = target.group === undefined;
    const form = isRoot ? discoveryForm(headers.accept) : plainForm(headers.accept);
    const built = this.#build(path, target, form);
    const type = form === 'plain' ? '' : `;g=apidiscovery.k8s.io;v=${form};as=APIGroupDiscoveryList`;
    const common = { ...(isRoot ? { Vary: 'Accept' } : {}), 'Cache-Control': 'no-cache, private' };
    if (form === 'plain') {
      return { status: 200, headers: { ...common, 'Content-Type': 'application/json' }, body: built.body };
    }
    const aggregated = { ...common, 'Cache-Control': 'public', ETag: built.etag };
    if (matchesETag(headers['if-none-match'], built.etag)) return { status: 304, headers: aggregated, body: '' };
    return { status: 200, headers: { ...aggregated, 'Content-Type': `application/json${type}` }, body: built.body };
  }

  #exists(target: Target): boolean {
    if (target.group === undefined) return true;
    if (target.version === undefined) return this.#registry.hasGroup(target.group);
    return this.#registry.hasVersion(target.group, target.version);
  }

  #build(path: string, target: Target, form: Form): Built {
    if (this.#revision !== this.#registry.revision) {
      this.#built = new Map();
      this.#revision = this.#registry.revision;
    }
    const key = `${form} ${path}`;
    let built = this.#built.get(key);
    if (built === undefined) {
      const body = JSON.stringify(this.#document(target, form));
      built = { body, etag: `"${digest(body)}"` };
      this.#built.set(key, built);
    }
    return built;
  }

  #document(target: Target, form: Form): JsonObject {
    const types = this.#registry.all();
    if (target.group === undefined) {
      if (form !== 'plain') return aggregatedDiscovery(types, target.isCore, form);
      return target.isCore ? coreVersions(this.#serverAddress()) : groupList(types);
    }
    if (target.version === undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(types, target.group) };
    return resourceList(types, target.group, target.version);
  }
}

type Target = { readonly isCore: boolean; readonly group?: string; readonly version?: string };

function parsePath(path: string): Target | undefined {
  const [empty, root, ...rest] = path.replace(/\/$/, '').split('/');
  if (empty !== '' || rest.includes('')) return undefined;
  const [first, second] = rest;
  if (root === 'api' && rest.length <= 1) {
    return first === undefined ? { isCore: true } : { isCore: true, group: '', version: first };
  }
  if (root !== 'apis' || rest.length > 2) return undefined;
  if (first === undefined) return { isCore: false };
  return { isCore: false, group: first, ...(second === undefined ? {} : { version: second }) };
}

function discoveryForm(accept: string | undefined): Form {
  for (const { type, parameters } of parseAccept(accept)) {
    if (!acceptsJson(type)) continue;
    if (!parameters.has('as')) return 'plain';
    const version = parameters.get('v');
    const isAggregated =
      parameters.get('g') === 'apidiscovery.k8s.io' && parameters.get('as') === 'APIGroupDiscoveryList';
    if (isAggregated && (version === 'v2' || version === 'v2beta1')) return version;
  }
  throw notAcceptable(['application/json']);
}

function plainForm(accept: string | undefined): Form {
  if (parseAccept(accept).some((clause) => acceptsJson(clause.type))) return 'plain';
  throw notAcceptable(['application/json']);
}

/** Group -> version -> resources, groups in the registry's order, versions by preference. The core group is ''. */
export function byGroupVersion(types: readonly ResourceType[]): Map<string, Map<string, ResourceType[]>> {
  const groups = new Map<string, Map<string, ResourceType[]>>();
  for (const type of types) {
    const versions = groups.get(type.group) ?? new Map<string, ResourceType[]>();
    const resources = versions.get(type.version) ?? [];
    resources.push(type);
    groups.set(type.group, versions.set(type.version, resources));
  }
  for (const [group, versions] of groups) {
    groups.set(group, new Map([...versions].sort(([a], [b]) => compareVersions(a, b))));
  }
  return groups;
}

/** Source: apidiscovery.k8s.io `APIGroupDiscoveryList`. `isCore` chooses between what /api and /apis show. */
function aggregatedDiscovery(types: readonly ResourceType[], isCore: boolean, form: 'v2' | 'v2beta1'): JsonObject {
  const groups = [...byGroupVersion(types)].filter(([group]) => (group === '') === isCore);
  const items = groups.map(([group, versions]) => ({
    metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
    versions: [...versions].map(([version, resources]) => ({
      version,
      resources: resources.map(aggregatedResource),
      freshness: 'Current',
    })),
  }));
  return { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${form}`, metadata: {}, items };
}

function aggregatedResource(type: ResourceType): JsonObject {
  const { group, version, kind, subresources } = type;
  return {
    resource: type.plural,
    responseKind: { group, version, kind },
    scope: type.isNamespaced ? 'Namespaced' : 'Cluster',
    singularResource: type.singular,
    verbs: type.verbs,
    ...(type.shortNames.length > 0 ? { shortNames: type.shortNames } : {}),
    ...(type.categories.length > 0 ? { categories: type.categories } : {}),
    ...(subresources.length > 0
      ? {
          subresources: subresources.map((sub) => ({
            subresource: sub.name,
            responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
            verbs: sub.verbs,
          })),
        }
      : {}),
  };
}

function coreVersions(serverAddress: string): JsonObject {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

function groupList(types: readonly ResourceType[]): JsonObject {
  const named = [...byGroupVersion(types).keys()].filter((group) => group !== '');
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map((group) => groupEntry(types, group)) };
}

function groupEntry(types: readonly ResourceType[], group: string): JsonObject {
  const versions = [...(byGroupVersion(types).get(group)?.keys() ?? [])];
  const entries = versions.map((version) => ({ groupVersion: apiVersionOf({ group, version }), version }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

/** Source: meta.k8s.io/v1 `APIResourceList`. */
function resourceList(types: readonly ResourceType[], group: string, version: string): JsonObject {
  const served = types.filter((type) => type.group === group && type.version === version);
  return {
    kind: 'APIResourceList',
    ...(group === '' ? {} : { apiVersion: 'v1' }),
    groupVersion: apiVersionOf({ group, version }),
    resources: served.flatMap((type) => [legacyResource(type), ...legacySubresources(type)]),
  };
}

function legacyResource(type: ResourceType): JsonObject {
  return {
    name: type.plural,
    singularName: type.singular,
    namespaced: type.isNamespaced,
    kind: type.kind,
    verbs: type.verbs,
    ...(type.shortNames.length > 0 ? { shortNames: type.shortNames } : {}),
    ...(type.categories.length > 0 ? { categories: type.categories } : {}),
  };
}

function legacySubresources(type: ResourceType): JsonObject[] {
  return type.subresources.map((sub) => ({
    name: `${type.plural}/${sub.name}`,
    singularName: '',
    namespaced: type.isNamespaced,
    ...(sub.group === type.group && sub.version === type.version ? {} : { group: sub.group, version: sub.version }),
    kind: sub.kind,
    verbs: sub.verbs,
  }));
}
