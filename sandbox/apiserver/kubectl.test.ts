import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestServer, until, withoutKubectl } from './test-server.ts';

// What people type. Expectations are what kubectl prints against a real cluster.
const skip = withoutKubectl();
let server: TestServer;
before(async () => {
  server = await TestServer.start();
  await server.server.client.create('serviceaccounts', { metadata: { name: 'default', namespace: 'default' } });
});
after(() => server[Symbol.asyncDispose]());

/** Runs kubectl and expects it to succeed. */
async function kubectl(args: string, input?: string): Promise<string> {
  const { code, stdout, stderr } = await server.kubectl(args.split(' '), input);
  assert.equal(code, 0, `kubectl ${args}: ${stderr}`);
  return stdout;
}

/** Runs kubectl and expects it to fail. */
async function refusal(args: string, input?: string): Promise<string> {
  const { code, stderr } = await server.kubectl(args.split(' '), input);
  assert.notEqual(code, 0, `kubectl ${args} should fail`);
  return stderr;
}

const manifest = (image: string): string => `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop, labels: { app: web } }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - { name: main, image: ${image}, ports: [{ name: http, containerPort: 8080 }] }
        - { name: side, image: side }
`;

test('apply creates, then changes nothing, then configures', { skip }, async () => {
  assert.match(
    await kubectl('apply -f -', manifest('one')),
    /namespace\/shop created\nservice\/web created\ndeployment.apps\/web created/,
  );
  assert.match(
    await kubectl('apply -f -', manifest('one')),
    /namespace\/shop unchanged\nservice\/web unchanged\ndeployment.apps\/web unchanged/,
  );
  assert.match(await kubectl('apply -f -', manifest('two')), /service\/web unchanged\ndeployment.apps\/web configured/);
  assert.equal(
    await kubectl('get deploy web -n shop -o jsonpath={.spec.template.spec.containers[*].image}'),
    'two side',
  );
  assert.equal(await kubectl('get deploy web -n shop -o jsonpath={.metadata.generation}'), '2');
});

test('diff shows what apply would change, and a dry run does not do it', { skip }, async () => {
  const { code, stdout } = await server.kubectl(['diff', '-f', '-'], manifest('three'));
  assert.equal(code, 1);
  assert.match(stdout, /\+\s+- image: three|\+ +image: three/);
  assert.match(
    await kubectl('apply --dry-run=server -f -', manifest('three')),
    /deployment.apps\/web configured \(server dry run\)/,
  );
  assert.match(await kubectl('get deploy web -n shop -o jsonpath={.spec.template.spec.containers[0].image}'), /two/);
});

test('get prints tables, wide tables, yaml and the columns asked for', { skip }, async () => {
  const table = await kubectl('get deploy -n shop');
  assert.match(table, /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/2 +0 +0 +\d+s\n$/);
  assert.match(
    await kubectl('get deploy -n shop -o wide'),
    /CONTAINERS +IMAGES +SELECTOR\n.*main,side +two,side +app=web/,
  );
  assert.match(await kubectl('get svc -n shop web -o yaml'), /clusterIP: 10\.96\./);
  assert.match(await kubectl('get deploy -A -o name'), /deployment.apps\/web/);
  assert.match(await kubectl('get all -n shop'), /service\/web[\s\S]*deployment.apps\/web/);
  assert.match(await kubectl('get deploy -n shop -l app=web --show-labels --no-headers'), /app=web/);
  assert.match(await kubectl('get deploy -n shop --sort-by=.metadata.name'), /web/);
});

test('annotate, label, patch, scale, set and rollout restart change the object', { skip }, async () => {
  await kubectl('annotate namespace shop linkerd.io/inject=enabled');
  await kubectl('label deploy -n shop web tier=front');
  await kubectl('patch deploy -n shop web -p {"spec":{"minReadySeconds":3}}');
  await kubectl('patch deploy -n shop web --type=json -p [{"op":"add","path":"/metadata/labels/j","value":"x"}]');
  await kubectl('scale deploy -n shop web --replicas=3 --current-replicas=2');
  await kubectl('set image -n shop deploy/web side=other');
  await kubectl('set env -n shop deploy/web A=b');
  await kubectl('rollout restart -n shop deploy/web');
  const shown = await kubectl(
    'get deploy web -n shop -o jsonpath={.metadata.labels.tier}/{.metadata.labels.j}/{.spec.replicas}/{.spec.minReadySeconds}/{.spec.template.spec.containers[1].image}/{.spec.template.spec.containers[0].env[0].value}',
  );
  assert.equal(shown, 'front/x/3/3/other/b');
  assert.match(
    await kubectl('get deploy web -n shop -o jsonpath={.spec.template.metadata.annotations}'),
    /restartedAt/,
  );
  assert.match(
    await refusal('scale deploy -n shop web --replicas=4 --current-replicas=9'),
    /Expected replicas to be 9/,
  );
});

