import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { Endpoint } from '#model/endpoint.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { HttpRule } from '#model/route.ts';
import type { SessionPersistence } from '#model/session-persistence.ts';
import { systemClock } from '#runtime/clock.ts';
import { eventually, meshed, TestApp, TestMesh, unmeshed } from '../testing/mesh.ts';
import { app, backend, Client, failing, named, policy, rule, within, type Answer } from '../testing/routed.ts';
import { endpointTag, formatSessionValue, isInTime, parseSessionValue } from './session-value.ts';

const V2 = 'web-v2.shop.svc.cluster.local:80';
const COOKIE: SessionPersistence = { carrier: { kind: 'cookie', name: 'sid', isPermanent: false }, scope: 'rule-0' };
const HEADER: SessionPersistence = { carrier: { kind: 'header', name: 'x-sid' }, scope: 'rule-0' };
const HOUR_MS = 3_600_000;
/** So many that chance does not hit the same of three endpoints each time. */
const MANY = 40;

function sticky(change: Partial<HttpRule> = {}, session = COOKIE): HttpRule {
  return rule({ session, ...change });
}

/** The values of cookies that a response sets, by name. */
function cookiesOf({ headers }: Answer): Readonly<Record<string, string>> {
  const pairs = (headers['set-cookie'] ?? []).map((text) => /^([^=]*)=([^;]*)/.exec(text) ?? []);
  return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value]));
}

async function begin(client: Client, path = '/'): Promise<{ readonly value: string; readonly body: string }> {
  const answer = await client.get(path);
  const value = cookiesOf(answer)['sid'];
  assert.ok(value !== undefined, `a session begins: ${JSON.stringify(answer.headers)}`);
  return { value, body: answer.body };
}

async function bodies(client: Client, headers: Readonly<Record<string, string>>): Promise<ReadonlySet<string>> {
  const answers = await client.many(MANY, headers);
  assert.ok(answers.every(({ status }) => status === 200));
  return new Set(answers.map(({ body }) => body));
}

/** Three applications, a, b and c, as endpoints. */
class Trio implements Disposable {
  readonly apps: readonly TestApp[];
  readonly endpoints: readonly Endpoint[];
  constructor(apps: readonly TestApp[]) {
    this.apps = apps;
    this.endpoints = apps.map(({ port }) => unmeshed(port));
  }
  static async start(): Promise<Trio> {
    return new Trio(await Promise.all(['a', 'b', 'c'].map(named)));
  }
  index(name: string): number {
    return 'abc'.indexOf(name);
  }
  without(name: string): readonly Endpoint[] {
    return this.endpoints.filter((_, index) => index !== this.index(name));
  }
  [Symbol.dispose](): void {
    for (const one of this.apps) one[Symbol.dispose]();
  }
}

test('requests that show the cookie go to the endpoint that gave it, others are balanced', async () => {
  using trio = await Trio.start();
  await within(trio.endpoints, policy([sticky()]), async ({ client }) => {
    const first = await client.get();
    const [text = ''] = first.headers['set-cookie'] ?? [];
    assert.match(text, /^sid=t1\.[\w-]{32}; Path=\/; HttpOnly; SameSite=Strict$/);
    const { sid: value } = cookiesOf(first);
    const answers = await client.many(MANY, { cookie: `theme=dark; sid=${value}; a=b` });
    assert.deepEqual(new Set(answers.map(({ body }) => body)), new Set([first.body]));
    assert.ok(
      answers.every(({ headers }) => headers['set-cookie'] === undefined),
      'a client that has its cookie is given none',
    );
    assert.ok((await bodies(client, {})).size > 1, 'clients without a session are balanced');
  });
});

test('the application sees the cookies that the client shows, and its own are left alone', async () => {
  const seen: (string | undefined)[] = [];
  using one = await app((request, response) => {
    seen.push(request.headers.cookie);
    response.setHeader('set-cookie', ['own=1; Path=/x', 'more=2']).end();
  });
  await within([unmeshed(one.port)], policy([sticky()]), async ({ client }) => {
    const first = await client.get('/', { cookie: 'own=0' });
    assert.deepEqual(first.headers['set-cookie']?.slice(0, 2), ['own=1; Path=/x', 'more=2']);
    const { sid: value } = cookiesOf(first);
    assert.equal(first.headers['set-cookie']?.length, 3);
    await client.get('/', { cookie: `own=1; sid=${value}` });
    assert.deepEqual(seen, ['own=0', `own=1; sid=${value}`]);
  });
});

