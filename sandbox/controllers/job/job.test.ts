import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conditionOf } from '../controller.ts';
import type { CronJob, Job, JobSpec } from '../resources.ts';
import { template, TestCluster } from '../testing/test-cluster.ts';
import { formatIndexes, parseIndexes } from './job-status.ts';

function jobSpec(more: Partial<JobSpec> = {}): JobSpec {
  const { metadata = {}, spec } = template('work');
  return {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    template: { metadata, spec: { ...spec, restartPolicy: 'Never' } },
    ...more,
  };
}

const conditionTypes = (job: Job): readonly string[] => (job.status?.conditions ?? []).map(({ type }) => type);

test('a Job runs as many pods at a time as allowed until enough have succeeded', async () => {
  await using cluster = await TestCluster.start();
  let most = 0;
  cluster.kubelet.afterStep = () =>
    (most = Math.max(most, cluster.pods().filter((pod) => pod.status?.phase === 'Running').length));
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec: jobSpec({ completions: 5, parallelism: 2 }) });
  await cluster.settle();
  const running = cluster.get('jobs.batch', 'work').status;
  assert.deepEqual([running?.active, running?.ready, running?.succeeded], [2, 2, undefined]);
  assert.equal(cluster.pods()[0]?.metadata.labels?.['batch.kubernetes.io/job-name'], 'work');

  cluster.kubelet.outcome = () => 'Succeeded';
  cluster.kubelet.look();
  await cluster.settle();
  const job = cluster.get('jobs.batch', 'work');
  assert.ok(most <= 2);
  assert.deepEqual(conditionTypes(job), ['SuccessCriteriaMet', 'Complete']);
  const complete = conditionOf(job.status?.conditions, 'Complete');
  assert.deepEqual(
    [complete?.status, complete?.reason, complete?.message],
    ['True', 'CompletionsReached', 'Reached expected number of succeeded pods'],
  );
  const { conditions: _, startTime, completionTime, ...counts } = job.status ?? {};
  assert.ok(startTime && completionTime);
  assert.deepEqual(counts, { ready: 0, terminating: 0, succeeded: 5, uncountedTerminatedPods: {} });
  assert.equal(cluster.pods().length, 5, 'finished pods stay for their logs');
  assert.ok(cluster.pods().every((pod) => (pod.metadata.finalizers ?? []).length === 0));
});

test('failures are tried again with growing delays until the limit is reached', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => 'Failed';
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec: jobSpec({ backoffLimit: 2 }) });
  await cluster.settle();
  assert.equal(cluster.pods().length, 1);
  await cluster.pass(9000);
  assert.equal(cluster.pods().length, 1);
  await cluster.pass(2000);
  assert.equal(cluster.pods().length, 2);
  await cluster.pass(21_000);
  const job = cluster.get('jobs.batch', 'work');
  assert.equal(cluster.pods().length, 3);
  assert.equal(job.status?.failed, 3);
  assert.deepEqual(conditionTypes(job), ['FailureTarget', 'Failed']);
  assert.equal(conditionOf(job.status?.conditions, 'Failed')?.reason, 'BackoffLimitExceeded');
  await cluster.pass(600_000);
  assert.equal(cluster.pods().length, 3);
});

test('a Job that runs too long is ended', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec: jobSpec({ activeDeadlineSeconds: 5 }) });
  await cluster.pass(4000);
  assert.deepEqual(conditionTypes(cluster.get('jobs.batch', 'work')), []);
  cluster.kubelet.mayGo = () => false;
  await cluster.pass(2000);
  assert.deepEqual(conditionTypes(cluster.get('jobs.batch', 'work')), ['FailureTarget'], 'its pod has not ended yet');
  cluster.kubelet.mayGo = () => true;
  cluster.kubelet.look();
  await cluster.settle();
  const job = cluster.get('jobs.batch', 'work');
  assert.equal(conditionOf(job.status?.conditions, 'Failed')?.reason, 'DeadlineExceeded');
  assert.equal(job.status?.failed, 1);
  assert.equal(cluster.list('pods').length, 0);
});

