import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import { parsePortSet, type PortSet } from '#model/port-set.ts';
import type { Problems } from './problem.ts';

/** Lists ports that carry raw bytes, on a pod or a Service: numbers, ranges and names of its ports. */
const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';

/** Ports of a pod that carry raw bytes. @param defaults  of pods without the annotation */
export function opaquePortsOfPod(pod: Pod, defaults: PortSet): PortSet {
  return pod.annotations[OPAQUE_PORTS] === undefined ? defaults : annotatedPorts(pod, OPAQUE_PORTS);
}

/** Ports of a Service that carry raw bytes. @param defaults  of Services without the annotation */
export function opaquePortsOfService(service: Service, defaults: PortSet): PortSet {
  return service.annotations[OPAQUE_PORTS] === undefined ? defaults : parseOfService(service).ports;
}

/** Names what the annotation of a Service lists and that is none of its ports. */
export function checkOpaquePorts(service: Service, problems: Problems): void {
  for (const part of parseOfService(service).unknown)
    problems.add(OPAQUE_PORTS, `"${part}" is no number, range or name of a port of the Service`);
}

function parseOfService({ annotations, ports }: Service): ReturnType<typeof parsePortSet> {
  return parsePortSet(annotations[OPAQUE_PORTS] ?? '', (name) => ports.find((port) => port.name === name)?.port);
}

/** Ports that an annotation of a pod lists; none without it. */
export function annotatedPorts(pod: Pod, annotation: string): PortSet {
  return parsePortSet(pod.annotations[annotation] ?? '', (name) => pod.ports.find((port) => port.name === name)?.port)
    .ports;
}
