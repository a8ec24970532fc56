import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { createLogger } from '#runtime/log.ts';
import { ManualClock } from '#runtime/clock.ts';
import { authority, craftCertificate, craftExtension, p256Keys } from '#pki/crafted-certificate.ts';
import { sequence } from '#pki/der-writer.ts';
import { createIssuer, createTrustAnchor, type Authority } from '#pki/issuer.ts';
import { OID } from '#pki/oids.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { readTrustAnchors } from '#pki/trust-anchors.ts';
import type { Notice } from '#k8s/deployment-event.ts';
import { AuthorityKeeper } from './authority.ts';
import { StoredObjects } from './stored-objects.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 1);
const LEAF_MS = DAY;
const log = createLogger('test', 'silent');

/** A keeper for issuers of the user's, and what it told people. */
class Bench implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly clock = new ManualClock(START);
  readonly notices: Notice[] = [];
  readonly keeper: AuthorityKeeper;

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
    this.keeper = this.another();
  }

  /** What another replica, or the process after a restart, would be. */
  another(): AuthorityKeeper {
    return new AuthorityKeeper({
      objects: new StoredObjects(this.cluster.client, 'tulle'),
      policy: { domain: 't', leafLifetimeMs: LEAF_MS, anchorLifetimeMs: 3650 * DAY, issuerLifetimeMs: 7 * DAY },
      isIssuerExternal: true,
      clock: this.clock,
      log,
      tell: (notice) => this.notices.push(notice),
    });
  }

  /** Writes the issuer's Secret, as cert-manager or the installation would. */
  async store(texts: Readonly<Record<string, string>>, type = 'kubernetes.io/tls'): Promise<void> {
    const entries = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    const body = { metadata: { name: 'linkerd-identity-issuer', namespace: 'tulle' }, type };
    const { client } = this.cluster.server;
    if (client.get('secrets', 'tulle', body.metadata.name) !== undefined)
      await client.delete('secrets', 'tulle', body.metadata.name);
    await client.create('secrets', { ...body, data: Object.fromEntries(entries) });
  }

  get published(): readonly string[] {
    const map = this.cluster.server.client.get('configmaps', 'tulle', 'linkerd-identity-trust-roots');
    const text = (map?.['data'] as Record<string, string> | undefined)?.['ca-bundle.crt'] ?? '';
    return text === '' ? [] : readTrustAnchors(text, 'test').map((anchor) => anchor.commonName ?? '');
  }

  /** Looks at the objects. @returns why they are not in order */
  async look(): Promise<string | undefined> {
    await this.keeper.reconcile().catch(() => undefined);
    return this.keeper.lastError;
  }

  get issuer(): string | undefined {
    return this.keeper.state.value?.issuer.authority.certificate.commonName;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}

function anchorFor(days: number): Authority {
  return createTrustAnchor('user.example', { notBeforeMs: START - DAY, notAfterMs: START + days * DAY });
}

function issuerUnder(anchor: Authority, days = 90): Authority {
  return createIssuer(anchor, 'user.example', { notBeforeMs: START - DAY, notAfterMs: START + days * DAY });
}

function pem({ certificate }: Authority): string {
  return encodeCertificates([certificate.der]);
}

function secretOf(issuer: Authority, anchor: Authority): Readonly<Record<string, string>> {
  return { 'tls.crt': pem(issuer), 'tls.key': issuer.key.exportPem(), 'ca.crt': pem(anchor) };
}

test("without the user's issuer nothing is made, and it is said what is missing", async () => {
  await using bench = new Bench(await startTestCluster());
  assert.match((await bench.look()) ?? '', /Secret tulle\/linkerd-identity-issuer does not exist/);
  assert.match(bench.keeper.problem ?? '', /does not exist/);
  assert.equal(bench.cluster.server.client.list('secrets', 'tulle').length, 0);
});

test('an issuer as cert-manager writes it is used, its anchor published, and neither is ever replaced', async () => {
  await using bench = new Bench(await startTestCluster());
  const anchor = anchorFor(365);
  const issuer = issuerUnder(anchor);
  await bench.store(secretOf(issuer, anchor));
  assert.equal(await bench.look(), undefined);
  assert.equal(bench.issuer, issuer.certificate.commonName);
  assert.equal(bench.keeper.state.value?.owner, 'user');
  assert.deepEqual(bench.published, [anchor.certificate.commonName]);
  bench.clock.advance(89 * DAY);
  assert.equal(await bench.look(), undefined, 'ours would be replaced by now');
  bench.clock.advance(2 * DAY);
  assert.match((await bench.look()) ?? '', /the issuer is refused: .* expired at 2026-04-01/);
  assert.equal(bench.cluster.server.client.list('secrets', 'tulle').length, 1, 'no anchor of ours');
});

test('an issuer as Linkerd keeps given files is used, under the anchors of the ConfigMap', async () => {
  await using bench = new Bench(await startTestCluster());
  const anchor = anchorFor(365);
  const issuer = issuerUnder(anchor);
  await bench.cluster.server.client.create('configmaps', {
    metadata: { name: 'linkerd-identity-trust-roots', namespace: 'tulle' },
    data: { 'ca-bundle.crt': pem(anchor) },
  });
  await bench.store({ 'crt.pem': pem(issuer), 'key.pem': issuer.key.exportPem() }, 'Opaque');
  assert.equal(await bench.look(), undefined);
  assert.equal(bench.issuer, issuer.certificate.commonName);
});

