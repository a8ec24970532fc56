import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { defaultValues } from '#config/values.ts';
import { customKind } from '#k8s/resources/custom-object.ts';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { NODES } from '#k8s/resources/node.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { SERVICES } from '#k8s/resources/service.ts';
import type { ResourceIndex, ResourceKind } from '#k8s/resource-index.ts';
import { parseAddress, parseNetwork } from '#model/address.ts';
import { parseServiceName } from '#model/service-target.ts';
import { seededRandom } from '../../test/harness/random.ts';
import { createIndexes, type Indexes, type IndexSettings } from './indexes.ts';
import { SETTINGS } from './testing.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const OPERATIONS = Number(process.env['TULLE_OPERATIONS'] ?? 10_000);
const COMPARED_EVERY = 250;

const INDEX_SETTINGS: IndexSettings = {
  ...SETTINGS,
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  probeNetworks: [parseNetwork('0.0.0.0/0')!],
  defaultInboundPolicy: defaultValues('0.0.0').proxy.defaultInboundPolicy,
  allowsRequestHeaders: false,
  globalEgressNamespace: 'global',
};

type Json = { readonly [field: string]: unknown };
const NAMESPACES = ['a', 'b', 'global'];
const SERVICE_NAMES = ['web', 'api', 'db'];
const POD_NAMES = ['p-1', 'p-2', 'p-3', 'p-4', 'p-5'];
const EXTERNAL_NAMES = ['x-1', 'x-2'];
const SERVICE_IPS = ['10.96.0.1', '10.96.0.2', '10.96.0.3', 'fd00::1'];
const POD_IPS = ['10.42.0.1', '10.42.0.2', '10.42.0.3', '10.42.0.4', 'fd01::1'];
const HOST_IPS = ['192.168.0.1', '192.168.0.2'];
const PORTS = [80, 8080, 5432];
/** Outside of the cluster. */
const OUTSIDE_IPS = ['203.0.113.1', '198.51.100.1', '2001:db8::1'];

/** Objects of a small cluster in which everything meets everything, and some are wrong. */
class Cluster {
  readonly #random: () => number;
  constructor(random: () => number) {
    this.#random = random;
  }

