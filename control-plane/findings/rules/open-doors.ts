import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { DEFAULT_INBOUND_POLICIES } from '#config/values.ts';
import { isMoreOpen, type Authorization } from '#model/authorization.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { describeServer, readServers, type SelectedServer } from '../../dialects/linkerd-servers.ts';
import type { ServerPolicy } from '../../dialects/linkerd-policy.ts';
import { refOf } from '../../dialects/policy-objects.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import { defaultAuthorizations } from '../../policy/inbound-policy.ts';
import type { Configuration, ConfigurationContext } from '../configuration.ts';

/**
 * Authorizations that restrict nothing, since something else lets in everybody whom they let in, and others. What lets in adds up: none
 * takes away what another gives. The access policy `audit` is meant to let in while one looks at who that is.
 */
export function openDoors(configuration: Configuration): readonly Diagnosis[] {
  return configuration.custom.flatMap((object) => ofAuthorization(object, configuration));
}

function ofAuthorization(object: CustomObject, { policies, context }: Configuration): readonly Diagnosis[] {
  const { kind, namespace } = object;
  if (object.group !== 'policy.linkerd.io' || (kind !== 'AuthorizationPolicy' && kind !== 'ServerAuthorization'))
    return [];
  const own = formatResourceRef(refOf(kind, object));
  const doors = readServers(namespace, policies, context.policy).flatMap(({ server, policy }) => {
    const described = describeServer(server, policy, policies, context.policy);
    const given = byAccessPolicy(policy, context);
    return scopesOf(described).flatMap((grants) => {
      const mine = grants.find(({ ref }) => formatResourceRef(ref) === own);
      if (mine === undefined) return [];
      const door = [...given, ...grants].find((one) => isMoreOpen(one, mine))?.ref;
      return [{ door, server: `Server ${namespace}/${server.name}` }];
    });
  });
  const [first] = doors;
  // Where it restricts one of several Servers or routes it is there for that.
  if (first?.door === undefined || doors.some(({ door }) => door === undefined)) return [];
  const field = kind === 'AuthorizationPolicy' ? 'spec.requiredAuthenticationRefs' : 'spec.client';
  const { door, server } = first;
  const by =
    door.type === 'default'
      ? `accessPolicy ${door.name} of ${server}`
      : `${formatResourceRef(door)}, also about ${server},`;
  return [diagnose('TL0212', object, field, `${by} lets in all of them and others`)];
}

/** What counts together: for the whole Server, and for requests of each of its routes. */
function scopesOf({ authorizations, routes }: SelectedServer): readonly (readonly Authorization[])[] {
  if (routes === undefined) return [authorizations];
  return routes.routes.map((route) => [...route.authorizations, ...authorizations]);
}

function byAccessPolicy({ accessPolicy }: ServerPolicy, { policy }: ConfigurationContext): readonly Authorization[] {
  const access = DEFAULT_INBOUND_POLICIES.find((name) => name === accessPolicy) ?? 'deny';
  return access === 'audit' ? [] : defaultAuthorizations(access, policy);
}
