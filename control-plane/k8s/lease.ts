import type { Clock } from '#runtime/clock.ts';
import type { KubeClient } from './client.ts';
import { asNumber, asObject, asText, type JsonObject } from './json.ts';
import { KubeError } from './kube-error.ts';

export type LeaseOptions = {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly holder: string; // this process, unique among those that want the lease
  readonly clock: Clock;
  /** Told when this process becomes or ceases to be the holder. Must not throw. */
  readonly onChange: (isHolder: boolean) => void;
  readonly onError?: (error: unknown) => void;
};

const DURATION_SECONDS = 15;
const RENEW_MS = 5_000;

/**
 * One of several processes holds a Lease object at a time and does what only one should do. Whoever does not renew it for
 * 15 s loses it; times of other machines are not compared, only whether the object changes. Source: client-go leaderelection.
 */
export class LeaderLease implements Disposable {
  readonly #options: LeaseOptions;
  readonly #path: string;
  #seen = { resourceVersion: '', sinceMs: 0 };
  #isHolder = false;
  #renewedMs = 0;
  #timer: Disposable | undefined;
  #isClosed = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  get isHolder(): boolean {
    return this.#isHolder;
  }

  start(): void {
    void this.#step(); // never rejects
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #step(): Promise<void> {
    const { clock } = this.#options;
    try {
      this.#set(await this.#acquire());
    } catch (error) {
      const isLost = clock.now() - this.#renewedMs > (DURATION_SECONDS * 1000 * 2) / 3;
      if (isLost) this.#set(false); // before anybody else may take it
      this.#options.onError?.(error);
    }
    if (!this.#isClosed) this.#timer = clock.after(RENEW_MS, () => void this.#step());
  }

  #set(isHolder: boolean): void {
    if (isHolder) this.#renewedMs = this.#options.clock.now();
    if (isHolder === this.#isHolder || this.#isClosed) return;
    this.#isHolder = isHolder;
    this.#options.onChange(isHolder);
  }

  async #acquire(): Promise<boolean> {
    const { client, clock, holder, name, namespace } = this.#options;
    const found = await this.#read();
    const now = new Date(clock.now()).toISOString().replace('Z', '000Z');
    const mine = { holderIdentity: holder, leaseDurationSeconds: DURATION_SECONDS, renewTime: now };
    if (found === undefined) {
      const body = { metadata: { name, namespace }, spec: { ...mine, acquireTime: now, leaseTransitions: 0 } };
      return this.#write(() => client.request({ method: 'POST', path: this.#path, body }));
    }
    const spec = asObject(found['spec']);
    const resourceVersion = asText(asObject(found['metadata'])['resourceVersion']) ?? '';
    const isMine = spec['holderIdentity'] === holder;
    if (this.#seen.resourceVersion !== resourceVersion) this.#seen = { resourceVersion, sinceMs: clock.now() };
    const durationMs = (asNumber(spec['leaseDurationSeconds']) ?? DURATION_SECONDS) * 1000;
    const isFree = (asText(spec['holderIdentity']) ?? '') === '' || clock.now() - this.#seen.sinceMs >= durationMs;
    if (!isMine && !isFree) return false;
    const transitions = asNumber(spec['leaseTransitions']) ?? 0;
    const taken = isMine ? {} : { acquireTime: now, leaseTransitions: transitions + 1 };
    const body = { ...found, spec: { ...spec, ...mine, ...taken } };
    return this.#write(() => client.request({ method: 'PUT', path: `${this.#path}/${name}`, body }));
  }

  async #read(): Promise<JsonObject | undefined> {
    try {
      const { client, name } = this.#options;
      return asObject(await client.request({ method: 'GET', path: `${this.#path}/${name}` }));
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
  }

  /** @returns whether it was written: somebody else may have been faster */
  async #write(request: () => Promise<unknown>): Promise<boolean> {
    try {
      await request();
      return true;
    } catch (error) {
      if (error instanceof KubeError && error.isConflict) return false;
      throw error;
    }
  }
}
