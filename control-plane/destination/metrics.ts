import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Refusal } from '#api/stream-limits.ts';
import { CODES, type Code } from '../diagnosis/codes.ts';
import type { InformerStep } from '#k8s/informer.ts';

/** Metrics of the destination process. Listed in README.md. */
export type DestinationMetrics = {
  readonly registry: Registry;
  readonly streamOpened: (method: string) => Disposable;
  readonly streamRefused: (reason: Refusal) => void;
  readonly informed: (kind: string, step: InformerStep) => void;
  readonly certified: (result: 'ok' | 'error') => void;
  /** The rules about configuration were asked. */
  readonly looked: (tookMs: number) => void;
};

export type DestinationGauges = {
  /** Targets that somebody watches, by index. */
  readonly watched: () => Readonly<Record<string, number>>;
  /** Seconds until the own certificate ends; nothing without one. */
  readonly certificateTtl: () => number | undefined;
  /** Fields of authorization objects that are wrong or point at nothing. */
  readonly ineffectivePolicies: () => number;
  /** How many findings there are by code, in the process that writes statuses. */
  readonly findings: () => ReadonlyMap<Code, number>;
};

export function createDestinationMetrics(gauges: DestinationGauges): DestinationMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const open = new Gauge({ name: 'grpc_streams_open', help: 'Streams open now', labelNames: ['method'], registers });
  const total = new Counter({ name: 'grpc_streams_total', help: 'Streams opened', labelNames: ['method'], registers });
  const refused = new Counter({
    name: 'grpc_streams_refused_total',
    help: 'Streams that were turned away: too-many are open, or no-request came in time; connections that were ended: a message was not-taken',
    labelNames: ['reason'],
    registers,
  });
  const steps = new Counter({
    name: 'kube_informer_steps_total',
    help: 'What informers did: list, watch (opened), event, check (with a fresh list), failure',
    labelNames: ['kind', 'step'],
    registers,
  });
  const drifted = new Counter({
    name: 'kube_informer_drifted_objects_total',
    help: 'Objects that differed from the API server for good and were listed again; the log names them',
    labelNames: ['kind'],
    registers,
  });
  const certificates = new Counter({
    name: 'own_certificate_renewals_total',
    help: 'Attempts to get a certificate from the identity process',
    labelNames: ['result'],
    registers,
  });
  const watched: Gauge<'index'> = new Gauge({
    name: 'watched_targets',
    help: 'Targets that at least one stream watches',
    labelNames: ['index'],
    registers,
    collect() {
      for (const [index, count] of Object.entries(gauges.watched())) watched.set({ index }, count);
    },
  });
  const ineffective: Gauge = new Gauge({
    name: 'policy_fields_without_effect',
    help: 'Fields of authorization objects that are wrong or point at nothing; the log names them',
    registers,
    collect: () => ineffective.set(gauges.ineffectivePolicies()),
  });
  const found: Gauge<'code' | 'severity'> = new Gauge({
    name: 'configuration_findings',
    help: 'What configuration says and is refused, ignored or without effect; only of the process that writes statuses',
    labelNames: ['code', 'severity'],
    registers,
    collect() {
      found.reset();
      for (const [code, count] of gauges.findings()) found.set({ code, severity: CODES[code].severity }, count);
    },
  });
  const looked = new Counter({
    name: 'configuration_rules_seconds_total',
    help: 'Time that the rules about configuration took',
    registers,
  });
  const ttl: Gauge = new Gauge({
    name: 'own_certificate_ttl_seconds',
    help: 'Seconds until the own certificate ends',
    registers,
    collect() {
      const seconds = gauges.certificateTtl();
      if (seconds !== undefined) ttl.set(seconds);
    },
  });
  return {
    registry,
    streamOpened(method) {
      total.inc({ method });
      open.inc({ method });
      return { [Symbol.dispose]: () => open.dec({ method }) };
    },
    streamRefused: (reason) => refused.inc({ reason }),
    informed(kind, step) {
      steps.inc({ kind, step: step.kind });
      if (step.kind === 'check') drifted.inc({ kind }, step.drifted.length);
    },
    certified: (result) => certificates.inc({ result }),
    looked: (tookMs) => looked.inc(tookMs / 1000),
  };
}
