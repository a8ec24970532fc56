import { hostname } from 'node:os';
import { INJECTOR, REPAIR_LEASE } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import type { KubeClient } from '#k8s/client.ts';
import { Informer } from '#k8s/informer.ts';
import { LeaderLease } from '#k8s/lease.ts';
import { systemClock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { recordEvent } from '../events.ts';
import type { Namespaces } from '../namespaces.ts';
import { LIVE_PODS } from './pods.ts';
import { Repair, type RepairMetrics } from './repair.ts';
import { probeWebhook } from './webhook-probe.ts';

export type RepairEnvironment = {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly values: Values;
  readonly namespaces: Namespaces;
  readonly metrics: RepairMetrics;
  /** Whether this process knows enough to decide about pods. */
  readonly isReady: () => boolean;
  /** The certificate authority of the webhook, absent as long as there is none. */
  readonly caPem: () => string | undefined;
};

/** Repairs while this process holds the Lease: only then are the pods of the cluster watched. */
export function startRepair(environment: RepairEnvironment): Disposable {
  const { client, log, values, namespaces, metrics } = environment;
  const serverName = `${INJECTOR}.${values.namespace}.svc`;
  const probe = async (): Promise<void> => {
    const caPem = environment.caPem();
    if (!environment.isReady() || caPem === undefined) throw new Error('the webhook is not ready yet');
    await probeWebhook(`${serverName}.${values.clusterDomain}`, serverName, caPem);
  };
  let running: Disposable | undefined;
  const begin = (): Disposable => {
    const repair = new Repair({
      client,
      clock: systemClock,
      log,
      namespaces,
      isEvicting: values.repair.enabled,
      isRedirectedByNode: values.cni.enabled,
      probe,
      recordEvent: (subject, event) => recordEvent(client, log, subject, event),
      metrics,
    });
    const informer = new Informer({ client, kind: LIVE_PODS, index: repair.pods });
    informer.start();
    repair.start();
    return {
      [Symbol.dispose]() {
        informer[Symbol.dispose]();
        repair[Symbol.dispose]();
      },
    };
  };
  const lease = new LeaderLease({
    client,
    namespace: values.namespace,
    name: REPAIR_LEASE,
    holder: `${hostname()}-${process.pid}`,
    clock: systemClock,
    onChange(isHolder) {
      log.info({ lease: REPAIR_LEASE, isHolder }, 'repairs unmeshed pods');
      running?.[Symbol.dispose]();
      running = isHolder ? begin() : undefined;
    },
    onError: (err) => log.warn({ err, lease: REPAIR_LEASE }, 'lease not renewed'),
  });
  lease.start();
  return {
    [Symbol.dispose]() {
      // Not given up: the next process does not know whose pods were just evicted, and the time until it begins lets them come back.
      lease[Symbol.dispose]();
      running?.[Symbol.dispose]();
    },
  };
}
