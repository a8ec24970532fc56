import { isNamespaceTerminating, messageOf } from '../api-errors.ts';
import { inBursts } from '../bursts.ts';
import {
  conditionOf,
  deleteExactly,
  keyFor,
  keyOf,
  startQueue,
  timeOf,
  timestamp,
  together,
  withCondition,
  writeStatus,
  type Again,
  type ControllerContext,
} from '../controller.ts';
import { firstToDelete } from '../deletion-order.ts';
import { defined, unlessZero } from '../json.ts';
import { claim, controllerOf } from '../owners.ts';
import { isActive, isFinished, isReady, isTerminating } from '../pods.ts';
import type { Condition, Job, JobStatus, Pod } from '../resources.ts';
import { jobPod, missingIndexes } from './job-pods.ts';
import {
  backoffLeftMs,
  finalCondition,
  formatIndexes,
  indexOf,
  judge,
  parseIndexes,
  TRACKING,
  wantedActive,
  withVerdict,
  writtenVerdict,
  type Counts,
  type Verdict,
} from './job-status.ts';

const SOURCE = 'job-controller';
const BURST_PODS_MAX = 500;

/** Runs Jobs to their end. Source: kube-controller-manager `job` and `ttlafterfinished`. */
export function startJobController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (pod: Pod): void => {
    const owner = controllerOf(pod);
    if (owner?.kind === 'Job') queue.add(keyFor(pod.metadata.namespace, owner.name));
  };
  return together(
    queue,
    client.watch('jobs.batch', { apply: (job) => queue.add(keyOf(job)), delete: (job) => queue.add(keyOf(job)) }),
    client.watch('pods', { apply: wake, delete: wake }),
  );
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client, clock } = context;
  const job = client.get('jobs.batch', namespace, name);
  await releaseLost(context, namespace, name, job);
  if (job === undefined || job.metadata.deletionTimestamp !== undefined) return undefined;
  const ended = finalCondition(job);
  if (ended !== undefined) return expire(context, job, ended);
  return new Pass(context, job, await podsOf(context, job), clock.now()).run();
}

async function podsOf({ client }: ControllerContext, job: Job): Promise<readonly Pod[]> {
  const { namespace, uid } = job.metadata;
  if (job.spec.selector !== undefined) return claim(client, 'pods', job, job.spec.selector);
  return client.list('pods', namespace).filter((pod) => controllerOf(pod)?.uid === uid);
}

/** Pods whose Job is gone or going need not be counted any more, and must not be held. */
async function releaseLost(
  { client }: ControllerContext,
  namespace: string,
  name: string,
  job: Job | undefined,
): Promise<void> {
  const isCounting =
    job !== undefined && job.metadata.deletionTimestamp === undefined && finalCondition(job) === undefined;
  for (const pod of client.list('pods', namespace)) {
    const owner = controllerOf(pod);
    if (owner?.kind !== 'Job' || owner.name !== name || (isCounting && owner.uid === job.metadata.uid)) continue;
    await untrack(client, pod);
  }
}

async function untrack(client: ControllerContext['client'], pod: Pod): Promise<Pod> {
  const { finalizers = [] } = pod.metadata;
  if (!finalizers.includes(TRACKING)) return pod;
  const metadata = { ...pod.metadata, finalizers: finalizers.filter((finalizer) => finalizer !== TRACKING) };
  return client.update('pods', { ...pod, metadata });
}

/** Deletes a Job that has ended when its time is up. */
async function expire({ client, clock }: ControllerContext, job: Job, ended: Condition): Promise<Again> {
  const { ttlSecondsAfterFinished } = job.spec;
  if (ttlSecondsAfterFinished === undefined) return undefined;
  const leftMs = timeOf(ended.lastTransitionTime) + ttlSecondsAfterFinished * 1000 - clock.now();
  if (leftMs > 0) return leftMs;
  await deleteExactly(client, 'jobs.batch', job, { propagationPolicy: 'Foreground' });
  return undefined;
}

/** One pass over one Job that has not ended. */
class Pass {
  readonly #context: ControllerContext;
  readonly #nowMs: number;
  #job: Job;
  #pods: readonly Pod[];

