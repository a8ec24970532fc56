import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { bundleAll } from '../../control-plane/install/bundle.ts';
import { networkMatches } from '#model/authorization.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { HttpRule } from '#model/route.ts';
import { inNetns } from '#netlink/namespace.ts';
import { openTcpSocket } from '#netlink/tcp-socket.ts';
import type { TestHost } from '#netlink/testing.ts';
import { createTestAuthority } from '#pki/testing.ts';
import { memoryOf } from '../bench/measure.ts';
import { startOurs, writeToken } from '../bench/pair.ts';
import type { Place } from '../bench/place.ts';
import { CONTROL_PORT, SERVICE_HOST, SERVICE_IP, SERVICE_PORTS } from '../bench/service.ts';
import { TestControlPlane } from '../testing/control-plane.ts';
import { identityOf } from '../testing/mesh.ts';
import { Backend, PORTS, Seen } from './backends.ts';
import { Counters, parseMetrics, type SampleLine } from './counters.ts';
import type { Holding } from './growth.ts';
import { collectAndMeasure } from './inspector.ts';

const LEAF_LIFETIME_MS = 60_000;
export const BACKENDS = 6;
export const ENDPOINTS_MIN = 3;
/** Longest time from the first byte of a request to the end of its answer. */
const REQUEST_MS = 3_000;
const ATTEMPT_MS = 1_000;
const ADMIN_PORT = 4191;
const MIB = 1024 * 1024;

export type Side = 'out' | 'in';

/** One of the two proxies, with what has been read of it. */
export type Watched = {
  readonly side: Side;
  readonly host: TestHost;
  readonly child: ChildProcess;
  readonly counters: Counters;
  readonly holdings: Holding[];
  /** The page read last. */
  page: readonly SampleLine[];
};

/** A pair of proxies as they are shipped, their control plane, and applications. */
export class Mesh {
  readonly place: Place;
  readonly control: TestControlPlane;
  readonly seen = new Seen();
  readonly backends: readonly Backend[];
  readonly proxies: readonly [outbound: Watched, inbound: Watched];

  private constructor(
    place: Place,
    control: TestControlPlane,
    backends: readonly Backend[],
    seen: Seen,
    proxies: Mesh['proxies'],
  ) {
    this.place = place;
    this.control = control;
    this.backends = backends;
    this.seen = seen;
    this.proxies = proxies;
  }

  static async start(place: Place): Promise<Mesh> {
    await bundleAll();
    writeToken(place);
    const control = new TestControlPlane(createTestAuthority(), ''); // no address: with one it would listen at home
    control.port = CONTROL_PORT;
    control.leafLifetimeMs = LEAF_LIFETIME_MS;
    configure(control);
    await inNetns(place.server.netns, () => control.start());
    const seen = new Seen();
    const backends = Array.from({ length: BACKENDS }, (_, number) => new Backend(place.server.netns, number, seen));
    for (const backend of backends) await backend.start();
    const { anchorsPem } = control.authority;
    const proxy = async (side: Side, host: TestHost, name: string, ports: readonly number[]): Promise<Watched> => {
      const child = await startOurs(place, { host, name, anchorsPem, ports });
      return { side, host, child, counters: new Counters(), holdings: [], page: [] };
    };
    const inbound = await proxy('in', place.server, 'web', applicationPorts());
    const outbound = await proxy('out', place.client, 'client', []);
    const mesh = new Mesh(place, control, backends, seen, [outbound, inbound]);
    mesh.setEndpoints(backends.map(({ number }) => number));
    return mesh;
  }

  /** @param numbers  of the applications that the Service has */
  setEndpoints(numbers: readonly number[]): void {
    for (const kind of ['http', 'http2', 'opaque'] as const) {
      const endpoints = numbers.map((number): Endpoint => ({
        address: this.place.server.ipv4,
        port: PORTS[kind] + number,
        weight: 10_000,
        labels: { deployment: 'web', pod: `web-${number}`, namespace: 'shop' },
        identity: { kind: 'dns', name: identityOf('web'), serverName: identityOf('web') },
        protocolHint: kind === 'opaque' ? 'opaque' : 'h2',
        opaqueTransportPort: 4143,
      }));
      this.control.setEndpoints(authorityOf(kind), endpoints);
    }
  }

  /** Gone for a while, with all its connections. */
  async stopControlPlane(): Promise<() => Promise<void>> {
    await this.control.stop();
    return () => inNetns(this.place.server.netns, () => this.control.start());
  }

  /** Resets the connections of a pod that have the port, on either side. */
  async cut(host: TestHost, port: number): Promise<void> {
    for (const filter of ['dport', 'sport']) {
      const child = inNetns(host.netns, () =>
        spawn('ss', ['--kill', '--tcp', 'state', 'established', filter, '=', `:${port}`], { stdio: 'ignore' }),
      );
      await new Promise((resolve) => void child.once('close', resolve));
    }
  }

