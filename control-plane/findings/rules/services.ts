import type { ResourceStore } from '#k8s/resource-store.ts';
import { selectsWorkload, type ExternalWorkload } from '../../dialects/external-workload.ts';
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
    const selector = Object.entries(service.selector);
    const hasPods = workloads.some(({ pod }) => selector.every(([key, value]) => pod.labels[key] === value));
    const hasOthers = [...configuration.externalWorkloads.values()].some((external) =>
      selectsWorkload(service, external),
    );
    const isEmpty =
      selector.length > 0 && workloads.length > 0 && service.type !== 'ExternalName' && !hasPods && !hasOthers;
    return [
      ...(isEmpty ? [diagnose('TL0301', about, 'spec.selector', 'selects no pod')] : []),
      ...serviceProblems(service).map(({ field, message }) =>
        diagnose('TL0302', about, `metadata.annotations[${field}]`, message),
      ),
      ...annotationProblems('Service', service.annotations).map(({ code, field, message }) =>
        diagnose(code, about, field, message),
      ),
    ];
  });
}
