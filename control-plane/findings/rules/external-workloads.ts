import type { ResourceStore } from '#k8s/resource-store.ts';
import { EXTERNAL_WORKLOADS, withoutTraffic, type ExternalWorkload } from '../../dialects/external-workload.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';

/** External workloads that no Service sends anything to. In files nearly none has a status, so only a cluster can be asked. */
export function externalWorkloadFindings(configuration: {
  readonly externalWorkloads: ResourceStore<ExternalWorkload>;
}): readonly Diagnosis[] {
  return [...configuration.externalWorkloads.values()].flatMap((workload) => {
    const problem = withoutTraffic(workload);
    const about = { ...EXTERNAL_WORKLOADS, namespace: workload.namespace, name: workload.name };
    return problem === undefined ? [] : [diagnose('TL0305', about, problem.field, problem.message)];
  });
}
