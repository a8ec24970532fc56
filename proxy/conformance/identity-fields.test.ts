import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Flag, Frame } from '../http2/frames.ts';
import { exchange, identityOf, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import { answering } from '../testing/raw-server.ts';
import { hostileHttp2 } from './hostile-servers.ts';
import { block, frame, get, RawHttp2, SETTINGS, type Fields } from '../testing/raw-http2.ts';

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

test('what only proxies may say reaches no client in trailers or interim heads: HTTP/1', async () => {
  await using mesh = await TestMesh.start();
  const forged = FORGED.map((name) => `${name}: evil\r\n`).join('');
  const hints = `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n${forged}\r\n`;
  const head = `${hints}HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n`;
  const request = 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';
  using sound = await answering(`${head}0\r\nx-sum: 1\r\n\r\n`);
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.servePort(81, [meshed('web', sound.port, server)], false);
  const whole = (await exchange(client.outboundPort, request)).toString();
  assert.match(whole, /^HTTP\/1.1 103 [^]*HTTP\/1.1 200 [^]*ok\r\n0\r\nx-sum: *1\r\n\r\n$/);
  assert.doesNotMatch(whole, /l5d|evil/i);
  // Bytes of HTTP/1 pass as they are, so nothing is taken out of trailers: the response is broken off before them.
  for (const name of FORGED) {
    using app = await answering(`${head}0\r\nx-sum: 1\r\n${name}: evil\r\n\r\n`);
    mesh.servePort(mesh.servicePort + 1, [meshed('web', app.port, server)], false);
    const redirectedTo = { address: '127.0.0.1', port: app.port };
    const inbound = await mesh.proxy({ name: 'web', redirectedTo });
    for (const port of [client.outboundPort, inbound.inboundPort]) {
      const answer = (await exchange(port, request).catch(() => Buffer.alloc(0))).toString();
      const [refused] = /^l5d-proxy-error: server-malformed: .* among the trailers\r\n/m.exec(answer) ?? [''];
      assert.doesNotMatch(answer.replace(refused, ''), /l5d|evil|\r\n0\r\n[^]*\r\n\r\n$/i, name);
    }
  }
});

test('what only proxies may say reaches no client in trailers or interim heads: HTTP/2', async () => {
  await using mesh = await TestMesh.start();
  const forged: Fields = FORGED.map((name) => [name.toLowerCase(), 'evil']);
  const head = (id: number, flags: number, fields: Fields): Buffer =>
    frame(Frame.HEADERS, Flag.END_HEADERS | flags, id, block(fields));
  using app = await hostileHttp2(() => ({
    name: 'l5d fields',
    means: undefined,
    frames: (id) => [
      head(id, 0, [[':status', '103'], ['link', '</a>'], ...forged]),
      head(id, 0, [[':status', '200'], ...forged]),
      frame(Frame.DATA, 0, id, Buffer.from('ok')),
      head(id, Flag.END_STREAM, [['grpc-status', '0'], ...forged, ['x-sum', '1']]),
    ],
  }));
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  const inbound = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port: app.port } });
  mesh.serve([meshed('web', app.port, server)]);
  for (const port of [client.outboundPort, inbound.inboundPort]) {
    using asking = await RawHttp2.connect(port);
    asking.send(SETTINGS, get(1));
    await asking.until(() => asking.hasEnded(1));
    assert.equal(asking.content(1), 'ok');
    assert.equal(asking.fields(1), ':status: 103\r\nlink: </a>\r\n:status: 200\r\ngrpc-status: 0\r\nx-sum: 1\r\n');
  }
});

test('a server that switches protocols without being asked gets no tunnel', async () => {
  await using mesh = await TestMesh.start();
  using app = await answering('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const inbound = await mesh.proxy({ name: 'web', redirectedTo });
  const answer = await exchange(inbound.inboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
  assert.match(answer.toString(), /^HTTP\/1.1 502 .*\r\nl5d-proxy-error: server-malformed: /);
});
