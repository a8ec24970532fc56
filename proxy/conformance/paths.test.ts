import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { networkMatches } from '#model/authorization.ts';
import type { InboundServer } from '#model/inbound.ts';
import { normalTarget } from '../http/path.ts';
import { eventually, exchange, identityOf, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import { absentPrograms } from './backends.ts';

/** Clients at 127.0.0.1 are always let in; these come from elsewhere. */
const ELSEWHERE = '127.0.0.9';

/** Everybody may ask for everything, except what is below /admin. */
const POLICY: InboundServer = {
  ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
  protocol: {
    kind: 'detect',
    timeoutMs: 5000,
    routes: [
      {
        ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'httproute', name: 'all' },
        hosts: [],
        authorizations: [
          {
            ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'all' },
            networks: networkMatches(['0.0.0.0/0']),
            authentication: { kind: 'unauthenticated' },
          },
        ],
        rules: [{ matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }] }],
      },
      {
        ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'httproute', name: 'admin' },
        hosts: [],
        authorizations: [
          {
            ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'admin' },
            networks: networkMatches(['0.0.0.0/0']),
            authentication: { kind: 'identities', names: [identityOf('admin')], suffixes: [] },
          },
        ],
        rules: [{ matches: [{ path: { kind: 'prefix', value: '/admin' }, headers: [], queryParams: [] }] }],
      },
    ],
  },
  authorizations: [],
};

/** Ways to ask for /admin that some application understands. */
const TRICKS: readonly string[] = [
  '/admin',
  '/admin/',
  '//admin',
  '///admin',
  '/./admin',
  '/a/../admin',
  '/a/b/../../admin',
  '/../admin',
  '/%61dmin',
  '/%61%64%6d%69%6e',
  '/%2e/admin',
  '/a/%2e%2e/admin',
  '/a/.%2E/admin',
  '/a/..%2fadmin',
  '/a%2f..%2fadmin',
  '/a%2F%2E%2E%2Fadmin',
  '/a/..%5cadmin',
  '/%2fadmin',
  '/%2Fadmin',
  '/%5cadmin',
  '/admin%2f',
  '/admin%2fusers',
  '/\\admin',
  '\\admin',
  '/a\\..\\admin',
  '/admin;x=1',
  '/admin;/users',
  '/;x/admin',
  '/a/..;/admin',
  '/a/..;x=1/admin',
  '/admin#x',
  '/admin?x',
  '/a?/../admin',
  '/admin%00',
  '/admin%',
  '/admin/%',
  'http://web/admin',
  'http://web//admin',
  'http://web/a/../admin',
  'http://web\\admin',
  '/admin/..%2f..%2fadmin',
  '/a/..//admin',
  '/a//..//admin',
];
const METHODS = ['GET', 'get', 'HEAD', 'PURGE'];
/** First lines that a lenient server may read, and heads before which it may skip something. */
const LINES: readonly string[] = [
  '\r\n\r\nGET /admin HTTP/1.1\r\n',
  '\n\nGET /admin HTTP/1.1\r\n',
  'GET  /admin HTTP/1.1\r\n',
  ' GET /admin HTTP/1.1\r\n',
  'GET\t/admin\tHTTP/1.1\r\n',
  'GET /admin http/1.1\r\n',
  'GET /admin HTTP/1.1 \r\n',
  'GET /admin HTTP/1.1\n',
  'GET /admin HTTP/1.9\r\n',
];

/** Makes of a path whatever an application may. */
function isAdmin(url: string): boolean {
  const path = url.replace(/^[a-z]+:\/\/[^/\\?#]*/i, '').replace(/[?#].*/, '');
  const decoded = path.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return [path, decoded].some((text) => {
    const plain =
      text
        .replaceAll('\\', '/')
        .replace(/;[^/]*/g, '')
        .replace(/\/+/g, '/')
        .split('\0')[0] ?? '';
    return new URL(plain, 'http://web').pathname.toLowerCase().startsWith('/admin');
  });
}

test('no spelling of a path leads around the authorization of a route', async () => {
  await using stack = new AsyncDisposableStack();
  const mesh = stack.use(await TestMesh.start());
  const lenient = stack.use(
    await TestApp.start(
      createServer({ insecureHTTPParser: true }, (request, response) =>
        response.end(isAdmin(request.url ?? '') ? 'SECRET' : 'open'),
      ),
    ),
  );
  const ports = [lenient.port];
  if (!absentPrograms().includes('nginx')) ports.push(await startNginx(stack));
  for (const port of ports) {
    mesh.control.setPolicy(port, POLICY);
    const server = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port } });
    const ask = async (line: string): Promise<string> => {
      const head = `${line}host: web\r\nconnection: close\r\n\r\n`;
      const answer = exchange(server.inboundPort, Buffer.from(head, 'latin1'), { localAddress: ELSEWHERE });
      return (await answer.catch((error: Error) => Buffer.from(error.message))).toString('latin1');
    };
    await eventually(
      async () => (await ask('GET /admin HTTP/1.1\r\n')).startsWith('HTTP/1.1 403'),
      'the policy is there',
    );
    assert.match(await ask('GET /open HTTP/1.1\r\n'), /^HTTP\/1.1 200 [^]*open$/);
    for (const line of [...LINES, ...METHODS.flatMap((m) => TRICKS.map((path) => `${m} ${path} HTTP/1.1\r\n`))]) {
      const answer = await ask(line);
      assert.doesNotMatch(answer, /SECRET/, JSON.stringify(line));
    }
  }
});

/** Names its two locations, which it chooses by its own normal form of a path. */
async function startNginx(stack: AsyncDisposableStack): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => void listener.close(resolve));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${folder}/pid; error_log /dev/null; events { worker_connections 100; }
http { access_log off; ${temporary.join(' ')} server { listen 127.0.0.1:${port};
  location /admin { return 200 SECRET; } location / { return 200 open; } } }`,
  );
  const child = spawn('/usr/sbin/nginx', ['-e', join(folder, 'error'), '-c', file], { stdio: 'ignore' });
  const exit = once(child, 'exit');
  stack.defer(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  await eventually(
    async () => (await exchange(port, 'GET / HTTP/1.0\r\n\r\n').catch(() => '')).toString().endsWith('open'),
    'nginx answers',
  );
  return port;
}

test('an application sees the path that was routed and authorized', async () => {
  await using mesh = await TestMesh.start();
  using app = await TestApp.start(createServer((request, response) => response.end(request.url)));
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  for (const path of ['/a/../b?c=/../d', '/%41/%2e%2e/%7e', '/a//b', '/a%2Fb', '/a/./b/.']) {
    const head = `GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`;
    const answer = (await exchange(client.outboundPort, head)).toString();
    assert.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4), normalTarget(path), path);
  }
});
