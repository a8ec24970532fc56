import {
  keyOf,
  startQueue,
  timeOf,
  timestamp,
  together,
  withCondition,
  writeStatus,
  type Again,
  type ControllerContext,
} from './controller.ts';
import { scaled } from './deployment/rolling-update.ts';
import { defined } from './json.ts';
import { matchesSelector } from './label-selector.ts';
import { controllerOf } from './owners.ts';
import { isFinished, isReady, isTerminating } from './pods.ts';
import type { Pod, PodDisruptionBudget } from './resources.ts';

const SOURCE = 'disruption-controller';
/** An eviction that was granted but whose pod did not go is forgotten after this time. */
const DISRUPTED_MS_MAX = 120_000;

type Status = NonNullable<PodDisruptionBudget['status']>;

/** Says how many pods of each PodDisruptionBudget may be evicted now. Source: kube-controller-manager `disruption`. */
export function startDisruptionController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (pod: Pod): void => {
    for (const budget of client.list('poddisruptionbudgets.policy', pod.metadata.namespace)) {
      if (matchesSelector(budget.spec.selector, pod.metadata.labels)) queue.add(keyOf(budget));
    }
  };
  const wakeNamespace = ({ metadata }: { metadata: { namespace?: string } }): void => {
    for (const budget of client.list('poddisruptionbudgets.policy', metadata.namespace)) queue.add(keyOf(budget));
  };
  return together(
    queue,
    client.watch('poddisruptionbudgets.policy', { apply: (budget) => queue.add(keyOf(budget)), delete: () => {} }),
    client.watch('pods', {
      apply(pod, old) {
        if (old !== undefined && old.metadata.labels !== pod.metadata.labels) wake(old);
        wake(pod);
      },
      delete: wake,
    }),
    // A share of the pods follows the size that their controller is to have.
    client.watch('deployments.apps', { apply: wakeNamespace, delete: wakeNamespace }),
    client.watch('statefulsets.apps', { apply: wakeNamespace, delete: wakeNamespace }),
  );
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client, clock } = context;
  const budget = client.get('poddisruptionbudgets.policy', namespace, name);
  if (budget === undefined) return undefined;
  const pods = client
    .list('pods', namespace)
    .filter((pod) => !isFinished(pod) && matchesSelector(budget.spec.selector, pod.metadata.labels));
  const status = budgetStatus(budget, pods, controllerSizes(context, pods), clock.now());
  await writeStatus(client, 'poddisruptionbudgets.policy', budget, status);
  return Object.keys(status.disruptedPods ?? {}).length > 0 ? DISRUPTED_MS_MAX : undefined;
}

/** Pods that the controllers of these pods want together, each controller counted once; a pod without one counts as one. */
function controllerSizes({ client }: ControllerContext, pods: readonly Pod[]): number {
  const sizes = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    const { namespace, uid } = pod.metadata;
    if (owner?.kind === 'ReplicaSet') {
      const set = client.get('replicasets.apps', namespace, owner.name);
      const above = set && controllerOf(set);
      const deployment =
        above?.kind === 'Deployment' ? client.get('deployments.apps', namespace, above.name) : undefined;
      if (deployment !== undefined) sizes.set(deployment.metadata.uid, deployment.spec.replicas ?? 1);
      else if (set !== undefined) sizes.set(set.metadata.uid, set.spec.replicas ?? 1);
    } else if (owner?.kind === 'StatefulSet') {
      const set = client.get('statefulsets.apps', namespace, owner.name);
      if (set !== undefined) sizes.set(set.metadata.uid, set.spec.replicas ?? 1);
    } else {
      sizes.set(uid, 1);
    }
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/**
 * @param pods      those the budget selects, without finished ones
 * @param wanted    how many there should be, as their controllers say
 */
export function budgetStatus(budget: PodDisruptionBudget, pods: readonly Pod[], wanted: number, nowMs: number): Status {
  const { minAvailable, maxUnavailable } = budget.spec;
  const isCounted = typeof minAvailable === 'number';
  const expectedPods = isCounted || (minAvailable === undefined && maxUnavailable === undefined) ? pods.length : wanted;
  const desiredHealthy =
    maxUnavailable !== undefined
      ? Math.max(0, expectedPods - scaled(maxUnavailable, expectedPods, 'up'))
      : scaled(minAvailable ?? 1, expectedPods, 'up');
  const alive = new Map(pods.map((pod) => [pod.metadata.name, pod]));
  const disrupted = Object.entries(budget.status?.disruptedPods ?? {}).filter(([pod, since]) => {
    const found = alive.get(pod);
    return found !== undefined && !isTerminating(found) && timeOf(since) + DISRUPTED_MS_MAX > nowMs;
  });
  const leaving = new Set(disrupted.map(([pod]) => pod));
  const currentHealthy = pods.filter(
    (pod) => isReady(pod) && !isTerminating(pod) && !leaving.has(pod.metadata.name),
  ).length;
  const disruptionsAllowed = expectedPods <= 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  const isAllowed = disruptionsAllowed > 0;
  const conditions = withCondition(budget.status?.conditions ?? [], {
    type: 'DisruptionAllowed',
    status: isAllowed ? 'True' : 'False',
    reason: isAllowed ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    lastTransitionTime: timestamp(nowMs),
    ...(budget.metadata.generation === undefined ? {} : { observedGeneration: budget.metadata.generation }),
  });
  return defined({
    observedGeneration: budget.metadata.generation,
    disruptedPods: disrupted.length === 0 ? undefined : Object.fromEntries(disrupted),
    disruptionsAllowed,
    currentHealthy,
    desiredHealthy,
    expectedPods,
    conditions,
  });
}
