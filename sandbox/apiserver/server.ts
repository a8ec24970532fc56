import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createLogger, type Logger } from '#runtime/log.ts';
import { Admission } from './admission.ts';
import { podMutators } from './admit-pod.ts';
import { podSecurity } from './admit-pod-security.ts';
import { refuseEscalation } from './admit-rbac.ts';
import { ServiceAllocator } from './admit-service.ts';
import { Authenticator } from './authentication.ts';
import { createBaseObjects, publishEndpoint } from './bootstrap.ts';
import { CertificateAuthority, generateSigningKey, type Credentials } from './certificates.ts';
import { Definitions } from './definitions.ts';
import { Deleter } from './deletion.ts';
import { expireEvents } from './event-expiry.ts';
import { Evictions } from './eviction.ts';
import { createApp, Gateway } from './gateway.ts';
import { InternalClient } from './internal-client.ts';
import { kubeconfigOf, writeKubeconfig } from './kubeconfig.ts';
import type { LocalClient } from './local-client.ts';
import type { NodeAgent } from '../node/node-agent.ts';
import { PodStreams } from './pod-streams.ts';
import { PathHandler } from './path-handler.ts';
import { Authorizer } from './rbac.ts';
import { Registry } from './registry.ts';
import { ResourceHandler } from './resource-handler.ts';
import { ReviewHandler } from './reviews.ts';
import { aggregateRoles } from './role-aggregation.ts';
import { ServiceAccountTokens } from './service-account-tokens.ts';
import { Store } from './store.ts';
import { SubresourceHandler } from './subresource-handler.ts';
import { TokenRequests } from './token-requests.ts';
import type { ResolveService } from './webhook-call.ts';
import { clusterIpOf } from './service-address.ts';
import { refuseUnsupported } from './admit-unsupported.ts';
import { Webhooks } from './webhooks.ts';
import { Writer } from './writer.ts';

const SERVER_NAMES = [
  'localhost',
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  '127.0.0.1',
  '::1',
];
const LIFETIME_MS = 365 * 24 * 3600 * 1000;
const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const SERVICE_NETWORK = '10.96';
const HEADER_BYTES_MAX = 64 * 1024;
const HEADERS_TIMEOUT_MS = 20_000;
const CONNECTIONS_MAX = 4096;
const KEEP_ALIVE_MS = 90_000;
const REQUEST_TIMEOUT_MS = 60_000; // to receive a whole request; answers such as watches may take longer

export type ApiServerOptions = {
  readonly log?: Logger;
  /** Names and addresses of the serving certificate besides the usual ones. */
  readonly names?: readonly string[];
  /** First two numbers of the /16 of cluster IPs; the first address there is Service `kubernetes`. */
  readonly serviceNetwork?: string;
  /** Finds the address behind a Service for calls to webhooks; without it the Service's cluster IP. */
  readonly resolveService?: ResolveService;
  /** How many events per resource a watch can catch up on. */
  readonly historyMax?: number;
  readonly nowMs?: () => number;
};

/** Where to listen: an address, or a socket that listens already and is inherited by its file descriptor. */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** A running API server. Nothing listens before `listen`; the in-process client works at once. */
export class ApiServer {
  readonly client: LocalClient;
  /** PEM certificate that clients verify the server with. */
  readonly caCertificate: string;
  readonly #adminCredentials: Credentials;
  readonly #serviceIP: string;
  readonly #servers = new Set<Server>();
  /** Also those that are still shaking hands, which the HTTP server does not know yet. */
  readonly #sockets = new Set<Socket>();
  readonly #createServer: () => Server;
  readonly #connectNode: (agent: NodeAgent) => void;
  readonly #stop: () => void;

  constructor(parts: {
    client: LocalClient;
    caCertificate: string;
    adminCredentials: Credentials;
    serviceIP: string;
    createServer: () => Server;
    connectNode: (agent: NodeAgent) => void;
    stop: () => void;
  }) {
    this.client = parts.client;
    this.caCertificate = parts.caCertificate;
    this.#adminCredentials = parts.adminCredentials;
    this.#serviceIP = parts.serviceIP;
    this.#createServer = parts.createServer;
    this.#connectNode = parts.connectNode;
    this.#stop = parts.stop;
  }

  /** Logs, exec, attach and port-forward go to this node; until then they answer 501. */
  connectNode(agent: NodeAgent): void {
    this.#connectNode(agent);
  }

  /** May be called several times. @returns where it listens now */
  async listen(target: ListenTarget): Promise<AddressInfo> {
    const server = this.#createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(target, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#servers.add(server);
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the server must listen on a TCP socket');
    return address;
  }

