import { isDeepStrictEqual } from 'node:util';
import type { KubeClient } from '#k8s/client.ts';
import { KubeError } from '#k8s/kube-error.ts';
import { ENDPOINT_SLICES, type EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Clock } from '#runtime/clock.ts';
import { WorkQueue } from '#runtime/work-queue.ts';
import { selectsWorkload, type ExternalWorkload } from '../dialects/external-workload.ts';
import { emptySlice, externalSlices, MANAGED_BY, MANAGED_BY_LABEL, type SliceObject } from './external-slices.ts';
import { serviceKey } from './service-slices.ts';
import type { Stores } from './stores.ts';

export type ExternalSliceWriterOptions = {
  readonly stores: Stores;
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Whether this process is the one that writes. */
  readonly isWriter: () => boolean;
  /** Whether all external workloads are known: before, slices would be taken away that are right. */
  readonly isKnown: () => boolean;
  readonly onError: (service: string, error: unknown) => void;
};

const UNKNOWN_RETRY_MS = 1000;

/**
 * Writes EndpointSlices for external workloads as Kubernetes does for pods, so that DNS, kube-proxy and proxies find them under
 * the Services that select them.
 */
export class ExternalSliceWriter implements Disposable {
  readonly #options: ExternalSliceWriterOptions;
  readonly #queue: WorkQueue;

  constructor(options: ExternalSliceWriterOptions) {
    this.#options = options;
    const { stores, clock, onError } = options;
    this.#queue = new WorkQueue({
      clock,
      reconcile: (key) => this.#reconcile(key),
      onError: (key, error) => onError(key, error),
      retryMsMin: 200,
    });
    stores.services.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      this.#queue.add(keyOf(namespace, name));
    });
    stores.externalWorkloads.onChange((next, previous) => this.#addSelecting([next, previous]));
    // What somebody else has changed or deleted of ours is put right.
    stores.slices.onChange((next, previous) => {
      for (const slice of [next, previous])
        if (slice !== undefined && isOurs(slice)) this.#queue.add(serviceKey(slice));
    });
  }

  /** Looks at all Services, after this process became the writer. */
  resume(): void {
    for (const { namespace, name } of this.#options.stores.services.values()) this.#queue.add(keyOf(namespace, name));
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
  }

  #addSelecting(workloads: readonly (ExternalWorkload | undefined)[]): void {
    for (const service of this.#options.stores.services.values()) {
      if (workloads.some((workload) => workload !== undefined && selectsWorkload(service, workload)))
        this.#queue.add(keyOf(service.namespace, service.name));
    }
  }

  async #reconcile(key: string): Promise<number | undefined> {
    const { stores, isWriter, isKnown } = this.#options;
    const service = stores.services.getByKey(key);
    // Slices of a Service that is gone go with their owner.
    if (!isWriter() || service === undefined) return undefined;
    if (!isKnown()) return UNKNOWN_RETRY_MS;
    const workloads = [...stores.externalWorkloads.values()].filter(({ namespace }) => namespace === service.namespace);
    const wanted = externalSlices(service, workloads);
    const ours = stores.serviceSlices.of(key).filter(isOurs);
    const isWanted = ({ name }: EndpointSlice): boolean => wanted.some(({ metadata }) => metadata.name === name);
    const unused = ours.filter((slice) => !isWanted(slice)).map((slice) => emptySlice(service, slice));
    for (const slice of [...wanted, ...unused]) {
      const existing = ours.find(({ name }) => name === slice.metadata.name);
      if (existing === undefined || !isSame(existing, slice)) await this.#write(slice, existing !== undefined);
    }
    return undefined;
  }

  async #write(slice: SliceObject, exists: boolean): Promise<void> {
    const { client } = this.#options;
    const { namespace, name } = slice.metadata;
    const path = pathOf(namespace);
    try {
      if (exists) await client.request({ method: 'PUT', path: `${path}/${name}`, body: slice });
      else await client.request({ method: 'POST', path, body: slice });
    } catch (error) {
      // It was made or deleted meanwhile: that comes by the informer, and the Service is looked at again.
      if (error instanceof KubeError && (error.isConflict || error.isNotFound)) return;
      throw error;
    }
  }
}

function pathOf(namespace: string): string {
  return `${ENDPOINT_SLICES.apiPath}/namespaces/${namespace}/${ENDPOINT_SLICES.plural}`;
}

function isOurs({ labels }: EndpointSlice): boolean {
  return labels[MANAGED_BY_LABEL] === MANAGED_BY;
}

/** Whether a slice says what it should, as far as anybody reads it. */
function isSame(existing: EndpointSlice, wanted: SliceObject): boolean {
  const { labels, addressType, ports, endpoints } = existing;
  const should = ENDPOINT_SLICES.parse(wanted);
  return isDeepStrictEqual(
    { labels, addressType, ports, endpoints },
    should && {
      labels: should.labels,
      addressType: should.addressType,
      ports: should.ports,
      endpoints: should.endpoints,
    },
  );
}
