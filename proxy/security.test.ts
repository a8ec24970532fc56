import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { InboundServer } from '#model/inbound.ts';
import { networkMatches } from '#model/authorization.ts';
import { createTestAuthority, tlsOptions, type TestAuthority } from '#pki/testing.ts';
import { eventually, exchange, identityOf, meshed, TestApp, TestMesh } from './testing/mesh.ts';
import { RawServer } from './testing/raw-server.ts';

const GET = 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';

/** An application that says who called. */
function whoami(): Promise<TestApp> {
  return TestApp.start(
    createServer((request, response) => response.end(`client=${String(request.headers['l5d-client-id'])}`)),
  );
}

/** Speaks TLS to the inbound port. @returns what came back, or the error */
function overTls(
  port: number,
  authority: TestAuthority,
  options: {
    readonly name?: string;
    readonly alpn?: string;
    readonly send: string | Buffer;
    readonly trust?: TestAuthority;
    readonly localAddress?: string;
  },
): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      servername: identityOf('web'),
      ca: (options.trust ?? authority).anchorsPem,
      checkServerIdentity: () => undefined,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      ...(options.alpn === undefined ? {} : { ALPNProtocols: [options.alpn] }),
      ...(options.name === undefined ? {} : tlsOptions(authority.leaf(identityOf(options.name)))),
    });
    socket.on('secureConnect', () => socket.write(options.send));
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', (error) => resolve(`error: ${error.message}`));
    socket.on('close', () => resolve(answer === '' ? 'closed' : answer));
  });
}

function policy(isAuthenticated: boolean): InboundServer {
  return {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
    protocol: { kind: 'detect', timeoutMs: 5000, routes: [] },
    authorizations: [
      {
        ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'friends' },
        networks: networkMatches(['0.0.0.0/0']),
        authentication: isAuthenticated
          ? { kind: 'identities', names: [identityOf('client')], suffixes: [] }
          : { kind: 'unauthenticated' },
      },
    ],
  };
}

test('plain text and TLS without a certificate are served as unauthenticated, TLS with one as that identity', async () => {
  await using mesh = await TestMesh.start();
  using app = await whoami();
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const server = await mesh.proxy({ name: 'web', redirectedTo });
  const { authority } = mesh.control;
  assert.match((await exchange(server.inboundPort, GET)).toString(), /client=undefined/);
  assert.match(await overTls(server.inboundPort, authority, { send: GET }), /client=undefined/);
  assert.match(
    await overTls(server.inboundPort, authority, { name: 'client', send: GET }),
    new RegExp(`client=${identityOf('client')}`),
  );
});

test('a certificate of another trust anchor is refused before a byte is served', async () => {
  await using mesh = await TestMesh.start();
  let requests = 0;
  using app = await TestApp.start(createServer((_request, response) => response.end(`${(requests += 1)}`)));
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const server = await mesh.proxy({ name: 'web', redirectedTo });
  const direct = await mesh.proxy({ name: 'web' });
  const foreign = createTestAuthority();
  const trust = mesh.control.authority;
  const answer = await overTls(server.inboundPort, foreign, { name: 'client', send: GET, trust });
  assert.match(answer, /^(closed|error: .*(ECONNRESET|disconnected|hang up).*)$/);
  const header = Buffer.from('transport.l5d.io/v1\r\n\r\n\0\0\0\x03\x08\x50', 'latin1');
  const alpn = 'transport.l5d.io/v1';
  assert.match(
    await overTls(direct.inboundPort, foreign, { name: 'client', alpn, send: header, trust }),
    /^(closed|error)/,
  );
  assert.equal(requests, 0);
});

test('the inbound port itself takes only peers with certificate, ALPN and transport header', async () => {
  await using mesh = await TestMesh.start();
  using app = await whoami();
  const { authority } = mesh.control;
  const server = await mesh.proxy({ name: 'web' });
  const port = Buffer.from([
    0x08,
    (app.port & 0x7f) | 0x80,
    ((app.port >> 7) & 0x7f) | 0x80,
    app.port >> 14,
    0x1a,
    2,
    0x0a,
    0,
  ]);
  const length = Buffer.from([0, 0, 0, port.length]);
  const send = Buffer.concat([Buffer.from('transport.l5d.io/v1\r\n\r\n'), length, port, Buffer.from(GET)]);
  const alpn = 'transport.l5d.io/v1';
  assert.match(await overTls(server.inboundPort, authority, { name: 'client', alpn, send }), /client=client\.shop/);
  assert.match(await overTls(server.inboundPort, authority, { alpn, send }), /^(closed|error)/);
  assert.match(await overTls(server.inboundPort, authority, { name: 'client', send }), /^(closed|error)/);
  assert.match(await overTls(server.inboundPort, authority, { name: 'client', alpn, send: GET }), /^(closed|error)/);
  assert.equal((await exchange(server.inboundPort, GET)).toString(), '');
});

