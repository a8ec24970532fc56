import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiObject, Cluster } from '../../cli/cluster.ts';
import { CommandError } from '../../cli/command.ts';
import { askMetricsApi } from '../../viz/cli/client.ts';
import type { StatAnswer } from '../../viz/metrics-api/server.ts';

const POLL_MS = 150;

/**
 * Waits until every Deployment of the namespaces is rolled out.
 *
 * @param note  told what is still missing
 * @throws CommandError  naming the pods that are not ready and what they are waiting for
 */
export async function waitForDeployments(
  cluster: Cluster,
  namespaces: readonly string[],
  timeoutMs: number,
  note: (text: string) => void,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const lists = await Promise.all(
      namespaces.map((namespace) => cluster.list(`/apis/apps/v1/namespaces/${namespace}/deployments`)),
    );
    const deployments = lists.flat();
    const waiting = deployments.filter((deployment) => !isRolledOut(deployment));
    if (deployments.length > 0 && waiting.length === 0) return;
    note(waiting.map(({ metadata }) => metadata.name).join(', '));
    if (performance.now() > deadlineMs) throw new CommandError(await whyNotReady(cluster, namespaces, timeoutMs));
    await sleep(POLL_MS);
  }
}

/** Whether every pod of a Deployment is of its newest template and available, and those of older ones are gone. */
export function isRolledOut({ metadata, spec, status }: ApiObject): boolean {
  const { generation } = metadata as { generation?: number };
  const { replicas: wanted = 1 } = spec as { replicas?: number };
  const {
    observedGeneration,
    replicas = 0,
    updatedReplicas = 0,
    availableReplicas = 0,
  } = (status ?? {}) as {
    [field in 'observedGeneration' | 'replicas' | 'updatedReplicas' | 'availableReplicas']?: number;
  };
  return observedGeneration === generation && [replicas, updatedReplicas, availableReplicas].every((n) => n === wanted);
}

/** Waits until the metrics show requests of clients to every HTTP service: Services count them without probes of the kubelet. */
export async function waitForTraffic(
  cluster: Cluster,
  namespace: string,
  timeoutMs: number,
  note: (text: string) => void,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  const wanted = ['web', 'catalog', 'checkout'];
  for (;;) {
    const { rows, notes } = await askMetricsApi<StatAnswer>(cluster, {}, '/api/stat', {
      kind: 'service',
      namespace,
      windowMs: '60000',
    });
    const silent = wanted.filter(
      (name) => !rows.some((row) => row.name === name && row.requestsPerSecond !== undefined),
    );
    if (silent.length === 0) return;
    note(`no requests seen yet at ${silent.join(', ')}`);
    if (performance.now() > deadlineMs)
      throw new CommandError(
        `no requests were seen at ${silent.join(', ')} within ${timeoutMs / 1000} s ${notes.join('; ')}`.trim(),
      );
    await sleep(POLL_MS * 2);
  }
}

type PodStatus = {
  readonly phase?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly containerStatuses?: readonly ContainerStatus[];
};
type ContainerStatus = {
  readonly name: string;
  readonly ready?: boolean;
  readonly state?: {
    readonly waiting?: { reason?: string; message?: string };
    readonly terminated?: { exitCode?: number };
  };
};

async function whyNotReady(cluster: Cluster, namespaces: readonly string[], timeoutMs: number): Promise<string> {
  const pods = (
    await Promise.all(namespaces.map((namespace) => cluster.list(`/api/v1/namespaces/${namespace}/pods`)))
  ).flat();
  const reasons = pods.flatMap((pod) => {
    const status = (pod['status'] ?? {}) as PodStatus;
    if (status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true) return [];
    const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].filter(
      ({ ready }) => ready !== true,
    );
    const details = containers.map(
      ({ name, state }) =>
        `${name}${state?.waiting === undefined ? '' : ` ${state.waiting.reason ?? ''} ${state.waiting.message ?? ''}`.trimEnd()}`,
    );
    return [`${pod.metadata.namespace}/${pod.metadata.name} (${status.phase ?? 'unknown'}: ${details.join(', ')})`];
  });
  return `not ready within ${timeoutMs / 1000} s: ${reasons.join('; ') || 'no pods were created'}`;
}
