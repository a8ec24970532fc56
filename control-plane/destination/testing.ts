import type { EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import type { ProfileSettings } from './profile-index.ts';

export const SETTINGS: ProfileSettings = {
  domain: { controlPlaneNamespace: 'tulle', trustDomain: 'cluster.local' },
  clusterDomain: 'cluster.local',
  opaquePorts: { ranges: [[6379, 6379]] },
  isH2UpgradeEnabled: true,
};

type Fields = { readonly [field: string]: unknown };

/** A Service as the API server sends it, in namespace `shop`. */
export function serviceObject(name: string, clusterIP: string, ports: readonly Fields[], more: Fields = {}): Fields {
  const { annotations = {}, ...spec } = more;
  return { metadata: { namespace: 'shop', name, annotations }, spec: { clusterIP, ports, ...spec } };
}

/** A running meshed pod in namespace `shop`, of Deployment `web`. */
export function podObject(
  name: string,
  podIP: string,
  more: { metadata?: Fields; spec?: Fields; status?: Fields } = {},
): Fields {
  const labels = { 'linkerd.io/control-plane-ns': 'tulle', 'pod-template-hash': 'abc' };
  const ownerReferences = [{ kind: 'ReplicaSet', name: 'web-abc', controller: true }];
  return {
    metadata: { namespace: 'shop', name, labels, ownerReferences, ...more.metadata },
    spec: { serviceAccountName: 'web', nodeName: 'node-1', containers: [], ...more.spec },
    status: { phase: 'Running', podIP, hostIP: '192.168.0.1', ...more.status },
  };
}

export function sliceObject(
  name: string,
  service: string,
  ports: readonly Fields[],
  endpoints: readonly Fields[],
): Fields {
  const labels = { 'kubernetes.io/service-name': service };
  return { metadata: { namespace: 'shop', name, labels }, addressType: 'IPv4', ports, endpoints };
}

/** An endpoint of a slice that stands for a pod. */
export function podAddress(pod: string, address: string, more: Fields = {}): Fields {
  return {
    addresses: [address],
    targetRef: { kind: 'Pod', namespace: 'shop', name: pod },
    nodeName: 'node-1',
    ...more,
  };
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('the object has no name');
  return value;
}

export const parsed = {
  service: (object: Fields): Service => must(SERVICES.parse(object)),
  pod: (object: Fields): Pod => must(PODS.parse(object)),
  slice: (object: Fields): EndpointSlice => must(ENDPOINT_SLICES.parse(object)),
};
