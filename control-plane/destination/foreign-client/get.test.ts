// Destination.Get, as a foreign proxy sees it: for each kind of target what comes first, what on changes, and what at the end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EndpointSet, tcpAddress } from './endpoint-set.ts';
import { contextToken, startWorld, type Namespace, type World } from './testing.ts';

const HTTP = [{ name: 'http', port: 80, targetPort: 'http' }];
const HTTP_8080 = [{ name: 'http', port: 8080 }];

let world: World;
let shop: Namespace;
before(async () => {
  world = await startWorld();
  shop = await world.namespace('shop');
  await world.node('node-1', 'zone-a');
  await world.node('node-2', 'zone-b');
});
after(() => world[Symbol.asyncDispose]());

function get(path: string, token = contextToken('shop', 'node-1')) {
  const stream = world.destination.open('get', { path, context_token: token });
  return { stream, set: new EndpointSet(stream) };
}

test('a ClusterIP Service: absent, made, given meshed and unmeshed endpoints, changed, deleted', async () => {
  const { stream, set } = get(`${shop.host('web')}:80`);
  assert.deepEqual(await set.next('the first answer'), { no_endpoints: {} }, 'no such Service');

  await shop.service('web', { ports: HTTP });
  assert.deepEqual(await set.next('the Service'), { no_endpoints: { exists: true } });

  const owner = { kind: 'ReplicaSet', apiVersion: 'apps/v1', name: 'web-7d9', uid: 'u-1', controller: true };
  const labels = { 'linkerd.io/control-plane-ns': 'tulle', 'pod-template-hash': '7d9' };
  await shop.pod('web-1', ['10.42.0.1'], { metadata: { labels, ownerReferences: [owner] } });
  await shop.pod('plain-1', ['10.42.0.2'], { metadata: { labels: {} } });
  await shop.slice('web-x', 'web', HTTP_8080, [shop.podEndpoint('web-1', '10.42.0.1')]);
  const identity = { name: 'web.shop.serviceaccount.identity.tulle.cluster.local' };
  const meshed = {
    addr: tcpAddress('10.42.0.1', 8080),
    weight: 10_000,
    metric_labels: {
      pod: 'web-1',
      deployment: 'web',
      serviceaccount: 'web',
      control_plane_ns: 'tulle',
      pod_template_hash: '7d9',
      zone: 'zone-a',
      zone_locality: 'local',
    },
    tls_identity: { dns_like_identity: identity, server_name: identity },
    protocol_hint: { h2: {}, opaque_transport: { inbound_port: 4143 } },
    http2: { keep_alive: { interval: { seconds: 10n }, timeout: { seconds: 3n }, while_idle: true } },
  };
  const set_labels = { namespace: 'shop', service: 'web' };
  assert.deepEqual(await stream.next('the endpoint'), { add: { addrs: [meshed], metric_labels: set_labels } });

  const both = [
    shop.podEndpoint('web-1', '10.42.0.1'),
    shop.podEndpoint('plain-1', '10.42.0.2', { nodeName: 'node-2' }),
  ];
  await shop.slice('web-x', 'web', HTTP_8080, both);
  const plain = {
    addr: tcpAddress('10.42.0.2', 8080),
    weight: 10_000,
    metric_labels: { pod: 'plain-1', serviceaccount: 'web', zone: 'zone-b', zone_locality: 'remote' },
  };
  assert.deepEqual(
    await stream.next('the second endpoint alone'),
    { add: { addrs: [plain], metric_labels: set_labels } },
    'what did not change is not sent again',
  );

  const unready = [both[0]!, { ...both[1], conditions: { ready: false } }];
  await shop.slice('web-x', 'web', HTTP_8080, unready);
  assert.deepEqual(await stream.next('not ready'), { remove: { addrs: [tcpAddress('10.42.0.2', 8080)] } });

  await shop.slice('web-x', 'web', [{ name: 'http', port: 9090 }], unready);
  assert.deepEqual(await stream.next('another port'), {
    add: { addrs: [{ ...meshed, addr: tcpAddress('10.42.0.1', 9090) }], metric_labels: set_labels },
  });
  assert.deepEqual(await stream.next('the old port'), { remove: { addrs: [tcpAddress('10.42.0.1', 8080)] } });

  await shop.patch('pods', 'web-1', { metadata: { annotations: { 'config.linkerd.io/opaque-ports': '9090' } } });
  assert.deepEqual(await stream.next('an opaque port'), {
    add: {
      addrs: [
        {
          ...meshed,
          addr: tcpAddress('10.42.0.1', 9090),
          protocol_hint: { opaque: {}, opaque_transport: { inbound_port: 4143 } },
        },
      ],
      metric_labels: set_labels,
    },
  });

  await shop.deleteSlice('web-x');
  assert.deepEqual(await stream.next('no endpoints'), { no_endpoints: { exists: true } });
  await shop.deleteService('web');
  assert.deepEqual(await stream.next('no Service'), { no_endpoints: {} });
  assert.deepEqual(stream.unread, []);
});

