import type { V1Probe } from '@kubernetes/client-node';

import type { CheckResult } from './probe-check.ts';

export type ProbeKind = 'startup' | 'readiness' | 'liveness';

/** The probes of one container. */
export type Probes = { readonly [Kind in ProbeKind]?: V1Probe };

export type ProberEvents = {
  /** `isStarted` or `isReady` has changed. */
  changed(): void;
  /** A check failed; the container may still be fine. */
  unhealthy(kind: ProbeKind, message: string): void;
  /** Startup or liveness failed as often as allowed: the container must be restarted. Called once. */
  failed(kind: 'startup' | 'liveness'): void;
};

/** First distance between looks before the first success; it doubles up to the probe's own period. */
const QUICK_LOOK_MS = 100;
const DEFAULT_PERIOD_SECONDS = 10;
const DEFAULT_FAILURES = 3;

/**
 * Runs the probes of one running container: startup first, then readiness and liveness together.
 *
 * Between the regular checks, a container that has not passed yet is looked at more often, so that it counts as started
 * or ready soon after it is. Such looks can only pass: they are no failures and leave no events.
 */
export class Prober implements Disposable {
  readonly #probes: Probes;
  readonly #check: (probe: V1Probe) => Promise<CheckResult>;
  readonly #events: ProberEvents;
  readonly #startedAtMs = performance.now();
  readonly #stop = new AbortController();
  #isStarted: boolean;
  #isReady = false;

  /** @param check  runs a probe once, within its timeout */
  constructor(probes: Probes, check: (probe: V1Probe) => Promise<CheckResult>, events: ProberEvents) {
    this.#probes = probes;
    this.#check = check;
    this.#events = events;
    this.#isStarted = probes.startup === undefined;
    if (probes.startup !== undefined) void this.#run('startup', probes.startup);
    else this.#begin();
  }

  get isStarted(): boolean {
    return this.#isStarted;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  #begin(): void {
    if (this.#probes.readiness === undefined) this.#isReady = true;
    else void this.#run('readiness', this.#probes.readiness);
    if (this.#probes.liveness !== undefined) void this.#run('liveness', this.#probes.liveness);
  }

  /** The loop of one probe; ends when it is stopped, and for startup with the first verdict. */
  async #run(kind: ProbeKind, probe: V1Probe): Promise<void> {
    const periodMs = (probe.periodSeconds ?? DEFAULT_PERIOD_SECONDS) * 1000;
    const verdict = new Verdict(probe.successThreshold ?? 1, probe.failureThreshold ?? DEFAULT_FAILURES);
    let nextTickMs = this.#startedAtMs + (probe.initialDelaySeconds ?? 0) * 1000;
    let quickMs = QUICK_LOOK_MS;
    await this.#sleepUntil(Math.max(nextTickMs, performance.now()));
    while (!this.#stop.signal.aborted) {
      const isTick = performance.now() >= nextTickMs;
      if (isTick) nextTickMs = performance.now() + periodMs;
      const result = await this.#check(probe);
      if (this.#stop.signal.aborted) return;
      if (isTick && !result.isHealthy) this.#events.unhealthy(kind, result.message);
      if (isTick || result.isHealthy) {
        const isPassing = verdict.add(result.isHealthy);
        if (isPassing !== undefined && this.#apply(kind, isPassing)) return;
      }
      const canLook = kind !== 'liveness' && !verdict.hasPassed && !result.isHealthy;
      await this.#sleepUntil(canLook ? Math.min(nextTickMs, performance.now() + quickMs) : nextTickMs);
      quickMs *= 2;
    }
  }

  /** True when the loop of this probe is over. */
  #apply(kind: ProbeKind, isPassing: boolean): boolean {
    if (kind === 'readiness') {
      if (this.#isReady === isPassing) return false;
      this.#isReady = isPassing;
      this.#events.changed();
      return false;
    }
    if (!isPassing) {
      this.#stop.abort();
      this.#events.failed(kind);
      return true;
    }
    if (kind === 'liveness') return false;
    this.#isStarted = true;
    this.#begin();
    this.#events.changed();
    return true;
  }

  async #sleepUntil(atMs: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, Math.max(0, atMs - performance.now()));
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      }
      signal.addEventListener('abort', done);
    });
  }
}

/** Counts equal results in a row. */
export class Verdict {
  readonly #successThreshold: number;
  readonly #failureThreshold: number;
  #last: boolean | undefined;
  #count = 0;
  #hasPassed = false;

  constructor(successThreshold: number, failureThreshold: number) {
    this.#successThreshold = successThreshold;
    this.#failureThreshold = failureThreshold;
  }

  /** True once the success threshold has been reached. */
  get hasPassed(): boolean {
    return this.#hasPassed;
  }

  /** @returns true or false when a threshold is reached, undefined while it is not */
  add(isHealthy: boolean): boolean | undefined {
    this.#count = this.#last === isHealthy ? this.#count + 1 : 1;
    this.#last = isHealthy;
    if (this.#count < (isHealthy ? this.#successThreshold : this.#failureThreshold)) return undefined;
    if (isHealthy) this.#hasPassed = true;
    return isHealthy;
  }
}
