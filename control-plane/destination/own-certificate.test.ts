import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { CertifyRequest, CertifyResponse } from '#api/gen/identity.ts';
import type { ServerIdentity } from '#api/grpc-server.ts';
import { eventually } from '#k8s/testing.ts';
import { parseCsr } from '#pki/csr.ts';
import { issueLeaf } from '#pki/issuer.ts';
import { PrivateKey } from '#pki/key.ts';
import { createTestAuthority } from '#pki/testing.ts';
import { ManualClock } from '#runtime/clock.ts';
import { createLogger } from '#runtime/log.ts';
import { OwnCertificate } from './own-certificate.ts';

const NAME = 'tulle-destination.tulle.serviceaccount.identity.tulle.cluster.local';
const LIFETIME_MS = 60_000;

/** A process whose identity server answers as the test wants. */
function setUp(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'own-certificate-'));
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'token-1');
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const state = {
    clock,
    tokenFile,
    authority: createTestAuthority(clock.now()),
    anchors: undefined as string | undefined,
    requests: [] as CertifyRequest[],
    failure: undefined as Error | undefined,
    change: (response: CertifyResponse) => response,
    applied: [] as ServerIdentity[],
    results: [] as string[],
  };
  const answer = (request: CertifyRequest): CertifyResponse => {
    const { publicDer } = parseCsr(request.certificateSigningRequest);
    const validity = { notBeforeMs: clock.now() - 20_000, notAfterMs: clock.now() + LIFETIME_MS };
    const leaf = issueLeaf(state.authority.issuer, { publicDer, dnsName: request.identity, validity });
    return {
      leafCertificate: leaf.der,
      intermediateCertificates: [state.authority.issuer.certificate.der],
      validUntil: new Date(leaf.notAfterMs),
    };
  };
  const own = new OwnCertificate({
    identity: NAME,
    tokenFile,
    anchors: () => state.anchors,
    async request(_anchorsPem, request) {
      state.requests.push(request);
      if (state.failure !== undefined) throw state.failure;
      return state.change(answer(request));
    },
    clock,
    log: createLogger('test', 'silent'),
    apply: (identity) => state.applied.push(identity),
    observe: (result) => state.results.push(result),
  });
  context.after(() => {
    own[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });
  return { ...state, state, own };
}

test('a certificate is asked for as soon as the trust anchors are known, and renewed at 70 % of its lifetime', async (context) => {
  const { state, own, clock, applied, requests } = setUp(context);
  own.start();
  assert.match(own.problem ?? '', /trust anchors are not published yet/);
  state.anchors = state.authority.anchorsPem;
  own.check();
  await eventually('a certificate', () => applied.length === 1);
  assert.equal(own.problem, undefined);
  clock.advance(41_000);
  assert.equal(requests.length, 1);
  writeFileSync(state.tokenFile, 'token-2');
  clock.advance(2_000);
  await eventually('the renewal', () => applied.length === 2);
  assert.equal(String(requests[1]?.token), 'token-2', 'the token is read anew');
});

test('after a failure it tries again with growing delays, and keeps the certificate it has', async (context) => {
  const { state, own, clock, applied, results } = setUp(context);
  state.anchors = state.authority.anchorsPem;
  own.start();
  await eventually('a certificate', () => applied.length === 1);
  state.failure = new Error('no route to host');
  clock.advance(43_000);
  await eventually('a failure', () => results.includes('error'));
  assert.equal(own.problem, undefined);
  for (let second = 0; second < 30; second += 1) {
    clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.match(own.problem ?? '', /no route to host/, 'the certificate has expired meanwhile');
  state.failure = undefined;
  for (let second = 0; second < 11; second += 1) clock.advance(1_000);
  await eventually('a certificate', () => applied.length === 2);
  assert.equal(own.problem, undefined);
});

test('answers that cannot be used are refused', async (context) => {
  const { state, own, clock, results, applied } = setUp(context);
  const foreign = createTestAuthority(state.clock.now());
  const other = PrivateKey.generate();
  const validity = { notBeforeMs: clock.now(), notAfterMs: clock.now() + LIFETIME_MS };
  const bad: readonly (readonly [RegExp, (response: CertifyResponse) => CertifyResponse])[] = [
    [/not trusted/, (response) => ({ ...response, intermediateCertificates: [foreign.issuer.certificate.der] })],
    [
      /another key/,
      (response) => ({
        ...response,
        leafCertificate: issueLeaf(state.authority.issuer, { publicDer: other.publicDer, dnsName: NAME, validity }).der,
      }),
    ],
    [/not an X\.509 certificate/, (response) => ({ ...response, leafCertificate: Buffer.from('junk') })],
  ];
  state.anchors = state.authority.anchorsPem;
  for (const [expected, change] of bad) {
    const failures = results.length;
    state.change = change;
    clock.advance(10_000);
    own.check();
    await eventually('a refusal', () => results.length > failures);
    assert.match(own.problem ?? '', expected);
  }
  assert.equal(applied.length, 0);
});

test('new trust anchors are used for clients at once, and a certificate that they do not cover is replaced', async (context) => {
  const { state, own, clock, applied } = setUp(context);
  state.anchors = state.authority.anchorsPem;
  own.start();
  await eventually('a certificate', () => applied.length === 1);
  const next = createTestAuthority(clock.now());
  state.anchors = state.authority.anchorsPem + next.anchorsPem;
  own.check();
  assert.equal(applied.length, 2, 'the same certificate with both anchors');
  assert.equal(applied[1]?.cert, applied[0]?.cert);
  state.anchors = next.anchorsPem;
  state.authority = next;
  own.check();
  await eventually('a certificate under the new anchor', () => applied.length === 3);
  assert.equal(own.problem, undefined);
});
