import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Flag, Frame } from '../http2/frames.ts';
import { exchange, identityOf, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import { answering } from '../testing/raw-server.ts';
import { block, frame, RawHttp2, SETTINGS, type Fields } from '../testing/raw-http2.ts';

/** Names under which an application may find an identity, a requirement or an error of a proxy. */
const FORGED = ['l5d-client-id', 'L5D-Client-Id', 'l5d_client_id', 'L5d-Client_id', 'l5d-remote-ip', 'l5d-proxy-error'];

test('what only proxies may say reaches no application: HTTP/1', async () => {
  await using mesh = await TestMesh.start();
  using app = await TestApp.start(
    createServer((request, response) => response.end(JSON.stringify(request.rawHeaders))),
  );
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const inbound = await mesh.proxy({ name: 'web', redirectedTo });
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const fields = FORGED.map((name) => `${name}: evil\r\n`).join('');
  const head = `GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n${fields}\r\n`;
  const plain = (await exchange(inbound.inboundPort, head)).toString();
  assert.match(plain, /^HTTP\/1.1 200 /);
  assert.doesNotMatch(plain, /l5d|evil/i);
  const pair = (await exchange(client.outboundPort, head)).toString();
  assert.doesNotMatch(pair, /evil/);
  assert.deepEqual(pair.match(/l5d[^"]*/gi), ['l5d-client-id']);
  assert.ok(pair.includes(identityOf('client')));
});

test('what only proxies may say reaches no application: HTTP/2, with trailers', async () => {
  await using mesh = await TestMesh.start();
  let seen: readonly string[] = [];
  using app = await TestApp.start(
    createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        seen = [...request.rawHeaders, ...request.rawTrailers];
        response.end('ok');
      });
    }),
  );
  const server = await mesh.proxy({ name: 'web' });
  const { authority } = mesh.control;
  const peer = authority.leaf(identityOf('client'));
  using link = await RawHttp2.connectAsPeer(server.inboundPort, identityOf('web'), app.port, authority, peer);
  const forged: Fields = FORGED.map((name) => [name.toLowerCase(), 'evil']);
  const request: Fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'web'],
    [':path', '/'],
    ['l5d-orig-proto', 'HTTP/1.1'],
    ...forged,
  ];
  link.send(SETTINGS, frame(Frame.HEADERS, Flag.END_HEADERS, 1, block(request)));
  link.send(frame(Frame.DATA, 0, 1, Buffer.from('body')));
  link.send(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block([...forged, ['x-sum', '1']])));
  await link.until(() => link.hasEnded(1));
  assert.equal(link.content(1), 'ok');
  assert.ok(seen.includes('x-sum'));
  assert.ok(!seen.includes('evil'), seen.join(' '));
  assert.deepEqual(
    seen.filter((text) => /^l5d/i.test(text)),
    ['l5d-client-id'],
  );
});

test('what only proxies may say reaches no client of an application', async () => {
  await using mesh = await TestMesh.start();
  const fields = FORGED.map((name) => `${name}: evil\r\n`).join('');
  using app = await answering(`HTTP/1.1 200 OK\r\n${fields}content-length: 2\r\n\r\nok`);
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const answer = (
    await exchange(client.outboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n')
  ).toString();
  assert.match(answer, /^HTTP\/1.1 200 [^]*ok$/);
  assert.doesNotMatch(answer, /l5d|evil/i);
});

test('a server that switches protocols without being asked gets no tunnel', async () => {
  await using mesh = await TestMesh.start();
  using app = await answering('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const inbound = await mesh.proxy({ name: 'web', redirectedTo });
  const answer = await exchange(inbound.inboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
  assert.match(answer.toString(), /^HTTP\/1.1 502 .*\r\nl5d-proxy-error: server-malformed: /);
});
