import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { HttpFilter, Ratio } from '#model/filter.ts';
import type { Proxy } from '../proxy.ts';
import { parseRequestHead } from '../http/head.ts';
import { eventually, exchange, meshed, SERVICE_HOST, TestApp, TestMesh, unmeshed } from '../testing/mesh.ts';
import { app, backend, Client, metrics, named, policy, rule, SERVICE, within } from '../testing/routed.ts';
import { Flag, Frame } from '../http2/frames.ts';
import { block, frame, RawHttp2, SETTINGS, type Fields } from '../testing/raw-http2.ts';
import { modifyRequest, rewriteHead } from '../http/head-edit.ts';

const V2 = 'web-v2.shop.svc.cluster.local:80';
const SHADOW = 'shadow.shop.svc.cluster.local:80';

function mirror(authority: string, ratio?: Ratio): HttpFilter {
  const to = { ref: { ...SERVICE, name: authority.split('.')[0] ?? '' }, target: backend(authority).backend.target };
  return { kind: 'mirror', backend: to, ...(ratio && { ratio }) };
}

type Seen = { readonly method: string; readonly url: string; readonly body: string } & {
  readonly headers: IncomingMessage['headers'];
};

/** An application that keeps what it gets and answers as it is told. */
async function recorder(status = 200): Promise<TestApp & { readonly seen: readonly Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      seen.push({ method, url, headers, body });
      response.writeHead(status).end('recorded');
    });
  });
  return Object.assign(await TestApp.start(server), { seen });
}

