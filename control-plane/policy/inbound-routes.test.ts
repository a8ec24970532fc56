// Routes of Servers: from objects to what a proxy decides from the message it gets.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { encodeInboundServer } from '#api/encode/inbound.ts';
import { Server } from '#api/gen/inbound.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { parseNetwork } from '#model/address.ts';
import type { Client } from '#model/authorization.ts';
import { authorizeRequest, inboundGrants } from '#model/inbound.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { Patterns } from '#runtime/pattern.ts';
import { ROUTE_KINDS } from '../dialects/route-kinds.ts';
import { InboundIndex } from './inbound-index.ts';
import { policyContext, type InboundSettings } from './inbound-policy.ts';
import { PolicyStore } from './policy-store.ts';
import { EgressNetworks } from './egress-networks.ts';
import { RouteIndex } from './route-index.ts';
import { routeStatusSources } from './route-status-source.ts';

const SUFFIX = 'serviceaccount.identity.tulle.cluster.local';
const SETTINGS: InboundSettings = {
  defaultPolicy: 'all-unauthenticated',
  opaquePorts: { ranges: [] },
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  probeNetworks: [parseNetwork('0.0.0.0/0')!],
  identitySuffix: SUFFIX,
};
const GATEWAY = 'gateway.networking.k8s.io';
const POLICY = 'policy.linkerd.io';

/** A cluster with one pod, which has a probe by HTTP and one by gRPC, as the process keeps it. */
class Cluster {
  readonly services = new ResourceStore<Service>();
  readonly routes = new RouteIndex(this.services);
  readonly policies = new PolicyStore(this.routes);
  readonly pods = new ResourceStore<Pod>();
  readonly inbound = new InboundIndex(
    { pods: this.pods, externalWorkloads: new ResourceStore() },
    this.policies,
    SETTINGS,
  );
  readonly lease = this.inbound.watch({ kind: 'pod', namespace: 'shop', name: 'web-1' }, 8080);

  constructor() {
    const probe = { httpGet: { port: 8080, path: '/ready' } };
    const pod = PODS.parse({
      metadata: { namespace: 'shop', name: 'web-1', labels: { app: 'web' } },
      spec: {
        containers: [
          { ports: [{ containerPort: 8080 }], readinessProbe: probe, livenessProbe: { grpc: { port: 8080 } } },
        ],
      },
    });
    assert.ok(pod);
    this.pods.apply(pod);
  }

  apply(group: string, kind: string, name: string, spec: object, createdAt = '2026-01-01T00:00:00Z'): CustomObject {
    const metadata = { namespace: 'shop', name, uid: `${kind}-${name}`, creationTimestamp: createdAt };
    const object = customKind({ group, kind, plural: '' }, 'v1').parse({ metadata, spec });
    assert.ok(object);
    const nth = ROUTE_KINDS.findIndex((one) => one.group === group && one.kind === kind);
    if (nth >= 0) this.routes.stores[nth]?.apply(object);
    else this.policies.kinds.find((one) => one.kind === kind)?.index.apply(object);
    return object;
  }

  remove(group: string, kind: string, name: string): void {
    const nth = ROUTE_KINDS.findIndex((one) => one.group === group && one.kind === kind);
    if (nth >= 0) this.routes.stores[nth]?.delete('shop', name);
    else this.policies.kinds.find((one) => one.kind === kind)?.index.delete('shop', name);
  }

  /** What the watching proxy answers: who let the request in, or the status that it gets. */
  ask(account: string | undefined, method: string, path: string): string {
    this.inbound.flush();
    const { value } = this.lease.slot;
    assert.ok(value);
    const server = decodeInboundServer(Server.decode(Server.encode(encodeInboundServer(value)).finish()));
    const client: Client = {
      address: '10.1.1.1',
      tls: account === undefined ? { kind: 'none' } : { kind: 'mesh', identity: `${account}.shop.${SUFFIX}` },
    };
    const matchesPattern = new Patterns(10).matches;
    const head = { method, path, query: '', host: 'web', header: () => undefined, matchesPattern };
    const { route, verdict } = authorizeRequest(server, client, head);
    if (route === undefined) return '404';
    const by = verdict.isAllowed ? `200 ${verdict.authorization.name}` : '403';
    return `${by} on ${formatResourceRef(route)}`;
  }

  server(name: string, more: object = {}): void {
    this.apply(POLICY, 'Server', name, { podSelector: { matchLabels: { app: 'web' } }, port: 8080, ...more });
  }

  policy(name: string, targetRef: object, ...accounts: readonly string[]): void {
    const requiredAuthenticationRefs = accounts.map((account) => ({ kind: 'ServiceAccount', name: account }));
    this.apply(POLICY, 'AuthorizationPolicy', name, { targetRef, requiredAuthenticationRefs });
  }
}

const PARENT = { group: POLICY, kind: 'Server', name: 'web' };

function rules(...matches: readonly object[]): object {
  return { parentRefs: [PARENT], rules: [{ matches }] };
}

