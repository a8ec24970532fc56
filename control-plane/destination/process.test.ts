// Identity and destination as they run in a cluster: their service accounts, exactly their rights, TLS between all.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { status, type ClientReadableStream } from '@grpc/grpc-js';
import { decodeEndpointUpdate, decodeProfile } from '#api/decode/destination.ts';
import { encodeSocketAddress } from '#api/encode/net.ts';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { asObject } from '#k8s/json.ts';
import { eventually } from '#k8s/testing.ts';
import type { EndpointUpdate } from '#model/endpoint.ts';
import { STATUS_LEASE } from '#config/names.ts';
import { defaultValues } from '#config/values.ts';
import { renderCrds } from '../install/render.ts';
import { podAddress, podObject, serviceObject, sliceObject } from './testing.ts';
import { collect, SERVER_NAME, startControlPlane } from './testing-process.ts';

const asked = (path: string) => ({ scheme: '', path, contextToken: '' });

test('discovery and policy follow the cluster, over TLS and with no more rights than the manifest grants', async () => {
  await using all = await startControlPlane();
  const { client } = all.cluster.server;
  const get = collect(all.clients.destination.get(asked('web.shop.svc.cluster.local:80')), decodeEndpointUpdate);
  await eventually('the first answer', () => get.seen.length === 1);
  assert.deepEqual(get.seen[0], { kind: 'none', exists: false });

  await client.create(
    'services',
    serviceObject('web', '10.96.0.7', [{ name: 'http', port: 80, targetPort: 8080 }]) as never,
  );
  await all.cluster.token('shop', 'web'); // makes the service account
  const pod = podObject('web-1', '10.42.0.1', { spec: { containers: [{ name: 'web', image: 'web' }] } });
  await client.create('pods', {
    ...pod,
    metadata: { ...asObject(pod['metadata']), ownerReferences: [], name: 'web-1' },
  });
  await client.patch(
    'pods',
    'shop',
    'web-1',
    'merge',
    { status: { podIP: '10.42.0.1', podIPs: [{ ip: '10.42.0.1' }] } },
    'status',
  );
  const slice = sliceObject('web-x', 'web', [{ name: 'http', port: 8080 }], [podAddress('web-1', '10.42.0.1')]);
  await client.create('endpointslices.discovery.k8s.io', slice as never);
  const last = (): EndpointUpdate | undefined => get.seen.at(-1);
  const identity = (): string | undefined => {
    const update = last();
    return update?.kind === 'add' ? update.endpoints[0]?.identity?.name : undefined;
  };
  await eventually('the endpoint', () => identity() === 'web.shop.serviceaccount.identity.tulle.cluster.local', 1500);

  const profiles = ['10.96.0.7:80', '10.42.0.1:8080', '8.8.8.8:443'].map((path) =>
    collect(all.clients.destination.getProfile(asked(path)), decodeProfile),
  );
  await eventually('all profiles', () => profiles.every(({ seen }) => seen.length > 0));
  assert.equal(profiles[0]?.seen[0]?.fullyQualifiedName, 'web.shop.svc.cluster.local');
  assert.equal(profiles[1]?.seen[0]?.endpoint?.opaqueTransportPort, 4143);
  assert.equal(profiles[2]?.seen[0]?.endpoint?.identity, undefined);

  const workload = '{"ns":"shop","pod":"web-1"}\n';
  const policy = collect(all.clients.policy.watchPort({ workload, port: 8080 }), decodeInboundServer);
  await eventually('the policy', () => policy.seen.length === 1);
  assert.equal(policy.seen[0]?.ref.name, 'all-unauthenticated');
  const address = encodeSocketAddress('10.96.0.7', 80);
  const spec = { sourceWorkload: workload, target: { $case: 'addr', value: address } } as const;
  const outbound = collect(all.clients.outbound.watch(spec), (message) => message.protocol?.kind?.$case);
  await eventually('the outbound policy', () => outbound.seen[0] === 'detect');

  const annotations = { 'config.linkerd.io/default-inbound-policy': 'deny' };
  await client.patch('pods', 'shop', 'web-1', 'merge', { metadata: { annotations } });
  await eventually('the new policy', () => policy.seen.at(-1)?.ref.name === 'deny', 1500);

  await client.delete('endpointslices.discovery.k8s.io', 'shop', 'web-x');
  await eventually('no endpoints', () => last()?.kind === 'none', 1500);

  const admin = await fetch(`http://127.0.0.1:${all.destination.adminPort}/metrics`);
  assert.match(await admin.text(), /grpc_streams_open\{method="get_profile"\} 3/);
  const ready = await fetch(`http://127.0.0.1:${all.destination.adminPort}/ready`);
  assert.equal(ready.status, 200);

  await all.destination.stop();
  await eventually('the ends of all streams', () => [get, policy, ...profiles].every(({ end }) => end() !== undefined));
  assert.deepEqual(
    [get, policy, ...profiles].map(({ end }) => end()),
    ['OK', 'OK', 'OK', 'OK', 'OK'],
  );
  const lease = client.get('leases.coordination.k8s.io', 'tulle', STATUS_LEASE);
  assert.equal(asObject(lease?.['spec'])['holderIdentity'], '', 'the next process writes statuses at once');
});