async function mirrorCount(proxy: Proxy, result: string): Promise<number> {
  const lines = (await metrics(proxy)).split('\n');
  const own = lines.filter((line) => line.includes('_route_mirror_requests_total{') && line.includes(`"${result}"`));
  return own.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

test('the path of a rewritten request is as Gateway API says, its query and other fields stay', () => {
  const rewritten = (target: string, prefix: string, replacement: string): string =>
    rewriteHead(
      parseRequestHead(`GET ${target} HTTP/1.1\r\nHost: web\r\nx-a: 1\r\n`),
      { path: { kind: 'prefix', prefix: replacement } },
      prefix,
    ).lines;
  const cases: readonly (readonly [target: string, prefix: string, replacement: string, path: string])[] = [
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar?q=1', '/foo', '/xyz', '/xyz/bar?q=1'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo?', '/foo', '/xyz', '/xyz?'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/bar', '/', '/xyz', '/xyz/bar'],
    ['http://web/foo/bar?q', '/foo', '/xyz', 'http://web/xyz/bar?q'],
    ['http://web', '/', '/xyz', 'http://web/xyz'],
  ];
  for (const [target, prefix, replacement, path] of cases) {
    assert.equal(
      rewritten(target, prefix, replacement),
      `GET ${path} HTTP/1.1\r\nHost: web\r\nx-a: 1\r\n`,
      `${target}, ${prefix} by ${replacement}`,
    );
  }
  const head = parseRequestHead('GET http://web:8080/a?q HTTP/1.1\r\nx-a: 1\r\nHOST: web:8080\r\n');
  const moved = rewriteHead(head, { host: 'one.example.org', path: { kind: 'full', path: '/b' } }, '/');
  assert.equal(moved.lines, 'GET http://one.example.org/b?q HTTP/1.1\r\nhost: one.example.org\r\nx-a: 1\r\n');
  assert.equal(moved.authority, 'one.example.org');
  assert.equal(moved.target, 'http://one.example.org/b?q');
  const options = parseRequestHead('OPTIONS * HTTP/1.1\r\nhost: web\r\n');
  assert.equal(rewriteHead(options, { path: { kind: 'full', path: '/b' } }, '/').target, '*');
  const tunnel = parseRequestHead('CONNECT web:443 HTTP/1.1\r\nhost: web:443\r\n');
  assert.equal(rewriteHead(tunnel, { host: 'b' }, '/'), tunnel);
});

test('setting Host moves the whole request to that authority', () => {
  const modifier = {
    add: [],
    set: ['x-a', 'host'].map((name) => ({ name, value: `${name}.example.org:81` })),
    remove: [],
  };
  const modified = (lines: string): { readonly lines: string; readonly authority: string | undefined } =>
    modifyRequest(parseRequestHead(lines), modifier);
  const plain = modified('GET /a HTTP/1.1\r\nx-b: 1\r\nHost: web\r\n');
  assert.equal(plain.lines, 'GET /a HTTP/1.1\r\nhost: host.example.org:81\r\nx-b: 1\r\nx-a: x-a.example.org:81\r\n');
  assert.equal(plain.authority, 'host.example.org:81');
  const absolute = modified('GET http://web/a HTTP/1.1\r\nHost: web\r\n');
  assert.match(absolute.lines, /^GET http:\/\/host\.example\.org:81\/a HTTP/);
  // A tunnel's authority is its target.
  const tunnel = modified('CONNECT web:443 HTTP/1.1\r\nhost: web:443\r\n');
  assert.equal(tunnel.authority, 'web:443');
  assert.equal(tunnel.lines, 'CONNECT web:443 HTTP/1.1\r\nhost: web:443\r\nx-a: x-a.example.org:81\r\n');
});

test('host and path are rewritten beside other filters, on the way to one backend too, between meshed proxies', async () => {
  using one = await recorder();
  const headers = { add: [], set: [{ name: 'x-set', value: 'yes' }], remove: ['x-gone'] } as const;
  const rewritten: HttpFilter = { kind: 'rewrite', host: 'one.example.org', path: { kind: 'prefix', prefix: '/one' } };
  const rules = [
    rule({
      matches: [{ path: { kind: 'prefix', value: '/prefix/one' }, headers: [], queryParams: [] }],
      filters: [{ kind: 'request-headers', ...headers }, rewritten],
    }),
    rule({
      matches: [{ path: { kind: 'prefix', value: '/set' }, headers: [], queryParams: [] }],
      filters: [{ kind: 'request-headers', add: [], set: [{ name: 'host', value: 'set.example.org' }], remove: [] }],
    }),
    rule({
      matches: [{ path: { kind: 'prefix', value: '/full' }, headers: [], queryParams: [] }],
      distribution: {
        kind: 'first-available',
        backends: [{ ...backend(), filters: [{ kind: 'rewrite', path: { kind: 'full', path: '/all' } }] }],
      },
    }),
  ];
  await using mesh = await TestMesh.start();
  mesh.control.setOutboundPolicy(80, policy(rules));
  const server = await mesh.proxy({ name: 'web' });
  mesh.serve([meshed('web', one.port, server)]);
  const proxy = await mesh.proxy({ name: 'client' });
  using client = new Client(proxy);
  assert.equal((await client.get('/prefix/one/two?q=1', { 'x-gone': '1' })).status, 200);
  assert.equal((await client.get('/full/of?q=2')).status, 200);
  assert.equal((await client.get('/set')).status, 200);
  const [first, second, third] = one.seen;
  assert.deepEqual([first?.url, first?.headers.host], ['/one/two?q=1', 'one.example.org']);
  assert.deepEqual([first?.headers['x-set'], first?.headers['x-gone']], ['yes', undefined]);
  assert.deepEqual([second?.url, second?.headers.host], ['/all?q=2', 'web']);
  assert.deepEqual([third?.url, third?.headers.host], ['/set', 'set.example.org']);
});

test('each mirror of a rule gets one copy, body and all, and what it answers changes nothing', async () => {
  using one = await recorder();
  using two = await recorder(500);
  using shadow = await recorder();
  const filters: readonly HttpFilter[] = [
    mirror(V2),
    { kind: 'request-headers', add: [], set: [{ name: 'x-after', value: 'first mirror' }], remove: [] },
    mirror(SHADOW),
  ];
  await within([unmeshed(one.port)], policy([rule({ filters })]), async ({ mesh, proxy, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port), unmeshed(two.port)]);
    mesh.control.setEndpoints(SHADOW, [unmeshed(shadow.port)]);
    const answer = await client.get('/path?q=1', { 'x-sent': 'yes' }, 'POST', 'hello');
    assert.deepEqual([answer.status, answer.body], [200, 'recorded']);
    await eventually(async () => (await mirrorCount(proxy, 'answered')) === 2, 'both copies are answered');
    for (const { seen } of [one, two, shadow]) {
      assert.deepEqual(
        seen.map(({ method, url, body, headers }) => [method, url, body, headers.host, headers['x-sent']]),
        [['POST', '/path?q=1', 'hello', 'web', 'yes']],
      );
    }
    assert.equal(two.seen[0]?.headers['x-after'], undefined, 'a copy is made at its place in the order');
    assert.equal(shadow.seen[0]?.headers['x-after'], 'first mirror');
    const text = await metrics(proxy);
    assert.match(text, /outbound_http_route_request_statuses_total\{[^}]*http_status="200"[^}]*\} 1\n/);
    assert.doesNotMatch(text, /outbound_http_route_request_statuses_total\{[^}]*http_status="500"/);
    assert.match(text, /outbound_http_route_mirror_requests_total\{[^}]*backend_name="shadow"[^}]*\} 1\n/);
  });
});

