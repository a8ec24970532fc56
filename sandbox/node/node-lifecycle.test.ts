import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { inNamespaces } from './testing/namespaced.ts';
import { shell, TestCluster } from './testing/test-cluster.ts';
import { until } from './testing/until.ts';

const LOGS = { follow: false, previous: false, timestamps: false };
/** Runs until it is told to end, and then ends well. */
const SERVE = 'trap "exit 0" TERM; sleep 1000 & wait';
const shared = {
  volumes: [{ name: 'shared', emptyDir: {} }],
  volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
};
const { volumes, volumeMounts } = shared;

inNamespaces(import.meta.filename, () => {
  test('the node is registered, Ready and has a lease', async () => {
    await using cluster = await TestCluster.start();
    const node = cluster.client.get('nodes', undefined, 'sandbox');
    const status = node?.['status'] as {
      conditions: { type: string; status: string }[];
      nodeInfo: { kubeletVersion: string };
    };
    assert.equal(status.conditions.find((one) => one.type === 'Ready')?.status, 'True');
    assert.match(status.nodeInfo.kubeletVersion, /^v1\./);
    await until('a lease', () => cluster.client.get('leases.coordination.k8s.io', 'kube-node-lease', 'sandbox'));
  });

  test('init containers run in order, then the main container becomes ready, and nothing is left behind', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('web', {
      volumes,
      initContainers: [
        shell('first', 'sleep 0.2; echo first >> /shared/order', { volumeMounts }),
        shell('second', 'echo second >> /shared/order', { volumeMounts }),
      ],
      containers: [shell('main', `cat /shared/order; ${SERVE}`, { volumeMounts })],
    });
    const pod = await cluster.ready('web');
    await until('main sees the order', async () => (await logOf(cluster, 'web', 'main')) === 'first\nsecond\n');
    assert.equal(pod.status?.phase, 'Running');
    assert.deepEqual(pod.status?.podIPs, [{ ip: pod.status?.podIP ?? '' }]);
    assert.equal(pod.status?.hostIP, '10.42.0.1');
    assert.equal(pod.status?.initContainerStatuses?.[0]?.state?.terminated?.reason, 'Completed');
    assert.equal(pod.spec.nodeName, 'sandbox');
    await cluster.client.delete('pods', 'default', 'web');
    await cluster.gone('web', 4000);
    assert.equal(cluster.networks.size, 0);
    for (const part of ['pods', 'memory', 'logs']) {
      await until(`${part} is empty`, () => readdirSync(join(cluster.state, part)).length === 0);
    }
    const reasons = cluster.events('web').map((event) => event.split(':')[0]);
    for (const reason of ['Scheduled', 'Pulled', 'Created', 'Started', 'Killing'])
      assert.ok(reasons.includes(reason), reason);
  });

  test('a failing init container is repeated, or ends the pod where nothing may restart', async () => {
    await using cluster = await TestCluster.start();
    const flaky = 'test -e /shared/tried || { touch /shared/tried; exit 1; }';
    await cluster.create('flaky', {
      volumes,
      initContainers: [shell('init', flaky, { volumeMounts })],
      containers: [shell('main', SERVE)],
    });
    await cluster.create('never', {
      restartPolicy: 'Never',
      initContainers: [shell('init', 'exit 9')],
      containers: [shell('main', SERVE)],
    });
    await cluster.ready('flaky');
    assert.equal(cluster.container('flaky', 'init')?.restartCount, 1);
    const failed = await cluster.phase('never', 'Failed');
    assert.equal(failed.status?.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 9);
    assert.equal(failed.status?.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing');
    assert.equal(cluster.condition('never', 'Initialized'), 'False');
  });

  test('a sidecar is started before the main container and stopped after it, in reverse order', async () => {
    await using cluster = await TestCluster.start();
    const told = (name: string): string =>
      `trap 'sleep 0.1; echo stopped; exit 0' TERM; sleep 0.1; touch /tmp/up; echo ${name} up >> /shared/order; sleep 1000 & wait`;
    const sidecar = (name: string): ReturnType<typeof shell> =>
      shell(name, told(name), {
        restartPolicy: 'Always',
        volumeMounts,
        startupProbe: { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1, failureThreshold: 30 },
      });
    await cluster.create('meshed', {
      volumes: [{ name: 'shared', hostPath: { path: '/nowhere' } }],
      containers: [shell('main', SERVE)],
    });
    await until('the missing host path is told', () =>
      cluster.events('meshed').some((event) => event.includes('hostPath type check failed: /nowhere does not exist')),
    );
    await cluster.create('ordered', {
      volumes,
      initContainers: [sidecar('one'), shell('init', 'echo init >> /shared/order', { volumeMounts }), sidecar('two')],
      containers: [
        shell('main', `cat /shared/order; trap 'sleep 0.2; echo stopped; exit 0' TERM; sleep 1000 & wait`, {
          volumeMounts,
        }),
      ],
    });
    const pod = await cluster.ready('ordered');
    const one = pod.status?.initContainerStatuses?.find((status) => status.name === 'one');
    assert.equal(one?.ready, true);
    assert.equal(one?.started, true);
    assert.ok(one?.state?.running !== undefined);
    await until(
      'main sees the order',
      async () => (await logOf(cluster, 'ordered', 'main')) === 'one up\ninit\ntwo up\n',
    );
    const following = { follow: true, previous: false, timestamps: true };
    const logs = ['main', 'two', 'one'].map((name) => text(cluster.node.logs('default', 'ordered', name, following)));
    await cluster.client.delete('pods', 'default', 'ordered');
    await cluster.gone('ordered');
    const stoppedAt = (await Promise.all(logs)).map((log) => /^(\S+) stopped$/m.exec(log)?.[1] ?? '');
    assert.deepEqual(stoppedAt, [...stoppedAt].sort(), 'main, then two, then one');
    assert.ok(!stoppedAt.includes(''));
  });

  test('a pod whose main containers are done stops its sidecars and is over', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('job', {
      restartPolicy: 'OnFailure',
      initContainers: [shell('proxy', SERVE, { restartPolicy: 'Always' })],
      containers: [shell('work', 'echo done')],
    });
    await cluster.create('failing', {
      restartPolicy: 'Never',
      initContainers: [shell('proxy', SERVE, { restartPolicy: 'Always' })],
      containers: [shell('work', 'exit 3')],
    });
    const done = await cluster.phase('job', 'Succeeded');
    assert.equal(done.status?.containerStatuses?.[0]?.state?.terminated?.reason, 'Completed');
    assert.ok(done.status?.initContainerStatuses?.[0]?.state?.terminated !== undefined);
    assert.equal(done.status?.conditions?.find((one) => one.type === 'Ready')?.reason, 'PodCompleted');
    assert.equal(
      (await cluster.phase('failing', 'Failed')).status?.containerStatuses?.[0]?.state?.terminated?.exitCode,
      3,
    );
    assert.equal(await text(cluster.node.logs('default', 'job', 'work', LOGS)), 'done\n');
    assert.equal(cluster.networks.size, 0);
    await cluster.client.delete('pods', 'default', 'job');
    await cluster.gone('job');
  });

  test('a container that keeps ending is restarted with growing delays', async () => {
    await using cluster = await TestCluster.start({ backoff: { minMs: 200, maxMs: 800, resetAfterMs: 60_000 } });
    await cluster.create('crash', {
      containers: [shell('main', 'echo run; echo bad news > /dev/termination-log; exit 5')],
    });
    const waiting = await until('it waits', () => {
      const status = cluster.container('crash', 'main');
      return status?.state?.waiting?.reason === 'CrashLoopBackOff' && status.restartCount >= 2 ? status : undefined;
    });
    assert.match(
      waiting.state?.waiting?.message ?? '',
      /^back-off 0\.\ds restarting failed container=main pod=crash_default\(/,
    );
    assert.equal(waiting.lastState?.terminated?.exitCode, 5);
    assert.equal(waiting.lastState?.terminated?.reason, 'Error');
    assert.equal(waiting.lastState?.terminated?.message, 'bad news\n');
    assert.equal(cluster.pod('crash')?.status?.phase, 'Running');
    assert.equal(await text(cluster.node.logs('default', 'crash', 'main', { ...LOGS, previous: true })), 'run\n');
    await until('the event', () =>
      cluster.events('crash').some((event) => event.startsWith('BackOff: Back-off restarting failed container main')),
    );
  });

  test('unknown images, programs and references are told, and what was missing is taken up when it comes', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('image', { containers: [{ name: 'main', image: 'ghcr.io/acme/unknown:1.2' }] });
    await cluster.create('never', { containers: [{ name: 'main', image: 'acme/unknown', imagePullPolicy: 'Never' }] });
    await cluster.create('program', {
      restartPolicy: 'Never',
      containers: [{ name: 'main', image: 'busybox', command: ['no-such-program'] }],
    });
    const env = [{ name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'colors', key: 'main' } } }];
    await cluster.create('config', { containers: [shell('main', `echo $COLOR; ${SERVE}`, { env })] });
    const waitingFor = (pod: string): string | undefined => cluster.container(pod, 'main')?.state?.waiting?.reason;
    await until('ImagePullBackOff', () => waitingFor('image') === 'ImagePullBackOff');
    assert.match(
      cluster.container('image', 'main')?.state?.waiting?.message ?? '',
      /"ghcr\.io\/acme\/unknown:1\.2" cannot be pulled.*tulle\.dev\/host/,
    );
    await until('ErrImageNeverPull', () => waitingFor('never') === 'ErrImageNeverPull');
    const failed = await cluster.phase('program', 'Failed');
    const ended = failed.status?.containerStatuses?.[0]?.state?.terminated;
    assert.deepEqual([ended?.reason, ended?.exitCode], ['StartError', 128]);
    assert.match(ended?.message ?? '', /exec: "no-such-program": executable file not found in \$PATH/);
    await until('CreateContainerConfigError', () => waitingFor('config') === 'CreateContainerConfigError');
    assert.equal(cluster.container('config', 'main')?.state?.waiting?.message, 'configmap "colors" not found');
    assert.equal(cluster.pod('config')?.status?.phase, 'Pending');
    await cluster.client.create('configmaps', {
      metadata: { name: 'colors', namespace: 'default' },
      data: { main: 'teal' },
    });
    await cluster.ready('config', 1500);
    await until('the variable is set', async () => (await logOf(cluster, 'config', 'main')) === 'teal\n');
  });

  test('deletion runs preStop, then SIGTERM, and SIGKILL when the grace is over', async () => {
    await using cluster = await TestCluster.start();
    const stubborn = `trap 'echo got TERM' TERM; while true; do sleep 0.1; done`;
    await cluster.create('hook', {
      containers: [
        shell('main', `trap 'echo got TERM; exit 0' TERM; sleep 1000 & wait; sleep 1`, {
          lifecycle: {
            preStop: {
              exec: { command: ['sh', '-c', 'echo hook > /proc/1/fd/1 2>/dev/null; sleep 0.3; touch /tmp/hooked'] },
            },
          },
        }),
      ],
    });
    await cluster.create('stubborn', { containers: [shell('main', stubborn)] });
    await Promise.all([cluster.ready('hook'), cluster.ready('stubborn')]);
    const logs = { ...LOGS, follow: true };
    const hookLog = text(cluster.node.logs('default', 'hook', 'main', logs));
    const stubbornLog = text(cluster.node.logs('default', 'stubborn', 'main', logs));
    const began = performance.now();
    await cluster.client.delete('pods', 'default', 'hook');
    await cluster.client.delete('pods', 'default', 'stubborn', { gracePeriodSeconds: 3 });
    assert.equal(cluster.pod('stubborn')?.metadata.deletionGracePeriodSeconds, 3);
    await cluster.gone('hook');
    assert.ok(performance.now() - began >= 300, 'the hook was waited for');
    assert.ok(performance.now() - began < 2500, 'the grace was not used up');
    await cluster.gone('stubborn');
    const tookMs = performance.now() - began;
    assert.ok(tookMs >= 2900 && tookMs < 4500, `${tookMs} ms`);
    assert.match(await hookLog, /got TERM/);
    assert.match(await stubbornLog, /got TERM/);
  });

  test('a shorter grace cuts a running one, and a forced deletion leaves no process', async () => {
    await using cluster = await TestCluster.start();
    const stubborn = `trap '' TERM; while true; do sleep 0.1; done`;
    for (const name of ['cut', 'forced']) {
      await cluster.create(name, { terminationGracePeriodSeconds: 60, containers: [shell('main', stubborn)] });
    }
    await Promise.all([cluster.ready('cut'), cluster.ready('forced')]);
    await cluster.client.delete('pods', 'default', 'cut');
    await cluster.client.delete('pods', 'default', 'cut', { gracePeriodSeconds: 1 });
    await cluster.client.delete('pods', 'default', 'forced', { gracePeriodSeconds: 0 });
    assert.equal(cluster.pod('forced'), undefined);
    await cluster.gone('cut', 5000);
    await until('the networks are gone', () => cluster.networks.size === 0, 5000);
  });

  test('a pod that is active for too long fails', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('slow', { activeDeadlineSeconds: 1, containers: [shell('main', SERVE)] });
    const pod = await cluster.phase('slow', 'Failed');
    assert.equal(pod.status?.reason, 'DeadlineExceeded');
  });

  test('a pod waits for a node that fits, with an event, and for its gates', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('picky', { nodeSelector: { disk: 'fast' }, containers: [shell('main', SERVE)] });
    await cluster.create('gated', {
      schedulingGates: [{ name: 'tulle.dev/wait' }],
      containers: [shell('main', SERVE)],
    });
    const scheduled = (name: string): string | undefined =>
      cluster.pod(name)?.status?.conditions?.find((one) => one.type === 'PodScheduled')?.reason;
    await until('unschedulable', () => scheduled('picky') === 'Unschedulable');
    await until('gated', () => scheduled('gated') === 'SchedulingGated');
    assert.ok(
      cluster
        .events('picky')
        .some((event) => event.startsWith("FailedScheduling: 0/1 nodes are available: 1 node(s) didn't match")),
    );
    await cluster.client.patch('nodes', undefined, 'sandbox', 'merge', { metadata: { labels: { disk: 'fast' } } });
    await cluster.client.patch('pods', 'default', 'gated', 'merge', { spec: { schedulingGates: [] } });
    await Promise.all([cluster.ready('picky'), cluster.ready('gated')]);
  });

  test('a postStart hook holds back the next container, and its failure ends the container', async () => {
    await using cluster = await TestCluster.start();
    const postStart = (script: string): object => ({
      lifecycle: { postStart: { exec: { command: ['sh', '-c', script] } } },
    });
    await cluster.create('held', {
      volumes,
      containers: [
        shell('proxy', `echo proxy >> /shared/order; ${SERVE}`, {
          volumeMounts,
          ...postStart('sleep 0.3; echo hook >> /shared/order'),
        }),
        shell('app', `cat /shared/order; ${SERVE}`, { volumeMounts }),
      ],
    });
    await cluster.create('broken', { containers: [shell('main', SERVE, postStart('echo no luck; exit 1'))] });
    await cluster.ready('held');
    await until('the app sees both', async () => (await logOf(cluster, 'held', 'app')) === 'proxy\nhook\n');
    await until('the event', () =>
      cluster.events('broken').includes('FailedPostStartHook: PostStartHook failed: no luck\n'),
    );
    await until('a restart', () => (cluster.container('broken', 'main')?.restartCount ?? 0) > 0);
  });

  test('closing the node ends all processes and removes its state', async () => {
    const cluster = await TestCluster.start();
    await cluster.create('one', { containers: [shell('main', `trap '' TERM; while true; do sleep 0.1; done`)] });
    await cluster.ready('one');
    await cluster.node.close();
    assert.equal(cluster.networks.size, 0);
    assert.deepEqual(readdirSync(cluster.state), []);
    await cluster[Symbol.asyncDispose]();
  });
});

function logOf(cluster: TestCluster, pod: string, container: string): Promise<string> {
  return text(cluster.node.logs('default', pod, container, LOGS));
}
