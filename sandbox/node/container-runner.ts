import { containerConfig, launch, newContainerId, openLog, terminationMessage } from './container-launch.ts';
import { ContainerStartError, type ContainerExit } from './container-process.ts';
import { RootError } from './container-root.ts';
import type { ContainerSlot, Instance } from './container-slot.ts';
import { stopContainer } from './container-stop.ts';
import { Deadline } from './deadline.ts';
import { ContainerConfigError } from './environment.ts';
import { runHook } from './hooks.ts';
import { findImage } from './images.ts';
import { EVENT_SOURCE, type NodeContext } from './node-context.ts';
import type { PodSurroundings } from './pod-surroundings.ts';
import { podLabel, type Pod } from './pod.ts';
import { runCheck, type CheckTarget } from './probe-check.ts';
import { Prober, type ProbeKind } from './prober.ts';

/** What is missing may come: it is looked at again after this time, or when it comes. */
const RETRY_MS = 2000;
const IMAGE_RETRY_MS = 30_000;
const DEFAULT_GRACE_SECONDS = 30;
const DEFAULT_PROBE_TIMEOUT_SECONDS = 1;
const HOOK_MS_MAX = 300_000;

/** Starts, watches and stops the containers of one pod, and writes its events. Decides nothing about what should run. */
export class ContainerRunner {
  readonly #context: NodeContext;
  readonly #surroundings: PodSurroundings;
  readonly #pod: () => Pod;
  readonly #changed: () => void;

  /**
   * @param pod      the pod as it is now
   * @param changed  something about a container has changed
   */
  constructor(context: NodeContext, surroundings: PodSurroundings, pod: () => Pod, changed: () => void) {
    this.#context = context;
    this.#surroundings = surroundings;
    this.#pod = pod;
    this.#changed = changed;
  }

  event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.client.event(this.#pod(), type, reason, message, EVENT_SOURCE);
  }