test('a session whose endpoint is gone goes on at another one, also when a pod got its address', async () => {
  using trio = await Trio.start();
  await within(trio.endpoints, policy([sticky()]), async ({ mesh, client }) => {
    const { value, body } = await begin(client);
    const shown = { cookie: `sid=${value}` };
    mesh.serve(trio.without(body));
    let moved = await client.get('/', shown);
    await eventually(async () => {
      moved = await client.get('/', shown);
      return moved.body !== body;
    }, 'the endpoint is gone');
    const { sid: next } = cookiesOf(moved);
    assert.ok(next !== undefined && next !== value, 'the client is told');
    assert.deepEqual(await bodies(client, { cookie: `sid=${next}` }), new Set([moved.body]));
    mesh.serve(trio.endpoints);
    const isKept = async (): Promise<boolean> => cookiesOf(await client.get('/', shown))['sid'] === undefined;
    await eventually(isKept, 'the endpoint is there again');
    assert.deepEqual(await bodies(client, shown), new Set([body]));
    mesh.serve(trio.endpoints.map((one) => ({ ...one, labels: { pod: 'other' } })));
    await eventually(async () => !(await isKept()), 'the address is that of another pod');
  });
});

test('a session whose endpoint cannot be reached goes on at another one, and no request fails', async () => {
  using trio = await Trio.start();
  await within(trio.endpoints, policy([sticky()]), async ({ client }) => {
    const { value, body } = await begin(client);
    trio.apps[trio.index(body)]?.[Symbol.dispose]();
    const moved = await client.get('/', { cookie: `sid=${value}` });
    assert.equal(moved.status, 200);
    assert.notEqual(moved.body, body);
    const { sid: next } = cookiesOf(moved);
    assert.deepEqual(await bodies(client, { cookie: `sid=${next}` }), new Set([moved.body]));
  });
});

test('where a retry is answered the session goes on', async () => {
  using trio = await Trio.start();
  using broken = await failing();
  const retry = { maxRetries: 5, maxRequestBytes: 65_536, conditions: [{ min: 500, max: 599 }] };
  const tag = endpointTag(COOKIE.scope, { address: '127.0.0.1', port: broken.port, labels: { pod: 'plain-1' } });
  const value = formatSessionValue({ beganMs: Date.now(), usedMs: Date.now(), tag });
  const endpoints = [...trio.endpoints, unmeshed(broken.port)];
  // After one failure the endpoint is out of the choice.
  const accrual = { kind: 'consecutive', maxFailures: 1, backoff: { minMs: 60_000, maxMs: 60_000, jitterRatio: 0 } };
  await within(endpoints, policy([sticky({ retry })], accrual), async ({ client }) => {
    const answer = await client.get('/', { cookie: `sid=${value}` });
    assert.deepEqual([broken.requests, answer.status], [1, 200]);
    const { sid: next } = cookiesOf(answer);
    assert.deepEqual(await bodies(client, { cookie: `sid=${next}` }), new Set([answer.body]));
  });
});

test('an endpoint that fails keeps a session but begins none', async () => {
  using broken = await failing();
  using fine = await named('fine');
  const tag = endpointTag(COOKIE.scope, { address: '127.0.0.1', port: broken.port, labels: { pod: 'plain-1' } });
  const cookie = `sid=${formatSessionValue({ beganMs: Date.now(), usedMs: Date.now(), tag })}`;
  await within([unmeshed(broken.port), unmeshed(fine.port)], policy([sticky()]), async ({ client }) => {
    const answers = await client.many(MANY);
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200, 503]));
    for (const answer of answers) assert.equal(cookiesOf(answer)['sid'] === undefined, answer.status === 503);
    const kept = await client.many(MANY, { cookie });
    assert.deepEqual(new Set(kept.map(({ status }) => status)), new Set([503]));
  });
});

test('values that nobody gave choose nothing, and cost no request', async () => {
  using trio = await Trio.start();
  using outside = await named('outside');
  await within(trio.endpoints, policy([sticky()]), async ({ client }) => {
    const { value } = await begin(client);
    const now = { beganMs: Date.now(), usedMs: Date.now() };
    const labels = { pod: 'plain-1' };
    const foreign = endpointTag(COOKIE.scope, { address: '127.0.0.1', port: outside.port, labels });
    const [endpoint] = trio.endpoints;
    const otherRule = endpointTag('rule-1', { address: '127.0.0.1', port: endpoint?.port ?? 0, labels });
    const made = [
      formatSessionValue({ ...now, tag: foreign }),
      formatSessionValue({ ...now, tag: otherRule }),
      value.slice(0, -1),
      `${value}A`,
      't1.',
      `t1.${'_'.repeat(32)}`,
      `t1.${'A'.repeat(10_000)}`,
      `${Array.from({ length: 1_000 }, () => 'sid=t1.x').join('; ')}; sid=${value}`.slice('sid='.length),
    ];
    for (const text of made) {
      const answer = await client.get('/', { cookie: `sid=${text}` });
      assert.equal(answer.status, 200, text.slice(0, 60));
      assert.match(
        cookiesOf(answer)['sid'] ?? '',
        /^t1\.[\w-]{32}$/,
        `a session begins in place of ${text.slice(0, 60)}`,
      );
    }
    assert.equal(outside.requests, 0);
  });
});