  /** Tells pods where the API is: the Service `kubernetes` with this address behind it. */
  publish(address: string, port: number): Promise<void> {
    return publishEndpoint(this.client, { serviceIp: this.#serviceIP, address, port });
  }

  /** A kubeconfig with all rights. @param server  URL such as `https://127.0.0.1:6443` */
  kubeconfig(server: string): string {
    return kubeconfigOf(server, this.caCertificate, this.#adminCredentials);
  }

  writeKubeconfig(path: string, server: string): void {
    writeKubeconfig(path, this.kubeconfig(server));
  }

  /** Ends watches, then connections. */
  async close(): Promise<void> {
    this.#stop();
    const servers = [...this.#servers];
    this.#servers.clear();
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Puts one API server together, with its own certificate authority and an empty store. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const log = options.log ?? createLogger('apiserver', 'warn');
  const nowMs = options.nowMs ?? Date.now;
  const ca = CertificateAuthority.create('tulle-sandbox-ca', nowMs());
  const { serviceNetwork = SERVICE_NETWORK } = options;
  const serviceIP = `${serviceNetwork}.0.1`;
  const names = [...new Set([...SERVER_NAMES, serviceIP, ...(options.names ?? [])])];
  const serving = ca.issue({ commonName: 'kube-apiserver', names, lifetimeMs: LIFETIME_MS }, nowMs());
  const adminCredentials = ca.issue(
    { commonName: 'kubernetes-admin', organizations: ['system:masters'], lifetimeMs: LIFETIME_MS },
    nowMs(),
  );
  const registry = new Registry();
  const store = new Store((error) => log.error({ err: error }, 'a listener of the store failed'), options.historyMax);
  const tokens = new ServiceAccountTokens(ISSUER, generateSigningKey(), store, nowMs);
  const tokenRequests = new TokenRequests(tokens, store);
  const authorizer = new Authorizer(store);
  const services = new ServiceAllocator(store, serviceNetwork);
  const webhooks = new Webhooks(store, registry, options.resolveService ?? clusterIpOf(store), log);
  const admission = new Admission(
    [...podMutators(store), services.mutate],
    [refuseEscalation(authorizer), podSecurity(store), refuseUnsupported],
    webhooks,
  );
  const writer = new Writer(store, admission, nowMs);
  const deleter = new Deleter(store, admission, nowMs);
  const client = new InternalClient(registry, store, writer, deleter, tokenRequests, nowMs);
  const podStreams = new PodStreams(store, log);
  const subresources = new SubresourceHandler({
    store,
    writer,
    evictions: new Evictions(store, registry, writer, deleter, nowMs),
    tokens: tokenRequests,
    sendLog: (pod, call) => podStreams.sendLog(pod, call),
    nowMs,
  });
  const resources = new ResourceHandler(store, writer, deleter, subresources, authorizer, nowMs);
  aggregateRoles(store);
  const expiry = expireEvents(store, nowMs);
  const definitions = new Definitions({ registry, store, writer, deleter, nowMs, log });
  const gateway = new Gateway({
    registry,
    authenticator: new Authenticator(tokens, authorizer),
    authorizer,
    resources,
    reviews: new ReviewHandler(authorizer, tokens),
    paths: new PathHandler(registry, tokens, () => `${serviceIP}:443`),
    log,
  });
  const app = await createApp(gateway);
  await createBaseObjects(client);
  return new ApiServer({
    client,
    caCertificate: ca.certificate,
    adminCredentials,
    serviceIP,
    stop: () => {
      resources.closeWatches();
      podStreams[Symbol.dispose]();
      definitions[Symbol.dispose]();
      expiry[Symbol.dispose]();
    },
    connectNode: (agent) => podStreams.connect(agent),
    createServer: () => {
      const server = createServer(
        {
          cert: serving.certificate,
          key: serving.key,
          ca: ca.certificate,
          requestCert: true,
          rejectUnauthorized: false, // tokens and anonymous requests come without a certificate; the gateway judges
          minVersion: 'TLSv1.2',
          maxHeaderSize: HEADER_BYTES_MAX,
          headersTimeout: HEADERS_TIMEOUT_MS,
          requestTimeout: REQUEST_TIMEOUT_MS,
          keepAliveTimeout: KEEP_ALIVE_MS,
        },
        (request, response) => app.routing(request, response),
      );
      server.maxConnections = CONNECTIONS_MAX;
      server.on('upgrade', (request, socket, head) => podStreams.upgrade(gateway, request, socket, head));
      return server;
    },
  });
}