  /** Reads the metrics of both proxies. */
  async scrape(): Promise<void> {
    for (const proxy of this.proxies) {
      proxy.page = parseMetrics(await this.page(proxy, '/metrics'));
      proxy.counters.add(proxy.page);
    }
  }

  /** Notes what both proxies hold after a collection of garbage. */
  async weigh(): Promise<void> {
    for (const proxy of this.proxies) proxy.holdings.push(await weigh(proxy));
  }

  /** A page of the admin endpoint. */
  page({ host }: Watched, path: string): Promise<string> {
    const connect = () =>
      inNetns(host.netns, () => openTcpSocket(false)).connect({ host: host.ipv4, port: ADMIN_PORT });
    return new Promise((resolve, reject) => {
      const asked = request({ path, createConnection: connect, headers: { host: 'proxy' } }, (response) => {
        const chunks: Uint8Array[] = [];
        response.on('error', reject);
        response.on('data', (chunk: Uint8Array) => chunks.push(chunk));
        response.on('end', () => resolve(Buffer.concat(chunks).toString()));
      });
      asked.on('error', reject);
      asked.end();
    });
  }
}

export async function weigh({ child, host }: Watched): Promise<Holding> {
  const { pid = 0 } = child;
  const use = await collectAndMeasure(pid, host.netns);
  const { rss, uss } = memoryOf([pid]);
  return {
    resident: rss,
    private: uss,
    heap: use.heapUsed / MIB,
    buffers: use.external / MIB,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  };
}

/** Sum of a gauge over the page read last. */
export function gauge({ page }: Watched, name: string, labels: Readonly<Record<string, string>> = {}): number {
  return page
    .filter((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

function applicationPorts(): readonly number[] {
  return Object.values(PORTS).flatMap((port) => Array.from({ length: BACKENDS }, (_, number) => port + number));
}

function authorityOf(kind: keyof typeof PORTS): string {
  return `${SERVICE_HOST}:${SERVICE_PORTS[kind]}`;
}

function configure(control: TestControlPlane): void {
  const ref: ResourceRef = { type: 'resource', group: 'core', kind: 'Service', name: 'web', namespace: 'shop' };
  for (const kind of ['http', 'http2', 'opaque'] as const) {
    const port = SERVICE_PORTS[kind];
    control.setProfile(`${SERVICE_IP}:${port}`, { fullyQualifiedName: SERVICE_HOST, isOpaque: kind === 'opaque' });
    if (kind !== 'opaque') control.setOutboundPolicy(port, policy(ref, authorityOf(kind)));
  }
  for (const port of applicationPorts())
    control.setPolicy(port, {
      ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'Server', name: 'web', namespace: 'shop' },
      protocol: port >= PORTS.opaque ? { kind: 'opaque' } : { kind: 'detect', timeoutMs: 10_000, routes: [] },
      authorizations: [
        {
          ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'AuthorizationPolicy', name: 'friends' },
          networks: networkMatches(['0.0.0.0/0']),
          authentication: { kind: 'identities', names: [identityOf('client')], suffixes: [] },
        },
      ],
    });
}

/** All is retried but below /once, with limits that a stalled application exceeds. */
function policy(service: ResourceRef, authority: string): OutboundPolicy {
  const backend = { backend: { ref: service, target: { kind: 'balancer', authority } }, filters: [] } as const;
  const rule = (path: string, isRetried: boolean): HttpRule => ({
    matches: [{ path: { kind: 'prefix', value: path }, headers: [], queryParams: [] }],
    filters: [],
    distribution: { kind: 'first-available', backends: [backend] },
    timeouts: { requestMs: REQUEST_MS },
    allowsRequestHeaders: false,
    ...(isRetried && {
      retry: {
        maxRetries: 2,
        maxRequestBytes: 65_536,
        conditions: [{ min: 500, max: 599 }],
        timeoutMs: ATTEMPT_MS,
      },
    }),
  });
  return {
    ref: service,
    protocol: {
      kind: 'detect',
      timeoutMs: 10_000,
      opaque: {
        ref: { type: 'default', name: 'opaque' },
        filters: [],
        distribution: { kind: 'first-available', backends: [backend] },
      },
      routes: (['/once', '/'] as const).map((path, index) => ({
        ref: {
          type: 'resource',
          group: 'gateway.networking.k8s.io',
          kind: 'HTTPRoute',
          name: `route-${index}`,
          namespace: 'shop',
        },
        hosts: [],
        rules: [rule(path, path === '/')],
      })),
      failureAccrual: {
        kind: 'consecutive',
        maxFailures: 7,
        backoff: { minMs: 1_000, maxMs: 10_000, jitterRatio: 0.5 },
      },
    },
  };
}
