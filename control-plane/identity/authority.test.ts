import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asObject } from '#k8s/json.ts';
import { createLogger } from '#runtime/log.ts';
import { ManualClock } from '#runtime/clock.ts';
import type { Certificate } from '#pki/certificate.ts';
import { issueLeaf } from '#pki/issuer.ts';
import { PrivateKey } from '#pki/key.ts';
import { readTrustAnchors, verifyChain } from '#pki/trust-anchors.ts';
import { AuthorityKeeper, type SigningState } from './authority.ts';
import { StoredObjects } from './stored-objects.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';

const DAY = 86_400_000;
const POLICY = {
  domain: 'test.local',
  leafLifetimeMs: DAY,
  anchorLifetimeMs: 3650 * DAY,
  issuerLifetimeMs: 7 * DAY,
};
const log = createLogger('test', 'silent');

function keeperOf(cluster: TestCluster, clock: ManualClock): AuthorityKeeper {
  const objects = new StoredObjects(cluster.client, 'tulle');
  return new AuthorityKeeper({ objects, policy: POLICY, isIssuerExternal: false, clock, log });
}

function published(cluster: TestCluster): readonly Certificate[] {
  const map = cluster.server.client.get('configmaps', 'tulle', 'linkerd-identity-trust-roots');
  const data = map?.['data'] as Record<string, string> | undefined;
  return readTrustAnchors(data?.['ca-bundle.crt'] ?? '', 'the bundle');
}

function leafOf({ issuer }: SigningState, nowMs: number): readonly Certificate[] {
  const validity = { notBeforeMs: nowMs - 20_000, notAfterMs: nowMs + DAY };
  const leaf = issueLeaf(issuer.authority, { publicDer: PrivateKey.generate().publicDer, dnsName: 'a.b', validity });
  return [leaf, issuer.authority.certificate, ...issuer.chain];
}

function issuerName(state: SigningState): string {
  return state.issuer.authority.certificate.commonName ?? '';
}

test('replicas that start at the same time agree on one trust anchor and one issuer', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  const keepers = [1, 2, 3, 4].map(() => keeperOf(cluster, clock));
  await Promise.all(keepers.map((keeper) => keeper.reconcile()));
  await Promise.all(keepers.map((keeper) => keeper.reconcile()));
  const names = keepers.map((keeper) => issuerName(keeper.state.value!));
  assert.equal(new Set(names).size, 1);
  assert.equal(published(cluster).length, 1);
});

test('nothing is written when nothing is due', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  await keeperOf(cluster, clock).reconcile();
  const versions = (): readonly string[] =>
    ['secrets', 'configmaps'].flatMap((kind) =>
      cluster.server.client.list(kind, 'tulle').map((o) => o.metadata.resourceVersion),
    );
  const before = versions();
  clock.advance(2 * DAY);
  await keeperOf(cluster, clock).reconcile();
  assert.deepEqual(versions(), before);
});

test('the issuer is replaced every few days while its leaves still hold', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  const keeper = keeperOf(cluster, clock);
  const first = await keeper.ensure();
  const leaf = leafOf(first, clock.now());
  clock.advance(4 * DAY);
  await keeper.reconcile();
  const second = await keeper.ensure();
  assert.notEqual(issuerName(second), issuerName(first));
  assert.equal(published(cluster).length, 1, 'the anchor stays');
  assert.equal(verifyChain(leafOf(first, clock.now()), published(cluster), clock.now()).isTrusted, true);
  assert.equal(verifyChain(leaf, published(cluster), clock.now()).isTrusted, false, 'that leaf was for one day');
});

test('after a long sleep the issuer is repaired before anything is signed', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  const keeper = keeperOf(cluster, clock);
  await keeper.reconcile();
  clock.advance(30 * DAY);
  assert.match(keeper.problem ?? '', /not loaded|not/);
  const state = await keeper.ensure();
  assert.equal(verifyChain(leafOf(state, clock.now()), published(cluster), clock.now()).isTrusted, true);
  assert.equal(keeper.problem, undefined);
});

test('a clock that was ahead and is set back makes no other anchor, and leaves no issuer of the future', async () => {
  await using cluster = await startTestCluster();
  const future = new ManualClock(Date.UTC(2030, 0, 1));
  await keeperOf(cluster, future).reconcile();
  const now = new ManualClock(Date.UTC(2026, 0, 1));
  const keeper = keeperOf(cluster, now);
  const state = await keeper.ensure();
  assert.equal(verifyChain(leafOf(state, now.now()), published(cluster), now.now()).isTrusted, true);
  assert.equal(published(cluster).length, 1, 'proxies of the future and of now know the same anchor');
});