  constructor(context: ControllerContext, job: Job, pods: readonly Pod[], nowMs: number) {
    this.#context = context;
    this.#nowMs = nowMs;
    this.#job = job;
    this.#pods = pods;
  }

  async run(): Promise<Again> {
    await this.#start();
    await this.#count();
    const counts = this.#counts();
    const verdict = writtenVerdict(this.#job.status?.conditions) ?? judge(this.#job, counts, this.#nowMs);
    let again: Again;
    let failure: unknown;
    if (verdict === undefined) ({ again, failure } = await this.#manage(counts));
    else await this.#end(verdict);
    this.#reread();
    await this.#writeCounts(verdict);
    if (failure !== undefined) throw failure instanceof Error ? failure : new Error(messageOf(failure));
    return earliest(again, this.#deadlineInMs());
  }

  /** Notes when the work began, or that it is suspended. */
  async #start(): Promise<void> {
    const { client } = this.#context;
    const { status = {}, spec } = this.#job;
    const conditions = status.conditions ?? [];
    const wasSuspended = conditionOf(conditions, 'Suspended')?.status === 'True';
    const now = timestamp(this.#nowMs);
    if (spec.suspend === true) {
      if (wasSuspended) return;
      const { startTime: _, ...rest } = status;
      await this.#write({ ...rest, conditions: withCondition(conditions, suspension('True', now)) });
      client.event(this.#job, 'Normal', 'Suspended', 'Job suspended', SOURCE);
    } else if (wasSuspended) {
      await this.#write({ ...status, startTime: now, conditions: withCondition(conditions, suspension('False', now)) });
      client.event(this.#job, 'Normal', 'Resumed', 'Job resumed', SOURCE);
    } else if (status.startTime === undefined) {
      await this.#write({ ...status, startTime: now });
    }
  }

  /**
   * Counts pods that have ended, each exactly once though it may be deleted at any time: its uid goes into the status, then
   * its finalizer goes, then the counter grows as the uid leaves the status.
   */
  async #count(): Promise<void> {
    const { status = {} } = this.#job;
    const before = status.uncountedTerminatedPods ?? {};
    const succeeded = new Set(before.succeeded);
    const failed = new Set(before.failed);
    const indexes = parseIndexes(status.completedIndexes);
    const ended = this.#pods.filter((pod) => isTracked(pod) && (isFinished(pod) || isTerminating(pod)));
    const isIndexed = this.#job.spec.completionMode === 'Indexed';
    for (const pod of ended) {
      const { uid } = pod.metadata;
      if (succeeded.has(uid) || failed.has(uid)) continue;
      if (pod.status?.phase !== 'Succeeded') failed.add(uid);
      else if (!isIndexed) succeeded.add(uid);
      else indexes.add(indexOf(pod) ?? -1);
    }
    if (ended.length === 0 && succeeded.size + failed.size === 0) return;
    const completed = isIndexed ? { completedIndexes: formatIndexes(indexes), succeeded: indexes.size } : {};
    const uncountedTerminatedPods = defined({ succeeded: unlessEmpty(succeeded), failed: unlessEmpty(failed) });
    await this.#write({ ...this.#job.status, ...completed, uncountedTerminatedPods });
    for (const pod of ended) await untrack(this.#context.client, pod);
    this.#reread();
    const now = this.#job.status ?? {};
    await this.#write({
      ...now,
      ...defined({
        succeeded: unlessZero((now.succeeded ?? 0) + succeeded.size),
        failed: unlessZero((now.failed ?? 0) + failed.size),
      }),
      uncountedTerminatedPods: {},
    });
  }

  #counts(): Counts {
    const active = this.#pods.filter(isActive);
    const containers = active.flatMap((pod) => [
      ...(pod.status?.containerStatuses ?? []),
      ...(pod.status?.initContainerStatuses ?? []),
    ]);
    return {
      active: active.length,
      succeeded: this.#job.status?.succeeded ?? 0,
      failed: this.#job.status?.failed ?? 0,
      restarts: containers.reduce((sum, container) => sum + container.restartCount, 0),
    };
  }

  /** Makes or deletes pods until as many run as should. */
  async #manage(counts: Counts): Promise<{ again?: Again; failure?: unknown }> {
    const { client } = this.#context;
    const missing = wantedActive(this.#job, counts) - counts.active;
    if (missing < 0) {
      // These are not failures: let go of them before they are deleted.
      for (const pod of firstToDelete(this.#pods.filter(isActive), -missing)) {
        await deleteExactly(client, 'pods', await untrack(client, pod));
        client.event(this.#job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`, SOURCE);
      }
      return {};
    }
    if (missing === 0) return {};
    const waitMs = backoffLeftMs(this.#pods.filter(isFinished), this.#nowMs);
    if (waitMs > 0) return { again: waitMs };
    const indexes = missingIndexes(this.#job, this.#pods, missing);
    const number = Math.min(indexes?.length ?? missing, BURST_PODS_MAX);
    const { error } = await inBursts(number, async (at) => {
      const pod = await client.create('pods', jobPod(this.#job, indexes?.[at]));
      client.event(this.#job, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`, SOURCE);
    });
    if (error === undefined || isNamespaceTerminating(error)) return {};
    client.event(this.#job, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`, SOURCE);
    return { failure: error };
  }

  async #end(verdict: Verdict): Promise<void> {
    const { client } = this.#context;
    for (const pod of this.#pods.filter(isActive)) {
      // Pods that a success makes superfluous have not failed.
      await deleteExactly(client, 'pods', verdict.isSuccess ? await untrack(client, pod) : pod);
      client.event(this.#job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`, SOURCE);
    }
  }

  async #writeCounts(verdict: Verdict | undefined): Promise<void> {
    const { client } = this.#context;
    const { status = {} } = this.#job;
    const active = this.#pods.filter(isActive);
    const unfinished = this.#pods.filter((pod) => !isFinished(pod));
    const isOver = unfinished.length === 0 && !this.#pods.some(isTracked);
    const before = status.conditions ?? [];
    const conditions = verdict === undefined ? before : withVerdict(before, verdict, isOver, this.#nowMs);
    const hasEnded = verdict !== undefined && isOver;
    const { active: _, ...rest } = status;
    await this.#write({
      ...rest,
      ...defined({
        active: unlessZero(active.length),
        completionTime: hasEnded && verdict.isSuccess ? timestamp(this.#nowMs) : undefined,
        conditions: conditions.length === 0 ? undefined : conditions,
      }),
      ready: active.filter(isReady).length,
      terminating: unfinished.length - active.length,
      uncountedTerminatedPods: status.uncountedTerminatedPods ?? {},
    });
    if (!hasEnded) return;
    if (verdict.isSuccess) client.event(this.#job, 'Normal', 'Completed', 'Job completed', SOURCE);
    else client.event(this.#job, 'Warning', verdict.reason, verdict.message, SOURCE);
  }

  #deadlineInMs(): Again {
    const { activeDeadlineSeconds, suspend } = this.#job.spec;
    if (activeDeadlineSeconds === undefined || suspend === true || finalCondition(this.#job)) return undefined;
    return Math.max(0, timeOf(this.#job.status?.startTime) + activeDeadlineSeconds * 1000 - this.#nowMs) + 1;
  }

  #reread(): void {
    const { namespace, uid } = this.#job.metadata;
    this.#pods = this.#context.client.list('pods', namespace).filter((pod) => controllerOf(pod)?.uid === uid);
  }

  async #write(status: JobStatus): Promise<void> {
    this.#job = await writeStatus(this.#context.client, 'jobs.batch', this.#job, status);
  }
}

function isTracked(pod: Pod): boolean {
  return pod.metadata.finalizers?.includes(TRACKING) ?? false;
}

function suspension(status: 'True' | 'False', now: string): Condition {
  const words = status === 'True' ? ['JobSuspended', 'Job suspended'] : ['JobResumed', 'Job resumed'];
  const [reason = '', message = ''] = words;
  return { type: 'Suspended', status, reason, message, lastProbeTime: now, lastTransitionTime: now };
}

function unlessEmpty(uids: ReadonlySet<string>): readonly string[] | undefined {
  return uids.size === 0 ? undefined : [...uids];
}

function earliest(...waits: readonly Again[]): Again {
  const known = waits.filter((wait) => wait !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
