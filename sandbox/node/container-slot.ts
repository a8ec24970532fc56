import type { ContainerExit, ContainerProcess } from './container-process.ts';
import type { LogFile } from './log-file.ts';
import { willRestart, type ContainerView, type PodView } from './pod-decision.ts';
import type { Container, ContainerRole, ContainerStatus } from './pod.ts';
import type { Prober } from './prober.ts';

/** Delays between restarts of a container that keeps ending. */
export type RestartBackoff = {
  readonly minMs: number;
  readonly maxMs: number;
  readonly resetAfterMs: number; // a run of this length forgets earlier failures
};

/** Why a container waits. Source: ContainerStateWaiting. */
export type Waiting = { readonly reason: string; readonly message?: string };

/** Source: ContainerStateTerminated. */
export type Terminated = {
  readonly containerId: string;
  readonly exitCode: number;
  readonly reason: string;
  readonly message?: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
};

/** Of a container that ended while nobody looked. Source: containerd, after a restart. */
const UNSEEN_END = { exitCode: 255, reason: 'Unknown' };

/** One running instance of a container. */
export type Instance = {
  readonly id: string;
  readonly process: ContainerProcess;
  readonly log: LogFile;
  readonly terminationFile: string;
  prober: Prober | undefined; // none until the postStart hook is done
  isHookDone: boolean;
  /** Set once it is being stopped; a shorter deadline may replace it. Milliseconds of wall time. */
  killAtMs: number | undefined;
};

/** What the node knows about one container of a pod, over all its restarts. */
export class ContainerSlot {
  readonly container: Container;
  readonly role: ContainerRole;
  readonly #backoff: RestartBackoff;
  instance: Instance | undefined;
  /** How the last instance ended. */
  terminated: Terminated | undefined;
  /** How the one before the current or last instance ended. */
  lastTerminated: Terminated | undefined;
  /** Set when it cannot start. */
  problem: Waiting | undefined;
  restartCount = 0;
  notBeforeMs = 0;
  currentLog: LogFile | undefined;
  previousLog: LogFile | undefined;
  /** Delay that the next failure brings; 0 before the first. */
  #delayMs = 0;
  /** Delay in force. */
  backoffMs = 0;

  constructor(container: Container, role: ContainerRole, backoff: RestartBackoff) {
    this.container = container;
    this.role = role;
    this.#backoff = backoff;
  }

  get isStarted(): boolean {
    return this.instance?.isHookDone === true && this.instance.prober?.isStarted === true;
  }

  get isReady(): boolean {
    return this.isStarted && this.instance?.prober?.isReady === true;
  }

  get view(): ContainerView {
    return {
      name: this.container.name,
      role: this.role,
      state: this.#state(),
      isStarted: this.isStarted,
      exitCode: this.terminated?.exitCode ?? 0,
      notBeforeMs: this.notBeforeMs,
    };
  }

  /** Takes over what an earlier start of the node wrote about it: whatever ran then is gone. */
  recall(status: ContainerStatus, policy: PodView['restartPolicy'], nowMs: number): void {
    const { containerID, state, restartCount } = status;
    if (containerID === undefined) return;
    const { exitCode, reason, startedAt, finishedAt } = { ...UNSEEN_END, ...state?.running, ...state?.terminated };
    const end: Terminated = {
      containerId: containerID,
      exitCode,
      reason: reason ?? UNSEEN_END.reason,
      startedAtMs: startedAt === undefined ? nowMs : Date.parse(startedAt),
      finishedAtMs: finishedAt === undefined ? nowMs : Date.parse(finishedAt),
    };
    // What prepares a pod prepares it again.
    const startsAgain = policy !== 'Never' && (this.role !== 'main' || willRestart({ role: 'main', exitCode }, policy));
    this.restartCount = restartCount + (startsAgain ? 1 : 0);
    if (startsAgain) this.lastTerminated = end;
    else this.terminated = end;
  }

  /** Takes a new instance into account. */
  began(instance: Instance): void {
    if (this.terminated !== undefined) {
      this.restartCount += 1;
      this.lastTerminated = this.terminated;
      this.terminated = undefined;
    }
    this.problem = undefined;
    this.backoffMs = 0;
    this.#rememberLog(instance.log);
    this.instance = instance;
  }

  /** Takes the end of the instance into account and sets the delay before the next. */
  ended(exit: ContainerExit, message: string | undefined): void {
    const { instance } = this;
    if (instance === undefined) return;
    instance.prober?.[Symbol.dispose]();
    this.terminated = {
      containerId: instance.id,
      exitCode: exit.exitCode,
      reason: exit.exitCode === 0 ? 'Completed' : 'Error',
      ...(message === undefined ? {} : { message }),
      startedAtMs: instance.process.startedAtMs,
      finishedAtMs: exit.finishedAtMs,
    };
    this.instance = undefined;
    if (exit.finishedAtMs - instance.process.startedAtMs >= this.#backoff.resetAfterMs) this.#delayMs = 0;
    this.#delay(exit.finishedAtMs);
  }

  /** The instance did not even start: counts as a run that failed at once. */
  failedToStart(id: string, message: string, nowMs: number, log: LogFile): void {
    if (this.terminated !== undefined) {
      this.restartCount += 1;
      this.lastTerminated = this.terminated;
    }
    this.#rememberLog(log);
    const times = { startedAtMs: nowMs, finishedAtMs: nowMs };
    this.terminated = { containerId: id, exitCode: 128, reason: 'StartError', message, ...times };
    this.#delay(nowMs);
  }

  /** It cannot be started for a reason outside of it; tried again later. */
  blocked(problem: Waiting, retryAtMs: number): void {
    this.problem = problem;
    this.notBeforeMs = retryAtMs;
  }

  removeLogs(): void {
    this.previousLog?.remove();
    this.currentLog?.remove();
  }

  #state(): ContainerView['state'] {
    if (this.instance !== undefined) return this.instance.isHookDone ? 'running' : 'starting';
    return this.terminated === undefined ? 'new' : 'exited';
  }

  /** The first restart is immediate, the next waits for the shortest delay, then it doubles. */
  #delay(nowMs: number): void {
    this.backoffMs = this.#delayMs;
    this.notBeforeMs = nowMs + this.#delayMs;
    this.#delayMs = this.#delayMs === 0 ? this.#backoff.minMs : Math.min(this.#backoff.maxMs, this.#delayMs * 2);
  }

  #rememberLog(log: LogFile): void {
    this.previousLog?.remove();
    this.previousLog = this.currentLog;
    this.currentLog = log;
  }
}
