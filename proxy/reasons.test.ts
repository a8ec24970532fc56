// Every response that the proxy makes itself says why, for people and for programs: `l5d-proxy-error: <code>: <reason>`.
import assert from 'node:assert/strict';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import type { HttpRule } from '#model/route.ts';
import type { Proxy } from './proxy.ts';
import { exchange, TestMesh, unmeshed } from './testing/mesh.ts';
import { backend, named, policy, rule, within } from './testing/routed.ts';

const NOBODY = 'nobody.shop.svc.cluster.local:80';

function at(path: string, change: Partial<HttpRule>): HttpRule {
  return rule({ matches: [{ path: { kind: 'exact', value: path }, headers: [], queryParams: [] }], ...change });
}

const RULES: readonly HttpRule[] = [
  at('/refused', { distribution: { kind: 'first-available', backends: [backend(NOBODY)] } }),
  at('/nowhere', { distribution: { kind: 'empty' } }),
  at('/injected', { filters: [{ kind: 'failure', status: 418, message: 'tea' }] }),
  at('/late', { filters: [{ kind: 'delay', delayMs: 10_000 }], timeouts: { requestMs: 20 } }),
];
/** What each path is answered: status of HTTP and of gRPC, and the code. */
const CASES: readonly (readonly [path: string, status: number, grpcStatus: number, code: string])[] = [
  ['/refused', 502, 14, 'connect-refused'],
  ['/nowhere', 502, 14, 'no-backend'],
  ['/late', 504, 14, 'request-timeout'],
  ['/unknown', 404, 12, 'no-route'],
];

/** One request over HTTP/2. */
function ask(proxy: Proxy, path: string, fields: Readonly<Record<string, string>>): Promise<IncomingHttpHeaders> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${proxy.outboundPort}`);
    session.on('error', reject);
    const stream = session.request(
      { ':method': 'POST', ':path': path, ':authority': 'web', ...fields },
      { endStream: true },
    );
    stream.on('response', (headers) => {
      session.destroy();
      resolve(headers);
    });
    stream.on('error', reject);
  });
}

test('the reason stands on responses of HTTP/1.1, HTTP/2 and gRPC', async () => {
  using one = await named('v1');
  await within([unmeshed(one.port)], policy(RULES), async ({ mesh, proxy }) => {
    mesh.control.setEndpoints(NOBODY, [unmeshed(1)]);
    for (const [path, status, grpcStatus, code] of CASES) {
      const reason = new RegExp(`^${code}: \\S`);
      const http1 = String(
        await exchange(proxy.outboundPort, `POST ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`),
      );
      assert.match(http1, new RegExp(`^HTTP/1\\.1 ${status} (?:.*\r\n)+l5d-proxy-error: ${code}: \\S`), path);
      const http2 = await ask(proxy, path, {});
      assert.equal(http2[':status'], status, path);
      assert.match(String(http2['l5d-proxy-error']), reason, path);
      const grpc = await ask(proxy, path, { 'content-type': 'application/grpc', te: 'trailers' });
      assert.deepEqual([grpc[':status'], grpc['grpc-status']], [200, String(grpcStatus)], path);
      assert.match(String(grpc['l5d-proxy-error']), reason, path);
      assert.ok(String(grpc['grpc-message']).length > 0, path);
    }
    for (const fields of [{}, { 'content-type': 'application/grpc', te: 'trailers' }]) {
      const injected = await ask(proxy, '/injected', fields);
      assert.deepEqual([injected[':status'], injected['l5d-proxy-error']], [418, 'injected: tea']);
    }
  });
});

test('so it does on the inbound side, and on what is no request at all', async () => {
  await using mesh = await TestMesh.start();
  using one = await named('v1');
  const redirectedTo = { address: '127.0.0.1', port: one.port };
  const server = await mesh.proxy({ name: 'web', redirectedTo, env: { INBOUND_DEFAULT_POLICY: 'deny' } });
  // Clients at 127.0.0.1 are always let in; these come from elsewhere.
  const send = async (bytes: string): Promise<string> =>
    String(await exchange(server.inboundPort, bytes, { localAddress: '127.0.0.9' }));
  const cases: readonly (readonly [bytes: string, answer: RegExp])[] = [
    [
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
      /^HTTP\/1\.1 403 .*\r\nl5d-proxy-error: unauthorized: \S/,
    ],
    ['GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n', /^HTTP\/1\.1 400 .*\r\nl5d-proxy-error: client-malformed: \S/],
    ['GET / HTTP/1.2\r\nhost: a\r\n\r\n', /^HTTP\/1\.1 505 .*\r\nl5d-proxy-error: version-unsupported: \S/],
    [
      `GET / HTTP/1.1\r\nhost: a\r\n${'x: y\r\n'.repeat(129)}\r\n`,
      /^HTTP\/1\.1 431 .*\r\nl5d-proxy-error: head-too-large: \S/,
    ],
    [
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n',
      /^HTTP\/1\.1 501 .*\r\nl5d-proxy-error: encoding-unsupported: \S/,
    ],
  ];
  for (const [bytes, answer] of cases) assert.match(await send(bytes), answer);
});
