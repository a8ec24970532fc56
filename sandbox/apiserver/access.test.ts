import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CertificateAuthority } from './certificates.ts';
import { request as httpsRequest } from 'node:https';
import { at, TestServer, type Reply } from './test-server.ts';

let server: TestServer;
before(async () => {
  server = await TestServer.start();
  await server.server.client.create('serviceaccounts', { metadata: { name: 'robot', namespace: 'default' } });
});
after(() => server[Symbol.asyncDispose]());

const PODS = '/api/v1/namespaces/default/pods';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

async function newToken(spec: Record<string, unknown> = {}): Promise<string> {
  const reply = await server.request('/api/v1/namespaces/default/serviceaccounts/robot/token', { body: { spec } });
  assert.equal(reply.status, 201, reply.text);
  return String(at(reply.json, 'status', 'token'));
}

function asUser(user: string, ...groups: string[]): Record<string, string> {
  return { 'impersonate-user': user, ...(groups[0] === undefined ? {} : { 'impersonate-group': groups[0] }) };
}

test('without credentials one is anonymous and may see the version, not the pods', async () => {
  assert.equal((await server.request('/version', { as: 'nobody' })).status, 200);
  const { status, json } = await server.request(PODS, { as: 'nobody' });
  assert.equal(status, 403);
  assert.equal(
    json['message'],
    'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"',
  );
});

test('wrong credentials are 401, never anonymous', async () => {
  const token = await newToken();
  const [header, payload, signature] = token.split('.');
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  for (const bad of ['x', 'a.b.c', `${header}.${payload}.`, `${none}.${payload}.`, `${header}.e30.${signature}`]) {
    const { status, json } = await server.request('/version', { as: 'nobody', headers: bearer(bad) });
    assert.equal(status, 401, bad);
    assert.equal(json['reason'], 'Unauthorized');
  }
  const basic = await server.request('/version', { as: 'nobody', headers: { authorization: 'Basic YTpi' } });
  assert.equal(basic.status, 401);
});

test('a client certificate of another authority is 401', async () => {
  const stranger = CertificateAuthority.create('stranger').issue({
    commonName: 'kubernetes-admin',
    organizations: ['system:masters'],
    lifetimeMs: 3600_000,
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const options = { ...server.tls('nobody'), cert: stranger.certificate, key: stranger.key };
  httpsRequest({ ...options, host: '127.0.0.1', port: server.port, path: PODS }, (response) => {
    response.resume();
    resolve(response.statusCode);
  })
    .on('error', reject)
    .end();
  assert.equal(await promise, 401);
});

test('a token speaks for its service account', async () => {
  const token = await newToken();
  const reply = await server.request('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    as: 'nobody',
    headers: bearer(token),
    body: {},
  });
  assert.equal(reply.status, 201);
  assert.equal(at(reply.json, 'status', 'userInfo', 'username'), 'system:serviceaccount:default:robot');
  assert.deepEqual(at(reply.json, 'status', 'userInfo', 'groups'), [
    'system:serviceaccounts',
    'system:serviceaccounts:default',
    'system:authenticated',
  ]);
});

function review(token: string, audiences?: readonly string[]): Promise<Reply> {
  const body = { spec: { token, ...(audiences === undefined ? {} : { audiences }) } };
  return server.request('/apis/authentication.k8s.io/v1/tokenreviews', { body });
}

test('a token of less than ten minutes is refused', async () => {
  const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
  const { status, json } = await server.request(path, { body: { spec: { expirationSeconds: 10 } } });
  assert.equal(status, 422);
  assert.match(String(json['message']), /may not specify a duration less than 10 minutes/);
});

test('a token is good for its audiences only', async () => {
  const token = await newToken({ audiences: ['identity.l5d.io'] });
  const good = await review(token, ['other', 'identity.l5d.io']);
  assert.equal(good.status, 201);
  assert.equal(at(good.json, 'status', 'authenticated'), true);
  assert.deepEqual(at(good.json, 'status', 'audiences'), ['identity.l5d.io']);
  const bad = await review(token);
  assert.equal(bad.status, 201);
  assert.deepEqual(bad.json['status'], { user: {}, error: 'invalid bearer token' });
  assert.equal((await server.request('/version', { as: 'nobody', headers: bearer(token) })).status, 401);
});

test('a token bound to a pod names it, and dies with it', async () => {
  const spec = { serviceAccountName: 'robot', containers: [{ name: 'c', image: 'x' }] };
  const pod = await server.request(PODS, { body: { metadata: { name: 'bound' }, spec } });
  assert.equal(pod.status, 201, pod.text);
  const uid = String(at(pod.json, 'metadata', 'uid'));
  const wrong = await server.request('/api/v1/namespaces/default/serviceaccounts/robot/token', {
    body: { spec: { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'bound', uid: 'other' } } },
  });
  assert.equal(wrong.status, 400);
  const { token } = await server.server.client.createToken('default', 'robot', {
    audiences: [],
    expirationSeconds: 3600,
    pod: { name: 'bound', uid },
  });
  const alive = await review(token);
  assert.deepEqual(at(alive.json, 'status', 'user', 'extra', 'authentication.kubernetes.io/pod-name'), ['bound']);
  await server.server.client.delete('pods', 'default', 'bound');
  assert.equal(at((await review(token)).json, 'status', 'authenticated'), undefined);
});

