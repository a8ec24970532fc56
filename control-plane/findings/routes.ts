import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { EGRESS_NETWORKS } from '../policy/egress-networks.ts';
import { ROUTE_KINDS } from '../policy/route-index.ts';
import { CONTROLLER_NAME } from '../policy/status-writer.ts';
import { findingAbout, type Finding } from '../diagnosis/finding.ts';
import { listKind, type ObjectReader } from './reader.ts';

/** What the control plane says against routes and EgressNetworks in their status, in its own words. */
export async function refusedRoutes(reader: ObjectReader, namespace: string | undefined): Promise<readonly Finding[]> {
  const lists = await Promise.all(ROUTE_KINDS.map((kind) => listKind(reader, kind, namespace)));
  const networks = await listKind(reader, EGRESS_NETWORKS, namespace);
  return [
    ...lists.flat().flatMap(refusals),
    ...networks.flatMap((one) => refused(one, asList(one.status['conditions']))),
  ];
}

function refusals(route: CustomObject): readonly Finding[] {
  return asList(route.status['parents'])
    .map(asObject)
    .filter(({ controllerName }) => controllerName === CONTROLLER_NAME)
    .flatMap(({ conditions }) => refused(route, asList(conditions)));
}

function refused(object: CustomObject, conditions: readonly unknown[]): readonly Finding[] {
  return conditions
    .map(asObject)
    .filter(({ status }) => status === 'False')
    .map(({ reason, message }) => findingAbout(object, asText(reason) ?? '', asText(message) ?? ''));
}
