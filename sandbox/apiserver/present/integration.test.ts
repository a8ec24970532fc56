import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TestServer, withoutKubectl, type KubectlResult } from '../test-server.ts';

/** What kubectl makes of the presentation on the real server; what differs from a real cluster is an error here. */
const skip = withoutKubectl();
let server: TestServer;

before(async () => {
  server = await TestServer.start();
  await server.server.client.create('serviceaccounts', { metadata: { name: 'default', namespace: 'default' } });
});
after(() => server[Symbol.asyncDispose]());

function attempt(args: string, input?: string): Promise<KubectlResult> {
  return server.kubectl(args.split(' '), input);
}

async function kubectl(args: string, input?: string): Promise<string> {
  const { code, stdout, stderr } = await attempt(args, input);
  assert.equal(code, 0, `kubectl ${args}: ${stderr}`);
  return stdout;
}

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
      additionalPrinterColumns:
        - { name: Size, type: integer, jsonPath: .spec.size }
        - { name: Hosts, type: string, jsonPath: .spec.hosts, priority: 1 }
        - { name: Since, type: date, jsonPath: .metadata.creationTimestamp }
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: { type: object, properties: { size: { type: integer, description: How big. }, hosts: { type: array, items: { type: string } } } }
`;
const custom = `
apiVersion: demo.io/v1
kind: Foo
metadata: { name: f1, namespace: default }
spec: { size: 3, hosts: [a, b] }
`;

test('a definition and its resource in one file need two runs, and the first says why', { skip }, async () => {
  const both = `${definition}---${custom}`;
  const first = await attempt('apply -f -', both);
  assert.equal(first.code, 1);
  assert.match(first.stdout, /foos\.demo\.io created/);
  assert.match(first.stderr, /no matches for kind "Foo" in version "demo\.io\/v1"\nensure CRDs are installed first/);
  assert.match(await kubectl('apply -f -', both), /foos\.demo\.io unchanged\nfoo\.demo\.io\/f1 created/);
  assert.match(await kubectl('apply -f -', both), /foo\.demo\.io\/f1 unchanged/);
});

test('a List in JSON is applied item by item', { skip }, async () => {
  const configMap = (name: string): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: {} });
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [configMap('l1'), configMap('l2')] });
  assert.equal(await kubectl('apply -f -', list), 'configmap/l1 created\nconfigmap/l2 created\n');
});

test('custom resources have their columns, categories and documentation at once', { skip }, async () => {
  assert.match(await kubectl('get fo'), /^NAME +SIZE +SINCE\nf1 +3 +\d+s\n$/);
  assert.match(await kubectl('get fo f1 -o wide'), /SIZE +HOSTS +SINCE\nf1 +3 +\["a","b"\] +\d+s\n$/);
  assert.match(await kubectl('get all'), /foo\.demo\.io\/f1 +3/);
  assert.match(await kubectl('explain foo.spec.size'), /FIELD: size <integer>[\s\S]*How big\./);
});

test('a custom resource is shown whole by describe', { skip }, async () => {
  assert.match(await kubectl('describe fo f1'), /API Version: +demo\.io\/v1[\s\S]*Hosts:\n +a\n +b\n +Size: +3/);
});

test('describe finds what it needs for every kind that is served', { skip }, async () => {
  await kubectl('create deployment web --image=x --replicas=2');
  await kubectl('expose deployment web --port=80');
  await kubectl('create job j --image=x -- true');
  await kubectl('create cronjob cj --image=x --schedule=@daily -- true');
  await kubectl('create ingress i --rule=a.b/x=web:80');
  await kubectl('create poddisruptionbudget pdb --selector=app=web --min-available=1');
  await kubectl('create role r --verb=get --resource=pods');
  await kubectl('create rolebinding rb --role=r --user=bob');
  const list = await kubectl('api-resources --verbs=list -o name');
  for (const resource of list.trim().split('\n')) {
    const { code, stderr } = await attempt(`describe ${resource} -A`);
    assert.equal(code, 0, `describe ${resource}: ${stderr}`);
  }
});

test('edit sends what the editor changed', { skip }, async () => {
  const editor = join(server.directory, 'editor.sh');
  writeFileSync(editor, '#!/bin/sh\nsed -i "s/replicas: 2/replicas: 5/" "$1"\n');
  chmodSync(editor, 0o755);
  process.env['KUBE_EDITOR'] = editor; // the child inherits it
  try {
    assert.match(await kubectl('edit deployment web'), /deployment\.apps\/web edited/);
  } finally {
    delete process.env['KUBE_EDITOR'];
  }
  assert.equal(await kubectl('get deployment web -o jsonpath={.spec.replicas}'), '5');
});

test('sorting asks for whole objects in the table', { skip }, async () => {
  await kubectl('create configmap b --from-literal=x=1');
  await kubectl('create configmap a --from-literal=x=2');
  const sorted = await kubectl('get configmaps --sort-by=.data.x --no-headers');
  assert.match(sorted, /^b +1 +\d+s\na +1/m);
});

test('events show in the table, by kubectl events and in describe', { skip }, async () => {
  const { client } = server.server;
  const deployment = client.get('deployments.apps', 'default', 'web');
  assert.ok(deployment);
  client.event(deployment, 'Warning', 'Broken', 'It does not work.', 'tester');
  const line = /Warning +Broken +[Dd]eployment\/web +It does not work\./;
  const deadline = Date.now() + 5000;
  while (!line.test(await kubectl('get events'))) assert.ok(Date.now() < deadline, 'the event is stored');
  assert.match(await kubectl('events'), line);
  assert.match(await kubectl('describe deployment web'), /Warning +Broken +\S+ +tester +It does not work\./);
});
