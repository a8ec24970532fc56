import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { eventually, exchange, TestApp, TestMesh } from './testing/mesh.ts';

const GET =
  'GET /path?q=1 HTTP/1.1\r\nhost: web\r\nUser-Agent: tester "1"\r\nx-request-id: r-1\r\nconnection: close\r\n\r\n';

async function linesOf(format: string, request: string): Promise<readonly string[]> {
  await using mesh = await TestMesh.start();
  using app = await TestApp.start(
    createServer((_request, response) => response.writeHead(404, { 'content-length': '5' }).end('hello')),
  );
  const lines: string[] = [];
  const proxy = await mesh.proxy({
    name: 'web',
    redirectedTo: { address: '127.0.0.1', port: app.port },
    env: { ACCESS_LOG: format },
    writeAccessLog: (line) => void lines.push(line),
  });
  assert.match((await exchange(proxy.inboundPort, request)).toString(), /hello$/);
  await eventually(() => lines.length > 0, 'a line', 3000);
  return lines;
}

test('the access log in the form of Apache has one line for each request', async () => {
  const lines = await linesOf('apache', GET);
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? '',
    /^127\.0\.0\.1:\d+ - - \[\d{4}-\d\d-\d\dT[^\]]+Z\] "GET http:\/\/web\/path\?q=1 HTTP\/1\.1" 404 5\n$/,
  );
});

test('the access log in JSON has the fields of linkerd2-proxy', async () => {
  const [line = ''] = await linesOf('json', GET);
  const { timestamp, total_ns: total, ...rest } = JSON.parse(line) as Record<string, unknown>;
  assert.ok(typeof timestamp === 'string' && Number(total) > 0);
  assert.match(String(rest['client.addr']), /^127\.0\.0\.1:\d+$/);
  delete rest['client.addr'];
  assert.deepEqual(rest, {
    'client.id': '-',
    host: 'web',
    method: 'GET',
    request_bytes: '',
    response_bytes: '5',
    status: 404,
    trace_id: 'r-1',
    uri: 'http://web/path?q=1',
    user_agent: 'tester "1"',
    version: 'HTTP/1.1',
  });
});

test('without being asked for, nothing is written', async () => {
  await assert.rejects(linesOf('', GET), /a line/);
});
