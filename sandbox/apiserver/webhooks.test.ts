import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import { after, afterEach, before, test } from 'node:test';
import type { AddressInfo } from 'node:net';
import { CertificateAuthority } from './certificates.ts';
import type { JsonObject } from './object.ts';
import { at, TestServer, type Reply } from './test-server.ts';

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const MAPS = '/api/v1/namespaces/default/configmaps';

type Seen = { path: string; headers: Record<string, unknown>; request: JsonObject };
type Answer = (request: JsonObject) => JsonObject | 'hang' | 'garbage';

const authority = CertificateAuthority.create('webhook-ca');
const calls: Seen[] = [];
const answers = new Map<string, Answer>(); // by path

let server: TestServer;
let hooks: Server;
before(async () => {
  const { certificate, key } = authority.issue({
    commonName: 'hook',
    names: ['hook.default.svc'],
    lifetimeMs: 3600_000,
  });
  hooks = createServer({ cert: certificate, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { request: JsonObject };
      const path = (request.url ?? '').split('?')[0] ?? '';
      calls.push({ path: request.url ?? '', headers: request.headers, request: review.request });
      const answer = answers.get(path)?.(review.request) ?? { allowed: true };
      if (answer === 'hang') return;
      if (answer === 'garbage') return void response.end('<html>');
      const body = { uid: review.request['uid'], ...answer };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: body }));
    });
  });
  await new Promise<void>((resolve) => hooks.listen(0, '127.0.0.1', resolve));
  const { port } = hooks.address() as AddressInfo;
  server = await TestServer.start({
    resolveService: (namespace, name) => {
      if (namespace !== 'default' || name !== 'hook') throw new Error(`service "${name}" not found`);
      return { address: '127.0.0.1', port };
    },
  });
});
after(async () => {
  await server[Symbol.asyncDispose]();
  hooks.closeAllConnections();
  hooks.close();
});
afterEach(async () => {
  for (const kind of ['mutating', 'validating']) {
    await server.request(`${ADMISSION}/${kind}webhookconfigurations`, { method: 'DELETE' });
  }
  calls.length = 0;
  answers.clear();
});

function webhook(name: string, more: JsonObject = {}): JsonObject {
  return {
    name: `${name}.demo.io`,
    clientConfig: {
      service: { namespace: 'default', name: 'hook', path: `/${name}` },
      caBundle: Buffer.from(authority.certificate).toString('base64'),
    },
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    ...more,
  };
}

async function register(kind: 'Mutating' | 'Validating', name: string, ...webhooks: JsonObject[]): Promise<Reply> {
  return server.request(`${ADMISSION}/${kind.toLowerCase()}webhookconfigurations`, {
    body: { metadata: { name }, webhooks },
  });
}