describe('routes of a Server', () => {
  test('each has its own clients; those of the Server and the namespace may use all; the rest is 404, but for probes', () => {
    const cluster = new Cluster();
    cluster.server('web');
    cluster.apply(POLICY, 'HTTPRoute', 'public', rules({ path: { value: '/public' }, method: 'GET' }));
    cluster.apply(GATEWAY, 'HTTPRoute', 'deposit', rules({ path: { value: '/public' }, method: 'POST' }));
    cluster.policy('everybody', { group: POLICY, kind: 'HTTPRoute', name: 'public' });
    cluster.policy('tellers', { group: GATEWAY, kind: 'HTTPRoute', name: 'deposit' }, 'teller');
    cluster.policy('server-wide', PARENT, 'admin');
    cluster.policy('namespace-wide', { kind: 'Namespace', name: 'shop' }, 'auditor');
    const onPublic = 'httproute.policy.linkerd.io shop/public';
    const onDeposit = 'httproute.gateway.networking.k8s.io shop/deposit';
    assert.equal(cluster.ask(undefined, 'GET', '/public/1'), `200 everybody on ${onPublic}`);
    assert.equal(cluster.ask('teller', 'POST', '/public'), `200 tellers on ${onDeposit}`);
    assert.equal(cluster.ask('stranger', 'POST', '/public'), `403 on ${onDeposit}`);
    assert.equal(cluster.ask(undefined, 'POST', '/public'), `403 on ${onDeposit}`);
    assert.equal(cluster.ask('admin', 'POST', '/public'), `200 server-wide on ${onDeposit}`);
    assert.equal(cluster.ask('auditor', 'POST', '/public'), `200 namespace-wide on ${onDeposit}`);
    assert.equal(cluster.ask('admin', 'GET', '/private'), '404');
    assert.equal(cluster.ask(undefined, 'GET', '/publicity'), '404');
    assert.equal(cluster.ask(undefined, 'GET', '/ready'), '200 probe on default:probe');
    assert.equal(cluster.ask(undefined, 'POST', '/ready'), '404');
  });

  test('a route for the path of a probe, as specific as the probe, does not keep the kubelet out', () => {
    const cluster = new Cluster();
    cluster.server('web');
    const everything = rules({ path: { type: 'RegularExpression', value: '/.*' }, method: 'GET' });
    cluster.apply(POLICY, 'HTTPRoute', 'everything', everything);
    assert.equal(cluster.ask(undefined, 'GET', '/ready'), '200 probe on default:probe');
    assert.equal(cluster.ask(undefined, 'GET', '/other'), '403 on httproute.policy.linkerd.io shop/everything');
  });

  test('an exact path counts more than a prefix of the same length that is older', () => {
    const cluster = new Cluster();
    cluster.server('web');
    cluster.apply(POLICY, 'HTTPRoute', 'prefix', rules({ path: { value: '/a' } }), '2025-01-01T00:00:00Z');
    cluster.apply(POLICY, 'HTTPRoute', 'exact', rules({ path: { type: 'Exact', value: '/a' } }));
    cluster.policy('everybody', { group: POLICY, kind: 'HTTPRoute', name: 'prefix' });
    assert.equal(cluster.ask(undefined, 'GET', '/a'), '403 on httproute.policy.linkerd.io shop/exact');
    assert.equal(cluster.ask(undefined, 'GET', '/a/b'), '200 everybody on httproute.policy.linkerd.io shop/prefix');
    // A route with both comes in two parts, whose clients are told once.
    const both = rules({ path: { value: '/b' } }, { path: { type: 'Exact', value: '/c' } });
    cluster.apply(POLICY, 'HTTPRoute', 'prefix', both);
    assert.equal(cluster.ask(undefined, 'GET', '/c'), '200 everybody on httproute.policy.linkerd.io shop/prefix');
    const { value } = cluster.lease.slot;
    const grants = (value === undefined ? [] : inboundGrants(value)).map(({ route, authorization }) => [
      typeof route === 'string' ? route : route.name,
      authorization?.ref.name,
    ]);
    assert.deepEqual(grants, [
      ['probe', 'probe'],
      ['exact', undefined],
      ['prefix', 'everybody'],
      ['none', undefined],
    ]);
  });

  test('calls of gRPC have the clients of their GRPCRoute', () => {
    const cluster = new Cluster();
    cluster.server('web', { proxyProtocol: 'gRPC' });
    cluster.apply(GATEWAY, 'GRPCRoute', 'read', rules({ method: { service: 'shop.Cart', method: 'Get' } }));
    cluster.apply(GATEWAY, 'GRPCRoute', 'all', rules({ method: { service: 'shop.Cart' } }), '2025-01-01T00:00:00Z');
    cluster.policy('readers', { group: GATEWAY, kind: 'GRPCRoute', name: 'read' }, 'web');
    assert.equal(
      cluster.ask('web', 'POST', '/shop.Cart/Get'),
      '200 readers on grpcroute.gateway.networking.k8s.io shop/read',
    );
    assert.equal(cluster.ask('web', 'POST', '/shop.Cart/Put'), '403 on grpcroute.gateway.networking.k8s.io shop/all');
    assert.equal(cluster.ask('web', 'POST', '/shop.Other/Get'), '404');
  });

  test('a GRPCRoute for what probes call, as specific as the probe, does not keep the kubelet out', () => {
    const cluster = new Cluster();
    cluster.server('web', { proxyProtocol: 'gRPC' });
    const check = '/grpc.health.v1.Health/Check';
    assert.equal(cluster.ask(undefined, 'POST', check), '200 probe on default:probe');
    const health = { service: 'grpc.health.v1.Health' };
    cluster.apply(GATEWAY, 'GRPCRoute', 'check', rules({ method: { ...health, method: 'Check' } }));
    cluster.apply(GATEWAY, 'GRPCRoute', 'health', rules({ method: health }));
    assert.equal(cluster.ask(undefined, 'POST', check), '200 probe on default:probe');
    const watch = '/grpc.health.v1.Health/Watch';
    assert.equal(cluster.ask(undefined, 'POST', watch), '403 on grpcroute.gateway.networking.k8s.io shop/health');
    assert.equal(cluster.ask(undefined, 'GET', '/ready'), '404', 'there are only calls');
  });

  test('a watching proxy learns of routes that come, change and go, and a route that cannot be used changes nothing', () => {
    const cluster = new Cluster();
    cluster.server('web');
    cluster.policy('server-wide', PARENT, 'admin');
    const atDefault = '200 server-wide on default:default';
    assert.equal(cluster.ask('admin', 'GET', '/b'), atDefault);
    cluster.apply(POLICY, 'HTTPRoute', 'r', rules({ path: { value: '/a' } }));
    assert.equal(cluster.ask('admin', 'GET', '/b'), '404');
    cluster.apply(POLICY, 'HTTPRoute', 'r', rules({ path: { value: '/b' } }));
    assert.equal(cluster.ask('admin', 'GET', '/b'), '200 server-wide on httproute.policy.linkerd.io shop/r');
    cluster.apply(POLICY, 'HTTPRoute', 'r', rules({ path: { value: 'b' } }));
    assert.equal(cluster.ask('admin', 'GET', '/b'), atDefault);
    cluster.apply(POLICY, 'HTTPRoute', 'r', rules({ path: { value: '/b' } }));
    assert.match(cluster.ask('admin', 'GET', '/b'), /shop\/r$/);
    cluster.apply(POLICY, 'HTTPRoute', 'r', { ...rules({}), parentRefs: [{ ...PARENT, name: 'other' }] });
    assert.equal(cluster.ask('admin', 'GET', '/b'), atDefault);
    cluster.remove(POLICY, 'HTTPRoute', 'r');
    assert.equal(cluster.ask('admin', 'GET', '/b'), atDefault);
  });
});