  one<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  some<T>(from: readonly T[], share = 0.5): readonly T[] {
    return from.filter(() => this.#random() < share);
  }

  may(share: number): boolean {
    return this.#random() < share;
  }

  service(): Json {
    const isHeadless = this.may(0.2);
    return {
      metadata: {
        annotations: {
          ...(this.may(0.2) && { 'config.linkerd.io/opaque-ports': this.one(['80', '5432', 'many']) }),
          ...(this.may(0.2) && { 'retry.linkerd.io/http': this.one(['5xx', 'sometimes']) }),
          ...(this.may(0.2) && { 'balancer.linkerd.io/failure-accrual': 'consecutive' }),
        },
      },
      spec: {
        type: this.one(['ClusterIP', 'ClusterIP', 'ClusterIP', 'NodePort', 'ExternalName']),
        clusterIPs: isHeadless ? ['None'] : this.some(SERVICE_IPS, 0.4),
        ports: this.some(PORTS).map((port) => ({
          port,
          name: `port-${port}`,
          ...(this.may(0.3) && { appProtocol: this.one(['http', 'kubernetes.io/h2c', 'linkerd.io/opaque']) }),
        })),
        ...(this.may(0.1) && { internalTrafficPolicy: 'Local' }),
      },
    };
  }

  slice(): Json {
    return {
      metadata: { labels: { 'kubernetes.io/service-name': this.one(SERVICE_NAMES) } },
      addressType: 'IPv4',
      ports: this.some(PORTS, 0.7).map((port) => ({ name: `port-${port}`, port: port + 1 })),
      endpoints: this.some(POD_IPS).map((address) => ({
        addresses: [address],
        conditions: { ready: this.may(0.8), serving: true, terminating: this.may(0.2) },
        nodeName: this.one(['n-1', 'n-2']),
        hints: { forZones: this.some(['z-1', 'z-2']).map((name) => ({ name })) },
        ...(this.may(0.8) && { targetRef: this.#targetRef() }),
        ...(this.may(0.2) && { hostname: this.one(POD_NAMES) }),
      })),
    };
  }

  pod(): Json {
    const port = this.one(PORTS);
    return {
      metadata: {
        labels: { app: this.one(SERVICE_NAMES), ...(this.may(0.7) && { 'linkerd.io/control-plane-ns': 'tulle' }) },
        annotations: this.may(0.2) ? { 'config.linkerd.io/default-inbound-policy': this.one(['deny', 'perhaps']) } : {},
      },
      spec: {
        nodeName: this.one(['n-1', 'n-2']),
        serviceAccountName: this.one(SERVICE_NAMES),
        containers: [
          { ports: [{ name: `port-${port}`, containerPort: port, ...(this.may(0.3) && { hostPort: 80 }) }] },
        ],
        hostNetwork: this.may(0.1),
      },
      status: {
        phase: this.one(['Running', 'Running', 'Running', 'Succeeded']),
        podIP: this.one(POD_IPS),
        hostIP: this.one(HOST_IPS),
      },
    };
  }

  #targetRef(): Json {
    return this.may(0.2)
      ? { kind: 'ExternalWorkload', name: this.one(EXTERNAL_NAMES) }
      : { kind: 'Pod', name: this.one(POD_NAMES) };
  }

  externalWorkload(): Json {
    const port = this.one(PORTS);
    return {
      metadata: { labels: { app: this.one(SERVICE_NAMES) } },
      spec: {
        ...(this.may(0.9) && { meshTLS: { identity: 'spiffe://root/x', serverName: this.one(['x.root', 'y.root']) } }),
        workloadIPs: this.some(POD_IPS, 0.3).map((ip) => ({ ip })),
        ports: [{ name: `port-${port}`, port }],
      },
      status: { conditions: [{ type: 'Ready', status: this.one(['True', 'False']) }] },
    };
  }

  node(): Json {
    return { metadata: { labels: { 'topology.kubernetes.io/zone': this.one(['z-1', 'z-2']) } } };
  }

  #backendRef(): Json {
    return { name: this.one([...SERVICE_NAMES, 'nobody']), port: this.one(PORTS), weight: this.one([0, 1, 9]) };
  }

  #parentRef(): Json {
    if (this.may(0.3)) return this.#egressParentRef();
    if (this.may(0.2)) return { kind: 'Server', group: 'policy.linkerd.io', name: this.one(SERVICE_NAMES) };
    return {
      kind: this.one(['Service', 'Service', 'Service', 'Gateway']),
      group: this.one(['', 'core']),
      name: this.one(SERVICE_NAMES),
      ...(this.may(0.3) && { port: this.one(PORTS) }),
      ...(this.may(0.3) && { namespace: this.one(NAMESPACES) }),
    };
  }

