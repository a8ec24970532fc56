import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { TestServer, withoutKubectl } from '../test-server.ts';
import { LocalAgent } from './testing/local-agent.ts';

/** Streams and presentation behind the real server: TLS, credentials, rights, store. */
const skip = withoutKubectl();
const agent = new LocalAgent();
const web = createServer((request, response) => response.end(`you asked for ${request.url ?? ''}`));
let server: TestServer;

before(async () => {
  server = await TestServer.start();
  server.server.connectNode(agent);
  const { client } = server.server;
  await client.create('serviceaccounts', { metadata: { name: 'default', namespace: 'default' } });
  await client.create('pods', {
    metadata: { name: 'web', namespace: 'default' },
    spec: { containers: [{ name: 'main', image: 'x' }] },
  });
  const pod = client.get('pods', 'default', 'web');
  assert.ok(pod);
  await client.update('pods', { ...pod, status: { phase: 'Running' } }, 'status');
  await new Promise<void>((resolve) => {
    web.listen(0, '127.0.0.1', resolve);
  });
});

after(async () => {
  await server[Symbol.asyncDispose]();
  web.close();
  web.closeAllConnections();
});

test('kubectl exec runs a command over TLS', { skip }, async () => {
  const { code, stdout } = await server.kubectl(['exec', 'web', '--', 'sh', '-c', 'echo hello; exit 6']);
  assert.equal(stdout, 'hello\n');
  assert.equal(code, 6);
});

test('kubectl exec without the right to is forbidden', { skip }, async () => {
  const { code, stderr } = await server.kubectl(['exec', 'web', '--as', 'bob', '--', 'true']);
  assert.equal(code, 1);
  assert.match(stderr, /User "bob" cannot get resource "pods/);
});

test('kubectl exec and logs of a pod that does not exist say so', { skip }, async () => {
  assert.match((await server.kubectl(['exec', 'none', '--', 'true'])).stderr, /pods "none" not found/);
  assert.match((await server.kubectl(['logs', 'none'])).stderr, /pods "none" not found/);
});

test('kubectl logs follows a log to its end', { skip }, async () => {
  assert.equal((await server.kubectl(['logs', '-f', 'web', '--tail', '10'])).stdout, 'one\ntwo\n');
  const { stderr } = await server.kubectl(['logs', 'web', '-c', 'other']);
  assert.match(stderr, /container other is not valid for pod web/);
});

test('kubectl port-forward reaches a port of the pod over TLS', { skip }, async () => {
  const { port } = web.address() as AddressInfo;
  const child = spawn('kubectl', ['port-forward', 'pod/web', `:${port}`], {
    env: { PATH: process.env['PATH'], HOME: server.directory, KUBECONFIG: server.kubeconfigPath },
  });
  try {
    const local = await new Promise<number>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        const match = /127\.0\.0\.1:(\d+) ->/.exec(chunk.toString());
        if (match !== null) resolve(Number(match[1]));
      });
    });
    const body = await new Promise<string>((resolve, reject) => {
      get({ port: local, host: '127.0.0.1', path: '/tls', agent: false }, (response) => {
        response.setEncoding('utf8').once('data', resolve);
      }).once('error', reject);
    });
    assert.equal(body, 'you asked for /tls');
  } finally {
    child.kill();
  }
});
