import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveCluster } from './testing.ts';

const POLICY = 'policy.linkerd.io';
const TARGET = { group: POLICY, kind: 'Server', name: 'web' };
const SERVER = { podSelector: { matchLabels: { app: 'web' } }, port: 8080 };

function codesOf(cluster: LiveCluster, object: Parameters<LiveCluster['effects']['of']>[0]): readonly string[] {
  return (cluster.effects.of(object) ?? assert.fail('not looked at')).map(({ code, subject }) => `${code} ${subject}`);
}

test('what is missing is said, and no longer when it comes; an object that has changed is not judged by what it was', async () => {
  const cluster = new LiveCluster();
  const spec = { targetRef: TARGET, requiredAuthenticationRefs: [] };
  const policy = cluster.object(POLICY, 'AuthorizationPolicy', 'shop', 'p', spec);
  assert.equal(cluster.effects.of(policy), undefined);
  await cluster.pass(1_000);
  assert.deepEqual(codesOf(cluster, policy), ['TL0203 spec.targetRef']);
  cluster.object(POLICY, 'Server', 'shop', 'web', SERVER);
  await cluster.pass(2_000);
  assert.deepEqual(codesOf(cluster, policy), []);
  const changed = cluster.object(POLICY, 'AuthorizationPolicy', 'shop', 'p', spec, { generation: 2 });
  assert.equal(cluster.effects.of(changed), undefined);
});

test('service accounts are known: one that does not exist is told, and no longer when it comes', async () => {
  const cluster = new LiveCluster();
  cluster.object(POLICY, 'Server', 'shop', 'web', SERVER);
  const required = [{ kind: 'ServiceAccount', name: 'client' }];
  const policy = cluster.object(POLICY, 'AuthorizationPolicy', 'shop', 'p', {
    targetRef: TARGET,
    requiredAuthenticationRefs: required,
  });
  const limit = cluster.object(POLICY, 'HTTPLocalRateLimitPolicy', 'shop', 'l', {
    targetRef: TARGET,
    overrides: [{ requestsPerSecond: 1, clientRefs: required }],
  });
  const both = (): unknown => [codesOf(cluster, policy), codesOf(cluster, limit)];
  await cluster.pass(1_000);
  assert.deepEqual(both(), [[], []]); // nothing is known of accounts yet
  cluster.serviceAccounts.reset([{ namespace: 'other', name: 'client' }]);
  await cluster.pass(5_000);
  const missing = [['TL0209 spec.requiredAuthenticationRefs[0]'], ['TL0209 spec.overrides[0].clientRefs[0]']];
  assert.deepEqual(both(), missing); // the whole namespace does not exist
  cluster.serviceAccounts.apply({ namespace: 'shop', name: 'default' });
  await cluster.pass(5_000);
  assert.deepEqual(both(), missing);
  cluster.serviceAccounts.apply({ namespace: 'shop', name: 'client' });
  await cluster.pass(5_000);
  assert.deepEqual(both(), [[], []]);
  cluster.serviceAccounts.delete('shop', 'client');
  await cluster.pass(5_000);
  assert.deepEqual(both(), missing);
});

test('the workload of pods is named, not the pods', async () => {
  const cluster = new LiveCluster();
  const probe = { readinessProbe: { httpGet: { port: 8080, path: '/ready' } } };
  for (const nth of [1, 2, 3]) cluster.pod('shop', 'web', nth, probe);
  const server = cluster.object(POLICY, 'Server', 'shop', 'web', { ...SERVER, proxyProtocol: 'opaque' });
  await cluster.pass(1_000);
  const [found] = cluster.effects.of(server) ?? [];
  assert.equal(found?.code, 'TL0210');
  assert.match(found.message, /GET \/ready of Deployment shop\/web, port 8080, is refused/);
});

test('a port that leads past the proxy is told as soon as pods have it', async () => {
  const cluster = new LiveCluster();
  cluster.pod('shop', 'web', 1);
  const server = cluster.object(POLICY, 'Server', 'shop', 'web', SERVER);
  await cluster.pass(1_000);
  assert.deepEqual(codesOf(cluster, server), []);
  cluster.pod('shop', 'web', 1, {}, 'abc', { 'config.linkerd.io/skip-inbound-ports': '8000-8090' });
  await cluster.pass(5_000);
  assert.deepEqual(codesOf(cluster, server), ['TL0505 spec.port']);
});

