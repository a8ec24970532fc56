import type { KubeClient } from '#k8s/client.ts';
import type { Logger } from '#runtime/log.ts';
import { ownerOf, type Pod } from './pod.ts';
import type { PodOutcome } from './patch.ts';

const MAX_MESSAGE = 1024; // the API refuses longer ones
const API_VERSIONS: Readonly<Record<string, string>> = {
  deployment: 'apps/v1',
  replicaset: 'apps/v1',
  statefulset: 'apps/v1',
  daemonset: 'apps/v1',
  job: 'batch/v1',
  replicationcontroller: 'v1',
};
const KINDS: Readonly<Record<string, string>> = {
  deployment: 'Deployment',
  replicaset: 'ReplicaSet',
  statefulset: 'StatefulSet',
  daemonset: 'DaemonSet',
  job: 'Job',
  replicationcontroller: 'ReplicationController',
};

/** Pods that never asked for a proxy, and those that have ours already because another webhook made the API server ask again. */
const SILENT: ReadonlySet<string> = new Set([
  'injection_enable_annotation_absent',
  'injection_disable_annotation_present',
  'sidecar_already_exists',
]);

/** What the people who own a workload should hear about, or undefined when there is nothing to tell. */
export function eventOf(
  outcome: PodOutcome,
): { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string } | undefined {
  const { decision, problems } = outcome;
  if (problems.length > 0) {
    const list = problems.map(({ message }) => message).join('; ');
    return { type: 'Warning', reason: 'InvalidAnnotation', message: `Proxy injected, but ignored: ${list}` };
  }
  if (decision.kind === 'inject')
    return { type: 'Normal', reason: 'Injected', message: 'Proxy sidecar successfully injected' };
  if (SILENT.has(decision.reason)) return undefined;
  return { type: 'Warning', reason: 'InjectionSkipped', message: `Proxy not injected: ${decision.message}` };
}

/** Records the decision on the workload that the pod belongs to. Best effort: a lost event never delays or fails a pod. */
export function recordEvent(client: KubeClient, log: Logger, namespace: string, pod: Pod, outcome: PodOutcome): void {
  const event = eventOf(outcome);
  const owner = ownerOf(pod);
  const kind = KINDS[owner?.kind ?? ''];
  if (event === undefined || owner === undefined || kind === undefined) return;
  const now = new Date().toISOString();
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { generateName: 'tulle-injector-', namespace },
    involvedObject: { apiVersion: API_VERSIONS[owner.kind], kind, name: owner.name, namespace },
    ...event,
    message: event.message.slice(0, MAX_MESSAGE),
    source: { component: 'tulle-injector' },
    reportingComponent: 'tulle-injector',
    reportingInstance: 'tulle-injector',
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
  client
    .request({ method: 'POST', path: `/api/v1/namespaces/${namespace}/events`, body })
    .catch((error: unknown) => log.warn({ err: error, namespace, workload: owner.name }, 'cannot record an event'));
}