test('the client refuses a server that is not who discovery says', async () => {
  await using mesh = await TestMesh.start();
  using app = await whoami();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  const impostor = { ...meshed('web', app.port, server) };
  const identity = { kind: 'dns', name: identityOf('bank'), serverName: identityOf('web') } as const;
  mesh.serve([{ ...impostor, identity }]);
  const answer = (await exchange(client.outboundPort, GET)).toString();
  assert.match(answer, /^HTTP\/1.1 502 Bad Gateway\r\nl5d-proxy-error: peer-identity: .*bank/);
});

test('a required identity is checked, and the requirement is not passed on', async () => {
  await using mesh = await TestMesh.start();
  using app = await TestApp.start(createServer((request, response) => response.end(JSON.stringify(request.headers))));
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const get = (identity: string): Promise<Buffer> =>
    exchange(client.outboundPort, GET.replace('\r\n\r\n', `\r\nl5d-require-id: ${identity}\r\n\r\n`));
  assert.match((await get(identityOf('bank'))).toString(), /^HTTP\/1.1 502 .*\r\nl5d-proxy-error: identity-required/);
  const fine = (await get(identityOf('web'))).toString();
  assert.match(fine, /^HTTP\/1.1 200/);
  assert.doesNotMatch(fine, /require-id/);
});

/** Clients at 127.0.0.1 are always let in; these come from elsewhere. */
const ELSEWHERE = '127.0.0.9';

test('policies decide per identity, follow changes, and say why they deny', async () => {
  await using mesh = await TestMesh.start();
  using app = await whoami();
  const { authority } = mesh.control;
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const server = await mesh.proxy({ name: 'web', redirectedTo, env: { INBOUND_DEFAULT_POLICY: 'deny' } });
  const plain = async (): Promise<string> =>
    (await exchange(server.inboundPort, GET, { localAddress: ELSEWHERE })).toString();
  const as = (name: string): Promise<string> =>
    overTls(server.inboundPort, authority, { name, send: GET, localAddress: ELSEWHERE });
  assert.match(
    await plain(),
    /^HTTP\/1.1 403 Forbidden\r\nl5d-proxy-error: unauthorized: default:deny denies the request/,
  );
  mesh.control.setPolicy(app.port, policy(true));
  await eventually(async () => (await as('client')).startsWith('HTTP/1.1 200'), 'the friend is let in');
  assert.match(
    await as('other'),
    /^HTTP\/1.1 403 .*\r\nl5d-proxy-error: unauthorized: server.policy.linkerd.io web denies.*other/,
  );
  assert.match(await plain(), /^HTTP\/1.1 403 .*\r\nl5d-proxy-error: unauthorized: .*no mesh TLS/);
  mesh.control.setPolicy(app.port, policy(false));
  await eventually(async () => (await plain()).startsWith('HTTP/1.1 200'), 'everybody is let in');
  const metrics = await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
  assert.match(
    metrics,
    /inbound_http_authz_deny_total\{[^}]*srv_name="web"[^}]*client_id="other[^}]*\} 1|inbound_http_authz_deny_total\{[^}]*client_id="other[^}]*srv_name="web"[^}]*\} 1/,
  );
  assert.match(metrics, /inbound_http_authz_allow_total\{[^}]*authz_name="friends"/);
});

test('opaque bytes are denied by closing the connection, also later', async () => {
  await using mesh = await TestMesh.start();
  using app = await RawServer.start((socket) => socket.pipe(socket));
  mesh.control.setPolicy(app.port, policy(false));
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const server = await mesh.proxy({ name: 'web', redirectedTo, env: { INBOUND_PORTS: String(app.port) } });
  const ask = (): Promise<string> =>
    exchange(server.inboundPort, '\x01\x02\x03', { localAddress: ELSEWHERE }).then(
      (answer) => answer.toString('latin1'),
      (error: Error) => error.message,
    );
  assert.equal(await ask(), '\x01\x02\x03');
  const open = connectTcp({ port: server.inboundPort, host: '127.0.0.1', localAddress: ELSEWHERE });
  open.write('\x01');
  await once(open, 'data');
  const cut = once(open, 'error');
  mesh.control.setPolicy(app.port, policy(true));
  assert.match(String(await cut), /ECONNRESET/);
  assert.match(await ask(), /ECONNRESET/);
});
