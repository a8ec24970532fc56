import type { Values } from '#config/values.ts';
import type { JsonObject } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { isTerminating } from '#k8s/resources/metadata.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { SERVICE_ACCOUNTS, type ServiceAccount } from '#k8s/resources/service-account.ts';
import { parsePortSet } from '#model/port-set.ts';
import { policyContextOf } from '../../injector/policy-webhook.ts';
import { gravestFirst, type Diagnosis } from '../diagnosis/diagnosis.ts';
import { externalWorkloadKind, type ExternalWorkload } from '../dialects/external-workload.ts';
import { EgressNetworks } from '../policy/egress-networks.ts';
import { OutboundIndex } from '../policy/outbound-index.ts';
import { PolicyStore } from '../policy/policy-store.ts';
import { RouteIndex } from '../policy/route-index.ts';
import { TrafficObjects, trafficKinds } from '../policy/traffic-objects.ts';
import { outboundSettings, type ClusterContext } from './configuration.ts';
import { PodGroups } from './live/pod-groups.ts';
import { GATEWAYS, listKind, type ObjectReader } from './reader.ts';
import { CONFIGURATION_RULES } from './rules/configuration-rules.ts';
import { externalWorkloadFindings } from './rules/external-workloads.ts';
import { serviceFindings } from './rules/services.ts';
import { ServiceAccounts } from './service-accounts.ts';

/** What objects mean in an installation. */
export function clusterContextOf(values: Values): ClusterContext {
  return {
    policy: policyContextOf(values),
    clusterDomain: values.clusterDomain,
    opaquePorts: parsePortSet(values.proxy.opaquePorts).ports,
    globalEgressNamespace: values.egress.globalEgressNetworkNamespace,
  };
}

/**
 * What the configuration of a cluster says and is refused, ignored or without effect: what statuses say by
 * `tulle.dev/Effective`, also of kinds that have no status. Notes are left to `tulle analyze`.
 */
export async function clusterFindings(
  reader: ObjectReader,
  context: ClusterContext,
  namespace?: string,
): Promise<readonly Diagnosis[]> {
  const services = new ResourceStore<Service>();
  const pods = new ResourceStore<Pod>();
  const groups = new PodGroups(pods, () => {});
  const routes = new RouteIndex(services);
  const policies = new PolicyStore(routes);
  const externalWorkloads = new ResourceStore<ExternalWorkload>();
  const serviceAccounts = new ServiceAccounts();
  const traffic = new TrafficObjects(context.clusterDomain);
  const settings = outboundSettings(context);
  const egress = new EgressNetworks(settings);
  const keep = <R extends Service | Pod>(
    { apiPath, plural, parse }: { apiPath: string; plural: string; parse: (object: unknown) => R | undefined },
    store: ResourceStore<R>,
  ): Promise<void> =>
    reader.each(`${apiPath}/${plural}`, (object: JsonObject) => {
      const parsed = isTerminating(object) ? undefined : parse(object);
      if (parsed !== undefined) store.apply(parsed);
    });
  const keepAccounts = async (): Promise<void> => {
    const { apiPath, plural, parse } = SERVICE_ACCOUNTS;
    const accounts: ServiceAccount[] = [];
    await reader.each(`${apiPath}/${plural}`, (object: JsonObject) => {
      const account = parse(object);
      if (account !== undefined) accounts.push(account);
    });
    serviceAccounts.reset(accounts);
  };
  // Of all namespaces: references cross them.
  const [custom, gateways] = await Promise.all([
    Promise.all(
      [...policies.kinds, ...trafficKinds(traffic, routes, egress), externalWorkloadKind(externalWorkloads)].map(
        async (kind) => {
          const objects = await listKind(reader, kind);
          kind.index.reset(objects);
          return objects;
        },
      ),
    ),
    listKind(reader, GATEWAYS),
    keep(SERVICES, services),
    keep(PODS, pods),
    keepAccounts(),
  ]);
  const configuration = {
    context,
    services,
    routes,
    policies,
    externalWorkloads,
    traffic,
    egress,
    outbound: new OutboundIndex(services, settings, routes, egress),
    custom: custom.flat(),
    workloadsIn: (place: string) => groups.workloadsIn(place),
    serviceAccounts,
    hasGateway: (place: string, name: string) =>
      gateways.some((gateway) => gateway.namespace === place && gateway.name === name),
  };
  const found = [...CONFIGURATION_RULES, serviceFindings, externalWorkloadFindings].flatMap((rule) =>
    rule(configuration),
  );
  return gravestFirst(
    found.filter((one) => one.severity !== 'note' && (namespace === undefined || one.namespace === namespace)),
  );
}
