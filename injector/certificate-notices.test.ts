import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeError } from '#k8s/kube-error.ts';
import { CertificateNotices } from './certificate-notices.ts';
import { createServingCertificate, type ServingCertificate } from './serving-certificate.ts';

const DAY_MS = 86_400_000;
const fresh = createServingCertificate('tulle-injector.tulle.svc', 0);
const late = (reason: string): ServingCertificate => ({
  ...fresh,
  renewalFailure: new KubeError(reason, { status: 403, reason: 'Forbidden' }),
});

test('people hear once why the certificate is not renewed, and 30, 7 and 1 days before its end', () => {
  const told: string[] = [];
  const notices = new CertificateNotices(({ type, reason, message }) => told.push(`${type} ${reason}: ${message}`));
  const look = (certificate: ServingCertificate, daysLeft: number): readonly string[] => {
    notices.looked(certificate, fresh.notAfterMs - daysLeft * DAY_MS);
    return told.splice(0);
  };
  assert.deepEqual(look(fresh, 300), []);
  assert.deepEqual(look(late('PUT: 403 no'), 119), [
    'Warning WebhookCertificateFailed: the webhook certificate, which ends at 1971-01-01T00:00:00.000Z, cannot be renewed: PUT: 403 no',
  ]);
  assert.deepEqual(look(late('PUT: 403 no'), 118), []);
  const soon =
    'Warning CertificateExpiresSoon: webhook certificate expires at 1971-01-01T00:00:00.000Z: it should have been renewed by itself: PUT: 403 no';
  for (const days of [30, 7, 1]) {
    assert.deepEqual(look(late('PUT: 403 no'), days - 0.5), [soon]);
    assert.deepEqual(look(late('PUT: 403 no'), days - 0.6), []);
  }
  assert.deepEqual(look(fresh, 300), [], 'it was renewed');
  assert.match(look(late('PUT: 403 no'), 119)[0] ?? '', /WebhookCertificateFailed/, 'and the next time counts anew');
});

test('a failure is told once, and none of an API server that does not answer', () => {
  const told: string[] = [];
  const notices = new CertificateNotices(({ message }) => told.push(message));
  notices.failed(new KubeError('GET: connection refused', { reason: 'Unreachable' }));
  notices.failed(new KubeError('PATCH: 403 no', { status: 403, reason: 'Forbidden' }));
  notices.failed(new KubeError('PATCH: 403 no', { status: 403, reason: 'Forbidden' }));
  assert.deepEqual(told, ['the webhook certificate cannot be made or published: PATCH: 403 no']);
});
