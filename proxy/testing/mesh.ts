import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from '#model/endpoint.ts';
import { createTestAuthority, type TestAuthority } from '#pki/testing.ts';
import { systemClock, type Clock } from '#runtime/clock.ts';
import { createLogger, type Logger } from '#runtime/log.ts';
import { readConfig, type Config } from '../config.ts';
import { Proxy } from '../proxy.ts';
import { Connection } from '../transport/connection.ts';
import { CONTROL_IDENTITY, TestControlPlane } from './control-plane.ts';

// Whoever keeps bytes of a read without a copy finds these in their place.
Connection.afterRead = (bytes) => void bytes.fill(0xdb);

/** Address that the applications of a test connect to. Nothing has it: the outbound proxy is told. */
export const SERVICE_IP = '10.96.0.7';
export const SERVICE_HOST = 'web.shop.svc.cluster.local';

export type ProxyOptions = {
  readonly writeAccessLog?: (line: string) => void;
  readonly name: string; // service account
  readonly env?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  readonly log?: Logger; // absent: as its LOG says, to standard error
  /** Of the collector of traces; absent: plain text. */
  readonly collectorIdentity?: string;
  /** The original destination of inbound connections that are not made to the inbound port itself. */
  readonly redirectedTo?: { readonly address: string; readonly port: number };
};

/** Proxies and a control plane in this process, on loopback, with the redirection replaced by what the test says. */
export class TestMesh implements AsyncDisposable {
  readonly control: TestControlPlane;
  readonly #folder = mkdtempSync(join(tmpdir(), 'proxy-test-'));
  readonly #proxies: Proxy[] = [];
  #target: { readonly address: string; readonly port: number } | undefined;
  /** Port at `SERVICE_IP` that outbound connections are made to. */
  servicePort = 80;