test('named and numeric target ports, and ports that the Service does not declare', async () => {
  await shop.service('ports', {
    ports: [
      { name: 'http', port: 80, targetPort: 'http' },
      { name: 'admin', port: 81, targetPort: 9991 },
      { name: 'dns', port: 53, targetPort: 53, protocol: 'UDP' },
    ],
  });
  const slicePorts = [...HTTP_8080, { name: 'admin', port: 9991 }, { name: 'dns', port: 53, protocol: 'UDP' }];
  await shop.slice('ports-x', 'ports', slicePorts, [{ addresses: ['10.42.1.1'] }]);
  // Pods of two versions of one Deployment may give a named port two numbers: they are in two slices.
  await shop.slice('ports-y', 'ports', [{ name: 'http', port: 8888 }, slicePorts[1]!], [{ addresses: ['10.42.1.2'] }]);
  for (const [port, ...expected] of [
    [':80', '10.42.1.1:8080', '10.42.1.2:8888'],
    ['', '10.42.1.1:8080', '10.42.1.2:8888'],
    [':81', '10.42.1.1:9991', '10.42.1.2:9991'],
    [':7777', '10.42.1.1:7777', '10.42.1.2:7777'],
  ] as const) {
    const { set } = get(`${shop.host('ports')}${port}`);
    await set.until(...expected);
  }
});

test('a headless Service and the names of its instances', async () => {
  await shop.service('db', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] });
  await shop.pod('db-0', ['10.42.2.1']);
  const instance = (name: string, address: string, more = {}) =>
    shop.podEndpoint(name, address, { hostname: name, ...more });
  await shop.slice('db-x', 'db', [{ name: 'sql', port: 5432 }], [instance('db-0', '10.42.2.1')]);
  const all = get(`${shop.host('db')}:5432`);
  const second = get(`db-1.${shop.host('db')}:5432`);
  await all.set.until('10.42.2.1:5432');
  assert.deepEqual(await second.stream.next('nothing yet'), { no_endpoints: { exists: true } });

  await shop.pod('db-1', ['10.42.2.2']);
  await shop.slice(
    'db-x',
    'db',
    [{ name: 'sql', port: 5432 }],
    [instance('db-0', '10.42.2.1'), instance('db-1', '10.42.2.2')],
  );
  await all.set.until('10.42.2.1:5432', '10.42.2.2:5432');
  await second.set.until('10.42.2.2:5432');
  const { tls_identity: identity } = second.set.endpoint('10.42.2.2:5432');
  assert.ok(identity);

  // The instance comes back at another address, as StatefulSets do it.
  await shop.slice(
    'db-x',
    'db',
    [{ name: 'sql', port: 5432 }],
    [instance('db-0', '10.42.2.1'), instance('db-1', '10.42.2.3')],
  );
  await second.set.until('10.42.2.3:5432');
  await shop.deleteService('db');
  assert.deepEqual(await second.stream.next('the end of the Service'), { no_endpoints: {} });
});

test('NodePort and LoadBalancer Services have endpoints like any other', async () => {
  for (const type of ['NodePort', 'LoadBalancer']) {
    const name = type.toLowerCase();
    await shop.service(name, { type, ports: HTTP });
    await shop.slice(`${name}-x`, name, HTTP_8080, [{ addresses: ['10.42.3.1'] }]);
    const { stream } = get(`${shop.host(name)}:80`);
    assert.deepEqual(await stream.next(type), {
      add: {
        addrs: [{ addr: tcpAddress('10.42.3.1', 8080), weight: 10_000 }],
        metric_labels: { namespace: 'shop', service: name },
      },
    });
  }
});

