import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { serverParents } from '../../dialects/inbound-route.ts';
import { outboundParents, POLICY_GROUP } from '../../dialects/outbound-parents.ts';
import { isConnectionRoute, isRouteKind } from '../../dialects/route-kinds.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';

const GATEWAY_API = 'gateway.networking.k8s.io';
/** What Gateway API makes of a reference that names no kind. */
const DEFAULT_KIND = 'Gateway';
/** Kinds that can be parents here, and the group to write. */
const PARENT_GROUPS: Readonly<Record<string, string>> = {
  Service: '',
  Server: POLICY_GROUP,
  EgressNetwork: POLICY_GROUP,
};
/** Groups that have no such kind, so that nothing of others can be meant. */
const GROUPS: ReadonlySet<string> = new Set(['', 'core', POLICY_GROUP, GATEWAY_API]);

/** A reference of a route to nothing that it is attached to here. */
type OtherParent = {
  readonly index: number; // in spec.parentRefs
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
};

/** Parents that a route names and that are none of ours: Gateways, and what is written wrongly. */
export function otherParents(route: CustomObject): readonly OtherParent[] {
  if (!isRouteKind(route)) return [];
  const ours = new Set([...outboundParents(route), ...serverParents(route)].map(({ index }) => index));
  return asList(route.spec['parentRefs']).flatMap((value, index) => {
    const { group, kind, namespace, name } = asObject(value);
    if (ours.has(index)) return [];
    return [
      {
        index,
        group: asText(group) ?? route.group,
        kind: asText(kind) ?? DEFAULT_KIND,
        namespace: asText(namespace) ?? route.namespace,
        name: asText(name) ?? '',
      },
    ];
  });
}

/** References that Gateway API reads as something that does not exist, while there is what was probably meant. */
export function mistakenParents(configuration: Configuration): readonly Diagnosis[] {
  return configuration.custom.flatMap((route) =>
    otherParents(route).flatMap((parent) => {
      const message = mistakeOf(route, parent, configuration);
      return message === undefined ? [] : [diagnose('TL0102', route, `spec.parentRefs[${parent.index}]`, message)];
    }),
  );
}

function mistakeOf(route: CustomObject, parent: OtherParent, configuration: Configuration): string | undefined {
  const { group, kind, namespace, name } = parent;
  const written = PARENT_GROUPS[kind];
  if (written !== undefined) {
    const isTold = kind === 'Server' && isConnectionRoute(route);
    return GROUPS.has(group) && !isTold ? `group "${group}" has no ${kind}: write group: "${written}"` : undefined;
  }
  if (kind !== DEFAULT_KIND || configuration.hasGateway(namespace, name) !== false) return undefined;
  const meant = kindOfName(route, parent, configuration);
  if (meant === undefined) return undefined;
  const object = `${namespace}/${name}`;
  return (
    `means Gateway ${object}, as every reference without a kind, and there is none. ` +
    `For ${meant} ${object} write group: "${PARENT_GROUPS[meant]}" and kind: ${meant}`
  );
}

/** Of what kind there is something with the name. */
function kindOfName(
  route: CustomObject,
  { namespace, name }: OtherParent,
  { services, policies, egress }: Configuration,
): string | undefined {
  if (services.get(namespace, name) !== undefined) return 'Service';
  const isServer =
    namespace === route.namespace &&
    !isConnectionRoute(route) &&
    policies.list('Server', namespace).some((server) => server.name === name);
  if (isServer) return 'Server';
  return egress.store.get(namespace, name) === undefined ? undefined : 'EgressNetwork';
}
