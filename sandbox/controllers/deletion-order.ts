import { timeOf } from './controller.ts';
import { isReady, podCondition } from './pods.ts';
import type { Pod } from './resources.ts';

const COST = 'controller.kubernetes.io/pod-deletion-cost';
const PHASE_RANK: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** How dear a pod is, dearest property first; compared one after the other, the smallest goes first. */
function ranks(pod: Pod, podsOnNode: number): readonly number[] {
  const { status, spec, metadata } = pod;
  return [
    spec.nodeName ? 1 : 0,
    PHASE_RANK[status?.phase ?? 'Pending'] ?? 1,
    isReady(pod) ? 1 : 0,
    deletionCost(metadata.annotations?.[COST]),
    -podsOnNode,
    isReady(pod) ? -timeOf(podCondition(pod, 'Ready')?.lastTransitionTime) || 0 : 0,
    -restarts(pod),
    -timeOf(metadata.creationTimestamp) || 0,
  ];
}

function deletionCost(annotation: string | undefined): number {
  return annotation !== undefined && /^-?\d+$/.test(annotation) ? Number(annotation) : 0;
}

function restarts(pod: Pod): number {
  const counts = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return Math.max(0, ...counts.map((container) => container.restartCount));
}

/**
 * Which pods a ReplicaSet gives up first: unscheduled, then pending, then unready, then cheap (`pod-deletion-cost`), then
 * those with the most neighbours of the same set on their node, then ready for the shortest time, restarted most, youngest.
 * Source: kube-controller-manager `ActivePodsWithRanks`.
 *
 * @returns the first `count` in that order
 */
export function firstToDelete(pods: readonly Pod[], count: number): readonly Pod[] {
  const perNode = new Map<string, number>();
  for (const { spec } of pods) perNode.set(spec.nodeName ?? '', (perNode.get(spec.nodeName ?? '') ?? 0) + 1);
  return pods
    .map((pod) => ({ pod, ranks: ranks(pod, perNode.get(pod.spec.nodeName ?? '') ?? 0) }))
    .sort((a, b) => compare(a.ranks, b.ranks) || (a.pod.metadata.name < b.pod.metadata.name ? -1 : 1))
    .slice(0, count)
    .map(({ pod }) => pod);
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((rank, index) => rank !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