test('a pod counts once even if it is deleted as soon as it has ended', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => 'Succeeded';
  cluster.kubelet.afterStep = () => {
    const done = cluster.pods().find((pod) => pod.status?.phase === 'Succeeded');
    if (done !== undefined) void cluster.client.delete('pods', 'demo', done.metadata.name).catch(() => {});
  };
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec: jobSpec({ completions: 3 }) });
  await cluster.settle();
  const { status } = cluster.get('jobs.batch', 'work');
  assert.equal(status?.succeeded, 3);
  assert.equal(status?.failed, undefined);
  assert.equal(cluster.list('pods').length, 0);
});

test('an Indexed Job runs every index once', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => 'Succeeded';
  const spec = jobSpec({ completions: 4, parallelism: 4, completionMode: 'Indexed' });
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec });
  await cluster.settle();
  const { status } = cluster.get('jobs.batch', 'work');
  assert.deepEqual([status?.completedIndexes, status?.succeeded], ['0-3', 4]);
  const [pod] = cluster.pods();
  assert.match(pod?.metadata.name ?? '', /^work-0-[a-z0-9]{5}$/);
  assert.deepEqual(pod?.spec.containers[0]?.env, [{ name: 'JOB_COMPLETION_INDEX', value: '0' }]);
  assert.equal(pod?.spec.hostname, 'work-0');
});

test('indexes are written in runs and read back', () => {
  assert.equal(formatIndexes(new Set([7, 0, 2, 3, 4, 6])), '0,2-4,6,7');
  assert.deepEqual(parseIndexes('0,2-4,6,7'), new Set([0, 2, 3, 4, 6, 7]));
  assert.deepEqual(parseIndexes(undefined), new Set());
});

test('a suspended Job has no pods and starts over when it is resumed', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec: jobSpec({ suspend: true }) });
  await cluster.settle();
  assert.equal(cluster.pods().length, 0);
  assert.equal(conditionOf(cluster.get('jobs.batch', 'work').status?.conditions, 'Suspended')?.status, 'True');
  await cluster.edit('jobs.batch', 'work', ({ spec }) => ({ spec: { ...spec, suspend: false } }));
  await cluster.settle();
  assert.equal(cluster.pods().length, 1);
  await cluster.edit('jobs.batch', 'work', ({ spec }) => ({ spec: { ...spec, suspend: true } }));
  await cluster.settle();
  assert.equal(cluster.pods().length, 0);
  assert.equal(cluster.get('jobs.batch', 'work').status?.failed, undefined);
});

test('a Job and its pods go when its time after the end is over, and when it is deleted early', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => 'Succeeded';
  await cluster.create('jobs.batch', { metadata: { name: 'work' }, spec: jobSpec({ ttlSecondsAfterFinished: 30 }) });
  await cluster.pass(29_000);
  assert.equal(cluster.pods().length, 1);
  await cluster.pass(3000);
  assert.equal(cluster.find('jobs.batch', 'work'), undefined);
  assert.equal(cluster.list('pods').length, 0);

  cluster.kubelet.outcome = () => 'Ready';
  await cluster.create('jobs.batch', { metadata: { name: 'early' }, spec: jobSpec() });
  await cluster.settle();
  await cluster.client.delete('jobs.batch', 'demo', 'early', { propagationPolicy: 'Background' });
  await cluster.settle();
  assert.equal(cluster.list('pods').length, 0);
  await cluster.create('jobs.batch', { metadata: { name: 'early' }, spec: jobSpec() });
  await cluster.settle();
  await cluster.client.delete('jobs.batch', 'demo', 'early', { propagationPolicy: 'Foreground' });
  await cluster.settle();
  assert.equal(cluster.find('jobs.batch', 'early'), undefined);
  assert.equal(cluster.list('pods').length, 0);
});

