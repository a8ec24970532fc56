import { dirname, join } from 'node:path';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { KubeClient } from '#k8s/client.ts';
import { findConnection } from '#k8s/connection.ts';
import { Informer } from '#k8s/informer.ts';
import type { ResourceKind } from '#k8s/resource-index.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { startAdmin } from '#runtime/admin.ts';
import { createLogger, type Logger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { clusterContextOf } from '../control-plane/findings/cluster-findings.ts';
import { readConfig, type Config } from './config.ts';
import { podOf, type Pod, type PodResource } from './metrics-api/pods.ts';
import { ObjectIndex } from './metrics-api/object-index.ts';
import { Scraper } from './metrics-api/scraper.ts';
import { createServer } from './metrics-api/server.ts';
import { MetricsStore } from './metrics-api/store.ts';
import { TapCertificate } from './tap/identity.ts';
import { tapRequests } from './tap/kube-requests.ts';
import { registerTap } from './tap/route.ts';
import { registerDashboard } from './web/assets.ts';
import { Findings, registerFindings, shownFindings } from './web/findings.ts';

const EXIT_CONFIGURATION = 64;
const RETENTION_MS = 10 * 60_000; // the longest window
const MAX_SERIES_PER_POD = 2_000;
const MAX_SERIES = 60_000;
const DRAIN_MS = 5_000;

async function start(config: Config, log: Logger): Promise<void> {
  const client = new KubeClient(await findConnection(config.kubernetes));
  const index = new ObjectIndex<Pod>();
  const kind: ResourceKind<Pod> = {
    plural: 'pods',
    apiPath: '/api/v1',
    isNamespaced: true,
    parse: (object) => (isPod(object) ? podOf(object, config.controlNamespace) : undefined),
  };
  const pods = new Informer({ client, kind, index });
  pods.start();
  const serviceIndex = new ObjectIndex<Service>();
  const services = new Informer({ client, kind: SERVICES, index: serviceIndex });
  services.start();

  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const scrapes = new Counter({
    name: 'viz_scrapes_total',
    help: 'Scrapes of proxies, by result.',
    labelNames: ['result'] as const,
    registers: [registry],
  });
  const store = new MetricsStore({
    retentionMs: RETENTION_MS,
    maxSeriesPerPod: MAX_SERIES_PER_POD,
    maxSeries: MAX_SERIES,
  });
  registry.registerMetric(
    new Gauge({
      name: 'viz_series',
      help: 'Series in the store.',
      registers: [],
      collect() {
        this.set(store.seriesCount);
      },
    }),
  );
  const scraper = new Scraper({
    store,
    pods: () => index.all,
    intervalMs: config.scrapeIntervalMs,
    now: Date.now,
    log,
    onResult: (isSuccess) => scrapes.inc({ result: isSuccess ? 'success' : 'failure' }),
  });
  scraper.start();

  const suffix = `serviceaccount.identity.${config.controlNamespace}.${config.trustDomain}`;
  const identityOf = (pod: Pod): string => `${pod.serviceAccount}.${pod.namespace}.${suffix}`;
  const server = createServer({
    pods: () => index.all,
    services: () => serviceIndex.all,
    store,
    failures: () => scraper.failures,
    maxWindowMs: RETENTION_MS,
    now: Date.now,
    identityOf,
    hostNames: hostNames(config),
  });
  registerDashboard(server, join(dirname(process.argv[1] ?? ''), 'dashboard'));
  const values = {
    ...defaultValues(VERSION),
    namespace: config.controlNamespace,
    identityTrustDomain: config.trustDomain,
    clusterDomain: config.clusterDomain,
  };
  const context = clusterContextOf(values);
  registerFindings(server, new Findings(() => shownFindings(client, context), Date.now));
  const certificate = new TapCertificate({
    client,
    log,
    controlNamespace: config.controlNamespace,
    trustDomain: config.trustDomain,
    clusterDomain: config.clusterDomain,
    serviceAccount: config.tapServiceAccount,
    tokenFile: config.tokenFile,
  });
  registerTap(server, {
    requests: tapRequests(client),
    pods: () => index.all,
    identity: () => certificate.current,
    identityOf,
    now: Date.now,
  });
  await server.listen({ port: config.port, host: '::' });
  const admin = await startAdmin({
    port: config.adminPort,
    registry,
    notReady: () => (pods.isSynced && services.isSynced ? [] : ['pods and Services are not synced']),
  });
  onShutdown(log, DRAIN_MS, async () => {
    scraper[Symbol.dispose]();
    certificate[Symbol.dispose]();
    pods[Symbol.dispose]();
    services[Symbol.dispose]();
    await server.close();
    admin.close();
    client[Symbol.dispose]();
  });
}

/** Names of our Service, in every form that DNS in the cluster knows. */
function hostNames({ tapServiceAccount, clusterDomain }: Config): readonly string[] {
  const [name = '', namespace = ''] = tapServiceAccount.split('.');
  const full = `${name}.${namespace}.svc`;
  return [full, `${full}.${clusterDomain}`, `${name}.${namespace}`, name];
}

function isPod(object: unknown): object is PodResource {
  return typeof (object as { metadata?: { name?: unknown } } | null)?.metadata?.name === 'string';
}

function main(): void {
  let config: Config;
  try {
    config = readConfig(process.env);
  } catch (error) {
    process.stderr.write(`metrics-api: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(EXIT_CONFIGURATION);
  }
  const log = createLogger('metrics-api', config.logLevel);
  start(config, log).catch((error: unknown) => {
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  });
}

main();
