import { systemClock, type Clock } from '#runtime/clock.ts';
import { createLogger, type Logger } from '#runtime/log.ts';
import type { LocalClient } from '../apiserver/local-client.ts';
import { together, type ControllerContext } from './controller.ts';
import { startDaemonSetController } from './daemonset/daemonset.ts';
import { startDeploymentController } from './deployment/deployment.ts';
import { startDisruptionController } from './disruption.ts';
import { startEndpointsController } from './endpoints/endpoints.ts';
import { startEndpointSliceController } from './endpoints/endpointslice.ts';
import { startEventExpiry } from './event-expiry.ts';
import { startGarbageCollector } from './garbage-collector.ts';
import { startCronJobController } from './job/cronjob.ts';
import { startJobController } from './job/job.ts';
import { startNamespaceController } from './namespace.ts';
import { startReplicaSetController } from './replicaset.ts';
import { startStatefulSetController } from './statefulset.ts';
import { ServedTypes } from './served-types.ts';
import { startServiceAccountController } from './serviceaccount.ts';
import { typedClient } from './typed-client.ts';

export type ControllerOptions = {
  readonly caCertificate: string; // PEM, for the ConfigMap kube-root-ca.crt of every namespace
  readonly log?: Logger;
  readonly clock?: Clock;
};

/**
 * Starts all controllers of a cluster: what kube-controller-manager does for the kinds the sandbox serves. Only the rules
 * of aggregated ClusterRoles are kept by the API server, which needs them before anybody may do anything.
 * Everything that exists is looked at once; afterwards they act on changes only. Disposing stops them all.
 */
export function startControllers(local: LocalClient, options: ControllerOptions): Disposable {
  const { clock = systemClock, log = createLogger('controllers', 'warn') } = options;
  const context: ControllerContext = { client: typedClient(local), local, clock, log };
  const served = new ServedTypes(local);
  return together(
    served,
    startServiceAccountController(context, options.caCertificate),
    startNamespaceController(context, served),
    startGarbageCollector(context, served),
    startReplicaSetController(context),
    startDeploymentController(context),
    startStatefulSetController(context),
    startDaemonSetController(context),
    startJobController(context),
    startCronJobController(context),
    startDisruptionController(context),
    startEventExpiry(context),
    startEndpointSliceController(context),
    startEndpointsController(context),
  );
}
