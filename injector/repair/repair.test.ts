import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { KubeRequest } from '#k8s/client.ts';
import { KubeError } from '#k8s/kube-error.ts';
import { ManualClock } from '#runtime/clock.ts';
import { createLogger } from '#runtime/log.ts';
import { Namespaces, NAMESPACES } from '../namespaces.ts';
import { LIVE_PODS } from './pods.ts';
import { Repair, repairMetrics } from './repair.ts';

const T0 = Date.parse('2026-01-01T00:00:00Z');
const at = (offsetS: number): string => new Date(T0 + offsetS * 1000).toISOString();

type PodOptions = {
  readonly uid?: string;
  readonly namespace?: string;
  readonly owner?: { readonly kind: string; readonly name: string } | undefined;
  readonly isMeshed?: boolean;
  readonly isReady?: boolean;
  readonly createdS?: number;
  readonly annotations?: Readonly<Record<string, string>>;
};

function podOf(name: string, options: PodOptions = {}): unknown {
  const { uid = name, namespace = 'shop', isMeshed = false, isReady = true, createdS = 10 } = options;
  const owner = 'owner' in options ? options.owner : { kind: 'StatefulSet', name: 'db' };
  return {
    metadata: {
      name,
      namespace,
      uid,
      creationTimestamp: at(createdS),
      annotations: options.annotations,
      ownerReferences: owner === undefined ? undefined : [{ ...owner, controller: true }],
    },
    spec: { containers: [{ name: 'app' }, ...(isMeshed ? [{ name: 'linkerd-proxy' }] : [])] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
  };
}

/** A controller of repairs before an API server that only notes evictions. */
class Bench {
  readonly clock = new ManualClock(T0 + 60_000);
  readonly evicted: string[] = [];
  readonly events: string[] = [];
  readonly registry = new Registry();
  readonly namespaces = new Namespaces();
  readonly repair: Repair;
  refuse: KubeError | undefined;
  isWebhookUp = true;

  constructor(isEvicting = true) {
    this.namespace('shop', { 'linkerd.io/inject': 'enabled' });
    this.repair = new Repair({
      client: {
        request: async ({ path }: KubeRequest) => {
          if (this.refuse !== undefined) throw this.refuse;
          this.evicted.push(path.split('/').at(-2) ?? '');
          return {};
        },
      },
      clock: this.clock,
      log: createLogger('injector', 'silent'),
      namespaces: this.namespaces,
      isEvicting,
      isRedirectedByNode: false,
      probe: async () => {
        if (!this.isWebhookUp) throw new Error('the webhook does not answer');
      },
      recordEvent: ({ kind, name }, { reason, message }) => this.events.push(`${kind} ${name} ${reason}: ${message}`),
      metrics: repairMetrics(this.registry),
    });
  }

  namespace(name: string, annotations: object, labels: object = {}, setAtS = 0): void {
    const fieldsV1 = { 'f:metadata': { 'f:annotations': { 'f:linkerd.io/inject': {} } } };
    const managedFields = [{ manager: 'kubectl', time: at(setAtS), fieldsV1 }];
    const object = { metadata: { name, annotations, labels, creationTimestamp: at(0), managedFields } };
    const parsed = NAMESPACES.parse(object);
    assert.ok(parsed);
    this.namespaces.apply(parsed);
  }

  add(...pods: readonly unknown[]): void {
    for (const pod of pods) {
      const parsed = LIVE_PODS.parse(pod);
      assert.ok(parsed);
      this.repair.pods.apply(parsed);
    }
  }

  /** Lets everything that is due now be done. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  }

  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      this.clock.advance(1000);
      await this.settle();
    }
  }

  async metric(line: RegExp): Promise<void> {
    assert.match(await this.registry.metrics(), line);
  }
}

test('pods of a workload are evicted one at a time, each when the one before is replaced and ready', async () => {
  const bench = new Bench();
  using _ = bench.repair;
  bench.add(podOf('db-0'), podOf('db-1'));
  await bench.settle();
  assert.deepEqual(bench.evicted, ['db-0']);
  await bench.metric(/^injector_unmeshed_pods 2$/m);
  bench.repair.pods.delete('shop', 'db-0');
  bench.add(podOf('db-0', { uid: 'new', isMeshed: true, isReady: false }));
  await bench.pass(5);
  assert.deepEqual(bench.evicted, ['db-0'], 'the new pod is not ready yet');
  bench.add(podOf('db-0', { uid: 'new', isMeshed: true }));
  await bench.pass(2);
  assert.deepEqual(bench.evicted, ['db-0', 'db-1']);
  assert.deepEqual(
    bench.events.map((text) => text.split(':')[0]),
    ['StatefulSet db Unmeshed', 'StatefulSet db Repaired', 'StatefulSet db Repaired'],
  );
  bench.repair.pods.delete('shop', 'db-1');
  bench.add(podOf('db-1', { uid: 'new-1', isMeshed: true }));
  await bench.pass(2);
  await bench.metric(/^injector_unmeshed_pods 0$/m);
  await bench.metric(/^injector_repair_evictions_total\{result="evicted"\} 2$/m);
});

test('until a replaced pod was seen with a proxy, there is one eviction in the cluster, and fruitless ones grow rare', async () => {
  const bench = new Bench();
  using _ = bench.repair;
  bench.add(podOf('db-0'), podOf('cache-0', { owner: { kind: 'StatefulSet', name: 'cache' } }));
  await bench.pass(3);
  assert.equal(bench.evicted.length, 1);
  bench.repair.pods.delete('shop', 'db-0');
  bench.add(podOf('db-0', { uid: 'again' }));
  await bench.pass(4);
  assert.deepEqual(bench.evicted, ['db-0', 'cache-0'], 'db waits, and the other may try');
  bench.repair.pods.delete('shop', 'cache-0');
  bench.add(podOf('cache-0', { uid: 'meshed', isMeshed: true, owner: { kind: 'StatefulSet', name: 'cache' } }));
  await bench.pass(10);
  assert.deepEqual(bench.evicted, ['db-0', 'cache-0', 'db-0']);
});

test('a budget that allows nothing holds it back, says so, and is asked again', async () => {
  const bench = new Bench();
  using _ = bench.repair;
  bench.refuse = new KubeError('it would violate the budget', { status: 429, reason: 'TooManyRequests' });
  bench.add(podOf('db-0'));
  await bench.pass(3);
  assert.equal(bench.events.filter((text) => text.includes('RepairBlocked: Pod db-0')).length, 1);
  await bench.metric(/^injector_repair_evictions_total\{result="blocked"\} 1$/m);
  bench.refuse = undefined;
  await bench.pass(10);
  assert.deepEqual(bench.evicted, ['db-0']);
});

test('nothing is evicted while the webhook does not answer', async () => {
  const bench = new Bench();
  using _ = bench.repair;
  bench.isWebhookUp = false;
  bench.add(podOf('db-0'));
  await bench.pass(30);
  assert.deepEqual(bench.evicted, []);
  bench.isWebhookUp = true;
  await bench.pass(60);
  assert.deepEqual(bench.evicted, ['db-0']);
});

test('what eviction would hurt is reported and left to people', async () => {
  const bench = new Bench();
  using _ = bench.repair;
  bench.namespace('late', { 'linkerd.io/inject': 'enabled' }, {}, 50);
  bench.add(
    podOf('bare', { owner: undefined }),
    podOf('import-x', { owner: { kind: 'Job', name: 'import' } }),
    podOf('precious-0', {
      owner: { kind: 'StatefulSet', name: 'precious' },
      annotations: { 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false' },
    }),
    podOf('older-0', { namespace: 'late', createdS: 40, owner: { kind: 'StatefulSet', name: 'older' } }),
  );
  await bench.pass(30);
  assert.deepEqual(bench.evicted, []);
  await bench.metric(/^injector_unmeshed_pods 4$/m);
  assert.deepEqual(
    bench.events.map((text) => text.replace(/: .*none:/, ':')),
    [
      'Pod bare Unmeshed: no workload would create it again: create it anew',
      'Job import Unmeshed: evicting it could fail its job',
      'StatefulSet precious Unmeshed: it has cluster-autoscaler.kubernetes.io/safe-to-evict=false: restart its workload',
      'StatefulSet older Unmeshed: it was created before its namespace was annotated: restart its workload when that suits',
    ],
  );
});

test('pods of system namespaces, and pods that shall or can have no proxy, are no concern', async () => {
  const bench = new Bench();
  using _ = bench.repair;
  const wanted = { 'linkerd.io/inject': 'enabled' };
  bench.namespace('kube-system', wanted);
  bench.namespace('tulle', wanted, { 'config.linkerd.io/admission-webhooks': 'disabled' });
  bench.namespace('strict', wanted, { 'pod-security.kubernetes.io/enforce': 'restricted' });
  bench.namespace('other', {});
  for (const namespace of ['kube-system', 'tulle', 'strict', 'other'])
    bench.add(podOf(`in-${namespace}`, { namespace }));
  bench.add(podOf('meshed', { isMeshed: true }), podOf('no', { annotations: { 'linkerd.io/inject': 'disabled' } }));
  await bench.pass(30);
  assert.deepEqual([bench.evicted, bench.events], [[], []]);
  await bench.metric(/^injector_unmeshed_pods 0$/m);
});

test('where repairing is off, pods are reported only', async () => {
  const bench = new Bench(false);
  using _ = bench.repair;
  bench.add(podOf('db-0'));
  await bench.pass(30);
  assert.deepEqual(bench.evicted, []);
  assert.match(bench.events[0] ?? '', /Unmeshed: .*repair\.enabled is false: restart its workload/);
});
