import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { TapClient, TapEvent_ProxyDirection, type ObserveRequest_Match, type TapEvent } from '#api/gen/tap.ts';
import type { HttpMatch } from '#model/match.ts';
import { tlsOptions } from '#pki/testing.ts';
import { eventually, exchange, identityOf, listen, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import type { Proxy } from '../proxy.ts';

const TAP = identityOf('metrics-api');
const ENV = { CONTROL_LISTEN_ADDR: '127.0.0.1:0', TAP_SVC_NAME: TAP };
const EVERYTHING: ObserveRequest_Match = { match: { $case: 'all', value: { matches: [] } } };

type Observation = { readonly events: TapEvent[]; readonly ended: Promise<number> };

class Harness implements AsyncDisposable {
  readonly mesh: TestMesh;
  readonly app: TestApp;
  readonly server: Proxy;
  readonly client: Proxy;
  readonly #clients: TapClient[] = [];

  private constructor(mesh: TestMesh, app: TestApp, server: Proxy, client: Proxy) {
    this.mesh = mesh;
    this.app = app;
    this.server = server;
    this.client = client;
  }

  static async start(): Promise<Harness> {
    const mesh = await TestMesh.start();
    const app = await TestApp.start(
      createServer((request, response) => {
        response.statusCode = request.url?.startsWith('/bad') === true ? 503 : 200;
        response.end('hello');
      }),
    );
    const server = await mesh.proxy({ name: 'web', env: ENV });
    const client = await mesh.proxy({ name: 'load', env: ENV });
    mesh.serve([meshed('web', app.port, server)]);
    return new Harness(mesh, app, server, client);
  }

  async get(path: string): Promise<string> {
    const request = `GET ${path} HTTP/1.1\r\nhost: web.shop\r\nx-one: 1\r\nconnection: close\r\n\r\n`;
    return (await exchange(this.client.outboundPort, request)).toString();
  }

  /** @param name  whose certificate is shown; absent: plain text */
  observe(
    proxy: Proxy,
    options: {
      readonly as?: string;
      readonly isPlain?: boolean;
      readonly limit?: number;
      readonly match?: ObserveRequest_Match;
      readonly hasHeaders?: boolean;
    } = {},
  ): Observation {
    const { authority } = this.mesh.control;
    const { key, cert } = tlsOptions(authority.leaf(options.as ?? TAP));
    const channel =
      options.isPlain === true
        ? credentials.createInsecure()
        : credentials.createSsl(Buffer.from(authority.anchorsPem), Buffer.from(key), Buffer.from(cert));
    const name = identityOf(proxy === this.server ? 'web' : 'load');
    const client = new TapClient(`127.0.0.1:${proxy.controlPort}`, channel, {
      'grpc.ssl_target_name_override': name,
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#clients.push(client);
    const call = client.observe({
      limit: options.limit ?? 100,
      match: options.match ?? EVERYTHING,
      extract:
        options.hasHeaders === true
          ? { extract: { $case: 'http', value: { extract: { $case: 'headers', value: {} } } } }
          : undefined,
    });
    const events: TapEvent[] = [];
    call.on('data', (event: TapEvent) => events.push(event));
    const ended = new Promise<number>((resolve) => {
      call.on('error', (error: ServiceError) => resolve(error.code));
      call.on('end', () => resolve(0));
    });
    return { events, ended };
  }

  /** Sends requests until the observer has seen one: a tap begins a moment after the call. */
  async warm({ events }: Observation): Promise<void> {
    await eventually(async () => {
      await this.get('/warm');
      return events.length > 0;
    }, 'the tap sees requests');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    this.app[Symbol.dispose]();
    await this.mesh[Symbol.asyncDispose]();
  }
}

function httpEvents(
  observation: Observation,
  path: string,
): readonly NonNullable<TapEvent['event']>['value']['event'][] {
  const events = observation.events.map(({ event }) => event?.value.event);
  const start = events.find((event) => event?.$case === 'requestInit' && event.value.path === path);
  const id = start?.value.id?.stream;
  return events.filter((event) => event?.value.id?.stream === id && id !== undefined);
}

test('both sides of a request are tapped, with who talked to whom', async () => {
  await using harness = await Harness.start();
  const inbound = harness.observe(harness.server);
  const outbound = harness.observe(harness.client, { hasHeaders: true });
  await harness.warm(inbound);
  await harness.warm(outbound);
  await harness.get('/bad/thing?secret=1');
  for (const observation of [inbound, outbound]) {
    await eventually(() => httpEvents(observation, '/bad/thing').length === 3, 'three events');
    const [init, response, end] = httpEvents(observation, '/bad/thing');
    assert.equal(init?.$case === 'requestInit' && init.value.authority, 'web.shop');
    assert.equal(response?.$case === 'responseInit' && response.value.httpStatus, 503);
    assert.equal(end?.$case === 'responseEnd' && end.value.responseBytes, 5n);
  }
  const [seen] = inbound.events;
  assert.equal(seen?.proxyDirection, TapEvent_ProxyDirection.INBOUND);
  assert.deepEqual(seen?.sourceMeta?.labels, { tls: 'true', client_id: identityOf('load') });
  assert.equal(seen?.destination?.port, harness.app.port);
  assert.equal(seen?.destinationMeta?.labels['srv_kind'], 'default');
  const [sent] = outbound.events;
  assert.equal(sent?.proxyDirection, TapEvent_ProxyDirection.OUTBOUND);
  assert.equal(sent?.destinationMeta?.labels['deployment'], 'web');
  assert.equal(sent?.destinationMeta?.labels['server_id'], identityOf('web'));
  const [init] = httpEvents(outbound, '/bad/thing');
  const headers = init?.$case === 'requestInit' ? (init.value.headers?.headers ?? []) : [];
  assert.equal(headers.find(({ name }) => name === 'x-one')?.value.toString(), '1');
});

test('a tap sees only what matches, and ends after its limit', async () => {
  await using harness = await Harness.start();
  const path = (prefix: string): ObserveRequest_Match => ({
    match: { $case: 'http', value: { match: { $case: 'path', value: { match: { $case: 'prefix', value: prefix } } } } },
  });
  const limited = harness.observe(harness.server, { match: path('/warm'), limit: 2 });
  const none = harness.observe(harness.client, {
    match: {
      match: {
        $case: 'all',
        value: { matches: [path('/'), { match: { $case: 'not', value: path('/') } }] },
      },
    },
  });
  const labelled = harness.observe(harness.client, {
    match: { match: { $case: 'destinationLabel', value: { key: 'deployment', value: 'web' } } },
  });
  await harness.warm(labelled);
  await harness.warm(limited);
  await harness.get('/other');
  await harness.get('/warm');
  assert.equal(await limited.ended, 0);
  assert.equal(limited.events.length, 6);
  assert.deepEqual(httpEvents(limited, '/other'), []);
  assert.equal(none.events.length, 0);
});

test('of a gRPC call the trailers are told, and its status', async () => {
  await using harness = await Harness.start();
  const app = createHttp2Server();
  app.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    if (headers[':path'] === '/shop.Echo/HeadOnly') {
      stream.respond({ 'content-type': 'application/grpc', 'grpc-status': '5' }, { endStream: true });
      return;
    }
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '9', 'grpc-message': 'not now' }));
    stream.end('message');
  });
  await listen(app);
  harness.mesh.serve([meshed('web', (app.address() as AddressInfo).port, harness.server)]);
  const session = connectHttp2(`http://127.0.0.1:${harness.client.outboundPort}`);
  const call = async (path: string): Promise<void> => {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
    stream.resume();
    stream.end();
    await once(stream, 'end');
  };
  try {
    for (const proxy of [harness.server, harness.client]) {
      const observation = harness.observe(proxy, { hasHeaders: true });
      await eventually(async () => {
        await call('/shop.Echo/Warm');
        return observation.events.length > 0;
      }, 'the tap sees calls');
      for (const [method, status, trailers] of [
        ['Unary', 9, ['grpc-status: 9', 'grpc-message: not now']],
        ['HeadOnly', 5, undefined],
      ] as const) {
        const path = `/shop.Echo/${method}`;
        await call(path);
        await eventually(() => httpEvents(observation, path).length === 3, 'three events');
        const end = httpEvents(observation, path)[2];
        assert.ok(end?.$case === 'responseEnd');
        assert.deepEqual(end.value.eos?.end, { $case: 'grpcStatusCode', value: status });
        assert.deepEqual(
          end.value.trailers?.headers.map(({ name, value }) => `${name}: ${value.toString()}`),
          trailers,
        );
      }
    }
  } finally {
    session.destroy();
    app.close();
  }
});

