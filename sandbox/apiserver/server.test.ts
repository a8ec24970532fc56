import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, TestServer } from './test-server.ts';

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const MAPS = '/api/v1/namespaces/default/configmaps';

function configMap(name: string, data: Record<string, string> = { a: '1' }): Record<string, unknown> {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

test('an object is created, read, replaced and deleted', async () => {
  const created = await server.request(MAPS, { body: configMap('crud') });
  assert.equal(created.status, 201);
  assert.match(String(at(created.json, 'metadata', 'uid')), /^[0-9a-f-]{36}$/);
  assert.match(String(at(created.json, 'metadata', 'creationTimestamp')), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const read = await server.request(`${MAPS}/crud`);
  assert.deepEqual(read.json, created.json);
  const replaced = await server.request(`${MAPS}/crud`, { method: 'PUT', body: configMap('crud', { a: '2' }) });
  assert.equal(at(replaced.json, 'data', 'a'), '2');
  assert.equal(at(replaced.json, 'metadata', 'uid'), at(created.json, 'metadata', 'uid'));
  const deleted = await server.request(`${MAPS}/crud`, { method: 'DELETE' });
  assert.equal(deleted.json['status'], 'Success');
  assert.equal(at(deleted.json, 'details', 'uid'), at(created.json, 'metadata', 'uid'));
  const gone = await server.request(`${MAPS}/crud`);
  assert.equal(gone.status, 404);
  assert.equal(gone.json['message'], 'configmaps "crud" not found');
});

test('names are generated, and a second object of a name is refused', async () => {
  const body = { kind: 'ConfigMap', metadata: { generateName: 'gen-' } };
  const first = await server.request(MAPS, { body });
  const second = await server.request(MAPS, { body });
  assert.match(String(at(first.json, 'metadata', 'name')), /^gen-[b-z2-9]{5}$/);
  assert.notEqual(at(first.json, 'metadata', 'name'), at(second.json, 'metadata', 'name'));
  await server.request(MAPS, { body: configMap('twice') });
  const again = await server.request(MAPS, { body: configMap('twice') });
  assert.equal(again.status, 409);
  assert.equal(again.json['reason'], 'AlreadyExists');
});

test('a write with a stale resourceVersion is a conflict, one without overwrites', async () => {
  const created = await server.request(MAPS, { body: configMap('stale') });
  await server.request(`${MAPS}/stale`, { method: 'PUT', body: configMap('stale', { a: '2' }) });
  const stale = await server.request(`${MAPS}/stale`, { method: 'PUT', body: created.json });
  assert.equal(stale.status, 409);
  assert.match(String(stale.json['message']), /the object has been modified; please apply your changes/);
});

test('of many concurrent writers with the same version one wins', async () => {
  const { json } = await server.request(MAPS, { body: configMap('race') });
  const writes = Array.from({ length: 8 }, (_, index) =>
    server.request(`${MAPS}/race`, { method: 'PUT', body: { ...json, data: { a: `w${index}` } } }),
  );
  const codes = (await Promise.all(writes)).map(({ status }) => status).sort((a, b) => a - b);
  assert.deepEqual(codes, [200, 409, 409, 409, 409, 409, 409, 409]);
});

test('concurrent patches of different fields all arrive', async () => {
  await server.request(MAPS, { body: configMap('merge', {}) });
  const patches = Array.from({ length: 8 }, (_, index) =>
    server.request(`${MAPS}/merge`, {
      method: 'PATCH',
      contentType: 'application/merge-patch+json',
      body: { data: { [`k${index}`]: 'x' } },
    }),
  );
  for (const { status } of await Promise.all(patches)) assert.equal(status, 200);
  const { json } = await server.request(`${MAPS}/merge`);
  assert.equal(Object.keys(json['data'] as object).length, 8);
});

test('a write that changes nothing keeps the resourceVersion', async () => {
  const created = await server.request(MAPS, { body: configMap('noop') });
  const patched = await server.request(`${MAPS}/noop`, {
    method: 'PATCH',
    contentType: 'application/merge-patch+json',
    body: { data: { a: '1' } },
  });
  const version = (json: unknown): unknown => at(json, 'metadata', 'resourceVersion');
  assert.equal(version(patched.json), version(created.json));
});

test('dry run goes through everything and stores nothing', async () => {
  const created = await server.request(`${MAPS}?dryRun=All`, { body: configMap('dry') });
  assert.equal(created.status, 201);
  assert.equal(at(created.json, 'metadata', 'resourceVersion'), undefined);
  assert.equal((await server.request(`${MAPS}/dry`)).status, 404);
  assert.equal((await server.request(`${MAPS}?dryRun=Some`, { body: configMap('dry') })).status, 422);
});

test('the body must be of the kind, the name and the namespace of the path', async () => {
  const wrongKind = await server.request(MAPS, { body: { ...configMap('x'), kind: 'Secret' } });
  assert.equal(wrongKind.status, 400);
  const wrongName = await server.request(`${MAPS}/other`, { method: 'PUT', body: configMap('x') });
  assert.ok([400, 404].includes(wrongName.status));
  const body = { ...configMap('x'), metadata: { name: 'x', namespace: 'elsewhere' } };
  const wrongNamespace = await server.request(MAPS, { body });
  assert.equal(wrongNamespace.status, 400);
  assert.match(String(wrongNamespace.json['message']), /does not match the namespace sent on the request/);
});

test('a missing namespace is named in the refusal', async () => {
  const { status, json } = await server.request('/api/v1/namespaces/nowhere/configmaps', { body: configMap('x') });
  assert.equal(status, 404);
  assert.equal(json['message'], 'namespaces "nowhere" not found');
  assert.equal(at(json, 'details', 'kind'), 'namespaces');
});

test('unknown and duplicate fields are refused, warned about or ignored as asked', async () => {
  const body = JSON.stringify({ ...configMap('strict'), zzz: 1 });
  const strict = await server.request(`${MAPS}?fieldValidation=Strict`, { body });
  assert.equal(strict.status, 400);
  assert.match(String(strict.json['message']), /strict decoding error: unknown field "zzz"/);
  const warned = await server.request(`${MAPS}?dryRun=All`, { body });
  assert.equal(warned.status, 201);
  assert.match(String(warned.headers['warning']), /^299 - "unknown field \\"zzz\\""$/);
  const ignored = await server.request(`${MAPS}?dryRun=All&fieldValidation=Ignore`, { body });
  assert.equal(ignored.headers['warning'], undefined);
  assert.equal(ignored.json['zzz'], undefined);
  await server.request(MAPS, { body: configMap('strict') });
  const patch = { method: 'PATCH', contentType: 'application/merge-patch+json', body: { zzz: 1 } };
  const patched = await server.request(`${MAPS}/strict?fieldValidation=Strict`, patch);
  assert.equal(patched.status, 422);
  assert.match(String(patched.json['message']), /^ "" is invalid: patch: Invalid value: .*unknown field "zzz"$/);
  const duplicate = '{"metadata":{"name":"dup"},"data":{"a":"1","a":"2"}}';
  const refused = await server.request(`${MAPS}?fieldValidation=Strict`, { body: duplicate });
  assert.match(String(refused.json['message']), /duplicate field "data.a"/);
});

const malformed: readonly (readonly [
  what: string,
  status: number,
  spec: Parameters<TestServer['request']>[1],
  path?: string,
])[] = [
  ['JSON that is cut off', 400, { body: '{"metadata":' }],
  ['a JSON list', 400, { body: '[]' }],
  ['a JSON null', 400, { body: 'null' }],
  ['bytes that are not UTF-8', 400, { body: Buffer.from([0x22, 0xff, 0x22]) }],
  ['no body at all', 400, { method: 'POST' }],
  ['metadata that is a string', 400, { body: { metadata: 'x' } }],
  ['data that is a list', 400, { body: { metadata: { name: 'x' }, data: [] } }],
  ['a value of the wrong type', 400, { body: { metadata: { name: 'x' }, data: { a: 1 } } }],
  ['nesting without end', 400, { body: `${'['.repeat(100_000)}${']'.repeat(100_000)}` }],
  ['no name', 422, { body: { metadata: {} } }],
  ['a content type nobody reads', 415, { body: 'x', contentType: 'text/html' }],
  ['protobuf that is none', 400, { body: 'x', contentType: 'application/vnd.kubernetes.protobuf' }],
  ['an answer nobody writes', 406, { method: 'GET', headers: { accept: 'text/html' } }],
  ['a broken label selector', 400, { method: 'GET' }, `${MAPS}?labelSelector=a%3D%3D%3Db`],
  ['a field selector the kind has not', 400, { method: 'GET' }, `${MAPS}?fieldSelector=spec.color%3Dred`],
  ['a resourceVersion that is no number', 400, { method: 'GET' }, `${MAPS}?resourceVersion=abc`],
  ['a continue token nobody made', 400, { method: 'GET' }, `${MAPS}?continue=garbage`],
  ['a name that climbs', 400, { method: 'GET' }, `${MAPS}/%2e%2e%2fsecrets`],
  ['a URL that cannot be decoded', 400, { method: 'GET' }, `${MAPS}/%zz`],
  ['a method without a meaning', 405, { method: 'OPTIONS' }],
  ['PATCH of a collection', 405, { method: 'PATCH', body: {}, contentType: 'application/merge-patch+json' }],
  ['POST on an object', 405, { method: 'POST', body: {} }, `${MAPS}/kube`],
  ['POST on discovery', 405, { method: 'POST', body: {} }, '/api/v1'],
  [
    'an escape in a header that is none',
    400,
    { method: 'GET', headers: { 'impersonate-user': 'a', 'impersonate-extra-%zz': 'x' } },
  ],
  ['an unknown resource', 404, { method: 'GET' }, '/api/v1/unicorns'],
  ['an unknown group', 404, { method: 'GET' }, '/apis/unicorn.io/v1/unicorns'],
];

for (const [what, status, spec, path = MAPS] of malformed) {
  test(`${what} is answered with ${status}`, async () => {
    const reply = await server.request(path, spec);
    assert.equal(reply.status, status, reply.text);
    if (status !== 404 || path.startsWith('/api/')) assert.equal(reply.json['kind'], 'Status', reply.text);
  });
}

test('a body over three megabytes is refused before it is read', async () => {
  const body = configMap('huge', { a: 'x'.repeat(3 * 1024 * 1024) });
  const { status, json } = await server.request(MAPS, { body });
  assert.equal(status, 413);
  assert.equal(json['reason'], 'RequestEntityTooLarge');
});

test('patch types have their own refusals', async () => {
  await server.request(MAPS, { body: configMap('patched') });
  const patch = (contentType: string, body: unknown): ReturnType<TestServer['request']> =>
    server.request(`${MAPS}/patched`, { method: 'PATCH', contentType, body });
  assert.equal((await patch('application/json', {})).status, 415);
  assert.equal((await patch('application/apply-patch+cbor', 'x')).status, 415);
  const test = await patch('application/json-patch+json', [{ op: 'test', path: '/data/a', value: 'other' }]);
  assert.equal(test.status, 422);
  assert.equal(test.json['message'], 'the server rejected our request due to an error in our request');
  assert.equal((await patch('application/json-patch+json', {})).status, 400);
  assert.equal((await patch('application/merge-patch+json', '"x"')).status, 400);
  const version = await patch('application/merge-patch+json', { metadata: { resourceVersion: '1' } });
  assert.equal(version.status, 409);
  const other = await patch('application/merge-patch+json', { metadata: { uid: 'other' } });
  assert.equal(other.status, 409);
});

test('finalizers hold a deleted object, and no new ones can be added then', async () => {
  const body = { ...configMap('held'), metadata: { name: 'held', finalizers: ['demo.io/a', 'demo.io/b'] } };
  await server.request(MAPS, { body });
  const deleted = await server.request(`${MAPS}/held`, { method: 'DELETE' });
  assert.equal(deleted.json['kind'], 'ConfigMap');
  assert.ok(at(deleted.json, 'metadata', 'deletionTimestamp') !== undefined);
  const patch = (finalizers: readonly string[]): ReturnType<TestServer['request']> =>
    server.request(`${MAPS}/held`, {
      method: 'PATCH',
      contentType: 'application/merge-patch+json',
      body: { metadata: { finalizers } },
    });
  assert.equal((await patch(['demo.io/a', 'demo.io/b', 'demo.io/c'])).status, 422);
  assert.equal((await patch(['demo.io/a'])).status, 200);
  assert.equal((await server.request(`${MAPS}/held`)).status, 200);
  assert.equal((await patch([])).status, 200);
  assert.equal((await server.request(`${MAPS}/held`)).status, 404);
});

test('deletions check their preconditions and options', async () => {
  await server.request(MAPS, { body: configMap('pre') });
  const remove = (body: unknown): ReturnType<TestServer['request']> =>
    server.request(`${MAPS}/pre`, { method: 'DELETE', body });
  assert.equal((await remove({ preconditions: { uid: 'other' } })).status, 409);
  assert.equal((await remove({ propagationPolicy: 'Sometimes' })).status, 422);
  assert.equal((await remove({ gracePeriodSeconds: -1 })).status, 422);
  const foreground = await remove({ propagationPolicy: 'Foreground' });
  assert.deepEqual(at(foreground.json, 'metadata', 'finalizers'), ['foregroundDeletion']);
});

test('generation counts changes of the spec, not of status, labels or nothing', async () => {
  const deployments = '/apis/apps/v1/namespaces/default/deployments';
  const template = { metadata: { labels: { app: 'g' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
  const spec = { selector: { matchLabels: { app: 'g' } }, template };
  const created = await server.request(deployments, {
    body: { metadata: { name: 'gen' }, spec, status: { replicas: 9 } },
  });
  assert.equal(at(created.json, 'metadata', 'generation'), 1);
  assert.equal(at(created.json, 'status', 'replicas'), undefined, 'nobody creates a status');
  const patch = async (path: string, body: unknown): Promise<unknown> => {
    const spec = { method: 'PATCH', contentType: 'application/merge-patch+json', body };
    return at((await server.request(deployments + path, spec)).json, 'metadata', 'generation');
  };
  assert.equal(await patch('/gen', { metadata: { labels: { a: 'b' } } }), 1);
  assert.equal(await patch('/gen/status', { status: { replicas: 2 }, spec: { replicas: 7 } }), 1);
  assert.equal(await patch('/gen', { spec: { replicas: 3 }, status: { replicas: 8 } }), 2);
  const { json } = await server.request(`${deployments}/gen`);
  assert.deepEqual([at(json, 'spec', 'replicas'), at(json, 'status', 'replicas')], [3, 2]);
});

test('the scale subresource reads and writes replicas', async () => {
  const path = '/apis/apps/v1/namespaces/default/deployments/gen/scale';
  const scale = await server.request(path);
  assert.equal(scale.json['kind'], 'Scale');
  assert.equal(at(scale.json, 'status', 'selector'), 'app=g');
  const body = { ...scale.json, spec: { replicas: 5 } };
  const updated = await server.request(path, { method: 'PUT', body });
  assert.equal(at(updated.json, 'spec', 'replicas'), 5, updated.text);
  assert.equal((await server.request(path, { method: 'PUT', body })).status, 409, 'the version is stale now');
  assert.equal((await server.request(path, { method: 'PUT', body: { spec: { replicas: -1 } } })).status, 422);
});

test('a terminating namespace takes nothing new and goes when its finalizer is released', async () => {
  await server.request('/api/v1/namespaces', { body: { metadata: { name: 'ending' } } });
  const deleted = await server.request('/api/v1/namespaces/ending', { method: 'DELETE' });
  assert.equal(at(deleted.json, 'status', 'phase'), 'Terminating');
  const refused = await server.request('/api/v1/namespaces/ending/configmaps', { body: configMap('late') });
  assert.equal(refused.status, 403);
  assert.equal(at(refused.json, 'details', 'causes', 0, 'reason'), 'NamespaceTerminating');
  const body = { ...deleted.json, spec: { finalizers: [] } };
  assert.equal((await server.request('/api/v1/namespaces/ending/finalize', { method: 'PUT', body })).status, 200);
  assert.equal((await server.request('/api/v1/namespaces/ending')).status, 404);
  assert.equal((await server.request('/api/v1/namespaces/default', { method: 'DELETE' })).status, 403);
});

test('a collection is deleted by selector', async () => {
  for (const name of ['c1', 'c2', 'c3']) {
    const labels = { keep: String(name === 'c2') };
    await server.request(MAPS, { body: { ...configMap(name), metadata: { name, labels } } });
  }
  const deleted = await server.request(`${MAPS}?labelSelector=keep%3Dfalse`, { method: 'DELETE' });
  assert.equal(deleted.json['kind'], 'ConfigMapList');
  const codes = await Promise.all(
    ['c1', 'c2', 'c3'].map(async (name) => (await server.request(`${MAPS}/${name}`)).status),
  );
  assert.deepEqual(codes, [404, 200, 404]);
});

test('Services get a cluster IP of their own, and a taken one is refused', async () => {
  const services = '/api/v1/namespaces/default/services';
  const spec = { ports: [{ port: 80 }] };
  const one = await server.request(services, { body: { metadata: { name: 'one' }, spec } });
  const two = await server.request(services, { body: { metadata: { name: 'two' }, spec } });
  const ip = at(one.json, 'spec', 'clusterIP');
  assert.match(String(ip), /^10\.96\.\d+\.\d+$/);
  assert.notEqual(ip, at(two.json, 'spec', 'clusterIP'));
  const taken = await server.request(services, { body: { metadata: { name: 'x' }, spec: { ...spec, clusterIP: ip } } });
  assert.equal(taken.status, 422);
  const outside = { ...spec, clusterIP: '192.168.1.1' };
  assert.equal((await server.request(services, { body: { metadata: { name: 'x' }, spec: outside } })).status, 422);
  const headless = { ...spec, clusterIP: 'None' };
  const none = await server.request(services, { body: { metadata: { name: 'headless' }, spec: headless } });
  assert.equal(at(none.json, 'spec', 'clusterIP'), 'None');
});

test('both views of an event show the same event', async () => {
  const event = {
    metadata: { name: 'e1' },
    involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' },
    reason: 'Started',
    message: 'hello',
    type: 'Normal',
  };
  await server.request('/api/v1/namespaces/default/events', { body: event });
  const { json } = await server.request('/apis/events.k8s.io/v1/namespaces/default/events/e1');
  assert.equal(json['note'], 'hello');
  assert.equal(at(json, 'regarding', 'name'), 'p');
  assert.equal(json['apiVersion'], 'events.k8s.io/v1');
});

test('unknown paths and health have answers of their own', async () => {
  assert.equal((await server.request('/unicorns')).text, '404 page not found\n');
  assert.equal((await server.request('/healthz')).text, 'ok');
  assert.match(String(at((await server.request('/version')).json, 'gitVersion')), /^v1\.32\./);
});
