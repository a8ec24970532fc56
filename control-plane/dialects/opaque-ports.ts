import type { Service } from '#k8s/resources/service.ts';
import { hasPort, parsePortSet, type PortSet } from '#model/port-set.ts';
import type { Problems } from './problem.ts';
import type { Workload } from './workload.ts';

/** Lists ports that carry raw bytes, on a pod or a Service: numbers, ranges and names of its ports. */
export const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';

/** Ports of a workload that carry raw bytes. @param defaults  of workloads without the annotation */
export function opaquePortsOf(workload: Workload, defaults: PortSet): PortSet {
  return workload.annotations[OPAQUE_PORTS] === undefined ? defaults : annotatedPorts(workload, OPAQUE_PORTS);
}

/** Ports of a Service that carry raw bytes. @param defaults  of Services without the annotation */
export function opaquePortsOfService(service: Service, defaults: PortSet): PortSet {
  return service.annotations[OPAQUE_PORTS] === undefined ? defaults : parseOfService(service).ports;
}

/**
 * Names what the annotation of a Service lists and that is none of its ports: what nobody understands, and target ports. Other
 * numbers may be there, as the injector writes the list of the namespace to each Service.
 */
export function checkOpaquePorts(service: Service, problems: Problems): void {
  for (const part of parseOfService(service).unknown)
    problems.add(OPAQUE_PORTS, `"${part}" is no number, range or name of a port of the Service`);
  const { annotations, ports } = service;
  const listed = new Set((annotations[OPAQUE_PORTS] ?? '').split(',').map((part) => part.trim()));
  for (const { port, targetPort } of ports) {
    const target = String(targetPort);
    const isTargetAlone = typeof targetPort === 'number' && !ports.some((one) => one.port === targetPort);
    if (isTargetAlone && listed.has(target) && !hasPort(parseOfService(service).ports, port))
      problems.add(
        OPAQUE_PORTS,
        `"${target}" is the target of port ${port}, and no port of the Service: write ${port}`,
      );
  }
}

function parseOfService({ annotations, ports }: Service): ReturnType<typeof parsePortSet> {
  return parsePortSet(annotations[OPAQUE_PORTS] ?? '', (name) => ports.find((port) => port.name === name)?.port);
}

/** Ports that an annotation of a workload lists; none without it. */
export function annotatedPorts({ annotations, ports }: Workload, annotation: string): PortSet {
  return parsePortSet(annotations[annotation] ?? '', (name) => ports.find((port) => port.name === name)?.port).ports;
}
