import { fastify, type FastifyInstance } from 'fastify';
import { Counter, Registry, collectDefaultMetrics } from 'prom-client';
import { deploymentOf, INJECTOR, TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import { KubeClient } from '#k8s/client.ts';
import { findConnection } from '#k8s/connection.ts';
import { recordNotice } from '#k8s/deployment-event.ts';
import { Informer } from '#k8s/informer.ts';
import { CONFIG_MAPS } from '#k8s/resources/config-map.ts';
import { startAdmin } from '#runtime/admin.ts';
import type { Logger } from '#runtime/log.ts';
import { CertificateNotices } from './certificate-notices.ts';
import type { Config } from './config.ts';
import { eventOf, recordEvent, subjectOf } from './events.ts';
import { NamespaceLookup } from './namespace-lookup.ts';
import { Namespaces, NAMESPACES } from './namespaces.ts';
import type { Pod } from './pod.ts';
import { repairMetrics } from './repair/repair.ts';
import { startRepair } from './repair/start.ts';
import { ServingCertificates, type ServingCertificate } from './serving-certificate.ts';
import { TrustAnchors } from './trust-anchors.ts';
import { policyContextOf, reviewPolicy } from './policy-webhook.ts';
import { parseReview, review, ReviewError, type AdmissionRequest } from './webhook.ts';

const CERTIFICATE_CHECK_MS = 3_000; // a webhook configuration that was deleted and applied again works after that time
const CERTIFICATE_RETRY_MS = 1_000;
const BODY_LIMIT_BYTES = 3 * 1024 * 1024; // the API server's own limit for an object

/** A running injector. */
export type InjectorProcess = {
  /** Why it is not ready, in words for a person. */
  readonly notReady: () => readonly string[];
  readonly stop: () => Promise<void>;
};

/** Everything that the injector knows, and the webhook that uses it. */
export async function startInjector(config: Config, log: Logger): Promise<InjectorProcess> {
  const { values } = config;
  const client = new KubeClient(await findConnection(config.kubernetes));
  const namespaces = new Namespaces();
  const lookup = new NamespaceLookup({
    client,
    seen: namespaces,
    onFailure: (namespace, error) =>
      log.warn({ err: error, namespace }, 'cannot read a namespace: taken as unannotated'),
  });
  const anchors = new TrustAnchors();
  const informers = [
    new Informer({ client, kind: NAMESPACES, index: namespaces }),
    new Informer({
      client,
      kind: CONFIG_MAPS,
      index: anchors,
      namespace: values.namespace,
      fieldSelector: `metadata.name=${TRUST_ROOTS_CONFIG_MAP}`,
    }),
  ];
  for (const informer of informers) informer.start();

  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const responses = new Counter({
    name: 'proxy_inject_admission_responses_total',
    help: 'Pods decided about, by result.',
    labelNames: ['skip', 'skip_reason'] as const,
    registers: [registry],
  });

  const certificates = new ServingCertificates(client, values.namespace, `${INJECTOR}.${values.namespace}.svc`);
  let isPublished = false;
  let lastFailure = '';
  let certificate: ServingCertificate | undefined;
  let server: FastifyInstance | undefined;
  const admit = async (request: AdmissionRequest): Promise<unknown> => {
    const trustAnchorsPem = anchors.pem;
    if (trustAnchorsPem === undefined)
      throw new ReviewError(
        `the trust anchors are not known yet (ConfigMap ${TRUST_ROOTS_CONFIG_MAP}, key ${TRUST_ROOTS_KEY})`,
      );
    const { namespace } = request;
    const facts = await lookup.find(namespace);
    const { response, decided } = review(request, { values, trustAnchorsPem, namespace: facts });
    if (decided === undefined) return response;
    const { decision, problems } = decided.outcome;
    responses.inc({
      skip: String(decision.kind === 'skip'),
      skip_reason: decision.kind === 'skip' ? decision.reason : '',
    });
    log.info({ namespace, pod: podName(decided.pod), decision, problems }, 'pod decided');
    const event = eventOf(decided.outcome);
    const subject = subjectOf(namespace, decided.pod);
    if (event !== undefined && subject !== undefined && !request.isDryRun) recordEvent(client, log, subject, event);
    return response;
  };

  const validations = new Counter({
    name: 'policy_admission_responses_total',
    help: 'Policy objects decided about.',
    labelNames: ['allowed'] as const,
    registers: [registry],
  });
  const policyContext = policyContextOf(values);
  const validate = (body: unknown): unknown => {
    const answer = reviewPolicy(body, policyContext);
    validations.inc({ allowed: String(answer.response.allowed) });
    if (!answer.response.allowed) log.info({ reason: answer.response.status?.message }, 'policy object refused');
    return answer;
  };

  const deployment = deploymentOf(values, INJECTOR);
  const events = { client, log, namespace: values.namespace, deployment, component: INJECTOR };
  const notices = new CertificateNotices((notice) => recordNotice(events, notice, Date.now()));
  const certify = async (): Promise<void> => {
    const current = await certificates.ensure();
    if (current.certificatePem !== certificate?.certificatePem) {
      const tls = { key: current.keyPem, cert: current.certificatePem, minVersion: 'TLSv1.2' as const };
      if (server === undefined) {
        server = createWebhook(tls, admit, validate);
        await server.listen({ port: config.port, host: '::' });
      } else {
        (server.server as unknown as { setSecureContext(options: typeof tls): void }).setSecureContext(tls);
      }
      certificate = current;
      log.info({ notAfter: new Date(current.notAfterMs).toISOString() }, 'webhook certificate in use');
    }
    if (await certificates.publish(current)) log.info('webhook configuration has the certificate authority');
    isPublished = true;
    lastFailure = '';
    notices.looked(current, Date.now());
  };
  const certification = keepCertified(certify, (error) => {
    const reason = error instanceof Error ? error.message : String(error);
    log[reason === lastFailure ? 'debug' : 'warn']({ err: error }, 'cannot look after the webhook certificate');
    lastFailure = reason;
    notices.failed(error);
  });

  const notReady = (): readonly string[] => [
    ...informers.filter(({ isSynced }) => !isSynced).map(({ plural }) => `${plural} are not synced`),
    ...(anchors.pem === undefined ? ['the trust anchors are not known yet'] : []),
    ...(isPublished ? [] : [`the webhook certificate is not published yet${lastFailure && `: ${lastFailure}`}`]),
  ];
  const repair = startRepair({
    client,
    log,
    values,
    namespaces,
    metrics: repairMetrics(registry),
    isReady: () => notReady().length === 0,
    caPem: () => certificate?.authorityPem,
  });
  const admin = await startAdmin({ port: config.adminPort, registry, notReady });
  return {
    notReady,
    async stop() {
      certification[Symbol.dispose]();
      for (const informer of informers) informer[Symbol.dispose]();
      repair[Symbol.dispose]();
      await server?.close();
      admin.close();
      client[Symbol.dispose]();
    },
  };
}

/** Looks after the certificate until disposed: soon again after a failure, else in a relaxed rhythm that also repairs a lost caBundle. */
function keepCertified(certify: () => Promise<void>, onFailure: (error: unknown) => void): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  const round = (): void => {
    const again = (afterMs: number): void => {
      if (!isStopped) timer = setTimeout(round, afterMs);
    };
    certify().then(
      () => again(CERTIFICATE_CHECK_MS),
      (error: unknown) => {
        if (!isStopped) onFailure(error);
        again(CERTIFICATE_RETRY_MS);
      },
    );
  };
  round();
  return {
    [Symbol.dispose]() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

function createWebhook(
  tls: { readonly key: string; readonly cert: string; readonly minVersion: 'TLSv1.2' },
  admit: (request: AdmissionRequest) => Promise<unknown>,
  validate: (body: unknown) => unknown,
): FastifyInstance {
  const server = fastify({ https: tls, logger: false, bodyLimit: BODY_LIMIT_BYTES, requestTimeout: 10_000 });
  // No review: the API server follows the failure policy; the pod comes without a proxy, the policy object unjudged.
  server.setErrorHandler((error, _request, reply) =>
    error instanceof ReviewError ? reply.code(400).send({ error: error.message }) : reply.send(error),
  );
  server.post('/', (request) => admit(parseReview(request.body)));
  server.post('/policy', (request) => validate(request.body));
  return server;
}

function podName({ metadata }: Pod): string {
  return metadata?.name ?? `${metadata?.generateName ?? ''}*`;
}
