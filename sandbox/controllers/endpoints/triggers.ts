import { keyOf, timeOf, timestamp, type ControllerContext } from '../controller.ts';
import type { WorkQueue } from '#runtime/work-queue.ts';
import { together } from '../controller.ts';
import { matchesLabels } from '../label-selector.ts';
import { podCondition } from '../pods.ts';
import type { Pod, Service } from '../resources.ts';
import { hasManagedEndpoints } from './service-endpoints.ts';

export const LAST_CHANGE = 'endpoints.kubernetes.io/last-change-trigger-time';

/** Queues every Service that changes, and every Service that selects, or did select, a pod that changes. */
export function watchServicesAndPods({ client }: ControllerContext, queue: WorkQueue): Disposable {
  const wake = (pod: Pod): void => {
    for (const service of client.list('services', pod.metadata.namespace)) {
      if (hasManagedEndpoints(service) && matchesLabels(service.spec.selector ?? {}, pod.metadata.labels)) {
        queue.add(keyOf(service));
      }
    }
  };
  return together(
    client.watch('services', {
      apply: (service) => queue.add(keyOf(service)),
      delete: (service) => queue.add(keyOf(service)),
    }),
    client.watch('pods', {
      apply(pod, old) {
        if (old !== undefined && old.metadata.labels !== pod.metadata.labels) wake(old);
        wake(pod);
      },
      delete: wake,
    }),
  );
}

/** The pods a Service selects, by name, so that the same pods always give the same order. */
export function selectedPods({ client }: ControllerContext, service: Service): readonly Pod[] {
  return client
    .list('pods', service.metadata.namespace)
    .filter((pod) => matchesLabels(service.spec.selector ?? {}, pod.metadata.labels))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** When what the endpoints show last happened: for measuring how long the news takes to reach the proxies. */
export function lastChange(service: Service, pods: readonly Pod[]): string {
  const times = pods.flatMap((pod) => [
    timeOf(pod.metadata.deletionTimestamp ?? pod.metadata.creationTimestamp),
    timeOf(podCondition(pod, 'Ready')?.lastTransitionTime),
  ]);
  const known = times.filter((time) => !Number.isNaN(time));
  return timestamp(Math.max(timeOf(service.metadata.creationTimestamp), ...known));
}
