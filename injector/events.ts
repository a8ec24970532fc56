import type { KubeClient } from '#k8s/client.ts';
import type { Logger } from '#runtime/log.ts';
import { ownerOf, type Pod } from './pod.ts';
import type { PodOutcome } from './patch.ts';

const MAX_MESSAGE = 1024; // the API refuses longer ones
const API_VERSIONS: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  ReplicaSet: 'apps/v1',
  StatefulSet: 'apps/v1',
  DaemonSet: 'apps/v1',
  Job: 'batch/v1',
  CronJob: 'batch/v1',
};
const KINDS: Readonly<Record<string, string>> = {
  deployment: 'Deployment',
  replicaset: 'ReplicaSet',
  statefulset: 'StatefulSet',
  daemonset: 'DaemonSet',
  job: 'Job',
  cronjob: 'CronJob',
  pod: 'Pod',
  replicationcontroller: 'ReplicationController',
};

/** Pods that never asked for a proxy, and those that have ours already because another webhook made the API server ask again. */
const SILENT: ReadonlySet<string> = new Set([
  'injection_enable_annotation_absent',
  'injection_disable_annotation_present',
  'sidecar_already_exists',
]);

/** What the people who own a workload should hear about, or undefined when there is nothing to tell. */
export function eventOf(outcome: PodOutcome): EventText | undefined {
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

/** Something that events are about. */
export type EventSubject = { readonly namespace: string; readonly kind: string; readonly name: string };
export type EventText = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string };

/** Records an event. Best effort: a lost event never delays or fails anything. */
export function recordEvent(client: KubeClient, log: Logger, subject: EventSubject, event: EventText): void {
  const { namespace, kind, name } = subject;
  const now = new Date().toISOString();
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { generateName: 'tulle-injector-', namespace },
    involvedObject: { apiVersion: API_VERSIONS[kind] ?? 'v1', kind, name, namespace },
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
    .catch((error: unknown) => log.warn({ err: error, ...subject }, 'cannot record an event'));
}

/** What events about a pod that is being created are about: its workload, or itself when it has none and its name is known. */
export function subjectOf(namespace: string, pod: Pod): EventSubject | undefined {
  const owner = ownerOf(pod);
  if (owner !== undefined) return subject(namespace, owner);
  const name = pod.metadata?.name;
  return name === undefined ? undefined : subject(namespace, { kind: 'pod', name });
}

/** @param workload  its kind in lower case */
export function subject(namespace: string, workload: { readonly kind: string; readonly name: string }): EventSubject {
  return { namespace, kind: KINDS[workload.kind] ?? workload.kind, name: workload.name };
}
