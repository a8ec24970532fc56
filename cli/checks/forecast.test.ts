import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIssuer, createTrustAnchor } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { createLogger } from '#runtime/log.ts';
import { ManualClock } from '#runtime/clock.ts';
import { KubeClient } from '#k8s/client.ts';
import { findConnection } from '#k8s/connection.ts';
import { AuthorityKeeper } from '../../control-plane/identity/authority.ts';
import { StoredObjects } from '../../control-plane/identity/stored-objects.ts';
import { ServingCertificates } from '../../injector/serving-certificate.ts';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { connect } from '../cluster.ts';
import { forecastChecks } from './forecast.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 1);

/** What the forecast says at a time: what is wrong, or the lines when nothing is. */
async function forecast(server: TestServer, nowMs: number): Promise<string> {
  const cluster = await connect({ kubeconfig: server.kubeconfigPath });
  try {
    const [check] = forecastChecks(
      cluster,
      'tulle',
      (process) => Promise.resolve(process),
      () => nowMs,
    ).checks;
    const outcome = await check!.run();
    return typeof outcome === 'object' ? outcome.note : String(outcome);
  } catch (error) {
    return `problem: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    cluster.close();
  }
}

test('the forecast names every certificate, its end, who renews it, and what is overdue', async () => {
  await using server = await TestServer.start();
  const admin = await connect({ kubeconfig: server.kubeconfigPath });
  await admin.request('POST', '/api/v1/namespaces', { metadata: { name: 'tulle' } });
  assert.match(await forecast(server, START), /^(unknown: .*not found.*\n?){3}$/);
  using client = new KubeClient(await findConnection({ kubeconfig: server.kubeconfigPath }));
  const clock = new ManualClock(START);
  const keeper = new AuthorityKeeper({
    objects: new StoredObjects(client, 'tulle'),
    policy: { domain: 't', leafLifetimeMs: DAY, anchorLifetimeMs: 3650 * DAY, issuerLifetimeMs: 7 * DAY },
    isIssuerExternal: false,
    clock,
    log: createLogger('test', 'silent'),
  });
  await keeper.reconcile();
  await new ServingCertificates(client, 'tulle', 'injector.tulle.svc', () => START).ensure();
  const lines = (await forecast(server, START)).split('\n');
  assert.match(lines[0] ?? '', /^trust anchor ".*": until 2035-12-30 \(3650 days left\), renewed by tulle-identity$/);
  assert.match(lines[1] ?? '', /^issuer ".*": until 2026-01-08 \(7 days left\), renewed by tulle-identity$/);
  assert.match(lines[2] ?? '', /^webhook certificate ".*": until 2027-01-01 \(365 days left\), renewed by tulle-inj/);
  assert.match(
    await forecast(server, START + 5 * DAY),
    /^problem: tulle-identity should have renewed the issuer by now\ntrust anchor/,
  );
  assert.match(await forecast(server, START + 8 * DAY), /^problem: the issuer cannot be used: "issuer .*" expired at/);
  assert.match(await forecast(server, START + 300 * DAY), /tulle-injector should have renewed the webhook certificate/);

  const anchor = createTrustAnchor('mine', { notBeforeMs: START, notAfterMs: START + 400 * DAY });
  const issuer = createIssuer(anchor, 'mine', { notBeforeMs: START, notAfterMs: START + 90 * DAY });
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  await admin.request('DELETE', '/api/v1/namespaces/tulle/secrets/linkerd-identity-issuer');
  await admin.request('POST', '/api/v1/namespaces/tulle/secrets', {
    metadata: { name: 'linkerd-identity-issuer' },
    type: 'kubernetes.io/tls',
    data: {
      'tls.crt': base64(encodeCertificates([issuer.certificate.der])),
      'tls.key': base64(issuer.key.exportPem()),
      'ca.crt': base64(encodeCertificates([anchor.certificate.der])),
    },
  });
  await keeper.reconcile();
  assert.match(await forecast(server, START), /issuer ".*": until 2026-04-01 \(90 days left\), yours to renew\n/);
  assert.match(
    await forecast(server, START + 61 * DAY),
    /^problem: the issuer ends soon: put the next one into Secret linkerd-identity-issuer\n/,
  );
  const report = await forecast(server, START + 401 * DAY);
  assert.match(report, /the trust anchor has ended: add the next one to ConfigMap linkerd-identity-trust-roots\n/);
  assert.match(
    report,
    /issuer cannot be used: ".*" expired at .*: put the next one into Secret linkerd-identity-issuer\n/,
  );
  admin.close();
});
