import { status } from '@grpc/grpc-js';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Metrics of the identity process. Listed in README.md. */
export type IdentityMetrics = {
  readonly registry: Registry;
  readonly certified: (code: status, durationMs: number) => void;
  readonly reconciled: (result: 'ok' | 'error') => void;
};

/** Seconds until a certificate ends, read at every scrape; nothing while there is none. */
export type CertificateTtl = { readonly issuer: () => number | undefined; readonly anchor: () => number | undefined };

export function createIdentityMetrics(ttl: CertificateTtl): IdentityMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'identity_certify_total',
    help: 'Certify requests answered, by gRPC status code',
    labelNames: ['code'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'identity_certify_duration_seconds',
    help: 'Time to answer a Certify request',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
    registers: [registry],
  });
  const reconciliations = new Counter({
    name: 'identity_reconcile_total',
    help: 'Checks of the stored trust anchor, issuer and bundle, by result',
    labelNames: ['result'],
    registers: [registry],
  });
  const gauge = (name: string, help: string, seconds: () => number | undefined): void => {
    const metric: Gauge = new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = seconds();
        if (value !== undefined) metric.set(value);
      },
    });
  };
  gauge('issuer_cert_ttl_seconds', 'Seconds until the issuer certificate ends', ttl.issuer);
  gauge('trust_anchor_cert_ttl_seconds', 'Seconds until the trust anchor ends', ttl.anchor);
  return {
    registry,
    certified(code, durationMs) {
      requests.inc({ code: status[code] });
      duration.observe(durationMs / 1000);
    },
    reconciled: (result) => reconciliations.inc({ result }),
  };
}