  #egressParentRef(): Json {
    return {
      kind: 'EgressNetwork',
      group: 'policy.linkerd.io',
      name: this.one(SERVICE_NAMES),
      ...(this.may(0.9) && { port: this.one(PORTS) }),
      ...(this.may(0.3) && { namespace: this.one(NAMESPACES) }),
    };
  }

  #connectionBackendRef(): Json {
    if (this.may(0.6)) return this.#backendRef();
    return { group: 'policy.linkerd.io', kind: 'EgressNetwork', name: this.one(SERVICE_NAMES) };
  }

  tlsRoute(): Json {
    const hostnames = this.some(['a.test', '*.test', '192.0.2.1'], 0.4);
    return { spec: { ...(this.tcpRoute()['spec'] as Json), hostnames } };
  }

  tcpRoute(): Json {
    const rule = { backendRefs: [this.#connectionBackendRef(), ...(this.may(0.5) ? [this.#backendRef()] : [])] };
    return { spec: { parentRefs: [this.#parentRef()], rules: this.may(0.9) ? [rule] : [rule, rule] } };
  }

  egressNetwork(): Json {
    const networks = this.some(['203.0.113.0/24', '203.0.0.0/8', '0.0.0.0/0', '2001:db8::/32'], 0.5).map((cidr) => ({
      cidr,
      ...(this.may(0.5) && { except: this.some(['10.0.0.0/8', '203.0.113.0/25'], 0.5) }),
    }));
    return {
      metadata: {
        annotations: this.may(0.2) ? { 'config.linkerd.io/opaque-ports': this.one(['80', '8080-9000', 'x']) } : {},
      },
      spec: {
        trafficPolicy: this.one(['Allow', 'Deny', 'Deny', 'Perhaps']),
        ...(this.may(0.7) && { networks }),
      },
    };
  }

  httpRoute(): Json {
    const value = this.one(['/a', '/a/b', 'no-slash']);
    return {
      spec: {
        parentRefs: [this.#parentRef(), ...(this.may(0.3) ? [this.#parentRef()] : [])],
        rules: this.some(['x', 'y'], 0.7).map((name) => ({
          matches: [{ path: { type: 'PathPrefix', value }, headers: [{ name, value: 'v' }] }],
          backendRefs: [this.#backendRef(), this.#backendRef()],
          ...(this.may(0.3) && { timeouts: { request: this.one(['1s', 'soon']) } }),
          ...(this.may(0.2) && {
            filters: [{ type: 'RequestMirror', requestMirror: { backendRef: this.#backendRef() } }],
          }),
        })),
      },
    };
  }

  grpcRoute(): Json {
    const matches = [{ method: { service: this.one(['echo.Echo', 'shop.Shop']) } }];
    return { spec: { parentRefs: [this.#parentRef()], rules: [{ matches, backendRefs: [this.#backendRef()] }] } };
  }

  serviceProfile(): Json {
    return {
      spec: {
        routes: this.some(['x', 'y']).map((name) => ({
          name,
          condition: { method: 'GET', pathRegex: this.one(['/x', '(']) },
        })),
        ...(this.may(0.3) && {
          dstOverrides: [{ authority: `${this.one(SERVICE_NAMES)}.a.svc.cluster.local`, weight: 1 }],
        }),
      },
    };
  }

  trafficSplit(): Json {
    const backends = this.some(SERVICE_NAMES, 0.7).map((service) => ({ service, weight: this.one([1, 2]) }));
    return { spec: { service: this.one(SERVICE_NAMES), backends } };
  }

  #podSelector(): Json {
    return this.may(0.2) ? {} : { matchLabels: { app: this.one(SERVICE_NAMES) } };
  }

  server(): Json {
    return {
      spec: {
        [this.may(0.2) ? 'externalWorkloadSelector' : 'podSelector']: this.#podSelector(),
        port: this.one([80, 8080, 'port-80']),
        ...(this.may(0.5) && { proxyProtocol: this.one(['HTTP/1', 'gRPC', 'opaque', 'telepathy']) }),
        ...(this.may(0.2) && { accessPolicy: this.one(['deny', 'all-authenticated', 'audit']) }),
      },
    };
  }

  authorizationPolicy(): Json {
    const kind = this.one(['MeshTLSAuthentication', 'NetworkAuthentication', 'ServiceAccount']);
    const targetRef = this.may(0.2)
      ? { kind: 'Namespace', name: this.one(NAMESPACES) }
      : { group: 'policy.linkerd.io', kind: this.one(['Server', 'HTTPRoute']), name: this.one(SERVICE_NAMES) };
    const ref = {
      ...(kind !== 'ServiceAccount' && { group: 'policy.linkerd.io' }),
      kind,
      name: this.one(SERVICE_NAMES),
      ...(this.may(0.3) && { namespace: this.one(NAMESPACES) }),
    };
    return { spec: { targetRef, requiredAuthenticationRefs: [ref] } };
  }

  meshTlsAuthentication(): Json {
    return { spec: { identities: this.one([['*'], ['*.a.serviceaccount.identity.tulle.cluster.local'], []]) } };
  }

  networkAuthentication(): Json {
    return { spec: { networks: [{ cidr: this.one(['10.0.0.0/8', 'everywhere']) }] } };
  }

  serverAuthorization(): Json {
    const server = this.may(0.5) ? { name: this.one(SERVICE_NAMES) } : { selector: { matchLabels: {} } };
    return { spec: { server, client: this.one([{ unauthenticated: true }, { meshTLS: { identities: ['*'] } }, {}]) } };
  }

  rateLimit(): Json {
    const targetRef = { group: 'policy.linkerd.io', kind: 'Server', name: this.one(SERVICE_NAMES) };
    return { spec: { targetRef, total: { requestsPerSecond: this.one([1, 100]) } } };
  }
}

type Kind = {
  readonly kind: ResourceKind<unknown>;
  readonly names: readonly string[];
  readonly make: (cluster: Cluster) => Json;
  readonly index: (indexes: Indexes) => ResourceIndex<never>;
};

const CUSTOM: Readonly<Record<string, { names?: readonly string[]; make: (cluster: Cluster) => Json }>> = {
  HTTPRoute: { make: (cluster) => cluster.httpRoute() },
  GRPCRoute: { make: (cluster) => cluster.grpcRoute() },
  TLSRoute: { make: (cluster) => cluster.tlsRoute() },
  TCPRoute: { make: (cluster) => cluster.tcpRoute() },
  EgressNetwork: { make: (cluster) => cluster.egressNetwork() },
  ServiceProfile: {
    names: SERVICE_NAMES.flatMap((name) => NAMESPACES.map((namespace) => `${name}.${namespace}.svc.cluster.local`)),
    make: (cluster) => cluster.serviceProfile(),
  },
  ExternalWorkload: { names: EXTERNAL_NAMES, make: (cluster) => cluster.externalWorkload() },
  TrafficSplit: { make: (cluster) => cluster.trafficSplit() },
  Server: { make: (cluster) => cluster.server() },
  ServerAuthorization: { make: (cluster) => cluster.serverAuthorization() },
  AuthorizationPolicy: { make: (cluster) => cluster.authorizationPolicy() },
  MeshTLSAuthentication: { make: (cluster) => cluster.meshTlsAuthentication() },
  NetworkAuthentication: { make: (cluster) => cluster.networkAuthentication() },
  HTTPLocalRateLimitPolicy: { make: (cluster) => cluster.rateLimit() },
};

function kindsOf(): readonly Kind[] {
  const core: readonly Kind[] = [
    { kind: SERVICES, names: SERVICE_NAMES, make: (one) => one.service(), index: ({ stores }) => stores.services },
    {
      kind: ENDPOINT_SLICES,
      names: ['s-1', 's-2', 's-3', 's-4'],
      make: (one) => one.slice(),
      index: ({ stores }) => stores.slices,
    },
    { kind: PODS, names: POD_NAMES, make: (one) => one.pod(), index: ({ stores }) => stores.pods },
    { kind: NODES, names: ['n-1', 'n-2'], make: (one) => one.node(), index: ({ stores }) => stores.nodes },
  ];
  const optional = createIndexes(INDEX_SETTINGS).optionalKinds.map((one, nth): Kind => {
    const custom = CUSTOM[one.kind];
    assert.ok(custom, `no random objects of kind ${one.kind}: add them`);
    return {
      kind: customKind(one, one.versions[0]!),
      names: custom.names ?? SERVICE_NAMES,
      make: custom.make,
      index: (indexes) => indexes.optionalKinds[nth]!.index,
    };
  });
  return [...core, ...optional];
}

/** All that somebody could watch, by what it is. */
function watchAll(indexes: Indexes): ReadonlyMap<string, () => unknown> {
  const { endpoints, profiles, inbound, outbound } = indexes;
  const watched = new Map<string, () => unknown>();
  const add = (name: readonly unknown[], { slot }: { readonly slot: { readonly value: unknown } }): void => {
    watched.set(name.join(' '), () => slot.value);
  };
  const addresses = [...SERVICE_IPS, ...POD_IPS, ...HOST_IPS, ...OUTSIDE_IPS];
  for (const port of PORTS) {
    for (const namespace of NAMESPACES) {
      const consumer = { namespace, nodeName: namespace === 'a' ? 'n-1' : 'n-2' };
      for (const ip of addresses) {
        add(['profile', ip, port, namespace], profiles.watchAddress(ip, port, consumer));
        add(['outbound', ip, port, namespace], outbound.watchAddress(parseAddress(ip)!, port, namespace));
      }
      for (const name of POD_NAMES)
        add(['inbound', name, port, namespace], inbound.watch({ kind: 'pod', namespace, name }, port));
      for (const name of EXTERNAL_NAMES)
        add(['inbound', name, port, namespace], inbound.watch({ kind: 'external-workload', namespace, name }, port));
      for (const service of SERVICE_NAMES) {
        for (const prefix of ['', 'p-1.']) {
          const name = `${prefix}${service}.${namespace}.svc.cluster.local`;
          const target = parseServiceName(name, port, 'cluster.local')!;
          add(['endpoints', name, port], endpoints.watch(target, consumer));
          add(['profile', name, port], profiles.watchName(target, consumer));
          add(['outbound', name, port], outbound.watchName(target, 'a'));
        }
      }
    }
  }
  return watched;
}

function flush({ endpoints, profiles, inbound, outbound }: Indexes): void {
  for (const index of [endpoints, profiles, inbound, outbound]) index.flush();
}

test(`any ${OPERATIONS} changes end in the state of a start with the same objects (FUZZ_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  const cluster = new Cluster(random);
  const kinds = kindsOf();
  const live = new Map<string, { readonly kind: Kind; readonly object: unknown; readonly createdAt: string }>();
  const warm = createIndexes(INDEX_SETTINGS);
  const watched = watchAll(warm);
  const shuffled = <T>(values: Iterable<T>): readonly T[] =>
    [...values]
      .map((value) => ({ value, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value);

  const compare = (operation: number): void => {
    flush(warm);
    const cold = createIndexes(INDEX_SETTINGS);
    for (const kind of shuffled(kinds)) {
      const objects = shuffled(live.values()).filter((one) => one.kind === kind);
      kind.index(cold).reset(objects.map(({ object }) => object) as never);
    }
    const expected = watchAll(cold);
    for (const [name, value] of watched) {
      const wanted = expected.get(name)!();
      if (isDeepStrictEqual(value(), wanted)) continue;
      assert.deepEqual(value(), wanted, `${name} differs from a fresh start after ${operation} operations`);
    }
  };

  for (let operation = 1; operation <= OPERATIONS; operation += 1) {
    const kind = cluster.one(kinds);
    const namespace = kind.kind.isNamespaced ? cluster.one(NAMESPACES) : '';
    const name = cluster.one(kind.names);
    const key = `${kinds.indexOf(kind)} ${namespace}/${name}`;
    const index = kind.index(warm);
    if (live.has(key) && cluster.may(0.3)) {
      live.delete(key);
      index.delete(namespace, name);
    } else {
      const made = kind.make(cluster);
      const createdAt = live.get(key)?.createdAt ?? new Date(Math.floor(random() * 4) * 1000).toISOString();
      const metadata = {
        namespace,
        name,
        creationTimestamp: createdAt,
        resourceVersion: String(operation),
        generation: operation,
        ...(made['metadata'] as Json | undefined),
      };
      const object = kind.kind.parse({ ...made, metadata });
      live.set(key, { kind, object, createdAt });
      index.apply(object as never);
      // A watch that begins again repeats what it has told.
      if (cluster.may(0.05)) index.apply(object as never);
    }
    if (cluster.may(0.02)) {
      // A list again, after a watch that was too old: nothing changes by it.
      const objects = [...live.values()].filter((one) => one.kind === kind).map((one) => one.object);
      index.reset(objects as never);
    }
    if (cluster.may(0.1)) flush(warm);
    if (operation % COMPARED_EVERY === 0) compare(operation);
  }
  compare(OPERATIONS);
});