test('replicas, new templates that are alike, and written statuses are no reason to look again', async () => {
  const cluster = new LiveCluster();
  cluster.pod('shop', 'web', 1);
  const server = cluster.object(POLICY, 'Server', 'shop', 'web', SERVER);
  await cluster.pass(1_000);
  assert.equal(cluster.looked.length, 1);
  for (let nth = 2; nth < 50; nth += 1) cluster.pod('shop', 'web', nth);
  cluster.pod('shop', 'web', 1, {}, 'def');
  cluster.pods.delete('shop', 'web-abc-1');
  cluster.object(POLICY, 'Server', 'shop', 'web', SERVER, { status: { conditions: [] } });
  await cluster.pass(5_000);
  assert.equal(cluster.looked.length, 1);
  cluster.pod('shop', 'web', 99, { ports: [{ name: 'other', containerPort: 9090 }] });
  await cluster.pass(5_000);
  assert.equal(cluster.looked.length, 2);
  assert.deepEqual(codesOf(cluster, server), []);
});

test('nobody looks where nobody wants to know; who begins to want is told everything', async () => {
  const cluster = new LiveCluster();
  cluster.isWanted = false;
  const told: string[][] = [];
  cluster.effects.onLooked((changed) => told.push([...changed]));
  cluster.object(POLICY, 'Server', 'shop', 'web', SERVER);
  await cluster.pass(10_000);
  assert.deepEqual([cluster.looked.length, told.length, cluster.effects.counts().size], [0, 0, 0]);
  cluster.isWanted = true;
  cluster.effects.restart();
  await cluster.pass(1_000);
  assert.deepEqual(told, [[`Server.${POLICY} shop/web`]]);
});

test('in a cluster of 500 Services with 5000 pods the rules cost little, however much changes', async () => {
  const cluster = new LiveCluster();
  for (let nth = 0; nth < 500; nth += 1) {
    const [namespace, name] = [`ns-${nth % 25}`, `app-${nth}`];
    cluster.service(namespace, name);
    for (let replica = 0; replica < 10; replica += 1) cluster.pod(namespace, name, replica);
    const podSelector = { matchLabels: { app: name } };
    cluster.object(POLICY, 'Server', namespace, name, { podSelector, port: 'http', proxyProtocol: 'HTTP/1' });
    cluster.object(POLICY, 'AuthorizationPolicy', namespace, name, {
      targetRef: { ...TARGET, name },
      requiredAuthenticationRefs: [{ group: POLICY, kind: 'MeshTLSAuthentication', name }],
    });
    cluster.object(POLICY, 'MeshTLSAuthentication', namespace, name, { identities: [`client.${namespace}.x`] });
    cluster.object('gateway.networking.k8s.io', 'HTTPRoute', namespace, name, {
      parentRefs: [{ group: '', kind: 'Service', name }],
      rules: [1, 2, 3].map((rule) => ({
        matches: [{ path: { type: 'PathPrefix', value: `/${rule}` } }],
        backendRefs: [{ name, port: 80 }],
      })),
    });
  }
  await cluster.pass(1_000);
  assert.deepEqual([...cluster.effects.counts()], []);
  const seconds = 30;
  for (let change = 0; change < seconds * 50; change += 1) {
    const nth = change % 500;
    cluster.object(
      POLICY,
      'MeshTLSAuthentication',
      `ns-${nth % 25}`,
      `app-${nth}`,
      { identities: [`client-${change}.x`] },
      { generation: change + 2 },
    );
    await cluster.pass(20);
  }
  const spent = cluster.looked.slice(1);
  assert.ok(spent.length >= 1 && spent.length <= seconds, `${spent.length} times`);
  // A twentieth of the time, and what was begun at its end; a busy machine makes each take longer, and all of them rarer.
  const total = spent.reduce((sum, ms) => sum + ms, 0);
  const most = seconds * 1_000 * 0.05 + 2 * Math.max(...cluster.looked);
  assert.ok(total < most, `${Math.round(total)} of ${Math.round(most)} ms in ${seconds} s, ${spent.length} times`);
});