test('an ExternalName Service, and a Service that becomes one', async () => {
  await shop.service('outside', { type: 'ExternalName', externalName: 'example.com' });
  assert.equal(await get(`${shop.host('outside')}:80`).stream.end(), 'INVALID_ARGUMENT');

  await shop.service('moving', { ports: HTTP });
  const { stream } = get(`${shop.host('moving')}:80`);
  assert.deepEqual(await stream.next('the Service'), { no_endpoints: { exists: true } });
  await shop.service('moving', { type: 'ExternalName', externalName: 'example.com' });
  assert.equal(await stream.end(), 'INVALID_ARGUMENT');
});

test('what is no name of a Service ends with InvalidArgument', async () => {
  for (const path of [
    'example.com:80',
    'shop.svc.cluster.local:80',
    'web.shop.svc.other.domain:80',
    'a.b.web.shop.svc.cluster.local:80',
    '10.42.0.1:80',
    '[fd00::1]:80',
    'web.shop.svc.cluster.local:0',
    'web.shop.svc.cluster.local:65536',
    'web.shop.svc.cluster.local:http',
    '',
  ])
    assert.equal(await get(path).stream.end(), 'INVALID_ARGUMENT', path);
});

test('internalTrafficPolicy Local keeps traffic on the node; without a node there is nobody', async () => {
  await shop.service('local', { ports: HTTP, internalTrafficPolicy: 'Local' });
  const endpoints = [
    { addresses: ['10.42.4.1'], nodeName: 'node-1' },
    { addresses: ['10.42.4.2'], nodeName: 'node-2' },
  ];
  await shop.slice('local-x', 'local', HTTP_8080, endpoints);
  const path = `${shop.host('local')}:80`;
  const [one, two] = ['node-1', 'node-2'].map((node) => get(path, contextToken('shop', node)));
  await one!.set.until('10.42.4.1:8080');
  await two!.set.until('10.42.4.2:8080');
  assert.deepEqual(await get(path, 'ns:shop').stream.next('no node'), { no_endpoints: { exists: true } });
  await shop.service('local', { ports: HTTP, internalTrafficPolicy: 'Cluster' });
  await one!.set.until('10.42.4.1:8080', '10.42.4.2:8080');
});

test('hints keep traffic in the zone of the client, or on its node, as long as every endpoint has some', async () => {
  await shop.service('hinted', { ports: HTTP, trafficDistribution: 'PreferClose' });
  const endpoint = (address: string, nodeName: string, hints?: object) => ({
    addresses: [address],
    nodeName,
    ...(hints && { hints }),
  });
  const zone = (name: string) => ({ forZones: [{ name }] });
  const a = endpoint('10.42.5.1', 'node-1', zone('zone-a'));
  const b = endpoint('10.42.5.2', 'node-2', zone('zone-b'));
  await shop.slice('hinted-x', 'hinted', HTTP_8080, [a, b]);
  const path = `${shop.host('hinted')}:80`;
  const [near, far, nowhere] = ['node-1', 'node-2', 'node-9'].map((node) => get(path, contextToken('shop', node)));
  await near!.set.until('10.42.5.1:8080');
  await far!.set.until('10.42.5.2:8080');
  await nowhere!.set.until('10.42.5.1:8080', '10.42.5.2:8080');
  // One without a hint: the controller has not caught up, and everybody gets everything.
  const fresh = endpoint('10.42.5.3', 'node-2');
  await shop.slice('hinted-x', 'hinted', HTTP_8080, [a, b, fresh]);
  await near!.set.until('10.42.5.1:8080', '10.42.5.2:8080', '10.42.5.3:8080');
  // All hints are for elsewhere: better far than not at all.
  await shop.slice('hinted-x', 'hinted', HTTP_8080, [b, { ...fresh, hints: zone('zone-b') }]);
  await near!.set.until('10.42.5.2:8080', '10.42.5.3:8080');
  await far!.set.until('10.42.5.2:8080', '10.42.5.3:8080');
});

