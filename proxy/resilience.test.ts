import assert from 'node:assert/strict';
import { createServer, Agent, request as httpRequest } from 'node:http';
import { test } from 'node:test';
import type { Proxy } from './proxy.ts';
import { eventually, exchange, meshed, TestApp, TestMesh, unmeshed } from './testing/mesh.ts';
import { RawServer } from './testing/raw-server.ts';
import { policy, rule } from './testing/routed.ts';

const GET = 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';

function named(name: string): Promise<TestApp> {
  return TestApp.start(
    createServer((request, response) => {
      request.resume();
      request.on('end', () => response.end(name));
    }),
  );
}

/** Requests one after another over a few connections until stopped; remembers every answer. */
class Load implements AsyncDisposable {
  readonly answers = new Map<string, number>();
  readonly #workers: Promise<void>[] = [];
  readonly #agent = new Agent({ keepAlive: true });
  #isStopped = false;

  constructor(proxy: Proxy, workers: number, method = 'GET') {
    for (let n = 0; n < workers; n += 1) this.#workers.push(this.#work(proxy, method));
  }

  get total(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  get failures(): readonly string[] {
    return [...this.answers.keys()].filter((answer) => !answer.startsWith('200'));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #work(proxy: Proxy, method: string): Promise<void> {
    while (!this.#isStopped) {
      const answer = await this.#once(proxy, method);
      this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1);
    }
  }

  #once(proxy: Proxy, method: string): Promise<string> {
    return new Promise((resolve) => {
      const request = httpRequest(
        { agent: this.#agent, port: proxy.outboundPort, method, headers: { host: 'web' } },
        (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => {
            body += chunk.toString();
          });
          response.on('end', () =>
            resolve(`${response.statusCode} ${body || String(response.headers['l5d-proxy-error'])}`),
          );
          response.on('error', (error) => resolve(error.message));
        },
      );
      request.on('error', (error) => resolve(error.message));
      request.end(method === 'POST' ? 'body' : undefined);
    });
  }
}

test('requests are spread over the endpoints and go elsewhere when one is dead', async () => {
  await using mesh = await TestMesh.start();
  using a = await named('a');
  using b = await named('b');
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  const dead = { ...unmeshed(1), address: '127.0.0.1' }; // nothing listens on port 1
  mesh.serve([meshed('web', a.port, server), meshed('web', b.port, server), dead, { ...meshed('web', 2, server) }]);
  const load = new Load(client, 4, 'POST');
  await eventually(() => load.total > 400, 'requests are answered');
  await load.stop();
  assert.deepEqual(load.failures, []);
  assert.deepEqual([...load.answers.keys()].sort(), ['200 a', '200 b']);
});