test('chunked bodies are copied as they came; longer ones than are kept are not copied at all', async () => {
  using one = await recorder();
  using two = await recorder();
  await within([unmeshed(one.port)], policy([rule({ filters: [mirror(V2)] })]), async ({ mesh, proxy, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port)]);
    const chunks = 'POST /chunks HTTP/1.1\r\nhost: web\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n';
    assert.match(String(await exchange(proxy.outboundPort, `${chunks}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`)), /200 OK/);
    await eventually(() => two.seen.length === 1, 'the copy arrives');
    assert.deepEqual([two.seen[0]?.url, two.seen[0]?.body], ['/chunks', 'abcde']);
    const long = 'x'.repeat(200_000);
    assert.equal((await client.get('/long', {}, 'POST', long)).status, 200);
    await eventually(async () => (await mirrorCount(proxy, 'too_large')) === 1, 'it is counted');
    assert.deepEqual([one.seen.at(-1)?.body.length, two.seen.length], [200_000, 1]);
  });
});

test('a mirror gets the share it is to get', async () => {
  using one = await named('v1');
  using two = await named('v2');
  const share = { numerator: 25, denominator: 50 };
  await within([unmeshed(one.port)], policy([rule({ filters: [mirror(V2, share)] })]), async ({ mesh, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port)]);
    await client.many(1000);
    // Five standard deviations of the binomial distribution.
    await eventually(() => two.requests > 420, 'about half of the requests are copied');
    assert.ok(two.requests < 580, `${two.requests} of 1000`);
  });
});

test('a mirror that is gone, refuses or never answers delays and fails no request, and copies are bounded', async () => {
  using one = await named('v1');
  using silent = await TestApp.start(createServer(() => {}));
  const filters = [mirror(V2), mirror(SHADOW)];
  await within([unmeshed(one.port)], policy([rule({ filters })]), async ({ mesh, proxy, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(silent.port)]);
    mesh.control.setEndpoints(SHADOW, [unmeshed(1)]); // nothing listens there
    const answers = await client.many(600);
    assert.ok(answers.every(({ status, body }) => status === 200 && body === 'v1'));
    // 256 copies at most wait for the one that never answers.
    await eventually(async () => (await mirrorCount(proxy, 'busy')) >= 600 - 256, 'copies beyond the limit');
    await eventually(async () => (await mirrorCount(proxy, 'failed')) > 0, 'refused copies');
    assert.ok(silent.requests <= 256, `${silent.requests} copies`);
    assert.doesNotMatch(await metrics(proxy), /proxy_errors_total\{/);
  });
});

test('a request that is retried is copied once', async () => {
  using flaky = await app((_request, response, count) => void response.writeHead(count < 3 ? 503 : 200).end('ok'));
  using two = await recorder();
  const retry = { maxRetries: 2, maxRequestBytes: 65_536, conditions: [{ min: 500, max: 599 }] };
  const distribution = {
    kind: 'first-available',
    backends: [{ ...backend(), filters: [mirror(V2)] }],
  } as const;
  await within([unmeshed(flaky.port)], policy([rule({ retry, distribution })]), async ({ mesh, proxy, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port)]);
    assert.equal((await client.get('/', {}, 'POST', 'body')).status, 200);
    await eventually(async () => (await mirrorCount(proxy, 'answered')) === 1, 'the copy is answered');
    assert.deepEqual([flaky.requests, two.seen.map(({ body }) => body)], [3, ['body']]);
  });
});

