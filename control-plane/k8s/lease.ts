import { setTimeout as sleep } from 'node:timers/promises';
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
/** Who has not renewed it for so long is no holder, before anybody else may take it. */
const RENEW_MS_MAX = 10_000;
/** Giving it up may take so long: whoever ends must not wait for an API server that does not answer. */
const GIVE_UP_MS = 2_000;

/**
 * One of several processes holds a Lease object at a time and does what only one should do. Whoever does not renew it for
 * 15 s loses it; times of other machines are not compared, only whether the object changes. Source: client-go leaderelection.
 */
export class LeaderLease implements Disposable {
  readonly #options: LeaseOptions;
  readonly #path: string;
  #seen = { resourceVersion: '', sinceMs: 0 };
  #isHolder = false;
  #timer: Disposable | undefined;
  #expiry: Disposable | undefined;
  #step: Promise<void> | undefined; // the last one; never rejects
  #isClosed = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  get isHolder(): boolean {
    return this.#isHolder && !this.#isClosed;
  }

  start(): void {
    if (this.#isClosed) return;
    this.#step = this.#look();
  }

  /** Ends it. What it holds runs out by itself. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
    this.#expiry?.[Symbol.dispose]();
  }

  /**
   * Ends it, and leaves what it holds to whoever wants it, at once. What only the holder may do has to be ended before, and must
   * not need a pause between two holders. Takes at most 2 s, and never rejects. Source: client-go leaderelection, `ReleaseOnCancel`.
   */
  async giveUp(): Promise<void> {
    if (this.#isClosed) return;
    this[Symbol.dispose]();
    await Promise.race([this.#release(), sleep(GIVE_UP_MS, undefined, { ref: false })]);
  }

  async #look(): Promise<void> {
    const { clock } = this.#options;
    const beganMs = clock.now();
    try {
      const isHolder = await this.#acquire();
      this.#set(isHolder);
      if (isHolder) this.#expireAt(beganMs + RENEW_MS_MAX);
    } catch (error) {
      this.#options.onError?.(error);
    }
    if (!this.#isClosed) this.#timer = clock.after(RENEW_MS, () => this.start());
  }

  #set(isHolder: boolean): void {
    if (isHolder === this.#isHolder) return;
    this.#isHolder = isHolder;
    if (!this.#isClosed) this.#options.onChange(isHolder);
  }

  /** By a timer: an API server that does not answer lets a request wait for longer than the lease lasts. */
  #expireAt(ms: number): void {
    const { clock } = this.#options;
    this.#expiry?.[Symbol.dispose]();
    if (!this.#isClosed) this.#expiry = clock.after(Math.max(0, ms - clock.now()), () => this.#set(false));
  }

  async #release(): Promise<void> {
    await this.#step; // it may be becoming the holder right now
    if (!this.#isHolder) return;
    const { client, clock, holder, name } = this.#options;
    try {
      const found = await this.#read();
      const spec = asObject(found?.['spec']);
      if (found === undefined || spec['holderIdentity'] !== holder) return;
      const now = microTime(clock.now());
      // The API server takes no duration of 0.
      const free = { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
      const body = { ...found, spec: { ...spec, ...free } };
      await this.#write(() => client.request({ method: 'PUT', path: `${this.#path}/${name}`, body }));
    } catch (error) {
      this.#options.onError?.(error);
    }
  }

  async #acquire(): Promise<boolean> {
    const { client, clock, holder, name, namespace } = this.#options;
    const found = await this.#read();
    const now = microTime(clock.now());
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

/** As the API server writes times of a Lease. @param ms  since 1970 */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
