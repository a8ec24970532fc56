import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conditionOf } from '../controller.ts';
import { isReady } from '../pods.ts';
import type { Deployment, ReplicaSet } from '../resources.ts';
import { deployment, template, TestCluster } from '../testing/test-cluster.ts';

/** What `kubectl rollout status` waits for, in its order; undefined when it would say "successfully rolled out". */
function waitsFor({ metadata, spec, status = {} }: Deployment): string | undefined {
  if ((metadata.generation ?? 0) > (status.observedGeneration ?? 0)) return 'spec update to be observed';
  if (conditionOf(status.conditions, 'Progressing')?.reason === 'ProgressDeadlineExceeded') return 'deadline exceeded';
  const { replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  if (updatedReplicas < (spec.replicas ?? 1)) return 'new replicas';
  if (replicas > updatedReplicas) return 'old replicas to go';
  return availableReplicas < updatedReplicas ? 'availability' : undefined;
}

const REVISION = 'deployment.kubernetes.io/revision';

/** The ReplicaSets of all Deployments, by revision. */
function sets(cluster: TestCluster): readonly ReplicaSet[] {
  const revision = ({ metadata }: ReplicaSet): number => Number(metadata.annotations?.[REVISION]);
  return [...cluster.list('replicasets.apps')].sort((a, b) => revision(a) - revision(b));
}

function reason(object: Deployment, type: string): string | undefined {
  return conditionOf(object.status?.conditions, type)?.reason;
}

test('a new Deployment makes a ReplicaSet named after its template and reports every step', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => undefined;
  await cluster.create('deployments.apps', deployment('web', { replicas: 3 }));
  await cluster.settle();

  const [set, ...others] = cluster.list('replicasets.apps');
  assert.ok(set);
  assert.equal(others.length, 0);
  assert.match(set.metadata.name, /^web-[bcdfghjklmnpqrstvwxz2456789]{8,10}$/);
  const hash = set.metadata.labels?.['pod-template-hash'];
  assert.equal(set.metadata.name, `web-${hash}`);
  assert.deepEqual(set.spec.selector.matchLabels, { app: 'web', 'pod-template-hash': hash });
  assert.equal(set.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
  assert.equal(set.metadata.annotations?.['deployment.kubernetes.io/desired-replicas'], '3');
  assert.equal(set.metadata.annotations?.['deployment.kubernetes.io/max-replicas'], '4');
  assert.equal(set.metadata.ownerReferences?.[0]?.controller, true);
  assert.equal(cluster.pods().length, 3);
  assert.ok(cluster.pods().every((pod) => pod.metadata.name.startsWith(`${set.metadata.name}-`)));

  const pending = cluster.get('deployments.apps', 'web');
  assert.equal(waitsFor(pending), 'availability');
  assert.equal(reason(pending, 'Progressing'), 'ReplicaSetUpdated');
  assert.equal(reason(pending, 'Available'), 'MinimumReplicasUnavailable');
  assert.equal(pending.status?.unavailableReplicas, 3);

  cluster.kubelet.outcome = () => 'Ready';
  cluster.kubelet.look();
  await cluster.settle();
  const done = cluster.get('deployments.apps', 'web');
  assert.equal(waitsFor(done), undefined);
  assert.equal(reason(done, 'Progressing'), 'NewReplicaSetAvailable');
  assert.equal(reason(done, 'Available'), 'MinimumReplicasAvailable');
  assert.equal(
    conditionOf(done.status?.conditions, 'Progressing')?.message,
    `ReplicaSet "${set.metadata.name}" has successfully progressed.`,
  );
  const { conditions: _, ...counts } = done.status ?? {};
  const expected = { observedGeneration: 1, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 };
  assert.deepEqual(counts, expected);
  assert.deepEqual(cluster.messages('ScalingReplicaSet'), [`Scaled up replica set ${set.metadata.name} from 0 to 3`]);
});

test('a rolling restart never goes below the allowed availability nor above the allowed surge', async () => {
  await using cluster = await TestCluster.start();
  const rollingUpdate = { maxSurge: '20%', maxUnavailable: 1 };
  await cluster.create(
    'deployments.apps',
    deployment('web', { replicas: 10, strategy: { type: 'RollingUpdate', rollingUpdate } }),
  );
  await cluster.settle();
  let least = Infinity;
  let most = 0;
  cluster.kubelet.afterStep = () => {
    const alive = cluster.pods();
    least = Math.min(least, alive.filter(isReady).length);
    most = Math.max(most, alive.length);
  };
  const before = new Set(cluster.pods().map((pod) => pod.metadata.uid));
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({
    spec: {
      ...spec,
      template: { ...spec.template, metadata: { ...spec.template.metadata, annotations: { restartedAt: 'now' } } },
    },
  }));
  await cluster.settle();
  assert.ok(least >= 9, `${least} were available`);
  assert.ok(most <= 12, `${most} existed`);
  assert.equal(cluster.pods().length, 10);
  assert.ok(cluster.pods().every((pod) => !before.has(pod.metadata.uid)));
  assert.equal(waitsFor(cluster.get('deployments.apps', 'web')), undefined);
  const sizes = sets(cluster).map((set) => set.spec.replicas);
  assert.deepEqual(sizes, [0, 10]);
});