test('create makes objects from protobuf bodies', { skip }, async () => {
  await kubectl('create configmap cm --from-literal=a=b');
  assert.equal(await kubectl('get cm cm -o jsonpath={.data.a}'), 'b');
  await kubectl('create secret generic s --from-literal=p=w');
  assert.equal(await kubectl('get secret s -o jsonpath={.type}/{.data.p}'), 'Opaque/dw==');
  await kubectl('create deployment d --image=x --replicas=2');
  await kubectl('create role r --verb=get,list --resource=pods,deployments.apps');
  await kubectl('create rolebinding rb --role=r --serviceaccount=default:default');
  await kubectl('create job j --image=x');
  assert.match(await kubectl('get job j -o jsonpath={.spec.selector.matchLabels}'), /controller-uid/);
  assert.match(await kubectl('create token default'), /^eyJ/);
  assert.match(await refusal('create configmap cm --from-literal=a=b'), /configmaps "cm" already exists/);
});

test('auth answers what somebody may do', { skip }, async () => {
  assert.match(await kubectl('auth whoami'), /Username +kubernetes-admin/);
  assert.equal(await kubectl('auth can-i create deployments'), 'yes\n');
  const account = '--as=system:serviceaccount:default:default';
  assert.equal(await kubectl(`auth can-i list pods ${account}`), 'yes\n');
  assert.equal((await server.kubectl(['auth', 'can-i', 'delete', 'pods', account])).stdout, 'no\n');
  assert.match(await kubectl(`auth can-i --list ${account}`), /deployments.apps +\[\] +\[\] +\[get list\]/);
  assert.match(await refusal(`delete deploy d ${account}`), /Forbidden.*cannot delete resource "deployments"/);
});

test('run, expose and describe know pods and Services', { skip }, async () => {
  await kubectl('run p --image=nginx --port=80');
  await kubectl('expose pod p');
  assert.match(
    await kubectl('describe pod p'),
    /Service Account: +default[\s\S]*Status: +Pending[\s\S]*QoS Class: +BestEffort/,
  );
  assert.match(await kubectl('describe svc p'), /TargetPort: +80\/TCP/);
  assert.match(await kubectl('describe deploy -n shop web'), /StrategyType: +RollingUpdate/);
  assert.match(await kubectl('describe ns shop'), /Status: +Active/);
});

test('wait ends when a condition comes true', { skip }, async () => {
  const waiting = server.kubectl(['wait', 'pod/p', '--for=condition=Ready', '--timeout=10s']);
  const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }];
  await server.server.client.patch('pods', 'default', 'p', 'merge', { status: { conditions } }, 'status');
  const { code, stdout } = await waiting;
  assert.deepEqual([code, stdout], [0, 'pod/p condition met\n']);
});

test('get -w prints every change of the table', { skip }, async () => {
  const { client } = server.server;
  let isOver = false;
  const watching = server.kubectl(['get', 'cm', '-w', '-l', 'watched=yes', '--request-timeout=2s']);
  void watching.finally(() => (isOver = true));
  await client.create('configmaps', { metadata: { name: 'seen', namespace: 'default', labels: { watched: 'yes' } } });
  let changes = 0;
  await until('kubectl is done', async () => {
    changes += 1;
    await client.patch('configmaps', 'default', 'seen', 'merge', { data: { [`k${changes}`]: 'x' } });
    return isOver;
  });
  assert.match((await watching).stdout, /^NAME +DATA +AGE\n(seen +\d+ +\d+s\n){3}/);
});

test('delete waits for the object to be gone', { skip }, async () => {
  await kubectl('delete deploy d');
  assert.match(await refusal('get deploy d'), /NotFound.*deployments.apps "d" not found/);
  await server.server.client.patch('pods', 'default', 'p', 'merge', { spec: { nodeName: 'n' } }, 'binding');
  const deleting = server.kubectl(['delete', 'pod', 'p', '--timeout=10s']);
  const { client } = server.server;
  await until('the pod is marked', () => client.get('pods', 'default', 'p')?.metadata.deletionTimestamp !== undefined);
  assert.equal(client.get('pods', 'default', 'p')?.metadata.deletionGracePeriodSeconds, 30);
  await client.delete('pods', 'default', 'p', { gracePeriodSeconds: 0 });
  assert.equal((await deleting).code, 0);
});

