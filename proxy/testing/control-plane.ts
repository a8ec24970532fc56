import { Server as GrpcServer, ServerCredentials, status, type ServerWritableStream } from '@grpc/grpc-js';
import { createServer, type Server as TlsServer, type TLSSocket } from 'node:tls';
import { encodeEndpointUpdate, encodeProfile } from '#api/encode/destination.ts';
import { encodeInboundServer } from '#api/encode/inbound.ts';
import { encodeOutboundPolicy } from '#api/encode/outbound.ts';
import { DestinationService, type DestinationProfile, type GetDestination, type Update } from '#api/gen/destination.ts';
import { IdentityService, type IdentityServer } from '#api/gen/identity.ts';
import {
  InboundServerPoliciesService,
  type InboundServerPoliciesServer,
  type PortSpec,
  type Server,
} from '#api/gen/inbound.ts';
import {
  OutboundPoliciesService,
  type OutboundPolicy as OutboundPolicyMessage,
  type TrafficSpec,
} from '#api/gen/outbound.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { InboundServer } from '#model/inbound.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { Profile } from '#model/profile.ts';
import { parseCsr } from '#pki/csr.ts';
import { issueLeaf } from '#pki/issuer.ts';
import { tlsOptions, type TestAuthority } from '#pki/testing.ts';

export const CONTROL_IDENTITY = 'control.tulle.serviceaccount.identity.tulle.cluster.local';

/** A control plane of one process, over real gRPC and TLS, whose answers a test sets. */
export class TestControlPlane implements AsyncDisposable {
  readonly authority: TestAuthority;
  leafLifetimeMs = 3_600_000;
  /** Calls of Certify so far. */
  certified = 0;
  isIdentityDown = false;
  /** How far its clock is ahead of the machine's. */
  clockAheadMs = 0;
  readonly #profiles = new Map<string, Profile>();
  readonly #endpoints = new Map<string, readonly Endpoint[]>();
  readonly #policies = new Map<number, InboundServer>();
  readonly #outbound = new Map<number, OutboundPolicyMessage>();
  readonly #outboundStreams = new Set<ServerWritableStream<TrafficSpec, OutboundPolicyMessage>>();
  readonly #profileStreams = new Set<ServerWritableStream<GetDestination, DestinationProfile>>();
  readonly #endpointStreams = new Set<ServerWritableStream<GetDestination, Update>>();
  readonly #policyStreams = new Set<ServerWritableStream<PortSpec, Server>>();
  readonly #sockets = new Set<TLSSocket>();
  #grpc: GrpcServer | undefined;
  #listener: TlsServer | undefined;
  port = 0;

  readonly #host: string;

  constructor(authority: TestAuthority, host = '127.0.0.2') {
    this.authority = authority;
    this.#host = host;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Listens; on the same port again after `stop`. */
  async start(): Promise<void> {
    const grpc = new GrpcServer();
    this.#addServices(grpc);
    const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listener = createServer(
      {
        ...tlsOptions(this.authority.leaf(CONTROL_IDENTITY)),
        ca: this.authority.anchorsPem,
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
        ALPNProtocols: ['h2'],
      },
      (socket) => {
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        socket.on('error', () => {});
        injector.injectConnection(socket);
      },
    );
    this.#listener.on('tlsClientError', () => {});
    this.#grpc = grpc;
    const listener = this.#listener;
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(this.port, this.#host, resolve);
    });
    const address = listener.address();
    if (typeof address === 'object' && address !== null) this.port = address.port;
  }