test('a rollout whose new pods never become ready keeps the old ones and fails at its deadline', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 4, progressDeadlineSeconds: 60 }));
  await cluster.settle();
  cluster.kubelet.outcome = (pod) => (JSON.stringify(pod.spec).includes('broken') ? 'Unready' : 'Ready');
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({
    spec: { ...spec, template: template('web', 'broken') },
  }));
  await cluster.settle();
  assert.equal(cluster.pods().filter(isReady).length, 3);
  assert.equal(waitsFor(cluster.get('deployments.apps', 'web')), 'new replicas');
  assert.equal(cluster.get('deployments.apps', 'web').status?.updatedReplicas, 2);
  await cluster.pass(50_000);
  assert.notEqual(waitsFor(cluster.get('deployments.apps', 'web')), 'deadline exceeded');
  await cluster.pass(15_000);
  const failed = cluster.get('deployments.apps', 'web');
  assert.equal(waitsFor(failed), 'deadline exceeded');
  assert.equal(conditionOf(failed.status?.conditions, 'Progressing')?.status, 'False');

  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({ spec: { ...spec, template: template('web') } }));
  await cluster.settle();
  const undone = cluster.get('deployments.apps', 'web');
  assert.equal(waitsFor(undone), undefined);
  assert.equal(undone.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
  const revisions = sets(cluster).map((set) => set.metadata.annotations);
  assert.deepEqual(
    revisions.map((all) => all?.[REVISION]),
    ['2', '3'],
  );
  assert.equal(revisions[1]?.['deployment.kubernetes.io/revision-history'], '1');
});

test('scaling up and down follows at once and is announced', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 2 }));
  await cluster.settle();
  const name = cluster.list('replicasets.apps')[0]?.metadata.name;
  for (const replicas of [5, 1, 0, 3]) {
    await cluster.edit('deployments.apps', 'web', ({ spec }) => ({ spec: { ...spec, replicas } }));
    await cluster.settle();
    assert.equal(cluster.pods().length, replicas);
    const current = cluster.get('deployments.apps', 'web');
    assert.equal(waitsFor(current), undefined);
    assert.equal(current.status?.observedGeneration, current.metadata.generation);
    assert.equal(current.status?.availableReplicas ?? 0, replicas);
  }
  assert.deepEqual(cluster.messages('ScalingReplicaSet'), [
    `Scaled up replica set ${name} from 0 to 2`,
    `Scaled up replica set ${name} from 2 to 5`,
    `Scaled down replica set ${name} from 5 to 1`,
    `Scaled down replica set ${name} from 1 to 0`,
    `Scaled up replica set ${name} from 0 to 3`,
  ]);
  assert.equal(cluster.list('replicasets.apps').length, 1);
});

test('Recreate starts new pods only when every old one is gone', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 3, strategy: { type: 'Recreate' } }));
  await cluster.settle();
  const old = new Set(cluster.pods().map((pod) => pod.metadata.uid));
  cluster.kubelet.mayGo = () => false;
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({
    spec: { ...spec, template: template('web', 'next') },
  }));
  await cluster.settle();
  assert.equal(cluster.pods().length, 0);
  assert.equal(cluster.list('pods').length, 3);
  assert.equal(cluster.list('replicasets.apps').length, 1);
  cluster.kubelet.mayGo = () => true;
  cluster.kubelet.look();
  await cluster.settle();
  assert.equal(cluster.pods().length, 3);
  assert.ok(cluster.pods().every((pod) => !old.has(pod.metadata.uid)));
  assert.equal(waitsFor(cluster.get('deployments.apps', 'web')), undefined);
});

