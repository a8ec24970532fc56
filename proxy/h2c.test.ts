import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp2Server } from 'node:http2';
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { app, metrics } from './testing/routed.ts';
import { eventually, exchange, listen, meshed, TestMesh, unmeshed } from './testing/mesh.ts';
import type { Proxy } from './proxy.ts';

const run = promisify(execFile);
const lacking = (program: string): string | false =>
  spawnSync(program, ['-V'], { stdio: 'ignore' }).error !== undefined && `this machine has no ${program}`;

/** To a meshed server and to one without a proxy. */
async function bothWays(port: number, use: (url: string, client: Proxy) => Promise<void>): Promise<void> {
  await using mesh = await TestMesh.start();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  for (const [servicePort, endpoint] of [
    [81, meshed('web', port, server)],
    [82, unmeshed(port)],
  ] as const) {
    mesh.servePort(servicePort, [endpoint], false);
    await use(`http://127.0.0.1:${client.outboundPort}`, client);
  }
}

async function curl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('curl', ['--silent', '--show-error', '--max-time', '10', '--noproxy', '*', ...args]);
  return stdout;
}

test('a request that offers h2c by Upgrade is served as HTTP/1.1, and its offer goes no further', async () => {
  const seen: (string | undefined)[] = [];
  using web = await app((request, response) => {
    seen.push(request.headers.upgrade, request.headers.connection, request.headers['http2-settings'] as string);
    response.end(request.method);
  });
  await bothWays(web.port, async (_url, client) => {
    const offer =
      'host: web\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n';
    const body = 'content-length: 4\r\n\r\nbody';
    const requests = `GET / HTTP/1.1\r\n${offer}\r\nPOST / HTTP/1.1\r\n${offer}${body}GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`;
    const answer = (await exchange(client.outboundPort, requests)).toString();
    assert.equal(answer.match(/HTTP\/1\.1 200 OK/g)?.length, 3, answer);
    assert.doesNotMatch(answer, /101/);
  });
  assert.deepEqual(
    seen.filter((value) => value !== undefined && value !== 'keep-alive' && value !== 'close'),
    [],
  );
});

test(
  'curl --http2 gets its answers over HTTP/1.1, several over one connection',
  { skip: lacking('curl') },
  async () => {
    using web = await app((request, response) => void response.end(`${request.method} ${request.httpVersion};`));
    await bothWays(web.port, async (url) => {
      const format = '%{http_version} %{http_code} %{num_connects}\n';
      const answer = await curl('--http2', '-w', format, `${url}/a`, `${url}/b`);
      assert.equal(answer, 'GET 1.1;1.1 200 1\nGET 1.1;1.1 200 0\n');
      assert.equal(await curl('--http2', '-d', 'body', '-w', format, url), 'POST 1.1;1.1 200 1\n');
    });
  },
);

test('curl --http2-prior-knowledge is HTTP/2 to the server', { skip: lacking('curl') }, async () => {
  const server = await listen(
    createHttp2Server((request, response) => void response.end(`${request.method} ${request.httpVersion};`)),
  );
  await bothWays((server.address() as AddressInfo).port, async (url, client) => {
    const answer = await curl('--http2-prior-knowledge', '-w', '%{http_version}\n', `${url}/a`, '-d', 'body');
    assert.equal(answer, 'POST 2.0;2\n');
    assert.match(await metrics(client), /response_total\{direction="outbound"[^}]*status_code="200"/);
  });
  server.close();
});

test('an h2c server of another make: nginx', { skip: lacking('curl') || lacking('/usr/sbin/nginx') }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'h2c-'));
  const probe = await listen(createTcpServer());
  const { port } = probe.address() as AddressInfo;
  probe.close();
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {}
http { access_log off; client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c;
uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
server { listen 127.0.0.1:${port} http2; location / { return 200 "$server_protocol $request_method $host"; } } }`,
  );
  const nginx = execFile('/usr/sbin/nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')]);
  try {
    const isUp = (): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      });
    await eventually(isUp, 'nginx listens');
    await bothWays(port, async (url) => {
      const answer = await curl('--http2-prior-knowledge', '-H', 'host: shop.example', '-w', ' %{http_version}', url);
      assert.equal(answer, 'HTTP/2.0 GET shop.example 2');
    });
  } finally {
    nginx.kill();
    rmSync(folder, { recursive: true, force: true });
  }
});
