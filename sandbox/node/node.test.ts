import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { inNamespaces } from './testing/namespaced.ts';
import { shell, TestCluster } from './testing/test-cluster.ts';
import { until } from './testing/until.ts';

const LOGS = { follow: false, previous: false, timestamps: false };

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
    await until('there is a lease', () =>
      cluster.client.get('leases.coordination.k8s.io', 'kube-node-lease', 'sandbox'),
    );
  });

  test('init containers run in order, then the main container becomes ready, and everything is cleaned up', async () => {
    await using cluster = await TestCluster.start();
    const volumes = [{ name: 'shared', emptyDir: {} }];
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    await cluster.create('web', {
      volumes,
      initContainers: [
        shell('first', 'sleep 0.2; echo first >> /shared/order', { volumeMounts }),
        shell('second', 'echo second >> /shared/order', { volumeMounts }),
      ],
      containers: [shell('main', 'cat /shared/order; trap "exit 0" TERM; sleep 100 & wait', { volumeMounts })],
    });
    const pod = await cluster.ready('web');
    assert.equal(await text(cluster.node.logs('default', 'web', 'main', LOGS)), 'first\nsecond\n');
    assert.equal(pod.status?.phase, 'Running');
    assert.equal(pod.status?.podIP, '10.42.0.2');
    assert.deepEqual(pod.status?.podIPs, [{ ip: '10.42.0.2' }]);
    assert.equal(pod.status?.hostIP, '10.42.0.1');
    assert.equal(pod.status?.initContainerStatuses?.[0]?.state?.terminated?.reason, 'Completed');
    assert.equal(pod.spec.nodeName, 'sandbox');
    await cluster.client.delete('pods', 'default', 'web');
    await cluster.gone('web', 4000);
    assert.equal(cluster.networks.size, 0);
    const reasons = cluster.events('web').map((event) => event.split(':')[0]);
    for (const reason of ['Scheduled', 'Pulled', 'Created', 'Started', 'Killing'])
      assert.ok(reasons.includes(reason), reason);
  });
});
