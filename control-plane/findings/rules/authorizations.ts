import { asList, asObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import {
  isRouteTarget,
  readAuthorizationPolicy,
  readMeshTlsAuthentication,
  readServerAuthorization,
} from '../../dialects/linkerd-policy.ts';
import type { IdentityMatch, PolicyContext } from '../../dialects/linkerd-policy.ts';
import { findingsOf } from '../../dialects/policy-problems.ts';
import { readRateLimitPolicy } from '../../dialects/rate-limit-policy.ts';
import { isAuthorizationOf } from '../../dialects/server-authorizations.ts';
import { POLICY_KINDS } from '../../dialects/policy-objects.ts';
import type { Code } from '../../diagnosis/codes.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { isUsable } from './objects.ts';

/** What authorizations point at, by the code that the control plane reads them with. */
export function authorizationFindings(configuration: Configuration): readonly Diagnosis[] {
  const objects = configuration.custom.filter((object) => isUsable(object, configuration));
  return [
    ...objects.flatMap((object) => dangling(object, configuration)),
    ...objects.flatMap((object) => withoutServer(object, configuration)),
    ...objects.flatMap((object) => unknownClients(object, configuration)),
  ];
}

function dangling(object: CustomObject, { policies, context }: Configuration): readonly Diagnosis[] {
  const kind = POLICY_KINDS.find((name) => name === object.kind && object.group === 'policy.linkerd.io');
  if (kind === undefined) return [];
  return findingsOf(kind, object, policies, context.policy).map(({ field, message }) =>
    diagnose(codeOf(object, field), object, field, message),
  );
}

function codeOf(object: CustomObject, field: string): Code {
  if (object.kind === 'HTTPLocalRateLimitPolicy') return 'TL0207';
  if (field.startsWith('spec.requiredAuthenticationRefs')) return 'TL0204';
  const target = readAuthorizationPolicy(object).value?.target;
  return target !== undefined && isRouteTarget(target) ? 'TL0206' : 'TL0203';
}

function withoutServer(object: CustomObject, { policies, context }: Configuration): readonly Diagnosis[] {
  const servers = policies.list('Server', object.namespace);
  if (servers.some((server) => isAuthorizationOf(object, server, context.policy))) return [];
  if (object.kind === 'ServerAuthorization') {
    const { name } = asObject(object.spec['server']);
    return typeof name === 'string'
      ? [diagnose('TL0205', object, 'spec.server.name', `Server ${object.namespace}/${name} does not exist`)]
      : [diagnose('TL0205', object, 'spec.server.selector', 'selects no Server')];
  }
  const isOfNamespace = asObject(object.spec['targetRef'])['kind'] === 'Namespace';
  return object.kind === 'AuthorizationPolicy' && isOfNamespace
    ? [diagnose('TL0205', object, 'spec.targetRef', `namespace ${object.namespace} has no Server`)]
    : [];
}

/** What identities of Linkerd's have between service account and installation. */
const ACCOUNT = '.serviceaccount.identity.';

function unknownClients(object: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const { policy } = configuration.context;
  const suffix = `.${policy.identitySuffix}`;
  return identitiesOf(object, policy).flatMap(({ identity, field }) => {
    if (identity.includes(ACCOUNT) && !identity.endsWith(suffix))
      return [diagnose('TL0211', object, field, `${identity}: identities of this installation end with ${suffix}`)];
    const [name = '', namespace = '', ...more] = identity.endsWith(suffix)
      ? identity.slice(0, -suffix.length).split('.')
      : [];
    if (namespace === '' || more.length > 0) return [];
    const { serviceAccounts } = configuration;
    if (serviceAccounts.hasNamespace(namespace) === false)
      return [diagnose('TL0209', object, field, `there is no namespace ${namespace} in this cluster`)];
    if (name === ANY_NAME || serviceAccounts.has(namespace, name) !== false) return [];
    return [diagnose('TL0209', object, field, `there is no ServiceAccount ${namespace}/${name} in this cluster`)];
  });
}

/** In the place of an account's name: all of its namespace. */
const ANY_NAME = '*';

type NamedIdentity = { readonly identity: string; readonly field: string };

function identitiesOf(object: CustomObject, context: PolicyContext): readonly NamedIdentity[] {
  const all = ({ names, suffixes }: IdentityMatch, field: string): readonly NamedIdentity[] =>
    [...names, ...suffixes.map((labels) => [ANY_NAME, ...labels].join('.'))].map((identity) => ({ identity, field }));
  switch (object.kind) {
    case 'MeshTLSAuthentication': {
      const field = asList(object.spec['identities']).length > 0 ? 'spec.identities' : 'spec.identityRefs';
      const match = readMeshTlsAuthentication(object, context).value;
      return match === undefined ? [] : all(match, field);
    }
    case 'ServerAuthorization': {
      const client = readServerAuthorization(object, context).value?.client;
      return typeof client === 'object' ? all(client, 'spec.client.meshTLS') : [];
    }
    case 'AuthorizationPolicy':
      return (readAuthorizationPolicy(object).value?.required ?? []).flatMap(({ kind, name, namespace }, index) =>
        kind === 'ServiceAccount'
          ? [
              {
                identity: `${name}.${namespace}.${context.identitySuffix}`,
                field: `spec.requiredAuthenticationRefs[${index}]`,
              },
            ]
          : [],
      );
    case 'HTTPLocalRateLimitPolicy':
      return (readRateLimitPolicy(object, context).value?.limit.overrides ?? []).flatMap(({ identities }, nth) =>
        identities.map((identity, index) => ({ identity, field: `spec.overrides[${nth}].clientRefs[${index}]` })),
      );
    default:
      return [];
  }
}

/** Authentications that can be used, and that nothing requires. */
export function unusedAuthentications(configuration: Configuration): readonly Diagnosis[] {
  const objects = configuration.custom.filter((object) => isUsable(object, configuration));
  const keyOf = ({ kind, namespace, name }: Pick<CustomObject, 'kind' | 'namespace' | 'name'>): string =>
    JSON.stringify([kind, namespace, name]);
  const required = new Set(
    objects
      .filter(({ kind }) => kind === 'AuthorizationPolicy')
      .flatMap((policy) => readAuthorizationPolicy(policy).value?.required ?? [])
      .map(keyOf),
  );
  return objects
    .filter(({ kind }) => kind === 'MeshTLSAuthentication' || kind === 'NetworkAuthentication')
    .filter((object) => !required.has(keyOf(object)))
    .map((object) => diagnose('TL0208', object, 'metadata.name', 'no AuthorizationPolicy requires it'));
}
