import { Counter, Gauge, Registry } from 'prom-client';
import { TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import { KubeClient } from '#k8s/client.ts';
import type { Connection } from '#k8s/connection.ts';
import { Informer } from '#k8s/informer.ts';
import { asObject, asText } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { parseMetadata } from '#k8s/resources/metadata.ts';
import { readTrustAnchors } from '#pki/trust-anchors.ts';
import { startAdmin } from '#runtime/admin.ts';
import type { Logger } from '#runtime/log.ts';
import { CLUSTER_NAME, LINKS_PATH, MIRRORED, NAMESPACE } from '../names.ts';
import { ClusterMirror } from './cluster-mirror.ts';
import { LINKS, type Link } from './link.ts';
import { LocalMirrors } from './local-mirrors.ts';

export type ServiceMirrorOptions = {
  readonly adminPort: number;
  readonly namespace?: string; // of the Links; default: the extension's
  readonly controlNamespace: string;
  readonly intervalMs?: number; // how often everything is looked at though nothing changed
};

export type ServiceMirrorProcess = { readonly adminPort: number; readonly stop: () => Promise<void> };

const INTERVAL_MS = 2000;
const ORPHANS_EVERY = 15; // intervals

/** The controller of the multicluster extension: one mirror for each Link; what belongs to no Link is removed. */
export async function startServiceMirror(
  options: ServiceMirrorOptions,
  connection: Connection,
  log: Logger,
): Promise<ServiceMirrorProcess> {
  const { namespace = NAMESPACE, controlNamespace, intervalMs = INTERVAL_MS } = options;
  const client = new KubeClient(connection);
  const local = new LocalMirrors(client);
  const links = new ResourceStore<Link>();
  const mirrors = new Map<string, { readonly mirror: ClusterMirror; readonly fingerprint: string }>();
  const statuses = new Map<string, string>(); // of each Link, as written
  const registry = new Registry();
  const metrics = createMetrics(registry);
  let orphansLeft = true;
  let ticks = 0;
  let running: Promise<void> | undefined;

  const informer = new Informer({
    client,
    kind: LINKS,
    index: links,
    namespace,
    observe(step) {
      if (step.kind === 'failure') log.warn({ err: step.error }, 'cannot follow the Links');
      tick();
    },
  });

  const follow = async (link: Link): Promise<void> => {
    const kubeconfig = link.credentialsSecret === '' ? undefined : await readKubeconfig(client, link);
    const fingerprint = JSON.stringify([{ ...link, labels: {}, annotations: {} }, kubeconfig]);
    const known = mirrors.get(link.name);
    if (known?.fingerprint === fingerprint) return;
    known?.mirror[Symbol.dispose]();
    const labels = { target_cluster_name: link.cluster };
    const mirror = new ClusterMirror({
      link,
      local: client,
      log,
      probed(isSuccess, latencyMs) {
        metrics.probes.inc({ ...labels, probe_successful: String(isSuccess) });
        metrics.alive.set(labels, mirror.state.isAlive ? 1 : 0);
        if (isSuccess) metrics.latency.set(labels, Math.round(latencyMs));
      },
    });
    mirrors.set(link.name, { mirror, fingerprint });
    mirror.start(kubeconfig ?? '');
    log.info({ link: link.name, gateway: link.gatewayAddresses }, `following the exported Services of ${link.cluster}`);
  };

  const reconcile = async (): Promise<void> => {
    if (!informer.isSynced) return;
    for (const [name, { mirror }] of mirrors) {
      if (links.get(namespace, name) !== undefined) continue;
      mirror[Symbol.dispose]();
      mirrors.delete(name);
      statuses.delete(name);
      for (const gauge of [metrics.alive, metrics.latency]) gauge.remove({ target_cluster_name: mirror.link.cluster });
      orphansLeft = true;
      log.info({ link: name }, `the Link is gone: removing the mirrors of ${mirror.link.cluster}`);
    }
    for (const link of links.values()) await follow(link);
    if (orphansLeft || ticks % ORPHANS_EVERY === 0) await removeOrphans(local, [...links.values()]);
    orphansLeft = false;
    for (const { mirror } of mirrors.values()) await writeStatus(mirror);
  };

  const writeStatus = async (mirror: ClusterMirror): Promise<void> => {
    const { link } = mirror;
    const conditions = [...conditionsOf(mirror), ...(await anchorsCondition(client, mirror, controlNamespace))];
    const text = JSON.stringify(conditions);
    if (statuses.get(link.name) === text) return;
    const lastTransitionTime = new Date().toISOString();
    const body = { status: { conditions: conditions.map((condition) => ({ ...condition, lastTransitionTime })) } };
    await client.request({
      method: 'PATCH',
      path: `${LINKS_PATH}/namespaces/${namespace}/links/${link.name}/status`,
      body,
      contentType: 'application/merge-patch+json',
    });
    statuses.set(link.name, text);
  };

  const tick = (): void => {
    running ??= reconcile()
      .catch((error: unknown) => {
        orphansLeft = true;
        log.warn({ err: error }, 'cannot bring the Links in order');
      })
      .finally(() => {
        running = undefined;
      });
  };
  const timer = setInterval(() => {
    ticks += 1;
    tick();
  }, intervalMs);
  const admin = await startAdmin({
    port: options.adminPort,
    registry,
    notReady: () => (informer.isSynced ? [] : ['the Links are not yet listed']),
  });
  informer.start();
  return {
    adminPort: (admin.address() as { port: number }).port,
    async stop() {
      clearInterval(timer);
      informer[Symbol.dispose]();
      for (const { mirror } of mirrors.values()) mirror[Symbol.dispose]();
      await running;
      client[Symbol.dispose]();
      admin.close();
      admin.closeAllConnections();
    },
  };
}

type Condition = { readonly type: string; readonly status: string; readonly reason: string; readonly message: string };

function conditionsOf(mirror: ClusterMirror): readonly Condition[] {
  const { isAlive, gatewayReason, mirrored, problems } = mirror.state;
  return [
    {
      type: 'GatewayAlive',
      status: isAlive ? 'True' : 'False',
      reason: isAlive ? 'Alive' : 'ProbeFailed',
      message: gatewayReason,
    },
    {
      type: 'Mirrored',
      status: problems.length === 0 ? 'True' : 'False',
      reason: problems.length === 0 ? 'Mirrored' : 'Error',
      message: problems.length === 0 ? `${mirrored} Services` : problems.slice(0, 5).join('; '),
    },
  ];
}

/** Whether both clusters trust the same anchors; without that no connection through the gateway succeeds. */
async function anchorsCondition(
  client: KubeClient,
  { link, remote }: ClusterMirror,
  controlNamespace: string,
): Promise<readonly Condition[]> {
  if (remote === undefined) return [];
  try {
    const [own, other] = await Promise.all([
      anchorsOf(client, controlNamespace),
      anchorsOf(remote, link.controlNamespace),
    ]);
    const isShared = own.some((anchor) => other.includes(anchor));
    return [
      {
        type: 'TrustAnchors',
        status: isShared ? 'True' : 'False',
        reason: isShared ? 'Shared' : 'Different',
        message: isShared
          ? 'the clusters share a trust anchor'
          : `no trust anchor of ${link.cluster} is one of this cluster: install both with the same Secret linkerd-identity-anchor`,
      },
    ];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [{ type: 'TrustAnchors', status: 'Unknown', reason: 'Unreadable', message }];
  }
}

async function anchorsOf(client: KubeClient, namespace: string): Promise<readonly string[]> {
  const path = `/api/v1/namespaces/${namespace}/configmaps/${TRUST_ROOTS_CONFIG_MAP}`;
  const pem = asText(asObject(asObject(await client.request({ method: 'GET', path }))['data'])[TRUST_ROOTS_KEY]);
  return readTrustAnchors(pem ?? '', `ConfigMap ${namespace}/${TRUST_ROOTS_CONFIG_MAP}`).map(({ der }) =>
    der.toString('hex'),
  );
}

async function readKubeconfig(client: KubeClient, link: Link): Promise<string | undefined> {
  const path = `/api/v1/namespaces/${link.namespace}/secrets/${link.credentialsSecret}`;
  try {
    const data = asText(asObject(asObject(await client.request({ method: 'GET', path }))['data'])['kubeconfig']);
    return data === undefined ? undefined : Buffer.from(data, 'base64').toString('utf8');
  } catch {
    return undefined; // the mirror says that there are no credentials
  }
}

/** Mirrors of clusters that no Link names: of Links that were deleted while nobody looked. */
async function removeOrphans(local: LocalMirrors, links: readonly Link[]): Promise<void> {
  const clusters = new Set(links.map(({ cluster }) => cluster));
  for (const kind of ['services', 'endpointslices'] as const) {
    const all = await local[kind === 'services' ? 'services' : 'slices'](`${MIRRORED}=true`);
    const orphans = [...all].filter(([, object]) => !clusters.has(parseMetadata(object)?.labels[CLUSTER_NAME] ?? ''));
    await local.remove(
      kind,
      orphans.map(([key]) => key),
    );
  }
}

function createMetrics(registry: Registry) {
  const gauge = (name: string, help: string): Gauge<'target_cluster_name'> =>
    new Gauge({ name, help, labelNames: ['target_cluster_name'] as const, registers: [registry] });
  return {
    alive: gauge('gateway_alive', 'Whether the gateway of a linked cluster answers probes.'),
    latency: gauge('gateway_latency', 'Milliseconds of the last successful probe.'),
    probes: new Counter({
      name: 'gateway_probes',
      help: 'Probes of gateways, by result.',
      labelNames: ['target_cluster_name', 'probe_successful'] as const,
      registers: [registry],
    }),
  };
}
