import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { KubeObject } from '../object.ts';
import { Registry } from '../registry.ts';
import { negotiate } from './accept.ts';
import { Discovery } from './discovery.ts';
import type { Document } from './document.ts';
import { OpenApi } from './openapi.ts';
import { listTable, tablePrinter } from './table.ts';

/** The real kubectl against these documents alone, without store, authentication or TLS. */
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
const options = { skip: hasKubectl ? false : 'SKIPPED: no kubectl on PATH, discovery and tables stay unproven' };

const registry = new Registry();
const discovery = new Discovery(registry, () => '127.0.0.1:1');
const openApi = new OpenApi(registry);
registry.setCustom('foos.demo.io', [
  {
    group: 'demo.io',
    version: 'v1',
    kind: 'Foo',
    plural: 'foos',
    singular: 'foo',
    listKind: 'FooList',
    shortNames: ['fo'],
    categories: ['all'],
    isNamespaced: true,
    hasStatus: false,
    hasScale: false,
    hasGeneration: true,
    subresources: [],
    verbs: ['get', 'list', 'create', 'update', 'patch', 'delete', 'watch'],
    custom: {
      definition: 'foos.demo.io',
      storageVersion: 'v1',
      storageSchema: {},
      schema: {
        type: 'object',
        properties: { spec: { type: 'object', properties: { size: { type: 'integer', description: 'How big.' } } } },
      },
      printerColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
      selectableFields: [],
    },
  },
]);

const metadata = { namespace: 'default', uid: 'u', resourceVersion: '7', creationTimestamp: new Date().toISOString() };
const objects: Readonly<Record<string, KubeObject>> = {
  pods: {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web-1', labels: { app: 'web' }, ...metadata },
    spec: { containers: [{ name: 'main' }], nodeName: 'sandbox' },
    status: {
      phase: 'Running',
      podIPs: [{ ip: '10.42.0.9' }],
      containerStatuses: [{ name: 'main', ready: true, restartCount: 0, state: { running: {} } }],
    },
  },
  foos: { apiVersion: 'demo.io/v1', kind: 'Foo', metadata: { name: 'f1', ...metadata }, spec: { size: 4 } },
};

function send(response: ServerResponse, { status, headers, body }: Document): void {
  response.writeHead(status, headers).end(body);
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '', 'http://x');
  const headers = { accept: request.headers.accept, 'if-none-match': request.headers['if-none-match'] };
  const document = discovery.answer(url.pathname, headers) ?? openApi.answer(url.pathname, url.searchParams, headers);
  const json = { 'Content-Type': 'application/json' };
  if (document !== undefined) return send(response, document);
  if (url.pathname === '/version') {
    return send(response, { status: 200, headers: json, body: '{"major":"1","minor":"32","gitVersion":"v1.32.5"}' });
  }
  const plural = /\/namespaces\/default\/(\w+)$/.exec(url.pathname)?.[1] ?? '';
  const object = objects[plural];
  const type = registry.all().find((candidate) => candidate.plural === plural);
  if (object === undefined || type === undefined || negotiate(request.headers.accept).kind !== 'table') {
    return send(response, { status: 404, headers: {}, body: '404 page not found' });
  }
  const table = { version: 'v1', includeObject: 'Metadata', hasColumns: true, nowMs: Date.now() } as const;
  const body = JSON.stringify(listTable(tablePrinter(type), [object], { resourceVersion: '7' }, table));
  return send(response, { status: 200, headers: json, body });
}

const home = mkdtempSync(path.join(tmpdir(), 'tulle-kubectl-'));
const server = createServer(answer);

before(async () => {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
    users: [{ name: 'c', user: {} }],
    'current-context': 'c',
  };
  writeFileSync(path.join(home, 'config'), JSON.stringify(config));
});

after(() => {
  server.close();
  rmSync(home, { recursive: true, force: true });
});

async function kubectl(...args: readonly string[]): Promise<string> {
  const env = { PATH: process.env['PATH'], HOME: home, KUBECONFIG: path.join(home, 'config') };
  const { stdout } = await promisify(execFile)('kubectl', args, { env, timeout: 30_000 });
  return stdout;
}

test('kubectl api-resources lists built-in and custom resources', options, async () => {
  const list = await kubectl('api-resources', '-o', 'wide');
  assert.match(list, /^deployments +deploy +apps\/v1 +true +Deployment +create,delete,\S+ +all$/m);
  assert.match(list, /^foos +fo +demo\.io\/v1 +true +Foo/m);
  assert.match(await kubectl('api-versions'), /^demo\.io\/v1$/m);
});

test('kubectl get prints the columns of the table, the wide ones only with -o wide', options, async () => {
  const plain = await kubectl('get', 'po', '--show-labels');
  assert.match(plain, /^NAME +READY +STATUS +RESTARTS +AGE +LABELS\nweb-1 +1\/1 +Running +0 +\d+s +app=web\n$/);
  const wide = await kubectl('get', 'pods', '-o', 'wide');
  assert.match(wide, /IP +NODE +NOMINATED NODE +READINESS GATES\nweb-1 .* 10\.42\.0\.9 +sandbox +<none> +<none>\n$/);
  assert.match(await kubectl('get', 'fo'), /^NAME +SIZE\nf1 +4\n$/);
});

test('kubectl explain describes built-in and custom kinds', options, async () => {
  const pod = await kubectl('explain', 'pods.spec.containers.ports');
  assert.match(pod, /FIELD: ports <\[\]ContainerPort>/);
  assert.match(pod, /containerPort\t<integer> -required-\n {4}Number of port to expose on the pod's IP address/);
  assert.match(await kubectl('explain', 'deploy', '--recursive'), /replicas\t<integer>/);
  const foo = await kubectl('explain', 'foo.spec');
  assert.match(foo, /size\t<integer>\n {4}How big\./);
});