function patch(...operations: JsonObject[]): JsonObject {
  return { allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') };
}

function labelled(label: string, value = 'yes'): Answer {
  return (request) =>
    patch(
      ...(at(request, 'object', 'metadata', 'labels') === undefined
        ? [{ op: 'add', path: '/metadata/labels', value: {} }]
        : []),
      { op: 'add', path: `/metadata/labels/${label}`, value },
    );
}

function create(name: string, more: JsonObject = {}, query = ''): Promise<Reply> {
  return server.request(MAPS + query, { body: { metadata: { name, ...more } } });
}

test('a mutating webhook is asked over TLS by its Service name and its patch is stored', async () => {
  answers.set('/label', labelled('patched'));
  assert.equal((await register('Mutating', 'one', webhook('label'))).status, 201);
  const created = await create('mutated');
  assert.equal(created.status, 201, created.text);
  assert.equal(at(created.json, 'metadata', 'labels', 'patched'), 'yes');
  const [call] = calls;
  assert.equal(call?.path, '/label?timeout=10s');
  assert.equal(call.headers['host'], 'hook.default.svc:443');
  assert.equal(call.headers['user-agent'], 'kube-apiserver-admission');
  const { request } = call;
  assert.equal(request['operation'], 'CREATE');
  assert.deepEqual(request['kind'], { group: '', version: 'v1', kind: 'ConfigMap' });
  assert.equal(at(request, 'object', 'metadata', 'creationTimestamp'), null);
  assert.equal(request['oldObject'], null);
  assert.equal(at(request, 'userInfo', 'username'), 'kubernetes-admin');
  assert.equal(request['namespace'], 'default');
});

test('webhooks run in order of configuration names, and one asks to be called again after a later change', async () => {
  answers.set('/first', labelled('first'));
  answers.set('/second', (request) =>
    labelled('second', String(at(request, 'object', 'metadata', 'labels', 'first')))(request),
  );
  await register('Mutating', 'b', webhook('second'));
  await register('Mutating', 'a', webhook('first', { reinvocationPolicy: 'IfNeeded' }));
  const created = await create('ordered');
  assert.deepEqual(
    calls.map(({ path }) => path.split('?')[0]),
    ['/first', '/second', '/first'],
  );
  assert.equal(at(created.json, 'metadata', 'labels', 'second'), 'yes', 'each sees what came before');
});

test('a webhook that nobody changed anything after is called once', async () => {
  answers.set('/first', labelled('first'));
  await register('Mutating', 'a', webhook('first', { reinvocationPolicy: 'IfNeeded' }));
  await create('once');
  assert.equal(calls.length, 1);
});

test('a container that a webhook adds to a pod gets the token volume too', async () => {
  await server.server.client.create('serviceaccounts', { metadata: { name: 'default', namespace: 'default' } });
  const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }];
  answers.set('/sidecar', (request) =>
    at(request, 'object', 'spec', 'initContainers') === undefined
      ? patch({ op: 'add', path: '/spec/initContainers', value: [{ name: 'proxy', image: 'p', bogus: 1 }] })
      : { allowed: true },
  );
  await register('Mutating', 'inject', webhook('sidecar', { rules }));
  const spec = { containers: [{ name: 'c', image: 'x' }] };
  const pod = await server.request('/api/v1/namespaces/default/pods', {
    body: { metadata: { generateName: 'p-' }, spec },
  });
  assert.equal(pod.status, 201, pod.text);
  const volume = at(pod.json, 'spec', 'volumes', 0, 'name');
  assert.equal(at(pod.json, 'spec', 'initContainers', 0, 'volumeMounts', 0, 'name'), volume);
  assert.equal((at(pod.json, 'spec', 'volumes') as unknown[]).length, 1);
  assert.equal(
    at(pod.json, 'spec', 'initContainers', 0, 'terminationMessagePath'),
    '/dev/termination-log',
    'defaults come after',
  );
  assert.equal(at(pod.json, 'spec', 'initContainers', 0, 'bogus'), undefined, 'unknown fields fall away');
  const [call] = calls;
  assert.equal(call?.request['name'], undefined, 'a generated name is not there yet');
  assert.equal(at(call?.request, 'object', 'spec', 'serviceAccountName'), 'default', 'the account is');
});

test('a denial reaches the client with its message, code and warnings', async () => {
  answers.set('/deny', () => ({ allowed: false, status: { message: 'nope' }, warnings: ['take care'] }));
  await register('Validating', 'deny', webhook('deny'));
  const denied = await create('denied');
  assert.equal(denied.status, 403);
  assert.equal(denied.json['message'], 'admission webhook "deny.demo.io" denied the request: nope');
  assert.equal(denied.headers['warning'], '299 - "take care"');
  answers.set('/deny', () => ({ allowed: false, status: { code: 418, reason: 'Teapot', message: 'short' } }));
  const teapot = await create('denied');
  assert.deepEqual([teapot.status, teapot.json['reason']], [418, 'Teapot']);
  answers.set('/deny', () => ({ allowed: false }));
  assert.match(String((await create('denied')).json['message']), /denied the request without explanation/);
});

const failures: readonly (readonly [what: string, configure: () => JsonObject, message: RegExp])[] = [
  [
    'does not answer',
    () => (answers.set('/bad', () => 'hang'), webhook('bad', { timeoutSeconds: 1 })),
    /context deadline exceeded/,
  ],
  [
    'answers nonsense',
    () => (answers.set('/bad', () => 'garbage'), webhook('bad')),
    /Post "https:\/\/hook.default.svc:443\/bad\?timeout=10s"/,
  ],
  [
    'answers another question',
    () => (answers.set('/bad', () => ({ uid: 'other', allowed: true })), webhook('bad')),
    /expected response.uid/,
  ],
  [
    'has another certificate authority',
    () =>
      webhook('bad', {
        clientConfig: {
          service: { namespace: 'default', name: 'hook', path: '/bad' },
          caBundle: Buffer.from(CertificateAuthority.create('x').certificate).toString('base64'),
        },
      }),
    /certificate/,
  ],
  [
    'has a Service that is not there',
    () => webhook('bad', { clientConfig: { service: { namespace: 'default', name: 'gone', path: '/bad' } } }),
    /service "gone" not found/,
  ],
];

for (const [what, configure, message] of failures) {
  test(`a webhook that ${what} fails the request, or is passed over when it may be`, async () => {
    const hook = configure();
    assert.equal((await register('Mutating', 'bad', hook)).status, 201);
    const failed = await create('failing');
    assert.equal(failed.status, 500, failed.text);
    assert.match(
      String(failed.json['message']),
      /^Internal error occurred: failed calling webhook "bad.demo.io": failed to call webhook: /,
    );
    assert.match(String(failed.json['message']), message);
    await server.request(`${ADMISSION}/mutatingwebhookconfigurations/bad`, { method: 'DELETE' });
    await register('Mutating', 'bad', { ...hook, failurePolicy: 'Ignore' });
    const passed = await create('failing', {}, '?dryRun=All');
    assert.equal(passed.status, 201, passed.text);
  });
}