  /** Ends like a killed process: every connection is cut and nothing listens. */
  async stop(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#grpc?.forceShutdown();
    this.#profileStreams.clear();
    this.#endpointStreams.clear();
    this.#policyStreams.clear();
    this.#outboundStreams.clear();
    for (const socket of this.#sockets) socket.destroy();
    if (listener !== undefined) await new Promise<void>((resolve) => void listener.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @param address  `ip:port` that applications connect to */
  setProfile(address: string, profile: Profile): void {
    this.#profiles.set(address, profile);
    for (const stream of this.#profileStreams)
      if (stream.request.path === address) stream.write(encodeProfile(profile));
  }

  /** @param name  `host:port` of a service */
  setEndpoints(name: string, endpoints: readonly Endpoint[]): void {
    const old = this.#endpoints.get(name) ?? [];
    this.#endpoints.set(name, endpoints);
    const gone = old.filter((o) => !endpoints.some((e) => e.address === o.address && e.port === o.port));
    for (const stream of this.#endpointStreams) {
      if (stream.request.path !== name) continue;
      stream.write(encodeEndpointUpdate({ kind: 'add', endpoints, labels: { namespace: 'shop' } }));
      if (gone.length > 0) stream.write(encodeEndpointUpdate({ kind: 'remove', addresses: gone }));
    }
  }

  setPolicy(port: number, server: InboundServer): void {
    this.#policies.set(port, server);
    for (const stream of this.#policyStreams)
      if (stream.request.port === port) stream.write(encodeInboundServer(server));
  }

  /** @param port  of whatever address applications connect to */
  setOutboundPolicy(port: number, policy: OutboundPolicy): void {
    this.setOutboundMessage(port, encodeOutboundPolicy(policy));
  }

  /** As it goes over the wire, also when it makes no sense. */
  setOutboundMessage(port: number, message: OutboundPolicyMessage): void {
    this.#outbound.set(port, message);
    for (const stream of this.#outboundStreams) if (portOf(stream.request) === port) stream.write(message);
  }

  #addServices(grpc: GrpcServer): void {
    const identity: IdentityServer = {
      certify: (call, callback) => {
        if (this.isIdentityDown) {
          callback({ code: status.UNAVAILABLE, details: 'told to be down' });
          return;
        }
        this.certified += 1;
        const nowMs = Date.now() + this.clockAheadMs;
        const { publicDer } = parseCsr(call.request.certificateSigningRequest);
        const validity = { notBeforeMs: nowMs - 20_000, notAfterMs: nowMs + this.leafLifetimeMs };
        const { issuer } = this.authority;
        const leaf = issueLeaf(issuer, { publicDer, dnsName: call.request.identity, validity });
        callback(null, {
          leafCertificate: leaf.der,
          intermediateCertificates: [issuer.certificate.der],
          validUntil: new Date(leaf.notAfterMs),
        });
      },
    };
    grpc.addService(IdentityService, identity);
    grpc.addService(DestinationService, {
      getProfile: (call: ServerWritableStream<GetDestination, DestinationProfile>) => {
        const profile = this.#profiles.get(call.request.path);
        track(this.#profileStreams, call);
        if (profile === undefined) {
          call.emit('error', { code: status.INVALID_ARGUMENT, details: `nothing at ${call.request.path}` });
          return;
        }
        call.write(encodeProfile(profile));
      },
      get: (call: ServerWritableStream<GetDestination, Update>) => {
        track(this.#endpointStreams, call);
        const endpoints = this.#endpoints.get(call.request.path);
        if (endpoints !== undefined) {
          call.write(encodeEndpointUpdate({ kind: 'add', endpoints, labels: { namespace: 'shop' } }));
        }
      },
    });
    const policies: InboundServerPoliciesServer = {
      getPort: (_call, callback) => callback({ code: status.UNIMPLEMENTED }),
      watchPort: (call: ServerWritableStream<PortSpec, Server>) => {
        track(this.#policyStreams, call);
        const server = this.#policies.get(call.request.port);
        if (server !== undefined) call.write(encodeInboundServer(server));
      },
    };
    grpc.addService(InboundServerPoliciesService, policies);
    grpc.addService(OutboundPoliciesService, {
      watch: (call: ServerWritableStream<TrafficSpec, OutboundPolicyMessage>) => {
        track(this.#outboundStreams, call);
        const message = this.#outbound.get(portOf(call.request));
        if (message === undefined) call.emit('error', { code: status.NOT_FOUND, details: 'no policy' });
        else call.write(message);
      },
    });
  }
}

function portOf({ target }: TrafficSpec): number {
  return target?.$case === 'addr' ? target.value.port : 0;
}

function track<S extends ServerWritableStream<unknown, unknown>>(streams: Set<S>, stream: S): void {
  streams.add(stream);
  const forget = (): void => void streams.delete(stream);
  stream.on('cancelled', forget);
  stream.on('close', forget);
  stream.on('error', forget);
}