test('a name that the application uses itself is left to it', async () => {
  using one = await app((request, response) => {
    if (request.headers.cookie === undefined) response.setHeader('set-cookie', 'sid=of-the-application');
    response.setHeader('x-sid', 'own').end();
  });
  await within([unmeshed(one.port)], policy([sticky()]), async ({ client }) => {
    assert.deepEqual((await client.get()).headers['set-cookie'], ['sid=of-the-application']);
    const next = await client.get('/', { cookie: 'sid=of-the-application' });
    assert.equal(next.headers['set-cookie'], undefined, 'it is not replaced later either');
  });
  await within([unmeshed(one.port)], policy([sticky({}, HEADER)]), async ({ client }) => {
    assert.equal((await client.get()).headers['x-sid'], 'own');
  });
});

test('of cookies of several paths the one counts that leads somewhere', async () => {
  using trio = await Trio.start();
  await within(trio.endpoints, policy([sticky()]), async ({ client }) => {
    const { value, body } = await begin(client);
    const old = formatSessionValue({ beganMs: Date.now(), usedMs: Date.now(), tag: 'x'.repeat(16) });
    assert.deepEqual(await bodies(client, { cookie: `sid=${old}; sid=of-another; sid=${value}` }), new Set([body]));
  });
});

test('a header carries a session as a cookie does', async () => {
  using trio = await Trio.start();
  await within(trio.endpoints, policy([sticky({}, HEADER)]), async ({ client }) => {
    const first = await client.get();
    const value = String(first.headers['x-sid']);
    assert.match(value, /^t1\.[\w-]{32}$/);
    assert.equal(first.headers['set-cookie'], undefined);
    assert.deepEqual(await bodies(client, { 'X-Sid': value }), new Set([first.body]));
    assert.equal((await client.get('/', { 'x-sid': value })).headers['x-sid'], undefined);
  });
});

function split(weights: readonly [number, number]): OutboundPolicy {
  const backends = [
    { ...backend(), weight: weights[0] },
    { ...backend(V2), weight: weights[1] },
  ];
  return policy([sticky({ distribution: { kind: 'random-available', backends } })]);
}

test('a session stays at its backend when weights change, also to 0; new ones go by weight', async () => {
  using one = await named('v1');
  using two = await named('v2');
  await within([unmeshed(one.port)], split([0, 1]), async ({ mesh, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port)]);
    const { value, body } = await begin(client);
    assert.equal(body, 'v2');
    mesh.control.setOutboundPolicy(80, split([1, 0]));
    await eventually(async () => (await client.get()).body === 'v1', 'the weights act');
    assert.deepEqual(await bodies(client, { cookie: `sid=${value}` }), new Set(['v2']));
    assert.deepEqual(await bodies(client, {}), new Set(['v1']));
  });
});

test('rules share no session, also where they have the same name and the same endpoints', async () => {
  using trio = await Trio.start();
  const at = (value: string): Pick<HttpRule, 'matches'> => ({
    matches: [{ path: { kind: 'prefix', value }, headers: [], queryParams: [] }],
  });
  const rules = [sticky(at('/a')), sticky(at('/b/c'), { ...COOKIE, scope: 'rule-1' })];
  await within(trio.endpoints, policy(rules), async ({ client }) => {
    const { value } = await begin(client, '/a/x');
    const other = await client.get('/b/c/d', { cookie: `sid=${value}` });
    assert.match(String(other.headers['set-cookie']), /^sid=t1\.[^;]*; Path=\/b\/c; /);
    const again = await client.get('/a/y', { cookie: `sid=${value}` });
    assert.equal(again.headers['set-cookie'], undefined);
  });
});

