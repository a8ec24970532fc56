import { deleteExactly, startQueue, together, type Again, type ControllerContext } from '../controller.ts';
import { isNamespaceTerminating } from '../api-errors.ts';
import { sameJson } from '../json.ts';
import { controllerOf, controllerReference } from '../owners.ts';
import type { EndpointSlice, Service } from '../resources.ts';
import { addressTypes, hasManagedEndpoints, isHeadless, portGroups, type AddressType } from './service-endpoints.ts';
import { planSlices } from './slice-plan.ts';
import { LAST_CHANGE, lastChange, selectedPods, watchServicesAndPods } from './triggers.ts';

const SOURCE = 'endpoint-slice-controller';
const MANAGED_BY = 'endpointslice-controller.k8s.io';
const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
const HEADLESS = 'service.kubernetes.io/headless';
const ZONE = 'topology.kubernetes.io/zone';
const RESERVED = new Set([SERVICE_NAME, MANAGED_BY_LABEL, HEADLESS]);

/** Keeps the EndpointSlices of every Service that has a selector. Source: k8s.io/endpointslice `Reconciler`. */
export function startEndpointSliceController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (slice: EndpointSlice): void => {
    const { namespace = '', labels = {} } = slice.metadata;
    if (labels[MANAGED_BY_LABEL] === MANAGED_BY) queue.add(`${namespace}/${labels[SERVICE_NAME]}`);
  };
  return together(
    queue,
    watchServicesAndPods(context, queue),
    client.watch('endpointslices.discovery.k8s.io', { apply: wake, delete: wake }),
  );
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client } = context;
  const service = client.get('services', namespace, name);
  const slices = client
    .list('endpointslices.discovery.k8s.io', namespace)
    .filter((slice) => isOurs(slice, name) && slice.metadata.deletionTimestamp === undefined);
  // Slices of a Service that is gone have their owner gone: the garbage collector takes them.
  if (service === undefined || !hasManagedEndpoints(service) || service.metadata.deletionTimestamp) return undefined;
  const types = addressTypes(service);
  for (const addressType of types) {
    const stale = slices.filter((slice) => slice.addressType === addressType);
    await reconcileFamily(context, service, addressType, stale);
  }
  for (const slice of slices.filter(({ addressType }) => !types.includes(addressType))) {
    await deleteExactly(client, 'endpointslices.discovery.k8s.io', slice);
  }
  return undefined;
}

function isOurs(slice: EndpointSlice, service: string): boolean {
  const { labels = {} } = slice.metadata;
  return labels[SERVICE_NAME] === service && labels[MANAGED_BY_LABEL] === MANAGED_BY;
}

async function reconcileFamily(
  context: ControllerContext,
  service: Service,
  addressType: AddressType,
  slices: readonly EndpointSlice[],
): Promise<void> {
  const { client } = context;
  const pods = selectedPods(context, service);
  const zoneOf = (node: string): string | undefined => client.get('nodes', undefined, node)?.metadata.labels?.[ZONE];
  // A slice whose owner is an earlier Service of the same name is on its way out.
  const own = slices.filter((slice) => controllerOf(slice)?.uid === service.metadata.uid);
  const plan = planSlices(own, portGroups(service, pods, addressType, zoneOf));
  const labels = sliceLabels(service);
  const annotations = { [LAST_CHANGE]: lastChange(service, pods) };
  for (const { slice, endpoints, ports } of plan.update) {
    const metadata = { ...slice.metadata, labels, annotations: { ...slice.metadata.annotations, ...annotations } };
    await client.update('endpointslices.discovery.k8s.io', { ...slice, metadata, endpoints, ports });
  }
  for (const slice of plan.keep.filter(({ metadata }) => !sameJson(metadata.labels, labels))) {
    const metadata = { ...slice.metadata, labels };
    await client.update('endpointslices.discovery.k8s.io', { ...slice, metadata });
  }
  for (const slice of plan.delete) await deleteExactly(client, 'endpointslices.discovery.k8s.io', slice);
  for (const content of plan.create) {
    const metadata = {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace ?? '',
      labels,
      annotations,
      ownerReferences: [controllerReference(service)],
    };
    const kind = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' };
    try {
      await client.create('endpointslices.discovery.k8s.io', { ...kind, metadata, addressType, ...content });
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }
}

function sliceLabels(service: Service): Record<string, string> {
  const copied = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !RESERVED.has(key));
  return {
    ...Object.fromEntries(copied),
    [SERVICE_NAME]: service.metadata.name,
    [MANAGED_BY_LABEL]: MANAGED_BY,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
  };
}
