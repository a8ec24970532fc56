import type { Registry, ResourceType } from './registry.ts';
import { badRequest, unknownResource } from './status-error.ts';

/** What a path of the API means. `subpath` is what follows the subresource, without a leading slash. */
export type ResourceTarget = {
  readonly kind: 'resource';
  readonly type: ResourceType;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
};

/** A path outside the resources: discovery, health, OpenAPI. */
export type PathTarget = { readonly kind: 'path'; readonly path: string };
export type RequestTarget = ResourceTarget | PathTarget;

const NAMESPACE_SUBRESOURCES = ['status', 'finalize'];

/**
 * Reads the path of a request, without its query.
 *
 * @throws StatusError 404 for a resource that a known group version does not have, 400 for segments that cannot be names
 */
export function parseTarget(registry: Registry, path: string): RequestTarget {
  const segments = path.split('/').filter((segment) => segment !== '');
  const isCore = segments[0] === 'api';
  if (!isCore && segments[0] !== 'apis') return { kind: 'path', path };
  const [group, version, rest] = isCore
    ? (['', segments[1], segments.slice(2)] as const)
    : ([segments[1] ?? '', segments[2], segments.slice(3)] as const);
  if (version === undefined || rest.length === 0) return { kind: 'path', path };
  if (!registry.hasVersion(group, version)) return { kind: 'path', path };
  return parseResource(registry, group, version, rest.map(decodeSegment));
}

function parseResource(
  registry: Registry,
  group: string,
  version: string,
  segments: readonly string[],
): ResourceTarget {
  const [first = '', second, third, ...more] = segments;
  const isInNamespace =
    first === 'namespaces' && second !== undefined && third !== undefined && !isOfNamespace(group, third);
  const [namespace, plural, rest] = isInNamespace
    ? ([second, third, more] as const)
    : ([undefined, first, segments.slice(1)] as const);
  const type = registry.find(group, version, plural);
  if (type === undefined || rest.length > 2 || (isInNamespace && !type.isNamespaced)) throw unknownResource();
  const [name, subresource] = rest;
  // A namespaced object has no path without its namespace; only lists do.
  if (type.isNamespaced && !isInNamespace && name !== undefined) throw unknownResource();
  if (subresource !== undefined && !type.subresources.some((known) => known.name === subresource)) {
    throw unknownResource();
  }
  return {
    kind: 'resource',
    type,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

function isOfNamespace(group: string, segment: string): boolean {
  return group === '' && NAMESPACE_SUBRESOURCES.includes(segment);
}

function decodeSegment(segment: string): string {
  let name;
  try {
    name = decodeURIComponent(segment);
  } catch (error) {
    throw badRequest(`invalid URL escape in ${JSON.stringify(segment)}`, error);
  }
  if (name === '.' || name === '..') throw badRequest(`invalid name ${JSON.stringify(name)}: may not be '${name}'`);
  const illegal = /[/%\0]/.exec(name);
  if (illegal !== null) throw badRequest(`invalid name ${JSON.stringify(name)}: may not contain '${illegal[0]}'`);
  return name;
}

/** The verb that authorization judges. A collection is a path without a name. Source: `RequestInfo` of apiserver. */
export function verbOf(method: string, target: ResourceTarget, isWatch: boolean): string | undefined {
  const isCollection = target.name === undefined;
  switch (method) {
    case 'POST':
      return 'create';
    case 'GET':
    case 'HEAD':
      if (isWatch && isCollection) return 'watch';
      return isCollection ? 'list' : 'get';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return isCollection ? 'deletecollection' : 'delete';
    default:
      return undefined;
  }
}
