import type { JsonObject } from '../object.ts';
import { modelOfKind } from '../objects/builtin-schema.ts';
import { asObject, field } from '../objects/json.ts';
import type { Registry, ResourceType } from '../registry.ts';
import { parseAccept } from './accept.ts';
import type { Document } from './document.ts';
import { digest, matchesETag } from './document.ts';
import { builtinSchemaNames, customSchemaName, modelsIn } from './openapi-names.ts';
import { groupVersionPath, resourcePaths } from './openapi-paths.ts';
import { modelSchemaDocument, scalarSchemas, schemaReference } from './openapi-schema.ts';

const ROOT = '/openapi/v3';
const YEAR_SECONDS = 31_536_000;
const OBJECT_META = 'V1ObjectMeta';

type Built = { readonly body: string; readonly hash: string };

/** One group-version and all resources served in it. */
type GroupVersion = { readonly path: string; readonly types: readonly ResourceType[] };

/** Answers /openapi/v3 and the documents below it. Documents are made when first asked for and kept while their resources stay the same. */
export class OpenApi {
  readonly #registry: Registry;
  #revision = -1;
  #groupVersions = new Map<string, GroupVersion>();
  #built = new Map<string, Built & { readonly types: readonly ResourceType[] }>(); // one per served group-version
  #names: ReadonlyMap<string, string> | undefined;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** @returns undefined for paths that are none of ours or name a group-version that is not served */
  answer(
    path: string,
    query: URLSearchParams,
    headers: { readonly 'if-none-match'?: string | undefined; readonly accept?: string | undefined },
  ): Document | undefined {
    if (path === '/openapi/v2') return emptyVersion2(headers.accept);
    if (path === ROOT || path === `${ROOT}/`) return this.#index(headers['if-none-match']);
    if (!path.startsWith(`${ROOT}/`)) return undefined;
    const groupVersion = this.#current().get(path.slice(ROOT.length + 1));
    if (groupVersion === undefined) return undefined;
    const built = this.#document(groupVersion);
    const wanted = query.get('hash');
    if (wanted !== null && wanted !== built.hash) {
      const headers = { Location: `${path}?hash=${built.hash}`, 'Cache-Control': 'no-cache' };
      return { status: 301, headers, body: '' };
    }
    return cacheable(built, headers['if-none-match'], wanted !== null);
  }

  #index(ifNoneMatch: string | undefined): Document {
    const paths: Record<string, JsonObject> = {};
    for (const groupVersion of this.#current().values()) {
      const { hash } = this.#document(groupVersion);
      paths[groupVersion.path] = { serverRelativeURL: `${ROOT}/${groupVersion.path}?hash=${hash}` };
    }
    const body = JSON.stringify({ paths });
    return cacheable({ body, hash: digest(body) }, ifNoneMatch, false);
  }

  #current(): ReadonlyMap<string, GroupVersion> {
    if (this.#revision === this.#registry.revision) return this.#groupVersions;
    const byPath = Map.groupBy(this.#registry.all(), (type) => groupVersionPath(type).slice(1));
    this.#groupVersions = new Map([...byPath].map(([path, types]) => [path, { path, types }]));
    for (const path of this.#built.keys()) if (!this.#groupVersions.has(path)) this.#built.delete(path);
    this.#revision = this.#registry.revision;
    return this.#groupVersions;
  }

  /** Types are replaced, never changed, so the same types mean the same document. */
  #document({ path, types }: GroupVersion): Built {
    const known = this.#built.get(path);
    const isSame = known?.types.length === types.length && known.types.every((type, index) => type === types[index]);
    if (known !== undefined && isSame) return known;
    this.#names ??= builtinSchemaNames();
    const body = JSON.stringify(documentOf(types, this.#names));
    const built = { body, hash: digest(body), types };
    this.#built.set(path, built);
    return built;
  }
}

function cacheable({ body, hash }: Built, ifNoneMatch: string | undefined, isImmutable: boolean): Document {
  const etag = `"${hash}"`;
  const lifetime = isImmutable ? `public, immutable, max-age=${YEAR_SECONDS}` : 'no-cache, private';
  const headers = { ETag: etag, Vary: 'Accept', 'Cache-Control': lifetime };
  if (matchesETag(ifNoneMatch, etag)) return { status: 304, headers, body: '' };
  return { status: 200, headers: { ...headers, 'Content-Type': 'application/json' }, body };
}

const VERSION2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/**
 * Version 2 without any path or schema. kubectl asks for it about kinds that version 3 does not list; not finding them there
 * either, it goes on to say that the definition must be installed first, instead of that the schema cannot be had.
 */
function emptyVersion2(accept: string | undefined): Document {
  if (!parseAccept(accept).some(({ type }) => type.endsWith('+protobuf'))) {
    const empty = { swagger: '2.0', info: { title: 'Kubernetes', version: 'v1.32' }, paths: {}, definitions: {} };
    return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(empty) };
  }
  // gnostic openapi_v2.Document {1: swagger, 2: info {1: title, 2: version}, 8: paths, 9: definitions}; all of it is ASCII
  const info = '\x0a\x0aKubernetes\x12\x05v1.32';
  const body = `\x0a\x032.0\x12${String.fromCharCode(info.length)}${info}\x42\x00\x4a\x00`;
  return { status: 200, headers: { 'Content-Type': VERSION2_PROTOBUF }, body };
}

function documentOf(types: readonly ResourceType[], names: ReadonlyMap<string, string>): JsonObject {
  const paths: Record<string, JsonObject> = {};
  const schemas: Record<string, JsonObject> = {};
  const models = new Set<string>();
  const kinds = new Map<string, ResourceType>(); // schema name -> resource whose kind it is
  for (const type of types) {
    const name = schemaNameOf(type, names);
    Object.assign(paths, resourcePaths(type, name));
    kinds.set(name, type);
    if (type.custom !== undefined) schemas[name] = customSchema(type, names);
    modelsIn({ kind: 'model', model: modelOf(type) ?? OBJECT_META }, models);
  }
  for (const model of models) schemas[names.get(model) ?? model] = modelSchemaDocument(model, names);
  for (const [name, { group, version, kind }] of kinds) {
    schemas[name] = { ...schemas[name], 'x-kubernetes-group-version-kind': [{ group, version, kind }] };
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths,
    components: { schemas: { ...scalarSchemas, ...schemas } },
  };
}

function modelOf(type: ResourceType): string | undefined {
  return type.custom === undefined ? modelOfKind(type.group, type.version, type.kind) : undefined;
}

function schemaNameOf(type: ResourceType, names: ReadonlyMap<string, string>): string {
  const model = modelOf(type);
  const name = model === undefined ? undefined : names.get(model);
  return name ?? customSchemaName(type.group, type.version, type.kind);
}

/** The schema of a definition's version, with the fields every object has. */
function customSchema(type: ResourceType, names: ReadonlyMap<string, string>): JsonObject {
  const schema = type.custom?.schema ?? {};
  const properties = asObject(field(schema, 'properties'));
  return {
    ...schema,
    type: 'object',
    properties: {
      ...properties,
      apiVersion: { description: 'Group and version of this object.', type: 'string' },
      kind: { description: 'Kind of this object.', type: 'string' },
      metadata: {
        description: "Standard object's metadata.",
        allOf: [schemaReference(names.get(OBJECT_META) ?? OBJECT_META)],
      },
    },
  };
}
