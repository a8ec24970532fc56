import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiObject, Cluster } from '../../cli/cluster.ts';
import { CommandError } from '../../cli/command.ts';
import { askMetricsApi } from '../../viz/cli/client.ts';
import type { StatAnswer } from '../../viz/metrics-api/server.ts';

const POLL_MS = 150;

/**
 * Waits until every Deployment of the namespaces has all its replicas available.
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
    const waiting = deployments.filter((deployment) => !isAvailable(deployment));
    if (deployments.length > 0 && waiting.length === 0) return;
    note(waiting.map(({ metadata }) => metadata.name).join(', '));
    if (performance.now() > deadlineMs) throw new CommandError(await whyNotReady(cluster, namespaces, timeoutMs));
    await sleep(POLL_MS);
  }
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

function isAvailable(deployment: ApiObject): boolean {
  const { replicas = 1 } = deployment['spec'] as { replicas?: number };
  const status = (deployment['status'] ?? {}) as {
    availableReplicas?: number;
    updatedReplicas?: number;
    observedGeneration?: number;
  };
  return (status.availableReplicas ?? 0) >= replicas && (status.updatedReplicas ?? 0) >= replicas;
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
