import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { networkMatches, type Authentication, type Authorization, type NetworkMatch } from '#model/authorization.ts';
import { selects } from './label-selector.ts';
import {
  qualified,
  readAuthorizationPolicy,
  readMeshTlsAuthentication,
  readNetworkAuthentication,
  readServerAuthorization,
  type AuthorizationPolicy,
  type IdentityMatch,
  type ObjectRef,
  type PolicyContext,
  type ServerAuthorization,
} from './linkerd-policy.ts';
import { refOf, remember, type PolicyKind, type PolicyObjects } from './policy-objects.ts';
import { byAge } from './precedence.ts';

/** Whom the objects about a Server let in. */
export function authorizationsOf(
  server: CustomObject,
  objects: PolicyObjects,
  context: PolicyContext,
): readonly Authorization[] {
  const older = objects
    .list('ServerAuthorization', server.namespace)
    .toSorted(byAge)
    .flatMap((object) => {
      const read = readServerAuthorization(object, context).value;
      return read !== undefined && isAbout(read, server)
        ? [
            {
              ref: refOf('ServerAuthorization', object),
              networks: read.networks,
              authentication: ofClient(read.client),
            },
          ]
        : [];
    });
  const targets = [NAMESPACE_TARGET, targetKey({ group: 'policy.linkerd.io', kind: 'Server', name: server.name })];
  const newer = grantsOf(server.namespace, targets, objects, context);
  return [...older, ...newer];
}

/** What AuthorizationPolicies of a namespace grant to what they are about, in the order of their age. */
export function grantsOf(
  namespace: string,
  targets: readonly string[],
  objects: PolicyObjects,
  context: PolicyContext,
): readonly Authorization[] {
  const byTarget = policiesByTarget(namespace, objects);
  return targets
    .flatMap((key) => byTarget.get(key) ?? [])
    .sort((a, b) => byAge(a.object, b.object))
    .flatMap(({ object, policy }) => {
      const { grant } = resolve(policy, objects, context);
      return grant === undefined ? [] : [{ ref: refOf('AuthorizationPolicy', object), ...grant }];
    });
}

type ReadPolicy = { readonly object: CustomObject; readonly policy: AuthorizationPolicy };

/** AuthorizationPolicies that can be understood, by `targetKey`. */
function policiesByTarget(namespace: string, objects: PolicyObjects): ReadonlyMap<string, readonly ReadPolicy[]> {
  return remember(objects, namespace, 'AuthorizationPolicies', () => {
    const policies = objects.list('AuthorizationPolicy', namespace).flatMap((object) => {
      const policy = readAuthorizationPolicy(object).value;
      return policy === undefined ? [] : [{ object, policy }];
    });
    return Map.groupBy(policies, ({ policy: { target } }) =>
      qualified(target) === 'Namespace' ? NAMESPACE_TARGET : targetKey(target),
    );
  });
}

const NAMESPACE_TARGET = 'Namespace';

/** One name for what policies may be about, of one namespace. */
export function targetKey({ group, kind, name }: Pick<ObjectRef, 'group' | 'kind' | 'name'>): string {
  return `${kind}.${group}/${name}`;
}

/** Whether an object lets clients of a Server in, as far as it can be understood. */
export function isAuthorizationOf(object: CustomObject, server: CustomObject, context: PolicyContext): boolean {
  if (object.namespace !== server.namespace) return false;
  if (object.kind === 'ServerAuthorization') {
    const read = readServerAuthorization(object, context).value;
    return read !== undefined && isAbout(read, server);
  }
  const read = object.kind === 'AuthorizationPolicy' ? readAuthorizationPolicy(object).value : undefined;
  return read !== undefined && isTarget(read, server);
}

function isAbout({ server: wanted }: ServerAuthorization, server: CustomObject): boolean {
  return 'name' in wanted ? wanted.name === server.name : selects(wanted.selector, server.labels);
}

function isTarget({ target }: AuthorizationPolicy, server: CustomObject): boolean {
  if (qualified(target) === 'Namespace') return true;
  return qualified(target) === 'Server.policy.linkerd.io' && target.name === server.name;
}

type Grant = { readonly networks: readonly NetworkMatch[]; readonly authentication: Authentication };

/** What the authentications of a policy demand together; nothing to grant when one of them is missing or wrong. */
export function resolve(
  { required }: AuthorizationPolicy,
  objects: PolicyObjects,
  context: PolicyContext,
): { readonly grant?: Grant; readonly dangling?: { readonly index: number; readonly reason: string } } {
  let networks = networkMatches(['0.0.0.0/0', '::/0']);
  let authentication: Authentication = { kind: 'unauthenticated' };
  for (const [index, ref] of required.entries()) {
    if (ref.kind === 'ServiceAccount') {
      const name = `${ref.name}.${ref.namespace}.${context.identitySuffix}`;
      authentication = { kind: 'identities', names: [name], suffixes: [] };
      continue;
    }
    const found = objects.get(kindOf(ref), ref.namespace, ref.name);
    if (found === undefined) return dangling(index, `${ref.kind} ${ref.namespace}/${ref.name} does not exist`);
    const wrong = dangling(index, `${ref.kind} ${ref.namespace}/${ref.name} is not valid`);
    if (ref.kind === 'NetworkAuthentication') {
      const read = readNetworkAuthentication(found).value;
      if (read === undefined) return wrong;
      networks = read;
    } else {
      const read = readMeshTlsAuthentication(found, context).value;
      if (read === undefined) return wrong;
      authentication = ofClient(read);
    }
  }
  return { grant: { networks, authentication } };
}

function dangling(index: number, reason: string): { readonly dangling: { index: number; reason: string } } {
  return { dangling: { index, reason } };
}

function kindOf({ kind }: ObjectRef): PolicyKind {
  return kind === 'NetworkAuthentication' ? 'NetworkAuthentication' : 'MeshTLSAuthentication';
}

function ofClient(client: 'unauthenticated' | 'mesh-tls' | IdentityMatch): Authentication {
  return typeof client === 'string' ? { kind: client } : { kind: 'identities', ...client };
}
