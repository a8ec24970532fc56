import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import { DestinationService } from '#api/gen/destination.ts';
import { InboundServerPoliciesService } from '#api/gen/inbound.ts';
import { OutboundPoliciesService } from '#api/gen/outbound.ts';
import { GrpcServer, type ServerIdentity } from '#api/grpc-server.ts';
import { StreamLimits, streamsFor } from '#api/stream-limits.ts';
import { KubeClient } from '#k8s/client.ts';
import type { Connection } from '#k8s/connection.ts';
import { Informer } from '#k8s/informer.ts';
import type { ResourceIndex, ResourceKind } from '#k8s/resource-index.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { CONFIG_MAPS, type ConfigMap } from '#k8s/resources/config-map.ts';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { NODES } from '#k8s/resources/node.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '#k8s/resources/custom-resource-definition.ts';
import { SERVICES } from '#k8s/resources/service.ts';
import { SERVICE_ACCOUNTS } from '#k8s/resources/service-account.ts';
import { ServedKinds } from '#k8s/served-kinds.ts';
import { workloadIdentity } from '#pki/names.ts';
import { startAdmin } from '#runtime/admin.ts';
import { systemClock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { annotationProblem, policyContext } from '../policy/inbound-policy.ts';
import { inboundPoliciesService } from '../policy/inbound-server.ts';
import { outboundPoliciesService } from '../policy/outbound-server.ts';
import { PolicyFindings } from '../policy/policy-findings.ts';
import { TrafficFindings } from '../policy/traffic-findings.ts';
import { formatProblems } from '../dialects/problem.ts';
import { requestCertificate } from './certify-client.ts';
import { ClusterWriter } from './cluster-writer.ts';
import type { DestinationConfig } from './config.ts';
import { createIndexes } from './indexes.ts';
import { createDestinationMetrics } from './metrics.ts';
import { OwnCertificate } from './own-certificate.ts';
import { destinationService } from './server.ts';

/** How many objects a line of the log names. */
const NAMES_MAX = 20;

/** A running destination process. */
export type DestinationProcess = {
  readonly adminPort: number;
  /** Where it serves, once the cluster is known and it has a certificate. */
  readonly ports: Promise<{ readonly destination: number; readonly policy: number }>;
  /** Why it is not ready, in words for a person. */
  readonly notReady: () => readonly string[];
  readonly stop: () => Promise<void>;
};

/** Puts the destination process together: informers, indexes, its own certificate, and the two gRPC servers. */
export async function startDestination(
  config: DestinationConfig,
  connection: Connection,
  log: Logger,
): Promise<DestinationProcess> {
  const client = new KubeClient(connection);
  const roots = new ResourceStore<ConfigMap>();
  const indexes = createIndexes(config);
  const { stores, traffic, policies, egress, inboundSettings, endpoints, profiles, inbound, outbound } = indexes;
  const findings = new PolicyFindings({
    store: policies,
    context: policyContext(inboundSettings),
    clock: systemClock,
    report: (object, problem) => log.warn({ object }, `has no effect: ${problem}`),
  });
  const ineffective = new TrafficFindings(stores.services, traffic, egress, config.clusterDomain, (object, problem) =>
    log.warn({ object }, `has no effect: ${problem}`),
  );
  const metrics = createDestinationMetrics({
    watched: () => ({
      endpoints: endpoints.watchedCount,
      profiles: profiles.watchedCount,
      inbound: inbound.watchedCount,
      outbound: outbound.watchedCount,
    }),
    ineffectivePolicies: () => findings.count + ineffective.count,
    findings: () => writer.effects.counts(),
    certificateTtl: () =>
      certificate.notAfterMs === undefined ? undefined : (certificate.notAfterMs - systemClock.now()) / 1000,
  });

  const inform = <R>(
    kind: ResourceKind<R>,
    index: ResourceIndex<R>,
    scope: { namespace?: string; fieldSelector?: string } = {},
  ): Informer<R> =>
    new Informer({
      client,
      kind,
      index,
      ...scope,
      observe: (step) => {
        metrics.informed(kind.plural, step);
        if (step.kind === 'failure')
          log.warn({ err: step.error, kind: kind.plural, delayMs: step.delayMs }, 'informer failed');
        if (step.kind === 'list') log.debug({ kind: kind.plural, count: step.count }, 'listed');
        if (step.kind === 'check' && step.drifted.length > 0)
          log.error({ kind: kind.plural, ...summary(step.drifted) }, 'differed from the API server; listed again');
        serveWhenReady();
        writeWhenReady();
      },
    });
  const kinds = new ServedKinds(indexes.optionalKinds, inform);
  const { controlPlaneNamespace: namespace } = config.domain;
  const fieldSelector = `metadata.name=${TRUST_ROOTS_CONFIG_MAP}`;
  const informers = [
    inform(SERVICES, stores.services),
    inform(ENDPOINT_SLICES, stores.slices),
    inform(PODS, stores.pods),
    inform(NODES, stores.nodes),
    inform(CONFIG_MAPS, roots, { namespace, fieldSelector }),
    inform(CUSTOM_RESOURCE_DEFINITIONS, kinds),
  ];
  // Only findings need them: no proxy has to wait for them.
  const accounts = inform(SERVICE_ACCOUNTS, indexes.serviceAccounts);

  const { clusterDomain } = config;
  const writer = new ClusterWriter({ namespace, clusterDomain, client, log, indexes, kinds, onLooked: metrics.looked });

  const identityServer = {
    address: config.identityAddress,
    serverName: workloadIdentity({ namespace, name: config.identityServiceAccount }, config.domain),
  };
  let identity: ServerIdentity | undefined;
  const certificate = new OwnCertificate({
    identity: workloadIdentity({ namespace, name: config.serviceAccount }, config.domain),
    tokenFile: config.tokenFile,
    anchors: () => roots.get(namespace, TRUST_ROOTS_CONFIG_MAP)?.data[TRUST_ROOTS_KEY],
    request: (anchorsPem, request) => requestCertificate(identityServer, anchorsPem, request),
    clock: systemClock,
    log,
    observe: metrics.certified,
    apply(next) {
      identity = next;
      for (const server of servers) server.setIdentity(next);
      serveWhenReady();
    },
  });
  roots.onChange(() => certificate.check());
  stores.pods.onChange((next, previous) => {
    const problem = next && annotationProblem(next);
    if (problem === undefined || (previous && annotationProblem(previous)) === problem) return;
    log.warn({ pod: `${next?.namespace}/${next?.name}` }, problem);
  });

  stores.externalWorkloads.onChange((next, previous) => {
    if (next === undefined || next.problems.length === 0 || isDeepStrictEqual(next.problems, previous?.problems))
      return;
    const object = `ExternalWorkload ${next.namespace}/${next.name}`;
    log.warn({ object }, `has no effect: ${formatProblems(next.problems)}`);
  });

  // Nothing listens before everything is known: an answer from half of the cluster would take endpoints away.
  const servers: GrpcServer[] = [];
  let isListening = false;
  const listening = Promise.withResolvers<{ destination: number; policy: number }>();
  const waiting = (): readonly string[] => [
    ...informers.filter((informer) => !informer.isSynced).map((informer) => informer.plural),
    ...kinds.waiting,
  ];
  let isWriting = false;
  const writeWhenReady = (): void => {
    if (isWriting || servers.length === 0 || !accounts.isSynced) return;
    isWriting = true;
    writer.start();
  };
  const serveWhenReady = (): void => {
    if (identity === undefined || servers.length > 0 || waiting().length > 0) return;
    const streamsMax = streamsFor(process.constrainedMemory());
    const limits = new StreamLimits({ max: streamsMax, onRefused: metrics.streamRefused });
    const destination = new GrpcServer(identity, limits);
    const policy = new GrpcServer(identity, limits);
    servers.push(destination, policy);
    destination.addService(
      DestinationService,
      destinationService({
        endpoints,
        profiles,
        clusterDomain: config.clusterDomain,
        outlet: destination,
        streamOpened: metrics.streamOpened,
      }),
    );
    policy.addService(
      InboundServerPoliciesService,
      inboundPoliciesService({ index: inbound, outlet: policy, streamOpened: metrics.streamOpened }),
    );
    policy.addService(
      OutboundPoliciesService,
      outboundPoliciesService({
        index: outbound,
        clusterDomain: config.clusterDomain,
        outlet: policy,
        streamOpened: metrics.streamOpened,
      }),
    );
    writeWhenReady();
    Promise.all([destination.listen(config.port), policy.listen(config.policyPort)]).then(
      ([destinationPort, policyPort]) => {
        isListening = true;
        log.info({ destinationPort, policyPort, streamsMax }, 'serving');
        listening.resolve({ destination: destinationPort, policy: policyPort });
      },
      (error: unknown) => listening.reject(error),
    );
  };

  const notReady = (): readonly string[] => {
    const missing = waiting();
    return [
      ...(missing.length > 0 ? [`not yet listed: ${missing.join(', ')}`] : []),
      ...(certificate.problem === undefined ? [] : [certificate.problem]),
      ...(isListening ? [] : ['the gRPC servers do not listen yet']),
    ];
  };
  const admin = await startAdmin({ port: config.adminPort, registry: metrics.registry, notReady });
  for (const informer of [...informers, accounts]) informer.start();
  certificate.start();
  return {
    adminPort: (admin.address() as AddressInfo).port,
    ports: listening.promise,
    notReady,
    async stop() {
      certificate[Symbol.dispose]();
      const served = servers.map((server) => server.stop(config.shutdownGraceMs / 2));
      await Promise.all([writer[Symbol.asyncDispose](), ...served]);
      for (const informer of [...informers, accounts]) informer[Symbol.dispose]();
      kinds[Symbol.dispose]();
      findings[Symbol.dispose]();
      client[Symbol.dispose]();
      admin.close();
      admin.closeAllConnections();
    },
  };
}

function summary(objects: readonly string[]): { readonly count: number; readonly objects: readonly string[] } {
  return { count: objects.length, objects: objects.slice(0, NAMES_MAX) };
}
