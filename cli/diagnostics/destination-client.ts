import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import {
  credentials,
  status,
  type ChannelCredentials,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { controlIdentity, DESTINATION, DESTINATION_PORT, POLICY_PORT } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import { DestinationClient, type DestinationProfile, type Update } from '#api/gen/destination.ts';
import { InboundServerPoliciesClient } from '#api/gen/inbound.ts';
import { OutboundPoliciesClient, type TrafficSpec } from '#api/gen/outbound.ts';
import { decodeEndpointUpdate, decodeProfile } from '#api/decode/destination.ts';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { encodeAddress } from '#api/encode/net.ts';
import { formatAddress, formatSocketAddress, type IpAddress } from '#model/address.ts';
import type { EndpointUpdate } from '#model/endpoint.ts';
import type { InboundServer } from '#model/inbound.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { Profile } from '#model/profile.ts';
import type { Cluster } from '../cluster.ts';
import { CommandError } from '../command.ts';
import { publishedAnchorsPem } from '../published-anchors.ts';

const DEADLINE_MS = 20_000;
const COMPONENT_LABEL = 'linkerd.io/control-plane-component';

/** Who asks, as proxies say it. */
export type Asker = { readonly namespace: string; readonly pod: string };

/** A local port that leads to a port of a pod, for clients that open their sockets themselves. */
class ForwardedPort implements Disposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #failure: unknown;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(cluster: Cluster, namespace: string, pod: string, port: number): Promise<ForwardedPort> {
    const server = createServer();
    const forwarded = new ForwardedPort(server);
    server.on('connection', (socket) => {
      forwarded.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      cluster.portForward(namespace, pod, port).then(
        // Either side may go first; the call that used it knows.
        (stream) =>
          void Promise.all([pipeline(socket, stream), pipeline(stream, socket)]).catch(() => socket.destroy()),
        (error: unknown) => {
          forwarded.#failure = error;
          socket.destroy();
        },
      );
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return forwarded;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Why there was no connection. */
  get failure(): unknown {
    return this.#failure;
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Asks the running destination process, as proxies do: its certificate is checked against the published trust anchors. */
export class DestinationProcess implements Disposable {
  readonly #destination: ForwardedPort;
  readonly #policy: ForwardedPort;
  readonly #credentials: ChannelCredentials;
  readonly #serverName: string;

  private constructor(destination: ForwardedPort, policy: ForwardedPort, anchorsPem: string, serverName: string) {
    this.#destination = destination;
    this.#policy = policy;
    this.#credentials = credentials.createSsl(Buffer.from(anchorsPem));
    this.#serverName = serverName;
  }

  /** @throws CommandError  when there is no such process that is ready */
  static async connect(cluster: Cluster, values: Values): Promise<DestinationProcess> {
    const { namespace } = values;
    const component = values.singleProcess ? 'control-plane' : 'destination';
    const selector = encodeURIComponent(`${COMPONENT_LABEL}=${component}`);
    const pods = await cluster.list(`/api/v1/namespaces/${namespace}/pods?labelSelector=${selector}`);
    const pod = pods.find(isReady)?.metadata.name;
    if (pod === undefined) {
      throw new CommandError(`no pod of ${component} in namespace ${namespace} is ready: see \`tulle check\``);
    }
    const anchors = await publishedAnchorsPem(cluster, namespace);
    if (anchors === undefined) throw new CommandError('there are no trust anchors yet: see `tulle check`');
    const destination = await ForwardedPort.open(cluster, namespace, pod, DESTINATION_PORT);
    const policy = await ForwardedPort.open(cluster, namespace, pod, POLICY_PORT);
    return new DestinationProcess(destination, policy, anchors, controlIdentity(values, DESTINATION));
  }

  /** The endpoints of a Service now. @param authority  `web.shop.svc.cluster.local:80` */
  async endpoints(authority: string, asker: Asker): Promise<EndpointUpdate | undefined> {
    const message = await this.#first<Update>(authority, (deadline) =>
      this.#client(DestinationClient, this.#destination).get(
        { scheme: '', path: authority, contextToken: token(asker) },
        { deadline },
      ),
    );
    return decodeEndpointUpdate(message);
  }

  /** @param authority  of a Service, or an address with a port */
  async profile(authority: string, asker: Asker): Promise<Profile> {
    const message = await this.#first<DestinationProfile>(authority, (deadline) =>
      this.#client(DestinationClient, this.#destination).getProfile(
        { scheme: '', path: authority, contextToken: token(asker) },
        { deadline },
      ),
    );
    return decodeProfile(message);
  }

  async inbound(namespace: string, pod: string, port: number): Promise<InboundServer> {
    const request = { workload: JSON.stringify({ ns: namespace, pod }), port };
    const client = this.#client(InboundServerPoliciesClient, this.#policy);
    return this.#once(
      `${namespace}/${pod}:${port}`,
      this.#policy,
      (done) => client.getPort(request, done),
      decodeInboundServer,
    );
  }

  outbound(authority: string, asker: Asker): Promise<OutboundPolicy> {
    return this.#outboundOf({ $case: 'authority', value: authority }, authority, asker);
  }

  /** The same for an address, as proxies ask. */
  outboundOfAddress(address: IpAddress, port: number, asker: Asker): Promise<OutboundPolicy> {
    const value = { ip: encodeAddress(address), port };
    return this.#outboundOf({ $case: 'addr', value }, formatSocketAddress(formatAddress(address), port), asker);
  }

  #outboundOf(target: TrafficSpec['target'], what: string, asker: Asker): Promise<OutboundPolicy> {
    const request = { sourceWorkload: token(asker), target };
    const client = this.#client(OutboundPoliciesClient, this.#policy);
    return this.#once(what, this.#policy, (done) => client.get(request, done), decodeOutboundPolicy);
  }

  [Symbol.dispose](): void {
    this.#destination[Symbol.dispose]();
    this.#policy[Symbol.dispose]();
  }

  #client<C>(
    make: new (address: string, credentials: ChannelCredentials, options: object) => C,
    port: ForwardedPort,
  ): C {
    return new make(port.address, this.#credentials, {
      'grpc.ssl_target_name_override': this.#serverName,
      'grpc.default_authority': this.#serverName,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
    });
  }

  async #once<M, T>(
    what: string,
    port: ForwardedPort,
    call: (done: (error: ServiceError | null, message: M) => void) => unknown,
    decode: (message: M) => T,
  ): Promise<T> {
    const timer = AbortSignal.timeout(DEADLINE_MS);
    const message = await new Promise<M>((resolve, reject) => {
      timer.addEventListener('abort', () =>
        reject(new CommandError(`${what}: no answer within ${DEADLINE_MS / 1000} s`)),
      );
      call((error, answer) => (error === null ? resolve(answer) : reject(callError(what, error, port))));
    });
    return decode(message);
  }

  /** The first message of a stream: the state now. */
  #first<M>(what: string, open: (deadline: number) => ClientReadableStream<M>): Promise<M> {
    return new Promise<M>((resolve, reject) => {
      const stream = open(Date.now() + DEADLINE_MS);
      stream.once('data', (message: M) => {
        resolve(message);
        stream.cancel();
      });
      stream.on('error', (error: ServiceError) => reject(callError(what, error, this.#destination)));
      stream.on('end', () => reject(new CommandError(`${what}: the control plane said nothing`)));
    });
  }
}

function callError(what: string, error: ServiceError, port: ForwardedPort): CommandError {
  if (port.failure instanceof CommandError) return port.failure;
  return new CommandError(`${what}: ${error.details === '' ? (status[error.code] ?? error.message) : error.details}`);
}

function token({ namespace, pod }: Asker): string {
  return JSON.stringify({ ns: namespace, pod });
}

function isReady(pod: { readonly [field: string]: unknown }): boolean {
  const { conditions = [] } = (pod['status'] ?? {}) as {
    conditions?: readonly { readonly type: string; readonly status: string }[];
  };
  return conditions.some(({ type, status: value }) => type === 'Ready' && value === 'True');
}
