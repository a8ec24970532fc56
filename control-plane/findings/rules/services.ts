import type { ResourceStore } from '#k8s/resource-store.ts';
import type { ContainerPort } from '#k8s/resources/pod.ts';
import { selectsLabels, type Service } from '#k8s/resources/service.ts';
import { selectsWorkload, type ExternalWorkload } from '../../dialects/external-workload.ts';
import type { Problem } from '../../dialects/problem.ts';
import { limitAnnotations } from '../../dialects/replaced-limits.ts';
import { serviceProblems } from '../../policy/traffic-objects.ts';
import { annotationProblems } from '../../diagnosis/own-problems.ts';
import { diagnose, type Diagnosis, type Subject } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';

/** What becomes of Services and of what is set on them. */
export function serviceFindings(
  configuration: Configuration & { readonly externalWorkloads: ResourceStore<ExternalWorkload> },
): readonly Diagnosis[] {
  return [...configuration.services.values()].flatMap((service) => {
    const about: Subject = { group: '', kind: 'Service', namespace: service.namespace, name: service.name };
    const workloads = configuration.workloadsIn(service.namespace);
    const isSelecting =
      Object.keys(service.selector).length > 0 && workloads.length > 0 && service.type !== 'ExternalName';
    const selected = [
      ...workloads.map(({ pod }) => pod).filter(({ labels }) => selectsLabels(service, labels)),
      ...[...configuration.externalWorkloads.values()].filter((external) => selectsWorkload(service, external)),
    ];
    return [
      ...(isSelecting && selected.length === 0 ? [diagnose('TL0301', about, 'spec.selector', 'selects no pod')] : []),
      ...(isSelecting && selected.length > 0
        ? namelessTargets(
            service,
            selected.flatMap(({ ports }) => ports),
          )
        : []
      ).map(({ field, message }) => diagnose('TL0306', about, field, message)),
      ...serviceProblems(service).map(({ field, message }) =>
        diagnose('TL0302', about, `metadata.annotations[${field}]`, message),
      ),
      ...annotationProblems('Service', service.annotations).map(({ code, field, message }) =>
        diagnose(code, about, field, message),
      ),
      ...overruledLimits(service, configuration).map(({ field, message }) =>
        diagnose('TL0402', about, `metadata.annotations[${field}]`, message),
      ),
    ];
  });
}

/** Target ports by a name that none of the pods has for a port. */
function namelessTargets({ ports }: Service, named: readonly ContainerPort[]): readonly Problem[] {
  return ports.flatMap(({ targetPort, protocol }, index) => {
    const names = named.filter((one) => one.protocol === protocol && one.name !== '').map(({ name }) => name);
    if (typeof targetPort === 'number' || names.includes(targetPort)) return [];
    const known = [...new Set(names)].map((name) => `"${name}"`).join(', ');
    const message = `no selected pod has a ${protocol} port named "${targetPort}" (they have ${known || 'none with a name'}), so the port has no endpoints`;
    return [{ field: `spec.ports[${index}].targetPort`, message }];
  });
}

/** Timeouts and retries of a Service that do not count, because a ServiceProfile or TrafficSplit decides about its requests. */
function overruledLimits(service: Service, { traffic, context }: Configuration): readonly Problem[] {
  const names = limitAnnotations(service.annotations);
  if (names.length === 0) return [];
  const { namespace, name, ports } = service;
  const profiles = [...traffic.profiles.values()].filter(
    (profile) => profile.name === `${name}.${namespace}.svc.${context.clusterDomain}`,
  );
  const clients = new Set([namespace, ...profiles.map((profile) => profile.namespace)]);
  for (const client of clients) {
    for (const { port } of ports) {
      const { ref, routes, targets } = traffic.ofService(namespace, name, port, client);
      if ((routes === undefined && targets === undefined) || ref?.type !== 'resource') continue;
      const whose = client === namespace ? '' : ` of clients in ${client}`;
      const message = `does not count: ${ref.kind} ${ref.namespace}/${ref.name} decides about requests${whose}`;
      return names.map((field) => ({ field, message }));
    }
  }
  return [];
}