test('the status of a route follows its Server, beside what it is for Services', () => {
  const cluster = new Cluster();
  const { services, routes, policies } = cluster;
  const egress = new EgressNetworks({ clusterNetworks: [], globalEgressNamespace: '' });
  const context = { services, routes, egress, clusterDomain: 'cluster.local' };
  const [source] = routeStatusSources(context, policies, policyContext(SETTINGS));
  assert.ok(source);
  const told: string[] = [];
  source.onChange((key) => told.push(key));
  const web = SERVICES.parse({
    metadata: { namespace: 'shop', name: 'web' },
    spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] },
  });
  assert.ok(web);
  services.apply(web);
  const parentRefs = [PARENT, { group: '', kind: 'Service', name: 'web' }];
  const route = cluster.apply(GATEWAY, 'HTTPRoute', 'r', { parentRefs });
  const conditions = (): readonly unknown[] => {
    const { parents } = source.statusOf(route, '2026-01-02T00:00:00Z') as {
      parents: readonly { parentRef: { kind: string }; conditions: readonly Record<string, unknown>[] }[];
    };
    const ofServerFirst = parents.toSorted((a, b) => a.parentRef.kind.localeCompare(b.parentRef.kind));
    return ofServerFirst.flatMap((parent) =>
      parent.conditions.map(({ type, status, reason, message }) =>
        [parent.parentRef.kind, type, status, reason, message].join(' '),
      ),
    );
  };
  const rest = [
    'Server ResolvedRefs True ResolvedRefs what is let in goes to the pods of the Server',
    'Service Accepted True Accepted attached to Service shop/web',
    'Service ResolvedRefs True ResolvedRefs all backends can be used',
  ];
  assert.deepEqual(conditions(), ['Server Accepted False NoMatchingParent Server shop/web does not exist', ...rest]);
  told.length = 0;
  cluster.server('web');
  assert.deepEqual(told, ['shop/r']);
  assert.deepEqual(conditions(), ['Server Accepted True Accepted attached to Server shop/web', ...rest]);
});
