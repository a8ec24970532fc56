import { conditionOf, timeOf, timestamp, withCondition } from '../controller.ts';
import type { Condition, Job, Pod } from '../resources.ts';

export const TRACKING = 'batch.kubernetes.io/job-tracking';
export const INDEX = 'batch.kubernetes.io/job-completion-index';

/** What ends a Job, and the words for it. */
export type Verdict = {
  readonly isSuccess: boolean;
  readonly reason: string;
  readonly message: string;
};

export function isFinal(job: Job): boolean {
  return finalCondition(job) !== undefined;
}

/** The condition Complete or Failed, when it is true. */
export function finalCondition(job: Job): Condition | undefined {
  return job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
}

/** A verdict that was written before, to be followed by the final condition once all pods have ended. */
export function writtenVerdict(conditions: readonly Condition[] | undefined): Verdict | undefined {
  for (const [type, isSuccess] of [
    ['SuccessCriteriaMet', true],
    ['FailureTarget', false],
  ] as const) {
    const condition = conditionOf(conditions, type);
    if (condition?.status === 'True') {
      return { isSuccess, reason: condition.reason ?? '', message: condition.message ?? '' };
    }
  }
  return undefined;
}

/** Counts of a Job's pods, those that ended and were deleted since included. */
export type Counts = {
  readonly active: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly restarts: number; // of containers in active pods
};

/** Whether a Job has ended, and how. Source: kube-controller-manager `job` `syncJob`. */
export function judge(job: Job, counts: Counts, nowMs: number): Verdict | undefined {
  const { backoffLimit = 6, activeDeadlineSeconds, completions, template } = job.spec;
  const isOverLimit =
    counts.failed > backoffLimit ||
    (template.spec.restartPolicy === 'OnFailure' && counts.restarts > 0 && counts.restarts >= backoffLimit);
  if (isOverLimit) {
    const message = 'Job has reached the specified backoff limit';
    return { isSuccess: false, reason: 'BackoffLimitExceeded', message };
  }
  const startMs = timeOf(job.status?.startTime);
  if (activeDeadlineSeconds !== undefined && nowMs - startMs >= activeDeadlineSeconds * 1000) {
    const message = 'Job was active longer than specified deadline';
    return { isSuccess: false, reason: 'DeadlineExceeded', message };
  }
  const isDone =
    completions === undefined ? counts.succeeded > 0 && counts.active === 0 : counts.succeeded >= completions;
  if (!isDone) return undefined;
  return { isSuccess: true, reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' };
}

/** Adds what a verdict means for the conditions: first that the outcome is certain, then, with no pod left, the outcome. */
export function withVerdict(
  conditions: readonly Condition[],
  { isSuccess, reason, message }: Verdict,
  isOver: boolean,
  nowMs: number,
): readonly Condition[] {
  const now = timestamp(nowMs);
  const add = (all: readonly Condition[], type: string): readonly Condition[] => {
    if (conditionOf(all, type)?.status === 'True') return all;
    return withCondition(all, { type, status: 'True', reason, message, lastProbeTime: now, lastTransitionTime: now });
  };
  const certain = add(conditions, isSuccess ? 'SuccessCriteriaMet' : 'FailureTarget');
  return isOver ? add(certain, isSuccess ? 'Complete' : 'Failed') : certain;
}

/** How many pods should run now. */
export function wantedActive(job: Job, counts: Pick<Counts, 'active' | 'succeeded'>): number {
  const { parallelism = 1, completions } = job.spec;
  if (job.spec.suspend === true) return 0;
  // Without a number of completions the first success means that the work is done: no new pods from then on.
  if (completions === undefined) return counts.succeeded > 0 ? Math.min(counts.active, parallelism) : parallelism;
  return Math.max(0, Math.min(parallelism, completions - counts.succeeded));
}

const BACKOFF_MS_MIN = 10_000;
const BACKOFF_MS_MAX = 600_000;

/**
 * How long to wait before the next pod after failures: 10 s, doubling with each failure since the last success.
 *
 * @param finished  pods that have ended
 */
export function backoffLeftMs(finished: readonly Pod[], nowMs: number): number {
  const ends = finished
    .map((pod) => ({ isFailure: pod.status?.phase === 'Failed', endMs: endOf(pod) }))
    .sort((a, b) => b.endMs - a.endMs);
  const success = ends.findIndex(({ isFailure }) => !isFailure);
  const failures = success === -1 ? ends.length : success;
  const last = ends[0];
  if (failures === 0 || last === undefined) return 0;
  const delayMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures - 1, 20));
  return Math.max(0, last.endMs + delayMs - nowMs);
}

/** When a pod ended, as well as its status tells. */
function endOf(pod: Pod): number {
  const finishes = (pod.status?.containerStatuses ?? []).map((container) =>
    timeOf((container as { state?: { terminated?: { finishedAt?: string } } }).state?.terminated?.finishedAt),
  );
  const changes = (pod.status?.conditions ?? []).map(({ lastTransitionTime }) => timeOf(lastTransitionTime));
  const known = (finishes.some((time) => !Number.isNaN(time)) ? finishes : changes).filter(
    (time) => !Number.isNaN(time),
  );
  return known.length === 0 ? timeOf(pod.metadata.creationTimestamp) : Math.max(...known);
}

/** Index of a pod of an Indexed Job. */
export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[INDEX];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** `0,2-4` and back: how a Job's status lists indexes. */
export function parseIndexes(text: string | undefined): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? '').split(',').filter((one) => one !== '')) {
    const [first = 0, last = first] = part.split('-').map(Number);
    for (let index = first; index <= last; index += 1) indexes.add(index);
  }
  return indexes;
}

export function formatIndexes(indexes: ReadonlySet<number>): string {
  const runs: { first: number; last: number }[] = [];
  for (const index of [...indexes].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run !== undefined && run.last === index - 1) run.last = index;
    else runs.push({ first: index, last: index });
  }
  return runs
    .map(({ first, last }) =>
      first === last ? `${first}` : last === first + 1 ? `${first},${last}` : `${first}-${last}`,
    )
    .join(',');
}
