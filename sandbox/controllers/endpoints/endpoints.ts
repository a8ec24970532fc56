import { isNamespaceTerminating, isNotFound } from '../api-errors.ts';
import { keyOf, startQueue, together, type Again, type ControllerContext } from '../controller.ts';
import { sameJson } from '../json.ts';
import { isReady, isTerminating } from '../pods.ts';
import type { EndpointAddress, Endpoints, EndpointSubset, Pod, Service, SlicePort } from '../resources.ts';
import {
  addressesOf,
  addressTypes,
  hasManagedEndpoints,
  hostnameIn,
  isEndpoint,
  isHeadless,
} from './service-endpoints.ts';
import { podReference, portsFor, portsKey } from './service-endpoints.ts';
import { LAST_CHANGE, lastChange, selectedPods, watchServicesAndPods } from './triggers.ts';

const SOURCE = 'endpoint-controller';
const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const HEADLESS = 'service.kubernetes.io/headless';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
const ADDRESSES_MAX = 1000;

/** Keeps the old Endpoints object of every Service that has a selector. Source: kube-controller-manager `endpoint`. */
export function startEndpointsController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  return together(
    queue,
    watchServicesAndPods(context, queue),
    client.watch('endpoints', {
      apply: (endpoints) => queue.add(keyOf(endpoints)),
      delete: (endpoints) => queue.add(keyOf(endpoints)),
    }),
  );
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client } = context;
  const service = client.get('services', namespace, name);
  const current = client.get('endpoints', namespace, name);
  if (service === undefined) {
    if (current?.metadata.labels?.[MANAGED_BY] === SOURCE) await remove(context, namespace, name);
    return undefined;
  }
  if (!hasManagedEndpoints(service) || service.metadata.deletionTimestamp !== undefined) return undefined;
  const pods = selectedPods(context, service);
  const { subsets, isTruncated } = endpointSubsets(service, pods);
  const wanted = { labels: labelsFor(service), subsets };
  if (current !== undefined && sameJson({ labels: current.metadata.labels, subsets: current.subsets ?? [] }, wanted)) {
    return undefined;
  }
  const { [OVER_CAPACITY]: _, ...kept } = current?.metadata.annotations ?? {};
  const annotations = {
    ...kept,
    [LAST_CHANGE]: lastChange(service, pods),
    ...(isTruncated ? { [OVER_CAPACITY]: 'truncated' } : {}),
  };
  if (current !== undefined) {
    const metadata = { ...current.metadata, labels: wanted.labels, annotations };
    await client.update('endpoints', { ...current, metadata, subsets });
    return undefined;
  }
  const metadata = { name, namespace, labels: wanted.labels, annotations };
  try {
    await client.create('endpoints', { apiVersion: 'v1', kind: 'Endpoints', metadata, subsets });
  } catch (error) {
    if (!isNamespaceTerminating(error)) throw error;
  }
  return undefined;
}

async function remove({ client }: ControllerContext, namespace: string, name: string): Promise<void> {
  try {
    await client.delete('endpoints', namespace, name);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

function labelsFor(service: Service): Record<string, string> {
  const { [HEADLESS]: _, ...labels } = service.metadata.labels ?? {};
  return { ...labels, [MANAGED_BY]: SOURCE, ...(isHeadless(service) ? { [HEADLESS]: '' } : {}) };
}

/** Pods by the ports they have, ready ones apart from the others; pods that terminate are in neither list. */
export function endpointSubsets(
  service: Service,
  pods: readonly Pod[],
): { readonly subsets: NonNullable<Endpoints['subsets']>; readonly isTruncated: boolean } {
  const publishAll = service.spec.publishNotReadyAddresses === true;
  const addressType = addressTypes(service)[0] ?? 'IPv4';
  const usable = pods.filter((pod) => isEndpoint(pod, addressType) && (publishAll || !isTerminating(pod)));
  const groups = new Map<
    string,
    { ports: readonly SlicePort[]; ready: EndpointAddress[]; unready: EndpointAddress[] }
  >();
  for (const pod of usable.slice(0, ADDRESSES_MAX)) {
    const ports = portsFor(service, pod);
    if (ports.length === 0 && (service.spec.ports ?? []).length > 0) continue;
    const key = portsKey(ports);
    const group = groups.get(key) ?? { ports, ready: [], unready: [] };
    groups.set(key, group);
    const hostname = hostnameIn(service, pod);
    const address: EndpointAddress = {
      ip: addressesOf(pod, addressType)[0] ?? '',
      ...(hostname === undefined ? {} : { hostname }),
      ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
      targetRef: podReference(pod),
    };
    (publishAll || isReady(pod) ? group.ready : group.unready).push(address);
  }
  const subsets = [...groups.values()].map(({ ports, ready, unready }): EndpointSubset => ({
    ...(ready.length === 0 ? {} : { addresses: ready }),
    ...(unready.length === 0 ? {} : { notReadyAddresses: unready }),
    ...(ports.length === 0
      ? {}
      : { ports: ports.map(({ name, ...port }) => (name === '' ? port : { name, ...port })) }),
  }));
  return { subsets, isTruncated: usable.length > ADDRESSES_MAX };
}