test('a token expires', async () => {
  let now = Math.floor(Date.now() / 1000) * 1000;
  await using other = await TestServer.start({ nowMs: () => now });
  await other.server.client.create('serviceaccounts', { metadata: { name: 'a', namespace: 'default' } });
  const spec = { audiences: [], expirationSeconds: 600 };
  const { token, expirationTimestamp } = await other.server.client.createToken('default', 'a', spec);
  assert.equal(Math.round((Date.parse(expirationTimestamp) - now) / 1000), 600);
  const get = async (): Promise<number> =>
    (await other.request('/version', { as: 'nobody', headers: bearer(token) })).status;
  assert.equal(await get(), 200);
  now += 601_000;
  assert.equal(await get(), 401);
});

test('the keys of the issuer verify its tokens', async () => {
  const configuration = await server.request('/.well-known/openid-configuration');
  assert.match(String(configuration.json['jwks_uri']), /\/openid\/v1\/jwks$/);
  const { json } = await server.request('/openid/v1/jwks');
  const [header = ''] = (await newToken()).split('.');
  const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string; alg: string };
  assert.deepEqual([at(json, 'keys', 0, 'kid'), at(json, 'keys', 0, 'alg')], [kid, alg]);
  assert.equal(at(json, 'keys', 0, 'd'), undefined, 'the private part stays here');
});

test('roles allow what they name and nothing else', async () => {
  const rules = [
    { apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list'] },
    { apiGroups: [''], resources: ['configmaps'], resourceNames: ['mine'], verbs: ['get', 'update', 'list'] },
  ];
  await server.request(`${RBAC}/namespaces/default/roles`, { body: { metadata: { name: 'reader' }, rules } });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' };
  const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'ann' }];
  await server.request(`${RBAC}/namespaces/default/rolebindings`, {
    body: { metadata: { name: 'ann' }, roleRef, subjects },
  });
  const code = async (path: string, method = 'GET'): Promise<number> =>
    (await server.request(path, { method, headers: asUser('ann') })).status;
  const maps = '/api/v1/namespaces/default/configmaps';
  assert.equal(await code(PODS), 200);
  assert.equal(await code(`${PODS}/x`), 404, 'may look, is not there');
  assert.equal(await code(`${PODS}?watch=true&timeoutSeconds=1`), 403);
  assert.equal(await code(`${PODS}/x`, 'DELETE'), 403);
  assert.equal(await code(`${PODS}/x/exec`), 403);
  assert.equal(await code('/api/v1/pods'), 403, 'not in all namespaces');
  assert.equal(await code('/api/v1/namespaces/kube-system/pods'), 403);
  assert.equal(await code(`${maps}/mine`), 404);
  assert.equal(await code(`${maps}/other`), 403);
  assert.equal(await code(maps), 403);
  assert.equal(await code(`${maps}?fieldSelector=metadata.name%3Dmine`), 200, 'the selector names the one allowed');
});

test('no spelling of a watch passes as a list', async () => {
  for (const value of ['1', 'true', 'TRUE', 'yes', '', 't']) {
    const { status } = await server.request(`${PODS}?watch=${value}&timeoutSeconds=1`, { headers: asUser('ann') });
    assert.equal(status, 403, value);
  }
});

test('an apply that creates needs the right to create', async () => {
  const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'patch'] }];
  await server.request(`${RBAC}/namespaces/default/roles`, { body: { metadata: { name: 'patcher' }, rules } });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'patcher' };
  const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'pat' }];
  await server.request(`${RBAC}/namespaces/default/rolebindings`, {
    body: { metadata: { name: 'pat' }, roleRef, subjects },
  });
  const { status, json } = await server.request('/api/v1/namespaces/default/secrets/new?fieldManager=m', {
    method: 'PATCH',
    contentType: 'application/apply-patch+yaml',
    headers: asUser('pat'),
    body: 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: new\n',
  });
  assert.equal(status, 403);
  assert.match(String(json['message']), /cannot create resource "secrets"/);
});

