import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { IdentityService } from '#api/gen/identity.ts';
import { GrpcServer, type ServerIdentity } from '#api/grpc-server.ts';
import { IDENTITY, TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import { KubeClient } from '#k8s/client.ts';
import type { Connection } from '#k8s/connection.ts';
import { recordNotice, type Notice } from '#k8s/deployment-event.ts';
import { Informer } from '#k8s/informer.ts';
import { CONFIG_MAPS } from '#k8s/resources/config-map.ts';
import { workloadIdentity } from '#pki/names.ts';
import { writeTrustAnchors } from '#pki/trust-anchors.ts';
import { startAdmin } from '#runtime/admin.ts';
import { systemClock, type Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { AuthorityKeeper } from './authority.ts';
import type { IdentityConfig } from './config.ts';
import { endings, ExpiryNotices } from './expiry.ts';
import { createIdentityMetrics } from './metrics.ts';
import { PublishedBundle } from './published-bundle.ts';
import { ServerLeaf } from './server-leaf.ts';
import { identityService } from './server.ts';
import { StoredObjects } from './stored-objects.ts';
import { reviewToken } from './token-review.ts';

/** A running identity process. */
export type IdentityProcess = {
  readonly adminPort: number;
  /** Where it serves gRPC, once it does. */
  readonly port: Promise<number>;
  readonly keeper: AuthorityKeeper;
  /** Why it is not ready, in words for a person. */
  readonly notReady: () => readonly string[];
  readonly stop: () => Promise<void>;
};

/** Puts the identity process together. It serves as soon as there is an issuer. */
export async function startIdentity(
  config: IdentityConfig,
  connection: Connection,
  log: Logger,
  clock: Clock = systemClock,
): Promise<IdentityProcess> {
  const client = new KubeClient(connection);
  const dnsName = workloadIdentity(
    { namespace: config.domain.controlPlaneNamespace, name: config.serviceAccount },
    config.domain,
  );
  const ttl = (notAfterMs: number | undefined): number | undefined =>
    notAfterMs === undefined ? undefined : (notAfterMs - clock.now()) / 1000;
  const metrics = createIdentityMetrics({
    issuer: () => ttl(keeper.state.value?.issuer.authority.certificate.notAfterMs),
    anchor: () => {
      const ends = keeper.state.value?.bundle.map((anchor) => anchor.notAfterMs) ?? [];
      return ttl(ends.length === 0 ? undefined : Math.max(...ends));
    },
  });
  const { controlPlaneNamespace } = config.domain;
  const objects = new StoredObjects(client, controlPlaneNamespace);
  const { deployment } = config;
  const events = { client, log, namespace: controlPlaneNamespace, deployment, component: IDENTITY };
  const tell = (notice: Notice): void => recordNotice(events, notice, clock.now());
  const keeper = new AuthorityKeeper({
    objects,
    policy: {
      domain: `${controlPlaneNamespace}.${config.domain.trustDomain}`,
      leafLifetimeMs: config.leafLifetimeMs,
      anchorLifetimeMs: config.anchorLifetimeMs,
      issuerLifetimeMs: config.issuerLifetimeMs,
    },
    isIssuerExternal: config.isIssuerExternal,
    clock,
    log,
    observe: metrics.reconciled,
    tell,
  });
  const notices = new ExpiryNotices({
    objects,
    clock,
    log,
    endings: () => (keeper.state.value === undefined ? [] : endings(keeper.state.value, keeper.lastError)),
    tell,
  });

  // Who starts a proxy without these anchors gets none, so they come back at once; the keeper's own round would be later.
  const informer = new Informer({
    client,
    kind: CONFIG_MAPS,
    namespace: controlPlaneNamespace,
    fieldSelector: `metadata.name=${TRUST_ROOTS_CONFIG_MAP}`,
    index: new PublishedBundle(
      () => (keeper.state.value === undefined ? undefined : writeTrustAnchors(keeper.state.value.bundle)),
      () => void keeper.reconcile().catch(() => undefined), // logged where it happened
    ),
    clock,
    observe: (step) => {
      if (step.kind === 'failure')
        log.warn({ err: step.error, delayMs: step.delayMs }, `cannot watch ConfigMap ${TRUST_ROOTS_CONFIG_MAP}`);
    },
  });

  let server: GrpcServer | undefined;
  let isListening = false;
  const listening = Promise.withResolvers<number>();
  const serve = (identity: ServerIdentity): void => {
    if (server !== undefined) {
      server.setIdentity(identity);
      return;
    }
    server = new GrpcServer(identity);
    const context = {
      domain: config.domain,
      leafLifetimeMs: config.leafLifetimeMs,
      clockSkewMs: config.clockSkewMs,
      now: () => clock.now(),
      signingState: () => keeper.ensure(),
      reviewToken: (token: string) => reviewToken(client, token),
    };
    server.addService(IdentityService, identityService(context, metrics, log));
    server.listen(config.port).then(
      (port) => {
        isListening = true;
        log.info({ port }, 'serving');
        listening.resolve(port);
      },
      (error: unknown) => listening.reject(error),
    );
  };
  const notReady = (): readonly string[] => {
    const { problem } = keeper;
    return [
      ...(problem === undefined ? [] : [problem]),
      ...(isListening ? [] : ['the gRPC server does not listen yet']),
    ];
  };
  const admin: HttpServer = await startAdmin({ port: config.adminPort, registry: metrics.registry, notReady });
  const leaf = new ServerLeaf({
    keeper,
    clock,
    dnsName,
    lifetimeMs: config.leafLifetimeMs,
    clockSkewMs: config.clockSkewMs,
    apply: serve,
  });
  keeper.start();
  informer.start();
  notices.start();
  return {
    adminPort: (admin.address() as AddressInfo).port,
    port: listening.promise,
    keeper,
    notReady,
    async stop() {
      informer[Symbol.dispose]();
      notices[Symbol.dispose]();
      leaf[Symbol.dispose]();
      keeper[Symbol.dispose]();
      await server?.stop(config.shutdownGraceMs / 2);
      client[Symbol.dispose]();
      admin.close();
      admin.closeAllConnections();
    },
  };
}
