import { isAlreadyExists, isNamespaceTerminating, messageOf } from '../api-errors.ts';
import {
  byCreation,
  deleteExactly,
  keyFor,
  keyOf,
  startQueue,
  timeOf,
  timestamp,
  together,
  writeStatus,
  type Again,
  type ControllerContext,
} from '../controller.ts';
import { defined } from '../json.ts';
import { controllerOf, controllerReference } from '../owners.ts';
import type { CronJob, CronJobStatus, Job, ObjectReference } from '../resources.ts';
import type { Draft } from '../typed-client.ts';
import { CronError, lastDue, nextTime, parseSchedule, type Schedule } from './cron.ts';
import { finalCondition } from './job-status.ts';

const SOURCE = 'cronjob-controller';
const SCHEDULED = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
const UTC = new Set(['', 'UTC', 'Etc/UTC', 'Etc/UCT', 'GMT', 'Etc/GMT', 'Zulu']);
/** A schedule fires this long after its time, so that the whole second has come. */
const LATE_MS = 100;

/** Starts Jobs on a schedule, in UTC. Source: kube-controller-manager `cronjob` (version 2). */
export function startCronJobController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (job: Job): void => {
    const owner = controllerOf(job);
    if (owner?.kind === 'CronJob') queue.add(keyFor(job.metadata.namespace, owner.name));
  };
  return together(
    queue,
    client.watch('cronjobs.batch', {
      apply: (cron) => queue.add(keyOf(cron)),
      delete: (cron) => queue.add(keyOf(cron)),
    }),
    client.watch('jobs.batch', { apply: wake, delete: wake }),
  );
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client, clock } = context;
  const cron = client.get('cronjobs.batch', namespace, name);
  if (cron === undefined) return undefined;
  const jobs = client.list('jobs.batch', namespace).filter((job) => controllerOf(job)?.uid === cron.metadata.uid);
  await deleteHistory(context, cron, jobs);
  let status = tracked(context, cron, jobs);
  let again: Again;
  if (cron.metadata.deletionTimestamp === undefined && cron.spec.suspend !== true) {
    const schedule = readSchedule(context, cron);
    if (schedule !== undefined) {
      const due = dueTime(context, cron, schedule, clock.now());
      if (due !== undefined) status = await fire(context, cron, status, due);
      const next = nextTime(schedule, clock.now());
      again = next === undefined ? undefined : next - clock.now() + LATE_MS;
    }
  }
  await writeStatus(client, 'cronjobs.batch', cron, status);
  return again;
}

function readSchedule({ client }: ControllerContext, cron: CronJob): Schedule | undefined {
  const { schedule, timeZone = '' } = cron.spec;
  if (!UTC.has(timeZone)) {
    const message = `invalid timeZone: "${timeZone}": this cluster knows only UTC`;
    client.event(cron, 'Warning', 'UnknownTimeZone', message, SOURCE);
    return undefined;
  }
  try {
    return parseSchedule(schedule);
  } catch (error) {
    if (!(error instanceof CronError)) throw error;
    client.event(
      cron,
      'Warning',
      'UnparseableSchedule',
      `unparseable schedule: "${schedule}" : ${error.message}`,
      SOURCE,
    );
    return undefined;
  }
}

/** The time the CronJob has to run for now; undefined when it has run for it, or when it is too late for it. */
function dueTime({ client }: ControllerContext, cron: CronJob, schedule: Schedule, nowMs: number): number | undefined {
  const sinceMs = timeOf(cron.status?.lastScheduleTime ?? cron.metadata.creationTimestamp);
  const { startingDeadlineSeconds } = cron.spec;
  const fromMs =
    startingDeadlineSeconds === undefined ? sinceMs : Math.max(sinceMs, nowMs - startingDeadlineSeconds * 1000);
  const { dueMs, missed } = lastDue(schedule, fromMs, nowMs);
  if (missed > 100) {
    const message = 'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew';
    client.event(cron, 'Warning', 'TooManyMissedTimes', message, SOURCE);
  }
  return dueMs;
}

