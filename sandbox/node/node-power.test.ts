import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { createLogger } from '#runtime/log.ts';

import { inNamespaces } from './testing/namespaced.ts';
import { shell, TestCluster } from './testing/test-cluster.ts';
import { until } from './testing/until.ts';
import { Power } from './power.ts';
import { listProcesses } from './process-group.ts';

const SLEEP = 'trap "" TERM; sleep 1000 & wait';
const volumes = [
  { name: 'disk', emptyDir: {} },
  { name: 'memory', emptyDir: { medium: 'Memory' } },
];
const volumeMounts = [
  { name: 'disk', mountPath: '/disk' },
  { name: 'memory', mountPath: '/memory' },
];

inNamespaces(import.meta.filename, () => {
  const follow = (cluster: TestCluster): Power =>
    new Power(cluster.client, 'sandbox', cluster.node, createLogger('test', 'warn'));
  const power = (cluster: TestCluster, value: string): Promise<unknown> => {
    const annotations = { 'sandbox.tulle.dev/power': value };
    return cluster.client.patch('nodes', undefined, 'sandbox', 'merge', { metadata: { annotations } });
  };
  const node = (cluster: TestCluster): { ready: string | undefined; bootID: string | undefined } => {
    const status = cluster.client.get('nodes', undefined, 'sandbox')?.['status'] as {
      conditions: { type: string; status: string }[];
      nodeInfo: { bootID: string };
    };
    const ready = status.conditions.find(({ type }) => type === 'Ready')?.status;
    return { ready, bootID: status.nodeInfo.bootID };
  };

  test('after a power failure the same pods start anew, with what was on their disk', async () => {
    await using cluster = await TestCluster.start();
    using _power = follow(cluster);
    const prepare = 'echo prepared >> /disk/log; ls /memory > /disk/memory; touch /memory/here';
    for (const name of ['one', 'two']) {
      await cluster.create(name, {
        volumes,
        initContainers: [
          shell('init', prepare, { volumeMounts }),
          shell('sidecar', SLEEP, { restartPolicy: 'Always' }),
        ],
        containers: [shell('main', `cat /disk/log /disk/memory; ${SLEEP}`, { volumeMounts })],
      });
    }
    const { uid } = (await cluster.ready('one')).metadata;
    await cluster.ready('two');

    await power(cluster, 'off');
    await until('the node is off', () => node(cluster).ready === 'Unknown');
    assert.equal(cluster.networks.size, 0);
    assert.deepEqual(
      listProcesses().filter((one) => one.isChild && !one.isZombie),
      [],
    );
    assert.equal(cluster.condition('one', 'Ready'), 'True', 'nobody was left to say otherwise');
    assert.deepEqual(
      cluster.events('one').filter((event) => event.startsWith('Killing')),
      [],
    );

    await power(cluster, '7');
    await until('the node is on', () => node(cluster).bootID === '7');
    await until('both run again', () =>
      ['one', 'two'].every((name) => cluster.container(name, 'main')?.restartCount === 1 && isReady(cluster, name)),
    );
    assert.equal(node(cluster).ready, 'True');
    const pod = cluster.pod('one');
    assert.equal(pod?.metadata.uid, uid);
    assert.equal(pod?.status?.initContainerStatuses?.[0]?.lastState?.terminated?.exitCode, 0);
    assert.equal(cluster.container('one', 'sidecar')?.lastState?.terminated?.reason, 'Unknown');
    const addresses = ['one', 'two'].map((name) => cluster.pod(name)?.status?.podIP ?? '');
    assert.deepEqual(addresses.sort(), ['10.42.0.2', '10.42.0.3'], 'addresses are given out anew');
    const options = { follow: false, previous: false, timestamps: false };
    const log = (): Promise<string> => text(cluster.node.logs('default', 'one', 'main', options));
    await until('the disk is kept, the memory is empty', async () => (await log()) === 'prepared\nprepared\n');
  });

  test('power that fails again while pods start, and pods that may not run twice', async () => {
    await using cluster = await TestCluster.start();
    using _power = follow(cluster);
    await cluster.create('always', { containers: [shell('main', SLEEP)] });
    await cluster.create('once', { restartPolicy: 'Never', containers: [shell('main', SLEEP)] });
    await cluster.create('done', { restartPolicy: 'Never', containers: [shell('main', 'true')] });
    await cluster.ready('always');
    await cluster.ready('once');
    await cluster.phase('done', 'Succeeded');
    for (const seed of ['1', '2', '3']) {
      await power(cluster, seed);
      await until(`start ${seed}`, () => node(cluster).bootID === seed);
    }
    await cluster.phase('once', 'Failed');
    assert.match(cluster.pod('once')?.status?.message ?? '', /lost its power/);
    await until(
      'it runs',
      () => (cluster.container('always', 'main')?.restartCount ?? 0) > 0 && isReady(cluster, 'always'),
    );
    assert.equal(cluster.pod('done')?.status?.phase, 'Succeeded');
  });
});

function isReady(cluster: TestCluster, pod: string): boolean {
  return cluster.condition(pod, 'Ready') === 'True';
}
