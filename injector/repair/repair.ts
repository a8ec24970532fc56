import { Counter, Gauge, type Registry } from 'prom-client';
import type { KubeClient } from '#k8s/client.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { retryDelayMs, WorkQueue } from '#runtime/work-queue.ts';
import { subject, type EventSubject, type EventText } from '../events.ts';
import type { Namespaces } from '../namespaces.ts';
import { isUnmeshed, repairObstacle } from './candidate.ts';
import { WorkloadPods, type LivePod } from './pods.ts';

export type RepairOptions = {
  readonly client: Pick<KubeClient, 'request'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespaces: Pick<Namespaces, 'of'>;
  /** Whether unmeshed pods are evicted; else they are only reported. */
  readonly isEvicting: boolean;
  /** Whether pods can be redirected where Pod Security forbids it to them. */
  readonly isRedirectedByNode: boolean;
  /** @throws when the webhook does not answer: then a new pod would be no better than the old one */
  readonly probe: () => Promise<void>;
  readonly recordEvent: (subject: EventSubject, event: EventText) => void;
  readonly metrics: RepairMetrics;
};

const SWEEP_MS = 30_000;
const LOOK_AGAIN_MS = 1_000;
/** Between two evictions, whatever the workloads. */
const EVICTION_PAUSE_MS = 1_000;
const RETRY_MS_MIN = 5_000;
const BLOCKED_MS_MAX = 60_000;
const FRUITLESS_MS_MAX = 600_000;
/** So long the pods of a workload may take to become ready before the next one is evicted nevertheless. */
const SETTLE_MS_MAX = 300_000;
/** A workload that makes no new pod in this time is being removed or scaled down. */
const REPLACED_MS_MAX = 15_000;
const EVENT_AGAIN_MS = 600_000;

type Eviction = {
  readonly atMs: number;
  readonly uid: string;
  readonly known: ReadonlySet<string>; // pods that were there
  readonly count: number; // of those that were to stay alive, with the evicted one
  isJudged: boolean;
};

/** What is remembered of a workload as long as it has unmeshed pods. */
type State = {
  unmeshed: number;
  notBeforeMs: number;
  blocked: number; // consecutive evictions that a budget refused
  fruitless: number; // consecutive evictions whose replacement was unmeshed again
  eviction: Eviction | undefined; // the last one, until the workload has come to rest
  readonly toldMs: Map<string, number>; // by reason of the event
};

/**
 * Finds pods that should have a proxy and have none, since the webhook was away when they were made, tells their owners, and
 * evicts them: one per workload at a time, within PodDisruptionBudgets, and only while the webhook works. Until a pod that
 * replaced an evicted one has been seen with a proxy, there is one eviction in the whole cluster. To be run by one process.
 */
