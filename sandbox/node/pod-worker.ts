import { StatusError } from '../apiserver/status-error.ts';
import { ContainerRunner } from './container-runner.ts';
import { ContainerSlot } from './container-slot.ts';
import { MIN_GRACE_MS } from './container-stop.ts';
import { Deadline } from './deadline.ts';
import type { NodeContext } from './node-context.ts';
import { decide, type Decision, type PodView } from './pod-decision.ts';
import { podStatus, type PodState } from './pod-status.ts';
import { PodSurroundings } from './pod-surroundings.ts';
import { containersOf, isTerminal, namespaceOf, podLabel, type Pod } from './pod.ts';
import { StatusWriter } from './status-writer.ts';
import { VolumeError } from './volume-content.ts';

/** After something outside of the pod failed (a volume, the network) it is tried again. */
const RETRY_MS = 2000;
const DEFAULT_GRACE_SECONDS = 30;
/** A timer cannot wait longer than 2^31 ms; it is set again then. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * One pod on this node, from its arrival to its removal. Level-triggered: whatever happens only wakes it, and it then
 * compares what should be with what is and takes the next steps.
 */
export class PodWorker {
  readonly uid: string;
  readonly slots: readonly ContainerSlot[];
  /** Resolves when nothing of the pod is left, neither on this node nor in the store. */
  readonly removedAndGone: Promise<void>;
  readonly surroundings: PodSurroundings;
  readonly #context: NodeContext;
  readonly #runner: ContainerRunner;
  readonly #gone = Promise.withResolvers<void>();
  readonly #status: StatusWriter;
  readonly #startedAtMs: number;
  #pod: Pod;
  #isInitialized = false;
  #outcome: PodState['outcome'];
  #retryAtMs = 0; // of the surroundings
  /** Set once all containers are to stop: for the main ones, and for the sidecars after them. */
  #stop: Deadline | undefined;
  #sidecarStop: Deadline | undefined;
  #isForced = false; // no grace at all
  #isRemoved = false; // from the store
  #hasPower = true;
  /** It ran when the node lost its power, and nothing of it may run twice. */
  readonly #isLost: boolean;
  #isEnded = false; // nothing is left on this node
  #isDirty = false;
  #isRunning = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: NodeContext, pod: Pod) {
    this.#context = context;
    this.#pod = pod;
    this.#startedAtMs = pod.status?.startTime === undefined ? Date.now() : Date.parse(pod.status.startTime);
    this.uid = pod.metadata.uid;
    this.removedAndGone = this.#gone.promise;
    this.slots = containersOf(pod.spec).map(
      ({ container, role }) => new ContainerSlot(container, role, context.backoff),
    );
    this.#isLost = this.#recall();
    this.surroundings = new PodSurroundings(context, pod);
    this.#runner = new ContainerRunner(
      context,
      this.surroundings,
      () => this.#pod,
      () => this.#wake(),
    );
    this.#status = new StatusWriter(context.client, context.log, pod, (current) =>
      // A pod that was over before this node knew it keeps its status.
      current.status !== undefined && isTerminal(current) && this.#outcome === undefined
        ? current.status
        : podStatus({ ...this.#state(), pod: current }, Date.now()),
    );
    this.#wake();
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The object in the store has changed. */
  update(pod: Pod): void {
    const old = this.#pod;
    this.#pod = pod;
    const shown = (one: Pod): string => JSON.stringify([one.metadata.labels, one.metadata.annotations]);
    if (shown(pod) !== shown(old)) this.surroundings.invalidate();
    if (pod.metadata.deletionTimestamp !== undefined) {
      const graceSeconds = pod.metadata.deletionGracePeriodSeconds ?? this.#graceSeconds();
      const isNew = old.metadata.deletionTimestamp === undefined;
      if (isNew || old.metadata.deletionGracePeriodSeconds !== graceSeconds) this.#hurry(graceSeconds);
    }
    this.#wake();
  }

  /** The object is gone from the store: end quickly. */
  removed(): void {
    this.#isRemoved = true;
    this.#hurry(MIN_GRACE_MS / 1000);
    this.#wake();
  }

  /** A ConfigMap or Secret of the pod's namespace has changed. */
  configChanged(kind: 'configMap' | 'secret', name: string): void {
    const isShown = this.surroundings.invalidateFor(kind, name);
    const waiting = this.slots.filter((slot) => slot.problem?.reason === 'CreateContainerConfigError');
    for (const slot of waiting) slot.notBeforeMs = 0;
    if (!isShown && waiting.length === 0) return;
    this.#retryAtMs = 0;
    this.#wake();
  }

  /** Ends everything at once, for the end of the node. Leaves the object alone. */
  async close(): Promise<void> {
    this.#isRemoved = true;
    this.#hurry(0);
    this.#wake();
    await this.removedAndGone;
  }

  /** Everything ends at this moment, without a word in the store; what is on the disk stays. Then it is as if closed. */
  async losePower(): Promise<void> {
    this.#hasPower = false;
    this.#status.close();
    for (const slot of this.slots) this.#runner.kill(slot);
    await this.close();
  }

  #wake(): void {
    this.#status.touch();
    this.#isDirty = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // the caller goes on first
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        await this.#sync();
      } catch (error) {
        this.#context.log.error({ err: error, pod: podLabel(this.#pod) }, 'a pod could not be brought forward');
        this.#wakeAt(Date.now() + RETRY_MS);
      }
    }
    this.#isRunning = false;
  }

  async #sync(): Promise<void> {
    if (this.#isEnding) await this.#end();
    if (this.#isEnded) {
      if (this.#isRemoved) this.#gone.resolve();
      return;
    }
    if (this.#outcome !== undefined || isTerminal(this.#pod)) return;
    const deadlineMs = this.#activeDeadlineMs();
    if (deadlineMs <= Date.now()) {
      const message = 'Pod was active on the node longer than the specified deadline';
      return this.#finish({ phase: 'Failed', reason: 'DeadlineExceeded', message });
    }
    if (this.#isLost) return this.#finish({ phase: 'Failed', message: 'The node lost its power while the pod ran' });
    await this.#prepare();
    const decision = this.surroundings.isReady ? this.#decide() : undefined;
    for (const name of decision?.start ?? []) {
      const slot = this.slots.find((candidate) => candidate.container.name === name);
      if (slot === undefined || this.#isEnding) break;
      await this.#runner.start(slot);
      // A main container's postStart hook holds back the ones after it.
      if (slot.role === 'main' && slot.instance?.isHookDone === false) break;
    }
    if (decision?.outcome !== undefined) return this.#finish({ phase: decision.outcome });
    const retryAtMs = this.#retryAtMs > Date.now() ? this.#retryAtMs : Infinity;
    this.#wakeAt(
      Math.min(deadlineMs, retryAtMs, this.surroundings.refreshAtMs || Infinity, decision?.wakeAtMs ?? Infinity),
    );
  }

  get #isEnding(): boolean {
    return this.#isRemoved || this.#pod.metadata.deletionTimestamp !== undefined;
  }

  /** Takes over what the store says of the time before this start of the node. */
  #recall(): boolean {
    const { containerStatuses = [], initContainerStatuses = [] } = this.#pod.status ?? {};
    const statuses = [...initContainerStatuses, ...containerStatuses];
    for (const status of statuses) {
      const slot = this.slots.find(({ container }) => container.name === status.name);
      slot?.recall(status, this.#restartPolicy, Date.now());
    }
    return this.#restartPolicy === 'Never' && statuses.some(({ containerID }) => containerID !== undefined);
  }

  get #restartPolicy(): PodView['restartPolicy'] {
    return (this.#pod.spec.restartPolicy ?? 'Always') as PodView['restartPolicy'];
  }

  #decide(): Decision {
    const restartPolicy = this.#restartPolicy;
    const containers = this.slots.map((slot) => slot.view);
    const decision = decide({ restartPolicy, containers, isInitialized: this.#isInitialized }, Date.now());
    this.#isInitialized = decision.isInitialized;
    return decision;
  }

  async #prepare(): Promise<void> {
    if (Date.now() < this.#retryAtMs) return;
    try {
      await this.surroundings.prepare(this.#pod);
    } catch (error) {
      const reason = error instanceof VolumeError ? 'FailedMount' : 'FailedCreatePodSandBox';
      this.#runner.event('Warning', reason, error instanceof Error ? error.message : String(error));
      if (!(error instanceof VolumeError)) this.#context.log.warn({ err: error }, 'a pod got no network');
      this.#retryAtMs = Date.now() + RETRY_MS;
    }
  }

  #wakeAt(atMs: number): void {
    clearTimeout(this.#timer);
    if (atMs === Infinity) return;
    this.#timer = setTimeout(() => this.#wake(), Math.min(TIMER_MS_MAX, Math.max(0, atMs - Date.now())));
  }

  #activeDeadlineMs(): number {
    const seconds = this.#pod.spec.activeDeadlineSeconds;
    return seconds === undefined ? Infinity : this.#startedAtMs + seconds * 1000;
  }

  /** The pod's purpose is over: sidecars stop, network and volumes go, the object stays with its last status. */
  async #finish(outcome: NonNullable<PodState['outcome']>): Promise<void> {
    await this.#stopAll(this.#graceSeconds());
    this.#outcome = outcome;
    clearTimeout(this.#timer);
    this.surroundings.release();
    await this.#status.flush();
  }

  /** Deletion: all containers stop, everything of the pod goes, and so does the object. */
  async #end(): Promise<void> {
    if (this.#isEnded) return;
    const graceSeconds = this.#pod.metadata.deletionGracePeriodSeconds ?? this.#graceSeconds();
    await this.#stopAll(this.#isRemoved ? MIN_GRACE_MS / 1000 : graceSeconds);
    clearTimeout(this.#timer);
    if (!this.#hasPower) {
      this.surroundings.losePower();
      this.#isEnded = true;
      return;
    }
    this.surroundings.release();
    const mains = this.slots.filter((slot) => slot.role === 'main');
    this.#outcome ??= { phase: mains.every((slot) => slot.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed' };
    if (!this.#isRemoved) {
      await this.#status.flush();
      await this.#deleteObject();
    }
    for (const slot of this.slots) slot.removeLogs();
    this.surroundings.removeFiles();
    this.#isEnded = true;
  }

  /** Main containers and running init containers together, then the sidecars in reverse order. */
  async #stopAll(graceSeconds: number): Promise<void> {
    const isSidecar = (slot: ContainerSlot): boolean => slot.role === 'sidecar';
    const stop = (slot: ContainerSlot, deadline: Deadline): Promise<void> =>
      this.#runner.stop(slot, deadline, `Stopping container ${slot.container.name}`);
    using main = (this.#stop ??= new Deadline(Date.now() + (this.#isForced ? 0 : graceSeconds * 1000)));
    await Promise.all(this.slots.filter((slot) => !isSidecar(slot)).map((slot) => stop(slot, main)));
    for (const slot of this.slots.filter(isSidecar).toReversed()) {
      // They share the grace of the pod, but each has its minimum.
      const leastMs = this.#isForced ? 0 : Date.now() + MIN_GRACE_MS;
      using deadline = (this.#sidecarStop = new Deadline(Math.max(main.atMs, leastMs)));
      await stop(slot, deadline);
    }
  }

  /** Less time than before is left. Longer graces are ignored: a deadline only comes closer. */
  #hurry(graceSeconds: number): void {
    if (graceSeconds === 0) this.#isForced = true;
    for (const deadline of [this.#stop, this.#sidecarStop]) deadline?.bringForward(Date.now() + graceSeconds * 1000);
  }

  async #deleteObject(): Promise<void> {
    try {
      const options = { gracePeriodSeconds: 0, uid: this.uid };
      await this.#context.client.delete('pods', namespaceOf(this.#pod), this.#pod.metadata.name, options);
    } catch (error) {
      if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error;
    }
  }

  #graceSeconds(): number {
    return this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  }

  #state(): PodState {
    const { podIP } = this.surroundings;
    return {
      pod: this.#pod,
      slots: this.slots,
      isInitialized: this.#isInitialized,
      ...(podIP === undefined ? {} : { podIP }),
      hostIP: this.#context.nodeIP,
      startedAtMs: this.#startedAtMs,
      ...(this.#outcome === undefined ? {} : { outcome: this.#outcome }),
      isStopping: this.#stop !== undefined,
    };
  }
}
