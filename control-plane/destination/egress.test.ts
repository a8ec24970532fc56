// What proxies are told about addresses outside of the cluster, while objects come, change and go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { formatAddress, parseAddress, parseNetwork } from '#model/address.ts';
import { evaluateConnection, evaluateOutbound } from '#model/evaluate.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { policyContext } from '../policy/inbound-policy.ts';
import { egressStatusSource } from '../policy/egress-status-source.ts';
import { routeStatusSources } from '../policy/route-status-source.ts';
import { createIndexes } from './indexes.ts';
import { SETTINGS } from './testing.ts';

const INDEX_SETTINGS = {
  ...SETTINGS,
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  probeNetworks: [],
  defaultInboundPolicy: defaultValues('0.0.0').proxy.defaultInboundPolicy,
  allowsRequestHeaders: false,
  globalEgressNamespace: 'global',
};
const PARENT = { group: 'policy.linkerd.io', kind: 'EgressNetwork', name: 'all' };

class Cluster {
  readonly indexes = createIndexes(INDEX_SETTINGS);
  #age = 0;

  apply(kind: string, namespace: string, name: string, spec: object, annotations: object = {}): CustomObject {
    const group = kind === 'EgressNetwork' ? 'policy.linkerd.io' : 'gateway.networking.k8s.io';
    const optional = this.indexes.optionalKinds.find((one) => one.kind === kind && one.group === group);
    const creationTimestamp = new Date((this.#age += 1000)).toISOString();
    const metadata = { namespace, name, uid: `${kind} ${name}`, annotations, creationTimestamp, generation: 7 };
    const object = optional && customKind(optional, optional.versions[0]!).parse({ metadata, spec });
    assert.ok(optional && object);
    optional.index.apply(object);
    return object;
  }

  delete(kind: string, namespace: string, name: string): void {
    for (const optional of this.indexes.optionalKinds)
      if (optional.kind === kind) optional.index.delete(namespace, name);
  }

  /** Keeps an eye on an address. @returns what decides about HTTP and about other bytes, and whether the profile says opaque */
  watch(ip: string, port: number, namespace = 'shop'): () => readonly string[] {
    const address = parseAddress(ip)!;
    const { outbound, profiles } = this.indexes;
    const { slot } = outbound.watchAddress(address, port, namespace);
    const { slot: profile } = profiles.watchAddress(formatAddress(address), port, { namespace });
    const request = { method: 'GET', path: '/', query: '', host: 'a.test', header: () => undefined };
    return () => {
      outbound.flush();
      profiles.flush();
      assert.ok(slot.value.kind === 'policy' && profile.value.kind === 'profile');
      const { policy } = slot.value;
      const verdicts = [
        evaluateOutbound({ policy }, { ...request, matchesPattern: () => false }),
        evaluateConnection({ policy }, 'a.test'),
      ];
      const said = verdicts.map((verdict) => {
        if (verdict.kind !== 'routed' || verdict.decider === undefined) return verdict.kind;
        return [formatResourceRef(verdict.decider.ref), ...verdict.filters.map(({ kind }) => kind)].join(' ');
      });
      return [...said, `${policy.protocol.kind}${profile.value.profile.isOpaque ? ' opaque' : ''}`];
    };
  }
}

const FALLBACK = ['default:http', 'default:opaq', 'detect'];
const ALLOWED = ['default:http-egress-allow', 'default:tcp-egress-allow', 'detect'];
const DENIED = ['default:http-egress-deny failure', 'default:tcp-egress-deny forbidden', 'detect'];

test('networks of the own namespace come before the global ones, the more specific and then the older first', () => {
  const cluster = new Cluster();
  const said = cluster.watch('203.0.113.1', 80);
  const elsewhere = cluster.watch('203.0.113.1', 80, 'other');
  assert.deepEqual(said(), FALLBACK);
  cluster.apply('EgressNetwork', 'global', 'all', { trafficPolicy: 'Deny' });
  assert.deepEqual([said(), elsewhere()], [DENIED, DENIED]);
  cluster.apply('EgressNetwork', 'shop', 'wide', { trafficPolicy: 'Allow', networks: [{ cidr: '203.0.0.0/8' }] });
  assert.deepEqual([said(), elsewhere()], [ALLOWED, DENIED]);
  cluster.apply('EgressNetwork', 'shop', 'narrow', { trafficPolicy: 'Deny', networks: [{ cidr: '203.0.113.0/24' }] });
  assert.deepEqual(said(), DENIED);
  cluster.apply('EgressNetwork', 'shop', 'younger', { trafficPolicy: 'Allow', networks: [{ cidr: '203.0.113.0/24' }] });
  assert.deepEqual(said(), DENIED);
  cluster.delete('EgressNetwork', 'shop', 'narrow');
  assert.deepEqual(said(), ALLOWED);
  cluster.delete('EgressNetwork', 'shop', 'younger');
  // It holds another address now: the global network does not count for the namespace all the same.
  cluster.apply('EgressNetwork', 'shop', 'wide', { trafficPolicy: 'Deny', networks: [{ cidr: '198.51.100.0/24' }] });
  assert.deepEqual(said(), FALLBACK);
  // One that is not in effect is none.
  cluster.apply('EgressNetwork', 'shop', 'wide', { trafficPolicy: 'Allow', networks: [{ cidr: '0.0.0.0/0' }] });
  assert.deepEqual(said(), DENIED);
});

test('routes of a port stand before the network, of one kind at a time, and go with it', () => {
  const cluster = new Cluster();
  cluster.apply('EgressNetwork', 'shop', 'all', { trafficPolicy: 'Deny' });
  const said = cluster.watch('203.0.113.1', 443);
  const other = cluster.watch('203.0.113.1', 80);
  const parentRefs = [{ ...PARENT, port: 443 }];
  const backendRefs = [PARENT];
  cluster.apply('TCPRoute', 'shop', 't', { parentRefs, rules: [{ backendRefs }] });
  const byTcp = 'tcproute.gateway.networking.k8s.io shop/t';
  assert.deepEqual(said(), [byTcp, byTcp, 'opaque']);
  cluster.apply('TLSRoute', 'shop', 'l', { parentRefs, hostnames: ['b.test'], rules: [{ backendRefs }] });
  assert.deepEqual(said(), ['no-route', 'default:tls-egress-deny forbidden', 'tls']);
  cluster.apply('TLSRoute', 'shop', 'l', { parentRefs, hostnames: ['*.test'], rules: [{ backendRefs }] });
  assert.deepEqual(said(), ['no-route', 'tlsroute.gateway.networking.k8s.io shop/l', 'tls']);
  cluster.apply('HTTPRoute', 'shop', 'h', {
    parentRefs,
    rules: [{ matches: [{ path: { value: '/b' } }], backendRefs }],
  });
  assert.deepEqual(said(), DENIED);
  cluster.apply('HTTPRoute', 'shop', 'h', { parentRefs, rules: [{ backendRefs }] });
  const [byHttp] = said();
  assert.equal(byHttp, 'httproute.gateway.networking.k8s.io shop/h');
  cluster.apply('GRPCRoute', 'shop', 'g', {
    parentRefs,
    rules: [{ matches: [{ method: { service: 'S' } }], backendRefs }],
  });
  assert.equal(said()[2], 'grpc');
  assert.deepEqual(other(), DENIED);
  cluster.delete('GRPCRoute', 'shop', 'g');
  assert.equal(said()[0], byHttp);
  cluster.delete('EgressNetwork', 'shop', 'all');
  assert.deepEqual(said(), FALLBACK);
});

test('profile and policy agree on what is opaque', () => {
  const cluster = new Cluster();
  const [redis, web] = [cluster.watch('203.0.113.1', 6379), cluster.watch('203.0.113.1', 80)];
  assert.equal(web()[2], 'detect');
  cluster.apply('EgressNetwork', 'shop', 'all', { trafficPolicy: 'Deny' });
  assert.deepEqual([redis()[2], web()[2]], ['opaque opaque', 'detect']);
  const annotations = { 'config.linkerd.io/opaque-ports': '80' };
  cluster.apply('EgressNetwork', 'shop', 'all', { trafficPolicy: 'Deny' }, annotations);
  assert.deepEqual([redis()[2], web()[2]], ['detect', 'opaque opaque']);
});

test('statuses follow networks and routes, and keep what others have written', () => {
  const cluster = new Cluster();
  const { stores, routes, egress, policies, inboundSettings } = cluster.indexes;
  const context = { services: stores.services, routes, egress, clusterDomain: 'cluster.local' };
  const sources = routeStatusSources(context, policies, policyContext(inboundSettings));
  const told: string[] = [];
  for (const source of sources) source.onChange((key) => told.push(key));
  const rules = [{ backendRefs: [PARENT] }];
  const spec = { parentRefs: [{ ...PARENT, port: 443 }], hostnames: ['a.test'], rules };
  const route = cluster.apply('TLSRoute', 'shop', 'l', spec);
  const source = sources.find(({ get }) => get('shop/l') === route);
  const conditions = (): readonly string[] => {
    assert.ok(source);
    const { parents } = source.statusOf(route, '2026-01-02T00:00:00Z') as {
      parents: readonly { conditions: readonly Record<string, string>[] }[];
    };
    return parents.flatMap((parent) =>
      parent.conditions.map(({ status, reason, message }) => `${status} ${reason} ${message}`),
    );
  };
  const resolved = 'True ResolvedRefs all backends can be used';
  assert.deepEqual(conditions(), ['False NoMatchingParent EgressNetwork shop/all not found', resolved]);
  told.length = 0;
  const network = cluster.apply('EgressNetwork', 'shop', 'all', { trafficPolicy: 'Deny' });
  assert.deepEqual(told, ['shop/l']);
  assert.deepEqual(conditions(), ['True Accepted attached to EgressNetwork shop/all', resolved]);

  const { statusOf } = egressStatusSource(egress);
  const accepted = {
    type: 'Accepted',
    status: 'True',
    reason: 'Accepted',
    message: 'connections without a route are denied',
    observedGeneration: 7,
    lastTransitionTime: 'now',
  };
  const foreign = { type: 'Foreign', status: 'True' };
  assert.deepEqual(statusOf(network, 'now'), { conditions: [accepted] });
  const before = { ...network, status: { conditions: [accepted, foreign] } };
  assert.deepEqual(statusOf(before, 'later'), { conditions: [accepted, foreign] });
  const bad = { ...before, spec: { trafficPolicy: 'Deny', networks: [{ cidr: '10.1.0.0/16' }] } };
  const message =
    '10.1.0.0/16 is part of the cluster, which has 10.0.0.0/8 (value clusterNetworks): name only what is outside';
  const refused = { ...accepted, status: 'False', reason: 'EgressReasonNetworkOverlap', message };
  assert.deepEqual(statusOf(bad, 'later'), { conditions: [{ ...refused, lastTransitionTime: 'later' }, foreign] });
});
