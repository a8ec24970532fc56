import type { EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import { selectsLabels, type Service, type ServicePort } from '#k8s/resources/service.ts';
import type { ServiceTarget } from '#model/service-target.ts';

/** What somebody asked about, and what the cluster has for it. */
export type Asked = {
  readonly service: Service;
  readonly target: ServiceTarget;
  readonly slices: readonly EndpointSlice[]; // of the Service
  readonly pods: readonly Pod[]; // of its namespace
};

/**
 * Says that a Service has no such port, and which it has. Clients reset such connections, though Destination.Get would answer with the
 * number as it is (linkerd2 `endpoint_translator.go`).
 *
 * @returns nothing when it has the port
 */
export function missingPort({ namespace, name, ports }: Service, port: number): string | undefined {
  if (ports.some((one) => one.port === port && one.protocol === 'TCP')) return undefined;
  const others = ports.map((one) => `${one.port}${one.protocol === 'TCP' ? '' : `/${one.protocol}`}`).join(', ');
  return `Service ${namespace}/${name} has no port${others === '' ? 's' : ` ${port}: it has ${others}`}`;
}

/** Why a port of a Service has no endpoint, and what to look at. */
export function whyNoEndpoints({ service, target, slices, pods }: Asked): string {
  const { namespace, name } = service;
  const index = service.ports.findIndex((one) => one.port === target.port && one.protocol === 'TCP');
  const port = service.ports[index];
  const reason =
    (port && withoutPort(port, index, service, slices, pods)) ??
    withoutPods(service, slices, pods) ??
    withoutReady(service, target, slices);
  return `Service ${namespace}/${name} has no endpoint on port ${target.port}: ${reason}`;
}

function withoutPods(service: Service, slices: readonly EndpointSlice[], pods: readonly Pod[]): string | undefined {
  const { namespace, name, selector } = service;
  if (slices.some(({ endpoints }) => endpoints.length > 0)) return undefined;
  const labels = selectorText(selector);
  if (labels === '')
    return `it has no spec.selector, and no EndpointSlice has addresses for it (\`kubectl -n ${namespace} get endpointslices -l kubernetes.io/service-name=${name}\`)`;
  const count = selected(service, pods).length;
  return count === 0
    ? `spec.selector ${labels} selects no pod (\`kubectl -n ${namespace} get pods --show-labels\`)`
    : `spec.selector ${labels} selects ${podCount(count)} without an address yet (\`kubectl -n ${namespace} get pods -l ${labels}\`)`;
}

function withoutPort(
  { name, targetPort }: ServicePort,
  index: number,
  service: Service,
  slices: readonly EndpointSlice[],
  pods: readonly Pod[],
): string | undefined {
  if (slices.some(({ ports }) => ports.some((one) => one.name === name && one.protocol === 'TCP'))) return undefined;
  const those = selected(service, pods);
  const names = those.flatMap(({ ports }) => ports.filter((one) => one.protocol === 'TCP').map((one) => one.name));
  if (typeof targetPort === 'string' && those.length > 0 && !names.includes(targetPort)) {
    const known = [...new Set(names)].filter((one) => one !== '').map((one) => `"${one}"`);
    return `spec.ports[${index}].targetPort is "${targetPort}", and no pod of it has a port of that name (they have ${known.join(', ') || 'none with a name'})`;
  }
  const isAddressed = slices.some(({ endpoints }) => endpoints.length > 0);
  return isAddressed ? `no EndpointSlice of it has a port named "${name}"` : undefined;
}

function withoutReady(
  { namespace, selector, isInternalTrafficLocal }: Service,
  { hostname }: ServiceTarget,
  slices: readonly EndpointSlice[],
): string {
  const all = slices.flatMap(({ endpoints }) => endpoints);
  const named = hostname === undefined ? all : all.filter((endpoint) => endpoint.hostname === hostname);
  if (named.length === 0) return `none has the host name "${hostname ?? ''}"`;
  const labels = selectorText(selector);
  const look = labels === '' ? 'get endpointslices' : `get pods -l ${labels}`;
  if (named.every(({ isReady }) => !isReady))
    return `of ${named.length} none is ready (\`kubectl -n ${namespace} ${look}\`)`;
  return isInternalTrafficLocal
    ? 'spec.internalTrafficPolicy is Local, and no ready one is on the node of who asks (--token NS:POD asks as a pod)'
    : `none of ${named.length} can be used (\`kubectl -n ${namespace} ${look}\`)`;
}

function selected(service: Service, pods: readonly Pod[]): readonly Pod[] {
  return pods.filter(({ isFinished, labels }) => !isFinished && selectsLabels(service, labels));
}

function selectorText(selector: Service['selector']): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function podCount(count: number): string {
  return count === 1 ? 'one pod' : `${count} pods`;
}