function cronSpec(more: Partial<CronJob['spec']> = {}): CronJob['spec'] {
  return { schedule: '*/5 * * * *', jobTemplate: { spec: jobSpec() }, ...more };
}

const MINUTE_MS = 60_000;

test('a CronJob starts a Job at every time of its schedule and keeps as many as its limits say', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => 'Succeeded';
  await cluster.create('cronjobs.batch', {
    metadata: { name: 'tick' },
    spec: cronSpec({ successfulJobsHistoryLimit: 2 }),
  });
  await cluster.pass(5 * MINUTE_MS + 1000);
  const minute = Date.UTC(2026, 0, 1, 0, 5) / MINUTE_MS;
  const [job, ...others] = cluster.list('jobs.batch');
  assert.equal(others.length, 0);
  assert.equal(job?.metadata.name, `tick-${minute}`);
  assert.equal(job.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'], '2026-01-01T00:05:00Z');
  await cluster.pass(20 * MINUTE_MS);
  assert.deepEqual(
    cluster.list('jobs.batch').map(({ metadata }) => metadata.name),
    [`tick-${minute + 15}`, `tick-${minute + 20}`],
  );
  const { status } = cluster.get('cronjobs.batch', 'tick');
  assert.equal(status?.active, undefined);
  assert.equal(status?.lastScheduleTime, '2026-01-01T00:25:00Z');
  assert.ok(status?.lastSuccessfulTime);
});

test('what happens when the Job before still runs is the choice of the CronJob', async () => {
  for (const [concurrencyPolicy, count, isOldKept] of [
    ['Allow', 2, true],
    ['Forbid', 1, true],
    ['Replace', 1, false],
  ] as const) {
    await using cluster = await TestCluster.start();
    await cluster.create('cronjobs.batch', { metadata: { name: 'tick' }, spec: cronSpec({ concurrencyPolicy }) });
    await cluster.pass(5 * MINUTE_MS + 1000);
    const first = cluster.list('jobs.batch')[0]?.metadata.name ?? '';
    assert.equal(cluster.get('cronjobs.batch', 'tick').status?.active?.length, 1);
    await cluster.pass(5 * MINUTE_MS);
    assert.equal(cluster.list('jobs.batch').length, count, concurrencyPolicy);
    assert.equal(cluster.find('jobs.batch', first) !== undefined, isOldKept, concurrencyPolicy);
    assert.equal(cluster.get('cronjobs.batch', 'tick').status?.active?.length, count);
  }
});

test('a suspended or foreign schedule starts nothing, and the latter says why', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('cronjobs.batch', { metadata: { name: 'a' }, spec: cronSpec({ suspend: true }) });
  await cluster.create('cronjobs.batch', { metadata: { name: 'b' }, spec: cronSpec({ timeZone: 'Europe/Berlin' }) });
  await cluster.pass(10 * MINUTE_MS);
  assert.equal(cluster.list('jobs.batch').length, 0);
  assert.match(cluster.messages('UnknownTimeZone')[0] ?? '', /Europe\/Berlin/);
});

test('a start that was missed for longer than the deadline is left out', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('cronjobs.batch', {
    metadata: { name: 'tick' },
    spec: cronSpec({ suspend: true, startingDeadlineSeconds: 30 }),
  });
  await cluster.pass(6 * MINUTE_MS);
  await cluster.edit('cronjobs.batch', 'tick', () => ({ spec: cronSpec({ startingDeadlineSeconds: 30 }) }));
  await cluster.settle();
  assert.equal(cluster.list('jobs.batch').length, 0);
  await cluster.edit('cronjobs.batch', 'tick', () => ({ spec: cronSpec({ startingDeadlineSeconds: 300 }) }));
  await cluster.settle();
  assert.equal(cluster.list('jobs.batch').length, 1);
});
