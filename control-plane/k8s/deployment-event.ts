import { createHash } from 'node:crypto';
import type { Logger } from '#runtime/log.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './kube-error.ts';

const MESSAGE_LENGTH_MAX = 1024; // the API refuses longer ones

/** Something that people should hear of, as an Event. */
export type Notice = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string };

export type DeploymentEvents = {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly namespace: string;
  readonly deployment: string; // which the Events are about
  readonly component: string; // which tells them
};

/**
 * Records a notice as an Event of a Deployment, as Linkerd does. Best effort. The name is made of what it says, so that replicas which
 * find the same thing out say it once.
 */
export function recordNotice(events: DeploymentEvents, notice: Notice, nowMs: number): void {
  const { client, log, namespace, deployment, component } = events;
  const at = new Date(nowMs).toISOString();
  const hash = createHash('sha256').update(`${notice.reason} ${notice.message}`).digest('hex').slice(0, 16);
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${deployment}.${hash}`, namespace },
    involvedObject: { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment, namespace },
    ...notice,
    message: notice.message.slice(0, MESSAGE_LENGTH_MAX),
    source: { component },
    reportingComponent: component,
    reportingInstance: component,
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
  log[notice.type === 'Warning' ? 'warn' : 'info']({ reason: notice.reason }, notice.message);
  client.request({ method: 'POST', path: `/api/v1/namespaces/${namespace}/events`, body }).catch((error: unknown) => {
    if (!(error instanceof KubeError && error.isConflict)) log.warn({ err: error }, 'cannot record an event');
  });
}