test('a denied request is tapped on both sides, with the reason', async () => {
  await using harness = await Harness.start();
  // Clients on loopback are always let in, but not where no route leads.
  const warm: HttpMatch = { path: { kind: 'prefix', value: '/warm' }, headers: [], queryParams: [] };
  const ref = { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' } as const;
  const route = { ref, hosts: [], authorizations: [], rules: [{ matches: [warm] }] };
  harness.mesh.control.setPolicy(harness.app.port, {
    ref,
    protocol: { kind: 'detect', timeoutMs: 10_000, routes: [route] },
    authorizations: [],
  });
  await eventually(async () => (await harness.get('/secret')).startsWith('HTTP/1.1 404'), 'the policy is in force');
  const inbound = harness.observe(harness.server);
  const outbound = harness.observe(harness.client);
  await harness.warm(inbound);
  await harness.warm(outbound);
  await harness.get('/secret');
  for (const observation of [inbound, outbound]) {
    await eventually(() => httpEvents(observation, '/secret').length === 3, 'three events');
    const [, response, end] = httpEvents(observation, '/secret');
    assert.ok(response?.$case === 'responseInit');
    assert.equal(response.value.httpStatus, 404);
    const [why] = response.value.headers?.headers ?? [];
    assert.match(
      `${why?.name}: ${why?.value.toString()}`,
      /^l5d-proxy-error: no-route: server.policy.linkerd.io web denies/,
    );
    assert.equal(end?.$case, 'responseEnd');
  }
});

test('only the tap service is served, over mutual TLS, with a request that makes sense', async () => {
  await using harness = await Harness.start();
  const unauthenticated = 16;
  const invalid = 3;
  assert.equal(await harness.observe(harness.server, { as: identityOf('web') }).ended, unauthenticated);
  assert.equal(await harness.observe(harness.server, { isPlain: true }).ended, unauthenticated);
  assert.equal(await harness.observe(harness.server, { limit: 0 }).ended, invalid);
  const empty: ObserveRequest_Match = {
    match: { $case: 'destinationLabel', value: { key: '', value: 'x' } },
  };
  assert.equal(await harness.observe(harness.server, { match: empty }).ended, invalid);
  const ports = (min: number, max: number): ObserveRequest_Match => ({
    match: { $case: 'source', value: { match: { $case: 'ports', value: { min, max } } } },
  });
  assert.equal(await harness.observe(harness.server, { match: ports(20, 10) }).ended, invalid);
  assert.match(await harness.get('/'), /200 OK/);
});
