import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Exposition } from '../../proxy/metrics/exposition.ts';
import { createLogger } from '#runtime/log.ts';
import { systemClock, type Clock } from '#runtime/clock.ts';
import { writeTrustAnchors } from '#pki/trust-anchors.ts';
import { readIdentityConfig } from '../../control-plane/identity/config.ts';
import { startIdentity, type IdentityProcess } from '../../control-plane/identity/process.ts';
import { GrpcClient } from '../../proxy/grpc/client.ts';
import { WorkloadIdentity } from '../../proxy/identity/certify.ts';
import { readTrustAnchors } from '../../proxy/identity/credentials.ts';
import { startTestCluster, type TestCluster } from '../harness/api-server.ts';
import { until } from '../harness/until.ts';

const JUMP_MS = 400 * 86_400_000;
const HEAL_MS = 120_000;
const DOMAIN = 'tulle.serviceaccount.identity.tulle.cluster.local';
const log = createLogger('test', 'silent');

/** A clock that is behind by an amount which may change; its timers know nothing of that, like those of a machine that slept. */
class SetClock implements Clock {
  behindMs = JUMP_MS;
  now(): number {
    return Date.now() - this.behindMs;
  }
  after(delayMs: number, run: () => void): Disposable {
    return systemClock.after(delayMs, run);
  }
}

function start(cluster: TestCluster, clock: Clock): Promise<IdentityProcess> {
  const environment = { TULLE_IDENTITY_PORT: '0', TULLE_ADMIN_PORT: '0', TULLE_SHUTDOWN_GRACE: '1s' };
  return startIdentity(readIdentityConfig(environment), cluster.connection, log, clock);
}

/** A proxy that was given these anchors long ago gets a certificate now. */
async function certifies(cluster: TestCluster, identity: IdentityProcess, anchorsPem: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'clock-jump-'));
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, await cluster.token('tulle', 'web'));
  const anchors = readTrustAnchors(anchorsPem);
  using client = new GrpcClient(
    { host: '127.0.0.1', port: await identity.port, identity: `tulle-identity.${DOMAIN}` },
    {
      exemption: { kind: 'uid', uid: 2102 },
      context: () => workload.controlContext,
      log,
      random: Math.random,
    },
  );
  using workload = new WorkloadIdentity(client, {
    log,
    clock: systemClock,
    identity: `web.${DOMAIN}`,
    anchors,
    tokenFile,
    refreshMsMin: 10_000,
    refreshMsMax: 3_600_000,
    exposition: new Exposition(),
  });
  workload.start();
  try {
    await until('a certificate', HEAL_MS, () => workload.current !== undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the clock jumps 400 days ahead while everything stands still: old proxies get certificates again', async () => {
  await using cluster = await startTestCluster();
  const clock = new SetClock();
  const identity = await start(cluster, clock);
  try {
    await identity.port;
    const before = identity.keeper.state.value!;
    clock.behindMs = 0;
    assert.notEqual(identity.keeper.problem, undefined, 'the issuer has ended long ago');
    await certifies(cluster, identity, writeTrustAnchors(before.bundle));
  } finally {
    await identity.stop();
  }
});

test('the clock jumps 400 days ahead while nothing runs: what starts then gives old proxies certificates again', async () => {
  await using cluster = await startTestCluster();
  const earlier = await start(cluster, new SetClock());
  await earlier.port;
  const anchorsPem = writeTrustAnchors(earlier.keeper.state.value!.bundle);
  await earlier.stop();
  const identity = await start(cluster, systemClock);
  try {
    await certifies(cluster, identity, anchorsPem);
    assert.equal(writeTrustAnchors(identity.keeper.state.value!.bundle), anchorsPem, 'the anchor held');
  } finally {
    await identity.stop();
  }
});
