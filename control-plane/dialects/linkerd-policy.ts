import { asList, asObject, asText, isObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { containsNetwork, parseNetwork, type Network } from '#model/address.ts';
import type { NetworkMatch } from '#model/authorization.ts';
import { isServerRouteKind } from './route-kinds.ts';
import { Problems, type Problem } from './problem.ts';
import { readLabelSelector, type LabelSelector } from './label-selector.ts';

/** What these objects mean depends on, besides themselves. */
export type PolicyContext = {
  readonly clusterNetworks: readonly Network[];
  readonly accessPolicies: readonly string[]; // names that `Server.spec.accessPolicy` may have
  readonly identitySuffix: string; // what follows `<service account>.<namespace>.` in an identity
};

export type ServerProtocol = 'detect' | 'http1' | 'http2' | 'grpc' | 'opaque' | 'tls';

/** A set of pods, or of external workloads, of the namespace and a port of theirs. */
export type ServerPolicy = {
  readonly isExternal?: true; // about external workloads, not pods
  readonly selector: LabelSelector;
  readonly port: number | string;
  readonly protocol: ServerProtocol;
  readonly accessPolicy?: string; // grants this in addition; absent grants nothing
};

export type ObjectRef = {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
};

export type AuthorizationPolicy = {
  readonly target: ObjectRef;
  readonly required: readonly ObjectRef[]; // all must hold; none: everybody
};

/** Who holds certificates of the mesh. A suffix without labels is everybody who holds one. */
export type IdentityMatch = {
  readonly names: readonly string[];
  readonly suffixes: readonly (readonly string[])[];
};

export type ServerAuthorization = {
  readonly server: { readonly name: string } | { readonly selector: LabelSelector };
  readonly networks: readonly NetworkMatch[];
  readonly client: 'unauthenticated' | 'mesh-tls' | IdentityMatch;
};

/** What an object means, and what is wrong with it. */
export type Reading<T> = {
  readonly value?: T; // absent: the object has no effect
  readonly problems: readonly Problem[];
};

const POLICY_GROUP = 'policy.linkerd.io';
const PROTOCOLS: Readonly<Record<string, ServerProtocol>> = {
  unknown: 'detect',
  'HTTP/1': 'http1',
  'HTTP/2': 'http2',
  gRPC: 'grpc',
  opaque: 'opaque',
  TLS: 'tls',
};

/**
 * Reads a Server. A wrong protocol or access policy does not open the port: the pods it selects stay selected, the protocol is
 * detected, and nothing is granted.
 */
export function readServer({ spec }: CustomObject, context: PolicyContext): Reading<ServerPolicy> {
  const problems = new Problems();
  const { podSelector, externalWorkloadSelector, port, proxyProtocol = 'unknown', accessPolicy } = spec;
  const isExternal = isObject(externalWorkloadSelector);
  if (isExternal && isObject(podSelector))
    problems.add('spec.externalWorkloadSelector', 'cannot be given beside podSelector');
  else if (!isExternal && !isObject(podSelector)) problems.add('spec.podSelector', 'is missing');
  const selector = isExternal
    ? readLabelSelector(externalWorkloadSelector, 'spec.externalWorkloadSelector', problems)
    : readLabelSelector(podSelector, 'spec.podSelector', problems);
  const isNumber = typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535;
  const isName = typeof port === 'string' && /^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(port);
  if (!isNumber && !isName)
    problems.add('spec.port', `${show(port)} is neither a port from 1 to 65535 nor the name of a container port`);
  if (problems.found.length > 0) return reading<ServerPolicy>(undefined, problems);
  const name = asText(proxyProtocol) ?? '';
  const protocol = Object.hasOwn(PROTOCOLS, name) ? PROTOCOLS[name] : undefined;
  if (protocol === undefined)
    problems.add('spec.proxyProtocol', `${show(proxyProtocol)}: use one of ${Object.keys(PROTOCOLS).join(', ')}`);
  const access = context.accessPolicies.find((name) => name === accessPolicy);
  if (accessPolicy !== undefined && access === undefined)
    problems.add('spec.accessPolicy', `${show(accessPolicy)}: use one of ${context.accessPolicies.join(', ')}`);
  return {
    value: {
      ...(isExternal && { isExternal }),
      selector,
      port: port as number | string,
      protocol: protocol ?? 'detect',
      ...(access !== undefined && { accessPolicy: access }),
    },
    problems: problems.found,
  };
}

/** Reads an AuthorizationPolicy. */
export function readAuthorizationPolicy(object: CustomObject): Reading<AuthorizationPolicy> {
  const problems = new Problems();
  const { targetRef, requiredAuthenticationRefs } = object.spec;
  const target = readRef(targetRef, 'spec.targetRef', object.namespace, problems);
  if (target !== undefined) checkTarget(target, object.namespace, problems);
  if (!Array.isArray(requiredAuthenticationRefs))
    problems.add('spec.requiredAuthenticationRefs', 'is missing; an empty list lets everybody in');
  const seen = new Map<string, string>();
  const required = asList(requiredAuthenticationRefs).flatMap((entry, index) => {
    const field = `spec.requiredAuthenticationRefs[${index}]`;
    const ref = readRef(entry, field, object.namespace, problems);
    if (ref === undefined) return [];
    const sort = authenticationSort(ref);
    const before = seen.get(sort ?? '');
    if (sort === undefined)
      problems.add(
        `${field}.kind`,
        `${qualified(ref)} is no authentication: use MeshTLSAuthentication, NetworkAuthentication or ServiceAccount`,
      );
    else if (before !== undefined)
      problems.add(field, `there is one for ${sort} already (${before}), and nobody can satisfy two of them here`);
    else seen.set(sort, field);
    return [ref];
  });
  if (target === undefined) return reading<AuthorizationPolicy>(undefined, problems);
  return reading({ target, required }, problems);
}

function checkTarget(target: ObjectRef, namespace: string, problems: Problems): void {
  const kind = qualified(target);
  if (kind === 'Namespace') {
    if (target.name !== namespace)
      problems.add('spec.targetRef.name', `"${target.name}" is another namespace than the policy's, "${namespace}"`);
  } else if (kind !== `Server.${POLICY_GROUP}` && !isRouteTarget(target)) {
    problems.add(
      'spec.targetRef.kind',
      `${kind} cannot be a target: use Server.${POLICY_GROUP}, Namespace, or an HTTPRoute or GRPCRoute`,
    );
  }
  if (target.namespace !== namespace)
    problems.add('spec.targetRef.namespace', `a target is in the policy's own namespace, "${namespace}"`);
}

/** Whether the target is a route: the policy lets in only requests that match it. */
export function isRouteTarget(target: ObjectRef): boolean {
  return isServerRouteKind(target);
}

function authenticationSort(ref: ObjectRef): 'identities' | 'networks' | undefined {
  switch (qualified(ref)) {
    case `MeshTLSAuthentication.${POLICY_GROUP}`:
    case 'ServiceAccount':
      return 'identities';
    case `NetworkAuthentication.${POLICY_GROUP}`:
      return 'networks';
    default:
      return undefined;
  }
}

/** Kind and group as `kubectl` writes them: `Server.policy.linkerd.io`, `Namespace`. */
export function qualified({ group, kind }: ObjectRef): string {
  return group === '' || group === 'core' ? kind : `${kind}.${group}`;
}

/** @param namespace  of a reference that names none */
export function readRef(value: unknown, field: string, namespace: string, problems: Problems): ObjectRef | undefined {
  const fields = asObject(value);
  const kind = asText(fields['kind']) ?? '';
  const name = asText(fields['name']) ?? '';
  if (!isObject(value)) problems.add(field, 'is missing');
  else if (kind === '') problems.add(`${field}.kind`, 'is missing');
  else if (name === '') problems.add(`${field}.name`, 'is missing');
  if (kind === '' || name === '') return undefined;
  return { group: asText(fields['group']) ?? '', kind, name, namespace: asText(fields['namespace']) ?? namespace };
}

/** Reads a MeshTLSAuthentication. */
export function readMeshTlsAuthentication(object: CustomObject, context: PolicyContext): Reading<IdentityMatch> {
  const problems = new Problems();
  const identities = asList(object.spec['identities']);
  const refs = asList(object.spec['identityRefs']);
  if (identities.length === 0 && refs.length === 0)
    problems.add('spec.identities', 'names nobody: give identities or identityRefs');
  else if (identities.length > 0 && refs.length > 0)
    problems.add('spec.identityRefs', 'cannot be given beside identities');
  const byName = readIdentities(identities, 'spec.identities', problems);
  const byRef = refs.flatMap((entry, index) =>
    readIdentityRef(entry, `spec.identityRefs[${index}]`, object.namespace, context, problems),
  );
  return reading(merge([byName, ...byRef]), problems);
}

function readIdentityRef(
  value: unknown,
  field: string,
  namespace: string,
  { identitySuffix }: PolicyContext,
  problems: Problems,
): readonly IdentityMatch[] {
  const fields = asObject(value);
  const name = asText(fields['name']);
  const inNamespace = asText(fields['namespace']);
  const kind = qualified({
    group: asText(fields['group']) ?? '',
    kind: asText(fields['kind']) ?? '',
    name: '',
    namespace: '',
  });
  if (kind === 'ServiceAccount') {
    if (name === undefined)
      return [{ names: [], suffixes: [`${inNamespace ?? namespace}.${identitySuffix}`.split('.')] }];
    return [{ names: [`${name}.${inNamespace ?? namespace}.${identitySuffix}`], suffixes: [] }];
  }
  if (kind === 'Namespace') {
    if (inNamespace !== undefined) problems.add(`${field}.namespace`, 'a Namespace is in no namespace');
    return [{ names: [], suffixes: [`${name ?? namespace}.${identitySuffix}`.split('.')] }];
  }
  problems.add(`${field}.kind`, `"${kind}" has no identity: use ServiceAccount or Namespace`);
  return [];
}

function readIdentities(values: readonly unknown[], field: string, problems: Problems): IdentityMatch {
  return merge(
    values.map((value, index) => {
      const text = asText(value) ?? '';
      if (text === '*') return { names: [], suffixes: [[]] };
      if (text.startsWith('*.') && isDns(text.slice(2))) return { names: [], suffixes: [text.slice(2).split('.')] };
      if (!isDns(text) && !isSpiffe(text))
        problems.add(
          `${field}[${index}]`,
          `${show(value)} is no identity: use a DNS name, "*", "*." before a DNS name, or a spiffe:// URI`,
        );
      return { names: [text], suffixes: [] };
    }),
  );
}

function merge(matches: readonly IdentityMatch[]): IdentityMatch {
  return {
    names: matches.flatMap(({ names }) => names),
    suffixes: matches.flatMap(({ suffixes }) => suffixes),
  };
}

function isDns(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(text);
}

function isSpiffe(text: string): boolean {
  const [, path] = /^spiffe:\/\/[a-z0-9._-]+((?:\/[A-Za-z0-9._-]+)*)$/.exec(text) ?? [];
  return path !== undefined && !path.split('/').some((segment) => segment === '.' || segment === '..');
}

/** Reads a NetworkAuthentication. */
export function readNetworkAuthentication({ spec }: CustomObject): Reading<readonly NetworkMatch[]> {
  const problems = new Problems();
  const networks = readNetworks(spec['networks'], 'spec.networks', problems);
  if (asList(spec['networks']).length === 0) problems.add('spec.networks', 'names no network');
  return reading(networks, problems);
}

/** Reads networks with what is left out of them. @param field  of the list */
export function readNetworks(value: unknown, field: string, problems: Problems): readonly NetworkMatch[] {
  return asList(value).flatMap((entry, index) => {
    const at = `${field}[${index}]`;
    const { cidr, except } = asObject(entry);
    const network = parseNetwork(asText(cidr) ?? '');
    if (network === undefined) problems.add(`${at}.cidr`, `${show(cidr)} is not a network such as 10.0.0.0/8`);
    const holes = asList(except).flatMap((text, nth) => {
      const hole = parseNetwork(asText(text) ?? '');
      const here = `${at}.except[${nth}]`;
      if (hole === undefined) problems.add(here, `${show(text)} is not a network such as 10.1.0.0/16`);
      else if (network !== undefined && containsNetwork(hole, network))
        problems.add(here, `${show(text)} leaves nothing of ${show(cidr)}`);
      else if (network !== undefined && !containsNetwork(network, hole))
        problems.add(here, `${show(text)} is not in ${show(cidr)}`);
      return hole === undefined ? [] : [hole];
    });
    return network === undefined ? [] : [{ network, except: holes }];
  });
}

/** Reads a ServerAuthorization, the older form of an AuthorizationPolicy. */
export function readServerAuthorization(object: CustomObject, context: PolicyContext): Reading<ServerAuthorization> {
  const problems = new Problems();
  const { name, selector } = asObject(object.spec['server']);
  const serverName = asText(name);
  if ((serverName === undefined || serverName === '') && !isObject(selector))
    problems.add('spec.server', 'names no Server: give name or selector');
  else if (serverName !== undefined && isObject(selector))
    problems.add('spec.server.selector', 'cannot be given beside name');
  const server = serverName
    ? { name: serverName }
    : { selector: readLabelSelector(selector, 'spec.server.selector', problems) };
  const fields = asObject(object.spec['client']);
  const networks = readNetworks(fields['networks'], 'spec.client.networks', problems);
  const client = readClient(fields, object.namespace, context, problems);
  return reading(
    {
      server,
      networks: networks.length > 0 ? networks : context.clusterNetworks.map((network) => ({ network, except: [] })),
      client,
    },
    problems,
  );
}

function readClient(
  fields: JsonObject,
  namespace: string,
  { identitySuffix }: PolicyContext,
  problems: Problems,
): ServerAuthorization['client'] {
  const isUnauthenticated = fields['unauthenticated'] === true;
  const tls = asObject(fields['meshTLS']);
  const isAnyTls = tls['unauthenticatedTLS'] === true;
  const accounts = asList(tls['serviceAccounts']).map((entry, index): IdentityMatch => {
    const account = asObject(entry);
    const name = asText(account['name']) ?? '';
    if (name === '') problems.add(`spec.client.meshTLS.serviceAccounts[${index}].name`, 'is missing');
    return { names: [`${name}.${asText(account['namespace']) || namespace}.${identitySuffix}`], suffixes: [] };
  });
  const named = readIdentities(asList(tls['identities']), 'spec.client.meshTLS.identities', problems);
  const match = merge([named, ...accounts]);
  const hasNames = match.names.length + match.suffixes.length > 0;
  if (isUnauthenticated && isObject(fields['meshTLS']))
    problems.add('spec.client.meshTLS', 'cannot be given beside unauthenticated');
  else if (isAnyTls && hasNames)
    problems.add('spec.client.meshTLS.unauthenticatedTLS', 'cannot be given beside identities or serviceAccounts');
  else if (!isUnauthenticated && !isAnyTls && !hasNames)
    problems.add('spec.client', 'lets nobody in: give unauthenticated, or meshTLS with identities or serviceAccounts');
  if (isUnauthenticated) return 'unauthenticated';
  return isAnyTls ? 'mesh-tls' : match;
}

/** An object of which a part is wrong grants nothing. */
function reading<T>(value: T | undefined, { found }: Problems): Reading<T> {
  return found.length > 0 || value === undefined ? { problems: found } : { value, problems: [] };
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 100);
}