  private constructor(authority: TestAuthority) {
    this.control = new TestControlPlane(authority);
    writeFileSync(join(this.#folder, 'token'), 'token');
  }

  static async start(authority: TestAuthority = createTestAuthority()): Promise<TestMesh> {
    const mesh = new TestMesh(authority);
    await mesh.control.start();
    return mesh;
  }

  /** A running proxy, certified. */
  async proxy(options: ProxyOptions): Promise<Proxy> {
    const proxy = await this.startProxy(options);
    let isReady = false;
    void proxy.ready.then(() => {
      isReady = true;
    });
    await eventually(() => isReady, `${options.name} is certified`);
    return proxy;
  }

  async startProxy(options: ProxyOptions): Promise<Proxy> {
    const control = `127.0.0.2:${this.control.port}`;
    const env: Record<string, string> = {
      INBOUND_LISTEN_ADDR: '127.0.0.1:0',
      OUTBOUND_LISTEN_ADDR: '127.0.0.1:0',
      ADMIN_LISTEN_ADDR: '127.0.0.1:0',
      DESTINATION_SVC_ADDR: control,
      DESTINATION_SVC_NAME: CONTROL_IDENTITY,
      POLICY_SVC_ADDR: control,
      POLICY_SVC_NAME: CONTROL_IDENTITY,
      POLICY_WORKLOAD: '{"ns":"shop","pod":"test"}',
      IDENTITY_SVC_ADDR: control,
      IDENTITY_SVC_NAME: CONTROL_IDENTITY,
      IDENTITY_LOCAL_NAME: identityOf(options.name),
      IDENTITY_TRUST_ANCHORS: this.control.authority.anchorsPem,
      IDENTITY_TOKEN_FILE: join(this.#folder, 'token'),
      LOG: 'off',
      ...options.env,
    };
    const prefixed = Object.fromEntries(Object.entries(env).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
    const read = readConfig(prefixed);
    // Loopback addresses would mean plain text; here they stand for another machine.
    const overTls = { identity: CONTROL_IDENTITY };
    const { collectorIdentity } = options;
    const tracing = read.tracing && {
      ...read.tracing,
      collector: { ...read.tracing.collector, identity: collectorIdentity },
    };
    const config: Config = {
      ...read,
      tracing,
      destination: { ...read.destination, ...overTls },
      policy: { ...read.policy, ...overTls },
      identityService: { ...read.identityService, ...overTls },
    };
    const proxy = new Proxy(config, {
      log: options.log ?? createLogger(options.name, config.logLevel),
      version: 'test',
      clock: options.clock ?? systemClock,
      ...(options.writeAccessLog === undefined ? {} : { writeAccessLog: options.writeAccessLog }),
      exemption: { kind: 'uid', uid: 2102 },
      findOutboundDestination: () => this.#target ?? { address: SERVICE_IP, port: this.servicePort },
      findInboundDestination: (socket) => options.redirectedTo ?? { address: '127.0.0.1', port: socket.localPort ?? 0 },
    });
    this.#proxies.push(proxy);
    await proxy.start();
    return proxy;
  }

  /** Makes the service at `SERVICE_IP` known with these endpoints. */
  serve(endpoints: readonly Endpoint[], isOpaque = false): void {
    this.servePort(this.servicePort, endpoints, isOpaque);
  }

  /** As `serve`, at a port that outbound connections are made to from now on. */
  servePort(port: number, endpoints: readonly Endpoint[], isOpaque: boolean): void {
    this.servicePort = port;
    this.control.setEndpoints(`${SERVICE_HOST}:${port}`, endpoints);
    this.control.setProfile(`${SERVICE_IP}:${port}`, { fullyQualifiedName: SERVICE_HOST, isOpaque });
  }

  /** A GET to an address that the proxy has not seen before. */
  async freshTarget(proxy: Proxy, target: { readonly address: string; readonly port: number }): Promise<Buffer> {
    this.#target = target;
    try {
      return await exchange(proxy.outboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
    } finally {
      this.#target = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const proxy of this.#proxies) proxy[Symbol.dispose]();
    await this.control.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

export function identityOf(name: string): string {
  return `${name}.shop.serviceaccount.identity.tulle.cluster.local`;
}

/** A meshed endpoint: the application's port, reached through the proxy's inbound port. */
export function meshed(name: string, port: number, proxy: Proxy): Endpoint {
  const identity = identityOf(name);
  return {
    address: '127.0.0.1',
    port,
    weight: 10_000,
    labels: { pod: `${name}-1`, deployment: name },
    identity: { kind: 'dns', name: identity, serverName: identity },
    protocolHint: 'h2',
    opaqueTransportPort: proxy.inboundPort,
  };
}

export function unmeshed(port: number): Endpoint {
  return { address: '127.0.0.1', port, weight: 10_000, labels: { pod: 'plain-1' } };
}

export async function listen<S extends Server>(server: S): Promise<S> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

/** An application, gone with its connections at the end of the test. */
export class TestApp implements Disposable {
  readonly #server: HttpServer;
  /** Requests so far. */
  requests = 0;

  private constructor(server: HttpServer) {
    this.#server = server;
    server.on('request', () => {
      this.requests += 1;
    });
  }

  static async start(server: HttpServer): Promise<TestApp> {
    return new TestApp(await listen(server));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  [Symbol.dispose](): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Polls until it holds. @throws after the deadline */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => void setTimeout(resolve, 20));
  }
}

/** Sends bytes, ends, and returns everything that comes back. */
export function exchange(
  port: number,
  bytes: Buffer | string,
  options: { readonly isEnding?: boolean; readonly localAddress?: string } = {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    const socket: Socket = connect(
      {
        port,
        host: '127.0.0.1',
        allowHalfOpen: true,
        ...(options.localAddress !== undefined && { localAddress: options.localAddress }),
      },
      () => {
        socket.write(bytes);
        if (options.isEnding !== false) socket.end();
      },
    );
    socket.setTimeout(20_000, () => socket.destroy(new Error(`silent after ${Buffer.concat(chunks).length} bytes`)));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => {
      socket.destroy();
      resolve(Buffer.concat(chunks));
    });
  });
}
