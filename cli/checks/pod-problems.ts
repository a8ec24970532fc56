import type { ApiObject } from '../cluster.ts';

type State = {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: { readonly reason?: string; readonly exitCode?: number; readonly message?: string };
};
type ContainerStatus = {
  readonly name: string;
  readonly restartCount?: number;
  readonly state?: State;
  readonly lastState?: State;
};

/** What kubelets say while a container waits for something that will not come by itself, and what it means. */
const WAITING: Readonly<Record<string, string>> = {
  ErrImagePull: 'its image cannot be fetched',
  ImagePullBackOff: 'its image cannot be fetched',
  ErrImageNeverPull: 'its image is not on the node, and imagePullPolicy is Never',
  InvalidImageName: 'the name of its image is wrong',
  CreateContainerConfigError: 'something that its spec names does not exist',
  CreateContainerError: 'the container runtime refuses it',
  RunContainerError: 'the container runtime cannot start it',
  CrashLoopBackOff: 'it ends again and again',
};

/**
 * What keeps a pod from running as it should, in words, or undefined when nothing does.
 *
 * @param only  containers to look at
 */
export function podProblem(pod: ApiObject, only?: ReadonlySet<string>): string | undefined {
  const status = (pod['status'] ?? {}) as {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
  if (status.phase === 'Failed' && status.reason === 'Evicted')
    return `it was evicted: ${status.message ?? 'the node had too little of something'}`;
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  for (const container of containers.filter(({ name }) => only?.has(name) !== false)) {
    const problem = containerProblem(container);
    if (problem !== undefined) return `container ${container.name}: ${problem}`;
  }
  return undefined;
}

function containerProblem({ state, lastState, restartCount = 0 }: ContainerStatus): string | undefined {
  const last = state?.terminated ?? lastState?.terminated;
  const isKilledForMemory = last?.reason === 'OOMKilled';
  if (isKilledForMemory)
    return `it was killed for using more memory than its limit (${restartCount} restarts): raise the limit`;
  const { reason = '', message } = state?.waiting ?? {};
  const meaning = WAITING[reason];
  if (meaning !== undefined) {
    // Between two attempts the kubelet says only how long it waits; what the container said last is why.
    const said = reason === 'CrashLoopBackOff' ? (last?.message ?? message) : (message ?? last?.message);
    const code = last?.exitCode === undefined ? '' : `, last with exit code ${last.exitCode}`;
    return `${reason}: ${meaning}${code}${firstLine(said)}`;
  }
  if (state?.terminated !== undefined && (state.terminated.exitCode ?? 0) !== 0)
    return `it ended with exit code ${state.terminated.exitCode}${firstLine(state.terminated.message)}`;
  return undefined;
}

function firstLine(text: string | undefined): string {
  return text === undefined ? '' : ` (${text.trim().split('\n', 1)[0]})`;
}