test('what only findings look at keeps no proxy waiting', async () => {
  await using all = await startControlPlane(['serviceaccounts']);
  const get = collect(all.clients.destination.get(asked('web.shop.svc.cluster.local:80')), decodeEndpointUpdate);
  await eventually('the first answer', () => get.seen.length === 1);
  assert.deepEqual(all.destination.notReady(), []);
  const metrics = await (await fetch(`http://127.0.0.1:${all.destination.adminPort}/metrics`)).text();
  assert.match(metrics, /^kube_informer_steps_total\{kind="serviceaccounts",step="failure"\} [1-9]/m);
  const lease = all.cluster.server.client.get('leases.coordination.k8s.io', 'tulle', STATUS_LEASE);
  assert.equal(lease, undefined, 'who does not know everything writes no statuses');
});

test('policy objects change what a watched port allows within a second, once their definitions are there', async () => {
  await using all = await startControlPlane();
  const { client } = all.cluster.server;
  await all.cluster.token('shop', 'web'); // makes the service account
  const pod = podObject('web-1', '10.42.0.1', { spec: { containers: [{ name: 'web', image: 'web' }] } });
  await client.create('pods', { ...pod, metadata: { namespace: 'shop', name: 'web-1', labels: { app: 'web' } } });
  const workload = '{"ns":"shop","pod":"web-1"}\n';
  const policy = collect(all.clients.policy.watchPort({ workload, port: 8080 }), decodeInboundServer);
  await eventually('the default policy', () => policy.seen.at(-1)?.ref.name === 'all-unauthenticated');

  for (const definition of renderCrds(defaultValues('0.0.0')).filter(({ metadata }) =>
    metadata.name.endsWith('policy.linkerd.io'),
  ))
    await client.create('customresourcedefinitions.apiextensions.k8s.io', definition);
  const create = (plural: string, version: string, kind: string, name: string, spec: object) =>
    client.create(`${plural}.policy.linkerd.io`, {
      apiVersion: `policy.linkerd.io/${version}`,
      kind,
      metadata: { namespace: 'shop', name },
      spec,
    });
  const authorizations = () => policy.seen.at(-1)?.authorizations.map(({ ref }) => ref.name);
  await create('servers', 'v1beta3', 'Server', 'web', { podSelector: { matchLabels: { app: 'web' } }, port: 8080 });
  await eventually('the Server', () => policy.seen.at(-1)?.ref.name === 'web', 6000);
  assert.deepEqual(authorizations(), []);

  await create('authorizationpolicies', 'v1alpha1', 'AuthorizationPolicy', 'ops', {
    targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: 'web' },
    requiredAuthenticationRefs: [{ group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name: 'ops' }],
  });
  const metric = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${all.destination.adminPort}/metrics`)).text();
  let seen = '';
  await eventually('the dangling reference', () => {
    void metric().then((text) => (seen = text));
    return seen.includes('policy_fields_without_effect 1');
  });
  assert.deepEqual(authorizations(), []);

  await create('meshtlsauthentications', 'v1alpha1', 'MeshTLSAuthentication', 'ops', { identities: ['*'] });
  await eventually('the authorization', () => authorizations()?.[0] === 'ops', 1000);
  await client.delete('servers.policy.linkerd.io', 'shop', 'web');
  await eventually('the default again', () => policy.seen.at(-1)?.ref.name === 'all-unauthenticated', 1000);
});

test("questions that make no sense get the codes that end a proxy's retries", async () => {
  await using all = await startControlPlane();
  const code = async (stream: ClientReadableStream<unknown>): Promise<string | undefined> => {
    const { end } = collect(stream, (message) => message);
    await eventually('the end of the stream', () => end() !== undefined);
    return end();
  };
  const { destination, policy } = all.clients;
  for (const path of ['example.com:80', '10.0.0.1:80', 'web.shop.svc.cluster.local:0', '']) {
    assert.equal(await code(destination.get(asked(path))), 'INVALID_ARGUMENT', path);
  }
  for (const path of ['example.com:80', ''])
    assert.equal(await code(destination.getProfile(asked(path))), 'INVALID_ARGUMENT', path);
  assert.equal(await code(destination.getProfile(asked('gone.shop.svc.cluster.local:80'))), 'NOT_FOUND');
  assert.equal(await code(all.clients.outbound.watch({ sourceWorkload: '', target: undefined })), 'INVALID_ARGUMENT');
  const podAddress = { $case: 'addr', value: encodeSocketAddress('10.42.0.1', 80) } as const;
  assert.equal(await code(all.clients.outbound.watch({ sourceWorkload: '', target: podAddress })), 'NOT_FOUND');
  assert.equal(await code(policy.watchPort({ workload: 'nonsense', port: 80 })), 'INVALID_ARGUMENT');
  assert.equal(await code(policy.watchPort({ workload: 'shop:web', port: 0 })), 'INVALID_ARGUMENT');
  assert.equal(await code(policy.watchPort({ workload: 'shop:gone', port: 80 })), 'NOT_FOUND');
});

test('a proxy that offers no ALPN is served', async () => {
  await using all = await startControlPlane();
  const socket = connectTls({
    host: '127.0.0.1',
    port: all.ports.destination,
    servername: SERVER_NAME,
    ca: all.anchorsPem,
  });
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  assert.equal(socket.alpnProtocol, false);
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  const session = connectHttp2('https://localhost', { createConnection: () => socket });
  const request = session.request({
    ':method': 'POST',
    ':path': '/io.linkerd.proxy.destination.Destination/Get',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  request.end(Buffer.alloc(5)); // an empty message
  const headers = await new Promise<Record<string, unknown>>((resolve) => request.once('response', resolve));
  assert.equal(headers['grpc-status'], String(status.INVALID_ARGUMENT));
  session.destroy();
});