export class Repair implements Disposable {
  readonly pods: WorkloadPods;
  readonly #options: RepairOptions;
  readonly #queue: WorkQueue;
  readonly #states = new Map<string, State>(); // of workloads with unmeshed pods only
  #isProven = false;
  #attempt: string | undefined; // workload whose eviction shall prove that the webhook works
  #nextEvictionMs = 0;
  #sweep: Disposable | undefined;
  #isClosed = false;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      concurrency: 1,
      reconcile: (key) => this.#reconcile(key),
      onError: (workload, err) => options.log.warn({ err, workload }, 'cannot repair a workload'),
      retryMsMin: RETRY_MS_MIN,
    });
    this.pods = new WorkloadPods((key) => this.#queue.add(key));
  }

  /** Looks at everything now and then: an annotation of a namespace may have changed. */
  start(): void {
    for (const key of this.pods.keys()) this.#queue.add(key);
    if (!this.#isClosed) this.#sweep = this.#options.clock.after(SWEEP_MS, () => this.start());
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#sweep?.[Symbol.dispose]();
    this.#queue[Symbol.dispose]();
    this.#options.metrics.unmeshed.set(0);
  }

  async #reconcile(key: string): Promise<number | undefined> {
    const [namespace = '', kind = '', name = ''] = key.split('/');
    const facts = this.#options.namespaces.of(namespace);
    const pods = this.pods.of(key);
    const unmeshed = pods.filter((pod) => isUnmeshed(pod, facts, this.#options.isRedirectedByNode));
    const state = this.#remember(key, unmeshed.length);
    if (state?.eviction !== undefined) this.#judge(key, state, state.eviction, pods);
    if (state === undefined || unmeshed.length === 0) return this.#finish(key);
    const tell = (event: EventText): void => this.#tell(state, subject(namespace, { kind, name }), event);
    const movable = unmeshed.filter((pod) => repairObstacle(pod, facts) === undefined);
    const [next] = movable;
    tell({ type: 'Warning', reason: 'Unmeshed', message: this.#describe(unmeshed, facts) });
    if (next === undefined || !this.#options.isEvicting) return undefined;
    const waitMs = this.#waitMs(key, state);
    if (waitMs > 0) return waitMs;
    await this.#options.probe();
    return this.#evict(key, state, next, pods, tell);
  }

  /** @returns the state, absent when there is nothing to remember */
  #remember(key: string, unmeshed: number): State | undefined {
    let state = this.#states.get(key);
    if (state === undefined && unmeshed > 0) {
      state = { unmeshed, notBeforeMs: 0, blocked: 0, fruitless: 0, eviction: undefined, toldMs: new Map() };
      this.#states.set(key, state);
    }
    if (state !== undefined) state.unmeshed = unmeshed;
    this.#options.metrics.unmeshed.set([...this.#states.values()].reduce((sum, one) => sum + one.unmeshed, 0));
    return state;
  }

  /** Whether the last eviction was worth it: by the first pod that was not there before. */
  #judge(key: string, state: State, eviction: Eviction, pods: readonly LivePod[]): void {
    const { clock, log } = this.#options;
    const added = pods.filter(({ uid, isTerminating }) => !eviction.known.has(uid) && !isTerminating);
    const isLate = clock.now() - eviction.atMs > REPLACED_MS_MAX;
    if (!eviction.isJudged && (added.length > 0 || isLate)) {
      eviction.isJudged = true;
      if (this.#attempt === key) this.#attempt = undefined;
      if (added.some(({ isMeshed }) => isMeshed)) {
        this.#isProven = true;
        state.fruitless = 0;
      } else if (added.length > 0) {
        this.#isProven = false;
        state.fruitless += 1;
        state.notBeforeMs = clock.now() + retryDelayMs(state.fruitless, RETRY_MS_MIN, FRUITLESS_MS_MAX);
        log.warn({ workload: key }, 'a pod that replaced an evicted one has no proxy either');
      }
    }
    if (eviction.isJudged && (isSettled(eviction, pods) || clock.now() - eviction.atMs > SETTLE_MS_MAX))
      state.eviction = undefined;
  }

  /** The workload has no unmeshed pods (any more). */
  #finish(key: string): number | undefined {
    if (this.#states.get(key)?.eviction?.isJudged === false) return LOOK_AGAIN_MS;
    this.#states.delete(key);
    return undefined;
  }

  /** Milliseconds until the next eviction may be considered, 0 for now. */
  #waitMs(key: string, state: State): number {
    const nowMs = this.#options.clock.now();
    if (state.notBeforeMs > nowMs) return state.notBeforeMs - nowMs;
    if (!this.#isProven && this.#attempt !== undefined && this.#attempt !== key) return LOOK_AGAIN_MS;
    if (state.eviction !== undefined) return LOOK_AGAIN_MS;
    return Math.max(0, this.#nextEvictionMs - nowMs);
  }

  async #evict(
    key: string,
    state: State,
    pod: LivePod,
    pods: readonly LivePod[],
    tell: (event: EventText) => void,
  ): Promise<number> {
    const { client, clock, log, metrics } = this.#options;
    const { namespace, name, uid } = pod;
    const body = {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name, namespace },
      deleteOptions: { preconditions: { uid } },
    };
    try {
      await client.request({ method: 'POST', path: `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, body });
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (error.isNotFound || error.isConflict) return LOOK_AGAIN_MS; // it is gone, or another one by now
      metrics.evictions.inc({ result: error.status === 429 ? 'blocked' : 'failed' });
      if (error.status !== 429) throw error;
      state.blocked += 1;
      const retryMs = retryDelayMs(state.blocked, RETRY_MS_MIN, BLOCKED_MS_MAX);
      state.notBeforeMs = clock.now() + retryMs;
      tell({
        type: 'Warning',
        reason: 'RepairBlocked',
        message: `Pod ${name} has no proxy and cannot be evicted now: ${error.message}. See \`kubectl get pdb -n ${namespace}\`; it is tried again`,
      });
      return retryMs;
    }
    const nowMs = clock.now();
    const known = new Set(pods.map((one) => one.uid));
    state.blocked = 0;
    state.eviction = { atMs: nowMs, uid, known, count: pods.filter(isAlive).length, isJudged: false };
    this.#nextEvictionMs = nowMs + EVICTION_PAUSE_MS;
    if (!this.#isProven) this.#attempt = key;
    metrics.evictions.inc({ result: 'evicted' });
    log.info({ namespace, pod: name, workload: key }, 'evicted a pod without proxy');
    tell({ type: 'Normal', reason: 'Repaired', message: `Evicted pod ${name}: it was created without a proxy` });
    return LOOK_AGAIN_MS;
  }

  #describe(unmeshed: readonly LivePod[], facts: ReturnType<Namespaces['of']>): string {
    const [first] = unmeshed;
    const obstacle = unmeshed.map((pod) => repairObstacle(pod, facts)).find((reason) => reason !== undefined);
    const remedy =
      obstacle ??
      (this.#options.isEvicting
        ? 'it is evicted as PodDisruptionBudgets allow'
        : 'repair.enabled is false: restart its workload');
    const more = unmeshed.length > 1 ? ` (and ${unmeshed.length - 1} more)` : '';
    return `Pod ${first?.name}${more} should have a proxy and has none: ${remedy}`;
  }

  /** Once in a while for each reason: events are kept for an hour. */
  #tell(state: State, about: EventSubject, event: EventText): void {
    const nowMs = this.#options.clock.now();
    const isNew = event.type === 'Normal' || (state.toldMs.get(event.reason) ?? -Infinity) + EVENT_AGAIN_MS <= nowMs;
    if (!isNew) return;
    state.toldMs.set(event.reason, nowMs);
    this.#options.recordEvent(about, event);
  }
}

function isAlive({ isFinished, isTerminating }: LivePod): boolean {
  return !isFinished && !isTerminating;
}

/** The evicted pod is gone, there are as many as before, and those with a proxy are ready. */
function isSettled({ uid, count }: Eviction, pods: readonly LivePod[]): boolean {
  const alive = pods.filter(isAlive);
  const isGone = pods.every((pod) => pod.uid !== uid);
  return isGone && alive.length >= count && alive.every(({ isMeshed, isReady }) => isReady || !isMeshed);
}

export type RepairMetrics = { readonly unmeshed: Gauge; readonly evictions: Counter<'result'> };

export function repairMetrics(registry: Registry): RepairMetrics {
  const registers = [registry];
  return {
    unmeshed: new Gauge({
      name: 'injector_unmeshed_pods',
      help: 'Pods that should have a proxy and have none; told by the replica that repairs.',
      registers,
    }),
    evictions: new Counter({
      name: 'injector_repair_evictions_total',
      help: 'Evictions of pods without proxy, by result.',
      labelNames: ['result'],
      registers,
    }),
  };
}