test('a new anchor comes before the old one ends, both are published, and the old one vouches for the new one', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  const keeper = keeperOf(cluster, clock);
  await keeper.reconcile();
  const old = published(cluster);
  clock.advance(3000 * DAY);
  await keeper.reconcile();
  assert.equal(published(cluster).length, 2);
  const leaf = leafOf(await keeper.ensure(), clock.now());
  assert.equal(verifyChain(leaf, old, clock.now()).isTrusted, true, 'for proxies that know only the old anchor');
  const onlyNew = published(cluster).filter((anchor) => !old.some((one) => one.der.equals(anchor.der)));
  assert.equal(verifyChain(leaf, onlyNew, clock.now()).isTrusted, true, 'for proxies that know only the new one');
  clock.advance(700 * DAY);
  await keeper.reconcile();
  assert.equal(published(cluster).length, 1, 'an anchor that ended is withdrawn');
  assert.equal(
    verifyChain(leafOf(await keeper.ensure(), clock.now()), published(cluster), clock.now()).isTrusted,
    true,
  );
});

test('a new anchor and a new issuer on request: each once, the anchor vouched for by the old one', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  const keeper = keeperOf(cluster, clock);
  const first = await keeper.ensure();
  const rotate = { metadata: { annotations: { 'tulle.dev/rotate': 'now' } } };
  await cluster.server.client.patch('secrets', 'tulle', 'linkerd-identity-anchor', 'merge', rotate);
  await keeper.reconcile();
  await cluster.server.client.patch('secrets', 'tulle', 'linkerd-identity-issuer', 'merge', rotate);
  await keeper.reconcile();
  await keeper.reconcile();
  const second = keeper.state.value!;
  assert.equal(published(cluster).length, 2);
  assert.notEqual(issuerName(second), issuerName(first));
  const leaf = leafOf(second, clock.now());
  assert.equal(
    verifyChain(leaf, first.bundle, clock.now()).isTrusted,
    true,
    'for proxies that know only the old anchor',
  );
  assert.equal(verifyChain(leaf, second.ownAnchors.slice(0, 1), clock.now()).isTrusted, true, 'under the new anchor');
  await keeper.reconcile();
  assert.equal(issuerName(keeper.state.value!), issuerName(second));
});

test('the Secret of the anchor comes back as it was: without its key nobody could vouch for the next one', async () => {
  await using cluster = await startTestCluster();
  const keeper = keeperOf(cluster, new ManualClock());
  await keeper.reconcile();
  const before = cluster.server.client.get('secrets', 'tulle', 'linkerd-identity-anchor');
  await cluster.server.client.delete('secrets', 'tulle', 'linkerd-identity-anchor');
  await keeper.reconcile();
  assert.deepEqual(
    cluster.server.client.get('secrets', 'tulle', 'linkerd-identity-anchor')?.['data'],
    before?.['data'],
  );
});

test('objects that somebody deleted or spoilt come back, and anchors that somebody added stay', async () => {
  await using cluster = await startTestCluster();
  const clock = new ManualClock();
  const keeper = keeperOf(cluster, clock);
  const before = await keeper.ensure();
  await cluster.server.client.delete('configmaps', 'tulle', 'linkerd-identity-trust-roots');
  await cluster.server.client.delete('secrets', 'tulle', 'linkerd-identity-anchor');
  await keeper.reconcile();
  assert.equal(issuerName(await keeper.ensure()) !== '', true);
  await cluster.server.client.patch('configmaps', 'tulle', 'linkerd-identity-trust-roots', 'merge', {
    data: { 'ca-bundle.crt': 'spoilt' },
  });
  await keeper.reconcile();
  assert.ok(published(cluster).length >= 1);
  assert.ok(before.bundle.length >= 1);
});

test('a Secret that cannot be used is not overwritten but reported', async () => {
  await using cluster = await startTestCluster();
  const keeper = keeperOf(cluster, new ManualClock());
  await keeper.reconcile();
  const secret = cluster.server.client.get('secrets', 'tulle', 'linkerd-identity-issuer');
  await cluster.server.client.patch('secrets', 'tulle', 'linkerd-identity-issuer', 'merge', {
    data: { 'tls.key': 'AAAA' },
  });
  const other = keeperOf(cluster, new ManualClock());
  await assert.rejects(other.reconcile(), /Secret tulle\/linkerd-identity-issuer tls.key is not a PEM private key/);
  assert.match(other.problem ?? '', /linkerd-identity-issuer/);
  const now = cluster.server.client.get('secrets', 'tulle', 'linkerd-identity-issuer');
  assert.notEqual(now, undefined);
  assert.equal(asObject(now?.['data'])['tls.crt'], asObject(secret?.['data'])['tls.crt']);
});
