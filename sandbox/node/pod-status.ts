import type { ContainerSlot, Terminated } from './container-slot.ts';
import { willRestart } from './pod-decision.ts';
import { podLabel, wireTime, type ContainerStatus, type Pod, type PodCondition, type PodStatus } from './pod.ts';

/** Everything a pod's status is made from. */
export type PodState = {
  readonly pod: Pod;
  readonly slots: readonly ContainerSlot[];
  readonly isInitialized: boolean;
  readonly podIP?: string; // absent until the network is there
  readonly hostIP: string;
  readonly startedAtMs: number; // when the node took the pod
  /** Set when the pod is over. */
  readonly outcome?: { readonly phase: 'Succeeded' | 'Failed'; readonly reason?: string; readonly message?: string };
  readonly isStopping: boolean; // nothing restarts any more
};

type State = NonNullable<ContainerStatus['state']>;

/** Conditions that the node writes; others belong to others. */
const OWN_CONDITIONS = new Set([
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
]);

/** The status a kubelet would write. Times of conditions change only with their status. */
export function podStatus(state: PodState, nowMs: number): PodStatus {
  const { pod, slots, podIP, hostIP, outcome } = state;
  const initial = slots.filter((slot) => slot.role !== 'main');
  const main = slots.filter((slot) => slot.role === 'main');
  const waitingReason = initial.length > 0 && !state.isInitialized ? 'PodInitializing' : 'ContainerCreating';
  const statusOf = (slot: ContainerSlot): ContainerStatus =>
    containerStatus(state, slot, slot.role === 'main' ? waitingReason : 'PodInitializing');
  const phase = outcome?.phase ?? runningPhase(state, main);
  return {
    ...(pod.status?.nominatedNodeName === undefined ? {} : { nominatedNodeName: pod.status.nominatedNodeName }),
    phase,
    conditions: conditions(state, nowMs),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...(podIP === undefined ? {} : { podIP, podIPs: [{ ip: podIP }] }),
    startTime: wireTime(state.startedAtMs),
    ...(outcome?.reason === undefined ? {} : { reason: outcome.reason }),
    ...(outcome?.message === undefined ? {} : { message: outcome.message }),
    ...(initial.length > 0 ? { initContainerStatuses: initial.map(statusOf) } : {}),
    containerStatuses: main.map(statusOf),
    ...(pod.status?.qosClass === undefined ? {} : { qosClass: pod.status.qosClass }),
  };
}

/** Source: kubelet `getPhase`, for pods that are not over. */
function runningPhase(state: PodState, main: readonly ContainerSlot[]): string {
  if (!state.isInitialized) return 'Pending';
  const hasRun = (slot: ContainerSlot): boolean => slot.instance !== undefined || slot.terminated !== undefined;
  return main.every(hasRun) ? 'Running' : 'Pending';
}

function containerStatus(state: PodState, slot: ContainerSlot, waitingReason: string): ContainerStatus {
  const isPassed = slot.role === 'init' && slot.instance === undefined && slot.terminated?.exitCode === 0;
  const { current, last } = states(state, slot, waitingReason);
  const id = slot.instance?.id ?? slot.terminated?.containerId;
  return {
    name: slot.container.name,
    state: current,
    lastState: last,
    ready: isPassed || slot.isReady,
    restartCount: slot.restartCount,
    image: slot.container.image ?? '',
    imageID: id === undefined ? '' : `tulle://${slot.container.image ?? ''}`,
    ...(id === undefined ? {} : { containerID: id }),
    started: slot.isStarted,
  };
}

function states(state: PodState, slot: ContainerSlot, waitingReason: string): { current: State; last: State } {
  const lastTerminated = slot.lastTerminated === undefined ? {} : { terminated: terminatedState(slot.lastTerminated) };
  if (slot.instance !== undefined) {
    const running = { startedAt: wireTime(slot.instance.process.startedAtMs) };
    return { current: { running }, last: lastTerminated };
  }
  const policy = (state.pod.spec.restartPolicy ?? 'Always') as 'Always' | 'OnFailure' | 'Never';
  if (slot.terminated !== undefined) {
    const terminated = terminatedState(slot.terminated);
    const isOver = state.isStopping || state.outcome !== undefined;
    const waits = !isOver && willRestart({ role: slot.role, exitCode: slot.terminated.exitCode }, policy);
    if (waits && (slot.problem !== undefined || slot.backoffMs > 0)) {
      return { current: { waiting: slot.problem ?? crashLoop(state, slot) }, last: { terminated } };
    }
    return { current: { terminated }, last: lastTerminated };
  }
  return { current: { waiting: slot.problem ?? { reason: waitingReason } }, last: lastTerminated };
}