async function fire(
  context: ControllerContext,
  cron: CronJob,
  status: CronJobStatus,
  dueMs: number,
): Promise<CronJobStatus> {
  const { client } = context;
  const { concurrencyPolicy = 'Allow' } = cron.spec;
  const active = status.active ?? [];
  if (concurrencyPolicy === 'Forbid' && active.length > 0) {
    const message = 'Not starting job because prior execution is running and concurrency policy is Forbid';
    client.event(cron, 'Normal', 'JobAlreadyActive', message, SOURCE);
    return status;
  }
  let kept = active;
  if (concurrencyPolicy === 'Replace') {
    for (const reference of active) {
      const job = client.get('jobs.batch', cron.metadata.namespace, reference.name ?? '');
      if (job !== undefined) await deleteJob(context, cron, job);
    }
    kept = [];
  }
  try {
    const job = await client.create('jobs.batch', jobFor(cron, dueMs));
    client.event(cron, 'Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`, SOURCE);
    return { ...status, active: [...kept, referenceTo(job)], lastScheduleTime: timestamp(dueMs) };
  } catch (error) {
    if (isNamespaceTerminating(error)) return status;
    // The Job for this time is there already: an earlier pass made it and could not write its status.
    if (isAlreadyExists(error)) return { ...status, lastScheduleTime: timestamp(dueMs) };
    client.event(cron, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`, SOURCE);
    throw error;
  }
}

/** The Job for one time; its name is made of the time, so that it cannot be made twice. */
function jobFor(cron: CronJob, dueMs: number): Draft<Job> {
  const { metadata: { labels = {}, annotations = {} } = {}, spec } = cron.spec.jobTemplate;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${cron.metadata.name}-${Math.floor(dueMs / 60_000)}`,
      namespace: cron.metadata.namespace ?? '',
      labels: { ...labels },
      annotations: { ...annotations, [SCHEDULED]: timestamp(dueMs) },
      ownerReferences: [controllerReference(cron)],
    },
    spec,
  };
}

function referenceTo(job: Job): ObjectReference {
  const { namespace = '', name, uid, resourceVersion } = job.metadata;
  return { apiVersion: 'batch/v1', kind: 'Job', namespace, name, uid, resourceVersion };
}

/** The status after the Jobs that have ended since are taken out of `active`. */
function tracked({ client }: ControllerContext, cron: CronJob, jobs: readonly Job[]): CronJobStatus {
  const active = cron.status?.active ?? [];
  let lastSuccessfulTime = cron.status?.lastSuccessfulTime;
  const left = active.filter((reference) => {
    const job = jobs.find(({ metadata }) => metadata.uid === reference.uid);
    if (job === undefined) {
      const message = `Active job went missing: ${reference.name}`;
      client.event(cron, 'Normal', 'MissingJob', message, SOURCE);
      return false;
    }
    const ended = finalCondition(job);
    if (ended === undefined) return true;
    const message = `Saw completed job: ${job.metadata.name}, condition: ${ended.type}`;
    client.event(cron, 'Normal', 'SawCompletedJob', message, SOURCE);
    return false;
  });
  for (const { status = {} } of jobs) {
    const endMs = timeOf(status.completionTime);
    if (endMs > (timeOf(lastSuccessfulTime) || 0)) lastSuccessfulTime = status.completionTime;
  }
  const known = new Set(left.map(({ uid }) => uid));
  const adopted = jobs.filter((job) => finalCondition(job) === undefined && !known.has(job.metadata.uid));
  const now = [...left, ...adopted.map(referenceTo)];
  return defined({ ...cron.status, active: now.length === 0 ? undefined : now, lastSuccessfulTime });
}

async function deleteHistory(context: ControllerContext, cron: CronJob, jobs: readonly Job[]): Promise<void> {
  const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cron.spec;
  for (const [type, limit] of [
    ['Complete', successfulJobsHistoryLimit],
    ['Failed', failedJobsHistoryLimit],
  ] as const) {
    const ended = jobs.filter((job) => finalCondition(job)?.type === type && !job.metadata.deletionTimestamp);
    const surplus = ended.sort(byCreation).slice(0, Math.max(0, ended.length - limit));
    for (const job of surplus) await deleteJob(context, cron, job);
  }
}

async function deleteJob({ client }: ControllerContext, cron: CronJob, job: Job): Promise<void> {
  await deleteExactly(client, 'jobs.batch', job, { propagationPolicy: 'Background' });
  client.event(cron, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`, SOURCE);
}