test('a rolling restart loses no request', async () => {
  await using mesh = await TestMesh.start();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  let apps = [await named('v1'), await named('v1')];
  mesh.serve(apps.map((app) => meshed('web', app.port, server)));
  await using load = new Load(client, 8);
  for (let round = 2; round < 8; round += 1) {
    const total = load.total;
    await eventually(() => load.total > total + 100, 'traffic goes on');
    const [oldest, ...rest] = apps;
    apps = [...rest, await named(`v${round}`)];
    mesh.serve(apps.map((app) => meshed('web', app.port, server)));
    oldest?.[Symbol.dispose](); // at once, with requests in flight and before the proxy may have heard of it
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
  for (const app of apps) app[Symbol.dispose]();
});

test('a service without endpoints is waited for, then answered with the reason', async () => {
  await using mesh = await TestMesh.start();
  using app = await named('late');
  const client = await mesh.proxy({ name: 'client', env: { OUTBOUND_HTTP_FAILFAST_TIMEOUT: '400ms' } });
  mesh.serve([]);
  const refused = (await exchange(client.outboundPort, GET)).toString();
  assert.match(
    refused,
    /^HTTP\/1.1 504 Gateway Timeout\r\nl5d-proxy-error: no-endpoint: web.shop.svc.cluster.local:80/,
  );
  const waiting = exchange(client.outboundPort, GET);
  mesh.serve([unmeshed(app.port)]);
  assert.match((await waiting).toString(), /late$/);
});

test('an idle connection that the server has closed meanwhile costs no request', async () => {
  await using mesh = await TestMesh.start();
  let served = 0;
  // Closes each connection exactly when the second request arrives on it, before answering.
  using app = await RawServer.start((socket) => {
    let requests = 0;
    socket.on('data', () => {
      requests += 1;
      if (requests > 1) socket.resetAndDestroy();
      else {
        served += 1;
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      }
    });
  });
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  for (let n = 0; n < 6; n += 1)
    assert.match((await exchange(client.outboundPort, GET)).toString(), /^HTTP\/1.1 200[\s\S]*ok$/);
  assert.equal(served, 6);
});

test('with the control plane killed, known and unknown destinations are served, and identity survives its return', async () => {
  await using mesh = await TestMesh.start();
  using app = await named('known');
  using plain = await named('unknown');
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client', env: { OUTBOUND_DISCOVERY_IDLE_TIMEOUT: '100ms' } });
  mesh.serve([meshed('web', app.port, server)]);
  assert.match((await exchange(client.outboundPort, GET)).toString(), /known$/);
  await using load = new Load(client, 4);
  await mesh.control.stop();
  const before = load.total;
  await eventually(() => load.total > before + 300, 'traffic goes on');
  assert.match((await exchange(client.outboundPort, GET)).toString(), /known$/);
  await load.stop();
  assert.deepEqual([...load.answers.keys()], ['200 known']);

  // Long unused, and never seen: what is known is used, what is not is forwarded to as it is.
  await new Promise((resolve) => void setTimeout(resolve, 1500));
  assert.match((await exchange(client.outboundPort, GET)).toString(), /known$/);
  const fresh = await mesh.freshTarget(client, { address: '127.0.0.1', port: plain.port });
  assert.match(fresh.toString(), /unknown$/);

  using moved = await named('moved');
  await mesh.control.start();
  mesh.serve([meshed('web', moved.port, server)]);
  await eventually(
    async () => (await exchange(client.outboundPort, GET)).toString().endsWith('moved'),
    'news arrive again',
  );
});

test('what changed while nobody asked is in force for the first who asks again', async () => {
  await using mesh = await TestMesh.start();
  using app = await named('before');
  using moved = await named('after');
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client', env: { OUTBOUND_DISCOVERY_IDLE_TIMEOUT: '100ms' } });
  const ask = async (): Promise<string> => (await exchange(client.outboundPort, GET)).toString();
  /** Until the proxy watches nothing any more. */
  const rest = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1_500));
  mesh.serve([meshed('web', app.port, server)]);
  mesh.control.setOutboundPolicy(mesh.servicePort, policy([rule()]));
  assert.match(await ask(), /before$/);

  await rest();
  mesh.serve([meshed('web', moved.port, server)]);
  assert.match(await ask(), /after$/);

  await rest();
  const denial = { kind: 'failure', status: 403, message: 'not any more' } as const;
  mesh.control.setOutboundPolicy(mesh.servicePort, policy([rule({ filters: [denial] })]));
  assert.match(await ask(), /^HTTP\/1.1 403 /);

  await rest();
  await mesh.control.stop();
  // Nobody can say whether that still holds.
  assert.match(await ask(), /^HTTP\/1.1 403 /);
});

test('certificates are renewed under load without a lost request', async () => {
  await using mesh = await TestMesh.start();
  mesh.control.leafLifetimeMs = 2500;
  using app = await named('web');
  const env = { IDENTITY_MIN_REFRESH: '200ms', OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT: '20ms' };
  const server = await mesh.proxy({ name: 'web', env });
  const client = await mesh.proxy({ name: 'client', env });
  mesh.serve([meshed('web', app.port, server)]);
  await using load = new Load(client, 4);
  const certified = mesh.control.certified;
  await eventually(() => mesh.control.certified >= certified + 6, 'three renewals each', 20_000);
  await load.stop();
  assert.deepEqual([...load.answers.keys()], ['200 web']);
});

test('an expired certificate stops mutual TLS and never becomes plain text; its renewal starts it again', async () => {
  await using mesh = await TestMesh.start();
  mesh.control.leafLifetimeMs = 1500;
  using app = await named('web');
  const env = { IDENTITY_MIN_REFRESH: '300ms', OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT: '10ms' };
  const server = await mesh.proxy({ name: 'web', env });
  const client = await mesh.proxy({ name: 'client', env });
  mesh.serve([meshed('web', app.port, server)]);
  assert.match((await exchange(client.outboundPort, GET)).toString(), /web$/);
  mesh.control.isIdentityDown = true;
  await eventually(
    async () => (await exchange(client.outboundPort, GET)).toString().startsWith('HTTP/1.1 502'),
    'it expires',
  );
  const ready = await fetch(`http://127.0.0.1:${client.adminPort}/ready`);
  assert.equal(ready.status, 503);
  mesh.control.isIdentityDown = false;
  await eventually(async () => (await exchange(client.outboundPort, GET)).toString().endsWith('web'), 'it is renewed');
});
