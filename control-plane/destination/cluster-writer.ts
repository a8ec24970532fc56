import { hostname } from 'node:os';
import { STATUS_LEASE } from '#config/names.ts';
import type { KubeClient } from '#k8s/client.ts';
import { LeaderLease } from '#k8s/lease.ts';
import type { ServedKinds } from '#k8s/served-kinds.ts';
import { systemClock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { EXTERNAL_WORKLOADS } from '../dialects/external-workload.ts';
import { ruledStatusSources, withEffect } from '../findings/live/effect-status.ts';
import { Effects, type EffectsOptions } from '../findings/live/effects.ts';
import { egressStatusSource } from '../policy/egress-status-source.ts';
import { policyContext } from '../policy/inbound-policy.ts';
import { rateLimitStatusSource } from '../policy/rate-limit-status-source.ts';
import { routeStatusSources } from '../policy/route-status-source.ts';
import { StatusWriter } from '../policy/status-writer.ts';
import { ExternalSliceWriter } from './external-slice-writer.ts';
import type { Indexes } from './indexes.ts';

export type ClusterWriterOptions = {
  readonly namespace: string; // of the Lease
  readonly clusterDomain: string;
  readonly client: KubeClient;
  readonly log: Logger;
  readonly indexes: Indexes;
  readonly kinds: ServedKinds;
  readonly onLooked: NonNullable<EffectsOptions['onLooked']>;
};

/**
 * What one of the replicas, the holder of a Lease, writes into the cluster: what became of objects into their statuses, and
 * slices of external workloads.
 */
export class ClusterWriter implements AsyncDisposable {
  readonly effects: Effects;
  readonly #statuses: StatusWriter;
  readonly #slices: ExternalSliceWriter;
  readonly #lease: LeaderLease;

  constructor({ namespace, clusterDomain, client, log, indexes, kinds, onLooked }: ClusterWriterOptions) {
    const { stores, traffic, routes, policies, egress, inboundSettings } = indexes;
    const policy = policyContext(inboundSettings);
    const isWriter = (): boolean => this.#lease.isHolder;
    const effects = new Effects({
      context: { policy, clusterDomain },
      ...indexes,
      ...stores,
      clock: systemClock,
      isWanted: isWriter,
      onLooked,
      onError: (err) => log.error({ err }, 'the rules about configuration failed'),
    });
    this.effects = effects;
    this.#statuses = new StatusWriter({
      sources: [
        ...routeStatusSources({ services: stores.services, routes, egress, clusterDomain }, policies, policy),
        rateLimitStatusSource(policies, policy),
        egressStatusSource(egress),
        ...ruledStatusSources(policies, traffic, effects),
      ].map((source) => withEffect(source, effects)),
      client,
      clock: systemClock,
      isWriter,
      hasStatus: (object) => kinds.hasStatus(object),
      onError: (object, err) => log.warn({ err, object }, 'status not written'),
    });
    this.#slices = new ExternalSliceWriter({
      stores,
      client,
      clock: systemClock,
      isWriter,
      isKnown: () => kinds.isListed(`${EXTERNAL_WORKLOADS.plural}.${EXTERNAL_WORKLOADS.group}`),
      onError: (service, err) => log.warn({ err, service }, 'EndpointSlices of external workloads not written'),
    });
    this.#lease = new LeaderLease({
      client,
      namespace,
      name: STATUS_LEASE,
      holder: `${hostname()}-${process.pid}`,
      clock: systemClock,
      onChange: (isHolder) => {
        log.info({ lease: STATUS_LEASE, isHolder }, 'writer of statuses and slices');
        if (!isHolder) return;
        effects.restart();
        this.#slices.resume();
      },
      onError: (err) => log.warn({ err, lease: STATUS_LEASE }, 'lease not renewed'),
    });
  }

  /** When everything is known: nothing is written from half of the cluster. */
  start(): void {
    this.#lease.start();
  }

  /** Ends writing, and leaves it to another replica. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.effects[Symbol.dispose]();
    this.#statuses[Symbol.dispose]();
    this.#slices[Symbol.dispose]();
    await this.#lease.giveUp();
  }
}