test('a paused Deployment is scaled but not rolled out', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 2 }));
  await cluster.settle();
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({ spec: { ...spec, paused: true } }));
  await cluster.settle();
  assert.equal(reason(cluster.get('deployments.apps', 'web'), 'Progressing'), 'DeploymentPaused');
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({
    spec: { ...spec, replicas: 4, template: template('web', 'b') },
  }));
  await cluster.settle();
  assert.equal(cluster.list('replicasets.apps').length, 1);
  assert.equal(cluster.pods().length, 4);
  assert.equal(waitsFor(cluster.get('deployments.apps', 'web')), 'new replicas');
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({ spec: { ...spec, paused: false } }));
  await cluster.settle();
  assert.equal(waitsFor(cluster.get('deployments.apps', 'web')), undefined);
  assert.equal(cluster.list('replicasets.apps').length, 2);
});

test('scaling in the middle of a stuck rollout shares the pods out by size', async () => {
  await using cluster = await TestCluster.start();
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } as const;
  await cluster.create('deployments.apps', deployment('web', { replicas: 10, strategy }));
  await cluster.settle();
  cluster.kubelet.outcome = (pod) => (JSON.stringify(pod.spec).includes('broken') ? 'Unready' : 'Ready');
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({
    spec: { ...spec, template: template('web', 'broken') },
  }));
  await cluster.settle();
  const sizes = (): readonly (number | undefined)[] => sets(cluster).map((set) => set.spec.replicas);
  assert.deepEqual(sizes(), [8, 5]);
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({ spec: { ...spec, replicas: 15 } }));
  await cluster.settle();
  // The example of the Kubernetes documentation: 3 of 5 more pods go to the larger, old set.
  assert.deepEqual(sizes(), [11, 7]);
});

test('no more old ReplicaSets are kept than revisionHistoryLimit says', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { revisionHistoryLimit: 2 }));
  for (const image of ['b', 'c', 'd', 'e']) {
    await cluster.pass(1000);
    await cluster.edit('deployments.apps', 'web', ({ spec }) => ({
      spec: { ...spec, template: template('web', image) },
    }));
  }
  await cluster.settle();
  const revisions = sets(cluster).map((set) => set.metadata.annotations?.[REVISION]);
  assert.deepEqual(revisions, ['3', '4', '5']);
});

test('pods that may not be created are reported and tried again', async () => {
  await using cluster = await TestCluster.start();
  const { metadata = {}, spec } = template('web');
  const withAccount = { metadata, spec: { ...spec, serviceAccountName: 'late' } };
  await cluster.create('deployments.apps', deployment('web', { replicas: 3, template: withAccount }));
  await cluster.settle();
  const refused = cluster.get('deployments.apps', 'web');
  const failure = conditionOf(refused.status?.conditions, 'ReplicaFailure');
  assert.deepEqual([failure?.status, failure?.reason], ['True', 'FailedCreate']);
  assert.match(failure?.message ?? '', /serviceaccount "late" not found/);
  assert.match(cluster.messages('FailedCreate')[0] ?? '', /^Error creating: pods "web-.*" is forbidden/);
  await cluster.create('serviceaccounts', { metadata: { name: 'late' } });
  await cluster.pass(60_000);
  const current = cluster.get('deployments.apps', 'web');
  assert.equal(waitsFor(current), undefined);
  assert.equal(conditionOf(current.status?.conditions, 'ReplicaFailure'), undefined);
});

test('a name that another ReplicaSet has taken is avoided with another hash', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 1 }));
  await cluster.settle();
  const taken = cluster.list('replicasets.apps')[0]?.metadata.name ?? '';
  await cluster.client.delete('deployments.apps', 'demo', 'web');
  await cluster.settle();
  assert.equal(cluster.list('replicasets.apps').length, 0);
  const other = { selector: { matchLabels: { app: 'other' } }, template: template('other'), replicas: 0 };
  await cluster.create('replicasets.apps', { metadata: { name: taken }, spec: other });
  await cluster.create('deployments.apps', deployment('web', { replicas: 1 }));
  await cluster.pass(2000);
  const current = cluster.get('deployments.apps', 'web');
  assert.equal(waitsFor(current), undefined);
  assert.equal(current.status?.collisionCount, 1);
});

test('hundreds of pods come up, are restarted and go', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('big', { replicas: 300 }));
  await cluster.settle();
  assert.equal(waitsFor(cluster.get('deployments.apps', 'big')), undefined);
  await cluster.edit('deployments.apps', 'big', ({ spec }) => ({ spec: { ...spec, template: template('big', 'b') } }));
  await cluster.settle();
  assert.equal(waitsFor(cluster.get('deployments.apps', 'big')), undefined);
  await cluster.client.delete('deployments.apps', 'demo', 'big');
  await cluster.settle();
  assert.equal(cluster.list('pods').length, 0);
});
