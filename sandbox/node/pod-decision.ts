import type { ContainerRole } from './pod.ts';

/** What the decision needs to know of one container. */
export type ContainerView = {
  readonly name: string;
  readonly role: ContainerRole;
  /** `new`: never ran; `starting`: its postStart hook runs. */
  readonly state: 'new' | 'starting' | 'running' | 'exited';
  readonly isStarted: boolean; // running and past its startup probe
  readonly exitCode: number; // of the last run; only meaningful when exited
  readonly notBeforeMs: number; // back-off or retry: it must not start earlier
};

export type PodView = {
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly containers: readonly ContainerView[]; // init containers first, in the order of the pod
  readonly isInitialized: boolean; // all init containers have been passed once
};

export type Decision = {
  readonly start: readonly string[]; // in this order, one after another
  readonly isInitialized: boolean;
  /** The pod's purpose is over: its sidecars must stop, and then it has this phase. */
  readonly outcome?: 'Succeeded' | 'Failed';
  readonly wakeAtMs: number; // when to decide again although nothing happened; Infinity for never
};

/**
 * What to do next with a pod that is to run.
 * Source: kubelet `computePodActions` and `computeInitContainerActions`.
 */
export function decide(pod: PodView, nowMs: number): Decision {
  const mains = pod.containers.filter((container) => container.role === 'main');
  const failedInit = pod.containers.find(
    (one) => one.role === 'init' && one.state === 'exited' && one.exitCode !== 0 && pod.restartPolicy === 'Never',
  );
  if (failedInit !== undefined) return over('Failed', pod.isInitialized);
  const isOver = mains.every((one) => one.state === 'exited' && !willRestart(one, pod.restartPolicy));
  if (isOver) return over(mains.every((one) => one.exitCode === 0) ? 'Succeeded' : 'Failed', true);

  const plan = new StartPlan(nowMs);
  const isInitialized = passInitContainers(pod, plan);
  if (isInitialized) {
    for (const main of mains) {
      if (main.state === 'starting') break; // one after another, so that a hook can hold back the others
      const isDue = main.state === 'new' || (main.state === 'exited' && willRestart(main, pod.restartPolicy));
      if (isDue) plan.add(main);
    }
  }
  return { start: plan.names, isInitialized, wakeAtMs: plan.wakeAtMs };
}

/** Whether a container that has ended starts again by itself. */
export function willRestart(
  container: Pick<ContainerView, 'role' | 'exitCode'>,
  policy: PodView['restartPolicy'],
): boolean {
  if (container.role === 'sidecar') return true;
  if (container.role === 'init') return container.exitCode !== 0 && policy !== 'Never';
  return policy === 'Always' || (policy === 'OnFailure' && container.exitCode !== 0);
}

function over(outcome: 'Succeeded' | 'Failed', isInitialized: boolean): Decision {
  return { start: [], isInitialized, outcome, wakeAtMs: Infinity };
}

class StartPlan {
  readonly names: string[] = [];
  readonly #nowMs: number;
  wakeAtMs = Infinity;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** Starts it now or, when it has to wait, later. */
  add(container: ContainerView): void {
    if (container.notBeforeMs <= this.#nowMs) this.names.push(container.name);
    else this.wakeAtMs = Math.min(this.wakeAtMs, container.notBeforeMs);
  }
}

/** Init containers in order; the first that is not passed holds back all after it. True when all are passed. */
function passInitContainers(pod: PodView, plan: StartPlan): boolean {
  for (const container of pod.containers) {
    if (container.role === 'main') break;
    const isRunning = container.state === 'running' || container.state === 'starting';
    if (container.role === 'sidecar') {
      if (!isRunning) plan.add(container);
      if (!pod.isInitialized && !(isRunning && container.isStarted)) return false;
    } else if (!pod.isInitialized && !(container.state === 'exited' && container.exitCode === 0)) {
      if (!isRunning) plan.add(container);
      return false;
    }
  }
  return true;
}