test('endpoints that serve until their pods end are used only when no other is ready', async () => {
  await shop.service('ending', { ports: HTTP, publishNotReadyAddresses: false });
  const ending = { conditions: { ready: false, serving: true, terminating: true } };
  const gone = { conditions: { ready: false, serving: false, terminating: true } };
  const one = { addresses: ['10.42.6.1'] };
  const two = { addresses: ['10.42.6.2'] };
  const { set } = get(`${shop.host('ending')}:80`);
  await shop.slice('ending-x', 'ending', HTTP_8080, [one, two]);
  await set.until('10.42.6.1:8080', '10.42.6.2:8080');
  await shop.slice('ending-x', 'ending', HTTP_8080, [{ ...one, ...ending }, two]);
  await set.until('10.42.6.2:8080');
  await shop.slice('ending-x', 'ending', HTTP_8080, [
    { ...one, ...ending },
    { ...two, ...gone },
  ]);
  await set.until('10.42.6.1:8080');
  await shop.slice('ending-x', 'ending', HTTP_8080, [
    { ...one, ...gone },
    { ...two, ...gone },
  ]);
  await set.until();
});

test('of a pod with addresses of two families IPv4 is answered, and IPv6 where it is all there is', async () => {
  await shop.service('dual', { ports: HTTP });
  await shop.slice('dual-4', 'dual', HTTP_8080, [shop.podEndpoint('both', '10.42.7.1')]);
  const six = [shop.podEndpoint('both', 'fd00:42::1'), shop.podEndpoint('only-six', 'fd00:42::2')];
  await shop.slice('dual-6', 'dual', HTTP_8080, six, { addressType: 'IPv6' });
  const { set } = get(`${shop.host('dual')}:80`);
  await set.until('10.42.7.1:8080', '[fd00:42:0:0:0:0:0:2]:8080');
  await shop.deleteSlice('dual-4');
  await set.until('[fd00:42:0:0:0:0:0:1]:8080', '[fd00:42:0:0:0:0:0:2]:8080');
  await shop.slice('dual-fqdn', 'dual', HTTP_8080, [{ addresses: ['db.example.com'] }], { addressType: 'FQDN' });
  await shop.deleteSlice('dual-6');
  await set.until();
});

test('a mirrored Service leads to the gateway of its cluster', async () => {
  const name = 'mirror.linkerd.io/remote-svc-fq-name';
  const remote = { [name]: 'web.shop.svc.cluster.local' };
  const gateway = { name: 'gateway.mc.serviceaccount.identity.tulle.cluster.local' };
  await shop.put('services', {
    metadata: { name: 'web-west', labels: { 'mirror.linkerd.io/cluster-name': 'west' }, annotations: remote },
    spec: { ports: HTTP },
  });
  await shop.slice('web-west', 'web-west', [{ name: 'http', port: 4143 }], [{ addresses: ['10.43.0.1'] }], {
    annotations: { ...remote, 'mirror.linkerd.io/remote-gateway-identity': gateway.name },
  });
  const { stream } = get(`${shop.host('web-west')}:80`);
  assert.deepEqual(await stream.next('the gateway'), {
    add: {
      addrs: [
        {
          addr: tcpAddress('10.43.0.1', 4143),
          weight: 10_000,
          tls_identity: { dns_like_identity: gateway, server_name: gateway },
          protocol_hint: { h2: {} },
          authority_override: { authority_override: 'web.shop.svc.cluster.local:80' },
          http2: { keep_alive: { interval: { seconds: 10n }, timeout: { seconds: 3n }, while_idle: true } },
        },
      ],
      metric_labels: {
        namespace: 'shop',
        service: 'web-west',
        target_cluster: 'west',
        target_service: 'web',
        target_service_namespace: 'shop',
      },
    },
  });
});

test('a stream ends in order when the process does, and one that is opened again begins with everything', async () => {
  await using other = await startWorld();
  const home = await other.namespace('home');
  await home.service('web', { ports: HTTP });
  const endpoints = [{ addresses: ['10.42.8.1'] }, { addresses: ['10.42.8.2'] }];
  await home.slice('web-x', 'web', HTTP_8080, endpoints);
  const open = () => new EndpointSet(other.destination.open('get', { path: `${home.host('web')}:80` }));
  const stream = other.destination.open('get', { path: `${home.host('web')}:80` });
  const first = await stream.next('the first answer');
  await home.slice('web-x', 'web', HTTP_8080, endpoints.slice(1));
  await stream.next('a change');
  await home.slice('web-x', 'web', HTTP_8080, endpoints);
  await stream.next('a change');
  assert.deepEqual(await other.destination.open('get', { path: `${home.host('web')}:80` }).next('again'), first);
  await open().until('10.42.8.1:8080', '10.42.8.2:8080');
  await other.stop();
  assert.equal(await stream.end(), 'OK', 'a proxy comes back elsewhere');
});