test('a patch that does not apply is an error even when failures are ignored', async () => {
  answers.set('/broken', () => patch({ op: 'remove', path: '/not/there' }));
  await register('Mutating', 'broken', webhook('broken', { failurePolicy: 'Ignore' }));
  assert.equal((await create('broken')).status, 500);
});

test('selectors, scope and operations decide who is asked', async () => {
  await server.request('/api/v1/namespaces', { body: { metadata: { name: 'meshed', labels: { inject: 'yes' } } } });
  const rules = (operations: readonly string[], resources: readonly string[]): JsonObject => ({
    rules: [{ operations, apiGroups: ['*'], apiVersions: ['*'], resources }],
  });
  await register(
    'Validating',
    'selective',
    webhook('namespace', { namespaceSelector: { matchLabels: { inject: 'yes' } } }),
    webhook('object', { objectSelector: { matchExpressions: [{ key: 'watch', operator: 'Exists' }] } }),
    webhook('update', rules(['UPDATE'], ['configmaps'])),
    webhook('delete', rules(['DELETE'], ['*'])),
    webhook('status', rules(['*'], ['*/status'])),
    webhook('cluster', {
      rules: [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], scope: 'Cluster' }],
    }),
  );
  const asked = async (act: () => Promise<unknown>): Promise<string[]> => {
    calls.length = 0;
    await act();
    return calls.map(({ path }) => path.split('?')[0] ?? '').sort();
  };
  assert.deepEqual(await asked(() => create('sel')), []);
  assert.deepEqual(await asked(() => create('sel2', { labels: { watch: 'me' } })), ['/object']);
  const meshed = (): Promise<Reply> =>
    server.request('/api/v1/namespaces/meshed/configmaps', { body: { metadata: { name: 'm' } } });
  assert.deepEqual(await asked(meshed), ['/namespace']);
  const update = (): Promise<Reply> =>
    server.request(`${MAPS}/sel`, { method: 'PUT', body: { metadata: { name: 'sel' }, data: { a: 'b' } } });
  assert.deepEqual(await asked(update), ['/update']);
  assert.equal(at(calls[0]?.request, 'oldObject', 'metadata', 'name'), 'sel');
  assert.deepEqual(await asked(() => server.request(`${MAPS}/sel`, { method: 'DELETE' })), ['/delete']);
  assert.equal(calls[0]?.request['object'], null);
  const namespace = (): Promise<Reply> =>
    server.request('/api/v1/namespaces', { body: { metadata: { name: 'fresh' } } });
  assert.deepEqual(await asked(namespace), ['/cluster']);
});

test('dry run asks only webhooks without side effects', async () => {
  await register('Validating', 'effects', webhook('effects', { sideEffects: 'None' }));
  assert.equal((await create('d1', {}, '?dryRun=All')).status, 201);
  assert.equal(calls[0]?.request['dryRun'], true);
});

test('match conditions decide, and a failing one follows the failure policy', async () => {
  const conditioned = (expression: string, more: JsonObject = {}): Promise<Reply> =>
    register('Mutating', 'cel', webhook('cel', { matchConditions: [{ name: 'x', expression }], ...more }));
  const remove = (): Promise<Reply> =>
    server.request(`${ADMISSION}/mutatingwebhookconfigurations/cel`, { method: 'DELETE' });
  assert.equal(
    (await conditioned("request.operation == 'CREATE' && object.metadata.name.startsWith('yes')")).status,
    201,
  );
  await create('no-thanks');
  assert.equal(calls.length, 0);
  await create('yes-please');
  assert.equal(calls.length, 1);
  await remove();
  await conditioned('object.spec.missing == 1');
  assert.match(
    String((await create('fails')).json['message']),
    /failed to match webhook "cel.demo.io": match condition "x"/,
  );
  await remove();
  await conditioned('object.spec.missing == 1', { failurePolicy: 'Ignore' });
  assert.equal((await create('passes')).status, 201);
  assert.equal(calls.length, 1);
  await remove();
  assert.equal((await conditioned("authorizer.path('/').check('get').allowed()")).status, 422);
  assert.equal((await conditioned("object.kind == 'x' &&")).status, 422);
});

test('webhook configurations are not put before webhooks', async () => {
  const rules = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'] }];
  answers.set('/all', () => ({ allowed: false }));
  await register('Validating', 'all', webhook('all', { rules }));
  assert.equal((await create('no')).status, 403);
  const removed = await server.request(`${ADMISSION}/validatingwebhookconfigurations/all`, { method: 'DELETE' });
  assert.equal(removed.status, 200);
});