test('a next issuer under the same anchor is used at once', async () => {
  await using bench = new Bench(await startTestCluster());
  const anchor = anchorFor(365);
  await bench.store(secretOf(issuerUnder(anchor), anchor));
  await bench.look();
  const next = issuerUnder(anchor, 120);
  await bench.store(secretOf(next, anchor));
  assert.equal(await bench.look(), undefined);
  assert.equal(bench.issuer, next.certificate.commonName);
  assert.deepEqual(
    bench.notices.map(({ reason }) => reason),
    ['IssuerUpdated', 'IssuerUpdated'],
  );
});

test('a next issuer under a new anchor waits until every proxy was told the anchor', async () => {
  await using bench = new Bench(await startTestCluster());
  const anchor = anchorFor(365);
  const issuer = issuerUnder(anchor);
  await bench.store(secretOf(issuer, anchor));
  await bench.look();
  const nextAnchor = anchorFor(700);
  const next = issuerUnder(nextAnchor, 120);
  await bench.store(secretOf(next, nextAnchor));
  for (const _ of [1, 2]) {
    assert.equal(await bench.look(), undefined);
    assert.equal(bench.issuer, issuer.certificate.commonName, 'the old one signs on');
    assert.equal(bench.keeper.state.value?.bundle.length, 2, 'the new anchor is told with every renewal');
    assert.equal(bench.published.length, 2);
    bench.clock.advance(LEAF_MS / 2 - 1);
  }
  bench.clock.advance(2);
  assert.equal(await bench.look(), undefined);
  assert.equal(bench.issuer, next.certificate.commonName);
  const held = bench.notices.filter(({ reason }) => reason === 'IssuerUpdateSkipped');
  assert.equal(held.length, 1);
});

test('an issuer that is no good is refused with the reason, once; the last good one signs on', async () => {
  await using bench = new Bench(await startTestCluster());
  const anchor = anchorFor(365);
  const good = secretOf(issuerUnder(anchor), anchor);
  await bench.store(good);
  assert.equal(await bench.look(), undefined);
  const goodName = bench.issuer;
  const anchorKeys = p256Keys();
  const root = craftCertificate({ name: 'root', keys: anchorKeys, extensions: [authority()] });
  const crafted = (wanted: Partial<Parameters<typeof craftCertificate>[0]>): Readonly<Record<string, string>> => {
    const keys = wanted.keys ?? p256Keys();
    const issuer = { name: 'root', keys: anchorKeys };
    const der = craftCertificate({ name: 'bad', issuer, extensions: [authority()], ...wanted, keys });
    const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' });
    return { 'tls.crt': encodeCertificates([der]), 'tls.key': key, 'ca.crt': encodeCertificates([root]) };
  };
  const weakKeys = generateKeyPairSync('ec', { namedCurve: 'secp224r1' });
  const weakRoot = craftCertificate({ name: 'weak', keys: weakKeys, extensions: [authority()] });
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [crafted({ keys: generateKeyPairSync('rsa', { modulusLength: 2048 }) }), /tls\.key is not an ECDSA P-256 key/],
    [crafted({ extensions: [] }), /tls\.crt may not sign certificates/],
    [crafted({ toMs: START - DAY }), /"bad" expired at 2025-12-31/],
    [crafted({ fromMs: START + DAY }), /"bad" holds only from 2026-01-02/],
    [
      crafted({ extensions: [authority(), craftExtension(OID.nameConstraints, true, sequence())] }),
      /"bad" has name constraints, which is not supported/,
    ],
    [{ ...crafted({}), 'ca.crt': pem(anchorFor(9)) }, /nothing trusted vouches for "bad"/],
    [{ ...crafted({}), 'ca.crt': '' }, /nothing trusted vouches for "bad"/],
    [{ ...crafted({}), 'ca.crt': '-----BEGIN CERTIFICATE-----' }, /ca\.crt: not PEM/],
    [
      { ...crafted({}), 'tls.key': p256Keys().privateKey.export({ type: 'pkcs8', format: 'pem' }) },
      /tls\.key is not the key of tls\.crt/,
    ],
    [
      {
        ...crafted({ issuer: { name: 'weak', keys: weakKeys } }),
        'ca.crt': encodeCertificates([weakRoot]),
      },
      /ca\.crt: "weak" has a weak or unknown key: ECDSA/,
    ],
  ];
  for (const [texts, expected] of cases) {
    await bench.store(texts);
    const before = bench.notices.length;
    assert.match((await bench.look()) ?? 'accepted', expected);
    assert.match((await bench.look()) ?? 'accepted', expected);
    const told = bench.notices.slice(before).map(({ type, reason }) => `${type} ${reason}`);
    assert.deepEqual(told, ['Warning IssuerValidationFailed'], String(expected));
    assert.equal(bench.issuer, goodName);
    assert.equal(bench.keeper.problem, undefined, 'it can still sign');
    await bench.store(good);
    assert.equal(await bench.look(), undefined);
  }
  await bench.store(crafted({ toMs: START - DAY }));
  const restarted = bench.another();
  await assert.rejects(restarted.reconcile(), /expired/);
  assert.match(restarted.problem ?? '', /expired/, 'after a restart there is no last good one');
});