  /** Never rejects: what went wrong is in the slot. */
  async start(slot: ContainerSlot): Promise<void> {
    const { container } = slot;
    const lookup = findImage(this.#context.images, container.image ?? '');
    if (lookup.kind === 'unknown') return this.#imageMissing(slot, lookup.message);
    const id = newContainerId();
    const restart = slot.restartCount + (slot.terminated === undefined ? 0 : 1);
    const log = openLog(this.#context, this.#pod(), container, restart);
    try {
      const parts = this.#surroundings.parts(this.#pod());
      const config = containerConfig(this.#context, parts, container, lookup.image);
      this.event('Normal', 'Pulled', `Container image "${container.image ?? ''}" already present on machine`);
      const instance = await launch(this.#context, parts, container, config, log, id);
      this.event('Normal', 'Created', `Created container: ${container.name}`);
      slot.began(instance);
      void instance.process.exited.then((exit) => this.#exited(slot, instance, exit));
      this.event('Normal', 'Started', `Started container ${container.name}`);
      this.#afterStart(slot, instance);
    } catch (error) {
      this.#startFailed(slot, id, log, error);
    }
    this.#changed();
  }

  /** Resolves when the instance has ended and its slot knows it. */
  async stop(slot: ContainerSlot, deadline: Deadline, message: string): Promise<void> {
    const { instance } = slot;
    if (instance === undefined) return;
    const isFirst = instance.killAtMs === undefined; // its restart may be under way when the pod is deleted
    if (isFirst) this.event('Normal', 'Killing', message);
    instance.killAtMs = deadline.atMs;
    const preStop = isFirst ? slot.container.lifecycle?.preStop : undefined;
    const failure = await stopContainer(instance, preStop, this.#target(slot, instance), deadline);
    if (failure !== undefined) this.event('Warning', 'FailedPreStopHook', `PreStopHook failed: ${failure.message}`);
    this.#changed();
  }

  /** As a power failure does: at once, and nothing is said about it. */
  kill({ instance }: ContainerSlot): void {
    if (instance === undefined) return;
    instance.killAtMs = Date.now();
    instance.process.kill();
  }

  /** The postStart hook, then the probes. */
  #afterStart(slot: ContainerSlot, instance: Instance): void {
    const hook = slot.container.lifecycle?.postStart;
    if (hook === undefined) {
      this.#probe(slot, instance);
      return;
    }
    const neverEarly = new AbortController().signal;
    void runHook(hook, this.#target(slot, instance), HOOK_MS_MAX, neverEarly).then((result) => {
      if (!instance.process.isRunning) return;
      if (result.isHealthy) this.#probe(slot, instance);
      else {
        this.event('Warning', 'FailedPostStartHook', `PostStartHook failed: ${result.message}`);
        this.#restart(slot, 'FailedPostStartHook', undefined);
      }
      this.#changed();
    });
  }

  #probe(slot: ContainerSlot, instance: Instance): void {
    instance.isHookDone = true;
    const { startupProbe, readinessProbe, livenessProbe, name } = slot.container;
    const probes = {
      ...(startupProbe === undefined ? {} : { startup: startupProbe }),
      ...(readinessProbe === undefined ? {} : { readiness: readinessProbe }),
      ...(livenessProbe === undefined ? {} : { liveness: livenessProbe }),
    };
    const target = this.#target(slot, instance);
    instance.prober = new Prober(
      probes,
      (probe) => runCheck(probe, target, (probe.timeoutSeconds ?? DEFAULT_PROBE_TIMEOUT_SECONDS) * 1000),
      {
        changed: this.#changed,
        unhealthy: (kind, message) => {
          if (!instance.process.isRunning || instance.killAtMs !== undefined) return;
          this.event('Warning', 'Unhealthy', `${PROBE_WORDS[kind]} probe failed: ${message}`);
        },
        failed: (kind) => {
          const message = `Container ${name} failed ${kind} probe, will be restarted`;
          this.#restart(slot, message, probes[kind]?.terminationGracePeriodSeconds);
        },
      },
    );
  }

  /** Ends the instance; what comes after is decided when it has ended. */
  #restart(slot: ContainerSlot, message: string, graceSeconds: number | undefined): void {
    const seconds = graceSeconds ?? this.#pod().spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    const deadline = new Deadline(Date.now() + seconds * 1000);
    void this.stop(slot, deadline, message).finally(() => deadline[Symbol.dispose]());
  }

  #exited(slot: ContainerSlot, instance: Instance, exit: ContainerExit): void {
    if (slot.instance !== instance) return;
    slot.ended(exit, terminationMessage(slot.container, instance, exit.exitCode));
    if (slot.backoffMs > 0 && exit.exitCode !== 0 && instance.killAtMs === undefined) {
      const what = `failed container ${slot.container.name} in pod ${podLabel(this.#pod())}`;
      this.event('Warning', 'BackOff', `Back-off restarting ${what}`);
    }
    this.#changed();
  }

  #imageMissing(slot: ContainerSlot, message: string): void {
    const isNever = slot.container.imagePullPolicy === 'Never';
    const reason = isNever ? 'ErrImageNeverPull' : 'ImagePullBackOff';
    if (slot.problem?.reason !== reason) {
      this.event('Warning', 'Failed', isNever ? `Error: ${reason}: ${message}` : `Failed to pull image: ${message}`);
    }
    slot.blocked({ reason, message }, Date.now() + IMAGE_RETRY_MS);
    this.#changed();
  }

  #startFailed(slot: ContainerSlot, id: string, log: ReturnType<typeof openLog>, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (slot.problem?.message !== message) this.event('Warning', 'Failed', `Error: ${message}`);
    if (error instanceof ContainerStartError) {
      slot.failedToStart(id, message, Date.now(), log);
      log.finish();
      return;
    }
    log.remove();
    const isUsers = error instanceof ContainerConfigError || error instanceof RootError;
    if (!isUsers) this.#context.log.warn({ err: error, container: slot.container.name }, 'a container did not start');
    const reason = error instanceof ContainerConfigError ? 'CreateContainerConfigError' : 'CreateContainerError';
    slot.blocked({ reason, message }, Date.now() + RETRY_MS);
  }

  #target(slot: ContainerSlot, instance: Instance): CheckTarget {
    return { podIP: this.#surroundings.podIP ?? '', container: slot.container, process: instance.process };
  }
}

const PROBE_WORDS: Readonly<Record<ProbeKind, string>> = {
  startup: 'Startup',
  readiness: 'Readiness',
  liveness: 'Liveness',
};
