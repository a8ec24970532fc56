// Against the sandbox's API server; time passes as the test wants.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#runtime/clock.ts';
import { startApiServer } from '../../sandbox/apiserver/server.ts';
import { KubeClient } from './client.ts';
import { findConnection } from './connection.ts';
import { asObject, type JsonObject } from './json.ts';
import { LeaderLease } from './lease.ts';
import { eventually, startFaultyServer } from './testing.ts';

async function setUp() {
  const folder = mkdtempSync(join(tmpdir(), 'lease-'));
  const server = await startApiServer();
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const kubeconfig = join(folder, 'kubeconfig');
  server.writeKubeconfig(kubeconfig, `https://127.0.0.1:${port}`);
  const client = new KubeClient(await findConnection({ kubeconfig }));
  const clock = new ManualClock();
  return {
    clock,
    leaseOf: (holder: string) => {
      const told: boolean[] = [];
      const onChange = (isHolder: boolean): void => void told.push(isHolder);
      return {
        told,
        lease: new LeaderLease({ client, namespace: 'default', name: 'writer', holder, clock, onChange }),
      };
    },
    spec: (): JsonObject =>
      asObject(asObject(server.client.get('leases.coordination.k8s.io', 'default', 'writer'))['spec']),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

test('a lease that is given up is free for the next look of another process', async () => {
  await using t = await setUp();
  const first = t.leaseOf('a');
  first.lease.start();
  await eventually('the first holder', () => first.lease.isHolder);
  await first.lease.giveUp();
  assert.equal(first.lease.isHolder, false);
  const { holderIdentity, leaseDurationSeconds, leaseTransitions } = t.spec();
  assert.deepEqual([holderIdentity, leaseDurationSeconds, leaseTransitions], ['', 1, 0]);

  const second = t.leaseOf('b'); // no time passes
  second.lease.start();
  await eventually('the second holder', () => second.lease.isHolder);
  assert.deepEqual([t.spec()['holderIdentity'], t.spec()['leaseDurationSeconds']], ['b', 15]);
  assert.deepEqual([first.told, second.told], [[true], [true]]);
  await second.lease.giveUp();
});

test('a lease is given up also by who was just becoming its holder, and twice is once', async () => {
  await using t = await setUp();
  const { lease, told } = t.leaseOf('a');
  lease.start();
  await Promise.all([lease.giveUp(), lease.giveUp()]);
  await eventually('nobody holds it', () => t.spec()['holderIdentity'] === '');
  assert.deepEqual(told, [], 'what ends does not begin to lead');
  lease.start();
  const next = t.leaseOf('b');
  next.lease.start();
  await eventually('the next holder', () => next.lease.isHolder);
  assert.equal(t.spec()['holderIdentity'], 'b', 'nor does what has ended');
  await next.lease.giveUp();
});

test('a lease that is not given up is held until it runs out', async () => {
  await using t = await setUp();
  const first = t.leaseOf('a');
  first.lease.start();
  await eventually('the first holder', () => first.lease.isHolder);
  first.lease[Symbol.dispose]();
  const second = t.leaseOf('b');
  second.lease.start();
  await eventually('its first look', () => t.clock.pending === 1);
  assert.deepEqual([second.lease.isHolder, t.spec()['holderIdentity']], [false, 'a']);
  for (let passedMs = 5_000; passedMs <= 15_000; passedMs += 5_000) {
    assert.equal(second.lease.isHolder, false, `before ${passedMs} ms`);
    t.clock.advance(5_000);
    await eventually('its next look', () => t.clock.pending > 0);
  }
  await eventually('the second holder', () => second.lease.isHolder);
  assert.equal(t.spec()['leaseTransitions'], 1);
  await second.lease.giveUp();
});

test('who does not hold a lease leaves it alone when it ends', async () => {
  await using t = await setUp();
  const first = t.leaseOf('a');
  first.lease.start();
  await eventually('the first holder', () => first.lease.isHolder);
  const before = t.spec();
  const second = t.leaseOf('b');
  second.lease.start();
  await second.lease.giveUp();
  assert.deepEqual(t.spec(), before);
  await first.lease.giveUp();
});

/** A holder whose API server can cease to answer. */
async function setUpHanging() {
  let isHanging = false;
  const server = await startFaultyServer((_request, _url, response) => {
    if (!isHanging) response.writeHead(201).end('{"metadata":{"resourceVersion":"1"},"spec":{"holderIdentity":"a"}}');
  });
  const client = new KubeClient(server.connection);
  const clock = new ManualClock();
  const told: boolean[] = [];
  const onChange = (isHolder: boolean): void => void told.push(isHolder);
  const lease = new LeaderLease({ client, namespace: 'default', name: 'writer', holder: 'a', clock, onChange });
  lease.start();
  await eventually('the holder', () => lease.isHolder);
  return {
    clock,
    lease,
    told,
    hang: () => void (isHanging = true),
    [Symbol.dispose]() {
      client[Symbol.dispose]();
      server.close();
    },
  };
}

test('who cannot renew a lease is no holder any more before another process may take it', async () => {
  using t = await setUpHanging();
  t.clock.advance(5_000);
  await eventually('the renewal', () => t.clock.pending === 2);
  t.hang();
  t.clock.advance(5_000);
  assert.deepEqual([t.lease.isHolder, t.told], [true, [true]], 'a renewal that is under way may still succeed');
  t.clock.advance(5_000); // the request that waits would end by itself only after 30 s
  assert.deepEqual([t.lease.isHolder, t.told], [false, [true, false]]);
});

test('an API server that does not answer keeps nobody from ending', async () => {
  using t = await setUpHanging();
  t.hang();
  let isEnded = false;
  void t.lease.giveUp().then(() => (isEnded = true));
  await eventually('the end', () => isEnded, 20_000); // a request alone would take 30 s
});
