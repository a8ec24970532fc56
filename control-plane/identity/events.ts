import { createHash } from 'node:crypto';
import { IDENTITY } from '#config/names.ts';
import type { KubeClient } from '#k8s/client.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Logger } from '#runtime/log.ts';
import type { Notice } from './authority.ts';

const MESSAGE_LENGTH_MAX = 1024; // the API refuses longer ones

/**
 * Records a notice as an Event of the identity Deployment, as Linkerd does. Best effort. The name is made of what it says, so that
 * replicas which find the same thing out say it once.
 */
export function recordNotice(client: KubeClient, log: Logger, namespace: string, notice: Notice, nowMs: number): void {
  const at = new Date(nowMs).toISOString();
  const hash = createHash('sha256').update(`${notice.reason} ${notice.message}`).digest('hex').slice(0, 16);
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${IDENTITY}.${hash}`, namespace },
    involvedObject: { apiVersion: 'apps/v1', kind: 'Deployment', name: IDENTITY, namespace },
    ...notice,
    message: notice.message.slice(0, MESSAGE_LENGTH_MAX),
    source: { component: IDENTITY },
    reportingComponent: IDENTITY,
    reportingInstance: IDENTITY,
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
  log[notice.type === 'Warning' ? 'warn' : 'info']({ reason: notice.reason }, notice.message);
  client.request({ method: 'POST', path: `/api/v1/namespaces/${namespace}/events`, body }).catch((error: unknown) => {
    if (!(error instanceof KubeError && error.isConflict)) log.warn({ err: error }, 'cannot record an event');
  });
}
