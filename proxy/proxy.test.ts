import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { exchange, meshed, TestApp, TestMesh } from './testing/mesh.ts';

test('a request crosses two proxies with mutual TLS, and the application learns the client identity', async () => {
  await using mesh = await TestMesh.start();
  const seen: (string | undefined)[] = [];
  using app = await TestApp.start(
    createServer((request, response) => {
      seen.push(request.headers['l5d-client-id'] as string | undefined);
      response.end(`hello ${request.url}`);
    }),
  );
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const answer = await exchange(
    client.outboundPort,
    'GET /a HTTP/1.1\r\nhost: web\r\nl5d-client-id: forged\r\nconnection: close\r\n\r\n',
    { isEnding: false },
  );
  assert.match(answer.toString(), /^HTTP\/1.1 200 OK\r\n[\s\S]*hello \/a$/);
  assert.deepEqual(seen, ['client.shop.serviceaccount.identity.tulle.cluster.local']);
});