test('access reviews answer what a request would meet, with the reason', async () => {
  const resourceAttributes = { namespace: 'default', verb: 'list', resource: 'pods' };
  const reviews = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  const yes = await server.request(reviews, { body: { spec: { user: 'ann', resourceAttributes } } });
  assert.equal(at(yes.json, 'status', 'allowed'), true);
  const reason = 'RBAC: allowed by RoleBinding "ann/default" of Role "reader" to User "ann"';
  assert.equal(at(yes.json, 'status', 'reason'), reason);
  const no = await server.request(reviews, {
    body: { spec: { user: 'ann', resourceAttributes: { ...resourceAttributes, verb: 'delete' } } },
  });
  assert.deepEqual(no.json['status'], { allowed: false });
  assert.equal((await server.request(reviews, { body: { spec: { user: 'ann' } } })).status, 422);
  assert.equal((await server.request(reviews, { body: { spec: { resourceAttributes } } })).status, 422);
  assert.equal((await server.request(reviews)).status, 405);
});

test('the bootstrap roles view, edit and admin build on each other', async () => {
  const bind = (name: string): Promise<Reply> =>
    server.request(`${RBAC}/namespaces/default/rolebindings`, {
      body: {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: `${name}er` }],
      },
    });
  for (const name of ['view', 'edit', 'admin']) assert.equal((await bind(name)).status, 201);
  const may = async (user: string, verb: string, resource: string, group = ''): Promise<unknown> => {
    const spec = { user, resourceAttributes: { namespace: 'default', verb, resource, group } };
    const reply = await server.request('/apis/authorization.k8s.io/v1/subjectaccessreviews', { body: { spec } });
    return at(reply.json, 'status', 'allowed');
  };
  assert.deepEqual(await Promise.all(['viewer', 'editer', 'adminer'].map((user) => may(user, 'list', 'pods'))), [
    true,
    true,
    true,
  ]);
  assert.deepEqual(await Promise.all(['viewer', 'editer', 'adminer'].map((user) => may(user, 'list', 'secrets'))), [
    false,
    true,
    true,
  ]);
  const roles = ['viewer', 'editer', 'adminer'].map((user) =>
    may(user, 'create', 'roles', 'rbac.authorization.k8s.io'),
  );
  assert.deepEqual(await Promise.all(roles), [false, false, true]);
  const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' };
  const rules = [{ apiGroups: ['demo.io'], resources: ['foos'], verbs: ['get'] }];
  await server.request(`${RBAC}/clusterroles`, { body: { metadata: { name: 'foos', labels }, rules } });
  assert.equal(await may('adminer', 'get', 'foos', 'demo.io'), true, 'a labelled role adds to all three');
});

test('nobody grants more than they have', async () => {
  const headers = asUser('adminer');
  const roles = `${RBAC}/namespaces/default/roles`;
  const create = (name: string, verbs: readonly string[]): Promise<Reply> =>
    server.request(roles, {
      headers,
      body: { metadata: { name }, rules: [{ apiGroups: [''], resources: ['pods'], verbs }] },
    });
  assert.equal((await create('fine', ['get', 'delete'])).status, 201);
  const refused = await create('too-much', ['*']);
  assert.equal(refused.status, 403);
  assert.match(String(refused.json['message']), /attempting to grant RBAC permissions not currently held/);
  const binding = {
    metadata: { name: 'up' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'adminer' }],
  };
  assert.equal(
    (await server.request(`${RBAC}/namespaces/default/rolebindings`, { headers, body: binding })).status,
    403,
  );
});

test('acting as somebody else needs the right to', async () => {
  const { status, json } = await server.request(PODS, { headers: { ...asUser('root', 'system:masters') } });
  assert.equal(status, 200, 'the admin may be anybody');
  assert.equal(json['kind'], 'PodList');
  const headers = { ...bearer(await newToken()), ...asUser('root', 'system:masters') };
  const refused = await server.request(PODS, { as: 'nobody', headers });
  assert.equal(refused.status, 403);
  assert.match(String(refused.json['message']), /cannot impersonate resource "users"/);
});

test('a pod gets its account, token volume, tolerations and priority', async () => {
  const pod = await server.request(PODS, {
    body: {
      metadata: { name: 'dressed' },
      spec: {
        serviceAccountName: 'robot',
        initContainers: [{ name: 'i', image: 'x' }],
        containers: [{ name: 'c', image: 'x' }],
      },
    },
  });
  const volume = String(at(pod.json, 'spec', 'volumes', 0, 'name'));
  assert.match(volume, /^kube-api-access-/);
  for (const list of ['containers', 'initContainers']) {
    assert.equal(at(pod.json, 'spec', list, 0, 'volumeMounts', 0, 'name'), volume);
  }
  assert.equal(at(pod.json, 'spec', 'tolerations', 1, 'tolerationSeconds'), 300);
  assert.equal(at(pod.json, 'spec', 'priority'), 0);
  const unknown = await server.request(PODS, {
    body: { metadata: { name: 'x' }, spec: { serviceAccountName: 'ghost', containers: [{ name: 'c', image: 'x' }] } },
  });
  assert.equal(unknown.status, 403);
  assert.match(String(unknown.json['message']), /serviceaccount "ghost" not found/);
});