test('sessions end at their absolute timeout, and when they were idle too long; use renews the latter alone', async () => {
  using trio = await Trio.start();
  let aheadMs = 0;
  const clock = { now: () => Date.now() + aheadMs, after: (ms: number, run: () => void) => systemClock.after(ms, run) };
  await using mesh = await TestMesh.start();
  const session: SessionPersistence = {
    scope: 'rule-0',
    carrier: { kind: 'cookie', name: 'sid', isPermanent: true },
    absoluteTimeoutMs: 3 * HOUR_MS,
    idleTimeoutMs: HOUR_MS,
  };
  mesh.control.setOutboundPolicy(80, policy([sticky({}, session)]));
  mesh.serve(trio.endpoints);
  const proxy = await mesh.proxy({ name: 'client', clock });
  using client = new Client(proxy);
  const first = await client.get();
  let { sid: value = '' } = cookiesOf(first);
  const forgotten = value;
  assert.match(String(first.headers['set-cookie']), /; Max-Age=10800; /);
  for (const hours of [0.9, 1.8, 2.7]) {
    aheadMs = Math.round(hours * HOUR_MS);
    const answer = await client.get('/', { cookie: `sid=${value}` });
    assert.equal(answer.body, first.body, `after ${hours} h`);
    const { sid: next = '' } = cookiesOf(answer);
    assert.equal(parseSessionValue(next)?.beganMs, parseSessionValue(value)?.beganMs);
    const leftSeconds = Number(/; Max-Age=(\d+);/.exec(String(answer.headers['set-cookie']))?.[1]);
    assert.ok(Math.abs(leftSeconds - (3 - hours) * 3600) < 60, `${leftSeconds} s are left after ${hours} h`);
    value = next;
  }
  const beganMs = (text: string): number => parseSessionValue(text)?.beganMs ?? 0;
  const idle = await client.get('/', { cookie: `sid=${forgotten}` });
  assert.ok(beganMs(cookiesOf(idle)['sid'] ?? '') > beganMs(forgotten), 'it was idle, and another one begins');
  aheadMs = 3 * HOUR_MS;
  const ended = await client.get('/', { cookie: `sid=${value}` });
  assert.ok(beganMs(cookiesOf(ended)['sid'] ?? '') > beganMs(value), 'it has ended, and another one begins');
});

test('times decide exactly, and a clock that is ahead by more than clocks differ is not believed', () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const limits = { ...COOKIE, absoluteTimeoutMs: 10_000, idleTimeoutMs: 1_000 };
  const isGood = (beganMs: number, usedMs: number): boolean => isInTime({ beganMs, usedMs, tag: '' }, limits, nowMs);
  assert.ok(isGood(nowMs - 9_999, nowMs - 999));
  assert.ok(!isGood(nowMs - 10_000, nowMs));
  assert.ok(!isGood(nowMs - 5_000, nowMs - 1_000));
  assert.ok(isGood(nowMs + 30_000, nowMs + 30_000));
  assert.ok(!isGood(nowMs + 61_000, nowMs));
  assert.ok(!isGood(nowMs, nowMs + 61_000));
  assert.ok(isInTime({ beganMs: 0, usedMs: 0, tag: '' }, COOKIE, nowMs), 'without limits for ever');
});

test('an upgrade is part of a session', async () => {
  const upgrades = [0, 0];
  const upgrading = (index: number): Promise<TestApp> =>
    TestApp.start(
      createServer().on('upgrade', (_request, socket) => {
        upgrades[index] = (upgrades[index] ?? 0) + 1;
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
        socket.on('end', () => socket.end()).on('error', () => {});
      }),
    );
  using one = await upgrading(0);
  using two = await upgrading(1);
  await within([unmeshed(one.port), unmeshed(two.port)], policy([sticky()]), async ({ proxy }) => {
    const upgrade = async (cookie: string): Promise<string> => {
      const socket = connect(proxy.outboundPort, '127.0.0.1');
      socket.write(`GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: x\r\n${cookie}\r\n`);
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return bytes.toString('latin1');
    };
    const head = await upgrade('');
    const value = /set-cookie: sid=(t1\.[\w-]{32}); /.exec(head)?.[1];
    assert.ok(value !== undefined, head);
    const before = [...upgrades];
    for (let count = 0; count < 10; count += 1) {
      const next = await upgrade(`cookie: sid=${value}\r\n`);
      assert.match(next, /^HTTP\/1\.1 101 /);
      assert.doesNotMatch(next, /set-cookie/);
    }
    const grown = upgrades.map((count, index) => count - (before[index] ?? 0));
    assert.deepEqual(
      grown.sort((a, b) => a - b),
      [0, 10],
    );
  });
});

test('sessions hold between proxies, where fields travel as HTTP/2 has them', async () => {
  using trio = await Trio.start();
  await using mesh = await TestMesh.start();
  mesh.control.setOutboundPolicy(80, policy([sticky()]));
  const servers = await Promise.all(trio.apps.map((_, index) => mesh.proxy({ name: `server-${index}` })));
  mesh.serve(trio.apps.map(({ port }, index) => meshed(`server-${index}`, port, servers[index] as never)));
  using client = new Client(await mesh.proxy({ name: 'client' }));
  const { value, body } = await begin(client);
  assert.deepEqual(await bodies(client, { cookie: `a=1; sid=${value}` }), new Set([body]));
});