test('an injected delay holds a request back with its body, and counts for the timeout of the route', async () => {
  using one = await recorder();
  const never = { numerator: 0, denominator: 100 };
  const at = (path: string, filters: readonly HttpFilter[], more: object = {}) =>
    rule({ matches: [{ path: { kind: 'exact', value: path }, headers: [], queryParams: [] }], filters, ...more });
  const rules = [
    at('/late', [{ kind: 'delay', delayMs: 60 }]),
    at('/too-late', [{ kind: 'delay', delayMs: 5_000 }], { timeouts: { requestMs: 50 } }),
    at('/fails', [
      { kind: 'delay', delayMs: 20 },
      { kind: 'failure', status: 503, message: 'test' },
    ]),
    at('/never', [
      { kind: 'delay', delayMs: 60_000, ratio: never },
      { kind: 'failure', status: 503, message: 'test', ratio: never },
    ]),
    at('/one-way', [], {
      distribution: {
        kind: 'first-available',
        backends: [{ ...backend(), filters: [{ kind: 'delay', delayMs: 20 }] }],
      },
    }),
  ];
  await within([unmeshed(one.port)], policy(rules), async ({ client }) => {
    const body = 'x'.repeat(300_000);
    const late = await client.get('/late', {}, 'POST', body);
    assert.deepEqual([late.status, one.seen.at(-1)?.body], [200, body]);
    const tooLate = await client.get('/too-late', {}, 'POST', body);
    assert.equal(tooLate.status, 504);
    assert.match(String(tooLate.headers['l5d-proxy-error']), /^request-timeout: /);
    const failed = await client.get('/fails', {}, 'POST', 'body');
    assert.deepEqual([failed.status, failed.headers['l5d-proxy-error']], [503, 'injected: test']);
    assert.equal((await client.get('/never')).status, 200);
    assert.equal((await client.get('/one-way', {}, 'POST', body)).status, 200);
    assert.deepEqual(
      one.seen.map(({ url }) => url),
      ['/late', '/never', '/one-way'],
    );
  });
});

test('a mirror that is not known while the control plane is away gets no copy, and nobody else in its place', async () => {
  await using mesh = await TestMesh.start();
  using one = await recorder();
  const target = { address: '127.0.0.1', port: one.port };
  mesh.serve([unmeshed(one.port)]);
  mesh.control.setProfile(`127.0.0.1:${one.port}`, { fullyQualifiedName: SERVICE_HOST, isOpaque: false });
  mesh.control.setOutboundPolicy(one.port, policy([rule({ filters: [mirror(V2)] })]));
  const proxy = await mesh.proxy({ name: 'client' });
  let asked = 0;
  const ask = async (): Promise<void> => {
    asked += 1;
    assert.match(String(await mesh.freshTarget(proxy, target)), /^HTTP\/1\.1 200 /);
  };
  await ask();
  await mesh.control.stop();
  // Long enough for the proxy to notice, too.
  await eventually(async () => {
    await ask();
    return (await mirrorCount(proxy, 'failed')) >= 5;
  }, 'copies fail');
  assert.equal(one.requests, asked, 'each request was carried out once');
});

test('failures of a mirror do not eject its endpoints for others', async () => {
  using one = await named('v1');
  using broken = await recorder(500);
  const accrual = { kind: 'consecutive', maxFailures: 2, backoff: { minMs: 60_000, maxMs: 60_000, jitterRatio: 0 } };
  const rules = [rule({ filters: [mirror(V2)] })];
  await within([unmeshed(one.port)], policy(rules, accrual), async ({ mesh, proxy, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(broken.port)]);
    await client.many(20);
    await eventually(async () => (await mirrorCount(proxy, 'answered')) === 20, 'every copy is answered');
    assert.equal(broken.requests, 20);
  });
});

test('requests that a route answers before their bodies have come leave nothing behind', async () => {
  await using mesh = await TestMesh.start();
  const refused = rule({ filters: [{ kind: 'failure', status: 418, message: 'a teapot' }] });
  const fine = rule({ matches: [{ path: { kind: 'exact', value: '/fine' }, headers: [], queryParams: [] }] });
  mesh.control.setOutboundPolicy(80, policy([refused, fine]));
  using web = await named('web');
  mesh.serve([unmeshed(web.port)]);
  const proxy = await mesh.proxy({ name: 'client', env: { OUTBOUND_MAX_IN_FLIGHT: '5' } });
  using http2 = await RawHttp2.connect(proxy.outboundPort);
  http2.send(SETTINGS);
  const post: Fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'web'],
    [':path', '/'],
  ];
  for (let n = 0; n < 10; n += 1) {
    const socket = connect(proxy.outboundPort, '127.0.0.1');
    socket.write('POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nab');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    assert.match(answer.toString(), /^HTTP\/1\.1 418 /, `request ${n} of HTTP/1`);
    const id = 2 * n + 1;
    http2.send(frame(Frame.HEADERS, Flag.END_HEADERS, id, block(post)));
    await http2.until(() => http2.hasEnded(id));
  }
  using client = new Client(proxy);
  assert.equal((await client.get('/fine')).body, 'web');
});
