import type { Service } from '#k8s/resources/service.ts';
import {
  EXTERNAL_WORKLOADS,
  readExternalWorkload,
  selectsWorkload,
  withoutTraffic,
} from '../../control-plane/dialects/external-workload.ts';
import { listKind } from '../../control-plane/findings/reader.ts';
import type { Cluster } from '../cluster.ts';

const READY = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}';

/** External workloads that a Service selects and sends nothing to: why, and what to do. */
export async function idleWorkloads(cluster: Cluster, service: Service): Promise<readonly string[]> {
  const { namespace } = service;
  const workloads = (await listKind(cluster, EXTERNAL_WORKLOADS, namespace)).map(readExternalWorkload);
  return workloads.flatMap((workload) => {
    const problem = withoutTraffic(workload);
    if (problem === undefined || !selectsWorkload(service, workload)) return [];
    const object = `ExternalWorkload ${namespace}/${workload.name}`;
    const remedy = problem.field.startsWith('status.')
      ? `when it serves: kubectl patch externalworkload -n ${namespace} ${workload.name} --subresource=status --type=merge -p '${READY}'`
      : `correct ${problem.field}`;
    return [`${object} is selected and gets no traffic: ${problem.field} ${problem.message}; ${remedy}`];
  });
}