function crashLoop(state: PodState, slot: ContainerSlot): { reason: string; message: string } {
  const delay = slot.backoffMs % 60_000 === 0 ? `${slot.backoffMs / 60_000}m0s` : `${slot.backoffMs / 1000}s`;
  const what = `restarting failed container=${slot.container.name} pod=${podLabel(state.pod)}`;
  return { reason: 'CrashLoopBackOff', message: `back-off ${delay} ${what}` };
}

function terminatedState(terminated: Terminated): NonNullable<State['terminated']> {
  return {
    exitCode: terminated.exitCode,
    reason: terminated.reason,
    ...(terminated.message === undefined ? {} : { message: terminated.message }),
    startedAt: wireTime(terminated.startedAtMs),
    finishedAt: wireTime(terminated.finishedAtMs),
    containerID: terminated.containerId,
  };
}

type Verdict = { readonly isTrue: boolean; readonly reason?: string; readonly message?: string };

function conditions(state: PodState, nowMs: number): PodCondition[] {
  const existing = state.pod.status?.conditions ?? [];
  const ready = containersReady(state);
  const own: [string, Verdict][] = [
    ['PodReadyToStartContainers', { isTrue: state.podIP !== undefined && state.outcome === undefined }],
    ['Initialized', initialized(state)],
    ['Ready', withGates(state, ready)],
    ['ContainersReady', ready],
    ['PodScheduled', { isTrue: true }],
  ];
  const mine = own.map(([type, verdict]) => condition(type, verdict, existing, nowMs));
  return [...existing.filter((one) => !OWN_CONDITIONS.has(one.type)), ...mine];
}

function condition(type: string, verdict: Verdict, existing: readonly PodCondition[], nowMs: number): PodCondition {
  const status = verdict.isTrue ? 'True' : 'False';
  const old = existing.find((one) => one.type === type);
  const since = old?.status === status ? old.lastTransitionTime : undefined;
  return {
    type,
    status,
    lastTransitionTime: since ?? wireTime(nowMs),
    ...(verdict.reason === undefined ? {} : { reason: verdict.reason }),
    ...(verdict.message === undefined ? {} : { message: verdict.message }),
  };
}

function initialized(state: PodState): Verdict {
  if (state.outcome?.phase === 'Succeeded') return { isTrue: true, reason: 'PodCompleted' };
  if (state.isInitialized) return { isTrue: true };
  const isPassed = (slot: ContainerSlot): boolean =>
    slot.role === 'sidecar' ? slot.isStarted : slot.instance === undefined && slot.terminated?.exitCode === 0;
  const missing = state.slots.filter((slot) => slot.role !== 'main' && !isPassed(slot));
  const message = `containers with incomplete status: [${names(missing)}]`;
  return { isTrue: false, reason: 'ContainersNotInitialized', message };
}

function containersReady(state: PodState): Verdict {
  if (state.outcome?.phase === 'Succeeded') return { isTrue: false, reason: 'PodCompleted' };
  if (state.outcome?.phase === 'Failed') return { isTrue: false, reason: 'PodFailed' };
  const unready = state.slots.filter((slot) => slot.role !== 'init' && !slot.isReady);
  if (unready.length === 0) return { isTrue: true };
  return {
    isTrue: false,
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${names(unready)}]`,
  };
}

/** Source: kubelet `GeneratePodReadyCondition`. */
function withGates(state: PodState, ready: Verdict): Verdict {
  if (!ready.isTrue) return ready;
  const isOpen = (type: string): boolean =>
    state.pod.status?.conditions?.some((one) => one.type === type && one.status === 'True') === true;
  const closed = (state.pod.spec.readinessGates ?? [])
    .map((gate) => gate.conditionType)
    .filter((type) => !isOpen(type));
  if (closed.length === 0) return ready;
  const message = closed
    .map((type) => `corresponding condition of pod readiness gate "${type}" does not exist.`)
    .join(', ');
  return { isTrue: false, reason: 'ReadinessGatesNotReady', message };
}

function names(slots: readonly ContainerSlot[]): string {
  return slots.map((slot) => slot.container.name).join(' ');
}