test('custom resources are there as soon as their definition is established', { skip }, async () => {
  const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: foos.demo.io }
spec:
  group: demo.io
  scope: Namespaced
  names: { plural: foos, kind: Foo, shortNames: [fo], categories: [all] }
  versions:
    - name: v1
      served: true
      storage: true
      subresources: { status: {}, scale: { specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas } }
      additionalPrinterColumns: [{ name: Size, type: integer, jsonPath: .spec.size }]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [size]
              properties: { size: { type: integer, maximum: 10 }, colour: { type: string, default: red }, replicas: { type: integer } }
            status: { type: object, x-kubernetes-preserve-unknown-fields: true }
`;
  const foo = (spec: string): string =>
    `{"apiVersion": "demo.io/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": ${spec}}`;
  await kubectl('apply -f -', definition);
  await kubectl('wait --for=condition=Established crd/foos.demo.io --timeout=5s');
  assert.match(await kubectl('apply -f -', foo('{"size": 3}')), /foo.demo.io\/a created/);
  assert.match(await kubectl('apply -f -', foo('{"size": 4}')), /configured/);
  assert.match(await kubectl('get fo'), /^NAME +SIZE\na +4\n$/);
  assert.equal(await kubectl('get foo a -o jsonpath={.spec.colour}/{.metadata.generation}'), 'red/2');
  await kubectl('scale foo a --replicas=7');
  assert.match(await refusal('apply -f -', foo('{"size": 99}')), /spec.size: Invalid value/);
  assert.match(await refusal('apply -f -', foo('{"size": 1, "zzz": 1}')), /unknown field "spec.zzz"/);
  assert.match(await refusal('apply -f -', foo('{}')), /spec.size: Required value/);
  assert.match(await refusal('patch foo a -p {}'), /415|UnsupportedMediaType|not supported|unknown format/);
  assert.match(await kubectl('explain foo.spec.size'), /FIELD: size <integer>/);
  assert.match(await kubectl('apply -f -', definition), /unchanged/);
  await kubectl('delete crd foos.demo.io');
  assert.match(await refusal('get foos'), /the server could not find the requested resource/);
});

test('server-side apply keeps owners apart and repeats without a change', { skip }, async () => {
  const config = (data: string): string =>
    `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": ${data}}`;
  const version = (): Promise<string> => kubectl('get cm ssa -o jsonpath={.metadata.resourceVersion}');
  assert.match(await kubectl('apply --server-side -f -', config('{"a": "1", "b": "2"}')), /serverside-applied/);
  const before = await version();
  await kubectl('apply --server-side -f -', config('{"a": "1", "b": "2"}'));
  assert.equal(await version(), before);
  await kubectl('patch cm ssa -p {"data":{"a":"9"}}');
  const conflict = await refusal('apply --server-side -f -', config('{"a": "1"}'));
  assert.match(conflict, /Apply failed with 1 conflict: conflict with "kubectl-patch" using v1: .data.a/);
  await kubectl('apply --server-side --force-conflicts -f -', config('{"a": "1"}'));
  assert.equal(await kubectl('get cm ssa -o jsonpath={.data}'), '{"a":"1"}', 'what is applied no longer goes');
  await kubectl('apply -f -', config('{"a": "1", "c": "3"}'));
  await kubectl('apply --server-side -f -', config('{"a": "1", "c": "4"}'));
  assert.equal(await kubectl('get cm ssa -o jsonpath={.data.c}'), '4', 'after client-side apply as well');
});

test('mistakes are told in the words people know', { skip }, async () => {
  assert.match(await refusal('get unicorns'), /the server doesn't have a resource type "unicorns"/);
  const bad = manifest('x').replace('replicas: 2', 'replicaz: 2');
  assert.match(await refusal('apply -f -', bad), /strict decoding error: unknown field "spec.replicaz"/);
  const wrong = manifest('x').replace('replicas: 2', 'replicas: two');
  assert.match(await refusal('apply -f -', wrong), /cannot unmarshal string into Go struct field/);
  assert.match(await refusal('delete ns default'), /this namespace may not be deleted/);
  assert.match(await refusal('debug -n shop deploy/web --image=x'), /./);
});

test('api-resources, api-versions and explain describe what is served', { skip }, async () => {
  const resources = await kubectl('api-resources');
  for (const line of [/^pods +po +v1 +true +Pod$/m, /^deployments +deploy +apps\/v1 +true +Deployment$/m]) {
    assert.match(resources, line);
  }
  assert.match(await kubectl('api-versions'), /^apps\/v1$/m);
  assert.match(await kubectl('explain deployment.spec.replicas'), /FIELD: replicas <integer>/);
  assert.match(await kubectl('cluster-info'), /is running at/);
});
